"""The checks catch what they are for, and let good envs pass."""

import dataclasses

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward

from rlbench.envs import ENVS
from rlbench.envs.discretize import Discretize, FlattenDiscrete
from rlbench.envs.tabular import TabularModel
from rlbench.errors import RlbenchError, UnknownNameError, UsageError
from rlbench.testing import CheckFailedError, check_env, check_model

GOOD = [
    ("Taxi-v4", {}),
    ("Taxi-v4", {"is_rainy": True}),
    ("FrozenLake-v1", {}),
    ("FrozenLake8x8-v1", {"is_slippery": False}),
    ("CliffWalking-v1", {}),
    ("CliffWalking-v1", {"is_slippery": True}),
]


def changed(model, column, row, value):
    """The model with one number replaced."""
    array = getattr(model, column).copy()
    array[row] = value
    return dataclasses.replace(model, **{column: array})


def first_row(model, state, action):
    return model.offsets[state * model.n_actions + action]


@pytest.mark.parametrize(("env_id", "kwargs"), GOOD)
def test_the_tables_of_gymnasiums_envs_are_the_truth(env_id, kwargs):
    check_model(gym.make(env_id, **kwargs), samples=40_000)


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("successor", 39, r"P\[34\]\[0\] says \(1.0, 39, -1.0, False\), the env gave \(134, -1.0, False\)"),
        ("reward", -2.0, r"P\[34\]\[0\] says \(1.0, 134, -2.0, False\), the env gave \(134, -1.0, False\)"),
        ("terminated", True, r"P\[34\]\[0\] says \(1.0, 134, -1.0, True\), the env gave \(134, -1.0, False\)"),
    ],
)
def test_one_wrong_number_among_3000_is_found_and_named(column, value, says):
    model = TabularModel.from_env("Taxi-v4")
    with pytest.raises(CheckFailedError, match=says):
        check_model("Taxi-v4", changed(model, column, first_row(model, 34, 0), value))


def test_a_wrong_table_is_found_where_the_env_moves_by_itself():
    class Wrong(gym.Env):
        observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(1)
        initial_state_distrib = np.array([1.0, 0.0])
        P = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 0, 0.0, True)]}}  # noqa: RUF012

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.s = 0
            return 0, {}

        def step(self, action):
            self.s = 0
            return 0, 0.0, True, False, {}

    with pytest.raises(CheckFailedError, match=r"P\[0\]\[0\] says \(1.0, 1, 0.0, False\), the env gave \(0, 0.0, T"):
        check_model(Wrong())


def test_an_outcome_that_the_model_does_not_list_is_found():
    model = TabularModel.from_env("FrozenLake-v1")
    wrong = changed(model, "reward", first_row(model, 6, 1), 0.5)
    with pytest.raises(CheckFailedError, match=r"P\[6\]\[1\] lists just .*, the env gave"):
        check_model("FrozenLake-v1", wrong, samples=10_000)


def test_a_chance_that_is_far_off_is_found_in_its_own_state_and_action():
    model = TabularModel.from_env("FrozenLake-v1")
    row = first_row(model, 6, 1)
    wrong = changed(model, "probability", slice(row, row + 3), [0.8, 0.1, 0.1])
    with pytest.raises(CheckFailedError, match=r"P\[6\]\[1\] says probabilities \[0.8, 0.1, 0.1\], \d+ tries gave"):
        check_model("FrozenLake-v1", wrong, samples=10_000)


def test_a_chance_a_little_off_everywhere_is_found_by_pooling():
    model = TabularModel.from_env(gym.make("Taxi-v4", is_rainy=True, rainy_probability=0.82))
    with pytest.raises(CheckFailedError, match=r"all \(state, action\) with these probabilities says"):
        check_model(gym.make("Taxi-v4", is_rainy=True), model, samples=80_000)


def test_wrong_starts_are_found():
    model = TabularModel.from_env("CliffWalking-v1")
    with pytest.raises(CheckFailedError, match="reset gave the state 36, which the start distribution excludes"):
        check_model("CliffWalking-v1", dataclasses.replace(model, initial=np.eye(48)[0]))
    with pytest.raises(CheckFailedError, match=r"start distribution says probabilities \[0.5, 0.5\], .* \[0.0, 1.0\]"):
        check_model("CliffWalking-v1", dataclasses.replace(model, initial=np.eye(48)[[0, 36]].mean(axis=0)))


def test_a_part_of_the_states_can_be_checked_alone():
    model = TabularModel.from_env("Taxi-v4")
    wrong = changed(model, "reward", first_row(model, 34, 2), 0.0)
    check_model("Taxi-v4", wrong, states=range(34))
    with pytest.raises(CheckFailedError):
        check_model("Taxi-v4", wrong, states=[34])


def test_an_env_that_cannot_be_put_in_a_state_says_so():
    with pytest.raises(CheckFailedError, match="has no attribute s for its state"):
        check_model("CartPole-v1", TabularModel.from_env("CliffWalking-v1"))


def test_an_env_without_a_model_cannot_have_it_checked():
    with pytest.raises(UsageError, match="no transition table P"):
        check_model("CartPole-v1")


@pytest.mark.parametrize("env_id", ["Taxi-v4", "CliffWalking-v1", "CartPole-v1", "Blackjack-v1"])
def test_gymnasiums_envs_are_sound(env_id):
    check_env(env_id)


@pytest.mark.parametrize("env_id", [env["id"] for env in ENVS])
def test_our_own_envs_are_sound(env_id):
    check_env(env_id)


def test_our_wrappers_are_sound():
    check_env(FlattenDiscrete(gym.make("Blackjack-v1")))
    check_env(Discretize(gym.make("CartPole-v1"), 4, low=-2, high=2))


def test_an_unknown_env_is_not_a_failed_check():
    with pytest.raises(UnknownNameError):
        check_env("Taxy-v4")


def test_a_failed_check_is_an_assertion_and_one_of_our_errors():
    assert issubclass(CheckFailedError, AssertionError)
    assert issubclass(CheckFailedError, RlbenchError)


class Sloppy(gym.Env):
    """An env that breaks the promise it is told to."""

    observation_space, action_space = gym.spaces.Discrete(9), gym.spaces.Discrete(2)

    def __init__(self, fault=""):
        self.fault, self.steps = fault, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 99 if self.fault == "space" else int(self.np_random.integers(9)), {}

    def step(self, action):
        self.steps += 1
        reward = float(self.steps > 100) if self.fault == "memory" else 0.0
        return int(self.np_random.integers(9)), reward, False, False, {}


def test_an_observation_outside_its_space_is_found():
    with pytest.raises(CheckFailedError, match=r"Gymnasium's check_env: .* not within the observation space"):
        check_env(Sloppy("space"))


def test_what_survives_a_seeded_reset_is_found():
    with pytest.raises(CheckFailedError, match="seed 0 gave two different trajectories"):
        check_env(Sloppy("memory"))


def test_an_env_without_a_spec_is_checked_as_far_as_possible():
    check_env(Sloppy())


def test_a_spec_that_json_cannot_hold_is_found():
    env = TransformReward(gym.make("CliffWalking-v1"), lambda r: r)
    with pytest.raises(CheckFailedError, match="the spec of CliffWalking-v1 does not survive to_json"):
        check_env(env)


def test_a_mask_that_forbids_what_would_work_is_found(monkeypatch):
    env = gym.make("Taxi-v4")
    true_mask = type(env.unwrapped).action_mask

    def blind_to_dropoff(self, state):
        mask = true_mask(self, state)
        mask[5] = 0
        return mask

    monkeypatch.setattr(type(env.unwrapped), "action_mask", blind_to_dropoff)
    with pytest.raises(
        CheckFailedError, match=r"mask of state 17 is \[1, 0, 1, 0, 0, 0\], but just \[0, 2, 5\] can change it"
    ):
        check_env(env)
