"""An env of one's own that hands over its table trains in the compiled loop, if it is that table, draw for draw."""

import random

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.utils import categorical_sample
from gymnasium.wrappers import TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st
from training.toys import outcome

import rlbench
from rlbench.envs.compiled import compiled_world
from rlbench.envs.own_tables import ALWAYS, IF_SEVERAL, NEVER, own_table
from rlbench.errors import UsageError
from rlbench.testing import why_not_compiled

SIZE = 4


def grid(slip):
    """A square of SIZE x SIZE, from the first corner to the last; with `slip`, a step may go the next way instead."""
    ways, table = [(-1, 0), (0, 1), (1, 0), (0, -1)], {}

    def beside(s, a):
        row, col = (min(max(x + d, 0), SIZE - 1) for x, d in zip(divmod(s, SIZE), ways[a % 4], strict=True))
        return row * SIZE + col

    for s in range(SIZE**2):
        went = [[(1 - slip, beside(s, a)), (slip, beside(s, a + 1))][: 2 if slip else 1] for a in range(4)]
        table[s] = {a: [(p, t, -1.0, t == SIZE**2 - 1) for p, t in went[a]] for a in range(4)}
    return table


class Grid(gym.Env):
    """A gridworld as a student writes it: its draws are those of toy-text, or as few as it needs."""

    observation_space, action_space = gym.spaces.Discrete(SIZE**2), gym.spaces.Discrete(4)
    reset_draws, step_draws = False, "never"

    def __init__(self, slip=0.0, render_mode=None):
        self.render_mode, self.P = render_mode, grid(slip)
        self.initial_state_distrib = np.eye(SIZE**2)[0]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.s = int(categorical_sample(self.initial_state_distrib, self.np_random)) if self.reset_draws else 0
        return self.s, {}

    def step(self, action):
        outcomes = self.P[self.s][action]
        draws = self.step_draws == "always" or (self.step_draws == "if several" and len(outcomes) > 1)
        i = categorical_sample([one[0] for one in outcomes], self.np_random) if draws else 0
        _, self.s, reward, terminated = outcomes[i]
        return self.s, reward, terminated, False, {"is_success": terminated}


def drawing(start, step, slip=0.0, starts=1):
    env = Grid(slip)
    env.reset_draws, env.step_draws = start, step
    env.initial_state_distrib = np.arange(SIZE**2) < starts
    env.initial_state_distrib = env.initial_state_distrib / starts
    return env


WAYS = {
    "nothing is drawn": (drawing(False, "never"), (NEVER, NEVER)),
    "as toy-text does": (drawing(True, "always", 0.25, 3), (ALWAYS, ALWAYS)),
    "only steps": (drawing(False, "always", 0.25), (NEVER, ALWAYS)),
    "only starts": (drawing(True, "never", starts=5), (ALWAYS, NEVER)),
    "where there is a choice": (drawing(False, "if several", 0.25), (NEVER, IF_SEVERAL)),
}
WAYS["where there is a choice"][0].P[5] = grid(0.0)[5]  # certain there


@pytest.mark.parametrize("way", WAYS)
def test_an_env_with_its_own_table_trains_compiled_however_it_draws_and_comes_to_the_same(way):
    env, draws = WAYS[way]
    assert own_table(env)[1:] == draws
    limited = TimeLimit(env, 60)
    runs = [rlbench.train(limited, episodes=30, seed=1, engine=engine) for engine in ("auto", "python")]
    assert [run.engine for run in runs] == ["compiled", "python"]
    assert outcome(runs[0]) == outcome(runs[1])
    assert rlbench.verify(runs[0], env=limited, engine="python").mismatched == 0
    assert rlbench.evaluate(runs[0], limited, episodes=5, seed=0).success_rate is not None  # by its infos


class Lying(Grid):
    """The table says nothing of a wall that it has."""

    def step(self, action):
        return (self.s, -1.0, False, False, {}) if (self.s, action) == (1, 1) else super().step(action)


class Rolling(Grid):
    """It draws otherwise than its table is read."""

    def reset(self, *, seed=None, options=None):
        self.np_random.integers(3)
        return super().reset(seed=seed)

    def step(self, action):
        self.np_random.integers(3)
        return super().step(action)


class Counting(Grid):
    """It keeps how often it was stepped; after a while it may do what no table says."""

    steps = 0

    def step(self, action):
        self.steps += 1
        return super().step(action)


class Tiring(Grid):
    """It ends its episodes itself."""

    def reset(self, *, seed=None, options=None):
        self.left = 9
        return super().reset(seed=seed)

    def step(self, action):
        self.left -= 1
        return *super().step(action)[:3], self.left == 0, {}


class Dicing(Grid):
    """Its dice are its own."""

    def __init__(self):
        super().__init__()
        self.dice = random.Random(1)  # noqa: S311

    def step(self, action):
        self.dice.random()
        return super().step(action)


class Moody(Grid):
    """Its table changes as it goes."""

    def reset(self, *, seed=None, options=None):
        self.P[3][0] = [(1.0, 3, self.P[3][0][0][2] - 1.0, False)]
        return super().reset(seed=seed)


class Failing(Grid):
    """It fails."""

    def step(self, action):
        raise ZeroDivisionError("so it is")


REASONS = {
    Lying: r"the table of Lying does not describe it: P\[1\]\[1\]|Lying does not do what its table says",
    Rolling: "Rolling does not do what its table says: .* drew other random numbers than one of np_random",
    Counting: "Counting keeps 'steps' besides its state: its table cannot say what depends on that",
    Tiring: r"Tiring (truncates episodes itself|keeps 'left')|the table of Tiring .* the env gave truncated=True",
    Dicing: "Dicing keeps 'dice' besides its state",
    Moody: "Moody does not do what its table says|the table of Moody does not describe it|Moody keeps 'P'",
    Failing: "the table of Failing cannot be compared with it: ZeroDivisionError",
}


@pytest.mark.parametrize("kind", REASONS)
def test_an_env_that_is_not_its_table_trains_readably_and_a_line_says_why(kind):
    env = TimeLimit(kind(), 20)
    assert compiled_world(env) is None
    with pytest.raises(UsageError, match=f"engine='compiled' is not possible: ({REASONS[kind]}).*; use engine='auto'"):
        rlbench.train(env, episodes=2, seed=0, engine="compiled")
    if kind is not Failing:
        assert rlbench.train(env, episodes=2, seed=0).engine == "python"


def test_an_env_that_is_to_be_seen_is_stepped():
    assert "is shown while it is stepped" in why_not_compiled(Grid(render_mode="human"))
    assert why_not_compiled(Grid()) == ""
    assert why_not_compiled(gym.make("FrozenLake-v1")) == ""
    assert why_not_compiled(type("Lake", (FrozenLakeEnv,), {})()) == ""  # whose states are NumPy's numbers, or Python's


def test_comparing_leaves_the_env_as_it_was():
    env = drawing(True, "always", 0.25, 3)
    env.reset(seed=7)
    before = env.s, env.np_random.bit_generator.state
    own_table(env)
    assert (env.s, env.np_random.bit_generator.state) == before


@settings(max_examples=5)
@given(data=st.data())
def test_whatever_the_table_it_is_found_or_found_wrong(data):
    """A row that differs between env and table, if only in its reward, is noticed, however small the share."""
    ends = st.tuples(st.integers(0, SIZE**2 - 1), st.integers(-3, 3).map(float), st.booleans())
    rows = data.draw(st.lists(st.tuples(ends, ends, st.sampled_from([0.25, 0.5])), min_size=64, max_size=64))
    env = drawing(True, "always", starts=SIZE**2)
    for pair, (one, other, p) in enumerate(rows):
        env.P[pair // 4][pair % 4] = [(p, *one), (1 - p, *other)]
    assert own_table(env)[1:] == (ALWAYS, ALWAYS)

    class Wrong(type(env)):
        def step(self, action):
            found = super().step(action)
            return (found[0], found[1] + 1.0, *found[2:]) if (self.s, action) == (found[0], 3) else found

    assert isinstance(env, Grid)
    env.__class__ = Wrong
    with pytest.raises(UsageError, match="does not"):
        own_table(env)
