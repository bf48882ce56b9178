"""The uniform buffer: a ring, sampled evenly from its own generator."""

import contracts
import numpy as np
import pytest
from gymnasium import spaces

from rlbench.buffers import BUFFERS, Batch, ReplayBuffer
from rlbench.errors import StoreError, UsageError
from rlbench.store import open_store


@pytest.mark.parametrize("check", contracts.BUFFER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", BUFFERS)
def test_buffer_contract(name, check):
    check(BUFFERS[name])


def test_the_oldest_transition_makes_room():
    buffer = ReplayBuffer(3, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    for i in range(5):
        buffer.add(i, i % 2, float(i), i + 1, False)
    assert len(buffer) == 3
    assert sorted(buffer.rows["observation"]) == [2, 3, 4]


@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_every_transition_is_drawn_equally_often(capacity):
    buffer = ReplayBuffer(capacity, spaces.Discrete(capacity + 1), spaces.Discrete(2), seed=3)
    for i in range(capacity):
        buffer.add(i, 0, 0.0, i, False)
    counts = np.bincount(buffer.sample(1000 * capacity).observations, minlength=capacity)
    # chi-squared with up to 63 degrees of freedom: above 140 about once in 10 million runs
    assert ((counts - 1000) ** 2 / 1000).sum() < 140


def test_box_observations_keep_their_shape_and_dtype():
    box = spaces.Box(-1, 1, (2, 3), np.float32)
    buffer = ReplayBuffer(4, box, spaces.Discrete(2), seed=0)
    observation = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    buffer.add(observation, 1, 0.5, observation + 1, True)
    batch = buffer.sample(5)
    assert batch.observations.shape == (5, 2, 3)
    assert batch.observations.dtype == np.float32
    assert (batch.observations == observation).all()
    assert batch.terminations.all()


def test_an_extension_longer_than_the_ring_keeps_the_newest():
    buffer = ReplayBuffer(3, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    n = np.arange(8)
    buffer.extend(Batch(n, n % 2, n.astype(float), n, n > 9, n > 9))
    one_by_one = ReplayBuffer(3, spaces.Discrete(9), spaces.Discrete(2), seed=0)
    for i in n:
        one_by_one.add(i, i % 2, float(i), i, False)
    assert (buffer.rows == one_by_one.rows).all()
    assert (buffer.cursor == one_by_one.cursor).all()


def test_misuse_is_refused_in_one_line():
    with pytest.raises(UsageError, match="capacity must be at least 1"):
        ReplayBuffer(0, spaces.Discrete(2), spaces.Discrete(2))
    with pytest.raises(UsageError, match="Discrete and Box"):
        ReplayBuffer(1, spaces.Text(3), spaces.Discrete(2))
    buffer = ReplayBuffer(2, spaces.Discrete(2), spaces.Discrete(2))
    with pytest.raises(UsageError, match="empty buffer"):
        buffer.sample(1)
    buffer.add(0, 0, 0.0, 0, False)
    with pytest.raises(UsageError, match="batch_size must be at least 1"):
        buffer.sample(0)
    with pytest.raises(UsageError, match="capacity 2, this one has 3"):
        ReplayBuffer(3, spaces.Discrete(2), spaces.Discrete(2)).load_state_dict(buffer.state_dict())


@pytest.mark.parametrize("count", [0, 3, 7])
def test_a_saved_buffer_comes_back_as_it_was(count, tmp_path):
    box = spaces.Box(-1, 1, (2,), np.float32)
    buffer = ReplayBuffer(5, box, spaces.Discrete(4), seed=8)
    rng = np.random.default_rng(1)
    for i in range(count):
        buffer.add(rng.random(2, np.float32), i % 4, rng.random(), rng.random(2, np.float32), i % 3 == 0, i % 2 == 0)
    with open_store(tmp_path / "buffers.db") as store:
        buffer.save(store, "mine")
        found = ReplayBuffer.load(store, "mine")
    assert (found.rows == buffer.rows).all()
    assert found.rows.dtype == buffer.rows.dtype
    assert found.cursor.tolist() == buffer.cursor.tolist()
    assert found.rng.random() == buffer.rng.random()


def test_an_unknown_buffer_is_answered_with_the_nearest_known_one():
    with open_store("memory://") as store:
        ReplayBuffer(2, spaces.Discrete(1), spaces.Discrete(1)).save(store, "mine")
        with pytest.raises(StoreError, match="mine"):
            ReplayBuffer.load(store, "mind")
