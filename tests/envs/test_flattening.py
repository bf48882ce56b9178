"""Finite spaces are numbered from 0, each value once, and a number leads back to its value."""

from itertools import product

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from hypothesis import given, settings
from hypothesis import strategies as st

import rlbench
from rlbench.agents import QLearning
from rlbench.envs import FlattenDiscrete
from rlbench.envs.flattening import flattened, is_finite
from rlbench.errors import UsageError

UNIT = spaces.Box(-1.0, 1.0, (2,), np.float64)


class Still(gym.Env):
    """Observes whatever it is told to, and tells which action it was given."""

    def __init__(self, space, observation=None, actions=None):
        self.observation_space, self.told = space, observation
        self.action_space = spaces.Discrete(2) if actions is None else actions

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.told, {}

    def step(self, action):
        return self.told, 0.0, True, False, {"given": action}


class Grid(gym.Env):
    """The grid world of Gymnasium's tutorial on custom envs: a Dict of two positions."""

    def __init__(self, size=5):
        place = spaces.Box(0, size - 1, shape=(2,), dtype=int)
        self.observation_space = spaces.Dict({"agent": place, "target": place})
        self.action_space = spaces.Discrete(4)
        self.size = size

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.agent = self.np_random.integers(0, self.size, size=2, dtype=int)
        self.target = self.agent
        while np.array_equal(self.target, self.agent):
            self.target = self.np_random.integers(0, self.size, size=2, dtype=int)
        return self._seen(), {}

    def step(self, action):
        move = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)][action])
        self.agent = np.clip(self.agent + move, 0, self.size - 1)
        arrived = np.array_equal(self.agent, self.target)
        return self._seen(), 1.0 if arrived else -0.01, arrived, False, {}

    def _seen(self):
        return {"agent": self.agent, "target": self.target}


SPACES = st.recursive(
    st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 5), st.integers(-3, 3))
    | st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 4), min_size=1, max_size=3))
    | st.builds(lambda low, more: spaces.Box(low, low + more, (2,), np.int8), st.integers(-128, 124), st.integers(0, 3))
    | st.builds(spaces.MultiBinary, st.integers(1, 3)),
    lambda parts: (
        st.builds(spaces.Tuple, st.lists(parts, min_size=1, max_size=3))
        | st.builds(spaces.Dict, st.dictionaries(st.sampled_from("abc"), parts, min_size=1, max_size=3))
    ),
    max_leaves=4,
)


@settings(max_examples=60)
@given(SPACES, st.integers(0, 99))
def test_a_number_leads_back_to_the_value_that_it_is_of(space, seed):
    space.seed(seed)
    env = FlattenDiscrete(Still(space, actions=space))
    value = space.sample()
    env.unwrapped.told = value
    number = env.reset()[0]
    assert 0 <= number < env.observation_space.n == env.action_space.n
    back = env.step(np.int32(number))[4]["given"]
    assert back in space
    assert repr(spaces.flatten(space, back)) == repr(spaces.flatten(space, value))


@pytest.mark.parametrize(
    ("space", "values"),
    [
        (spaces.Discrete(3, start=1), [1, 2, 3]),
        (spaces.MultiDiscrete([2, 3], start=[1, -4]), list(product([1, 2], [-4, -3, -2]))),
        (spaces.MultiDiscrete([[2, 3], [1, 2]]), [((a, b), (0, d)) for a in (0, 1) for b in (0, 1, 2) for d in (0, 1)]),
        (spaces.MultiBinary(2), list(product([0, 1], [0, 1]))),
        (spaces.Box(np.array([-1, 3]), np.array([0, 5]), dtype=np.int64), list(product([-1, 0], [3, 4, 5]))),
        (spaces.Box(254, 255, (2,), np.uint8), list(product([254, 255], [254, 255]))),
        (spaces.Tuple([spaces.Discrete(2), spaces.MultiBinary(1)]), [(a, [b]) for a in (0, 1) for b in (0, 1)]),
        (spaces.Dict(b=spaces.Discrete(2), a=spaces.Discrete(2)), [{"a": a, "b": b} for b in (0, 1) for a in (0, 1)]),
    ],
)
def test_values_are_numbered_in_order_the_first_part_most_significant(space, values):
    env = FlattenDiscrete(Still(space))
    assert [env.observation(value) for value in values] == list(range(env.observation_space.n))


def test_blackjacks_hand_becomes_one_of_704_numbers():
    env = FlattenDiscrete(gym.make("Blackjack-v1"))
    assert env.observation_space == spaces.Discrete(704)
    assert env.observation((20, 10, 1)) == (20 * 11 + 10) * 2 + 1
    bare = gym.make("Blackjack-v1")
    assert env.reset(seed=1)[0] == env.observation(bare.reset(seed=1)[0])


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Discrete(3, start=1), 0),
        (spaces.Discrete(3), 1.5),
        (spaces.Discrete(3), None),
        (spaces.Discrete(3), float("inf")),
        (spaces.MultiDiscrete([2, 2]), [0, 2]),
        (spaces.MultiDiscrete([2, 2]), [0]),
        (spaces.Box(0, 4, (2,), np.int64), np.array([-1, 4])),
        (spaces.Box(0, 4, (2,), np.int64), np.array([0.5, 4.0])),
        (spaces.Dict(a=spaces.Discrete(2)), {"b": 1}),
        (spaces.Dict(a=spaces.Discrete(2)), {"a": 1, "b": 1}),
        (spaces.Tuple([spaces.Discrete(2)]), (0, 1)),
        (spaces.Tuple([spaces.Discrete(2)]), 0),
    ],
)
def test_an_observation_outside_its_space_is_refused(space, observation):
    env = FlattenDiscrete(Still(space, observation))
    with pytest.raises(UsageError, match=r"the env gave the observation .*, which is not in its space"):
        env.reset()


def test_a_space_that_is_not_finite_is_refused():
    with pytest.raises(UsageError, match=r"FlattenDiscrete needs a Discrete.*, got Tuple"):
        FlattenDiscrete(Still(spaces.Tuple([spaces.Discrete(2), UNIT])))
    with pytest.raises(UsageError, match="more values than Discrete can hold"):
        FlattenDiscrete(Still(spaces.MultiBinary(63)))
    assert isinstance(FlattenDiscrete(Still(spaces.MultiBinary(2), actions=UNIT)).action_space, spaces.Box)


def test_only_what_a_table_can_hold_is_numbered_without_being_asked():
    lake, cart, taxi = gym.make("FrozenLake-v1"), gym.make("CartPole-v1"), Still(spaces.Discrete(5), actions=UNIT)
    picture = Still(spaces.Box(0, 255, (210, 160, 3), np.uint8))
    open_ended = Still(spaces.Box(-(2**63), 2**63 - 1, (2,), np.int64))
    for env in (lake, cart, taxi, picture, open_ended):
        assert flattened(env) is env
    assert is_finite(picture.observation_space)
    assert flattened(Grid()).observation_space == spaces.Discrete(625)
    assert flattened(Still(spaces.Discrete(4, start=1))).observation_space == spaces.Discrete(4)
    assert flattened(Still(spaces.Discrete(4), actions=spaces.MultiDiscrete([2, 3]))).action_space == spaces.Discrete(6)


def test_a_flattened_spec_survives_json():
    env = FlattenDiscrete(gym.make("Blackjack-v1"))
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert [twin.reset(seed=s)[0] for s in range(9)] == [env.reset(seed=s)[0] for s in range(9)]


def test_the_tutorials_grid_world_finds_its_way_by_itself():
    grid = gym.wrappers.TimeLimit(Grid(3), 30)
    run = rlbench.train(grid, episodes=1500, seed=0, agent_kwargs={"learning_rate": 0.2})
    assert rlbench.evaluate(run, grid, episodes=100, seed=0).returns.min() > 0.9


@pytest.mark.parametrize(
    ("observations", "actions", "advice"),
    [
        (spaces.Discrete(2, start=1), spaces.Discrete(2), r"wrap the env in rlbench\.envs\.FlattenDiscrete"),
        (spaces.Discrete(2), spaces.MultiDiscrete([2, 2]), r"wrap the env in rlbench\.envs\.FlattenDiscrete"),
        (UNIT, spaces.Discrete(2), "give bins=, a number for each dimension"),
        (spaces.Discrete(2), UNIT, r"wrap the env in gymnasium\.wrappers\.DiscretizeAction"),
        (spaces.Dict(a=UNIT), spaces.Discrete(2), "give bins=, a number for each dimension"),
        (spaces.Box(0, 255, (64, 64), np.uint8), spaces.Discrete(2), "too many for a table"),
    ],
)
def test_the_message_names_the_one_wrapper_that_helps(observations, actions, advice):
    with pytest.raises(UsageError, match=advice):
        QLearning(observations, actions)
