"""Each rule against the same written a second time in plain NumPy, on random walks; and agents that must coincide."""

import numpy as np
import pytest

from rlbench.agents import Bandit, DynaQ, DynaQPlus
from rlbench.errors import UsageError
from rlbench.random_state import new_generator

STATES, ACTIONS, STEPS = 5, 3, 120
RATES = {"learning_rate": 0.3, "gamma": 0.8}
seeds = pytest.mark.parametrize("seed", range(20))


def a_walk(seed):
    """Steps (s, a, r, s_next, terminated, truncated) of random episodes, each from where a step may lead."""
    rng = np.random.default_rng(seed)
    s, steps = 0, []
    for _ in range(STEPS):
        a, r, s_next, end = rng.integers(ACTIONS), rng.normal(), rng.integers(STATES), rng.random()
        steps.append((int(s), int(a), float(r), int(s_next), end < 0.1, 0.1 <= end < 0.2))
        s = rng.integers(STATES) if end < 0.2 else s_next
    return steps


def learnt(agent, steps):
    """The agent, after it has learnt from a walk."""
    for s, a, r, s_next, terminated, truncated in steps:
        agent.update(s, a, r, s_next, terminated)
        if terminated or truncated:
            agent.end_episode()
    return agent


def near(agent, expected):
    return agent.q_table == pytest.approx(expected, abs=1e-12)


# --------------------------------------------------------------------------------------------------- bandits


@seeds
def test_a_bandit_learns_the_mean_reward_whatever_comes_next(seed):
    q = np.zeros((STATES, ACTIONS))
    for s, a, r, *_ in a_walk(seed):
        q[s, a] = 0.7 * q[s, a] + 0.3 * r
    assert near(learnt(Bandit(STATES, ACTIONS, learning_rate=0.3), a_walk(seed)), q)


@seeds
@pytest.mark.parametrize("baseline", ["average", "none"])
def test_preferences_move_along_the_gradient_of_the_expected_reward(seed, baseline):
    h, rewards = np.zeros((STATES, ACTIONS)), [[] for _ in range(STATES)]
    for s, a, r, *_ in a_walk(seed):
        compared = np.mean(rewards[s] or [r]) if baseline == "average" else 0.0
        rewards[s].append(r)
        shares = np.exp(h[s]) / np.exp(h[s]).sum()
        h[s] += 0.3 * (r - compared) * (np.eye(ACTIONS)[a] - shares)
    agent = Bandit(STATES, ACTIONS, learning_rate=0.3, method="gradient", baseline=baseline)
    assert near(learnt(agent, a_walk(seed)), h)


def test_preferences_are_what_actions_are_drawn_by():
    agent = Bandit(1, 3, seed=2, method="gradient")
    agent.q_table = [[0.0, np.log(2), np.log(5)]]  # shares 1/8, 2/8, 5/8
    expected = np.array([1000, 2000, 5000])
    counts = np.bincount([agent.act(0) for _ in range(8000)])
    # chi-squared with 2 degrees of freedom: above 27.6 once in a million runs
    assert ((counts - expected) ** 2 / expected).sum() < 27.6


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"method": "gradient", "exploration": "ucb"}, "leave out exploration, got 'ucb'"),
        ({"method": "gradients"}, "did you mean gradient"),
        ({"baseline": "averages"}, "did you mean average"),
    ],
)
def test_a_bandit_refuses_what_cannot_be(parameters, message):
    with pytest.raises(UsageError, match=message):
        Bandit(1, 2, **parameters)


# ---------------------------------------------------------------------------------------- learning from a model


@seeds
def test_prioritized_sweeping_learns_the_largest_errors_first_and_counts_them(seed):
    q, model, queue, updates = np.zeros((STATES, ACTIONS)), {}, {}, 0

    def error(pair):
        r, s_next, terminated = model[pair]
        return r + 0.8 * (0.0 if terminated else q[s_next].max()) - q[pair]

    def enqueue(pair):
        if abs(error(pair)) > 0.05:
            queue[pair] = max(abs(error(pair)), queue.get(pair, 0.0))

    for s, a, r, s_next, terminated, _ in a_walk(seed):
        model[s, a] = r, s_next, terminated
        enqueue((s, a))
        for _ in range(4):
            if not queue:
                break
            pair = min(queue, key=lambda one: (-queue[one], one))
            del queue[pair]
            q[pair] += 0.3 * error(pair)
            updates += 1
            for before, (_, led_to, ended) in model.items():
                if led_to == pair[0] and not ended:
                    enqueue(before)
    sweeping = {"planning": "prioritized", "planning_steps": 4, "priority_threshold": 0.05}
    agent = learnt(DynaQ(STATES, ACTIONS, **sweeping, **RATES), a_walk(seed))
    assert near(agent, q)
    assert agent.updates == updates


def test_updates_go_on_being_counted_and_states_of_before_they_were_are_loaded():
    one, other = (DynaQ(STATES, ACTIONS, planning="prioritized", **RATES) for _ in range(2))
    state = learnt(one, a_walk(0)).state_dict()
    other.load_state_dict(state)
    assert other.updates == one.updates > 0
    del state["queue/updates"]
    other.load_state_dict(state)
    assert other.updates == 0
    assert np.array_equal(other.q_table, one.q_table)


def test_random_planning_makes_the_same_number_of_updates_at_every_step():
    assert learnt(DynaQ(STATES, ACTIONS, planning_steps=3, **RATES), a_walk(0)).updates == 4 * STEPS


@seeds
def test_dyna_q_plus_learns_again_with_a_bonus_for_what_was_not_tried_for_long(seed):
    q, model, tried_at, seen = np.zeros((STATES, ACTIONS)), {}, np.zeros((STATES, ACTIONS)), []
    draws = new_generator(seed)
    for now, (s, a, r, s_next, terminated, _) in enumerate(a_walk(seed), 1):
        q[s, a] += 0.3 * (r + (0.0 if terminated else 0.8 * q[s_next].max()) - q[s, a])
        if s not in seen:
            seen.append(s)
            model |= {(s, b): (0.0, s, False) for b in range(ACTIONS)}
        model[s, a], tried_at[s, a] = (r, s_next, terminated), now
        for u in draws.random(3):
            place = u * len(seen)
            pair = seen[int(place)], int(place % 1 * ACTIONS)
            reward, then, ends = model[pair]
            target = reward + 0.5 * np.sqrt(now - tried_at[pair]) + (0.0 if ends else 0.8 * q[then].max())
            q[pair] += 0.3 * (target - q[pair])
    assert near(learnt(DynaQPlus(STATES, ACTIONS, seed=seed, planning_steps=3, kappa=0.5, **RATES), a_walk(seed)), q)


@seeds
def test_dyna_q_plus_without_a_bonus_is_dyna_q_where_all_was_tried(seed):
    everything = [(s, a, 0.0, s, False, False) for s in range(STATES) for a in range(ACTIONS)]
    agents = [
        learnt(DynaQ(STATES, ACTIONS, planning_steps=3, seed=seed, **RATES), everything),
        learnt(DynaQPlus(STATES, ACTIONS, planning_steps=3, seed=seed, kappa=0.0, **RATES), everything),
    ]
    one, other = (learnt(agent, a_walk(seed)).q_table for agent in agents)
    assert np.array_equal(one, other)


def test_a_state_in_which_something_is_tried_in_the_future_is_refused():
    agent = learnt(DynaQPlus(STATES, ACTIONS), a_walk(0))
    state = agent.state_dict()
    with pytest.raises(UsageError, match="tried_at names a step later than timesteps"):
        agent.load_state_dict({**state, "timesteps": 1})


@pytest.mark.parametrize("kappa", [-1.0, float("nan")])
def test_a_bonus_is_not_negative(kappa):
    with pytest.raises(UsageError, match="kappa must be 0 or more"):
        DynaQPlus(2, 2, kappa=kappa)
