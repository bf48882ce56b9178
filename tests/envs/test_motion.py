"""Gymnasium's CartPole, MountainCar and Acrobot start and move in the compiled worlds with the same bits."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.envs import Discretize, _motion, _worlds
from rlbench.envs.again import lasting_spec
from rlbench.envs.compiled import compiled_world

BINS = {
    "CartPole-v1": {"bins": 3, "low": [-2, -2, -0.2, -2], "high": [2, 2, 0.2, 2]},
    "MountainCar-v0": {"bins": 9},
    "Acrobot-v1": {"bins": 3},
}
CHANGES = {
    "MountainCar-v0": [
        {},
        {"goal_velocity": 0.03},
        {"goal_position": 0.1, "gravity": 0.002},
        {"force": 0.002, "max_speed": 0.05},
        {"min_position": -0.8, "max_position": 0.55},
    ],
    "Acrobot-v1": [
        {},
        {"book_or_nips": "nips"},
        {"torque_noise_max": 0.5},
        {"dt": 0.05, "AVAIL_TORQUE": [-2, 0.5, 3]},
        {"LINK_LENGTH_1": 1.3, "LINK_LENGTH_2": 0.7, "LINK_COM_POS_1": 0.3, "LINK_COM_POS_2": 0.6},
        {"LINK_MASS_1": 2, "LINK_MASS_2": 0.7, "LINK_MOI": 1.1},
        {"MAX_VEL_1": 2.0, "MAX_VEL_2": 3.0},
    ],
    "CartPole-v1": [{}],
}
ALL = [(env_id, change) for env_id, changes in CHANGES.items() for change in changes]


def in_bins(env_id, changes=(), **arguments):
    env = Discretize(gym.make(env_id, **arguments), **BINS[env_id])
    for name, value in dict(changes).items():
        setattr(env.unwrapped, name, value)
    return env


@pytest.mark.parametrize(("env_id", "changes"), ALL)
def test_a_compiled_world_moves_with_the_bits_of_gymnasiums_env(env_id, changes):
    env = in_bins(env_id, changes)
    world, base, places = compiled_world(env), env.unwrapped, _worlds._KINDS[_worlds.type_name(env.unwrapped)].places
    reset, step = _worlds._RESET[type(world)], _worlds._STEP[type(world)]
    dice, rng = np.random.default_rng(0), np.random.Generator(np.random.PCG64())
    for start in range(6):
        observation = base.reset(seed=7 if start == 0 else None)[0]
        if start == 0:
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7)))
        state = reset(world, rng)
        for _ in range(100):
            assert [state[place] for place in places] == np.asarray(base.state, float).tolist()
            assert np.array_equal(np.array(state[: observation.size], np.float32), observation)
            action = int(dice.integers(env.action_space.n))
            observation, reward, terminated, _, _ = base.step(action)
            state, *outcome = step(world, state, action, rng)
            assert outcome == [reward, terminated]
            if terminated:
                break
    assert rng.bit_generator.state == base.np_random.bit_generator.state


@settings(deadline=None)
@given(st.floats(-0.75, 0.75, width=32))
def test_short_sines_and_cosines_are_numpys(angle):
    short = np.float32(angle)
    assert _motion.short_sin(short) == np.sin(short)
    assert _motion.short_cos(short) == np.cos(short)


@pytest.mark.parametrize(("env_id", "changes"), [(env_id, changes) for env_id, changes in ALL if changes])
def test_an_env_whose_physics_were_changed_is_not_stored_as_one_that_has_them_not(env_id, changes):
    assert lasting_spec(in_bins(env_id)) is not None
    assert lasting_spec(in_bins(env_id, changes)) is None


class Heavier(gym.envs.classic_control.AcrobotEnv):
    """An env of its own, whatever it changes."""


@pytest.mark.parametrize("env_id", BINS)
def test_an_env_that_may_move_otherwise_is_stepped_itself(env_id):
    patched = in_bins(env_id)
    patched.unwrapped.step = patched.unwrapped.step
    far = Discretize(gym.wrappers.ClipReward(in_bins(env_id).env, -0.5, 0.5), **BINS[env_id])
    near = Discretize(in_bins(env_id).env, centers=np.zeros((1, in_bins(env_id).env.observation_space.shape[0])))
    assert [compiled_world(env) for env in (patched, far, near, Discretize(Heavier(), 2))] == [None] * 4
    assert compiled_world(in_bins("Acrobot-v1", {"AVAIL_TORQUE": [-1.0, 1.0]})) is None


@pytest.mark.parametrize("name", ["cos", "sin"])
def test_a_world_that_moves_otherwise_than_its_env_is_not_taken(name, monkeypatch):
    module = gym.envs.classic_control.acrobot
    off = getattr(module, name)
    monkeypatch.setattr(module, name, lambda angle: np.nextafter(off(angle), np.asarray(angle).dtype.type(9)))
    assert not _worlds.moves_alike.__wrapped__(module.AcrobotEnv)
