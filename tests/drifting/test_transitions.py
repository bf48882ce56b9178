"""Transitions against a known table: tests by hand and by scipy, and what a change costs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2

from rlbench.drifting.transitions import chi_square_tail, compare_transitions, multinomial_p
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.exchange.batches import Batch
from rlbench.store.records import TERMINATED, TRUNCATED

# state 0: action 0 reaches the goal (state 1) with 0.75 and stays otherwise, action 1 always with 0.5; each step -1
MODEL = TabularModel.from_table(
    [
        [[(0.75, 1, -1.0, True), (0.25, 0, -1.0, False)], [(0.5, 1, -1.0, True), (0.5, 0, -1.0, False)]],
        [[(1.0, 1, 0.0, True)], [(1.0, 1, 0.0, True)]],
    ],
    [1.0, 0.0],
    step_limit=50,
)
ALWAYS_0 = np.array([0, 0])


def episodes(*steps_of_each, reward=-1.0, action=0, end=TERMINATED):
    """Episodes in which `steps` - 1 steps stay in state 0, and the last reaches the goal if it terminates."""
    lengths = np.array(steps_of_each)
    observations = np.concatenate([np.append(np.zeros(n, int), int(end == TERMINATED)) for n in lengths])
    n = int(lengths.sum())
    steps = {"observations": observations, "actions": np.full(n, action), "rewards": np.full(n, reward)}
    return Batch(np.arange(len(lengths)), lengths, np.full(len(lengths), end, np.uint8), steps, {})


def compared(*batches):
    return compare_transitions(batches, MODEL, ALWAYS_0, alpha=0.05)


def test_steps_as_the_table_has_them_are_no_drift_and_cost_nothing():
    found = compared(episodes(*[1] * 75, *[2] * 25))  # 25 of 125 stay
    assert not found.drifted
    assert found.impossible == ()
    [pair] = found.pairs
    assert (pair.state, pair.action, pair.steps) == (0, 0, 125)
    assert pair.effect == pytest.approx(0.05)
    assert pair.p == pytest.approx(binomtest(25, 125, 0.25).pvalue)
    assert found.lost_return == 0
    assert found.model is MODEL


def test_what_happens_too_often_is_drift_and_costs_what_solving_again_would_bring():
    found = compared(episodes(*[4] * 50))  # 150 of 200 stay, where 50 are due: four steps a passage, action 1 needs two
    [pair] = found.pairs
    assert pair.drifted
    assert pair.effect == pytest.approx(0.5)
    assert found.before.exact_return == pytest.approx(-4 / 3)
    assert found.now.exact_return == pytest.approx(-4, abs=1e-3)  # within the limit of 50 steps
    assert found.now.optimal_return == pytest.approx(-2)
    assert found.lost_return == pytest.approx(2, abs=1e-3)


def test_what_the_table_rules_out_is_named_first_and_counted():
    found = compared(episodes(1, 1, 1), episodes(1, reward=-5.0), episodes(1, 1, end=TRUNCATED, reward=7.0))
    assert [tuple(one) for one in found.impossible] == [
        (0, 0, 7.0, 0, False, 2),
        (0, 0, -5.0, 1, True, 1),
    ]
    assert found.drifted


def test_pairs_that_were_not_visited_keep_their_outcomes():
    found = compared(episodes(*[4] * 50))
    assert found.model.P[0][1] == [(0.5, 0, -1.0, False), (0.5, 1, -1.0, True)]
    assert found.model.P[0][0] == [(0.75, 0, -1.0, False), (0.25, 1, -1.0, True)]


def test_it_does_not_matter_how_episodes_are_batched():
    whole, parts = compared(episodes(1, 2, 3)), compared(episodes(1), episodes(2, 3))
    assert whole.summary() == parts.summary()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("observations", [0, 9], "observations must be from 0 to 1, got 0 to 9: of another env"),
        ("actions", [-1], "actions must be from 0 to 1, got -1 to -1: of another env"),
        ("observations", [[0.5], [1.0]], "observations must be whole numbers, as of the env with the table"),
    ],
)
def test_episodes_of_another_env_are_refused(column, value, said):
    batch = episodes(1)
    batch.steps[column] = np.array(value)
    with pytest.raises(UsageError, match=said):
        compared(batch)


@given(st.floats(0.01, 200), st.integers(1, 40))
def test_the_chi_square_tail_is_that_of_scipy(value, degrees):
    assert chi_square_tail(value, degrees) == pytest.approx(chi2.sf(value, degrees), rel=1e-9)


@given(st.integers(1, 60), st.data())
def test_two_outcomes_are_a_binomial_test(n, data):
    k, p = data.draw(st.integers(0, n)), data.draw(st.floats(0.02, 0.98))
    found = multinomial_p(np.array([k, n - k], float), np.array([p, 1 - p]))
    assert found == pytest.approx(binomtest(k, n, p).pvalue, rel=1e-6)


def test_three_outcomes_by_hand():
    # 3 steps at 1/2, 1/4, 1/4: (0, 0, 3) has 1/64; as likely is (0, 3, 0), and no other is less so
    assert multinomial_p(np.array([0.0, 0.0, 3.0]), np.array([0.5, 0.25, 0.25])) == pytest.approx(2 / 64)


@settings(max_examples=30)
@given(st.integers(0, 2**20))
def test_exact_and_by_chi_square_agree_where_both_hold(seed):
    rng = np.random.default_rng(seed)
    probability = np.array([0.3, 0.7])
    few, many = (rng.multinomial(n, probability).astype(float) for n in (1900, 2100))
    assert multinomial_p(few, probability) == pytest.approx(chi2.sf(_chi(few, probability), 1), abs=0.03)
    assert multinomial_p(many, probability) == pytest.approx(chi2.sf(_chi(many, probability), 1), rel=1e-9)


def _chi(counts, probability):
    expected = counts.sum() * probability
    return ((counts - expected) ** 2 / expected).sum()


def test_rare_outcomes_are_joined_and_false_alarms_stay_rare():
    """300 tests at 5 % of 12 outcomes, some rare: 15 are due; 99.9 % limits of a binomial: 4 to 29."""
    rng, small = np.random.default_rng(0), 0
    probability = np.array([0.3, 0.3, 0.2, 0.1, 0.05, 0.03, 0.01, 0.005, 0.002, 0.001, 0.001, 0.001])
    for _ in range(300):
        small += multinomial_p(rng.multinomial(200, probability).astype(float), probability) <= 0.05
    assert 4 <= small <= 29
