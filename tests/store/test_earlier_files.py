"""Stores that the version before the newest formats made: all that is in them is read, verified and gone on from."""

import gzip
import shutil
from pathlib import Path

import mongomock
import numpy as np
import pytest
from bson import json_util

import rlbench
from rlbench.store import checking, open_store

# the same runs in both: two budgets of SafeCab that share a chunk, FrozenLake, CartPole in bins, CliffWalking of which
# figures alone were kept, and Taxi, interrupted; the file has schema version 2, the collections layout version 3
DATA = Path(__file__).parents[1] / "data"
FILE, COLLECTIONS = DATA / "store_v2.sqlite", DATA / "store_v3_mongodb.jsonl.gz"
MADE_BY = {  # env: arguments that made its runs
    "rlbench/SafeCab-v0": {"env": "safecab", "seed": 0},
    "FrozenLake-v1": {"env": "FrozenLake-v1", "seed": 1},
    "rlbench/DiscreteCartPole-v1": {"env": "cartpole", "seed": 2},
    "CliffWalking-v1": {"env": "CliffWalking-v1", "seed": 4, "record": "none"},
    "Taxi-v4": {"env": "Taxi-v4", "agent": "random", "seed": 5},
}


def restored(lines):
    """Returns a client of collections that hold the documents of these lines, of MongoDB's extended JSON."""
    client = mongomock.MongoClient()
    for line in lines:
        entry = json_util.loads(line)
        client.rlbench[entry["collection"]].insert_one(entry["document"])
    return client


@pytest.fixture(params=["SQLite", "MongoDB"])
def store(request, tmp_path):
    """A store that the earlier version made, opened by this one."""
    if request.param == "SQLite":
        given = shutil.copy(FILE, tmp_path / "x.db")
    else:
        with gzip.open(COLLECTIONS, "rt") as lines:
            given = restored(lines)
    with open_store(given) as store:
        yield store


def test_every_figure_and_step_of_an_earlier_store_is_what_training_makes_today(store):
    assert list(checking.check(store)) == []
    assert sorted((run.env_id, run.episodes) for run in store.runs()) == [
        ("CliffWalking-v1", 20),
        ("FrozenLake-v1", 200),
        ("Taxi-v4", 16),
        ("rlbench/DiscreteCartPole-v1", 8),
        ("rlbench/SafeCab-v0", 40),
        ("rlbench/SafeCab-v0", 60),
    ]
    for record in store.runs():
        again = rlbench.train(**MADE_BY[record.env_id], episodes=record.episodes)
        then, now = store.figures(record.id), again.store.figures(again.id)
        assert then.keys() == now.keys()
        for name, column in then.items():
            np.testing.assert_array_equal(column, now[name])
            assert column.dtype == now[name].dtype
        if record.config.keeps_steps:
            run = rlbench.load_run(store, record.id)
            for old, new in zip(store.episodes(record.id), again.store.episodes(again.id), strict=True):
                np.testing.assert_array_equal(old.observations, new.observations)
                np.testing.assert_array_equal(old.actions, new.actions)
                np.testing.assert_array_equal(old.rewards, new.rewards)
                np.testing.assert_array_equal(old.explored, new.explored)
                assert (old.terminated, old.truncated) == (new.terminated, new.truncated)
            assert rlbench.verify(run).mismatched == 0


def test_a_run_of_an_earlier_store_is_resumed_and_continued_as_if_it_had_never_stopped(store):
    [broken] = store.runs(status="interrupted")
    resumed = rlbench.resume(rlbench.load_run(store, broken.id), episodes=20)
    assert np.array_equal(resumed.returns, rlbench.train(**MADE_BY["Taxi-v4"], episodes=20).returns)
    longer = rlbench.train(**MADE_BY["rlbench/SafeCab-v0"], episodes=90, store=store)
    cold = rlbench.train(**MADE_BY["rlbench/SafeCab-v0"], episodes=90)
    assert longer.cache == "prefix"
    assert np.array_equal(longer.agent.q_table, cold.agent.q_table)
    assert np.array_equal(longer.returns, cold.returns)
    assert rlbench.verify(longer).mismatched == 0
    assert list(checking.check(store)) == []
