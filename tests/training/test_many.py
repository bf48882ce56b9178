"""Training with many seeds: each run as if it were trained alone, wherever it was trained."""

import os

import jobs
import numpy as np
import pytest

import rlbench
from rlbench.errors import StoreError, UsageError

LAKE = {"episodes": 30, "engine": "python"}


def alone(seed):
    return rlbench.train("FrozenLake-v1", seed=seed, **LAKE)


def assert_same(run, other):
    assert run.seed == other.seed
    np.testing.assert_array_equal(run.agent.q_table, other.agent.q_table)
    np.testing.assert_array_equal(run.returns, other.returns)


def test_processes_train_the_same_bits_as_this_one_and_take_what_is_stored(tmp_path):
    path = tmp_path / "runs.db"
    stored = rlbench.train("FrozenLake-v1", seed=1, store=path, **LAKE)
    runs = rlbench.train_many(
        "FrozenLake-v1", seeds=[2, 1, 0], workers=2, store=path, then=jobs.evaluate, tags=["good"], note="why", **LAKE
    )
    assert [(run.seed, run.cache) for run in runs] == [(2, "miss"), (1, "hit"), (0, "miss")]
    assert (runs[1].id, len({run.store for run in runs})) == (stored.id, 1)
    for run in runs:
        assert_same(run, alone(run.seed))
        assert (run.record.tags, run.record.note) == (("good",), "why")
        assert run.record.evaluation["process"] != os.getpid()


def test_one_process_trains_one_after_another_in_memory_too():
    threshold = rlbench.StopOnReturn(-1.0, window=5, every=5)
    runs = rlbench.train_many("FrozenLake-v1", seeds=range(2), then=jobs.evaluate, callbacks=[threshold], **LAKE)
    assert [run.episodes for run in runs] == [5, 5]
    assert {run.record.evaluation["process"] for run in runs} == {os.getpid()}
    assert len(runs[0].store.runs()) == 2
    runs = rlbench.train_many("FrozenLake-v1", seeds=[3], **LAKE)
    assert_same(runs[0], alone(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": []}, "seeds must be at least one"),
        ({"seeds": [4, 1, 4]}, "seeds must be different, got 4 twice"),
        ({"seeds": [-1]}, "seed must be a whole number, 0 or more, got -1"),
        ({"seeds": [0, 1], "workers": 0}, "workers must be a whole number, 1 or more, got 0"),
        ({"seeds": [0, 1], "workers": 2}, "a store in memory belongs to one process: name a file"),
        ({"seeds": [0, 1], "workers": 2, "store": "memory://"}, "a store in memory belongs to one process"),
        ({"seeds": [0], "alpha": 0.1}, "seed 0: unknown argument of train 'alpha'"),
    ],
)
def test_a_mistake_is_refused_in_a_line(arguments, message):
    with pytest.raises(UsageError, match=message):
        rlbench.train_many("FrozenLake-v1", **{**LAKE, **arguments})


def test_objects_that_keep_a_state_are_refused():
    with pytest.raises(UsageError, match="train_many takes the id of an env and the name or class of an agent"):
        rlbench.train_many(rlbench.load_run, seeds=[0])


class StopAtFifth(rlbench.Callback):
    """Counts the episodes that it has seen."""

    seen = 0

    def settings(self):
        return {}

    def on_episode_end(self, progress):
        self.seen += 1
        return self.seen < 5


def test_a_callback_knows_nothing_of_the_trainings_before():
    runs = rlbench.train_many("FrozenLake-v1", seeds=range(2), callbacks=[StopAtFifth()], **LAKE)
    assert [run.episodes for run in runs] == [5, 5]


def full(_run):
    raise StoreError("it is full")


def test_an_error_of_what_follows_says_which_seed_it_was():
    with pytest.raises(StoreError, match=r"^seed 1: it is full; 0 of 1 runs are stored$"):
        rlbench.train_many("FrozenLake-v1", seeds=[1], then=full, **LAKE)


def test_an_error_says_which_seed_and_what_is_stored(tmp_path, monkeypatch):
    from rlbench.training import many

    def train(seed, **arguments):
        if seed == 1:
            raise StoreError("it is full")
        return rlbench.train(seed=seed, **arguments)

    monkeypatch.setattr(many, "train", train)
    with pytest.raises(StoreError, match=r"^seed 1: it is full; 1 of 3 runs are stored$"):
        rlbench.train_many("FrozenLake-v1", seeds=range(3), store=tmp_path / "runs.db", **LAKE)
