"""Walks: steps that follow from a known table, of which only starts, actions and drawn outcomes need to be stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError
from rlbench.forms import FINITE, Numbers, UpTo, Whole, checked
from rlbench.lazy import LazyModule
from rlbench.store import codec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rlbench.forms import Form

    Array = NDArray[Any]

_walking = LazyModule("rlbench.store._walking")

MOST_OUTCOMES = 2**8  # of an action in a state: their ranks are bytes
MOST_ACTIONS, MOST_PAIRS, MOST_ROWS = 2**22, 2**30, 2**31  # of a table: so that `Links` can hold it
COLUMNS = ("observations", "actions", "rewards", "explored")  # of steps
PACKED = ("repeats", "changes", "tries")  # columns: what is stored of the actions
NO_OUTCOMES = np.empty(0, np.uint8)  # of a deterministic table
OBSERVATION, REWARD, EXPLORED = np.dtype(np.int32), np.dtype(np.float64), np.dtype(np.bool_)
TABLE: Form = {
    "n_actions": Whole(1, MOST_ACTIONS),
    "offsets": Numbers(np.int64, (UpTo("pairs + 1", MOST_PAIRS),), 0, MOST_ROWS),
    "successor": Numbers(np.int32, (UpTo("outcomes", MOST_ROWS),), 0),
    "reward": Numbers(np.float64, (UpTo("outcomes", MOST_ROWS),), -FINITE, FINITE),
    "terminated": Numbers(np.bool_, (UpTo("outcomes", MOST_ROWS),)),
}


# ---------------------------------------------------------------------- tables


class Arrays(NamedTuple):
    """A table as compiled code takes it."""

    offsets: NDArray[np.int64]
    successor: NDArray[np.int32]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    n_actions: int


class Links(NamedTuple):
    """A table as `retrace` takes it: what a step needs, in few bytes.

    The last row of `first` is that of each state's usual action: the one that it saw last, and at first action 0.
    """

    first: NDArray[np.uint32]  # (n_actions + 1, states): which is the first outcome of an action in a state
    successor: NDArray[np.uint32]  # (outcomes + 256,)
    about: NDArray[np.uint32]  # (outcomes + 256,): action << 9 | rank << 1 | whether the episode ends
    reward: NDArray[np.float64]  # (outcomes,)


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
    def links(self) -> Links:
        """The table as `retrace` takes it."""
        first = np.empty((self.n_actions + 1, self.n_states), np.uint32)
        first[:-1] = self.offsets[:-1].reshape(-1, self.n_actions).T
        first[-1] = first[0]
        pairs = np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))
        ranks = np.arange(len(pairs)) - self.offsets[pairs]
        about = pairs % self.n_actions << 9 | ranks << 1 | self.terminated
        beyond = np.zeros(MOST_OUTCOMES, np.uint32)  # rank 0: whatever is one outcome too many is none of these
        rows = [np.append(column.astype(np.uint32), beyond) for column in (self.successor, about)]
        return Links(first, rows[0], rows[1], self.reward)

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

    Attributes:
        table: where each step leads.
        lengths: int64 (segments,), the steps of each segment, as in the chunk.
        terminations: bool (segments,), whether each ends in a termination, as in the chunk.
        kept: the columns that the others follow from: "starts", int32 (segments,), the first observation of each
            segment; "explored", bool (steps,); "repeats", "changes" and "tries", the packed actions; and, unless the
            table is deterministic, "outcomes", uint8 (steps,), the rank of each step's outcome.
    """

    table: Table
    lengths: NDArray[np.int64]
    terminations: NDArray[np.bool_]
    kept: dict[str, Array]

    @classmethod
    def of(
        cls, table: Table, steps: Mapping[str, Array], lengths: NDArray[np.int64], terminations: NDArray[np.bool_]
    ) -> Walk | None:
        """Returns plain steps as a walk; None unless all observations, bits of rewards, and ends are the table's."""
        dtypes = dict(zip(COLUMNS, (OBSERVATION, action_dtype(table.n_actions), REWARD, EXPLORED), strict=True))
        if {name: column.dtype for name, column in steps.items()} != dtypes:
            return None
        form = _plain_form(table, len(lengths), int(np.sum(lengths)))
        try:
            found = checked({**steps, "lengths": lengths, "terminations": terminations}, form)
        except UsageError:
            return None
        kept = _traced(table, *found.values())
        if kept is None:
            return None
        walk = cls(table, lengths, terminations, kept)
        vars(walk)["columns"] = {name: found[name] for name in COLUMNS}
        return walk

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
        form = _kept_form(table, len(lengths), steps, counts)
        kept = checked(given, form)
        ends = checked({"lengths": lengths, "terminations": terminations}, _segments_form(len(lengths), steps))
        walk = cls(table, lengths, terminations, kept)
        vars(walk)["columns"] = _retraced(table, kept, *ends.values())
        return walk

    @cached_property
    def columns(self) -> dict[str, Array]:
        """The columns: "observations" (int32, T+1 rows a segment), "actions", "rewards" (float64) and "explored"."""
        return _retraced(self.table, self.kept, self.lengths, self.terminations)

    def packed(self) -> dict[str, Array]:
        """Returns the columns to store."""
        bases = _bases(self.table)
        return {name: _dense(column, bases[name]) if name in bases else column for name, column in self.kept.items()}

    def __getitem__(self, name: str) -> Array:
        """Returns a column of steps."""
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


def _plain_form(table: Table, segments: int, steps: int) -> Form:
    """Returns the form that plain steps must have before compiled code traces them through a table."""
    return {
        "observations": Numbers(OBSERVATION, (steps + segments,), 0, table.n_states - 1),
        "actions": Numbers(action_dtype(table.n_actions), (steps,), 0, table.n_actions - 1),
        "rewards": Numbers(REWARD, (steps,)),
        "explored": Numbers(EXPLORED, (steps,)),
        **_segments_form(segments, steps),
    }


def _kept_form(table: Table, segments: int, steps: int, counts: Mapping[str, int]) -> Form:
    """Returns the form that what is kept of steps must have before compiled code makes them of it."""
    form: Form = {
        "starts": Numbers(OBSERVATION, (segments,), 0, table.n_states - 1),
        "explored": Numbers(EXPLORED, (steps,)),
        "repeats": Numbers(np.bool_, (steps - counts["tries"],)),
        **{name: Numbers(_digit(table), (counts[name],), 0, table.n_actions - 1) for name in ("changes", "tries")},
    }
    return form if table.is_deterministic else {**form, "outcomes": Numbers(np.uint8, (steps,))}


def _segments_form(segments: int, steps: int) -> Form:
    return {
        "lengths": Numbers(np.int64, (segments,), 0, steps),
        "terminations": Numbers(np.bool_, (segments,)),
    }


def _traced(
    table: Table, observations: Array, actions: Array, rewards: Array, explored: Array, lengths: Array, ends: Array
) -> dict[str, Array] | None:
    """Returns what is kept of checked steps; None unless they follow from their table."""
    first, has_steps = np.cumsum(lengths) - lengths + np.arange(len(lengths)), lengths > 0
    rows = observations if has_steps.all() else np.delete(observations, first[~has_steps])
    columns = rows, actions, rewards, explored, lengths[has_steps], ends[has_steps]
    outcomes = np.empty(0 if table.is_deterministic else len(actions), np.uint8)
    packed = [np.empty(len(actions), dtype) for dtype in (np.dtype(np.bool_), _digit(table), _digit(table))]
    fits, *counts = _walking.trace(table.arrays, *columns, outcomes, *packed)
    kept = {"starts": observations[first], "explored": explored}
    kept |= {name: column[:count] for name, column, count in zip(PACKED, packed, counts, strict=True)}
    kept |= {} if table.is_deterministic else {"outcomes": outcomes}
    return kept if fits else None


def _retraced(table: Table, kept: Mapping[str, Array], lengths: Array, ends: Array) -> dict[str, Array]:
    """Returns the steps that checked columns were kept of; UsageError for the first that does not fit the table."""
    explored, outcomes = kept["explored"], kept.get("outcomes", NO_OUTCOMES)
    steps, links = len(explored), table.links._replace(first=table.links.first.copy())
    packed = [np.append(kept[name], kept[name].dtype.type(0)) for name in PACKED]
    made = {
        "observations": np.empty(steps + len(lengths), OBSERVATION),
        "actions": np.empty(steps, action_dtype(table.n_actions)),
        "rewards": np.empty(steps, REWARD),
    }
    misfit = _walking.retrace(links, kept["starts"], explored, outcomes, lengths, ends, *packed, *made.values())
    if misfit != _walking.ALL:
        raise UsageError(f"step {misfit} of a chunk does not follow from its table")
    return {**made, "explored": explored}


def _digit(table: Table) -> np.dtype[Any]:
    """Returns the smallest dtype of an action: nearly always bytes."""
    return np.min_scalar_type(table.n_actions - 1)


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
    if packed.dtype != np.uint8 or packed.ndim != 1 or _digits(base) == 1:
        return packed
    return np.take(_spreading(base), packed, axis=0).reshape(-1)[:count]


@cache
def _spreading(base: int) -> NDArray[np.uint8]:
    """Returns the digits that each byte holds, (256, digits): the first also holds what is left of too large a byte."""
    places = base ** np.arange(_digits(base))[::-1]
    digits = np.arange(2**8)[:, np.newaxis] // places
    digits[:, 1:] %= base
    return digits.astype(np.uint8)


def _digits(base: int) -> int:
    """Returns how many digits to a base a byte holds; 1 if it holds none."""
    return max(count for count in range(1, 9) if count == 1 or base**count <= 2**8)
