"""Dynamic programming, against linear solves written out here and the numbers in chapters 3 and 4 of the book."""

from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning.models import GRID_4_1, PRIZES_3_5, random_model

import rlbench
from rlbench.errors import UnknownNameError, UsageError
from rlbench.planning import policy_rounds, value_sweeps

SEEDS = st.integers(0, 10_000)


def transitions(model):
    """Returns the table as dense arrays: (n_actions, n_states, n_states) and rewards (n_states, n_actions)."""
    step, reward = (
        np.zeros((model.n_actions, model.n_states, model.n_states)),
        np.zeros((model.n_states, model.n_actions)),
    )
    for s in range(model.n_states):
        for a, outcomes in model.P[s].items():
            for p, successor, r, terminated in outcomes:
                reward[s, a] += p * r
                step[a, s, successor] += p * (not terminated)
    return step, reward


def solved(model, shares, gamma):
    """v = (I - gamma P)^-1 r of a policy (n_states, n_actions)."""
    step, reward = transitions(model)
    mixed = np.einsum("sa,ast->st", shares, step)
    return np.linalg.solve(np.eye(model.n_states) - gamma * mixed, (shares * reward).sum(axis=1))


# ------------------------------------------------------------------------------------------------ given policies


@given(SEEDS, st.sampled_from([0.0, 0.5, 0.9, 0.99]))
@settings(max_examples=30)
def test_a_policys_values_solve_its_linear_equations(seed, gamma):
    model, rng = random_model(seed), np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(model.n_actions), size=model.n_states) * rng.integers(2, size=(model.n_states, 1))
    shares[shares.sum(axis=1) == 0, 0] = 1.0  # some states are certain of what to do
    found = rlbench.policy_evaluation(model, shares, gamma)
    expected = solved(model, shares, gamma)
    np.testing.assert_allclose(found.values, expected, atol=1e-8)
    step, reward = transitions(model)
    np.testing.assert_allclose(found.q_values, reward + gamma * np.einsum("ast,t->sa", step, expected), atol=1e-8)
    assert found.expected_return == pytest.approx(model.initial @ expected, abs=1e-8)
    better = rlbench.policy_evaluation(model, found.policy, gamma)
    assert (better.values >= found.values - 1e-8).all()  # the policy improvement theorem


@given(SEEDS)
@settings(max_examples=30)
def test_within_a_step_limit_a_policys_values_are_those_of_so_many_steps(seed):
    model = random_model(seed, limit=7)
    shares = np.random.default_rng(seed).dirichlet(np.ones(model.n_actions), size=model.n_states)
    step, reward = transitions(model)
    values = np.zeros(model.n_states)
    for _ in range(7):
        before, values = values, (shares * (reward + np.einsum("ast,t->sa", step, values))).sum(axis=1)
    found = rlbench.policy_evaluation(model, shares)
    assert found.horizon == 7
    np.testing.assert_allclose(found.values, values, atol=1e-10)
    np.testing.assert_allclose(found.q_values, reward + np.einsum("ast,t->sa", step, before), atol=1e-10)


def test_a_policy_may_be_given_in_many_ways():
    model = random_model(3)
    actions = np.array([1] * model.n_states)
    certain = np.eye(model.n_actions)[actions]
    ways = [rlbench.policy_evaluation(model, policy, 0.9).values for policy in (actions, 1, certain, actions.tolist())]
    for values in ways[1:]:
        np.testing.assert_allclose(values, ways[0], atol=1e-12)
    even = np.full((model.n_states, model.n_actions), 1 / model.n_actions)
    expected = rlbench.policy_evaluation(model, even, 0.9).values
    np.testing.assert_allclose(rlbench.policy_evaluation(model, "uniform", 0.9).values, expected, atol=1e-12)
    soft = rlbench.policy_evaluation(model, actions, 0.9, epsilon=0.3).values
    np.testing.assert_allclose(soft, solved(model, 0.7 * certain + 0.3 * even, 0.9), atol=1e-10)


def test_without_a_run_the_greedy_policy_is_the_optimal_one():
    model = random_model(4)
    best = rlbench.plan(model, 0.9)
    np.testing.assert_allclose(rlbench.policy_evaluation(model, "greedy", 0.9).values, best.values, atol=1e-8)
    soft = rlbench.policy_evaluation(model, "epsilon-greedy", 0.9).values
    np.testing.assert_array_equal(soft, rlbench.policy_evaluation(model, best.policy, 0.9, epsilon=0.1).values)


def test_a_runs_policy_is_its_greedy_one_and_epsilon_greedy_how_it_explores():
    run = rlbench.train("FrozenLake-v1", episodes=200, seed=0, store="memory://")
    greedy = rlbench.policy_evaluation("FrozenLake-v1", run)
    assert greedy.values.tolist() == rlbench.policy_evaluation(run, "greedy").values.tolist()
    assert greedy.expected_return == pytest.approx(rlbench.evaluate(run, episodes=1).exact_return)
    behaving = rlbench.policy_evaluation(run, "epsilon-greedy")
    again = rlbench.policy_evaluation("FrozenLake-v1", run.agent, epsilon=run.agent.exploration_rate)
    np.testing.assert_allclose(behaving.values, again.values, atol=1e-12)


def test_actions_outside_an_envs_sets_are_never_drawn():
    model = random_model(5, some_barred=True)
    found = rlbench.policy_evaluation(model, "uniform", 0.9)
    np.testing.assert_allclose(
        found.values, solved(model, model.allowed / model.allowed.sum(axis=1, keepdims=True), 0.9), atol=1e-10
    )
    assert (found.q_values[~model.allowed] == -np.inf).all()
    best = rlbench.plan(model, 0.9).values
    for solution in (rlbench.policy_iteration(model, 0.9), rlbench.policy_iteration(model, 0.9, sweeps=2)):
        assert model.allowed[np.arange(model.n_states), solution.policy].all()
        np.testing.assert_allclose(solution.values, best, atol=1e-8)
    for in_place in (False, True):
        last = next(islice(value_sweeps(model, gamma=0.9, in_place=in_place), 300, None))
        np.testing.assert_allclose(last, best, atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": "unifrom"}, "unknown policy 'unifrom'; did you mean uniform"),
        ({"policy": 9}, r"policy must take actions in \[0, 3\), got 9"),
        ({"policy": 0.5}, "whole action numbers, or .* probabilities, got float64"),
        ({"policy": np.ones((2, 2))}, r"must be \(6, 3\), got float64 of shape \(2, 2\)"),
        ({"policy": np.full((6, 3), 0.5)}, "sum to 1, got 0.5 0.5 0.5 in state 0"),
        ({"policy": np.full((6, 3), np.nan)}, "sum to 1, got nan"),
        ({"policy": 0, "epsilon": 1.5}, r"epsilon must be in \[0, 1\], got 1.5"),
        ({"policy": 0, "gamma": -1}, "gamma must be in"),
    ],
)
def test_a_policy_that_is_none_is_refused_in_one_line(arguments, message):
    with pytest.raises((UsageError, UnknownNameError), match=message):
        rlbench.policy_evaluation(random_model(0), **arguments)


# ------------------------------------------------------------------------------------------------ policy iteration


@given(SEEDS, st.sampled_from([0.5, 0.9]), st.sampled_from([None, 1, 3, 20]))
@settings(max_examples=30)
def test_policy_iteration_modified_or_not_finds_the_optimum(seed, gamma, sweeps):
    model = random_model(seed)
    found = rlbench.policy_iteration(model, gamma, sweeps=sweeps)
    step, reward = transitions(model)
    q_values = reward + gamma * np.einsum("ast,t->sa", step, found.values)
    np.testing.assert_allclose(
        q_values.max(axis=1), found.values, atol=1e-8
    )  # Bellman's equation, which has one solution
    np.testing.assert_allclose(found.values, rlbench.plan(model, gamma).values, atol=1e-8)
    assert found.optimal_return == found.expected_return


@pytest.mark.parametrize("sweeps", [None, 4])
def test_without_a_discount_policy_iteration_plans_without_the_step_limit(sweeps):
    found = rlbench.policy_iteration("FrozenLake-v1", sweeps=sweeps)
    assert found.horizon is None
    assert found.values[0] == pytest.approx(14 / 17)


def test_each_round_of_policy_iteration_is_better_until_none_is():
    model = random_model(8)
    rounds = list(policy_rounds(model, 0.9, policy=1))
    assert rounds[0].policy.tolist() == [1] * model.n_states
    np.testing.assert_allclose(rounds[0].values, rlbench.policy_evaluation(model, 1, 0.9).values, atol=1e-12)
    for earlier, later in pairwise(rounds):
        assert (later.values >= earlier.values - 1e-10).all()
    np.testing.assert_allclose(rounds[-1].values, rlbench.plan(model, 0.9).values, atol=1e-8)


# ------------------------------------------------------------------------------------------------ sweeps


@given(SEEDS, st.booleans())
@settings(max_examples=30)
def test_each_sweep_is_the_equation_as_it_stands(seed, optimal):
    model = random_model(seed)
    step, reward = transitions(model)
    shares = np.random.default_rng(seed).dirichlet(np.ones(model.n_actions), size=model.n_states)

    def value_of(s, q):
        return q.max() if optimal else shares[s] @ q

    at_once, one_by_one = np.zeros(model.n_states), np.zeros(model.n_states)
    sweeps = [value_sweeps(model, None if optimal else shares, 0.9, in_place=in_place) for in_place in (False, True)]
    for found, found_in_place in zip(*(islice(sweep, 4) for sweep in sweeps), strict=True):
        np.testing.assert_allclose(found, at_once, atol=1e-12)
        np.testing.assert_allclose(found_in_place, one_by_one, atol=1e-12)
        q_values = reward + 0.9 * np.einsum("ast,t->sa", step, at_once)
        at_once = np.array([value_of(s, q_values[s]) for s in range(model.n_states)])
        for s in range(model.n_states):
            one_by_one[s] = value_of(s, reward[s] + 0.9 * step[:, s] @ one_by_one)


# ------------------------------------------------------------------------------------------------ the book


def test_figure_4_1_the_random_policy_of_the_small_gridworld():
    sweeps = list(islice(value_sweeps(GRID_4_1, "uniform"), 11))
    assert sweeps[1][1:5].tolist() == [-1, -1, -1, -1]
    assert sweeps[2][1:5].tolist() == [-1.75, -2, -2, -1.75]  # the book prints -1.7
    assert sweeps[3][1:5].round(1).tolist() == [-2.4, -2.9, -3, -2.4]
    assert sweeps[10][1:5].round(1).tolist() == [-6.1, -8.4, -9, -6.1]
    final = rlbench.policy_evaluation(GRID_4_1, "uniform")
    expected = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    np.testing.assert_allclose(final.values, expected, atol=1e-10)
    best = rlbench.policy_evaluation(GRID_4_1, final.policy)  # one step of improvement is enough
    np.testing.assert_array_equal(best.values, rlbench.plan(GRID_4_1).values)


def test_figures_3_2_and_3_5_the_gridworld_with_two_prizes():
    even = rlbench.policy_evaluation(PRIZES_3_5, "uniform", 0.9).values.reshape(5, 5)
    assert even[0].round(1).tolist() == [3.3, 8.8, 4.4, 5.3, 1.5]
    assert even[4].round(1).tolist() == [-1.9, -1.3, -1.2, -1.4, -2.0]
    best = rlbench.policy_iteration(PRIZES_3_5, 0.9).values.reshape(5, 5)
    assert best[0].round(1).tolist() == [22.0, 24.4, 22.0, 19.4, 17.5]
    assert best[4].round(1).tolist() == [14.4, 16.0, 14.4, 13.0, 11.7]
