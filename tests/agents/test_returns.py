"""Learning from several steps at once, on numbers worked by hand; each rule also as plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.agents import MonteCarlo, NStepSarsa, Sarsa, SarsaLambda, _returns, _rules


def both(rule):
    return pytest.mark.parametrize("rule", [rule, rule.py_func], ids=["compiled", "python"])


def q_of(table, n_actions=2):
    return table.values[:, _rules.FIRST : _rules.FIRST + n_actions]


def table_of(q):
    q = np.array(q, dtype=float)
    table = _rules.new_table(*q.shape)
    _rules.set_table(table, q)
    return table


# ------------------------------------------------------------------------------------------------- n-step Sarsa


@both(_returns.n_step_update)
def test_a_step_is_learnt_when_n_rewards_are_known(rule):
    table, steps = table_of([[0.0, 0.0], [0.0, 0.0], [8.0, 4.0]]), _returns.new_steps(2)
    rule(table, steps, 0, 1, 1.0, 1, 0, False, 0.5, 0.5)
    assert (q_of(table)[:2] == 0).all()
    # (0, 1): 1 + 0.5 * 6 + 0.25 * q[2, 1] = 5, half of it
    rule(table, steps, 1, 0, 6.0, 2, 1, False, 0.5, 0.5)
    assert q_of(table).tolist() == [[0.0, 2.5], [0.0, 0.0], [8.0, 4.0]]
    # the episode ends: (1, 0): 6 + 0.5 * 2 = 7, (2, 1): 2
    rule(table, steps, 2, 1, 2.0, 0, 0, True, 0.5, 0.5)
    assert q_of(table).tolist() == [[0.0, 2.5], [3.5, 0.0], [8.0, 3.0]]
    assert steps.cursor.tolist() == [0, 0]


@both(_returns.n_step_finish)
def test_steps_left_over_when_an_episode_is_cut_off_bootstrap_from_where_it_was(rule):
    table, steps = table_of([[0.0, 0.0], [0.0, 0.0], [8.0, 4.0]]), _returns.new_steps(3)
    _returns.n_step_update(table, steps, 0, 1, 1.0, 1, 0, False, 0.5, 0.5)
    _returns.n_step_update(table, steps, 1, 0, 6.0, 2, 0, False, 0.5, 0.5)
    # (0, 1): 1 + 0.5 * 6 + 0.25 * 8 = 6; (1, 0): 6 + 0.5 * 8 = 10
    rule(table, steps, 2, 0, False, 0.5, 0.5)
    assert q_of(table).tolist() == [[0.0, 3.0], [5.0, 0.0], [8.0, 4.0]]


def walk(agent, steps):
    """Trains an agent on (s, a, r, s_next, end), end being one of "", "terminated", "truncated"."""
    for s, a, r, s_next, end in steps:
        agent.update(s, a, r, s_next, end == "terminated")
        if end:
            agent.end_episode()
    return agent.q_table


ends = st.sampled_from(["", "", "", "terminated", "truncated"])
walks = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.floats(-9, 9), st.integers(0, 2), ends), max_size=30
)
PLAIN = {"learning_rate": 0.3, "gamma": 0.8, "seed": 1}


@given(walks)
def test_one_step_of_n_step_sarsa_is_sarsa(steps):
    assert np.array_equal(walk(NStepSarsa(3, 2, n_steps=1, **PLAIN), steps), walk(Sarsa(3, 2, **PLAIN), steps))


@given(walks)
def test_sarsa_lambda_without_traces_is_sarsa(steps):
    assert np.array_equal(walk(SarsaLambda(3, 2, trace_decay=0.0, **PLAIN), steps), walk(Sarsa(3, 2, **PLAIN), steps))


@given(walks)
def test_more_steps_than_an_episode_has_are_monte_carlo_of_every_visit(steps):
    """In an episode that terminates each return is the plain discounted sum."""
    steps = [(s, a, r, s_next, "terminated" if end else "") for s, a, r, s_next, end in steps]
    agent = NStepSarsa(3, 2, n_steps=99, **PLAIN)
    walk(agent, steps)
    expected, episode = np.zeros((3, 2)), []
    for s, a, r, _, end in steps:
        episode.append((s, a, r))
        if end:
            for i, (s_i, a_i, _) in enumerate(episode):
                g = sum(0.8**k * r_k for k, (_, _, r_k) in enumerate(episode[i:]))
                expected[s_i, a_i] += 0.3 * (g - expected[s_i, a_i])
            episode = []
    assert agent.q_table == pytest.approx(expected, abs=1e-9)


# ------------------------------------------------------------------------------------------------ Sarsa(lambda)


@both(_returns.sarsa_lambda_update)
def test_an_error_reaches_all_pairs_that_led_to_it_as_their_traces_have_faded(rule):
    table, traces = table_of(np.zeros((3, 2))), _returns.new_traces(3, 2)
    constants = (0.5, 0.8, 0.5, True, 0.0)  # learning rate, gamma, lambda, replacing, floor
    rule(table, traces, 0, 0, 0.0, 1, 1, False, *constants)
    rule(table, traces, 1, 1, 0.0, 2, 0, False, *constants)
    assert (q_of(table) == 0).all()
    # error 10; traces 1, 0.4, 0.16; half of it each
    rule(table, traces, 2, 0, 10.0, 0, 0, True, *constants)
    assert q_of(table).ravel() == pytest.approx([0.8, 0.0, 0.0, 2.0, 5.0, 0.0])
    assert traces.held[0] == 0
    assert (traces.places == -1).all()


@both(_returns.sarsa_lambda_update)
@pytest.mark.parametrize(("replacing", "strength"), [(True, 1.0), (False, 1.5)])
def test_a_pair_that_is_visited_again_has_its_trace_replaced_or_added_to(rule, replacing, strength):
    table, traces = table_of(np.zeros((2, 2))), _returns.new_traces(2, 2)
    rule(table, traces, 0, 1, 0.0, 0, 1, False, 0.5, 1.0, 0.5, replacing, 0.0)
    rule(table, traces, 0, 1, 8.0, 1, 0, False, 0.5, 1.0, 0.5, replacing, 0.0)
    assert q_of(table)[0, 1] == 4.0 * strength
    assert traces.strengths[traces.places[0, 1]] == strength / 2


@both(_returns.sarsa_lambda_update)
def test_a_trace_that_fell_to_the_floor_is_dropped_and_the_others_keep_their_places(rule):
    table, traces = table_of(np.zeros((3, 2))), _returns.new_traces(3, 2)
    for s in (0, 1, 2):
        rule(table, traces, s, 0, 0.0, 0, 0, False, 0.5, 1.0, 0.5, True, 0.2)
    held = {(int(traces.states[i]), traces.strengths[i]) for i in range(traces.held[0])}
    assert held == {(2, 0.5), (1, 0.25)}  # that of 0 is 0.125
    assert [traces.places[s, 0] >= 0 for s in range(3)] == [False, True, True]
    _returns.drop_traces(traces)
    assert traces.held[0] == 0
    assert (traces.places == -1).all()


# ------------------------------------------------------------------------------------------------- Monte Carlo


@both(_returns.monte_carlo_update)
def test_first_visits_are_averaged_over_what_followed_them(rule):
    table, counts, episode = table_of(np.zeros((2, 2))), np.zeros((2, 2), np.int64), _returns.new_episode(2, 2, 9)
    for step in [(0, 0, 1.0, 1, False), (1, 1, 2.0, 0, False), (0, 0, 4.0, 1, True)]:
        _returns.remember_step(episode, *step)
    rule(table, counts, episode, 0.0, 0.0, 0.5, False)
    # (0, 0) first at 0: 1 + 0.5 * (2 + 0.5 * 4) = 3, not the 4 of its second visit; (1, 1): 2 + 2 = 4
    assert q_of(table).tolist() == [[3.0, 0.0], [0.0, 4.0]]
    assert counts.tolist() == [[1, 0], [0, 1]]
    _returns.remember_step(episode, 0, 0, 6.0, 1, True)
    rule(table, counts, episode, 0.0, 0.0, 0.5, False)
    assert q_of(table).tolist() == [[4.5, 0.0], [0.0, 4.0]]  # the mean of 3 and 6
    _returns.remember_step(episode, 0, 0, 6.5, 1, True)
    rule(table, counts, episode, 0.0, 0.25, 0.5, False)
    assert q_of(table)[0, 0] == 5.0  # an exponential mean: a quarter of the way from 4.5 to 6.5


def test_an_episode_that_was_cut_off_counts_on_what_would_have_followed():
    agent = MonteCarlo(2, 2, seed=0, gamma=0.5, exploration_schedule="constant", exploration_initial_eps=0.5)
    agent.q_table = [[0.0, 0.0], [8.0, 4.0]]
    agent.update(0, 1, 1.0, 1, False)
    agent.end_episode()
    # in state 1 the policy is worth 0.5 * 8 + 0.5 * 6 = 7; 1 + 0.5 * 7
    assert agent.q_table[0].tolist() == [0.0, 4.5]


def test_an_episode_longer_than_the_horizon_is_learnt_in_between():
    agent = MonteCarlo(3, 2, seed=0, gamma=1.0, horizon=2, exploration_schedule="constant", exploration_initial_eps=0.0)
    agent.q_table = [[0.0, 0.0], [0.0, 0.0], [5.0, 0.0]]
    agent.update(0, 0, 1.0, 1, False)
    assert agent.q_table[0, 0] == 0.0
    agent.update(1, 0, 2.0, 2, False)
    assert agent.q_table[:2, 0].tolist() == [8.0, 7.0]


def test_optimism_does_not_count_as_a_return():
    agent = MonteCarlo(1, 2, seed=0, initial_value=100.0)
    agent.update(0, 1, 3.0, 0, True)
    agent.end_episode()
    assert agent.q_table.tolist() == [[100.0, 3.0]]
