"""What q-learning held while it played an episode: its updates, repeated, lead where training itself stood."""

import numpy as np
import pytest

import rlbench
from rlbench.errors import UsageError
from rlbench.plots.retracing import values_then
from rlbench.training import recorder


def trained(episodes, agent="q-learning", **more):
    return rlbench.train("safecab", agent, seed=3, episodes=episodes, **more)


@pytest.mark.parametrize("chunk_steps", [recorder.CHUNK_STEPS, 64])
def test_the_values_by_then_are_those_of_a_run_that_ended_there(chunk_steps, monkeypatch):
    monkeypatch.setattr(recorder, "CHUNK_STEPS", chunk_steps)  # 64: episodes are split between chunks
    monkeypatch.setattr(recorder, "RESERVE", 8)
    run = trained(40)
    index = 1 + int(np.argmax(run.lengths[1:39]))
    found, episode = values_then(run, index), run.store.episodes(run)[index]
    before, after = (trained(count).agent.q_table for count in (index, index + 1))
    assert np.array_equal(found.table, before)
    assert found.values.shape == (len(episode) + 1, 6)
    assert np.array_equal(found.values[0], before[episode.observations[0]])
    assert np.array_equal(found.values[-1], after[episode.observations[-1]])


def test_only_q_learning_from_its_beginning_tells_them():
    with pytest.raises(UsageError, match="only q-learning"):
        values_then(trained(2, "sarsa"), 0)
    parent = trained(5)
    child = rlbench.train("safecab", seed=4, episodes=5, parent=parent)
    with pytest.raises(UsageError, match="did not start from an untrained agent"):
        values_then(child, 2)
