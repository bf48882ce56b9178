"""An env spec names code: only one that names what is registered here is trusted."""

import json

import gymnasium as gym
import pytest

from rlbench.envs.trust import is_trusted

GOOD = json.loads(gym.spec("CartPole-v1").to_json())
OURS = {"name": "Discretize", "entry_point": "rlbench.envs.discretize:Discretize", "kwargs": {}}


def spec(**changes):
    return json.dumps({**GOOD, **changes})


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v3", "rlbench/SafeCab-v0", "FrozenLake-v1"])
def test_registered_envs_are_trusted(env_id):
    if env_id in gym.registry:
        assert is_trusted(gym.spec(env_id).to_json())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kwargs": {"sutton_barto_reward": True}},
        {"max_episode_steps": 7},
        {
            "additional_wrappers": [
                {"name": "X", "entry_point": "gymnasium.wrappers:TimeAwareObservation", "kwargs": {}}
            ]
        },
        {"additional_wrappers": [OURS]},
    ],
)
def test_arguments_and_known_wrappers_are_trusted(changes):
    assert is_trusted(spec(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"entry_point": "os:system"},
        {"entry_point": "subprocess:run", "id": "CartPole-v1"},
        {"vector_entry_point": "os:system"},
        {"id": "Unknown-v0"},
        {"id": "../x"},
        {"entry_point": None},
        {"more": 1},
        {"additional_wrappers": [{**OURS, "entry_point": "os:system"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.cli:main"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.__main__:main"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "gymnasium.wrappers.jax_to_torch:JaxToTorch"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.store:open_store"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "gymnasium.wrappers:np"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbenchx:Wrapper"}]},
        {"additional_wrappers": [{**OURS, "entry_point": "rlbench.nothing:Wrapper"}]},
        {"additional_wrappers": [{**OURS, "entry_point": 7}]},
        {"additional_wrappers": [7]},
        {"additional_wrappers": 7},
    ],
)
def test_a_spec_that_names_other_code_is_not_trusted(changes):
    assert not is_trusted(spec(**changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "[" * 100_000, '{"id": "CartPole-v1"}', None])
def test_what_is_no_spec_is_not_trusted(text):
    assert not is_trusted(text)
