"""From what a user says to an env, and back from a stored spec."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit, TransformReward
from training.toys import Circle, Road

from rlbench.envs import SHORT_NAMES
from rlbench.envs.making import id_of, make_env, make_from_spec, spec_json, step_limit, wrappers_of
from rlbench.errors import UnknownNameError, UsageError

ARGUMENTS = {
    "safecab": {"city": "6x4", "city_seed": 5, "step_reward": -0.5, "max_episode_steps": 30},
    "cartpole": {"bins": [2, 3, 4, 5]},
    "FrozenLake-v1": {"map_name": "8x8", "is_slippery": False, "max_episode_steps": -1},
    "Taxi-v4": {"is_rainy": True},
}


def walk(env, n=200):
    """What an env answers to the same draws and actions."""
    dice = np.random.default_rng(0)
    seen = [env.reset(seed=3)[0]]
    for _ in range(n):
        seen.append(env.step(int(dice.integers(env.action_space.n)))[:4])
        if seen[-1][2] or seen[-1][3]:
            seen.append(env.reset()[0])
    return seen


@pytest.mark.parametrize("short", SHORT_NAMES)
def test_a_short_name_is_an_id(short):
    assert make_env(short).spec == make_env(SHORT_NAMES[short]).spec


@pytest.mark.parametrize("env_id", ARGUMENTS)
def test_arguments_reach_the_env_and_come_back_from_its_spec(env_id):
    plain, env = make_env(env_id), make_env(env_id, ARGUMENTS[env_id])
    assert walk(plain) != walk(env)
    again = make_from_spec(spec_json(env))
    assert again.spec == env.spec
    assert walk(again) == walk(env)
    assert step_limit(again) == step_limit(env)


def test_extra_arguments_are_for_this_env_alone():
    env = make_from_spec(spec_json(make_env("safecab")), render_mode="ansi")
    assert env.render_mode == "ansi"
    assert make_env("safecab", {"city": "6x4"}, render_mode="ansi").render_mode == "ansi"


def test_an_env_object_passes_through():
    env = Circle()
    assert make_env(env) is env
    assert make_env(env, {}) is env
    with pytest.raises(UsageError, match="env_kwargs need an env id"):
        make_env(env, {"length": 3})


def test_an_env_without_a_storable_spec_has_none():
    assert spec_json(Circle()) is None
    env = TransformReward(gym.make("FrozenLake-v1"), lambda r: 2 * r)
    assert spec_json(env) is None
    env.close()


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("safcab", {}, "unknown env 'safcab'; did you mean safecab"),
        ("FrozenLake-v7", {}, "unknown env 'FrozenLake-v7'; did you mean .*FrozenLake"),
        ("rlbench/SafeCub-v0", {}, "did you mean rlbench/SafeCab-v0"),
        ("nowhere:Env-v0", {}, "unknown env 'nowhere:Env-v0'"),
        ("FrozenLake-v1", {"slippery": True}, "unknown argument of FrozenLake-v1 'slippery'; did you mean is_slippery"),
        ("cartpole", {"max_episode_step": 3}, "did you mean max_episode_steps"),
    ],
)
def test_an_unknown_name_gets_a_hint(env_id, kwargs, message):
    with pytest.raises(UnknownNameError, match=message):
        make_env(env_id, kwargs)


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("not an id!", {}),
        ("", {}),
        ("FrozenLake-v1", {"map_name": "9x9"}),
        ("FrozenLake-v1", {"desc": 5}),
        ("safecab", {"city": "|R"}),
        ("safecab", {"city": 5}),
        ("safecab", {"max_episode_steps": 0}),
        ("safecab", {"render_mode": "neon"}),
        ("cartpole", {"bins": [0, 1, 1, 1]}),
        ("cartpole", {"bins": "bok"}),
        ("cartpole", {"bins": [1, 2]}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_an_argument_that_the_env_refuses_is_a_usage_error_of_one_line(env_id, kwargs):
    with pytest.raises(UsageError) as caught:
        make_env(env_id, kwargs)
    assert "\n" not in str(caught.value)


def test_the_step_limit_is_that_of_the_tightest_clock():
    assert step_limit(gym.make("FrozenLake-v1")) == 100
    assert step_limit(gym.make("FrozenLake-v1", max_episode_steps=7)) == 7
    assert step_limit(gym.make("FrozenLake-v1", max_episode_steps=-1)) == 0
    assert step_limit(Road()) == 0
    assert step_limit(TimeLimit(TimeLimit(Road(), 5), 9)) == step_limit(TimeLimit(TimeLimit(Road(), 9), 5)) == 5


def test_a_limit_that_only_the_spec_names_never_truncates():
    bare = Road()
    bare.spec = gym.spec("FrozenLake-v1")
    assert step_limit(bare) == 0


def test_an_env_is_called_by_its_id_or_else_by_its_class():
    assert id_of(gym.make("FrozenLake-v1")) == "FrozenLake-v1"
    assert id_of(TimeLimit(Road(), 5)) == "Road"
    with pytest.raises(UsageError, match="env must be an id, a short name or a Gymnasium env, got int"):
        id_of(7)


def test_wrappers_are_walked_through_from_the_outermost():
    env = TransformReward(TimeLimit(Road(), 5), lambda r: r)
    assert [type(wrapper) for wrapper in wrappers_of(env)] == [TransformReward, TimeLimit]
    assert list(wrappers_of(Road())) == []
