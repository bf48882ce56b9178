"""The command line: `rlbench ...`, thin commands that parse, call a library function and print.

Nothing slow is imported before `main` listens for Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from rlbench.cli.codes import INTERRUPTED
from rlbench.signals import interrupt, restore, take

if TYPE_CHECKING:
    from rlbench.cli.commands import COMMANDS, cli


__all__ = ["COMMANDS", "cli", "main"]

GARBAGE = 50_000  # new objects before garbage is looked for: imports alone make ten times as many, none of it garbage


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: no traceback for a user's mistake, nor for Ctrl-C at any time.

    SIGTERM and SIGHUP end a command as Ctrl-C does: what it was writing is taken back first.
    """
    before = take(interrupt)
    if arguments is None:  # the process is ours
        gc.set_threshold(GARBAGE)
    try:
        code = _run(arguments)
    finally:
        if arguments is None:  # the process ends
            take(_end_at_once)
            gc.freeze()  # its end takes the memory back anyway, much sooner than a last search for garbage
        else:
            restore(before)
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    try:
        from rlbench.cli.commands import run  # noqa: PLC0415  (click)

        return run(arguments)
    except KeyboardInterrupt:
        take(_end_at_once)
        print("stopped", file=sys.stderr)  # noqa: T201  (click may not be there yet)
        return INTERRUPTED


def _end_at_once(*_signal: Any) -> None:
    os._exit(INTERRUPTED)


def __getattr__(name: str) -> Any:
    if name in __all__:
        from rlbench.cli import commands  # noqa: PLC0415  (click)

        return getattr(commands, name)
    raise AttributeError(f"module 'rlbench.cli' has no attribute {name!r}")
