"""Small worlds whose every number is known, and ways to compare two runs bit for bit."""

import dataclasses
import random

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.toy_text.utils import categorical_sample


class Road(gym.Env):
    """Two squares: any action leads from 0 to 1 for a reward of 1, and from 1 to the end, back at 0, for 10."""

    P = {0: {a: [(1.0, 1, 1.0, False)] for a in (0, 1)}, 1: {a: [(1.0, 0, 10.0, True)] for a in (0, 1)}}  # noqa: RUF012
    initial_state_distrib = np.array([1.0, 0.0])
    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.np_random.random()
        self.s = 0
        return self.s, {}

    def step(self, action):
        self.np_random.random()
        [(_, self.s, reward, terminated)] = self.P[self.s][int(action)]
        return self.s, reward, terminated, False, {}

    def compiled_world(self):
        from rlbench.envs._worlds import sampled_world
        from rlbench.envs.tabular import TabularModel

        return sampled_world(TabularModel.from_env(self))


class Ring(Road):
    """Six squares in a ring without an end: on by one or by two, for a reward that tells the squares apart."""

    P = {s: {a: [(1.0, (s + 1 + a) % 6, float(s), False)] for a in (0, 1)} for s in range(6)}  # noqa: RUF012
    initial_state_distrib = np.array([1.0, 0, 0, 0, 0, 0])
    observation_space = spaces.Discrete(6)
    compiled_world = Road.compiled_world  # it speaks for this class too


def _stakes(s, a, goal=10, heads=0.4):
    """What comes of a stake: toy-text's outcomes; a stake that is not allowed changes nothing."""
    if not Gambler.allowed_actions[s, a] or s in {0, goal}:
        return [(1.0, s, 0.0, False)]
    won, lost = s + a, s - a
    return [(heads, won, float(won == goal), won == goal), (1 - heads, lost, 0.0, lost == 0)]


class Gambler(Road):
    """Sutton and Barto, example 4.3, up to 10: the stakes are 1 to what one has, and not beyond the goal."""

    allowed_actions = np.array(
        [[0 < a <= min(s, 10 - s) or (s in {0, 10} and not a) for a in range(6)] for s in range(11)]
    )
    initial_state_distrib = np.array([0, 0, 0.25, 0, 0, 0.25, 0, 0.5, 0, 0, 0])
    observation_space = spaces.Discrete(11)
    action_space = spaces.Discrete(6)
    compiled_world = Road.compiled_world  # it speaks for this class too

    def reset(self, *, seed=None, options=None):
        gym.Env.reset(self, seed=seed)
        self.s = int(categorical_sample(self.initial_state_distrib, self.np_random))
        return self.s, {"action_mask": self.allowed_actions[self.s].astype(np.int8)}

    def step(self, action):
        outcomes = self.P[self.s][int(action)]
        i = categorical_sample([one[0] for one in outcomes], self.np_random)
        _, self.s, reward, terminated = outcomes[i]
        return self.s, reward, terminated, False, {"action_mask": self.allowed_actions[self.s].astype(np.int8)}


Gambler.P = {s: {a: _stakes(s, a) for a in range(6)} for s in range(11)}


class Circle(gym.Env):
    """Five squares in a circle, ten steps an episode, a reward of 1 each; `hook(n)` is called in the n-th step ever.

    What the hook returns, if anything, is the reward instead.
    """

    observation_space = spaces.Discrete(5)
    action_space = spaces.Discrete(2)

    def __init__(self, hook=lambda n: None, length=10):
        self.hook, self.length, self.steps = hook, length, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.s = 0, int(self.np_random.integers(5))
        return self.s, {}

    def step(self, action):
        self.steps += 1
        self.t += 1
        self.s = (self.s + 1 + int(action)) % 5
        reward = self.hook(self.steps)
        return self.s, 1.0 if reward is None else reward, self.t >= self.length, False, {}


class Fragile(Circle):
    """A circle whose resets fail, right after drawing, when as many have been made as `fails_after` says."""

    fails_after = -1  # never

    def __init__(self):
        super().__init__()
        self.resets = 0

    def reset(self, *, seed=None, options=None):
        start = super().reset(seed=seed)
        self.resets += 1
        if self.resets > self.fails_after >= 0:
            raise ZeroDivisionError("the env")
        return start


class Dice(gym.Env):
    """Six rolls an episode of a die of ten, each its reward; `kind` says which generator is the env's own.

    It is seeded in reset(seed=...), as Gymnasium asks, and by nothing else.
    """

    KINDS = {"random": random.Random, "RandomState": np.random.RandomState}  # noqa: RUF012
    observation_space = spaces.Discrete(10)
    action_space = spaces.Discrete(2)

    def __init__(self, kind="random"):
        self.kind, self.rng = kind, self.KINDS[kind]()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.rng = self.KINDS[self.kind](seed)
        self.t = 0
        return self._rolled(), {}

    def step(self, action):
        self.t += 1
        rolled = self._rolled()
        return rolled, float(rolled), self.t >= 6, False, {}

    def _rolled(self):
        return int(self.rng.random() * 10)


class Replaced(Dice):
    """A die whose own generator stands where Gymnasium's should."""

    def reset(self, *, seed=None, options=None):
        start = super().reset(seed=seed)
        self.np_random = self.rng
        return start


class Growing(Circle):
    """A circle that gives more in each episode: what it counts survives its resets."""

    def __init__(self):
        super().__init__(float)


def frozen(value):
    """A value with its arrays as bytes and its numbers as they print: equal only if every bit is."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value):
        return {f.name: frozen(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: frozen(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(inner) for inner in value]
    return type(value).__name__, repr(value)


def outcome(run):
    """All that a run came to, apart from its id, its seconds and the loop that ran."""
    store, recorded = run.store, run.record.config.keeps_steps
    return {
        "counts": (run.episodes, run.timesteps, run.status),
        "agent": frozen(run.agent.state_dict()),
        "figures": frozen(run.figures),
        "chunks": [frozen(chunk) for chunk in store.chunks(run.id)],
        "checkpoint": frozen(store.checkpoint(run.id)),
        "episodes": [frozen(episode) for episode in store.episodes(run.id)] if recorded else [],
    }
