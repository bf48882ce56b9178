"""Compiled worlds, which the compiled loop runs in place of envs: same draws, same bits.

A world is a NamedTuple of arrays and numbers; its *type* picks the implementation of `reset`, `observe` and
`step` (through `numba.extending.overload`, which keeps the compiled loops in numba's disk cache).
A state is an int64 for tables and four floats for CartPole. Every function draws from the env's own generator
exactly as the env's methods do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from rlbench.envs.discretize import CutPoints, UniformBins
from rlbench.envs.making import wrappers_of
from rlbench.envs.tabular import TabularModel

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray


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
    """CartPole's physics, observed through bins."""

    bins: Any  # UniformBins or CutPoints

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

GRAVITY = 9.8
MASS_POLE = 0.1
TOTAL_MASS = 0.1 + 1.0
HALF_LENGTH = 0.5
POLE_MASS_LENGTH = MASS_POLE * HALF_LENGTH
FORCE = 10.0
TAU = 0.02  # seconds between states
X_LIMIT = 2.4
THETA_LIMIT = 12 * 2 * math.pi / 360
START_LOW, START_SPAN = -0.05, 0.05 - -0.05


@njit(cache=True)
def cartpole_step(x, x_dot, theta, theta_dot, action):
    """Returns the next (x, x_dot, theta, theta_dot) and whether it fell: Gymnasium's Euler step, same operations."""
    force = FORCE if action == 1 else -FORCE
    cos, sin = math.cos(theta), math.sin(theta)
    temp = (force + POLE_MASS_LENGTH * (theta_dot * theta_dot) * sin) / TOTAL_MASS
    theta_acc = (GRAVITY * sin - cos * temp) / (HALF_LENGTH * (4.0 / 3.0 - MASS_POLE * (cos * cos) / TOTAL_MASS))
    x_acc = temp - POLE_MASS_LENGTH * theta_acc * cos / TOTAL_MASS
    x, x_dot = x + TAU * x_dot, x_dot + TAU * x_acc
    theta, theta_dot = theta + TAU * theta_dot, theta_dot + TAU * theta_acc
    fell = x < -X_LIMIT or x > X_LIMIT or theta < -THETA_LIMIT or theta > THETA_LIMIT
    return x, x_dot, theta, theta_dot, fell


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
}
_OBSERVE: dict[Any, Any] = {
    DeterministicWorld: _table_observe,
    SampledWorld: _table_observe,
    CartPoleWorld: _cartpole_observe,
}
_STEP: dict[Any, Any] = {
    DeterministicWorld: _deterministic_step,
    SampledWorld: _sampled_step,
    CartPoleWorld: _cartpole_step,
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


# Wrappers that change no observations, actions, rewards or draws; TimeLimit is applied by the loop itself.
_TRANSPARENT = frozenset({"PassiveEnvChecker", "OrderEnforcing", "TimeLimit", "HumanRendering", "RenderCollection"})
# Gymnasium's own envs that sample P with exactly one draw per step and per reset.
_TOY_TEXT = frozenset(
    f"gymnasium.envs.toy_text.{name}"
    for name in ("frozen_lake:FrozenLakeEnv", "cliffwalking:CliffWalkingEnv", "taxi:TaxiEnv")
)


def _is_transparent(wrapper: gym.Env[Any, Any]) -> bool:
    return type(wrapper).__name__ in _TRANSPARENT and type(wrapper).__module__.startswith("gymnasium.")


def world_of(env: gym.Env[Any, Any]) -> Any:
    """Returns the compiled world that behaves exactly like `env`, or None if there is none.

    An env provides one in a method `compiled_world()`; Gymnasium's FrozenLake, CliffWalking and Taxi are known here.
    """
    if not all(map(_is_transparent, wrappers_of(env))):
        return None
    base = env.unwrapped
    if hasattr(type(base), "compiled_world"):
        return base.compiled_world()  # type: ignore[attr-defined]
    if f"{type(base).__module__}:{type(base).__qualname__}" not in _TOY_TEXT or getattr(
        base, "fickle_passenger", False
    ):
        return None
    return sampled_world(TabularModel.from_env(base))
