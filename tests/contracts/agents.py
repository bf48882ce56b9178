"""What agents do in this process or another."""

import numpy as np

import rlbench
from rlbench.agents import AGENTS

SMALL = {"learning_starts": 5, "batch_size": 4, "buffer_size": 30}
VARIANTS = {
    **{name: (name, SMALL if name == "replay-q" else {}) for name in AGENTS},
    "ratios": ("off-policy-mc", {"policy": 1, "behaviour": [[0.5, 0.5], [0.25, 0.75], [0, 1]]}),
    "values of actions": ("td0", {"values": "q", "policy": [1, 0, 1]}),
    "R-learning": ("differential-sarsa", {"rule": "r-learning"}),
    "several outcomes": ("dyna-q", {"outcomes": 3}),
    "preferences": ("bandit", {"method": "gradient"}),
    "ucb": ("q-learning", {"exploration": "ucb"}),
    "softmax": ("expected-sarsa", {"exploration": "softmax"}),
    "visits": ("q-learning", {"learning_rate_schedule": "visits"}),
    "sweeping": ("dyna-q", {"planning": "prioritized"}),
    "prioritized": ("replay-q", {"replay": "prioritized", "n_step": 2, **SMALL}),
}


def an_agent(variant):
    name, parameters = VARIANTS[variant]
    return AGENTS[name](3, 2, seed=1, **parameters)


def same_state(one, other):
    """Asserts that two agents have equal states and parameters."""
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
    assert one.config() == other.config()


def going_on(agent):
    """The agent, after some more steps."""
    for t in range(40):
        agent.update(t % 3, agent.act(t % 3), 1.0, (t + 1) % 3, t % 5 == 4)
    return agent


def trained(seed):
    """A run, as a process pool returns it: with all that its store in memory holds."""
    return rlbench.train("FrozenLake-v1", "sarsa", episodes=20, seed=seed, engine="python")
