"""Writes that fail while a store is unreachable are kept in a local file, and uploaded when it is back."""

import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from training.toys import Circle, outcome
from waiting import HANG, until

import rlbench
from rlbench.errors import StoreAway, StoreError
from rlbench.store import checking, open_store, spool
from rlbench.training import recorder, writer


@pytest.fixture(autouse=True)
def _many_chunks_in_a_folder_of_their_own(monkeypatch, tmp_path):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 200)
    monkeypatch.setattr(recorder, "RESERVE", 100)
    monkeypatch.setattr(writer, "RETRY", 0.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


class Away:
    """Makes a store answer, or not."""

    def __init__(self, store, monkeypatch, calls):
        """`calls` are the numbers of the appends that fail; endless if it is a range without an end."""
        append = store.append
        self.calls, self.made = calls, 0

        def sometimes(*args, **kwargs):
            self.made += 1
            if self.made in self.calls:
                raise StoreAway("the store is away")
            append(*args, **kwargs)

        monkeypatch.setattr(store, "append", sometimes)


@pytest.fixture
def store(tmp_path):
    with open_store(tmp_path / "runs.db") as opened:
        yield opened


def trained(store=None, record="all"):
    return rlbench.train("FrozenLake-v1", episodes=200, seed=3, store=store, record=record)


@pytest.mark.parametrize("calls", [{1}, {3, 4, 5}, range(2, 9), {2, 4, 6, 8}], ids=str)
def test_what_a_store_missed_is_uploaded_when_it_is_back(calls, store, monkeypatch, tmp_path):
    Away(store, monkeypatch, calls)
    run = trained(store)
    assert outcome(run) == outcome(trained())
    assert not list(checking.check(store))
    assert list((tmp_path / "rlbench").glob("rlbench-spool-*")) == []


@pytest.mark.parametrize("record", ["all", "none"])
def test_what_is_missing_in_the_end_is_kept_and_said_and_can_be_copied_later(record, store, monkeypatch, tmp_path):
    away = Away(store, monkeypatch, range(2 if record == "all" else 1, 10**6))
    with pytest.raises(
        StoreAway, match=r"went away while run \w+ was trained; what it lacks is in .*rlbench-spool-"
    ) as error:
        trained(store, record)
    [path] = (tmp_path / "rlbench").glob("rlbench-spool-*.db")
    assert path.name in str(error.value)
    run_id = store.run("latest").id
    assert path.name.startswith(f"rlbench-spool-{run_id}-")
    away.calls = ()
    store.close()
    with open_store(path) as kept, open_store(tmp_path / "runs.db") as target:
        assert set(spool.upload(kept, target, claim=True)) == {run_id}
        assert spool.upload(kept, target, claim=True) == {}
        assert not list(checking.check(target))
        assert outcome(rlbench.load_run(target, run_id)) == outcome(trained(record=record))


def test_the_write_that_seemed_to_fail_may_have_been_made(store, monkeypatch):
    append, made = store.append, []

    def made_but_not_acknowledged(*args, **kwargs):
        append(*args, **kwargs)
        made.append(args)
        if len(made) == 2:
            raise StoreAway("the answer was lost")

    monkeypatch.setattr(store, "append", made_but_not_acknowledged)
    assert outcome(trained(store)) == outcome(trained())


def test_each_attempt_has_a_spool_of_its_own_that_only_its_owner_can_read(tmp_path):
    one, other = (spool.Spool("0123456789ab", "mongodb://host/db") for _ in range(2))
    one.close()
    other.close()
    found = list((tmp_path / "rlbench").glob("rlbench-spool-0123456789ab-*.db"))
    assert len(found) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}


def test_a_spool_lies_in_the_temporary_folder_where_no_state_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert spool.folder() == Path(tempfile.gettempdir())


def test_what_is_left_in_a_spool_is_recovered_by_the_next_who_copies_to_that_store(store, monkeypatch, tmp_path):
    away = Away(store, monkeypatch, range(2, 10**6))
    with pytest.raises(StoreAway):
        trained(store)
    away.calls = ()
    run_id = store.run("latest").id
    store.close()
    with open_store(tmp_path / "other.db") as other:
        assert spool.recover(other) == {}
    with open_store(tmp_path / "runs.db") as target:
        target._open.add(run_id)
        assert set(spool.recover(target)) == {run_id}
        assert outcome(rlbench.load_run(target, run_id)) == outcome(trained())
        assert not list(checking.check(target))
    assert list((tmp_path / "rlbench").iterdir()) == []


KILLED = """
import os, signal, sys
import rlbench
from rlbench.errors import StoreAway
from rlbench.training import recorder
recorder.CHUNK_STEPS, recorder.RESERVE = 200, 100
with rlbench.open_store(os.path.abspath("runs.db")) as store:
    append, made = store.append, []
    def away(*args, **kwargs):
        made.append(args)
        if len(made) == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        if len(made) > 1:
            raise StoreAway("away")
        append(*args, **kwargs)
    store.append = away
    from rlbench.store import spool
    put = spool.Spool.put
    def killed(self, *args, **kwargs):
        put(self, *args, **kwargs)
        if self._count == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    spool.Spool.put = killed
    rlbench.train("FrozenLake-v1", episodes=200, seed=3, store=store)
"""


def test_the_spool_of_a_killed_training_is_recovered_and_the_training_resumed_from_it(tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, check=False)
    assert killed.returncode == -signal.SIGKILL
    with open_store(tmp_path / "runs.db") as target:
        run = target.run("latest")
        before = run.episodes
        assert spool.recover(target) == {run.id: 3}
        assert target.run(run.id).status == "interrupted"
        assert target.run(run.id).episodes > before
        assert not list(checking.check(target))
        assert outcome(rlbench.resume(rlbench.load_run(target, run.id))) == outcome(trained())
    assert list((tmp_path / "rlbench").iterdir()) == []


def test_what_the_store_holds_already_is_not_uploaded_again(store, monkeypatch, tmp_path):
    append = store.append

    def made_but_not_acknowledged(*args, **kwargs):
        append(*args, **kwargs)
        if kwargs.get("status") == "finished":
            raise StoreAway("the answer was lost")

    monkeypatch.setattr(store, "append", made_but_not_acknowledged)
    assert outcome(trained(store)) == outcome(trained())
    assert list((tmp_path / "rlbench").iterdir()) == []


def test_a_spool_goes_only_where_its_run_is(store, monkeypatch, tmp_path):
    Away(store, monkeypatch, range(2, 10**6))
    with pytest.raises(StoreAway):
        trained(store)
    [path] = (tmp_path / "rlbench").glob("rlbench-spool-*.db")
    with open_store(path) as kept:
        with open_store(tmp_path / "other.db") as other, pytest.raises(StoreError, match="has no runs yet"):
            spool.upload(kept, other, claim=True)
        assert kept.snapshots(spool.KIND)
        with open_store(tmp_path / "runs.db") as again, pytest.raises(StoreError, match="is being written by another"):
            spool.upload(kept, again, claim=True)


def test_training_goes_on_while_the_server_is_dead_and_is_whole_when_it_is_back(mongod, mongo_url, tmp_path):
    begun, back = threading.Event(), threading.Event()

    def hook(step):
        if step == 600:
            begun.set()
            back.wait(HANG)

    def outage():
        begun.wait(HANG)
        mongod.kill9()
        back.set()
        until(lambda: list((tmp_path / "rlbench").glob("rlbench-spool-*.db")))  # training has noticed
        mongod.start()

    thread = threading.Thread(target=outage)
    thread.start()
    with open_store(mongo_url) as store:
        try:
            run = rlbench.train(Circle(hook), episodes=300, seed=0, store=store)
        except StoreAway:
            run = None
        thread.join()
    with open_store(mongo_url) as store:
        if run is None:
            [path] = (tmp_path / "rlbench").glob("rlbench-spool-*.db")
            with open_store(path) as kept:
                spool.upload(kept, store)
        run = rlbench.load_run(store, "latest")
        assert outcome(run) == outcome(rlbench.train(Circle(), episodes=300, seed=0))
        assert not list(checking.check(store))
