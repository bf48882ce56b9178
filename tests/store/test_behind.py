"""Short runs that are written behind: what they leave is what the same runs leave that were written one by one."""

import dataclasses

import pytest
from contracts import stores

import rlbench
from rlbench.errors import StoreError
from rlbench.store import Checkpoint, behind, open_store

ITS_OWN = {"id", "created_at", "seconds"}  # what no two runs share


def a_run(store, seed=0, chunks=1):
    """Makes a run, chunk by chunk; returns its id."""
    run = store.create_run("Taxi-v4", "random", seed=seed, cache_key=f"key {seed}")
    for number in range(chunks):
        status = "finished" if number == chunks - 1 else "running"
        store.append(run.id, stores.make_chunk(number, [3]), Checkpoint(number + 1, 3, {}), keep=True, status=status)
    return run.id


@pytest.fixture
def pair(tmp_path):
    """A store, and another on the same file."""
    with open_store(tmp_path / "a.db") as store, open_store(tmp_path / "a.db") as other:
        yield store, other


@pytest.mark.parametrize("record", ["none", "all"])
def test_what_is_written_behind_is_what_is_written_one_by_one(record, tmp_path):
    asked = {"env": "FrozenLake-v1", "episodes": 30, "record": record}
    many = rlbench.train_many(**asked, seeds=range(3), store=tmp_path / "many.db")
    for run in many:
        alone = rlbench.train(**asked, seed=run.seed, store=tmp_path / "alone.db")
        one, other = (dataclasses.asdict(each.record) for each in (run, alone))
        assert {name for name in one if one[name] != other[name]} <= ITS_OWN
        chunks = zip(run.store.chunks(run), alone.store.chunks(alone), strict=True)
        assert all(chunk.equals(same) for chunk, same in chunks)
        assert (run.agent.q_table == alone.agent.q_table).all()
        assert [info[:3] for info in run.store.checkpoints(run)] == [
            info[:3] for info in alone.store.checkpoints(alone)
        ]
    assert [run.id for run in many] == [run.id for run in reversed(run.store.runs())]


def test_a_run_that_has_just_ended_is_known_without_being_read(pair):
    store, other = pair
    first, second = a_run(store), a_run(store)
    assert store.ended(second) == store.run(second) == other.ended(second)
    assert store.ended(first) == store.run(first)
    with pytest.raises(StoreError, match="there is no run"):
        store.ended("0" * 12)


def test_others_see_runs_at_once_in_the_end_and_whoever_writes_them_sees_them_before(pair):
    store, other = pair
    with store.writing_behind():
        found = [a_run(store, seed) for seed in range(3)]
        assert store.run(found[0]).status == "finished"
        assert not other.runs()
        assert len(store.runs(cache_key="key 1")) == 1
        assert len(other.runs()) == 3  # what is asked for otherwise is written first
        found.append(a_run(store, 3))
    assert [run.id for run in reversed(other.runs())] == found
    assert not list(other.backend.problems())


def test_a_run_that_writes_more_than_its_end_is_written_as_ever(pair):
    store, other = pair
    with store.writing_behind():
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.show_alive(run.id)
        assert not other.runs()
        store.append(run.id, stores.make_chunk(0, [3]))
        assert other.run(run.id).episodes == 1
        store.append(run.id, stores.make_chunk(1, [3]), status="finished")
        assert other.run(run.id).status == "finished"
        with pytest.raises(StoreError, match="is finished and does not change any more"):
            store.append(run.id, stores.make_chunk(2, [3]))


def test_a_run_that_begins_with_another_is_written_after_it(pair):
    store, other = pair
    with store.writing_behind():
        base = a_run(store)
        longer = store.create_run("Taxi-v4", "random", seed=0, base=base, checkpoint=store.checkpoints(base)[0])
        store.append(longer.id, stores.make_chunk(1, [3]), status="finished")
    assert [run.id for run in other.runs()] == [longer.id, base]
    assert len(list(other.chunks(longer.id))) == 2


@pytest.mark.parametrize("limit", ["SECONDS", "MOST_BYTES"])
def test_not_much_is_kept_back_and_not_for_long(limit, pair, monkeypatch):
    store, other = pair
    monkeypatch.setattr(behind, limit, -1)
    with store.writing_behind():
        a_run(store)
        assert len(other.runs()) == 1


def broken_off(store):
    with store.writing_behind():
        a_run(store)
        store.create_run("Taxi-v4", "random", seed=1)
        raise ZeroDivisionError


def test_runs_that_an_error_breaks_off_are_stored_with_those_before(pair):
    store, other = pair
    with pytest.raises(ZeroDivisionError):
        broken_off(store)
    assert [run.status for run in other.runs()] == ["running", "finished"]


def losing_its_file(store, folder):
    with store.writing_behind():
        a_run(store, 0), a_run(store, 1)
        (folder / "a.db").rename(folder / "b.db")


def test_what_cannot_be_written_is_not_written_in_part(tmp_path):
    with open_store(tmp_path / "a.db") as store:
        with pytest.raises(StoreError, match="deleted or replaced"):
            losing_its_file(store, tmp_path)
        (tmp_path / "b.db").rename(tmp_path / "a.db")
        assert not store.runs()
        a_run(store)
        assert len(store.runs()) == 1
