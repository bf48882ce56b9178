"""An action has one name, wherever it is shown."""

import importlib

import gymnasium as gym
import pytest
from gymnasium.wrappers import TransformAction
from training.toys import Circle

from rlbench.envs.actions import ACTION_NAMES, action_name, action_names
from rlbench.envs.discretize import Discretize

IDS = (
    "rlbench/SafeCab-v0", "rlbench/DiscreteCartPole-v1", "CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Taxi-v4",
    "FrozenLake-v1", "CliffWalking-v1",
)  # fmt: skip


@pytest.mark.parametrize("env_id", IDS)
def test_every_action_of_a_known_env_has_a_name_of_its_own(env_id):
    env = gym.make(env_id)
    names = action_names(env)
    assert len(set(names)) == len(names) == env.action_space.n


@pytest.mark.parametrize(("module", "name"), ACTION_NAMES)
def test_the_table_names_classes_that_exist(module, name):
    assert issubclass(getattr(importlib.import_module(module), name), gym.Env)


def test_an_env_says_its_own_names_and_a_subclass_has_those_of_the_env_it_is_made_from():
    class Ring(Circle):
        action_names = ("Back", "On")

    class Lake(type(gym.make("FrozenLake-v1").unwrapped)):
        pass

    assert action_names(Ring()) == ("Back", "On")
    assert action_names(Lake()) == ("Left", "Down", "Right", "Up")
    assert action_names(Circle()) == action_names(None) == ()


def test_a_wrapper_of_observations_leaves_the_names_and_one_of_actions_takes_them():
    pole = gym.make("CartPole-v1")
    assert action_names(Discretize(pole, cuts=[[0.0]] * 4)) == ("Left", "Right")
    assert action_names(TransformAction(pole, lambda a: 1 - a, pole.action_space)) == ()


def test_an_action_without_a_name_is_shown_as_its_number():
    assert [action_name(("Left", "Right"), action) for action in (1, 2, -1, 0.5)] == ["Right", "2", "-1", "0.5"]
    assert action_name((), 3, "action {}") == "action 3"
