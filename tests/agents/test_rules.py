"""The arithmetic of the agents, on numbers worked by hand; each rule also as plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.agents import _rules
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
        u, state = _rules.sfc64_random(state)
        state = tuple(np.uint64(word) for word in state)
        assert u == rng.random()
    assert list(state) == rng.bit_generator.state["state"]["state"].tolist()
