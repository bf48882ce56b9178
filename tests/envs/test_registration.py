import subprocess
import sys

import gymnasium as gym
import pytest
from gymnasium.envs.registration import EnvSpec

from rlbench import envs
from rlbench.envs.success import judge_of
from rlbench.testing import ENV_CHECKS
from rlbench.testing.envs import its_table_is_the_truth

IDS = [env["id"] for env in envs.ENVS]
SMALL = {  # arguments with which a table is compared quickly
    "rlbench/Gambler-v0": {"goal": 8},
    "rlbench/MaximizationBias-v0": {"actions": 3},
    "rlbench/AccessControl-v0": {"servers": 2},
    "rlbench/CarRental-v0": {"max_cars": 2},
    "rlbench/Racetrack-v0": {"track": "..F\n..F\nS##"},
}


@pytest.fixture(params=IDS)
def env(request):
    return gym.make(request.param, **SMALL.get(request.param, {}))


def steps(env, seed, n=500):
    """Random steps from one seed: what `reset` and `step` returned."""
    env.action_space.seed(seed)
    yield env.reset(seed=seed)
    for _ in range(n):
        result = env.step(env.action_space.sample())
        yield result
        if result[2] or result[3]:
            yield env.reset()


# ---------------------------------------------------------------- what every env must keep, and ours do besides


@pytest.mark.parametrize("check", ENV_CHECKS, ids=lambda check: check.__name__)
def test_every_registered_env_keeps_each_promise(check, env):
    assert check(env, 0) == ""
    if check is not its_table_is_the_truth:  # which looks through wrappers, and takes long
        assert check(env.unwrapped, 0) == ""


def test_another_seed_leads_elsewhere(env):
    assert len({str([result[:2] for result in steps(env, seed, 20)]) for seed in range(5)}) > 1


def test_a_spec_comes_back_from_json_as_it_was(env):
    assert gym.make(EnvSpec.from_json(env.spec.to_json())).spec == env.spec


def test_steps_are_plain_python_numbers(env):
    results = [result for result in steps(env, 5, 50) if len(result) > 2]
    assert {tuple(map(type, result[:4])) for result in results} == {(int, float, bool, bool)}


def test_it_is_known_what_a_success_is(env):
    judge = judge_of(env)
    results = [result for result in steps(env, 7, 5000) if len(result) > 2]
    said = [info["is_success"] for *_, info in results if "is_success" in info]
    assert said == [] or said == [judge(state, terminated) for state, _, terminated, _, _ in results]


def test_a_step_before_the_first_reset_is_refused_without_any_wrapper(env):
    with pytest.raises(gym.error.ResetNeeded):
        env.unwrapped.step(0)


def test_an_action_outside_the_space_is_refused(env):
    env.reset(seed=0)
    for action in (-1, int(env.action_space.n)):
        with pytest.raises(gym.error.InvalidAction):
            env.unwrapped.step(action)


# ---------------------------------------------------------------- the registry


def test_the_registered_envs_have_the_issues_ids_limits_and_threshold():
    told = {env_id: (gym.spec(env_id).max_episode_steps, gym.spec(env_id).reward_threshold) for env_id in IDS}
    assert told == {
        "rlbench/SafeCab-v0": (100, None),
        "rlbench/DiscreteCartPole-v1": (500, 475.0),
        "rlbench/Bandit-v0": (None, None),
        "rlbench/RandomWalk-v0": (10_000, None),
        "rlbench/Gridworld-v0": (1000, None),
        "rlbench/WindyGridworld-v0": (10_000, None),
        "rlbench/DynaMaze-v0": (10_000, None),
        "rlbench/Gambler-v0": (10_000, None),
        "rlbench/MaximizationBias-v0": (100, None),
        "rlbench/AccessControl-v0": (10_000, None),
        "rlbench/Racetrack-v0": (10_000, None),
        "rlbench/CarRental-v0": (100, None),
    }


def test_every_env_of_ours_in_gymnasiums_registry_is_in_the_table():
    assert sorted(env_id for env_id in gym.registry if env_id.startswith("rlbench/")) == sorted(IDS)


def test_each_short_name_is_that_of_a_registered_env():
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
