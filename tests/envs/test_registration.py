import subprocess
import sys

import gymnasium as gym
import pytest
from contracts.envs import ENV_CHECKS

from rlbench import envs

IDS = [env["id"] for env in envs.ENVS]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("check", ENV_CHECKS, ids=lambda check: check.__name__)
def test_every_registered_env_keeps_the_contract(check, env_id):
    check(env_id)


def test_the_registered_envs_have_the_issues_ids_limits_and_threshold():
    told = {env_id: (gym.spec(env_id).max_episode_steps, gym.spec(env_id).reward_threshold) for env_id in IDS}
    assert told == {"rlbench/SafeCab-v0": (100, None), "rlbench/DiscreteCartPole-v1": (500, 475.0)}


def test_every_env_of_ours_in_gymnasiums_registry_is_in_the_table():
    assert sorted(env_id for env_id in gym.registry if env_id.startswith("rlbench/")) == sorted(IDS)


def test_each_short_name_is_that_of_a_registered_env():
    assert envs.SHORT_NAMES == {"safecab": "rlbench/SafeCab-v0", "cartpole": "rlbench/DiscreteCartPole-v1"}
    assert set(envs.SHORT_NAMES.values()) == set(IDS)


def test_registering_again_changes_nothing():
    before = dict(gym.registry)
    envs.register_envs()
    assert dict(gym.registry) == before
    assert all(gym.registry[env_id] is before[env_id] for env_id in IDS)


@pytest.mark.parametrize(
    "code",
    [
        "import rlbench.envs, gymnasium as gym",
        "import gymnasium as gym, rlbench.envs",
        "import rlbench, gymnasium as gym",
        "import gymnasium as gym, rlbench",
        "import rlbench; from rlbench.envs import SafeCabEnv; import gymnasium as gym",
    ],
)
def test_in_whatever_order_things_are_imported_the_envs_are_there_and_numba_is_not(code):
    check = "import sys; assert 'numba' not in sys.modules; gym.make('rlbench/SafeCab-v0').reset(seed=0)"
    subprocess.run([sys.executable, "-c", f"{code}; {check}"], check=True)


def test_gymnasium_finds_the_env_by_its_module():
    code = "import gymnasium; gymnasium.make('rlbench:rlbench/SafeCab-v0')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_under_another_name_the_package_refuses_to_load():
    code = "import envs"
    told = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=next(iter(envs.__path__)) + "/.."
    )
    assert "import rlbench.envs, not envs" in told.stderr or "No module named 'envs'" in told.stderr
