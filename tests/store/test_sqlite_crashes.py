"""The SQLite store when processes are killed, compete, or run out of disk."""

import collections
import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from contracts import stores
from waiting import HANG, until

from rlbench.errors import StoreError
from rlbench.store import checking, copying, open_store, sqlite

NOBODY = 65534  # a user id without rights
TWENTY_OR_200 = [20, pytest.param(200, marks=pytest.mark.long)]

# A process that has already imported everything forks others in a millisecond. Each reports what it does on one pipe.
NURSERY = f"""
import os, resource, sys, time
sys.path.insert(0, {str(Path(stores.__file__).parents[1])!r})
import numpy as np; from contracts import stores
from pathlib import Path
from rlbench.errors import StoreError
from rlbench.store import Checkpoint, open_store, sqlite

def tell(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def fill(store, run_id, chunks, noise):
    dice = np.random.default_rng(0)
    for i in chunks:
        checkpoint = Checkpoint(i + 1, 3 * i + 3, {{"q": dice.random(noise)}})
        store.append(run_id, stores.make_chunk(i, [3]), checkpoint, keep=i % 5 == 4)
        tell("acknowledged", run_id, i)

def write(path):
    with open_store(path) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        tell("run", run.id)
        fill(store, run.id, range(10**6), 5000)

def write_until_full(path):
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
    write(path)

def write_some(path):
    for seed in range(3):
        with open_store(path) as store:
            runs = [store.create_run("Taxi-v4", "random", seed=10 * seed + i) for i in range(2)]
            for i in range(8):
                for run in runs:
                    fill(store, run.id, [i], 2000)
            for run in runs:
                store.append(run.id, status="finished")
                tell("run", run.id)

def claim(path):
    with open_store(path) as store:
        tell("ready")
        while not Path(path + ".go").exists():
            pass
        try:
            run = store.claim(store.runs()[0].id)
        except StoreError as error:
            tell("refused", error)
        else:
            tell("claimed", run.id)
        while not Path(path + ".stop").exists():
            time.sleep(0.001)

for line in sys.stdin:
    times, act, path = line.split(" ", 2)
    children = []
    for _ in range(int(times)):
        child = os.fork()
        if not child:
            tell("born", os.getpid())
            try:
                globals()[act](path.rstrip())
            except StoreError as error:
                tell("failed", error)
            except BaseException as error:
                tell("broken", repr(error))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    tell("ended")
"""


class Nursery:
    """Starts processes that write, and reads what they report."""

    def __init__(self):
        command = [sys.executable, "-W", "ignore", "-c", NURSERY]  # newer Pythons warn of forks
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.children, self._told = [], collections.deque()

    def start(self, act, path, *, times=1):
        print(times, act, path, file=self._process.stdin, flush=True)
        self.children, self._told = [], collections.deque()
        early = []
        while len(self.children) < times:
            line = self._line()
            if line[0] == "born":
                self.children.append(int(line[1]))
            else:
                early.append(line)
        self._told.extend(early)

    def kill(self):
        for pid in self.children:
            os.kill(pid, signal.SIGKILL)

    def _line(self):
        """Returns the next line that a child reported, split into words."""
        return self._told.popleft() if self._told else self._process.stdout.readline().split()

    def wait_for(self, *words):
        """Returns the next line that begins with one of the words, of all children."""
        line = self._line()
        while line[0] not in words:
            assert line[0] not in ("broken", "failed", "ended"), line
            line = self._line()
        return line

    def hear(self, word):
        """Waits until a child has reported this; earlier lines are kept for later calls."""
        early = [self._line()]
        while early[-1][0] != word:
            assert early[-1][0] not in ("broken", "failed", "ended"), early[-1]
            early.append(self._line())
        self._told.extendleft(reversed(early))

    def rest(self):
        """Returns what was reported until all have ended, by the first word."""
        told = collections.defaultdict(list)
        for word, *others in iter(self._line, ["ended"]):
            told[word].append(others)
        self.children = []
        return told

    def close(self):
        self.kill()  # those of a test that failed
        self._process.stdin.close()
        self._process.wait(HANG)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def acknowledged(told):
    """How many chunks each run had acknowledged."""
    counts = collections.Counter()
    for run_id, number in told["acknowledged"]:
        counts[run_id] = max(counts[run_id], int(number) + 1)
    return counts


# ---------------------------------------------------------------- killed


@pytest.mark.parametrize("kills", TWENTY_OR_200)
def test_a_writer_may_be_killed_at_any_moment(tmp_path, nursery, kills):
    dice = np.random.default_rng(kills)
    running = 0
    for kill in range(kills):
        path = tmp_path / f"{kill // 4}.db"  # some find a file that another left as it died
        nursery.start("write", path)
        if kill % 4:  # the others may be killed while they open the file
            nursery.hear("acknowledged")
        time.sleep(dice.uniform(0, 0.05 if kill % 4 else 0.01))
        nursery.kill()
        told = nursery.rest()
        assert not told["broken"]
        assert not told["failed"]
        with open_store(path) as store:
            assert list(checking.check(store)) == []
            assert {run_id for [run_id] in told["run"]} <= {run.id for run in store.runs(status="interrupted")}
            for run_id, chunks in acknowledged(told).items():
                assert store.run(run_id).episodes in (chunks, chunks + 1)
                assert [len(episode) for episode in store.episodes(run_id)][:chunks] == [3] * chunks
                assert store.checkpoint(run_id).episodes == store.run(run_id).episodes
                running += 1
    assert running >= kills - kills // 4, "most must be killed while they write"


def test_a_run_whose_writer_was_killed_can_be_gone_on_with(tmp_path, nursery):
    nursery.start("write", tmp_path / "x.db")
    while int(nursery.wait_for("acknowledged")[2]) < 20:
        pass
    nursery.kill()
    nursery.rest()
    assert (tmp_path / "x.db-wal").stat().st_size > 0
    with open_store(tmp_path / "x.db") as store:
        run = store.run("latest")
        assert run.status == "interrupted"
        assert store.claim(run.id).status == "running"
        store.append(run.id, stores.make_chunk(run.episodes, [3]), status="finished")
        assert store.run(run.id).episodes == run.episodes + 1
        assert list(checking.check(store)) == []


@pytest.fixture
def public_folder():
    """A folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        Path(folder).chmod(0o755)


@contextlib.contextmanager
def without_rights():
    """Runs as a user who may write nothing here: root ignores file modes."""
    assert sqlite, "imported now: such a user may not even read the interpreter's library"
    user = os.geteuid()
    if not hasattr(os, "seteuid") or (user != 0 and os.access not in os.supports_effective_ids):
        pytest.skip("this system cannot take rights away from a process")
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def left_behind(public_folder, nursery):
    """A store, and the log of a writer that was killed, in a folder that is no longer writable."""
    nursery.start("write", public_folder / "x.db")
    while int(nursery.wait_for("acknowledged")[2]) < 20:
        pass
    nursery.kill()
    nursery.rest()
    for file in public_folder.iterdir():
        file.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    public_folder.chmod(0o555)
    before = {file.name: file.read_bytes() for file in public_folder.iterdir()}
    yield public_folder / "x.db"
    assert {file.name: file.read_bytes() for file in public_folder.iterdir()} == before


def test_the_log_of_a_killed_writer_is_read_where_nothing_may_be_written(left_behind):
    with without_rights(), open_store(left_behind) as store:
        assert store.run("latest").episodes >= 20
        assert list(checking.check(store)) == []
        with pytest.raises(StoreError, match="it can only be read"):
            store.claim(store.run("latest").id)


def test_a_log_without_its_index_is_a_clear_error_where_nothing_may_be_written(public_folder, nursery, left_behind):
    public_folder.chmod(0o755)
    index = public_folder / "x.db-shm"  # as after a restart of the computer
    kept = index.read_bytes()
    index.unlink()
    public_folder.chmod(0o555)
    with without_rights(), pytest.raises(StoreError, match="check that you may write to the file and its folder"):
        open_store(left_behind)
    public_folder.chmod(0o755)
    index.write_bytes(kept)


# ---------------------------------------------------------------- at once


def test_eight_processes_write_to_one_file_and_nothing_is_lost_or_doubled(tmp_path, nursery):
    nursery.start("write_some", tmp_path / "x.db", times=8)
    told = nursery.rest()
    assert not told["broken"]
    assert not told["failed"]
    counts = acknowledged(told)
    assert set(counts.values()) == {8}
    with open_store(tmp_path / "x.db") as store:
        assert list(checking.check(store)) == []
        assert {run.id: run.episodes for run in store.runs(status="finished")} == counts
        assert len(counts) == 48
        assert sorted((entry.what, entry.record) for entry in store.entries()) == [
            ("train", run) for run in sorted(counts)
        ]
        assert sorted(run.seed for run in store.runs()) == sorted([0, 1, 10, 11, 20, 21] * 8)
        assert checking.info(store)["chunks"] == 48 * 8


def test_of_processes_that_claim_one_run_at_once_all_but_one_are_refused(tmp_path, nursery):
    for attempt in range(5):
        path = tmp_path / f"{attempt}.db"
        with open_store(path) as store:
            run_id = store.create_run("Taxi-v4", "random", seed=0).id
        nursery.start("claim", path, times=2)
        for _ in range(2):
            nursery.wait_for("ready")
        Path(f"{path}.go").touch()
        told = collections.Counter(nursery.wait_for("claimed", "refused")[0] for _ in range(2))
        assert told == {"claimed": 1, "refused": 1}
        with open_store(path) as store:
            assert store.run(run_id).status == "running"
            with pytest.raises(StoreError, match="is being written by another process"):
                store.claim(run_id)
            Path(f"{path}.stop").touch()
            nursery.rest()
            assert store.run(run_id).status == "interrupted"


def test_a_backup_taken_while_another_process_writes_is_of_one_moment(tmp_path, nursery):
    nursery.start("write", tmp_path / "x.db")
    nursery.wait_for("acknowledged")
    reached = [0]
    with open_store(tmp_path / "x.db") as store:
        for i in range(4):
            copying.backup(store, tmp_path / f"backup-{i}.db")
            with open_store(tmp_path / f"backup-{i}.db", read_only=True) as kept:
                assert list(checking.check(kept)) == []
                assert kept.run("latest").status == "interrupted"
                assert len(kept.episodes("latest")) == kept.checkpoint("latest").episodes
                reached.append(kept.run("latest").episodes)
            until(lambda: store.run("latest").episodes > reached[-1])
        assert store.run("latest").status == "running"
    nursery.kill()
    nursery.rest()
    assert reached == sorted(set(reached))
    assert len(list(tmp_path.glob("backup-*"))) == len(list(tmp_path.glob("*backup*"))) == 4


def test_a_check_while_another_process_writes_finds_nothing(tmp_path, nursery):
    nursery.start("write", tmp_path / "x.db")
    nursery.wait_for("acknowledged")
    with open_store(tmp_path / "x.db") as store, open_store("memory://") as other:
        for _ in range(3):
            assert list(checking.check(store)) == []
            copying.copy(store, other)
            assert list(checking.check(other)) == []
    nursery.kill()
    nursery.rest()


# ---------------------------------------------------------------- no room


def test_a_disk_that_fills_up_is_a_clear_error_and_loses_nothing(tmp_path, nursery):
    nursery.start("write_until_full", tmp_path / "x.db")
    told = nursery.rest()
    assert not told["broken"]
    assert "the disk failed or is full; make room and try again" in " ".join(told["failed"][0])
    [(run_id, chunks)] = acknowledged(told).items()
    assert chunks > 2
    with open_store(tmp_path / "x.db") as store:
        assert list(checking.check(store)) == []
        assert store.run(run_id).episodes == chunks
        store.claim(run_id)
        store.append(run_id, stores.make_chunk(chunks, [3]))
