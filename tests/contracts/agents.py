"""What every registered agent must pass; run over the registry."""

import copy
import json

import numpy as np


def _taught(agent_class, seed, *, steps=60):
    """An agent for 3 states and 2 actions after some steps, ends of both kinds among them."""
    agent = agent_class(3, 2, seed=seed)
    dice = np.random.default_rng(7)
    s = 0
    for t in range(steps):
        a, s_next = agent.act(s), int(dice.integers(3))
        agent.update(s, a, float(dice.normal()), s_next, t % 11 == 10)
        s = s_next
        if t % 11 == 10 or t % 17 == 16:
            agent.end_episode()
    return agent


def _same_state(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def going_on(agent):
    """The agent, after some more steps."""
    for t in range(40):
        agent.update(t % 3, agent.act(t % 3), 1.0, (t + 1) % 3, t % 5 == 4)
    return agent


def actions_are_plain_ints_within_the_space(agent_class):
    agent = agent_class(3, 2, seed=0)
    drawn = [agent.act(s % 3, explore=s % 2 == 0) for s in range(50)]
    assert all(type(action) is int and 0 <= action < 2 for action in drawn)


def the_same_seed_makes_the_same_agent(agent_class):
    assert _same_state(_taught(agent_class, 5).state_dict(), _taught(agent_class, 5).state_dict())


def the_greedy_action_of_a_learner_draws_nothing(agent_class):
    agent = agent_class(3, 2, seed=0)
    if agent.greedy_policy() is None:
        return
    before = agent.state_dict()
    agent.act(0, explore=False)
    assert _same_state(agent.state_dict(), before)


def a_stored_state_goes_on_as_if_nothing_had_happened(agent_class):
    first = _taught(agent_class, 5)
    second = agent_class(3, 2, seed=99)
    second.load_state_dict(first.state_dict())
    assert _same_state(second.state_dict(), first.state_dict())
    assert _same_state(going_on(second).state_dict(), going_on(first).state_dict())


def a_copy_goes_on_alike_and_leaves_the_agent_as_it_was(agent_class):
    agent = _taught(agent_class, 5)
    before = agent.state_dict()
    copied = copy.deepcopy(agent)
    assert _same_state(copied.state_dict(), before)
    assert agent.learner() is None or type(copied.learner()) is type(agent.learner())
    after = going_on(copied).state_dict()
    assert _same_state(agent.state_dict(), before)
    assert _same_state(going_on(agent).state_dict(), after)


def a_state_is_plain_arrays_and_json(agent_class):
    state = _taught(agent_class, 1).state_dict()
    json.dumps({name: value for name, value in state.items() if not isinstance(value, np.ndarray)})
    assert all(value.dtype != object for value in state.values() if isinstance(value, np.ndarray))


def it_counts_steps_and_episodes(agent_class):
    agent = _taught(agent_class, 1, steps=22)
    assert (agent.timesteps, agent.episodes) == (22, 3)


def the_global_generator_is_left_alone(agent_class):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - it is this one that must not move
    _taught(agent_class, None)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


AGENT_CHECKS = [
    actions_are_plain_ints_within_the_space,
    the_same_seed_makes_the_same_agent,
    the_greedy_action_of_a_learner_draws_nothing,
    a_stored_state_goes_on_as_if_nothing_had_happened,
    a_copy_goes_on_alike_and_leaves_the_agent_as_it_was,
    a_state_is_plain_arrays_and_json,
    it_counts_steps_and_episodes,
    the_global_generator_is_left_alone,
]
