"""Jobs for other processes, which find them by this module."""

import os
import signal
import threading
import warnings

from rlbench.errors import StoreError, UsageError
from rlbench.signals import ending_by


def double(item, tell):
    """Returns twice the item, or does what a word says."""
    tell(0.5)
    return WORDS[item]() if item in WORDS else 2 * item


def _raise(error):
    raise error


WORDS = {
    "die": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "leave": lambda: os._exit(3),
    "store": lambda: _raise(StoreError("it is full")),
    "usage": lambda: _raise(UsageError("it is wrong")),
    "bug": lambda: 1 / 0,
    "blocked": lambda: sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "warn": lambda: warnings.warn("it is slow", stacklevel=1),
}


def who(_item, _tell):
    """Returns the id of the process."""
    return os.getpid()


def until_told(item, tell):
    """Returns the item once the process is asked to end."""
    told = threading.Event()
    with ending_by(lambda *_: told.set()):
        tell(0.5)
        told.wait()
    return item


class Homebound:
    """Can be pickled, but not made again."""

    def __reduce__(self):
        return not_here, ()


def not_here():
    """Raises what the import of a notebook's class does elsewhere."""
    raise AttributeError("module '__main__' has no attribute 'MyAgent'")


def evaluate(run):
    """Leaves a trace of the process that trained a run."""
    run.store.update_run(run.id, evaluation={"mean_return": float(run.returns[-1]), "process": os.getpid()})
