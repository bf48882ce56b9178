"""What is called exact holds for the env that is stepped, its wrappers and overridden methods included."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces, wrappers
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from hypothesis import given, settings
from hypothesis import strategies as st

import rlbench
from rlbench.agents import QLearning
from rlbench.envs import SafeCabEnv
from rlbench.envs.compiled import compiled_world
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

CLIFF = "CliffWalking-v1"


class Shaped(gym.Wrapper):
    def step(self, action):
        observation, reward, *rest = self.env.step(action)
        return observation, reward - 1.0, *rest


class Mirrored(gym.Wrapper):
    def step(self, action):
        return self.env.step(3 - action)


class Renamed(gym.Wrapper):
    def reset(self, *, seed=None, options=None):
        observation, info = self.env.reset(seed=seed, options=options)
        return (observation + 1) % 48, info


class Idle(gym.Wrapper):
    """Changes nothing, but nobody can know that."""


class MyTimeLimit(wrappers.TimeLimit):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 7.0, *rest


# a (wrapper, whether the table still describes the env) of each kind
WRAPPERS = {
    "PassiveEnvChecker": (wrappers.PassiveEnvChecker, True),
    "OrderEnforcing": (wrappers.OrderEnforcing, True),
    "TimeLimit": (lambda env: wrappers.TimeLimit(env, 9), True),
    "RecordEpisodeStatistics": (wrappers.RecordEpisodeStatistics, True),
    "RecordEpisodes": (lambda env: rlbench.RecordEpisodes(env, None), True),
    "Autoreset": (wrappers.Autoreset, False),
    "ClipReward": (lambda env: wrappers.ClipReward(env, -0.5, 0.5), False),
    "NormalizeReward": (wrappers.NormalizeReward, False),
    "TransformReward": (lambda env: wrappers.TransformReward(env, abs), False),
    "TransformAction": (lambda env: wrappers.TransformAction(env, lambda a: 0, env.action_space), False),
    "TransformObservation": (
        lambda env: wrappers.TransformObservation(env, lambda o: (o + 1) % 48, env.observation_space),
        False,
    ),
    "StickyAction": (lambda env: wrappers.StickyAction(env, 0.5), False),
    "DelayObservation": (lambda env: wrappers.DelayObservation(env, 0), False),
    "Shaped": (Shaped, False),
    "Mirrored": (Mirrored, False),
    "Renamed": (Renamed, False),
    "Idle": (Idle, False),
    "MyTimeLimit": (lambda env: MyTimeLimit(env, 50), False),
}


def following(policy, n_actions=4):
    agent = QLearning(len(policy), n_actions, seed=0)
    agent.q_table = np.eye(n_actions)[policy]
    return agent


@settings(max_examples=30)
@given(st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3, unique=True), st.integers(0, 2**32))
def test_behind_any_wrappers_the_exact_value_is_what_is_sampled_or_none(names, seed):
    env, policy = gym.make(CLIFF, max_episode_steps=12), np.random.default_rng(seed).integers(4, size=48)
    for name in names:
        env = WRAPPERS[name][0](env)
    try:
        found = rlbench.evaluate(following(policy), env, episodes=2, seed=0)  # nothing is random here: sampled = exact
    finally:
        env.close()
    if all(WRAPPERS[name][1] for name in names):
        assert found.exact_return == found.mean_return
    else:
        assert (found.exact_return, found.regret) == (None, None)
        assert "may change what the table of CliffWalking-v1 describes" in found.inexact


class Bonus(CliffWalkingEnv):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + (self.s == 35), *rest


class Elsewhere(CliffWalkingEnv):
    def reset(self, **keywords):
        super().reset(**keywords)
        self.s = 0
        return 0, {}


class Tiring(CliffWalkingEnv):
    """It pays less from the tenth step of its life."""

    steps = 0

    def step(self, action):
        observation, reward, *rest = super().step(action)
        self.steps += 1
        return observation, reward - (self.steps > 10), *rest


class Clumsy(FrozenLakeEnv):
    """Half of the actions are random."""

    def step(self, action):
        return super().step(int(self.np_random.integers(4)) if self.np_random.random() < 0.5 else action)


class Short(CliffWalkingEnv):
    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, self.np_random.random() < 0.1, info


class RichCab(SafeCabEnv):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, 2 * reward, *rest


@pytest.mark.parametrize("cls", [Bonus, Elsewhere, Tiring, Clumsy, Short, RichCab])
def test_an_env_that_overrides_what_its_table_says_has_no_exact_value_and_says_why(cls):
    env = cls()
    policy = np.zeros(env.observation_space.n, int)
    found = rlbench.evaluate(following(policy, env.action_space.n), wrappers.TimeLimit(env, 20), episodes=2, seed=0)
    assert found.exact_return is None
    assert f"the table of {cls.__name__} does not describe it: " in found.inexact
    before = env.s, env.np_random.bit_generator.state
    with pytest.raises(UsageError, match="does not describe it"):
        rlbench.plan(env)
    assert (env.s, env.np_random.bit_generator.state) == before  # a copy was stepped
    assert compiled_world(env) is None


def test_a_subclass_that_overrides_nothing_has_its_exact_value():
    class Mine(CliffWalkingEnv):
        """Only a name."""

    assert rlbench.plan(Mine()).optimal_return == rlbench.plan(CLIFF).optimal_return == -13


def test_a_table_changed_after_making_is_the_one_that_is_stepped_and_solved():
    env = gym.make(CLIFF)
    env.unwrapped.P[24][1] = [(1.0, 47, 5.0, True)]
    assert rlbench.plan(env).optimal_return > -13


def test_a_method_replaced_on_the_env_itself_ends_what_its_table_and_counterpart_say():
    env = SafeCabEnv()
    env.step = lambda action: (0, 0.0, False, False, {})
    assert compiled_world(env) is None
    with pytest.raises(UsageError, match="a method of SafeCabEnv has been replaced"):
        TabularModel.from_env(env)


class Own(gym.Env):
    """An env that offers a compiled world of its own."""

    observation_space, action_space = spaces.Discrete(2), spaces.Discrete(2)

    def __init__(self, **changes):
        self.changes = changes

    def compiled_world(self):
        from rlbench.envs._worlds import sampled_world

        table = [[[(1.0, 1, 1.0, True)], [(1.0, 0, 0.0, False)]]] * 2
        return sampled_world(TabularModel.from_table(table, [1.0, 0.0]))._replace(**self.changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"successor": np.array([0, 1, 2, 0], np.int32)},
        {"successor": np.array([0, -1, 1, 0], np.int32)},
        {"successor": np.array([0, 1], np.int32)},
        {"cumulative": np.array([1.0, 1.0, 0.5, 1.0])},
        {"cumulative": np.array([1.0, 1.0, np.nan, 1.0])},
        {"reward": np.array([1.0, 1.0, np.inf, 1.0])},
        {"offsets": np.array([0, 1, 2, 3, 5])},
        {"start_cumulative": np.array([1.0, 1.0, 1.0])},
        {"start_cumulative": np.array([0.5, 0.6])},
    ],
)
def test_a_compiled_world_that_leads_out_of_its_tables_is_refused_when_it_is_made(changes):
    assert compiled_world(Own()) is not None
    with pytest.raises(UsageError, match="the compiled world of Own is wrong: "):
        rlbench.train(Own(**changes), episodes=1, seed=0)
