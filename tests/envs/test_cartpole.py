"""The cart-pole in bins moves as Gymnasium's, whatever its physics are set to, and in both loops."""

import gymnasium as gym
import numpy as np
import pytest
from training.toys import frozen

import rlbench
from rlbench.envs.again import lasting_spec

CHANGES = {
    "gravity": 1.6,
    "length": 1.0,
    "masspole": 0.5,
    "total_mass": 2.0,
    "polemass_length": 0.2,
    "force_mag": 5.0,
    "tau": 0.01,
    "x_threshold": 0.1,
    "theta_threshold_radians": 0.05,
    "kinematics_integrator": "semi-implicit euler",
}
MOON = {"gravity": 1.6, "kinematics_integrator": "semi-implicit euler", "x_threshold": 1.0}


def changed(env_id, changes, **arguments):
    env = gym.make(env_id, **arguments)
    for name, value in changes.items():
        setattr(env.unwrapped, name, value)
    return env


def ride(env):
    """The states, rewards and ends of some episodes."""
    seen, dice = [], np.random.default_rng(0)
    env.reset(seed=3)
    for _ in range(200):
        _, reward, terminated, truncated, _ = env.step(int(dice.integers(2)))
        seen.append((*env.unwrapped.state, reward, terminated))
        if terminated or truncated:
            env.reset()
    return np.array(seen, float)


@pytest.mark.parametrize("reward", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_it_moves_falls_and_pays_as_gymnasiums_with_the_same_physics(name, reward):
    change, arguments = {name: CHANGES[name]}, {"sutton_barto_reward": reward}
    ours, theirs = (ride(changed(f"{kind}CartPole-v1", change, **arguments)) for kind in ("rlbench/Discrete", ""))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert not np.array_equal(ours, ride(gym.make("rlbench/DiscreteCartPole-v1", **arguments)))
    assert set(ours[:, 4]) == ({0.0, -1.0} if reward else {1.0})


@pytest.mark.parametrize("arguments", [{}, {"sutton_barto_reward": True}])
def test_changed_physics_run_in_the_compiled_loop_with_the_same_bits(arguments):
    runs = []
    for engine in ("compiled", "python"):
        env = changed("rlbench/DiscreteCartPole-v1", MOON, **arguments)
        runs.append(rlbench.train(env, episodes=60, seed=1, engine=engine))
    one, other = runs
    assert one.engine == "compiled"
    assert one.returns.tolist() == other.returns.tolist()
    assert one.lengths.tolist() == other.lengths.tolist()
    assert frozen(one.agent.state_dict()) == frozen(other.agent.state_dict())


@pytest.mark.parametrize("env_id", ["rlbench/DiscreteCartPole-v1", "CartPole-v1"])
def test_a_cart_pole_whose_physics_were_changed_is_not_stored_as_one_that_has_them_not(env_id):
    assert lasting_spec(gym.make(env_id)) is not None
    assert lasting_spec(changed(env_id, MOON)) is None
    assert lasting_spec(gym.make(env_id, sutton_barto_reward=True)) is not None
