"""The arithmetic of the agents, on numbers worked by hand; each rule also as plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.agents import _rules
from rlbench.buffers import _sfc64
from rlbench.random_state import new_generator


def both(rule):
    return pytest.mark.parametrize("rule", [rule, rule.py_func], ids=["compiled", "python"])


def q_of(table, n_actions):
    return table.values[:, _rules.FIRST : _rules.FIRST + n_actions]


def table_of(q):
    q = np.array(q, dtype=float)
    table = _rules.new_table(*q.shape)
    _rules.set_table(table, q)
    return table


@both(_rules.q_update)
def test_q_update_bootstraps_from_the_best_next_action(rule):
    table = table_of([[1.0, 2.0], [4.0, 3.0]])
    # 2 + 0.5 * (10 + 0.9 * 4 - 2) = 7.8
    td_error = rule(table, 0, 1, 10.0, 1, False, 0.5, 0.9)
    assert td_error == pytest.approx(11.6)
    assert q_of(table, 2).tolist() == [[1.0, pytest.approx(7.8)], [4.0, 3.0]]


@both(_rules.q_update)
def test_q_update_does_not_bootstrap_from_a_terminal_state(rule):
    table = table_of([[1.0, 2.0], [4.0, 3.0]])
    rule(table, 0, 1, 10.0, 1, True, 0.5, 0.9)  # 2 + 0.5 * (10 - 2) = 6
    assert q_of(table, 2)[0].tolist() == [1.0, 6.0]


@both(_rules.q_update_batch)
def test_q_update_batch_applies_one_transition_after_the_other(rule):
    table = table_of([[0.0, 0.0], [0.0, 0.0]])
    s, a, s_next = np.array([1, 0]), np.array([0, 1]), np.array([0, 1])
    rule(table, s, a, np.array([2.0, 0.0]), s_next, np.array([True, False]), 0.5, 0.5)
    # q[1, 0] = 1 first; then q[0, 1] = 0.5 * (0 + 0.5 * 1) = 0.25
    assert q_of(table, 2).tolist() == [[0.0, 0.25], [1.0, 0.0]]


@both(_rules.epsilon_greedy)
def test_epsilon_greedy_reads_the_random_action_from_the_place_of_the_draw(rule):
    assert rule(0.3, 0.2, 4, 3) == (3, False)
    assert rule(0.0, 0.2, 4, 3) == (0, True)
    assert rule(0.11, 0.2, 4, 3) == (2, True)  # 0.11 / 0.2 * 4 = 2.2
    assert rule(np.nextafter(0.2, 0), 0.2, 4, 3) == (3, True)
    assert rule(0.0, 0.0, 4, 3) == (3, False)


@given(epsilon=st.floats(1e-300, 1.0), n_actions=st.integers(1, 1000))
def test_epsilon_greedy_never_draws_an_action_that_is_not_there(epsilon, n_actions):
    action, explored = _rules.epsilon_greedy(np.nextafter(epsilon, 0), epsilon, n_actions, 0)
    assert explored
    assert 0 <= action < n_actions


@both(_rules.epsilon_greedy_random_ties)
def test_random_ties_read_which_of_the_best_from_what_epsilon_leaves_of_the_draw(rule):
    table = table_of([[3.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 0.0]])
    assert [rule(u, 0.2, table, 0, 4) for u in (0.0, 0.11, 0.19)] == [(0, True), (2, True), (3, True)]
    # from 0.2 on, thirds of 0.8: 0.2 to 0.467, to 0.733, to 1
    greedy = [rule(u, 0.2, table, 0, 4) for u in (0.2, 0.46, 0.47, 0.73, 0.74, np.nextafter(1.0, 0))]
    assert greedy == [(0, False), (0, False), (2, False), (2, False), (3, False), (3, False)]
    assert [rule(u, 0.0, table, 1, 4) for u in (0.0, 0.5, 0.99)] == [(2, False)] * 3  # one is best


@given(
    row=st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=9),
    u=st.floats(0.0, 1.0, exclude_max=True) | st.just(np.nextafter(1.0, 0)),
    epsilon=st.floats(0.0, 1.0),
)
def test_random_ties_differ_from_the_first_of_ties_only_among_the_best(row, u, epsilon):
    table, n_actions = table_of([row]), len(row)
    first, drawn = (
        _rules.pick_action(policy(n_actions), table, 0, epsilon, u)
        for policy in (_rules.EpsilonGreedy, _rules.EpsilonGreedyRandomTies)
    )
    assert drawn == first or (not drawn[1] and not first[1] and row[drawn[0]] == max(row))


def test_random_ties_choose_each_action_as_often_as_the_value_expected_of_them_assumes():
    row, epsilon, draws = [0.0, 2.0, 2.0, 1.0], 0.3, 40_000
    policy, table, rng = _rules.EpsilonGreedyRandomTies(4), table_of([row]), np.random.default_rng(0)
    chosen = [_rules.pick_action(policy, table, 0, epsilon, u)[0] for u in rng.random(draws)]
    shares = np.full(4, epsilon / 4) + np.array([0.0, 0.5, 0.5, 0.0]) * (1 - epsilon)
    away = np.abs(np.bincount(chosen, minlength=4) - draws * shares) / np.sqrt(draws * shares * (1 - shares))
    assert (away < 4.9).all()  # by chance it fails for one of 250,000 seeds
    assert _rules.expected_value(policy, table, 0, epsilon) == pytest.approx(shares @ row)


# ---------------------------------------------------------------------------- softmax and upper confidence bounds

LN2 = math.log(2)
SOFT = table_of([[0.0, LN2, 0.0]])  # at temperature 1 the shares are 1/4, 1/2, 1/4


@both(_rules.softmax_action)
def test_softmax_draws_in_proportion_to_the_exponential_of_the_values(rule):
    drawn = [rule(u, 1.0, SOFT, 0, 3) for u in (0.0, 0.24, 0.26, 0.74, 0.76, 0.99)]
    assert drawn == [(0, True), (0, True), (1, False), (1, False), (2, True), (2, True)]
    assert _rules.softmax_total(1.0, SOFT, 0, 3) == pytest.approx(2.0)  # 1/2 + 1 + 1/2
    assert rule(0.99, 0.5, SOFT, 0, 3) == (2, True)  # colder: 1/6, 4/6, 1/6
    assert rule(0.18, 0.5, SOFT, 0, 3) == (1, False)
    assert rule(0.99, 0.0, SOFT, 0, 3) == (1, False)  # frozen: greedy


@both(_rules.softmax_action)
def test_softmax_overflows_at_no_temperature(rule):
    far_apart = table_of([[-1e308, 1e308, 0.0]])
    assert rule(0.5, 1e-300, far_apart, 0, 3) == (1, False)
    assert rule(np.nextafter(1.0, 0), 1.0, far_apart, 0, 3) == (1, False)


@both(_rules.ucb_action)
def test_the_upper_confidence_bound_tries_everything_once_and_then_what_is_least_known(rule):
    policy, table = _rules.new_ucb(1, 3, 2.0), table_of([[1.0, 0.0, 0.5]])
    for expected in (0, 1, 2):
        assert rule(policy, table, 0) == expected
        policy.counts[0, expected] += 1
    policy.counts[0] = [5, 1, 1]
    # t = 8: 1 + 2 sqrt(ln 8 / 5) = 2.29, 0 + 2 sqrt(ln 8) = 2.88, 0.5 + 2.88 = 3.38
    assert rule(policy, table, 0) == 2
    policy.counts[0] = [100, 100, 100]
    assert rule(policy, table, 0) == 0


def test_choosing_by_an_upper_confidence_bound_counts_the_choice_and_draws_nothing():
    policy, table = _rules.new_ucb(2, 2, 1.0), table_of([[0.0, 0.0], [0.0, 1.0]])
    assert [_rules.pick(policy, table, 1, 0.5, u) for u in (0.0, 0.9)] == [(0, True), (1, False)]
    assert policy.counts.tolist() == [[0, 0], [1, 1]]


def test_what_is_expected_of_a_policy_is_the_mean_of_what_it_would_choose():
    greedy, soft = _rules.EpsilonGreedy(3), _rules.Softmax(3, 2.0)
    table = table_of([[1.0, 4.0, 1.0]])
    assert _rules.expected_value(greedy, table, 0, 0.3) == pytest.approx(0.7 * 4 + 0.3 * 2)
    assert _rules.expected_value(soft, SOFT, 0, 0.5) == pytest.approx(LN2 / 2)  # temperature 2 * 0.5
    assert _rules.expected_value(soft, SOFT, 0, 0.0) == LN2
    assert _rules.expected_value(_rules.new_ucb(1, 3, 1.0), table, 0, 0.0) == 1.0  # the untried first action


# ------------------------------------------------------------------------------------------- one step on policy


@both(_rules.sarsa_update)
def test_sarsa_bootstraps_from_the_action_that_is_taken_next(rule):
    table = table_of([[1.0, 2.0], [4.0, 3.0]])
    # 2 + 0.5 * (10 + 0.9 * 3 - 2) = 7.35
    assert rule(table, 0, 1, 10.0, 1, 1, False, 0.5, 0.9) == pytest.approx(10.7)
    assert q_of(table, 2).tolist() == [[1.0, pytest.approx(7.35)], [4.0, 3.0]]
    rule(table, 1, 0, -4.0, 0, 1, True, 0.5, 0.9)  # terminal: 4 + 0.5 * (-4 - 4) = 0
    assert q_of(table, 2)[1].tolist() == [0.0, 3.0]


@both(_rules.expected_sarsa_update)
def test_expected_sarsa_bootstraps_from_the_mean_over_its_next_actions(rule):
    table = table_of([[1.0, 2.0], [4.0, 3.0]])
    # epsilon 0.2: 0.8 * 4 + 0.2 * 3.5 = 3.9; 2 + 0.5 * (10 + 0.9 * 3.9 - 2) = 7.755
    rule(table, _rules.EpsilonGreedy(2), 0.2, 0, 1, 10.0, 1, False, 0.5, 0.9)
    assert q_of(table, 2)[0].tolist() == [1.0, pytest.approx(7.755)]
    rule(table, _rules.EpsilonGreedy(2), 0.2, 1, 0, 0.0, 0, True, 0.5, 0.9)
    assert q_of(table, 2)[1].tolist() == [2.0, 3.0]


@both(_rules.double_q_update)
def test_double_q_lets_one_table_value_the_best_action_of_the_other(rule):
    one, two = [[0.0, 2.0], [5.0, 1.0]], [[0.0, 4.0], [3.0, 7.0]]
    halves, table = table_of([*one, *two]), table_of(np.mean([one, two], axis=0))
    # heads: the first learns; its best in state 1 is action 0, which the second values at 3: 2 + (10 + 0.5 * 3 - 2) / 2
    rule(halves, table, 0.49, 0, 1, 10.0, 1, False, 0.5, 0.5)
    assert q_of(halves, 2).tolist() == [[0.0, 6.75], [5.0, 1.0], [0.0, 4.0], [3.0, 7.0]]
    assert q_of(table, 2)[0].tolist() == [0.0, 5.375]
    # tails: the second learns; its best in state 1 is action 1, which the first values at 1: 4 + (10 + 0.5 * 1 - 4) / 2
    rule(halves, table, 0.5, 0, 1, 10.0, 1, False, 0.5, 0.5)
    assert q_of(halves, 2).tolist() == [[0.0, 6.75], [5.0, 1.0], [0.0, 7.25], [3.0, 7.0]]
    assert q_of(table, 2)[0].tolist() == [0.0, 7.0]
    rule(halves, table, 0.0, 0, 0, 6.0, 1, True, 0.5, 0.5)  # terminal
    assert q_of(table, 2)[0].tolist() == [1.5, 7.0]


@both(_rules.q_update_returns)
def test_each_return_of_a_minibatch_has_its_own_weight_and_discount(rule):
    table, errors = table_of([[0.0, 0.0], [8.0, 0.0]]), np.zeros(3)
    s, a = np.array([0, 0, 1]), np.array([0, 1, 1])
    ends, last = np.array([False, True, False]), np.array([1, 1, 0])
    rates, discounts = np.array([0.5, 0.25, 1.0]), np.array([0.5, 0.9, 0.25])
    rule(table, s, a, np.array([2.0, 4.0, 1.0]), last, ends, 1.0, rates, discounts, errors)
    # 2 + 0.5 * 8 = 6, half of it; 4, a quarter of it; 1 + 0.25 * 3 = 1.75
    assert q_of(table, 2).tolist() == [[3.0, 1.0], [8.0, 1.75]]
    assert errors.tolist() == [6.0, 4.0, 1.75]


# ---------------------------------------------------------------------------------------------------- the table


@given(
    writes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 8), st.sampled_from([-2.0, -0.5, 0.0, 1.0, 1.5]))),
    n_actions=st.integers(1, 9),
)
def test_the_cached_greedy_action_is_the_lowest_index_of_the_best_after_any_writes(writes, n_actions):
    table = _rules.new_table(3, n_actions)
    for s, a, value in writes:
        _rules.set_q(table, s, a % n_actions, value)
    q = q_of(table, n_actions)
    for s in range(3):
        assert _rules.greedy_action(table, s) == q[s].argmax()
        assert _rules.greedy_value(table, s) == q[s].max()


@both(_rules.set_q)
def test_lowering_the_best_action_finds_the_next_one(rule):
    table = table_of([[3.0, 5.0, 4.0]])
    rule(table, 0, 1, 1.0)
    assert _rules.greedy_action(table, 0) == 2
    assert _rules.greedy_value(table, 0) == 4.0


@pytest.mark.parametrize("n_actions", [1, 2, 6, 7, 14, 30])
def test_a_row_of_a_table_begins_on_a_cache_line(n_actions):
    table = _rules.new_table(5, n_actions, 2.5)
    assert table.values.ctypes.data % 64 == 0
    assert table.values.strides[0] % 64 == 0
    assert (q_of(table, n_actions) == 2.5).all()


@both(_rules.schedule_value)
def test_schedules_are_functions_of_absolute_counts(rule):
    exponential = _rules.Schedule(_rules.EXPONENTIAL, False, 1.0, 0.01, 1e-4)
    multiplicative = _rules.Schedule(_rules.MULTIPLICATIVE, False, 1.0, 0.05, 0.995)
    linear = _rules.Schedule(_rules.LINEAR, True, 1.0, 0.2, 100.0)
    assert rule(exponential, 0) == 1.0
    assert rule(exponential, 10_000) == pytest.approx(0.01 + 0.99 * math.exp(-1))  # the book's SafeCab
    assert rule(multiplicative, 2) == pytest.approx(0.990025)
    assert rule(multiplicative, 10_000) == 0.05
    assert rule(linear, 50) == pytest.approx(0.6)
    assert rule(linear, 1_000) == pytest.approx(0.2)
    assert rule(_rules.Schedule(_rules.CONSTANT, False, 0.3, 0.3, 0.0), 7) == 0.3


def test_the_compiled_generator_is_numpys_sfc64_bit_for_bit():
    rng = new_generator(42)
    state = tuple(rng.bit_generator.state["state"]["state"])
    for _ in range(1000):
        u, state = _sfc64.sfc64_random(state)
        state = tuple(np.uint64(word) for word in state)
        assert u == rng.random()
    assert list(state) == rng.bit_generator.state["state"]["state"].tolist()
