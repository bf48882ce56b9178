"""Planning is exact: numbers worked by hand, and compared with brute force and another implementation."""

import math
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from rlbench import envs
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UnknownNameError, UsageError
from rlbench.planning import (
    PolicyScore,
    backward_induction,
    plan,
    policy_value,
    score_policy,
    solve,
    solving,
    value_iteration,
)
from rlbench.planning.chains import RewardChain, fate


def one(successor, reward, terminated=False):  # noqa: FBT002 - the order of toy-text's tuples
    """A certain outcome."""
    return [(1.0, successor, reward, terminated)]


def chain_of(*rows, limit=None, initial=None):
    """A model with the outcomes `rows[s][a]`, started in state 0 or as told."""
    initial = np.eye(len(rows))[0] if initial is None else initial
    return TabularModel.from_table(rows, initial, step_limit=limit)


def corridor(limit=None, step=-1.0):
    """Three squares: action 0 goes left (or stays), 1 goes right; leaving the last one pays 10 and ends."""
    return chain_of(
        [one(0, step), one(1, step)],
        [one(0, step), one(2, step)],
        [one(1, step), one(0, 10.0, terminated=True)],
        limit=limit,
    )


def recursive_value(table, state, steps, gamma):
    """The definition: the best first reward plus what the rest is worth."""
    if steps == 0:
        return 0.0
    return max(
        sum(p * (r + (0 if end else gamma * recursive_value(table, s, steps - 1, gamma))) for p, s, r, end in row)
        for row in table[state]
    )


@st.composite
def tables(draw, n_states=3, n_actions=2):
    """Small random tables with whole rewards and dyadic probabilities."""
    end = st.tuples(st.integers(0, n_states - 1), st.integers(-4, 4).map(float), st.booleans())
    two = st.tuples(st.sampled_from([0.25, 0.5]), end, end)
    row = st.one_of(end.map(lambda e: [(1.0, *e)]), two.map(lambda t: [(t[0], *t[1]), (1 - t[0], *t[2])]))
    return draw(st.lists(st.lists(row, min_size=n_actions, max_size=n_actions), min_size=n_states, max_size=n_states))


# --------------------------------------------------------------------------------------------- finite horizons


def test_a_corridors_values_shrink_with_the_steps_left():
    assert backward_induction(corridor(), 1).values.tolist() == [-1, -1, 10]
    assert backward_induction(corridor(), 2).values.tolist() == [-2, 9, 10]
    assert backward_induction(corridor(), 3).values.tolist() == [8, 9, 10]


def test_action_values_have_one_step_less_to_go_after_the_action():
    q = backward_induction(corridor(), 2).q_values
    assert q.tolist() == [[-2, -2], [-2, 9], [-2, 10]]


def test_a_discount_counts_per_step():
    assert backward_induction(corridor(), 3, gamma=0.5).values.tolist() == [-1 + 0.5 * 4, -1 + 0.5 * 10, 10]


def test_backward_induction_stops_at_an_exact_fixed_point():
    solution = backward_induction(corridor(), 10_000)
    assert (solution.sweeps, solution.error_bound) == (4, 0.0)


@given(tables(), st.integers(1, 5), st.sampled_from([1.0, 0.5, 0.0]))
def test_backward_induction_agrees_with_the_definition_by_recursion(table, horizon, gamma):
    solution = backward_induction(chain_of(*table), horizon, gamma)
    expected = [recursive_value(table, s, horizon, gamma) for s in range(3)]
    np.testing.assert_allclose(solution.values, expected, atol=1e-12)
    np.testing.assert_array_equal(solution.q_values.max(axis=1), solution.values)


@given(tables(), st.integers(1, 6), st.lists(st.integers(0, 1), min_size=3, max_size=3))
def test_evaluating_a_policy_is_planning_where_it_is_the_only_choice(table, horizon, policy):
    value = policy_value(chain_of(*table), policy, horizon=horizon)
    forced = [[row[action]] for row, action in zip(table, policy, strict=True)]
    expected = [recursive_value(forced, s, horizon, 1.0) for s in range(3)]
    np.testing.assert_allclose(value, expected, atol=1e-12)


@given(tables(), st.integers(1, 8))
def test_no_policy_beats_the_optimum_not_even_by_rounding(table, limit):
    model = chain_of(*table, limit=limit)
    optimum = solve(model)
    regrets = [score_policy(model, policy, optimum).regret for policy in product(range(2), repeat=3)]
    assert min(regrets) >= 0.0


# --------------------------------------------------------------------------------------------- infinite horizons


def test_a_discounted_loop_is_worth_the_geometric_series():
    solution = value_iteration(chain_of([one(0, 1.0)]), 0.9)
    assert abs(solution.values[0] - 10) <= solution.error_bound + 1e-13 <= 1.01e-10


@given(tables(), st.sampled_from([0.3, 0.9]))
def test_the_error_bound_of_a_discounted_plan_holds(table, gamma):
    model = chain_of(*table)
    rough, fine = value_iteration(model, gamma, tolerance=0.1), value_iteration(model, gamma, tolerance=1e-12)
    assert rough.error_bound <= 0.1
    assert np.abs(rough.values - fine.values).max() <= rough.error_bound + 1e-11


def test_gamma_zero_sees_one_reward():
    solution = value_iteration(corridor(), 0.0)
    assert (solution.values.tolist(), solution.sweeps, solution.error_bound) == ([-1, -1, 10], 1, 0.0)


def test_a_discount_plans_without_the_step_limit():
    limited = value_iteration(corridor(limit=1), 0.5)
    np.testing.assert_array_equal(limited.values, value_iteration(corridor(), 0.5).values)


def test_without_a_limit_a_fixed_point_of_costs_alone_is_exact():
    solution = value_iteration(chain_of([one(0, -2.0), one(1, -1.0)], [one(1, -1.0), one(0, -1.0, True)]), 1.0)
    assert (solution.values.tolist(), solution.error_bound) == ([-2, -1], 0.0)


def test_without_a_limit_the_bound_comes_from_the_steps_of_the_greedy_policy():
    """Each try costs 1 and ends with probability 1/4: 4 tries are expected."""
    tries = [[(0.25, 0, -1.0, True), (0.75, 0, -1.0, False)]]
    solution = value_iteration(chain_of(tries), 1.0)
    assert abs(solution.values[0] + 4) <= solution.error_bound <= 1e-10


def test_waiting_for_what_one_step_seemed_to_promise_is_not_worth_it():
    """State 0 is worth 6 - 1 = 5; sweeps converge to 6, since they see the 6 and never the -1 after it."""
    model = chain_of([one(0, 0.0), one(1, 6.0)], [one(0, -1.0, terminated=True)] * 2)
    solution = value_iteration(model, 1.0)
    assert (solution.values.tolist(), solution.error_bound) == ([5, -1], 0.0)
    assert plan(model).policy.tolist() == [1, 0]


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_rewards_without_end_ask_for_a_discount(monkeypatch, reward):
    monkeypatch.setattr(solving, "PATIENCE", 100)
    with pytest.raises(UsageError, match=r"the rewards never end from state 1, .*: give gamma < 1 or a horizon"):
        value_iteration(chain_of([one(0, 0.0)], [one(1, reward)]), 1.0)


@pytest.mark.parametrize("gamma", [0.9999, 0.999999, 1 - 1e-9])
def test_a_discount_as_close_to_one_as_you_like_is_planned_for(gamma):
    """Resting pays 1 a step; the way there costs 100, a shorter one 150."""
    rest = [one(2, 1.0)] * 2
    model = chain_of([one(1, -100.0), one(2, -150.0)], [one(2, 0.0), one(1, 0.0)], rest)
    found = plan(model, gamma)
    goal = 1 / (1 - gamma)
    np.testing.assert_allclose(found.values, [-100 + gamma**2 * goal, gamma * goal, goal], rtol=1e-12)
    assert found.policy.tolist() == [0, 0, 0]
    assert found.error_bound < 1e-12 * goal / (1 - gamma)


def test_what_would_take_long_to_sweep_is_solved_without(monkeypatch):
    """A fair coin leads up or down, until it leads out at the top for 1, or at the bottom for nothing."""
    monkeypatch.setattr(solving, "PATIENCE", 100)
    n = 60
    down = [(0.5, max(s - 1, 0), 0.0, s == 0) for s in range(n)]
    up = [(0.5, min(s + 1, n - 1), float(s == n - 1), s == n - 1) for s in range(n)]
    found = plan(chain_of(*([one(s, 0.0), [down[s], up[s]]] for s in range(n))))
    np.testing.assert_allclose(found.values, np.arange(1, n + 1) / (n + 1), atol=1e-9)
    assert (found.policy == 1).all()


def best_by_brute_force(table, gamma):
    """The values of every deterministic policy by a dense solve, and of these the best."""
    n = len(table)
    found = []
    for policy in product(*(range(len(row)) for row in table)):
        system, reward = np.eye(n), np.zeros(n)
        for s, a in enumerate(policy):
            for p, t, r, end in table[s][a]:
                reward[s] += p * r
                system[s, t] -= 0 if end else gamma * p
        found.append(np.linalg.solve(system, reward))
    return np.max(found, axis=0)


def best_by_linear_programming(model, gamma):
    """The least values from which no action gains (Puterman, section 6.9)."""
    pairs = model.n_states * model.n_actions
    system, reward = np.zeros((pairs, model.n_states)), np.zeros(pairs)
    for pair in range(pairs):
        system[pair, pair // model.n_actions] -= 1.0
        for p, t, r, end in model.P[pair // model.n_actions][pair % model.n_actions]:
            system[pair, t] += 0 if end else gamma * p
            reward[pair] -= p * r
    return linprog(np.ones(model.n_states), A_ub=system, b_ub=reward, bounds=(None, None)).x


@settings(max_examples=30)
@given(tables(n_states=4, n_actions=3), st.sampled_from([0.5, 0.99, 0.9999]), st.sampled_from([3, 200]))
def test_discounted_plans_are_those_of_brute_force_and_of_linear_programming(table, gamma, patience):
    model = chain_of(*table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving, "PATIENCE", patience)
        found = plan(model, gamma)
    scale = 1 / (1 - gamma)
    np.testing.assert_allclose(found.values, best_by_brute_force(table, gamma), atol=1e-9 * scale)
    np.testing.assert_allclose(found.values, best_by_linear_programming(model, gamma), atol=1e-7 * scale)
    np.testing.assert_allclose(policy_value(model, found.policy, gamma), found.values, atol=1e-9 * scale)


@settings(max_examples=50)
@given(tables(n_states=4, n_actions=3), st.sampled_from([3, 200]))
def test_undiscounted_plans_are_those_of_brute_force_or_refused_for_a_reason(table, patience):
    model, barely = chain_of(*table), 1 - 1e-9  # whose values are the undiscounted ones but for 1e-7, or huge
    expected = best_by_brute_force(table, barely)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving, "PATIENCE", patience)
        near = plan(model, barely).policy
        if not np.isfinite(policy_value(model, near)).all():
            with pytest.raises(UsageError, match="the rewards never end"):
                plan(model)
            return
        found = plan(model)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    np.testing.assert_allclose(policy_value(model, found.policy), found.values, atol=1e-8)
    score = score_policy(model, found.policy)
    assert score.regret <= 1e-8
    assert score.optimal_states == score.reachable_states


def barring(table, allowed):
    """A model that bars actions: taken anyway, they leave the state as it was."""
    rows = [
        [row if ok else one(s, 0.0) for row, ok in zip(table[s], allowed[s], strict=True)] for s in range(len(table))
    ]
    return TabularModel.from_table(rows, np.eye(len(table))[0], allowed=np.array(allowed))


sets = st.lists(
    st.sampled_from([[True, True, True], [True, False, True], [False, True, False]]), min_size=4, max_size=4
)


@settings(max_examples=30)
@given(tables(n_states=4, n_actions=3), sets, st.sampled_from([0.5, 0.99, 1.0]), st.sampled_from([3, 200]))
def test_a_plan_takes_only_actions_that_are_allowed_and_is_the_best_of_these(table, allowed, gamma, patience):
    model, states = barring(table, allowed), range(4)
    only = [[table[s][a] for a in range(3) if allowed[s][a]] for s in states]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(solving, "PATIENCE", patience)
        try:
            found = plan(model, gamma)
        except UsageError as error:
            assert "the rewards never end" in str(error)  # noqa: PT017
            return
    assert model.allowed[states, found.policy].all()
    np.testing.assert_array_equal(np.isneginf(found.q_values), ~model.allowed)
    np.testing.assert_allclose(found.values, best_by_brute_force(only, min(gamma, 1 - 1e-9)), atol=1e-6)


def test_an_action_that_is_not_allowed_is_not_optimal_though_staying_costs_nothing():
    """Every step costs 1, so that to bump into a wall for ever would be best."""
    model = barring([[one(0, 0.0), one(1, -1.0)], [one(1, 0.0), one(1, -1.0, terminated=True)]], [[False, True]] * 2)
    found = plan(model)
    assert found.values.tolist() == [-2, -1]
    assert score_policy(model, found.policy).optimal_states == 2
    assert score_policy(model, [0, 0]).optimal_states == 0


# ------------------------------------------------------------------------------------ progress among equals


def gambler(heads=0.4, goal=100):
    """Sutton and Barto, example 4.3: stakes from 0 to what one has, 1 for reaching the goal."""

    def stake(s, a):
        won, lost = s + a, s - a
        return [(heads, min(won, goal), float(won >= goal), won >= goal), (1 - heads, lost, 0.0, lost <= 0)]

    table = [[stake(s, min(a, s, goal - s)) for a in range(goal // 2 + 1)] for s in range(goal)]
    table.append([one(goal, 0.0, terminated=True)] * (goal // 2 + 1))
    table[0] = [one(0, 0.0, terminated=True)] * (goal // 2 + 1)
    return chain_of(*table, initial=np.eye(goal + 1)[50])


def test_the_gambler_stakes_something_and_wins_as_often_as_the_book_says():
    """At 50 the best is to stake it all: 0.4; at 25 to do so twice: 0.16; at 75, 0.4 + 0.6 * 0.4."""
    model = gambler()
    found = plan(model)
    np.testing.assert_allclose(found.values[[25, 50, 75]], [0.16, 0.4, 0.64], atol=1e-10)
    assert (found.policy[1:-1] > 0).all()
    np.testing.assert_allclose(policy_value(model, found.policy), found.values, atol=1e-10)
    assert score_policy(model, found.policy).regret <= 1e-10


def test_a_plan_for_a_lake_that_does_not_slip_arrives_by_the_shortest_way():
    env = gym.make("FrozenLake-v1", is_slippery=False)
    found, model = plan(env), TabularModel.from_env(env)
    assert score_policy(model, found.policy) == PolicyScore(1.0, 1.0, 0.0, 11, 11)
    assert policy_value(model, found.policy, horizon=6)[0] == 1.0


def test_right_actions_that_only_go_round_are_not_optimal():
    model = TabularModel.from_env(gym.make("FrozenLake-v1", is_slippery=False))
    left = score_policy(model, np.zeros(16, int))
    assert (left.exact_return, left.regret) == (0.0, 1.0)
    assert left.optimal_states == 1  # number 14, from where 13 goes wrong


def test_right_actions_that_take_too_long_are_not_optimal():
    """Around a ring of 8 there are 7 ways to wait and one to leave; from anywhere one may leave at once, or go on."""
    ring = [[one((s + 1) % 8, 0.0), one(s, 1.0, terminated=True)] for s in range(8)]
    model = chain_of(*ring, limit=5)
    late = score_policy(model, [0] * 7 + [1])
    assert (late.exact_return, late.regret, late.optimal_states) == (0.0, 1.0, 5)  # from 3 on it arrives
    rare = [(1e-6, 0, 1.0, True), (1 - 1e-6, 0, 0.0, False)]
    model = chain_of([rare, one(1, 0.0)], [one(0, 1.0, terminated=True)] * 2, limit=100)
    assert score_policy(model, [0, 0]).optimal_states == 1
    assert score_policy(model, [1, 0]).optimal_states == 2


def test_a_rare_short_cut_is_not_waited_for():
    """Action 0 arrives at once in one of a million tries; action 1 surely, in two steps."""
    rare = [(1e-6, 0, 1.0, True), (1 - 1e-6, 0, 0.0, False)]
    model = chain_of([rare, one(1, 0.0)], [one(0, 1.0, terminated=True)] * 2, limit=100)
    assert plan(model).policy.tolist() == [1, 0]


def test_a_plan_rests_where_nothing_is_left_to_be_earned():
    """There is a prize in state 1, then nothing: the walk never ends."""
    model = chain_of([one(0, 0.0), one(1, 0.0)], [one(1, 0.0), one(2, 1.0)], [one(2, 0.0), one(2, 0.0)], limit=9)
    assert plan(model).policy.tolist() == [1, 1, 0]


# ------------------------------------------------------------------------------------ policies that never end


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        ([[one(0, -1.0)]], [-math.inf]),
        ([[one(0, 1.0)]], [math.inf]),
        ([[one(0, 0.0)]], [0.0]),
        ([[one(1, -3.0)], [one(1, 0.0)]], [-3.0, 0.0]),  # pays once, then rests
        ([[one(1, -3.0)], [one(0, 2.0)]], [-math.inf, -math.inf]),
        ([[one(1, -3.0)], [one(0, 4.0)]], [math.inf, math.inf]),
    ],
)
def test_a_loop_is_worth_what_it_earns_for_ever(rows, values):
    assert policy_value(chain_of(*rows), [0] * len(rows)).tolist() == values


def test_a_loop_whose_payments_balance_has_no_value():
    model = chain_of([one(1, -1.0)], [one(0, 1.0)], [one(2, 0.0, terminated=True)])
    assert np.isnan(policy_value(model, [0, 0, 0])).tolist() == [True, True, False]


def test_a_state_that_may_fall_into_an_endless_loop_shares_its_value():
    fork = [[(0.5, 1, 0.0, False), (0.5, 2, 0.0, False)]]
    ends = [one(0, 5.0, terminated=True)]
    down, up = [one(1, -1.0)], [one(2, 1.0)]
    assert policy_value(chain_of(fork, down, ends), [0, 0, 0]).tolist() == [-math.inf, -math.inf, 5]
    assert np.isnan(policy_value(chain_of(fork, down, up), [0, 0, 0])[0])


def test_the_sign_of_a_random_loop_is_that_of_its_mean_reward():
    """State 0 is left with probability 1/4, state 1 always: 4 steps in state 0 for each one in state 1."""
    stay, leave = (0.75, 0), (0.25, 1)
    for reward, value in [(-4.1, -math.inf), (-3.9, math.inf), (-4.0, math.nan)]:
        model = chain_of([[(p, s, 1.0, False) for p, s in (stay, leave)]], [one(0, reward)])
        np.testing.assert_array_equal(policy_value(model, [0, 0]), [value, value])


@given(tables(n_states=4, n_actions=1))
def test_endless_states_are_those_whose_value_keeps_moving(table):
    model = chain_of(*table)
    value = policy_value(model, [0] * 4)
    near, far = (policy_value(model, [0] * 4, horizon=h) for h in (400, 4_000))
    settled = np.isfinite(value)
    np.testing.assert_allclose(value[settled], far[settled], atol=1e-8)
    assert (far - near)[value == math.inf].min(initial=1.0) > 0
    assert (far - near)[value == -math.inf].max(initial=-1.0) < 0


def test_recurrent_classes_are_found_apart_from_the_states_that_leave_them():
    """0 -> {1, 2} and back to 0 from 1; 2 <-> 3 is closed and pays nothing; 4 rests alone."""
    rows = [
        [[(0.5, 1, -1.0, False), (0.5, 2, -1.0, False)]],
        [one(0, -1.0)],
        [one(3, 0.0)],
        [one(2, 0.0)],
        [one(4, 0.0)],
    ]
    where = fate(RewardChain.of(chain_of(*rows), 0))
    assert where.resting.tolist() == [False, False, True, True, True]
    assert not where.endless.any()
    assert policy_value(chain_of(*rows), [0] * 5).round(9).tolist() == [-3, -4, 0, 0, 0]


# --------------------------------------------------------------------------------------------- Gymnasium's envs


def optimum_within(env, steps):
    """Another implementation, straight from P with Python lists."""
    table, start = env.unwrapped.P, env.unwrapped.initial_state_distrib
    values = [0.0] * len(table)
    for _ in range(steps):
        values = [
            max(sum(p * (r + (0 if end else values[t])) for p, t, r, end in row[a]) for a in row)
            for row in (table[s] for s in range(len(table)))
        ]
    return sum(w * v for w, v in zip(start, values, strict=True))


@pytest.mark.parametrize(
    ("env_id", "limit", "about"),
    [("FrozenLake-v1", 100, 0.744), ("FrozenLake8x8-v1", 200, 0.913), ("Taxi-v4", 200, 7.93)],
)
def test_the_optimum_of_a_toy_text_env_is_the_one_computed_from_its_table(env_id, limit, about):
    found = plan(env_id)
    assert found.horizon == limit
    assert found.optimal_return == pytest.approx(optimum_within(gym.make(env_id), limit), abs=1e-12)
    assert found.optimal_return == pytest.approx(about, abs=1e-3)


def test_the_cliff_is_walked_in_thirteen_steps_and_the_plan_is_exact():
    found = plan("CliffWalking-v1")
    assert (found.optimal_return, found.error_bound, found.horizon) == (-13.0, 0.0, None)
    assert (found.n_states, found.reachable_states) == (48, 37)
    score = score_policy(TabularModel.from_env("CliffWalking-v1"), found.policy)
    assert score == PolicyScore(-13.0, -13.0, 0.0, 37, 37)


def test_a_policy_that_walks_up_the_wall_for_ever_is_worth_minus_infinity():
    score = score_policy(TabularModel.from_env("CliffWalking-v1"), np.zeros(48, dtype=int))
    assert (score.exact_return, score.regret) == (-math.inf, math.inf)
    assert score.optimal_states == 1


def test_a_slippery_cliff_is_solved_to_its_error_bound():
    found = plan(gym.make("CliffWalking-v1", is_slippery=True))
    assert 0 < found.error_bound <= 1e-10
    score = score_policy(TabularModel.from_env(gym.make("CliffWalking-v1", is_slippery=True)), found.policy)
    assert score.regret == pytest.approx(0, abs=2e-10)


def test_the_return_sampled_with_a_policy_agrees_with_its_exact_one():
    env = gym.make("FrozenLake-v1")
    model, policy = TabularModel.from_env(env), plan(env).policy
    exact = score_policy(model, policy).exact_return
    wins = 0
    env.reset(seed=0)
    for _ in range(2_000):
        state, over = env.reset()[0], False
        while not over:
            state, reward, terminated, truncated, _ = env.step(policy[state])
            over = terminated or truncated
        wins += reward
    assert wins / 2_000 == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 2_000))


# ------------------------------------------------------------------------------------------- scores and doors


def test_a_score_counts_the_reachable_states_in_which_the_action_is_optimal():
    model = corridor(limit=5)
    assert score_policy(model, [1, 1, 1]) == PolicyScore(8.0, 8.0, 0.0, 3, 3)
    assert score_policy(model, [1, 0, 1]) == PolicyScore(-5.0, 8.0, 13.0, 2, 3)


def test_states_that_no_action_leads_to_do_not_count():
    score = score_policy(chain_of([one(0, 1.0, True)], [one(0, 1.0, True)], limit=3), [0, 0])
    assert (score.optimal_states, score.reachable_states) == (1, 1)


def test_an_optimum_computed_once_scores_many_policies():
    model = corridor(limit=5)
    assert score_policy(model, [1, 1, 0], solve(model)) == score_policy(model, [1, 1, 0])


def test_starts_are_weighted_by_their_probability():
    model = chain_of([one(0, 1.0, True)], [one(0, 5.0, True)], limit=3, initial=[0.25, 0.75])
    assert solve(model).optimal_return == 4.0


def test_whole_values_of_equal_starts_average_without_rounding():
    assert plan("Taxi-v4").optimal_return == 7.93


def test_the_lowest_action_wins_a_tie():
    assert plan(chain_of([one(0, 1.0, True)] * 3)).policy.tolist() == [0]


def test_a_plan_is_made_for_an_env_a_model_an_id_or_a_short_name(monkeypatch):
    monkeypatch.setitem(envs.SHORT_NAMES, "cliff", "CliffWalking-v1")
    plans = [plan(e) for e in ("cliff", "CliffWalking-v1", gym.make("CliffWalking-v1"))]
    assert [p.env_id for p in plans] == ["CliffWalking-v1"] * 3
    bare = plan(TabularModel.from_env("CliffWalking-v1"))
    assert bare.env_id is None
    np.testing.assert_array_equal(bare.q_values, plans[0].q_values)


def test_an_env_without_a_table_or_name_cannot_be_planned():
    with pytest.raises(UsageError, match="CartPole-v1 has no transition table P"):
        plan("CartPole-v1")
    with pytest.raises(UnknownNameError, match="did you mean"):
        plan("FrozenLak-v1")


@pytest.mark.parametrize("gamma", [1.2, -0.1, math.nan, math.inf, "1", None])
def test_gamma_must_be_a_number_from_zero_to_one(gamma):
    with pytest.raises(UsageError, match=r"gamma must be in \[0, 1\], got "):
        plan("CliffWalking-v1", gamma)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda m: value_iteration(m, 1.0, horizon=0), "horizon must be a whole number of steps, 1 or more, got 0"),
        (lambda m: value_iteration(m, 1.0, horizon=2.5), "horizon must be a whole number"),
        (lambda m: value_iteration(m, 0.9, tolerance=0.0), "tolerance must be above 0, got 0.0"),
        (lambda m: policy_value(m, [0, 0, 0], tolerance=math.nan), "tolerance must be above 0"),
        (lambda m: policy_value(m, [0, 0]), r"policy must be \(3,\) whole action numbers, or .*, got int64 of shape"),
        (lambda m: policy_value(m, [0.0, 0, 0]), "probabilities, got float64"),
        (lambda m: score_policy(m, [0, 2, 0]), r"actions in \[0, 2\), got 2"),
        (lambda m: score_policy(m, [0, -1, 0]), r"actions in \[0, 2\), got -1"),
    ],
)
def test_bad_arguments_are_refused_at_the_door(call, reason):
    with pytest.raises(UsageError, match=reason):
        call(corridor())


def test_a_discounted_policy_is_evaluated_to_the_tolerance():
    assert policy_value(chain_of([one(0, 1.0)]), [0], 0.5)[0] == pytest.approx(2.0, abs=1e-10)


def test_an_optimum_is_computed_once_for_equal_models_and_cannot_be_written_to(monkeypatch):
    first = solve(TabularModel.from_env("safecab"))
    monkeypatch.setattr("rlbench.planning.policies.value_iteration", None)
    assert solve(TabularModel.from_env("safecab")) is first
    with pytest.raises(ValueError, match="read-only"):
        first.q_values[0, 0] = 0.0


def test_only_the_last_few_optima_are_kept():
    first, *others = (chain_of([one(0, float(reward), terminated=True)]) for reward in range(6))
    known = solve(first)
    assert solve(first) is known
    for model in others:
        solve(model)
    assert solve(first) is not known


def test_a_policy_that_circles_where_no_start_leads_costs_no_sweeps(monkeypatch):
    model = chain_of([one(0, 1.0, terminated=True)], [one(1, 1.0)], limit=1_000)
    swept, back_up = [], RewardChain.back_up
    monkeypatch.setattr(RewardChain, "back_up", lambda *of: swept.append(of) or back_up(*of))
    optimum = solve(model)
    swept.clear()
    assert score_policy(model, [0, 0], optimum).exact_return == 1.0
    assert len(swept) < 10  # of 1,000 steps: they stop where nothing changes, which is looked at now and then
