"""Runs each program in a process of its own, forked from one that has imported numba and other slow packages.

No module of rlbench is imported before the fork: a program starts from the same state as in a new process.
"""

import atexit
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

HANG = 900  # seconds, as in waiting.py, which imports rlbench
NEEDED_BY_MOST = ("gymnasium", "numba", "rich.table")
NEEDED_BY_SOME = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "pandas",
    "sklearn.model_selection",
    "sklearn.tree",
)


class Forks:
    """Runs `rlbench ...` and Python files as `subprocess.run` does, each in a new process."""

    def __init__(self, modules=NEEDED_BY_MOST, **environment):
        self._output = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._output.name, *modules],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments, folder):
        self._process.stdin.write(json.dumps([list(map(str, arguments)), str(folder)]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err = ((Path(self._output.name) / name).read_text() for name in ("out", "err"))
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    def close(self):
        self._process.communicate()
        self._output.cleanup()


def serve(output, *modules):
    """Runs the programs that the lines of standard input name, one at a time, and writes their exit codes."""
    for module in modules:
        importlib.import_module(module)
    sys.modules["numba"].njit("int64()")(lambda: 0)  # the first compilation imports the rest of numba
    gc.freeze()  # otherwise a collection in a fork copies every page
    # the threads are NumPy's, and idle
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    forked = multiprocessing.get_context("fork")
    for line in sys.stdin:
        process = forked.Process(target=follow, args=(output, *json.loads(line)))
        process.start()
        process.join(HANG)
        process.kill()
        process.join()
        sys.stdout.write(f"{process.exitcode}\n")
        sys.stdout.flush()


def follow(output, arguments, folder):
    """Runs `rlbench ...` or a Python file in a folder, with its output in two files."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(output) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    sys.argv = arguments
    try:
        if arguments[0] == "rlbench":
            runpy.run_module("rlbench", run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(arguments[0]).parent))  # as for a program that Python starts with
            runpy.run_path(arguments[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()


if __name__ == "__main__":
    serve(*sys.argv[1:])
