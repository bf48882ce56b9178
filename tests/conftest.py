"""What holds for all tests: no deadlines, and a last line on what this machine lacks."""

import gc
import math
import os
import shutil
import signal
import sys
import tempfile

import pytest
from hypothesis import settings
from needs import summary

from rlbench.signals import ENDING

MEMORY = "/dev/shm"  # noqa: S108  (a file system in memory: what a killed process wrote stays, as on a disk)
pytest_plugins = ["mongod", "seaweed", "faulty"]
ROOM = 2**31  # bytes, several times what the tests keep at once

settings.register_profile("rlbench", deadline=None)  # no verdict depends on the machine's pace
settings.load_profile("rlbench")


@pytest.fixture(autouse=True, scope="session")
def _state_of_its_own(tmp_path_factory):
    """Keeps what the tests spool out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _chunks_as_on_a_fast_machine():
    """Lets no chunk be handed on because time has passed: where chunks lie depends on nothing but the run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("rlbench.training.session.FLUSH_SECONDS", math.inf)
        patched.setattr("rlbench.training.recording.FLUSH_SECONDS", math.inf)
        yield


def pytest_configure():
    """Sets up this process, and through its environment those that xdist and tests start.

    Python keeps the bytecode of what it imports: hundreds of processes import rlbench.
    Temporary files lie in memory, where there is room: on a disk, stores and servers wait for thousands of syncs.
    Signals end programs: a shell's background ignores Ctrl-C, and nohup a hang-up.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = MEMORY
    for number in ENDING:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_finish():
    """Keeps the garbage collector from scanning thousands of tests, which live to the end, and while numba compiles."""
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_terminal_summary(terminalreporter):
    """Says in one line which tests were skipped because something is missing, and how to get it."""
    line = summary([report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])])
    if line:
        terminalreporter.write_line(line, yellow=True)
