"""Compiled worlds, which the compiled loop runs in place of envs: same draws, same bits.

A world is a NamedTuple of arrays and numbers; its *type* picks the implementation of `reset`, `observe` and
`step` (through `numba.extending.overload`, which keeps the compiled loops in numba's disk cache).
A state is an int64 for tables and a tuple of floats for physics. Every function draws from the env's own generator
exactly as the env's methods do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium.utils import seeding
from numba import njit
from numba.extending import overload

from rlbench.envs._cards import deal, hit, see_hand, stick
from rlbench.envs._motion import cartpole_step, drive, hang, park, push, put_cart, swing
from rlbench.envs.discretize import CutPoints, Discretize, UniformBins, n_bins
from rlbench.envs.flattening import FlattenDiscrete
from rlbench.envs.making import id_of
from rlbench.envs.own_tables import ALWAYS, IF_SEVERAL, own_table
from rlbench.envs.physics import (
    STANDARD,
    AcrobotPhysics,
    CarPhysics,
    Physics,
    acrobot_physics_of,
    car_physics_of,
    physics_of,
)
from rlbench.envs.tabular import SUM_TOLERANCE, read_model, why_no_model
from rlbench.envs.transparent import is_known, is_patched, opaque_wrapper, type_name
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

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


class BanditWorld(NamedTuple):
    """The arms of a bandit, which belong to its env too."""

    values: NDArray[np.float64]  # (n_arms,): the mean reward of each
    drawn: NDArray[np.bool_]  # (1,): whether the values have been drawn since the generator was seeded
    mean: float  # around which they are drawn
    walk: float  # the standard deviation of what is added to each value after a pull

    def blank_state(self) -> int:
        """Returns a state of the right type, before any reset."""
        return 0


class OwnWorld(NamedTuple):
    """The table of an env of the user's own, which draws for a start or an outcome as told, or not at all."""

    table: SampledWorld
    start_draws: int  # NEVER or ALWAYS
    step_draws: int  # NEVER, ALWAYS or IF_SEVERAL

    def blank_state(self) -> int:
        """Returns a state of the right type, before any reset."""
        return 0


class BlackjackWorld(NamedTuple):
    """Gymnasium's Blackjack, its observations numbered."""

    natural: bool
    sab: bool

    def blank_state(self) -> tuple[int, ...]:
        """Returns a state of the right type, before any reset: see `_cards.deal`."""
        return (0,) * 5


class CartPoleWorld(NamedTuple):
    """CartPole's standard physics, observed through bins."""

    bins: Any  # UniformBins or CutPoints

    def blank_state(self) -> tuple[float, ...]:
        """Returns a state of the right type, before any reset."""
        return (0.0,) * 4


class ChangedCartPoleWorld(NamedTuple):
    """CartPole with other physics than the standard, observed through bins."""

    bins: Any  # UniformBins or CutPoints
    physics: Physics

    def blank_state(self) -> tuple[float, ...]:
        """Returns a state of the right type, before any reset."""
        return (0.0,) * 4


class MountainCarWorld(NamedTuple):
    """MountainCar, observed through bins."""

    bins: Any  # UniformBins or CutPoints
    physics: CarPhysics

    def blank_state(self) -> tuple[float, ...]:
        """Returns a state of the right type, before any reset."""
        return (0.0,) * 2


class AcrobotWorld(NamedTuple):
    """Acrobot, observed through bins."""

    bins: Any  # UniformBins or CutPoints
    physics: AcrobotPhysics

    def blank_state(self) -> tuple[float, ...]:
        """Returns a state of the right type, before any reset: what is observed, then the two angles."""
        return (0.0,) * 8


N_ACTIONS = {CartPoleWorld: 2, ChangedCartPoleWorld: 2, MountainCarWorld: 3, AcrobotWorld: 3}
BLACKJACK = "gymnasium.envs.toy_text.blackjack:BlackjackEnv"
RIDE = 500  # games, or random states in which a world is compared with its env


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


def _own_reset(world, rng):
    cumulative = world.table.start_cumulative
    return first_above(cumulative, 0, cumulative.shape[0], rng.random() if world.start_draws == ALWAYS else 0.0)


def _own_step(world, state, action, rng):
    table = world.table
    n_actions = (table.offsets.shape[0] - 1) // table.start_cumulative.shape[0]
    pair = state * n_actions + action
    begin, end = table.offsets[pair], table.offsets[pair + 1]
    draws = world.step_draws == ALWAYS or (world.step_draws == IF_SEVERAL and end - begin > 1)
    i = first_above(table.cumulative, begin, end, rng.random() if draws else 0.0)
    return np.int64(table.successor[i]), table.reward[i], table.terminated[i]


# ------------------------------------------------------------------------------------------------ arms


def _bandit_reset(world, rng):
    if not world.drawn[0]:
        for arm in range(world.values.shape[0]):
            world.values[arm] = world.mean + (0.0 if world.walk > 0 else rng.standard_normal())
        world.drawn[0] = True
    return np.int64(0)


def _bandit_step(world, state, action, rng):
    reward = world.values[action] + rng.standard_normal()
    if world.walk > 0:
        for arm in range(world.values.shape[0]):
            world.values[arm] += world.walk * rng.standard_normal()
    return state, reward, True


# ----------------------------------------------------------------------------------------------- cards


def _blackjack_reset(world, rng):
    return deal(rng)


def _blackjack_observe(world, state):
    return see_hand(state)


def _blackjack_step(world, state, action, rng):
    if action != 0:
        return hit(state, rng)
    return state, stick(state, world.natural, world.sab, rng), True


# --------------------------------------------------------------------------------------- physics in bins


def _cartpole_reset(world, rng):
    return put_cart(rng)


def _whole_state_observe(world, state):
    return bin_index(world.bins, state)


def _cartpole_step(world, state, action, rng):
    x, x_dot, theta, theta_dot, fell = cartpole_step(state[0], state[1], state[2], state[3], action)
    return (x, x_dot, theta, theta_dot), 1.0, fell


def _changed_cartpole_step(world, state, action, rng):
    x, x_dot, theta, theta_dot, fell = push(world.physics, state[0], state[1], state[2], state[3], action)
    reward = (-1.0 if fell else 0.0) if world.physics.sutton_barto_reward else 1.0
    return (x, x_dot, theta, theta_dot), reward, fell


def _mountain_car_reset(world, rng):
    return park(rng)


def _mountain_car_step(world, state, action, rng):
    position, velocity, arrived = drive(world.physics, state[0], state[1], action)
    return (position, velocity), -1.0, arrived


def _acrobot_reset(world, rng):
    return hang(rng)


def _acrobot_observe(world, state):
    return bin_index(world.bins, state[:6])


def _acrobot_step(world, state, action, rng):
    torque = world.physics.torques[action]
    noise = world.physics.torque_noise_max
    if noise > 0:
        torque += -noise + (noise - -noise) * rng.random()
    state, arrived = swing(world.physics, state, torque)
    return state, 0.0 if arrived else -1.0, arrived


def bin_index(bins: Any, state: Any) -> int:
    """Returns the flat bin of what is observed, rounded to float32 as in an observation."""
    raise NotImplementedError


def _uniform_bin(bins, state):
    index = np.int64(0)
    for i in range(len(state)):
        count = bins.counts[i]
        place = (np.float64(np.float32(state[i])) - bins.low[i]) * bins.scale[i]
        inner = count - 1 if place >= count else np.int64(place)
        index = index * count + (inner if place > 0 else 0)
    return index


def _cut_point_bin(bins, state):
    index = np.int64(0)
    for i in range(len(state)):
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
    BanditWorld: _bandit_reset,
    OwnWorld: _own_reset,
    BlackjackWorld: _blackjack_reset,
    CartPoleWorld: _cartpole_reset,
    ChangedCartPoleWorld: _cartpole_reset,
    MountainCarWorld: _mountain_car_reset,
    AcrobotWorld: _acrobot_reset,
}
_OBSERVE: dict[Any, Any] = {
    DeterministicWorld: _table_observe,
    SampledWorld: _table_observe,
    BanditWorld: _table_observe,
    OwnWorld: _table_observe,
    BlackjackWorld: _blackjack_observe,
    CartPoleWorld: _whole_state_observe,
    ChangedCartPoleWorld: _whole_state_observe,
    MountainCarWorld: _whole_state_observe,
    AcrobotWorld: _acrobot_observe,
}
_STEP: dict[Any, Any] = {
    DeterministicWorld: _deterministic_step,
    SampledWorld: _sampled_step,
    BanditWorld: _bandit_step,
    OwnWorld: _own_step,
    BlackjackWorld: _blackjack_step,
    CartPoleWorld: _cartpole_step,
    ChangedCartPoleWorld: _changed_cartpole_step,
    MountainCarWorld: _mountain_car_step,
    AcrobotWorld: _acrobot_step,
}
_BIN_INDEX: dict[Any, Any] = {UniformBins: _uniform_bin, CutPoints: _cut_point_bin}


def functions_of(world: Any) -> dict[str, Any]:
    """Returns what `reset`, `observe`, `step` and `bin_index` are for a world of this type."""
    kind = type(world)
    own = {"reset": _RESET[kind], "observe": _OBSERVE[kind], "step": _STEP[kind]}
    return {**own, "bin_index": _BIN_INDEX[type(world.bins)]} if hasattr(world, "bins") else own


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
    """Prepares a table for sampling."""
    return SampledWorld(
        model.offsets, model.cumulative, model.successor, model.reward, model.terminated, np.cumsum(model.initial)
    )


def world_of(env: gym.Env[Any, Any], *, own: bool = True) -> Any:
    """Returns the compiled world that behaves exactly like `env`, or None if there is none.

    An env provides one in a method `compiled_world()`; Gymnasium's toy-text and control envs are known here. Of
    any other env with a table, if `own`, the table is one where seeded episodes of the env are those of its table.

    Raises:
        UsageError: the world leads outside the env's spaces, or its probabilities are no distribution.
    """
    opaque = opaque_wrapper(env, idle=True)
    if opaque is not None:
        return _binned_world(env, opaque) or _blackjack_world(env, opaque)
    base = env.unwrapped
    if hasattr(type(base), "compiled_world"):
        world = base.compiled_world() if _speaks_for(base) else None  # type: ignore[attr-defined]
        return world if world is None else _checked(world, env)
    if why_no_model(base) is not None:
        return None
    if is_known(base):
        return sampled_world(read_model(base))
    return _own_world(env) if own else None


def _own_world(env: gym.Env[Any, Any]) -> Any:
    """Returns the world of an env's own table; None if the env does anything else."""
    try:
        model, start_draws, step_draws = own_table(env)
    except UsageError:
        return None
    table = sampled_world(model)
    return table if start_draws == step_draws == ALWAYS else OwnWorld(table, start_draws, step_draws)


class _Kind(NamedTuple):
    """A kind of env that has compiled physics.

    Attributes:
        world: makes the world of an env in bins, by its physics as they are now; None if only Gymnasium knows these.
        spread: how far from 0 the numbers of a state may lie where the two are compared.
        places: where the numbers in the env's attribute `state` are in a state of the world.
    """

    world: Callable[[Any, Any], Any]
    spread: tuple[float, ...]
    places: list[int]


def _cart_pole_world(bins: Any, env: Any) -> Any:
    return CartPoleWorld(bins) if physics_of(env) == STANDARD else None


def _mountain_car_world(bins: Any, env: Any) -> Any:
    return MountainCarWorld(bins, car_physics_of(env))


def _acrobot_world(bins: Any, env: Any) -> Any:
    return AcrobotWorld(bins, acrobot_physics_of(env)) if len(env.AVAIL_TORQUE) == N_ACTIONS[AcrobotWorld] else None


_KINDS = {
    f"gymnasium.envs.classic_control.{name}": kind
    for name, kind in (
        ("cartpole:CartPoleEnv", _Kind(_cart_pole_world, (2.4, 3.0, 0.2, 3.0), [0, 1, 2, 3])),
        ("mountain_car:MountainCarEnv", _Kind(_mountain_car_world, (1.2, 0.07), [0, 1])),
        ("acrobot:AcrobotEnv", _Kind(_acrobot_world, (0, 0, 0, 0, 12.0, 28.0, 3.1, 3.1), [6, 7, 4, 5])),
    )
}


def _binned_world(env: gym.Env[Any, Any], wrapper: gym.Env[Any, Any]) -> Any:
    """Returns the world of an env with known physics, if the wrapper that puts it in bins is all that changes it."""
    base, kind = env.unwrapped, _KINDS.get(type_name(env.unwrapped))
    if kind is None or is_patched(base) or type(wrapper) is not Discretize or is_patched(wrapper):
        return None
    if opaque_wrapper(wrapper.env, idle=True) is not None or type(wrapper.bins) not in _BIN_INDEX:
        return None
    world = kind.world(wrapper.bins, base)
    return _checked(world, env) if world is not None and moves_alike(type(base)) else None  # type: ignore[arg-type]  # a class has a hash


def _blackjack_world(env: gym.Env[Any, Any], wrapper: gym.Env[Any, Any]) -> Any:
    """Returns the world of Gymnasium's Blackjack, if the wrapper that numbers its hands is all that changes it."""
    base: Any = env.unwrapped
    if type_name(base) != BLACKJACK or is_patched(base) or type(wrapper) is not FlattenDiscrete or is_patched(wrapper):
        return None
    if opaque_wrapper(wrapper.env, idle=True) is not None:
        return None
    world = BlackjackWorld(bool(base.natural), bool(base.sab))
    return world if plays_alike(type(base), world) else None  # type: ignore[arg-type]  # a class has a hash


@cache
def plays_alike(cls: Any, world: BlackjackWorld) -> bool:
    """Returns whether Gymnasium's env deals and pays here as its compiled world, draw for draw."""
    env, random = FlattenDiscrete(cls(natural=world.natural, sab=world.sab)), np.random.default_rng(0)
    for seed in range(RIDE):
        rng, terminated = seeding.np_random(seed)[0], False
        number, state = env.reset(seed=seed)[0], _blackjack_reset(world, rng)
        while not terminated and number == _blackjack_observe(world, state):
            action = int(random.integers(2))
            number, reward, terminated, _, _ = env.step(action)
            state, *found = _blackjack_step(world, state, action, rng)
            if [reward, terminated] != found or env.unwrapped.np_random.bit_generator.state != rng.bit_generator.state:
                return False
        if number != _blackjack_observe(world, state):
            return False
    return True


@cache
def moves_alike(cls: Any) -> bool:
    """Returns whether Gymnasium's env starts and moves here as its compiled world, bit for bit: sines may differ."""
    env: Any = cls()
    kind, random = _KINDS[type_name(env)], np.random.default_rng(0)
    world = kind.world(None, env)
    start, move, n_actions = _RESET[type(world)], _STEP[type(world)], N_ACTIONS[type(world)]
    for state in random.uniform(-1, 1, (RIDE, len(kind.spread))) * kind.spread:
        seed, action = int(random.integers(2**31)), int(random.integers(n_actions))
        begun = env.reset(seed=seed)[0]
        if not _is_in(env, begun, np.array(start(world, seeding.np_random(seed)[0])), kind):
            return False
        env.state = state[kind.places]
        moved = env.step(action)[0]
        if not _is_in(env, moved, np.array(move(world, tuple(state.tolist()), action, None)[0]), kind):
            return False
    return True


def _is_in(env: Any, observation: NDArray[np.float32], state: NDArray[np.float64], kind: _Kind) -> bool:
    """Returns whether an env is in this state and observes the first of its numbers."""
    seen = state[: len(observation)].astype(np.float32)
    return np.array_equal(env.state, state[kind.places]) and np.array_equal(observation, seen)


def _speaks_for(base: gym.Env[Any, Any]) -> bool:
    """Returns whether `compiled_world` describes this env: no subclass overrides what it relies on."""
    lineage = type(base).__mro__
    owner = next(i for i, cls in enumerate(lineage) if "compiled_world" in vars(cls))
    added = {name for cls in lineage[:owner] for name in vars(cls) if not name.startswith("__")}
    return not is_patched(base) and not any(hasattr(lineage[owner], name) for name in added)


def _checked(world: Any, env: gym.Env[Any, Any]) -> Any:
    """Refuses a world that would read outside its tables: compiled code checks no bounds."""
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


def _bandit_complaint(world: BanditWorld, n_states: int, n_actions: int) -> str | None:
    if n_states != 1 or world.values.shape != (n_actions,) or world.drawn.shape != (1,):
        return f"it must have 1 state and {n_actions} arms, as the spaces of the env"
    return None


def _physics_complaint(world: Any, n_states: int, n_actions: int) -> str | None:
    expected = n_bins(world.bins), N_ACTIONS[type(world)]
    if expected != (n_states, n_actions):
        return "it has {} bins and {} actions, the spaces of the env {} and {}".format(*expected, n_states, n_actions)
    return None


_COMPLAINTS: dict[Any, Any] = {
    DeterministicWorld: _deterministic_complaint,
    SampledWorld: _sampled_complaint,
    BanditWorld: _bandit_complaint,
    OwnWorld: lambda world, *sizes: _sampled_complaint(world.table, *sizes),
    **dict.fromkeys(N_ACTIONS, _physics_complaint),
}
