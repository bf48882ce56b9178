"""Compiled worlds, which the compiled loop runs in place of envs: same draws, same bits.

A world is a NamedTuple of arrays and numbers; its *type* picks the implementation of `reset`, `observe` and
`step` (through `numba.extending.overload`, which keeps the compiled loops in numba's disk cache).
A state is an int64 for tables and four floats for CartPole. Every function draws from the env's own generator
exactly as the env's methods do.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from numba import njit
from numba.extending import overload

from rlbench.envs.discretize import CutPoints, Discretize, UniformBins, n_bins
from rlbench.envs.making import id_of
from rlbench.envs.physics import STANDARD, Physics, physics_of
from rlbench.envs.tabular import SUM_TOLERANCE, read_model
from rlbench.envs.transparent import is_known, is_patched, opaque_wrapper, type_name
from rlbench.errors import UsageError

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel


class DeterministicWorld(NamedTuple):
    """A table with one outcome per (state, action) and uniform starts: SafeCab."""

    # the smallest dtypes that fit: it decides whether these and the Q table fit in the L1 cache together
    outcome: NDArray[np.unsignedinteger[Any]]  # (n_states, n_actions): next state << 1 | terminated
    reward: NDArray[np.unsignedinteger[Any]]  # (n_states, n_actions): index into `rewards`
    rewards: NDArray[np.float64]  # the distinct rewards
    starts: NDArray[np.int64]  # (n_starts,)

    def blank_state(self) -> int:
        """Returns a state of the right type, before any reset."""
        return 0


class SampledWorld(NamedTuple):
    """A table sampled like Gymnasium's toy-text envs: one draw per step, even for a single outcome."""

    offsets: NDArray[np.int64]  # (n_states * n_actions + 1,): where the outcomes of (s, a) begin
    cumulative: NDArray[np.float64]  # (n_outcomes,): running sum of the probabilities within one (s, a)
    successor: NDArray[np.int32]  # (n_outcomes,)
    reward: NDArray[np.float64]  # (n_outcomes,)
    terminated: NDArray[np.bool_]  # (n_outcomes,)
    start_cumulative: NDArray[np.float64]  # (n_states,)

    def blank_state(self) -> int:
        """Returns a state of the right type, before any reset."""
        return 0


class CartPoleWorld(NamedTuple):
    """CartPole's standard physics, observed through bins."""

    bins: Any  # UniformBins or CutPoints

    def blank_state(self) -> tuple[float, float, float, float]:
        """Returns a state of the right type, before any reset."""
        return 0.0, 0.0, 0.0, 0.0


class ChangedCartPoleWorld(NamedTuple):
    """CartPole with other physics than the standard, observed through bins."""

    bins: Any  # UniformBins or CutPoints
    physics: Physics

    def blank_state(self) -> tuple[float, float, float, float]:
        """Returns a state of the right type, before any reset."""
        return 0.0, 0.0, 0.0, 0.0


def reset(world: Any, rng: np.random.Generator) -> Any:
    """Draws a start state."""
    raise NotImplementedError


def observe(world: Any, state: Any) -> int:
    """Returns the Discrete observation of a state."""
    raise NotImplementedError


def step(world: Any, state: Any, action: int, rng: np.random.Generator) -> Any:
    """Returns (next state, reward, terminated)."""
    raise NotImplementedError


# ------------------------------------------------------------------------------------------------ tables


def _deterministic_reset(world, rng):
    return world.starts[np.uint64(rng.random() * world.starts.shape[0])]


def _table_observe(world, state):
    return state


def _deterministic_step(world, state, action, rng):
    # unsigned indices: no wrap-around check, which would lengthen the chain of dependent loads
    s, a = np.uint64(state), np.uint64(action)
    outcome = np.uint64(world.outcome[s, a])
    return (
        np.int64(outcome >> np.uint64(1)),
        world.rewards[np.uint64(world.reward[s, a])],
        (outcome & np.uint64(1)) != 0,
    )


@njit(cache=True)
def first_above(cumulative, begin, end, draw):
    """Returns the first index in [begin, end) whose running sum exceeds the draw, else `begin`: categorical_sample."""
    for i in range(begin, end):
        if cumulative[i] > draw:
            return i
    return begin


def _sampled_reset(world, rng):
    return first_above(world.start_cumulative, 0, world.start_cumulative.shape[0], rng.random())


def _sampled_step(world, state, action, rng):
    n_actions = (world.offsets.shape[0] - 1) // world.start_cumulative.shape[0]
    pair = state * n_actions + action
    i = first_above(world.cumulative, world.offsets[pair], world.offsets[pair + 1], rng.random())
    return np.int64(world.successor[i]), world.reward[i], world.terminated[i]


# ---------------------------------------------------------------------------------------------- CartPole

CART_POLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
RIDE = 500  # random states in which the two are compared
START_LOW, START_SPAN = -0.05, 0.05 - -0.05


@njit(cache=True)
def push(physics, x, x_dot, theta, theta_dot, action):
    """Returns the next (x, x_dot, theta, theta_dot) and whether it fell: Gymnasium's step, same operations."""
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


def _cartpole_reset(world, rng):
    # one statement per draw: fixes the order of the draws
    x = START_LOW + START_SPAN * rng.random()
    x_dot = START_LOW + START_SPAN * rng.random()
    theta = START_LOW + START_SPAN * rng.random()
    theta_dot = START_LOW + START_SPAN * rng.random()
    return x, x_dot, theta, theta_dot


def _cartpole_observe(world, state):
    return bin_index(world.bins, state)


def _cartpole_step(world, state, action, rng):
    x, x_dot, theta, theta_dot, fell = cartpole_step(state[0], state[1], state[2], state[3], action)
    return (x, x_dot, theta, theta_dot), 1.0, fell


def _changed_cartpole_step(world, state, action, rng):
    x, x_dot, theta, theta_dot, fell = push(world.physics, state[0], state[1], state[2], state[3], action)
    reward = (-1.0 if fell else 0.0) if world.physics.sutton_barto_reward else 1.0
    return (x, x_dot, theta, theta_dot), reward, fell


def bin_index(bins: Any, state: Any) -> int:
    """Returns the flat bin of four floats, rounded to float32 as in an observation."""
    raise NotImplementedError


def _uniform_bin(bins, state):
    index = np.int64(0)
    for i in range(4):
        count = bins.counts[i]
        place = (np.float64(np.float32(state[i])) - bins.low[i]) * bins.scale[i]
        inner = count - 1 if place >= count else np.int64(place)
        index = index * count + (inner if place > 0 else 0)
    return index


def _cut_point_bin(bins, state):
    index = np.int64(0)
    for i in range(4):
        value = np.float64(np.float32(state[i]))
        begin, end = bins.offsets[i], bins.offsets[i + 1]
        below = 0
        for j in range(begin, end):
            below += bins.cuts[j] <= value
        index = index * (end - begin + 1) + below
    return index


# -------------------------------------------------------------------------------- dispatch, by type

_RESET: dict[Any, Any] = {
    DeterministicWorld: _deterministic_reset,
    SampledWorld: _sampled_reset,
    CartPoleWorld: _cartpole_reset,
    ChangedCartPoleWorld: _cartpole_reset,
}
_OBSERVE: dict[Any, Any] = {
    DeterministicWorld: _table_observe,
    SampledWorld: _table_observe,
    CartPoleWorld: _cartpole_observe,
    ChangedCartPoleWorld: _cartpole_observe,
}
_STEP: dict[Any, Any] = {
    DeterministicWorld: _deterministic_step,
    SampledWorld: _sampled_step,
    CartPoleWorld: _cartpole_step,
    ChangedCartPoleWorld: _changed_cartpole_step,
}
_BIN_INDEX: dict[Any, Any] = {UniformBins: _uniform_bin, CutPoints: _cut_point_bin}


@overload(reset, inline="always")
def _overload_reset(world, rng):
    return _RESET.get(getattr(world, "instance_class", None))


@overload(observe, inline="always")
def _overload_observe(world, state):
    return _OBSERVE.get(getattr(world, "instance_class", None))


@overload(step, inline="always")
def _overload_step(world, state, action, rng):
    return _STEP.get(getattr(world, "instance_class", None))


@overload(bin_index, inline="always")
def _overload_bin_index(bins, state):
    return _BIN_INDEX.get(getattr(bins, "instance_class", None))


# -------------------------------------------------------------------------------- from envs to worlds


def deterministic_world(model: TabularModel) -> DeterministicWorld:
    """Packs a deterministic table with uniform starts."""
    shape = (model.n_states, model.n_actions)
    outcome = (model.successor.astype(np.uint64) << np.uint64(1)) | model.terminated.astype(np.uint64)
    bits, reward = np.unique(model.reward.view(np.int64), return_inverse=True)  # bits: -0.0 is not 0.0
    return DeterministicWorld(
        _narrow(outcome.reshape(shape)),
        _narrow(reward.reshape(shape)),
        bits.view(np.float64),
        model.starts.astype(np.int64),
    )


def _narrow(counts: NDArray[Any]) -> NDArray[Any]:
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def sampled_world(model: TabularModel) -> SampledWorld:
    """Prepares a table for sampling; the running sums equal NumPy's cumsum over each (s, a) bit for bit."""
    cumulative = model.probability.copy()
    for width in range(1, int(np.diff(model.offsets).max(initial=0))):
        has_more = model.offsets[:-1] + width < model.offsets[1:]
        at = model.offsets[:-1][has_more] + width
        cumulative[at] += cumulative[at - 1]
    return SampledWorld(
        model.offsets, cumulative, model.successor, model.reward, model.terminated, np.cumsum(model.initial)
    )


def world_of(env: gym.Env[Any, Any]) -> Any:
    """Returns the compiled world that behaves exactly like `env`, or None if there is none.

    An env provides one in a method `compiled_world()`; Gymnasium's FrozenLake, CliffWalking and Taxi are known here.

    Raises:
        UsageError: the world leads outside the env's spaces, or its probabilities are no distribution.
    """
    opaque = opaque_wrapper(env, idle=True)
    if opaque is not None:
        return _binned_world(env, opaque)
    base = env.unwrapped
    if hasattr(type(base), "compiled_world"):
        world = base.compiled_world() if _speaks_for(base) else None  # type: ignore[attr-defined]
        return world if world is None else _checked(world, env)
    if not is_known(base) or getattr(base, "fickle_passenger", False):
        return None
    return sampled_world(read_model(base))


def _binned_world(env: gym.Env[Any, Any], wrapper: gym.Env[Any, Any]) -> Any:
    """Returns the world of a plain CartPole in bins, if the wrapper that puts it there is the only one to change it."""
    base = env.unwrapped
    is_plain = type_name(base) == CART_POLE and not is_patched(base) and physics_of(base) == STANDARD  # type: ignore[arg-type]  # a CartPole
    if type(wrapper) is not Discretize or is_patched(wrapper) or not is_plain:
        return None
    if opaque_wrapper(wrapper.env, idle=True) is not None or type(wrapper.bins) not in _BIN_INDEX:
        return None
    return _checked(CartPoleWorld(wrapper.bins), env) if pushes_alike() else None


@cache
def pushes_alike() -> bool:
    """Returns whether Gymnasium's CartPole moves here as the compiled one, bit for bit: cosines may differ."""
    env, random = CartPoleEnv(), np.random.default_rng(0)
    for state in (
        random.uniform(-1, 1, (RIDE, 4)) * (STANDARD.x_threshold, 3.0, STANDARD.theta_threshold_radians, 3.0)
    ).tolist():
        action = int(random.integers(2))
        env.reset()
        env.state = np.array(state)
        env.step(action)
        if (*env.state.tolist(),) != cartpole_step(*state, action)[:4]:  # type: ignore[call-arg]  # a Dispatcher takes any
            return False
    return True


def _speaks_for(base: gym.Env[Any, Any]) -> bool:
    """Returns whether `compiled_world` describes this env: nothing that it knew has been overridden since."""
    lineage = type(base).__mro__
    owner = next(i for i, cls in enumerate(lineage) if "compiled_world" in vars(cls))
    added = {name for cls in lineage[:owner] for name in vars(cls) if not name.startswith("__")}
    return not is_patched(base) and not any(hasattr(lineage[owner], name) for name in added)


def _checked(world: Any, env: gym.Env[Any, Any]) -> Any:
    """Refuses a world that would read beside its tables: compiled code does not look where it reads."""
    sizes = [getattr(space, "n", 0) for space in (env.observation_space, env.action_space)]
    complaint = _COMPLAINTS[type(world)](world, *map(int, sizes)) if type(world) in _COMPLAINTS else None
    if complaint is not None:
        raise UsageError(f"the compiled world of {id_of(env)} is wrong: {complaint}")
    return world


def _deterministic_complaint(world: DeterministicWorld, n_states: int, n_actions: int) -> str | None:
    shape = n_states, n_actions
    if world.outcome.shape != shape or world.reward.shape != shape:
        return f"its tables must have the shape {shape}, got {world.outcome.shape} and {world.reward.shape}"
    if int(world.outcome.max()) >> 1 >= n_states:
        return f"a next state must be in [0, {n_states}), got {int(world.outcome.max()) >> 1}"
    if int(world.reward.max()) >= len(world.rewards) or not np.isfinite(world.rewards).all():
        return "its table of rewards must hold finite numbers, and as many as its indices say"
    return _starts_complaint(world.starts, n_states)


def _starts_complaint(starts: NDArray[np.int64], n_states: int) -> str | None:
    if starts.ndim != 1 or not starts.size or starts.min() < 0 or starts.max() >= n_states:
        return f"its starts must be states in [0, {n_states}), one or more"
    return None


def _sampled_complaint(world: SampledWorld, n_states: int, n_actions: int) -> str | None:
    offsets, n_outcomes = world.offsets, len(world.cumulative)
    if offsets.shape != (n_states * n_actions + 1,) or world.start_cumulative.shape != (n_states,):
        return f"it must have {n_states} states and {n_actions} actions, as the spaces of the env"
    if offsets[0] != 0 or offsets[-1] != n_outcomes or np.diff(offsets).min() < 1:
        return "its offsets must rise from 0 to the number of outcomes"
    columns = world.successor, world.reward, world.terminated
    if any(column.shape != (n_outcomes,) for column in columns) or not np.isfinite(world.reward).all():
        return f"it must have {n_outcomes} next states, finite rewards and ends, one an outcome"
    strays = world.successor[(world.successor < 0) | (world.successor >= n_states)]
    if strays.size:
        return f"a next state must be in [0, {n_states}), got {strays[0]}"
    sums = np.append(world.cumulative[offsets[1:] - 1], world.start_cumulative[-1])
    if not (np.abs(sums - 1.0) <= SUM_TOLERANCE).all():
        return "its probabilities must sum to 1"
    return None


def _cartpole_complaint(world: CartPoleWorld | ChangedCartPoleWorld, n_states: int, n_actions: int) -> str | None:
    if n_bins(world.bins) != n_states or n_actions != 2:  # noqa: PLR2004  (left and right)
        return f"it has {n_bins(world.bins)} bins and 2 actions, the spaces of the env {n_states} and {n_actions}"
    return None


_COMPLAINTS: dict[Any, Any] = {
    DeterministicWorld: _deterministic_complaint,
    SampledWorld: _sampled_complaint,
    CartPoleWorld: _cartpole_complaint,
    ChangedCartPoleWorld: _cartpole_complaint,
}
