"""How Gymnasium's CartPole, MountainCar and Acrobot start and move, compiled: the same operations, so the same bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from rlbench._stamp import stamp
from rlbench.envs.physics import STANDARD

CART_LOW, CART_SPAN = -0.05, 0.05 - -0.05
CAR_LOW, CAR_SPAN = -0.6, -0.4 - -0.6
LINK_LOW, LINK_SPAN = -0.1, 0.1 - -0.1

# ---------------------------------------------------------------------------------------------- CartPole


@njit(cache=True, error_model="numpy")  # with no test between them for a division by 0, sine and cosine are one call
def push(physics, x, x_dot, theta, theta_dot, action):
    """Returns the next (x, x_dot, theta, theta_dot) and whether it fell."""
    force = physics.force_mag if action == 1 else -physics.force_mag
    cos, sin = math.cos(theta), math.sin(theta)
    temp = (force + physics.polemass_length * (theta_dot * theta_dot) * sin) / physics.total_mass
    theta_acc = (physics.gravity * sin - cos * temp) / (
        physics.length * (4.0 / 3.0 - physics.masspole * (cos * cos) / physics.total_mass)
    )
    x_acc = temp - physics.polemass_length * theta_acc * cos / physics.total_mass
    x_dot_next, theta_dot_next = x_dot + physics.tau * x_acc, theta_dot + physics.tau * theta_acc
    if physics.is_semi_implicit:
        x, theta = x + physics.tau * x_dot_next, theta + physics.tau * theta_dot_next
    else:
        x, theta = x + physics.tau * x_dot, theta + physics.tau * theta_dot
    x_limit, theta_limit = physics.x_threshold, physics.theta_threshold_radians
    fell = x < -x_limit or x > x_limit or theta < -theta_limit or theta > theta_limit
    return x, x_dot_next, theta, theta_dot_next, fell


@njit(cache=True)
def cartpole_step(x, x_dot, theta, theta_dot, action):
    """Returns what `push` does with the standard physics, which are constants here: that is faster."""
    return push(STANDARD, x, x_dot, theta, theta_dot, action)


@njit(cache=True)
def put_cart(rng):
    """Draws (x, x_dot, theta, theta_dot)."""
    # one statement per draw: fixes the order of the draws
    x = CART_LOW + CART_SPAN * rng.random()
    x_dot = CART_LOW + CART_SPAN * rng.random()
    theta = CART_LOW + CART_SPAN * rng.random()
    theta_dot = CART_LOW + CART_SPAN * rng.random()
    return x, x_dot, theta, theta_dot


# ------------------------------------------------------------------------------------------- MountainCar


@njit(cache=True)
def park(rng):
    """Draws a position; the velocity is 0."""
    return CAR_LOW + CAR_SPAN * rng.random(), 0.0


@njit(cache=True)
def drive(physics, position, velocity, action):
    """Returns the next position and velocity, and whether the car arrived."""
    velocity += (action - 1) * physics.force + math.cos(3 * position) * (-physics.gravity)
    velocity = clipped(velocity, physics.max_speed)
    position = min(max(position + velocity, physics.min_position), physics.max_position)
    if position == physics.min_position and velocity < 0:
        velocity = 0.0
    return position, velocity, position >= physics.goal_position and velocity >= physics.goal_velocity


# ----------------------------------------------------------------------------------------------- Acrobot


@njit(cache=True)
def swing(physics, state, torque):
    """Returns the state after `dt` seconds, by Runge-Kutta of the fourth order, and whether the tip is high enough.

    A state is (cos, sin, cos, sin, velocity, velocity, angle, angle): what is observed, then the angles behind it.
    """
    t1, t2, v1, v2 = state[6], state[7], state[4], state[5]
    h, half, sixth = physics.dt, physics.dt / 2.0, physics.dt / 6.0
    a = slopes(physics, t1, t2, v1, v2, torque)
    b = slopes(physics, t1 + half * a[0], t2 + half * a[1], v1 + half * a[2], v2 + half * a[3], torque)
    c = slopes(physics, t1 + half * b[0], t2 + half * b[1], v1 + half * b[2], v2 + half * b[3], torque)
    d = slopes(physics, t1 + h * c[0], t2 + h * c[1], v1 + h * c[2], v2 + h * c[3], torque)
    t1 = wrapped(t1 + sixth * (a[0] + 2 * b[0] + 2 * c[0] + d[0]))
    t2 = wrapped(t2 + sixth * (a[1] + 2 * b[1] + 2 * c[1] + d[1]))
    v1 = clipped(v1 + sixth * (a[2] + 2 * b[2] + 2 * c[2] + d[2]), physics.max_vel_1)
    v2 = clipped(v2 + sixth * (a[3] + 2 * b[3] + 2 * c[3] + d[3]), physics.max_vel_2)
    cos1 = math.cos(t1)
    is_high = -cos1 - math.cos(t2 + t1) > 1.0
    return (cos1, math.sin(t1), math.cos(t2), math.sin(t2), v1, v2, t1, t2), is_high


@njit(cache=True)
def slopes(physics, theta1, theta2, vel1, vel2, torque):
    """Returns how fast the two angles and velocities change: the equations of motion of the book (Example 11.3)."""
    m1, m2, l1, lc1, lc2 = physics.m1, physics.m2, physics.l1, physics.lc1, physics.lc2
    moi, g = physics.moi, 9.8
    cos, sin = math.cos(theta2), math.sin(theta2)
    reach = physics.l1_squared + physics.lc2_squared + 2 * l1 * lc2 * cos
    d1 = m1 * physics.lc1_squared + m2 * reach + moi + moi
    d2 = m2 * (physics.lc2_squared + l1 * lc2 * cos) + moi
    phi2 = m2 * lc2 * g * math.cos(theta1 + theta2 - math.pi / 2.0)
    phi1 = (
        -m2 * l1 * lc2 * math.pow(vel2, physics.two) * sin
        - 2 * m2 * l1 * lc2 * vel2 * vel1 * sin
        + (m1 * lc1 + m2 * l1) * g * math.cos(theta1 - math.pi / 2)
        + phi2
    )
    inertia = m2 * physics.lc2_squared + moi - math.pow(d2, physics.two) / d1
    if physics.is_nips:
        acc2 = (torque + d2 / d1 * phi1 - phi2) / inertia
    else:
        acc2 = (torque + d2 / d1 * phi1 - m2 * l1 * lc2 * math.pow(vel1, physics.two) * sin - phi2) / inertia
    return vel1, vel2, -(d2 * acc2 + phi1) / d1, acc2


@njit(cache=True)
def clipped(velocity, limit):
    """Returns a velocity, at most as fast as the limit."""
    return min(max(velocity, -limit), limit)


@njit(cache=True)
def wrapped(angle):
    """Returns an angle between -pi and pi."""
    while angle > math.pi:
        angle -= 2 * math.pi
    while angle < -math.pi:
        angle += 2 * math.pi
    return angle


@njit(cache=True)
def hang(rng):
    """Draws a state: float32 as in Gymnasium, so NumPy computes its sines and cosines in float32."""
    theta1 = np.float32(LINK_LOW + LINK_SPAN * rng.random())
    theta2 = np.float32(LINK_LOW + LINK_SPAN * rng.random())
    vel1 = np.float32(LINK_LOW + LINK_SPAN * rng.random())
    vel2 = np.float32(LINK_LOW + LINK_SPAN * rng.random())
    return (
        np.float64(short_cos(theta1)),
        np.float64(short_sin(theta1)),
        np.float64(short_cos(theta2)),
        np.float64(short_sin(theta2)),
        np.float64(vel1),
        np.float64(vel2),
        np.float64(theta1),
        np.float64(theta2),
    )


def _generate_fused(_context, builder, _signature, arguments):
    return builder.fma(*arguments)


@intrinsic
def _fused(_context, a, b, c):
    return types.float32(types.float32, types.float32, types.float32), _generate_fused


fused: Any = _fused  # a * b + c of float32, rounded once
# NumPy's polynomials (loops_trigonometric.dispatch.cpp), the highest power first
SIN = tuple(
    np.float32(float.fromhex(x)) for x in ("0x1.7d3bbcp-19", "-0x1.a06bbap-13", "0x1.11119ap-07", "-0x1.555556p-03")
)
COS = tuple(
    np.float32(float.fromhex(x)) for x in ("0x1.98e616p-16", "-0x1.6c06dcp-10", "0x1.55553cp-05", "-0x1p-01", "0x1p0")
)


@njit(cache=True)
def short_sin(angle):
    """Returns the sine of a float32 within pi / 4 of 0, as NumPy has it."""
    square = angle * angle
    ratio = fused(fused(fused(SIN[0], square, SIN[1]), square, SIN[2]), square, SIN[3])
    return fused(fused(ratio, square, np.float32(0)), angle, angle)


@njit(cache=True)
def short_cos(angle):
    """Returns the cosine of a float32 within pi / 4 of 0, as NumPy has it."""
    square = angle * angle
    return fused(fused(fused(fused(COS[0], square, COS[1]), square, COS[2]), square, COS[3]), square, COS[4])


stamp(__name__)
