"""Runs and episodes as pandas data frames."""

import sys

import numpy as np
import pytest

import rlbench
from rlbench.errors import UsageError
from rlbench.store.frames import episodes_dataframe


def test_a_run_is_a_row_an_episode(store):
    run = rlbench.train("FrozenLake-v1", episodes=25, seed=0, store=store)
    frame = run.to_dataframe()
    assert list(frame)[:5] == ["episode", "return", "length", "exploration_rate", "explored"]
    assert frame["episode"].tolist() == list(range(25))
    assert frame["return"].tolist() == run.returns.tolist()
    assert frame["length"].dtype == run.lengths.dtype
    counts = frame[[f"action_counts.{i}" for i in range(4)]].to_numpy()
    assert np.array_equal(counts, run.figures["action_counts"])


def test_episodes_are_a_row_a_step(store, samples):
    run = samples.ALL["cartpole"](store)
    frame = episodes_dataframe(store.episodes(run.id, slice(2, 5)))
    episodes = list(store.episodes(run.id))[2:5]
    assert list(frame) == [
        *("episode", "step"),
        *(f"observation.{i}" for i in range(4)),
        *("action", "reward", "terminated", "truncated"),
    ]
    assert len(frame) == sum(map(len, episodes))
    assert frame.groupby("episode")["reward"].sum().to_dict() == {e.index: e.total_return for e in episodes}
    rows = frame[frame["episode"] == 3]
    assert rows["step"].tolist() == list(range(len(episodes[1])))
    assert np.array_equal(rows.filter(like="observation").to_numpy(), episodes[1].observations[:-1])
    assert rows["observation.0"].dtype == np.float32
    assert rows["terminated"].tolist() == [False] * (len(rows) - 1) + [True]


def test_parts_of_observations_have_their_own_columns(store, samples):
    frame = episodes_dataframe(store.episodes(samples.ALL["composite"](store).id))
    assert {"observation/position.1", "observation/deep/colour.5", "observation/big", "action.0"} <= set(frame)
    assert frame["observation/big"].tolist() == [-(2**63), 2**63 - 1, 0, 2**53 + 1]


def test_whether_an_action_was_drawn_is_told_where_it_is_known(store, samples):
    frame = episodes_dataframe(store.episodes(samples.ALL["discrete"](store).id))
    assert frame["explored"].dtype == np.bool_


def test_no_episodes_are_an_empty_frame(store, samples):
    frame = episodes_dataframe(store.episodes(samples.ALL["empty"](store).id))
    assert len(frame) == 0
    assert {"episode", "reward"} <= set(frame)
    assert len(samples.ALL["empty"](store).to_dataframe()) == 0


def test_without_pandas_the_extra_is_named(store, samples, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r'a data frame needs pandas, .*pip install "rlbench\[plots\]"'):
        samples.ALL["empty"](store).to_dataframe()
