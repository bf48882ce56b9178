"""Stores that the version before the newest formats made: all that is in them is read, verified and gone on from."""

import earlier
import numpy as np
import pytest
from earlier import MADE_BY

import rlbench
from rlbench.replaying import migrate
from rlbench.store import checking, open_store


@pytest.fixture(params=earlier.KINDS)
def store(request, tmp_path):
    """A store that the earlier version made, opened by this one."""
    with open_store(earlier.given(request.param, tmp_path)) as store:
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


@pytest.mark.parametrize("is_migrated", [False, True])
def test_a_run_of_an_earlier_store_is_resumed_and_continued_as_if_it_had_never_stopped(store, is_migrated):
    if is_migrated:
        migrate(store)
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
