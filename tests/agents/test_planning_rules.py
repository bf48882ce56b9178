"""Learning from a model of what was seen, on numbers worked by hand; each rule also as plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.agents import DynaQ, QLearning, _models, _rules
from rlbench.errors import UsageError


def both(rule):
    return pytest.mark.parametrize("rule", [rule, rule.py_func], ids=["compiled", "python"])


def q_of(table, n_actions=2):
    return table.values[:, _rules.FIRST : _rules.FIRST + n_actions]


@both(_models.learn_model)
def test_the_model_holds_the_latest_outcome_of_every_action_tried(rule):
    model = _models.new_model(4, 3)
    rule(model, 2, 1, 5.0, 3, False)
    rule(model, 2, 0, 1.0, 0, True)
    rule(model, 2, 1, 7.0, 1, False)
    assert model.states[: model.n_seen[0]].tolist() == [2]
    assert model.tried[2, : model.n_tried[2]].tolist() == [1, 0]
    assert (model.rewards[2, 1], model.outcomes[2, 1]) == (7.0, 1 << 1)
    assert (model.rewards[2, 0], model.outcomes[2, 0]) == (1.0, 0 << 1 | 1)


@both(_models.plan_step)
def test_a_draw_picks_a_state_that_was_seen_and_its_fraction_an_action_that_was_tried(rule):
    model = _models.new_model(4, 3)
    for s, a in ((3, 2), (1, 0), (1, 2)):
        _models.learn_model(model, s, a, 1.0, 0, True)
    learnt = []
    for u in (0.0, 0.49, 0.5, 0.74, 0.75, 0.99):
        table = _rules.new_table(4, 3)
        rule(table, model, u, 1.0, 0.9)
        learnt.append(tuple(np.argwhere(q_of(table, 3))[0].tolist()))
    assert learnt == [(3, 2), (3, 2), (1, 0), (1, 0), (1, 2), (1, 2)]


@both(_models.plan)
def test_planning_learns_what_the_model_says_by_the_rule_of_q_learning(rule):
    model, table = _models.new_model(3, 2), _rules.new_table(3, 2)
    _models.learn_model(model, 0, 1, 1.0, 1, False)
    _models.learn_model(model, 1, 0, 10.0, 2, True)
    rule(table, model, np.array([0.6, 0.1, 0.6]), 0.5, 0.5)
    # (1, 0): 5; (0, 1): half of 1 + 0.5 * 5; (1, 0): 7.5
    assert q_of(table).tolist() == [[0.0, 1.75], [7.5, 0.0], [0.0, 0.0]]


def test_dyna_without_planning_is_q_learning():
    agents = [cls(3, 2, seed=4, **kw) for cls, kw in ((DynaQ, {"planning_steps": 0}), (QLearning, {}))]
    for agent in agents:
        for t in range(50):
            agent.update(t % 3, agent.act(t % 3), float(t % 4), (t + 1) % 3, t % 7 == 0)
    assert np.array_equal(agents[0].q_table, agents[1].q_table)


CORRIDOR = [(0, 0, 0.0, 1, False), (1, 0, 0.0, 2, False), (2, 0, 8.0, 3, True)]


@both(_models.sweep)
def test_sweeping_carries_a_value_back_along_the_whole_way_in_one_step(rule):
    model, queue, table = _models.new_model(4, 2), _models.new_queue(4, 2), _rules.new_table(4, 2)
    for step in CORRIDOR:
        rule(table, model, queue, *step, 1.0, 0.5, 1e-4, 3)
    assert q_of(table)[:, 0].tolist() == [2.0, 4.0, 8.0, 0.0]
    assert queue.held[0] == 0


@both(_models.sweep)
def test_what_a_sweep_has_no_time_for_waits_in_the_queue(rule):
    model, queue, table = _models.new_model(4, 2), _models.new_queue(4, 2), _rules.new_table(4, 2)
    for step in CORRIDOR:
        rule(table, model, queue, *step, 1.0, 0.5, 1e-4, 1)
    assert q_of(table)[:, 0].tolist() == [0.0, 0.0, 8.0, 0.0]
    assert queue.heap[: queue.held[0]].tolist() == [2]  # the pair (1, 0), whose value should be 4
    assert queue.priorities[2] == 4.0
    # an event of less surprise is learnt after it
    rule(table, model, queue, 3, 1, 1.0, 3, True, 1.0, 0.5, 1e-4, 1)
    assert q_of(table)[1, 0] == 4.0
    assert q_of(table)[3, 1] == 0.0


@both(_models.sweep)
def test_errors_up_to_the_threshold_are_let_be(rule):
    model, queue, table = _models.new_model(2, 1), _models.new_queue(2, 1), _rules.new_table(2, 1)
    rule(table, model, queue, 0, 0, 0.5, 1, True, 1.0, 0.9, 0.5, 5)
    assert q_of(table, 1)[0, 0] == 0.0
    rule(table, model, queue, 0, 0, 0.6, 1, True, 1.0, 0.9, 0.5, 5)
    assert q_of(table, 1)[0, 0] == 0.6


@both(_models.sweep)
def test_a_pair_whose_outcome_changed_leads_no_longer_where_it_led(rule):
    model, queue, table = _models.new_model(4, 2), _models.new_queue(4, 2), _rules.new_table(4, 2)
    rule(table, model, queue, 0, 0, 0.0, 1, False, 1.0, 0.5, 1e-4, 3)
    rule(table, model, queue, 2, 0, 0.0, 1, False, 1.0, 0.5, 1e-4, 3)
    rule(table, model, queue, 0, 0, 0.0, 3, False, 1.0, 0.5, 1e-4, 3)
    rule(table, model, queue, 1, 1, 8.0, 3, True, 1.0, 0.5, 1e-4, 3)
    assert q_of(table)[:, 0].tolist() == [0.0, 0.0, 4.0, 0.0]  # state 2 alone still leads to 1


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from([0.5, 1.0, 2.0, 3.0])), max_size=40), st.integers(0, 40))
def test_the_queue_hands_out_pairs_by_priority_and_then_by_number(entries, removed):
    queue, expected = _models.new_queue(4, 3), {}
    for pair, priority in entries:
        _models._enqueue(queue, pair, priority, 0.5)
        if priority > 0.5:
            expected[pair] = max(priority, expected.get(pair, 0.0))
    order = sorted(expected, key=lambda pair: (-expected[pair], pair))
    for pair in order[:removed]:
        assert queue.heap[0] == pair
        _models._remove_first(queue)
    left = order[removed:]
    assert sorted(queue.heap[: queue.held[0]].tolist()) == sorted(left)
    assert [queue.places[queue.heap[i]] for i in range(queue.held[0])] == list(range(queue.held[0]))
    assert {pair for pair in range(12) if queue.places[pair] >= 0} == set(left)


steps = st.tuples(
    st.integers(0, 3), st.integers(0, 1), st.sampled_from([-1.0, 0.0, 5.0]), st.integers(0, 3), st.booleans()
)


@given(st.lists(steps, max_size=40), st.lists(steps, max_size=40))
def test_a_queue_made_anew_from_a_state_goes_on_alike(before, after):
    first, second = (DynaQ(4, 2, seed=0, planning="prioritized", planning_steps=2, gamma=0.9) for _ in range(2))
    for step in before:
        first.update(*step)
    second.load_state_dict(first.state_dict())
    for agent in (first, second):
        for step in after:
            agent.update(*step)
    one, other = first.state_dict(), second.state_dict()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@settings(max_examples=30)
@given(st.lists(steps, min_size=1, max_size=30))
def test_when_the_queue_is_empty_the_values_are_what_the_model_says(walk):
    agent = DynaQ(4, 2, seed=0, planning="prioritized", planning_steps=500, gamma=0.5, learning_rate=1.0)
    for step in walk:
        agent.update(*step)
    errors = [
        _models.model_error(agent.table, agent.model, s, a, 0.5)
        for s in range(4)
        for a in range(2)
        if agent.model.outcomes[s, a] >= 0
    ]
    assert agent.queue.held[0] == 0
    assert max(map(abs, errors)) <= 1e-4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"planning_steps": -1}, "planning_steps must be at least 0"),
        ({"planning": "priority"}, "did you mean prioritized"),
        ({"planning": "prioritized", "planning_steps": 0}, "give 1 or more"),
        ({"priority_threshold": -1.0}, "priority_threshold must be 0 or more"),
        ({"priority_threshold": float("nan")}, "priority_threshold must be 0 or more"),
    ],
)
def test_dyna_refuses_what_cannot_be(parameters, message):
    with pytest.raises(UsageError, match=message):
        DynaQ(2, 2, **parameters)
