"""Waiting for what another thread, process or server does, however slow the machine."""

import contextlib
import time

from rlbench.errors import StoreError
from rlbench.store import open_store

HANG = 900  # seconds after which a test is stuck: a guard, never part of a verdict
PAUSE = 0.01  # seconds between two looks


def until(holds, told="what was waited for did not happen"):
    """Returns the first true answer of `holds`, which is asked again and again.

    `told` is what to say when none came; a function is asked only then.
    """
    end = time.monotonic() + HANG
    while not (found := holds()):
        assert time.monotonic() < end, told() if callable(told) else told
        time.sleep(PAUSE)
    return found


def until_steps_are_stored(path, process):
    """Waits until the training in a process has stored its first steps."""

    def stored():
        assert process.poll() is None, f"the training ended with {process.poll()}"
        with contextlib.suppress(StoreError), open_store(path, create=False) as store:
            return any(run.timesteps for run in store.runs())
        return False

    until(stored, "the training stored nothing")
