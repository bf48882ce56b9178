"""The prioritized buffer: drawn in proportion to p^alpha, weighted by (N P)^-beta (Schaul et al., 2016)."""

import hypothesis.strategies as st
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from scipy import stats

from rlbench.buffers import PrioritizedReplayBuffer, ReplayBuffer
from rlbench.errors import UsageError
from rlbench.store import open_store

ODDITY = 1e-6  # a correct implementation fails a chi-squared test on one seed in a million; the seeds are fixed


def filled(priorities, *, capacity=None, seed=0, **parameters):
    """A buffer whose row i has p_i; its observations are the rows' numbers."""
    n = len(priorities)
    buffer = PrioritizedReplayBuffer(capacity or n, spaces.Discrete(2000), spaces.Discrete(2), seed=seed, **parameters)
    for i in range(n):
        buffer.add(i, 0, 1.0, i, False)
    buffer.set_priorities(np.arange(n), priorities)
    return buffer


# -- worked numbers


def test_probabilities_are_priorities_to_the_alpha_over_their_sum():
    assert filled([1, 2, 4, 1], alpha=1.0).probabilities().tolist() == [0.125, 0.25, 0.5, 0.125]
    assert np.allclose(filled([1, 4, 9, 16], alpha=0.5).probabilities(), [0.1, 0.2, 0.3, 0.4], atol=1e-15)
    assert filled([1, 4, 9, 16], alpha=0.0).probabilities().tolist() == [0.25] * 4


def test_weights_are_np_to_the_minus_beta_over_the_greatest():
    # P = 1/10, 2/10, 3/10, 4/10 and N = 4: (N P)^-1 = 10/4, 10/8, 10/12, 10/16, over the greatest 1, 1/2, 1/3, 1/4
    batch = filled([1, 2, 3, 4], alpha=1.0, beta=1.0).sample(40)
    assert set(batch.indices.tolist()) == {0, 1, 2, 3}
    assert np.allclose(batch.weights, 1 / (1 + batch.indices), atol=1e-15)
    batch = filled([1, 4, 9, 16], alpha=1.0, beta=0.5).sample(60)
    assert set(batch.indices.tolist()) == {0, 1, 2, 3}
    assert np.allclose(batch.weights, 1 / (1 + batch.indices), atol=1e-15)
    assert (filled([1, 4, 9, 16], beta=0.0).sample(20).weights == 1.0).all()


def test_a_batch_has_one_transition_of_each_equal_share():
    # the sum is 8, so 4 shares of 2 each: [0, 1) and [1, 2); [2, 4); [4, 8) is all of row 2
    buffer = filled([1, 3, 4], alpha=1.0)
    for _ in range(50):
        assert buffer.sample(4).indices.tolist() in ([0, 1, 2, 2], [1, 1, 2, 2])


def test_a_new_transition_has_the_greatest_priority_so_far():
    buffer = PrioritizedReplayBuffer(5, spaces.Discrete(9), spaces.Discrete(2), alpha=1.0, epsilon=0.5, seed=0)
    buffer.add(0, 0, 0.0, 1, False)
    assert buffer.max_priority == 1.0
    buffer.add(1, 0, 0.0, 2, False)
    buffer.update_priorities([0, 1], [-2.5, 0.0])  # p = 3, 0.5
    buffer.add(2, 0, 0.0, 3, False)
    assert np.allclose(buffer.probabilities() * 6.5, [3, 0.5, 3])
    buffer.update_priorities([0], [0.5])  # the largest so far is still 3
    buffer.extend([np.full(3, 7), np.zeros(3, int), np.zeros(3), np.full(3, 7), np.zeros(3, bool), np.zeros(3, bool)])
    assert np.allclose(buffer.probabilities() * 13, [3, 0.5, 3, 3, 3] / np.float64(12.5) * 13)
    assert buffer.rows["observation"].tolist() == [7, 1, 2, 7, 7]


def test_a_priority_is_the_size_of_the_error_plus_epsilon():
    buffer = filled([1, 1, 1], alpha=1.0, epsilon=0.25)
    buffer.update_priorities([2, 0], [-1.75, 0.75])
    assert np.allclose(buffer.probabilities(), [0.25, 0.25, 0.5])
    assert buffer.max_priority == 2.0


def test_of_an_index_that_occurs_twice_the_last_error_counts():
    buffer = filled([1, 1, 1, 1, 1], alpha=1.0, epsilon=1e-6)
    buffer.set_priorities([3, 1, 3, 3], [5.0, 2.0, 9.0, 4.0])
    assert np.allclose(buffer.probabilities(), np.array([1, 2, 1, 4, 1]) / 9)
    assert buffer.max_priority == 9.0  # it was seen


def test_beta_goes_from_its_first_to_its_last_value_by_additions():
    buffer = PrioritizedReplayBuffer(
        3, spaces.Discrete(9), spaces.Discrete(2), beta=0.4, beta_final=1.0, beta_steps=10, seed=0
    )
    found = []
    for i in range(13):
        found.append(buffer.beta)
        buffer.add(i % 9, 0, 0.0, 0, False)
    assert np.allclose(found, [0.4, 0.46, 0.52, 0.58, 0.64, 0.7, 0.76, 0.82, 0.88, 0.94, 1, 1, 1])
    assert filled([1, 2]).beta == 0.4  # constant without beta_steps


def test_stats_tell_the_distribution_of_priorities_and_the_age_of_what_is_drawn():
    for alpha in (1.0, 0.5):
        stats_ = filled([1, 2, 3, 4, 6], alpha=alpha).stats()
        assert np.allclose(stats_.priorities, [1, 2, 3, 4, 6])
    assert filled([1, 1, 2], alpha=1.0).stats().expected_age == (2 * 1 + 1 * 1 + 0 * 2) / 4
    assert filled([1, 9], alpha=0.0).stats().priorities.tolist() == [1.0] * 5


def test_a_balanced_sample_has_indices_and_no_weight():
    batch = filled([1, 5, 9]).sample(30, balanced=True)
    assert (batch.observations == batch.indices).all()
    assert (batch.weights == 1.0).all()


def test_returns_of_n_steps_come_with_the_index_they_begin_at():
    buffer = filled([1, 2, 3], alpha=1.0, n_step=2, gamma=0.5)
    batch = buffer.sample(30)
    assert (batch.observations == batch.indices).all()
    assert (batch.rewards == np.array([1.5, 1.5, 1.0])[batch.indices]).all()
    assert (batch.next_observations == np.array([1, 2, 2])[batch.indices]).all()


# -- frequencies


@pytest.mark.parametrize("n", [2, 3, 5, 7, 8, 13, 100])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_transitions_are_drawn_in_proportion_to_their_priorities(n, alpha):
    priorities = np.random.default_rng(n).exponential(size=n) + 0.1
    buffer = filled(priorities, alpha=alpha, seed=n)
    counts = np.bincount([buffer.sample(1).indices[0] for _ in range(5000)], minlength=n)
    expected = priorities**alpha / (priorities**alpha).sum()
    assert stats.chisquare(counts, 5000 * expected).pvalue > ODDITY


@pytest.mark.parametrize("capacity", [5, 8, 13])
def test_frequencies_are_right_while_the_buffer_fills_and_when_it_has_wrapped(capacity):
    for added in (3, capacity, capacity + 2):
        buffer = PrioritizedReplayBuffer(capacity, spaces.Discrete(99), spaces.Discrete(2), alpha=1.0, seed=added)
        for i in range(added):
            buffer.add(i, 0, 0.0, i, False)
            buffer.update_priorities([i % capacity], [1.0 + i])
        counts = np.bincount([buffer.sample(1).observations[0] for _ in range(4000)], minlength=added)
        held = np.arange(max(0, added - capacity), added)
        assert counts[: held[0]].sum() == 0
        assert stats.chisquare(counts[held], 4000 * (1.0 + held) / (1.0 + held).sum()).pvalue > ODDITY


@given(
    priorities=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40),
    batch_size=st.integers(1, 300),
    alpha=st.floats(0, 1),
)
def test_in_a_batch_every_count_is_within_two_of_what_is_expected(priorities, batch_size, alpha):
    buffer = filled(priorities, alpha=alpha)
    counts = np.bincount(buffer.sample(batch_size).indices, minlength=len(priorities))
    assert (np.abs(counts - batch_size * buffer.probabilities()) < 2 + 1e-9).all()


def test_weights_make_a_mean_over_prioritized_batches_the_mean_over_all():
    values, priorities = np.arange(1.0, 8.0), np.arange(1.0, 8.0)
    buffer = filled(priorities, alpha=0.7, beta=1.0)
    batch = buffer.sample(200_000)
    weighted = (batch.weights * values[batch.indices]).sum() / batch.weights.sum()
    assert abs(weighted - values.mean()) < 0.01
    assert abs(values[batch.indices].mean() - values.mean()) > 0.5  # without them it is not


# -- bad input


@pytest.mark.parametrize(
    ("indices", "errors", "message"),
    [
        ([3], [1.0], "indices must be from 0 to 2, got 3"),
        ([-1], [1.0], "indices must be from 0 to 2, got -1"),
        ([0, 7, 9], [1.0, 1.0, 1.0], "got 7"),
        ([2**63], [1.0], "indices must be from 0 to 2"),
        ([0], [np.nan], "TD errors must be finite numbers.*got nan"),
        ([0, 1], [1.0, -np.inf], "TD errors must be finite numbers.*got -inf"),
        ([0], ["much"], "TD errors must be numbers"),
        ([0], [None], "TD errors must be numbers"),
        ([0.0], [1.0], "indices must be whole numbers, got float64"),
        ([True], [1.0], "indices must be whole numbers, got bool"),
        ([0, 1], [1.0], r"as many indices as numbers, \(n,\) each, got \(2,\) and \(1,\)"),
        ([[0]], [[1.0]], r"got \(1, 1\)"),
        (0, 1.0, r"got \(\) and \(\)"),
    ],
)
def test_a_wrong_update_changes_nothing_and_says_what_is_wrong(indices, errors, message):
    buffer = filled([1, 2, 3], capacity=5)
    before, greatest = buffer.tree.copy(), buffer.max_priority
    with pytest.raises(UsageError, match=message):
        buffer.update_priorities(np.array(indices), errors)
    assert (buffer.tree == before).all()
    assert buffer.max_priority == greatest


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf, 1e301])
def test_priorities_that_are_not_above_zero_and_finite_are_refused(wrong):
    buffer = filled([1, 2, 3])
    before = buffer.probabilities()
    with pytest.raises(UsageError, match="priorities must be finite numbers above 0"):
        buffer.set_priorities([0, 1], [1.0, wrong])
    assert (buffer.probabilities() == before).all()


def test_an_update_of_nothing_is_one():
    buffer = filled([1, 2, 3])
    before = buffer.probabilities()
    buffer.update_priorities([], [])
    assert (buffer.probabilities() == before).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -0.1}, r"alpha must be in \[0, 1\], got -0.1"),
        ({"alpha": 1.5}, "alpha must be"),
        ({"alpha": np.nan}, "alpha must be"),
        ({"alpha": None}, "alpha must be"),
        ({"beta": 1.1}, "beta must be"),
        ({"beta_final": -1}, "beta_final must be"),
        ({"beta_steps": 0}, "beta_steps must be at least 1"),
        ({"beta_steps": 0.5}, "beta_steps must be a whole number"),
        ({"epsilon": 0.0}, "epsilon must be above 0"),
        ({"epsilon": -1.0}, "epsilon must be"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(UsageError, match=message):
        PrioritizedReplayBuffer(3, spaces.Discrete(2), spaces.Discrete(2), **parameters)


def test_extreme_priorities_are_drawn_without_fault():
    buffer = filled([1e300, 1e-300, 1e300, 5e-324, 1.0], alpha=1.0, beta=1.0)
    batch = buffer.sample(100)
    assert set(batch.indices.tolist()) == {0, 2}
    assert np.isfinite(batch.weights).all()
    buffer.set_priorities([0, 2], [5e-324, 5e-324])
    assert set(buffer.sample(100).indices.tolist()) == {4}


# -- state


def test_a_state_goes_on_bit_for_bit_wherever_it_was_taken():
    dice = np.random.default_rng(4)
    first = PrioritizedReplayBuffer(13, spaces.Discrete(99), spaces.Discrete(2), beta_steps=50, seed=2)
    for i in range(40):
        first.add(i, 0, float(i), i, False)
        if i % 3 == 2:
            batch = first.sample(4)
            first.update_priorities(batch.indices, dice.normal(size=4))
    second = PrioritizedReplayBuffer(13, spaces.Discrete(99), spaces.Discrete(2), beta_steps=50, seed=77)
    second.load_state_dict(first.state_dict())
    for i in range(30):
        batches = [buffer.sample(5) for buffer in (first, second)]
        assert all(np.array_equal(a, b) for a, b in zip(*batches, strict=True))
        errors = dice.normal(size=5)
        for buffer in (first, second):
            buffer.update_priorities(batches[0].indices, errors)
            buffer.add(i, 1, 0.0, i, i % 4 == 0)
    assert (first.tree == second.tree).all()
    assert (first.beta, first.max_priority) == (second.beta, second.max_priority)


def test_taking_a_state_changes_nothing():
    watched, alone = (filled([1, 2, 3, 4, 5], capacity=7) for _ in range(2))
    for i in range(9):
        watched.state_dict()
        watched.stats()
        for buffer in (watched, alone):
            buffer.add(i, 0, 0.0, i, False)
            buffer.update_priorities([i % 5], [i / 3])
    assert (watched.sample(20).indices == alone.sample(20).indices).all()
    assert watched.state_dict()["rng"] == alone.state_dict()["rng"]


def test_settings_come_back_from_a_store():
    settings = {
        "alpha": 0.7,
        "beta": 0.1,
        "beta_final": 0.8,
        "beta_steps": 9,
        "epsilon": 0.25,
        "n_step": 2,
        "gamma": 0.5,
    }
    buffer = filled([1, 2, 3], capacity=4, **settings)
    with open_store("memory://") as store:
        buffer.save(store, "mine")
        found = PrioritizedReplayBuffer.load(store, "mine")
        with pytest.raises(UsageError, match="'mine' is prioritized, not uniform"):
            ReplayBuffer.load(store, "mine")
    assert {name: found.state_dict()[name] for name in settings} == settings
    assert (found.tree == buffer.tree).all()


@pytest.mark.parametrize("shares", [None, np.ones(2), np.array([1.0, 0.0, 1.0]), np.array([1.0, np.nan, 1.0])])
def test_a_state_without_priorities_above_zero_is_refused(shares):
    buffer = filled([1, 2, 3])
    state = {**buffer.state_dict(), "shares": shares}
    before = buffer.state_dict()
    with pytest.raises(UsageError, match="shares must be"):
        buffer.load_state_dict(state)
    assert all(np.array_equal(before[name], value) for name, value in buffer.state_dict().items())


@pytest.mark.parametrize("wrong", [{"max_priority": 0.0}, {"max_priority": np.nan}, {"added": 2}])
def test_a_state_that_cannot_be_is_refused(wrong):
    buffer = filled([1, 2, 3])
    with pytest.raises(UsageError, match="damaged"):
        buffer.load_state_dict({**buffer.state_dict(), **wrong})


def test_the_tree_counts_as_memory():
    discrete = spaces.Discrete(2), spaces.Discrete(2)
    # 100 rows of 64 bytes; 2 * 128 nodes of 8
    assert PrioritizedReplayBuffer.bytes_needed(100, *discrete) == 6400 + 2048
    assert PrioritizedReplayBuffer(100, *discrete).nbytes == 8448
