"""The signals that ask a process to end: Ctrl-C, a supervisor's SIGTERM, and the SIGHUP of a terminal that closes."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
IMPORTER = "<frozen importlib._bootstrap>"
PAUSE = 0.02  # seconds after which an import is looked at again
ENDING = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))  # Windows has no SIGHUP


def take(handler: Callable[[int, FrameType | None], object]) -> dict[int, Any]:
    """Lets a handler take these signals, and returns the handlers that it replaced.

    Outside the main thread, where Python delivers none, nothing changes. A signal that the process ignores stays
    ignored, as `nohup` requires.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in ENDING}
    taken = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, handler)
    return taken


def restore(before: dict[int, Any]) -> None:
    """Gives the signals back to the handlers that `take` returned."""
    for number, old in before.items():
        signal.signal(number, old)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, but after an import under way: there callbacks of the importer swallow it."""
    if _is_importing(frame):
        threading.Timer(PAUSE, os.kill, (os.getpid(), number)).start()
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != IMPORTER:
        frame = frame.f_back
    return frame is not None


@contextmanager
def ending_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Lets a handler take these signals for a while."""
    before = {}
    try:
        before = take(handler)
        yield
    finally:
        restore(before)
