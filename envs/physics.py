"""CartPole's physics, as Gymnasium keeps them in attributes that may be changed: `env.unwrapped.gravity = 1.6`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv


class Physics(NamedTuple):
    """What decides how a cart-pole moves, when it has fallen and what that pays; in metres, kilograms and seconds."""

    gravity: float
    masspole: float
    total_mass: float
    length: float  # half the pole's
    polemass_length: float
    force_mag: float
    tau: float  # between states
    x_threshold: float
    theta_threshold_radians: float
    is_semi_implicit: bool
    sutton_barto_reward: bool


STANDARD = Physics(9.8, 0.1, 0.1 + 1.0, 0.5, 0.1 * 0.5, 10.0, 0.02, 2.4, 12 * 2 * math.pi / 360, False, False)
ATTRIBUTES = (*Physics._fields[:-2], "kinematics_integrator", "_sutton_barto_reward")  # of the env


def physics_of(env: CartPoleEnv) -> Physics:
    """Returns the physics of a cart-pole as they are now."""
    return Physics(
        float(env.gravity),
        float(env.masspole),
        float(env.total_mass),
        float(env.length),
        float(env.polemass_length),
        float(env.force_mag),
        float(env.tau),
        float(env.x_threshold),
        float(env.theta_threshold_radians),
        env.kinematics_integrator != "euler",
        bool(env._sutton_barto_reward),  # noqa: SLF001  (it has no public name)
    )
