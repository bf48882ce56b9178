"""Finite MDPs as flat arrays, read from transition tables such as toy-text's `P`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from rlbench.envs.allowing import allowed_actions, check_allowed
from rlbench.envs.making import id_of, make_env, step_limit
from rlbench.envs.measuring import PAIRS, check_steps, twin_of
from rlbench.envs.transparent import is_known, is_patched, opaque_wrapper
from rlbench.errors import CheckFailedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SUM_TOLERANCE = 1e-9  # how far the probabilities of one (state, action) may sum from 1

Outcome: TypeAlias = "tuple[float, int, float, bool]"  # (probability, successor, reward, terminated)

_COMPARED: set[tuple[type, str]] = set()  # classes of known envs and digests of models, compared in this process


@dataclass(frozen=True, eq=False)
class TabularModel:
    """A finite MDP as flat arrays (Puterman, 1994, chapter 2).

    The outcomes of taking action a in state s are the rows
    `offsets[s * n_actions + a] : offsets[s * n_actions + a + 1]` of the four outcome arrays.

    Attributes:
        n_states: the states are 0 .. n_states - 1.
        n_actions: the actions are 0 .. n_actions - 1.
        offsets: int64 (n_states * n_actions + 1,), where the outcomes of each pair begin and end.
        probability: float64 (n_outcomes,), summing to 1 over each (state, action).
        successor: int32 (n_outcomes,), the next state.
        reward: float64 (n_outcomes,), finite.
        terminated: bool (n_outcomes,), whether the episode ends with this outcome.
        initial: float64 (n_states,), the distribution of the first state.
        step_limit: the steps after which an episode is truncated; None if there is no limit.
        allowed: bool (n_states, n_actions), the actions to choose from in each state, one at least; None for all. An
            action outside the set has outcomes too: what the env does if it is taken anyway.

    Raises:
        UsageError: the arrays do not describe an MDP; the message names the first wrong entry.
    """

    n_states: int
    n_actions: int
    offsets: NDArray[np.int64] = field(repr=False)
    probability: NDArray[np.float64] = field(repr=False)
    successor: NDArray[np.int32] = field(repr=False)
    reward: NDArray[np.float64] = field(repr=False)
    terminated: NDArray[np.bool_] = field(repr=False)
    initial: NDArray[np.float64] = field(repr=False)
    step_limit: int | None = None
    allowed: NDArray[np.bool_] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_outcomes(self)
        _check_initial(self)
        if self.allowed is not None:
            check_allowed(self.allowed, self.n_states, self.n_actions)

    @classmethod
    def from_env(cls, env: gym.Env[Any, Any] | str) -> TabularModel:
        """Reads the model of an env that has one: ours, or any with toy-text's `P`.

        The step limit is the tightest TimeLimit wrapper's, else that of the env's own model. A copy of the env is
        stepped and compared with the model first; of envs known here once per process and model.

        Args:
            env: an env, wrapped or not, or an id or short name.

        Raises:
            UsageError: the env has no table, or its table does not describe it (see `why_no_model`).
            UnknownNameError: no env is registered under this id.
        """
        if isinstance(env, str):
            return _from_id(cls, env)
        model = _own_model(env)
        _check_truth(env, model)
        return _limited(model, env)

    @classmethod
    def from_table(
        cls, table: Any, initial: Any, *, step_limit: int | None = None, allowed: Any = None
    ) -> TabularModel:
        """Reads a table in toy-text's form.

        Args:
            table: `table[s][a]` lists (probability, successor, reward, terminated); dicts or lists.
            initial: (n_states,), the distribution of the first state.
            step_limit: the steps after which an episode is truncated, if any.
            allowed: bool (n_states, n_actions), the actions to choose from in each state; all by default.

        Raises:
            UsageError: the table is malformed; the message names the first wrong entry.
        """
        counts, columns = _read_table(table)
        n_states = len(table)
        probability, successor, reward, terminated = columns
        return cls(
            n_states=n_states,
            n_actions=len(counts) // n_states,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            probability=np.array(probability, dtype=np.float64),
            successor=_whole(successor),
            reward=np.array(reward, dtype=np.float64),
            terminated=np.array(terminated, dtype=np.bool_),
            initial=np.array(initial, dtype=np.float64),
            step_limit=step_limit,
            allowed=None if allowed is None else np.asarray(allowed),
        )

    @property
    def is_deterministic(self) -> bool:
        """Whether every (state, action) has exactly one outcome."""
        return len(self.probability) == self.n_states * self.n_actions

    @property
    def starts(self) -> NDArray[np.int64]:
        """The states an episode may begin in, ascending."""
        return np.flatnonzero(self.initial > 0)

    @property
    def P(self) -> TransitionView:  # noqa: N802 - the name toy-text users expect
        """The table in toy-text's form, as a lazy view: `P[s][a] -> [(p, s', r, terminated), ...]`."""
        return TransitionView(self)

    @cached_property
    def cumulative(self) -> NDArray[np.float64]:
        """The running sums of `probability` over each (state, action): NumPy's cumsum, bit for bit."""
        sums = self.probability.copy()
        for width in range(1, int(np.diff(self.offsets).max(initial=0))):
            has_more = self.offsets[:-1] + width < self.offsets[1:]
            at = self.offsets[:-1][has_more] + width
            sums[at] += sums[at - 1]
        return sums

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all that it says, in hexadecimal digits: equal for equal models."""
        columns = [self.offsets, self.probability, self.successor, self.reward, self.terminated, self.initial]
        columns += [] if self.allowed is None else [self.allowed]
        digest = sha256(repr((self.n_states, self.n_actions, self.step_limit)).encode())
        for column in columns:
            digest.update(np.ascontiguousarray(column).data)
        return digest.hexdigest()

    @cached_property
    def _may_follow(self) -> NDArray[np.bool_]:
        """The outcomes of allowed actions that lead to a state in which the agent acts again."""
        follows = ~self.terminated & (self.probability > 0)
        return follows if self.allowed is None else follows & np.repeat(self.allowed.reshape(-1), np.diff(self.offsets))

    def reachable(self) -> NDArray[np.bool_]:
        """Marks the states in which an agent may have to act: those that some actions reach from a start.

        Outcomes that end the episode, or have probability 0, are not followed. Returns (n_states,).
        """
        seen = self.initial > 0
        frontier = np.flatnonzero(seen)
        while frontier.size:
            nearby = self._successors(frontier)
            frontier = np.unique(nearby[~seen[nearby]])
            seen[frontier] = True
        return seen

    def _successors(self, states: NDArray[np.int64]) -> NDArray[np.int32]:
        """Returns the possible next states of `states`, with repetitions."""
        rows = outcome_rows(self.offsets[:: self.n_actions], states)
        return self.successor[rows[self._may_follow[rows]]]


class TransitionView(Mapping[int, "dict[int, list[Outcome]]"]):
    """A model's outcomes in toy-text's form, built state by state on access."""

    def __init__(self, model: TabularModel) -> None:
        self._model = model

    def __getitem__(self, state: int) -> dict[int, list[Outcome]]:
        if not 0 <= state < self._model.n_states:
            raise KeyError(state)
        n_actions = self._model.n_actions
        return {a: self._outcomes(state * n_actions + a) for a in range(n_actions)}

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._model.n_states))

    def __len__(self) -> int:
        return self._model.n_states

    # Mapping's == would build both tables in full; a view equals only itself.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"TransitionView({self._model.n_states} states, {self._model.n_actions} actions)"

    def _outcomes(self, pair: int) -> list[Outcome]:
        model = self._model
        rows = slice(model.offsets[pair], model.offsets[pair + 1])
        columns = (model.probability, model.successor, model.reward, model.terminated)
        return list(zip(*(column[rows].tolist() for column in columns), strict=True))


def outcome_rows(offsets: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the rows `offsets[g] : offsets[g + 1]` of all `groups`, group by group."""
    first = offsets[groups]
    counts = offsets[groups + 1] - first
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    rows: NDArray[np.int64] = np.repeat(first - (ends - counts), counts) + np.arange(total)
    return rows


def read_model(env: gym.Env[Any, Any]) -> TabularModel:
    """Returns the model that an env offers, without comparing the two: for what compares or runs the table itself.

    Raises:
        UsageError: as `TabularModel.from_env`.
    """
    return _limited(_own_model(env), env)


def why_no_model(env: gym.Env[Any, Any]) -> str | None:
    """Returns one line on why no `TabularModel` can describe `env`; None if one may."""
    base = env.unwrapped
    name = id_of(env)
    if told := _left_out(base, name):
        return told
    if not hasattr(base, "tabular_model"):
        if not hasattr(base, "P"):
            return f"{name} has no transition table P: use an env that has one, such as Taxi-v4 or FrozenLake-v1"
        if not hasattr(base, "initial_state_distrib"):
            return f"{name} has a table P but no initial_state_distrib: add its start distribution"
    if is_patched(base):
        return f"a method of {name} has been replaced since it was made: its table may no longer describe it"
    wrapper = opaque_wrapper(env)
    if wrapper is not None:
        return f"{type(wrapper).__name__} may change what the table of {name} describes: remove this wrapper"
    return None


def _left_out(base: Any, name: str) -> str | None:
    """Returns what the table of a Taxi, or of an env with a text `why_no_table`, does not say; None for nothing."""
    if getattr(base, "fickle_passenger", False):
        return f"the table P of {name} leaves out its fickle passenger: make it with fickle_passenger=False"
    reason = getattr(base, "why_no_table", None)
    return None if reason is None else f"{name} {reason}"


def _limited(model: TabularModel, env: gym.Env[Any, Any]) -> TabularModel:
    limit = step_limit(env) or model.step_limit
    return model if limit == model.step_limit else dataclasses.replace(model, step_limit=limit)


def _check_truth(env: gym.Env[Any, Any], model: TabularModel) -> None:
    """Raises UsageError unless a copy of the env does what its own model says."""
    base = env.unwrapped
    known = is_known(base)
    key = type(base), model.digest
    if known and key in _COMPARED:
        return
    try:
        twin, effort = twin_of(base, shallow=known), 1 if known else 4
        pairs = _some_pairs(model, PAIRS * effort)
        check_steps(twin, model.P, model.initial, pairs, step_limit=model.step_limit, effort=effort)
    except CheckFailedError as error:
        raise UsageError(f"the table of {id_of(env)} does not describe it: {error}") from None
    except Exception as error:  # whatever a foreign env raises
        raise UsageError(f"the table of {id_of(env)} cannot be compared with it: {error!r}") from error
    if known:
        _COMPARED.add(key)


def _some_pairs(model: TabularModel, most: int) -> list[tuple[int, int]]:
    """Returns the reachable (state, action)s; of many, those with the rarest rewards and ends, and a seeded choice."""
    states = np.flatnonzero(model.reachable())
    pairs = (states[:, None] * model.n_actions + np.arange(model.n_actions)).reshape(-1)
    if pairs.size > most:
        _, kind, counts = np.unique(model.reward + 1j * model.terminated, return_inverse=True, return_counts=True)
        rarity = np.minimum.reduceat(counts[kind], model.offsets[:-1])[pairs]
        shuffled = np.random.default_rng(0).permutation(pairs.size)
        rarest = shuffled[np.argsort(rarity[shuffled], kind="stable")]
        pairs = pairs[np.union1d(rarest[: most // 2], shuffled[: most // 2])]
    return [divmod(pair, model.n_actions) for pair in pairs.tolist()]


def _from_id(cls: type[TabularModel], env_id: str) -> TabularModel:
    env = make_env(env_id, disable_env_checker=True)  # its warnings have nothing to do with the table
    try:
        return cls.from_env(env)
    finally:
        env.close()


def _own_model(env: gym.Env[Any, Any]) -> TabularModel:
    """Returns the model of the unwrapped env, with its own step limit."""
    if reason := why_no_model(env):
        raise UsageError(reason)
    base: Any = env.unwrapped
    has_model = hasattr(base, "tabular_model")
    model = base.tabular_model() if has_model else TabularModel.from_table(base.P, base.initial_state_distrib)
    _check_spaces(env, model)
    allowed = allowed_actions(env)
    return model if allowed is None else dataclasses.replace(model, allowed=allowed)


def _read_table(table: Any) -> tuple[list[int], tuple[tuple[Any, ...], ...]]:
    """Returns the number of outcomes of each (state, action), and the outcomes as four columns."""
    counts: list[int] = []
    outcomes: list[Any] = []
    n_actions = len(_entry(table, 0, "P has no state 0; its states must be 0 .. n-1"))
    for state in range(len(table)):
        row = _entry(table, state, f"P has no state {state}; its states must be 0 .. {len(table) - 1}")
        if len(row) != n_actions:
            raise UsageError(f"P[{state}] has {len(row)} actions and P[0] {n_actions}: give every state all actions")
        for action in range(n_actions):
            here = _entry(row, action, f"P[{state}] has no action {action}; they must be 0 .. {n_actions - 1}")
            counts.append(len(here))
            outcomes.extend(here)
    return counts, _columns(outcomes)


def _entry(table: Any, key: int, complaint: str) -> Any:
    try:
        return table[key]
    except (KeyError, IndexError):
        raise UsageError(complaint) from None


def _columns(outcomes: list[Any]) -> tuple[tuple[Any, ...], ...]:
    odd = next((o for o in outcomes if len(o) != 4), None)  # noqa: PLR2004 - (p, s', r, terminated)
    if odd is not None:
        raise UsageError(f"an outcome in P must be (probability, successor, reward, terminated), got {odd!r}")
    return tuple(zip(*outcomes, strict=True)) or ((), (), (), ())


def _whole(successor: tuple[Any, ...]) -> NDArray[np.int32]:
    """Returns next states as int32; what lies beyond it is out of range there too."""
    numbers = np.array(successor)
    if numbers.dtype.kind not in "iu" and numbers.size:
        raise UsageError(f"the next states in P must be whole numbers, got {numbers.dtype}")
    info = np.iinfo(np.int32)
    clipped: NDArray[np.int32] = np.clip(numbers, info.min, info.max).astype(np.int32)
    return clipped


def _pair_name(model: TabularModel, pair: int) -> str:
    state, action = divmod(pair, model.n_actions)
    return f"P[{state}][{action}]"


def _check_shapes(model: TabularModel) -> None:
    n_pairs = model.n_states * model.n_actions
    if n_pairs < 1 or model.offsets.shape != (n_pairs + 1,):
        raise UsageError(f"a model needs states, actions and ({n_pairs} + 1,) offsets, got {model.offsets.shape}")
    if model.offsets[0] != 0:
        raise UsageError(f"offsets must begin with 0, got {model.offsets[0]}")
    counts = np.diff(model.offsets)
    if counts.min() < 1:
        raise UsageError(f"{_pair_name(model, int(np.argmin(counts)))} has no outcomes; list at least one")
    n_outcomes = int(model.offsets[-1])
    for name in ("probability", "successor", "reward", "terminated"):
        if getattr(model, name).shape != (n_outcomes,):
            raise UsageError(f"{name} must have the shape ({n_outcomes},), got {getattr(model, name).shape}")
    if model.step_limit is not None and model.step_limit < 1:
        raise UsageError(f"step_limit must be at least 1 or None, got {model.step_limit}")


def _check_outcomes(model: TabularModel) -> None:
    """Raises UsageError for the first outcome with a bad successor, reward or probability."""
    sums = np.add.reduceat(model.probability, model.offsets[:-1])
    # Written as "not close" so that NaN is rejected too.
    off = ~(np.abs(sums - 1.0) <= SUM_TOLERANCE)
    if off.any():
        pair = int(np.argmax(off))
        raise UsageError(f"the probabilities of {_pair_name(model, pair)} must sum to 1, got {sums[pair]}")
    strays = (model.successor < 0) | (model.successor >= model.n_states)
    limit = f"a successor in [0, {model.n_states})"
    _refuse_rows(model, strays, limit, model.successor)
    _refuse_rows(model, model.probability < 0, "probabilities of 0 or more", model.probability)
    _refuse_rows(model, ~np.isfinite(model.reward), "finite rewards", model.reward)


def _refuse_rows(model: TabularModel, wrong: NDArray[np.bool_], expected: str, column: NDArray[Any]) -> None:
    if wrong.any():
        row = np.argmax(wrong)
        pair = int(np.searchsorted(model.offsets, row, side="right")) - 1
        raise UsageError(f"{_pair_name(model, pair)} must have {expected}, got {column[row]}")


def _check_initial(model: TabularModel) -> None:
    initial = model.initial
    if initial.shape != (model.n_states,):
        raise UsageError(f"the start distribution must have the shape ({model.n_states},), got {initial.shape}")
    if not (initial.min() >= 0 and abs(initial.sum() - 1.0) <= SUM_TOLERANCE):
        raise UsageError(f"the start distribution must be non-negative and sum to 1, got the sum {initial.sum()}")


def _check_spaces(env: gym.Env[Any, Any], model: TabularModel) -> None:
    """Raises UsageError unless the env's spaces are the model's states and actions, numbered from 0."""
    wanted = {"observation": model.n_states, "action": model.n_actions}
    for kind, size in wanted.items():
        space = getattr(env, f"{kind}_space")
        if not (isinstance(space, spaces.Discrete) and space.n == size and space.start == 0):
            raise UsageError(f"the P of {id_of(env)} needs the {kind} space Discrete({size}), got {space}")
