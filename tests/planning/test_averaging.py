"""Average rewards, against equations solved and policies tried here."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning.models import random_model

import rlbench
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.planning import average_reward

SEEDS = st.integers(0, 10_000)


def mixing(seed):
    """Each action may lead everywhere, so that every policy has one long run."""
    rng = np.random.default_rng(seed)
    table = [
        [[(p, s, rng.uniform(-5, 5), False) for s, p in enumerate(rng.dirichlet(np.ones(4)))] for _ in range(2)]
        for _ in range(4)
    ]
    return TabularModel.from_table(table, np.full(4, 0.25))


def chain_of(model, shares):
    """The steps (4, 4) and rewards (4,) of a policy."""
    step, reward = np.zeros((4, 4)), np.zeros(4)
    for s in range(4):
        for a, outcomes in model.P[s].items():
            for p, successor, r, _ in outcomes:
                step[s, successor] += shares[s, a] * p
                reward[s] += shares[s, a] * p * r
    return step, reward


def gain_of(step, reward):
    return np.linalg.matrix_power(step, 2**20)[0] @ reward


@given(SEEDS)
@settings(max_examples=25)
def test_the_gain_and_the_bias_of_a_policy_are_those_of_its_long_run(seed):
    model = mixing(seed)
    shares = np.random.default_rng(seed).dirichlet(np.ones(2), size=4)
    found = average_reward(model, shares)
    step, reward = chain_of(model, shares)
    assert found.gain == pytest.approx(gain_of(step, reward), abs=1e-8)
    bias, ahead = np.zeros(4), reward - found.gain
    for _ in range(300):  # what is expected above the gain, added up
        bias, ahead = bias + ahead, step @ ahead
    np.testing.assert_allclose(found.bias, bias, atol=1e-8)


@given(SEEDS)
@settings(max_examples=25)
def test_the_best_gain_is_that_of_the_best_policy(seed):
    model = mixing(seed)
    found = average_reward(model)
    gains = [gain_of(*chain_of(model, np.eye(2)[list(policy)])) for policy in product(range(2), repeat=4)]
    assert found.gain == pytest.approx(max(gains), abs=1e-8)
    assert 0 <= found.error_bound < 1e-8
    np.testing.assert_allclose(found.q_values.max(axis=1), found.bias, atol=1e-8)  # the optimality equation
    assert average_reward(model, found.policy).gain == pytest.approx(found.gain, abs=1e-8)


def test_a_loop_that_is_a_clock_has_a_gain_too():
    """Round and round through three states for 3, or to and fro between two for 1.2 a step."""
    table = [
        [[(1.0, 1, 0.0, False)], [(1.0, 1, 2.4, False)]],
        [[(1.0, 2, 0.0, False)], [(1.0, 0, 0.0, False)]],
        [[(1.0, 0, 3.0, False)]] * 2,
    ]
    found = average_reward(TabularModel.from_table(table, [1.0, 0, 0]))
    assert found.gain == pytest.approx(1.8)  # 2.4 + 0 + 3 in three steps
    assert found.policy[:2].tolist() == [1, 0]


def test_what_has_no_one_average_is_refused():
    with pytest.raises(UsageError, match="episodes of this env end"):
        average_reward("FrozenLake-v1")
    apart = TabularModel.from_table([[[(1.0, 0, 1.0, False)]], [[(1.0, 1, 2.0, False)]]], [0.5, 0.5])
    with pytest.raises(UsageError, match="depends on where the env starts"):
        average_reward(apart, 0)


def test_several_long_runs_that_are_equally_good_have_one_gain():
    even = TabularModel.from_table([[[(1.0, 0, 2.0, False)]], [[(1.0, 1, 2.0, False)]]], [0.5, 0.5])
    assert average_reward(even).gain == pytest.approx(2.0)


def test_the_average_reward_of_an_epsilon_greedy_policy_lies_below_the_best():
    model = random_model(2, ends=False)
    assert (
        average_reward(model, "uniform").gain
        < average_reward(model, "epsilon-greedy").gain
        < average_reward(model).gain
    )


def test_the_discounted_values_near_gamma_1_are_the_gain_over_one_minus_gamma():
    model = mixing(1)
    gain = average_reward(model, "uniform").gain
    assert rlbench.policy_evaluation(model, "uniform", 0.9999).expected_return * 0.0001 == pytest.approx(gain, abs=1e-3)
