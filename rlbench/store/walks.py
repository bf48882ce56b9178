"""Walks: steps that follow from a known table, of which only starts, actions and drawn outcomes need to be stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError
from rlbench.forms import FINITE, MOST, Numbers, UpTo, Whole, checked
from rlbench.lazy import LazyModule
from rlbench.store import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rlbench.forms import Form

    Array = NDArray[Any]

_walking = LazyModule("rlbench.store._walking")

MOST_OUTCOMES = 2**8  # of an action in a state: their ranks are bytes
COLUMNS = ("observations", "actions", "rewards", "explored")  # of steps
PACKED = ("repeats", "changes", "tries")  # columns: what is stored of the actions
NO_OUTCOMES = np.empty(0, np.uint8)  # of a deterministic table
OBSERVATION, REWARD, EXPLORED = np.dtype(np.int32), np.dtype(np.float64), np.dtype(np.bool_)
TABLE: Form = {
    "n_actions": Whole(1),
    "offsets": Numbers(np.int64, (UpTo("pairs + 1", MOST),), 0, MOST),
    "successor": Numbers(np.int32, (UpTo("outcomes", MOST),), 0),
    "reward": Numbers(np.float64, (UpTo("outcomes", MOST),), -FINITE, FINITE),
    "terminated": Numbers(np.bool_, (UpTo("outcomes", MOST),)),
}


# ---------------------------------------------------------------------- tables


class Arrays(NamedTuple):
    """A table as compiled code takes it."""

    offsets: NDArray[np.int64]
    successor: NDArray[np.int32]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    n_actions: int


@dataclass(frozen=True, eq=False)
class Table:
    """What may come of each action in each state; how probable it is does not matter here.

    The outcomes of taking action a in state s are the rows
    `offsets[s * n_actions + a] : offsets[s * n_actions + a + 1]`; counted from the first of them, an outcome's *rank*.

    Attributes:
        n_actions: the actions are 0 .. n_actions - 1.
        offsets: int64 (pairs + 1,), where the outcomes of each pair begin and end: 1 to 256 of them.
        successor: int32 (outcomes,), the next state.
        reward: float64 (outcomes,), finite.
        terminated: bool (outcomes,), whether the episode ends.

    Raises:
        UsageError: the arrays are not such a table.
    """

    n_actions: int
    offsets: NDArray[np.int64] = field(repr=False)
    successor: NDArray[np.int32] = field(repr=False)
    reward: NDArray[np.float64] = field(repr=False)
    terminated: NDArray[np.bool_] = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in checked(vars(self), TABLE).items():
            object.__setattr__(self, name, value)
        counts = np.diff(self.offsets)
        if not counts.size or counts.min() < 1 or counts.max() > MOST_OUTCOMES:
            raise UsageError(f"a table must have 1 to {MOST_OUTCOMES} outcomes of each action in each state")
        if self.offsets[0] or self.offsets[-1] != len(self.successor) or len(counts) % self.n_actions:
            raise UsageError(f"the offsets of a table must rise from 0 to {len(self.successor)}, for all its actions")
        if self.successor.max() >= self.n_states:
            raise UsageError(f"a next state must be in [0, {self.n_states}), got {self.successor.max()}")

    @property
    def n_states(self) -> int:
        """The states are 0 .. n_states - 1."""
        return (len(self.offsets) - 1) // self.n_actions

    @property
    def is_deterministic(self) -> bool:
        """Whether each action in each state has one outcome."""
        return len(self.successor) == len(self.offsets) - 1

    @cached_property
    def most_outcomes(self) -> int:
        """How many outcomes an action in a state may have, at most."""
        return int(np.diff(self.offsets).max())

    @property
    def arrays(self) -> Arrays:
        """The table as compiled code takes it."""
        return Arrays(self.offsets, self.successor, self.reward, self.terminated, self.n_actions)

    @cached_property
    def digest(self) -> str:
        """The hash of its content, 32 hexadecimal digits: by it a store knows the table."""
        digest = hashlib.blake2b(str(self.n_actions).encode(), digest_size=16)
        for column in self.arrays[:-1]:
            digest.update(column.astype(column.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    @cached_property
    def blob(self) -> bytes:
        """The table, packed."""
        columns = {name: getattr(self, name) for name in Arrays._fields[:-1]}
        return codec.pack(columns, {"table": self.digest, "n_actions": self.n_actions})

    @classmethod
    def unpack(cls, blob: bytes, digest: str) -> Table:
        """Returns the table with this digest from its blob; StoreError if it is damaged, or another."""
        columns, about = codec.unpack(blob, f"table {digest}")
        try:
            table = cls(**columns, n_actions=about["n_actions"])
        except (UsageError, TypeError, KeyError) as error:
            raise StoreError(f"table {digest} is damaged: {error}") from error
        if table.digest != digest:
            raise StoreError(f"table {digest} is damaged: its content has the digest {table.digest}")
        return table


def table_of(n_actions: int, offsets: Array, successor: Array, reward: NDArray[np.float64], terminated: Array) -> Table:
    """Returns the table of a model's outcomes, of which equal ones are kept once.

    The arrays are those of a `TabularModel`. Two outcomes of a pair are equal if their next states, all bits of their
    rewards and their ends are; they take the place of the first.

    Raises:
        UsageError: the arrays are not a model, or a pair has more than 256 outcomes.
    """
    pairs = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    outcomes = np.stack([pairs, successor, reward.view(np.int64), terminated], axis=1)
    kept = np.sort(np.unique(outcomes, axis=0, return_index=True)[1])
    return Table(n_actions, np.searchsorted(kept, offsets), successor[kept], reward[kept], terminated[kept])


def action_dtype(n_actions: int) -> np.dtype[Any]:
    """Returns the dtype of actions in a column of steps."""
    return np.dtype(np.int16 if n_actions <= np.iinfo(np.int16).max else np.int32)


# ---------------------------------------------------------------------- walks


@dataclass(frozen=True, eq=False)
class Walk(Mapping[str, "Array"]):
    """The steps of a chunk over a table, as a mapping of the columns that plain steps have.

    These are "observations" (int32, T+1 rows a segment), "actions", "rewards" (float64) and "explored"; what follows
    from the table is made when it is first asked for.

    Attributes:
        table: where each step leads.
        starts: int32 (segments,), the first observation of each segment.
        actions: whole numbers (steps,).
        explored: bool (steps,), whether each was exploratory.
        outcomes: uint8 (steps,), the rank of each step's outcome; None if the table is deterministic.
        lengths: int64 (segments,), the steps of each segment, as in the chunk.
        terminations: bool (segments,), whether each ends in a termination, as in the chunk.
    """

    table: Table
    starts: NDArray[np.int32]
    actions: Array
    explored: NDArray[np.bool_]
    outcomes: NDArray[np.uint8] | None
    lengths: NDArray[np.int64]
    terminations: NDArray[np.bool_]

    @classmethod
    def of(
        cls, table: Table, steps: Mapping[str, Array], lengths: NDArray[np.int64], terminations: NDArray[np.bool_]
    ) -> Walk | None:
        """Returns plain steps as a walk; None unless all observations, bits of rewards, and ends are the table's."""
        dtypes = dict(zip(COLUMNS, (OBSERVATION, action_dtype(table.n_actions), REWARD, EXPLORED), strict=True))
        if {name: column.dtype for name, column in steps.items()} != dtypes:
            return None
        observations, actions, rewards, explored = (np.ascontiguousarray(steps[name]) for name in COLUMNS)
        starts = observations[np.cumsum(lengths) - lengths + np.arange(len(lengths))]
        if table.is_deterministic:  # to follow it, which packing does anyway, and compare is faster than to trace it
            walk = cls(table, starts, actions, explored, None, lengths, terminations)
            return walk if walk._leads_to(observations, rewards) else None
        if not (_are_below(observations, table.n_states) and _are_below(actions, table.n_actions)):
            return None
        misfit, outcomes = _walking.trace(table.arrays, observations, actions, rewards, lengths, terminations)
        if misfit != _walking.ALL:
            return None
        return cls(table, starts, actions, explored, outcomes, lengths, terminations)

    @classmethod
    def unpacked(
        cls, table: Table, columns: Mapping[str, Array], lengths: NDArray[np.int64], terminations: NDArray[np.bool_]
    ) -> Walk:
        """Returns the walk that `packed` gave these columns; UsageError unless they are one over this table."""
        steps = int(np.sum(lengths))
        tried, repeated = (int(np.count_nonzero(columns.get(name, 0))) for name in ("explored", "repeats"))
        counts = {"changes": steps - tried - repeated, "tries": tried, "outcomes": steps}
        bases = _bases(table)
        given = {
            name: _spread(column, bases[name], counts[name]) if name in bases else column
            for name, column in columns.items()
        }
        form = {
            **_form(table, len(lengths), steps),
            "repeats": Numbers(np.bool_, (steps - tried,)),
            **{name: _actions(table, counts[name]) for name in ("changes", "tries")},
        }
        found = checked({**given, "lengths": lengths, "terminations": terminations}, form)
        packed = [found[name] for name in PACKED]
        actions = np.empty(steps, action_dtype(table.n_actions))
        derived = _passed(_walking.retrace, table, found, *packed, actions)
        walk = cls(table, found["starts"], actions, found["explored"], found.get("outcomes"), lengths, terminations)
        vars(walk)["_followed"] = (*derived, *packed)
        return walk

    def packed(self) -> dict[str, Array]:
        """Returns the columns to store; UsageError if this is not a walk over its table."""
        columns = {"starts": self.starts, "explored": self.explored}
        columns |= dict(zip(PACKED, self._followed[2:], strict=True))
        columns |= {} if self.outcomes is None else {"outcomes": self.outcomes}
        bases = _bases(self.table)
        return {name: _dense(column, bases[name]) if name in bases else column for name, column in columns.items()}

    def __getitem__(self, name: str) -> Array:
        """Returns a column of steps."""
        return self._columns[name]

    def __contains__(self, name: object) -> bool:
        return name in COLUMNS  # a mapping's own derives the column to tell

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)

    def _leads_to(self, observations: Array, rewards: Array) -> bool:
        """Returns whether it is a walk over its table with these observations, and all bits of these rewards."""
        try:
            its_observations, its_rewards, *_ = self._followed
        except UsageError:
            return False
        are_bits_equal = np.array_equal(its_rewards.view(np.int64), rewards.view(np.int64))
        return are_bits_equal and np.array_equal(its_observations, observations)

    @cached_property
    def _columns(self) -> dict[str, Array]:
        observations, rewards = self._followed[:2]
        actions = self.actions.astype(action_dtype(self.table.n_actions), copy=False)
        return dict(zip(COLUMNS, (observations, actions, rewards, self.explored), strict=True))

    @cached_property
    def _followed(self) -> tuple[Array, ...]:
        """The observations and rewards, and the columns of the packed actions."""
        steps = int(np.sum(self.lengths))
        form = {**_form(self.table, len(self.lengths), steps), "actions": _actions(self.table, steps)}
        found = checked(vars(self), form)
        return _passed(_walking.follow, self.table, found, found["actions"])


def _form(table: Table, segments: int, steps: int) -> Form:
    """Returns the form that columns must have before compiled code follows them through a table."""
    form: Form = {
        "starts": Numbers(OBSERVATION, (segments,), 0, table.n_states - 1),
        "explored": Numbers(EXPLORED, (steps,)),
        "lengths": Numbers(np.int64, (segments,), 0, steps),
        "terminations": Numbers(np.bool_, (segments,)),
    }
    return form if table.is_deterministic else {**form, "outcomes": Numbers(np.uint8, (steps,))}


def _actions(table: Table, count: int) -> Numbers:
    most = table.n_actions - 1
    return Numbers(np.min_scalar_type(most), (count,), 0, most)  # in the smallest dtype: nearly always bytes


def _passed(kernel: Callable[..., Any], table: Table, found: Mapping[str, Array], *own: Array) -> tuple[Array, ...]:
    """Returns what a compiled pass makes of checked columns; UsageError for the first step that does not fit."""
    names = ("starts", "explored", "outcomes", "lengths", "terminations")
    columns = [found.get(name, NO_OUTCOMES) for name in names]
    misfit, *made = kernel(table.arrays, *columns, *own)
    if misfit != _walking.ALL:
        raise UsageError(f"step {misfit} of a chunk does not follow from its table")
    return tuple(made)


def _bases(table: Table) -> dict[str, int]:
    """Returns the columns that are stored as digits of bytes, and to which base."""
    return {"changes": table.n_actions, "tries": table.n_actions, "outcomes": table.most_outcomes}


def _dense(digits: Array, base: int) -> Array:
    """Packs digits to a base into bytes, as many as fit: zstd alone gives each a whole number of bits."""
    group = _digits(base)
    padded = np.zeros(-(-len(digits) // group) * group, digits.dtype)
    padded[: len(digits)] = digits
    packed = padded[::group].copy()
    for place in range(1, group):
        packed = packed * base + padded[place::group]
    return packed


def _spread(packed: Array, base: int, count: int) -> Array:
    """Returns the digits, `count` of them, that `_dense` packed; anything else as it is."""
    if packed.dtype.kind != "u" or packed.ndim != 1:
        return packed
    group = _digits(base)
    digits = np.empty(len(packed) * group, packed.dtype)
    for place in range(group - 1, 0, -1):
        packed, digits[place::group] = np.divmod(packed, base)
    digits[::group] = packed
    return digits[:count]


def _digits(base: int) -> int:
    """Returns how many digits to a base a byte holds; 1 if it holds none."""
    return max(count for count in range(1, 9) if count == 1 or base**count <= 2**8)


def _are_below(column: Array, most: int) -> bool:
    return column.ndim == 1 and column.min(initial=0) >= 0 and column.max(initial=0) < most
