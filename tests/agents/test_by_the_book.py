"""Each rule against the same written a second time in plain NumPy, on random walks; and agents that must coincide."""

import numpy as np
import pytest

from rlbench.agents import Bandit, DynaQ
from rlbench.errors import UsageError

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
