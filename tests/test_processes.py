"""Many jobs in several processes: each outcome comes, whatever becomes of the others."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jobs
import pytest
from waiting import HANG

from rlbench.errors import ProcessError, StoreError, UsageError
from rlbench.processes import Pool, in_processes

posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups are POSIX")


def test_each_item_is_done_once_and_says_how_far_it_is():
    heard = []
    found = sorted(in_processes(jobs.double, range(5), workers=2, hear=lambda *told: heard.append(told)))
    assert found == [(number, 2 * number, None) for number in range(5)]
    assert sorted(heard) == [(number, 0.5) for number in range(5)]


@posix
def test_one_that_dies_or_fails_takes_no_other_along():
    items = [0, "die", "store", "bug", "leave", 5]
    found = {one.number: one for one in in_processes(jobs.double, items, workers=2)}
    assert [found[number].value for number in (0, 5)] == [0, 10]
    errors = {number: one.error for number, one in found.items() if one.error}
    assert {number: (type(error), str(error)) for number, error in errors.items()} == {
        1: (ProcessError, "its process was killed by SIGKILL"),
        2: (StoreError, "it is full"),
        3: (ProcessError, "ZeroDivisionError: division by zero"),
        4: (ProcessError, "its process ended with exit code 3"),
    }
    assert "in double" in errors[3].__notes__[0]  # the traceback in the other process


def test_what_another_process_warns_of_is_warned_of_here():
    with pytest.warns(UserWarning, match="it is slow"):
        assert list(in_processes(jobs.double, ["warn"], workers=1)) == [(0, None, None)]


def test_after_a_users_mistake_no_item_is_begun():
    found = list(in_processes(jobs.double, ["usage", 1, 2], workers=1))
    assert [(one.number, str(one.error)) for one in found] == [(0, "it is wrong")]


@posix
def test_ctrl_c_ends_what_has_begun_and_begins_no_other():
    def told(number, _share):
        if number == 1:  # and so has 0
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    found = list(in_processes(jobs.until_told, [0, 1, 2, 3], workers=2, hear=told))
    assert {one.number for one in found} >= {1}
    assert all(one.error is None and one.number < 2 for one in found)
    assert signal.getsignal(signal.SIGINT) is before


@posix
def test_the_terminals_signals_reach_this_process_alone():
    (found,) = in_processes(jobs.double, ["blocked"], workers=1)
    assert {signal.SIGINT, signal.SIGHUP} <= set(found.value)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_what_cannot_go_to_another_process_is_refused_in_a_line():
    with pytest.raises(UsageError, match=r"this cannot go to another process: .*; define it in a module, outside"):
        list(in_processes(jobs.double, [lambda: 0], workers=2))
    (found,) = in_processes(jobs.double, [jobs.Homebound()], workers=1)
    assert str(found.error).startswith(
        "this cannot be made again in another process: module '__main__' has no attribute"
    )


@pytest.mark.parametrize("code", [1, 0])  # 0: of a program that catches every error
def test_a_program_without_its_guard_is_told_to_have_one(code, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import jobs, sys\nfrom rlbench.processes import in_processes\n"
        "try:\n    list(in_processes(jobs.double, [1], workers=1))\n"
        f"except Exception as error:\n    sys.exit(str(error) if __name__ == '__main__' else {code})\n"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(jobs.__file__).parent)}
    ended = subprocess.run(
        [sys.executable, program], env=here, capture_output=True, text=True, check=False, timeout=HANG
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"another process ended with exit code {code} before it began: ")
    assert '`if __name__ == "__main__":`' in ended.stderr


@posix
def test_a_pool_keeps_its_processes_and_replaces_one_that_died():
    with Pool(1) as pool:
        (first,) = {one.value for one in pool.each(jobs.who, range(3))}
        assert {one.value for one in pool.each(jobs.who, range(3))} == {first}
        list(pool.each(jobs.double, ["die"]))
        (another,) = {one.value for one in pool.each(jobs.who, range(3))}
        assert another != first
