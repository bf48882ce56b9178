"""The physics of Gymnasium's CartPole, MountainCar and Acrobot, kept in attributes: `env.unwrapped.gravity = 1.6`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

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


class CarPhysics(NamedTuple):
    """What decides how a mountain car moves and when it has arrived; the attributes of Gymnasium's MountainCar."""

    min_position: float
    max_position: float
    max_speed: float
    goal_position: float
    goal_velocity: float
    force: float
    gravity: float


class AcrobotPhysics(NamedTuple):
    """What decides how two links swing; the attributes of Gymnasium's Acrobot, in its order of letters."""

    dt: float  # between states
    m1: float
    m2: float
    l1: float
    lc1: float  # to the centre of mass
    lc2: float
    l1_squared: float  # the squares as Python rounds them
    lc1_squared: float
    lc2_squared: float
    moi: float  # moment of inertia of either link
    max_vel_1: float
    max_vel_2: float
    torques: tuple[float, float, float]  # of the actions
    torque_noise_max: float
    is_nips: bool  # the equations of the paper, not of the book
    two: float = 2.0  # an exponent that the compiler must not know: pow(x, 2) may round otherwise than x * x


STANDARD = Physics(9.8, 0.1, 0.1 + 1.0, 0.5, 0.1 * 0.5, 10.0, 0.02, 2.4, 12 * 2 * math.pi / 360, False, False)
ATTRIBUTES = (  # of the envs
    *Physics._fields[:-2],
    "kinematics_integrator",
    "_sutton_barto_reward",
    *CarPhysics._fields,
    *("dt", "LINK_MASS_1", "LINK_MASS_2", "LINK_LENGTH_1", "LINK_LENGTH_2", "LINK_COM_POS_1", "LINK_COM_POS_2"),
    *("LINK_MOI", "MAX_VEL_1", "MAX_VEL_2", "AVAIL_TORQUE", "torque_noise_max", "book_or_nips"),
)


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


def car_physics_of(env: Any) -> CarPhysics:
    """Returns the physics of a mountain car as they are now."""
    return CarPhysics(*(float(getattr(env, name)) for name in CarPhysics._fields))


def acrobot_physics_of(env: Any) -> AcrobotPhysics:
    """Returns the physics of an acrobot as they are now."""
    l1, lc1, lc2 = env.LINK_LENGTH_1, env.LINK_COM_POS_1, env.LINK_COM_POS_2
    left, none, right = env.AVAIL_TORQUE
    return AcrobotPhysics(
        dt=float(env.dt),
        m1=float(env.LINK_MASS_1),
        m2=float(env.LINK_MASS_2),
        l1=float(l1),
        lc1=float(lc1),
        lc2=float(lc2),
        l1_squared=float(l1**2),
        lc1_squared=float(lc1**2),
        lc2_squared=float(lc2**2),
        moi=float(env.LINK_MOI),
        max_vel_1=float(env.MAX_VEL_1),
        max_vel_2=float(env.MAX_VEL_2),
        torques=(float(left), float(none), float(right)),
        torque_noise_max=float(env.torque_noise_max),
        is_nips=env.book_or_nips == "nips",
    )
