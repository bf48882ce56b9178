"""The records of a store: runs, chunks of their steps, checkpoints, and the episodes read back from chunks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench._shown import Shown
from rlbench.store.walks import Walk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from rlbench.store.config import CacheConfig, RunConfig
    from rlbench.store.schedules import Schedule

    Array = NDArray[Any]
    Tree = Array | dict[str, Array]  # one array, or one for each part of a Dict observation

STATUSES = ("running", "finished", "interrupted")
OPEN, TERMINATED, TRUNCATED, BOTH, CUT_OFF = range(5)  # how a segment ends; BOTH is TERMINATED | TRUNCATED
EVALUATION = ("evaluation", "evaluation_low", "evaluation_high")  # figures: mean return and its interval, else NaN
MADE = "rlbench:made for a study"  # the tag of runs that nobody asked for but a study
OF_STUDY = "rlbench:study "  # begins the tags that name the studies of a run
PSEUDONYMISED = "rlbench:pseudonymised by "  # begins the tag that says by which key names were replaced
IMPORTED = "imported"  # the tag of imported runs
RESERVED = "reserved "  # begins the kind of a snapshot that holds nothing but its name
CHUNK_STEPS = 2**18  # maximum steps per chunk, by default: each costs the writer 3 ms, so many small ones slow it down
CHUNK_BYTES = 2**23  # and bytes of its columns
RESERVE = 2**12  # steps: only longer episodes are split between chunks


@dataclass(frozen=True)
class RunRecord:
    """The record of a run: its env, agent, configuration, progress and evaluation."""

    id: str  # 12 hexadecimal digits
    env_id: str
    agent_name: str
    seed: int
    status: str  # one of STATUSES
    created_at: str  # ISO 8601, UTC, microseconds
    config: RunConfig
    episodes: int
    timesteps: int
    checkpoints: int
    seconds: float  # of training alone
    evaluations: tuple[dict[str, Any], ...]  # oldest first
    tags: tuple[str, ...]
    studies: tuple[str, ...]  # the names of those it belongs to
    is_listed: bool  # a person asked for it, not a study alone
    note: str
    parents: tuple[str, ...]  # ids of the runs it learnt from or continues
    cache_key: str  # the key by which the training cache finds it; "" for none
    cache: CacheConfig  # how often the cache reused it
    pseudonymised: tuple[str, ...] = ()  # the ids of the keys by which names in it were replaced

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The latest evaluation in the run's own env, if any; not one in further wrappers."""
        return latest(self.evaluations)


@dataclass(frozen=True, eq=False)
class EpisodeChunk:
    """A contiguous span of a run's steps: many short episodes, or part of a long one.

    A *segment* is the part of one episode in this chunk. The first segment may continue an episode from an earlier
    chunk; only the last may continue in the next chunk.
    """

    first_episode: int  # index in the run of the chunk's first episode
    first_step: int  # step of that episode at which the chunk begins
    lengths: NDArray[np.int64]  # (segments,) steps of each segment
    ends: NDArray[np.uint8]  # (segments,) OPEN, TERMINATED, TRUNCATED, BOTH or CUT_OFF (the run stopped)
    figures: dict[str, Array]  # one row per episode that ends here: "return", "length" (of the whole episode) ...
    steps: Mapping[str, Array] | None = None  # "observations": T+1 rows per segment, others: T; None: figures only
    # JSON: the state of the env's np_random before the first reset in this chunk, and the "seed" that was passed to
    # this reset, if any; no "state": it could not be read; None: unknown
    env_rng: dict[str, Any] | None = None
    exploration: Schedule | None = None  # what the figure "exploration_rate" follows from, if it is known
    adds_up: bool = False  # other figures are known to follow from the steps; else whoever packs them compares

    @cached_property
    def episodes(self) -> int:
        """How many episodes end in this chunk."""
        return int(np.count_nonzero(self.ends))

    @property
    def terminations(self) -> NDArray[np.bool_]:
        """(segments,) whether each terminated, even if also truncated in the same step."""
        flags: NDArray[np.bool_] = is_terminated(self.ends)
        return flags

    @property
    def truncations(self) -> NDArray[np.bool_]:
        """(segments,) whether each was truncated, even if also terminated in the same step."""
        flags: NDArray[np.bool_] = is_truncated(self.ends)
        return flags

    def on_last_steps(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Returns segment flags as a step column: each flag at its segment's last step, False elsewhere."""
        column, has_steps = np.zeros(self.n_steps, np.bool_), self.lengths > 0
        column[np.cumsum(self.lengths)[has_steps] - 1] = flags[has_steps]
        return column

    @cached_property
    def n_steps(self) -> int:
        """How many steps this chunk holds."""
        return int(np.sum(self.lengths))

    @cached_property
    def starts(self) -> list[int]:
        """The first row of each segment, in columns with one row per step, and the end of the last."""
        return [0, *np.cumsum(self.lengths).tolist()]

    def segment(self, index: int) -> dict[str, Array]:
        """Returns views of every step column of one segment."""
        start, stop = self.starts[index : index + 2]
        return {
            name: column[start + index : stop + index + 1] if has_last_row(name) else column[start:stop]
            for name, column in (self.steps or {}).items()
        }

    def head(self, segments: int) -> EpisodeChunk:
        """Returns a view of the first segments, without figures."""
        steps = {
            name: column[: self.starts[segments] + (segments if has_last_row(name) else 0)]
            for name, column in (self.steps or {}).items()
        }
        return replace(self, lengths=self.lengths[:segments], ends=self.ends[:segments], figures={}, steps=steps)

    def equals(self, other: EpisodeChunk) -> bool:
        """Returns whether another chunk holds the same, bit for bit, however it is stored."""
        own, theirs = self._columns, other._columns
        places = [(chunk.first_episode, chunk.first_step, chunk.env_rng) for chunk in (self, other)]
        is_alike = places[0] == places[1] and own.keys() == theirs.keys()
        return is_alike and all(_are_same_bits(column, theirs[name]) for name, column in own.items())

    @property
    def _columns(self) -> dict[tuple[str, str], Array]:
        """Every column, by its part and its name."""
        segments: Mapping[str, Array] = {"lengths": self.lengths, "ends": self.ends}
        parts = {"segments": segments, "figures": self.figures, "steps": self.steps or {}}
        return {(part, name): column for part, columns in parts.items() for name, column in columns.items()}

    def problem(self) -> str | None:
        """Returns what makes this chunk malformed, or None."""
        return self._misfit_segments() or self._misfit_walk() or self._misfit_columns()

    def _misfit_segments(self) -> str | None:
        segments = len(self.lengths)
        if not segments or self.first_episode < 0 or self.first_step < 0:
            return "it must hold at least one segment and begin at an episode and step >= 0"
        ends = np.asarray(self.ends)
        are_codes = ends.shape == (segments,) and ends.dtype.kind in "iu" and 0 <= ends.min() <= ends.max() <= CUT_OFF
        lengths = np.asarray(self.lengths)
        are_whole = lengths.shape == (segments,) and lengths.dtype.kind in "iu"
        if not (are_codes and are_whole and 0 <= lengths.min() <= lengths.max() <= self.n_steps):  # else the sum wraps
            return f"its ends must be {segments} codes in 0 to {CUT_OFF}, its lengths >= 0"
        if not np.all(ends[:-1]):
            return "only its last segment may continue in the next chunk (end 0)"
        return None

    def _misfit_walk(self) -> str | None:
        walk = self.steps
        if not isinstance(walk, Walk):
            return None
        is_its_own = np.array_equal(walk.lengths, self.lengths) and np.array_equal(walk.terminations, self.terminations)
        return None if is_its_own else "its walk must have its lengths and its terminations"

    def _misfit_columns(self) -> str | None:
        steps = None if isinstance(self.steps, Walk) else self.steps  # those of a walk are made when they are asked for
        if steps is not None and "rewards" not in steps:
            return "its steps must have a column 'rewards'"
        rewards = np.empty(0) if steps is None else np.asarray(steps["rewards"])
        if rewards.ndim != 1 or rewards.dtype.kind not in "biuf":
            return "its rewards must be real numbers, one a step"
        for name, column in self.figures.items():
            if _misfits(column, self.episodes):
                return f"figure {name!r} must have {self.episodes} rows, got shape {np.shape(column)}"
        for name, column in (steps or {}).items():
            expected = self.n_steps + (len(self.lengths) if has_last_row(name) else 0)
            if _misfits(column, expected):
                return f"column {name!r} must have {expected} rows, got shape {np.shape(column)}"
        return None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything needed to resume a run from here: tables, schedules, generators."""

    episodes: int
    timesteps: int
    arrays: dict[str, Array]
    numbers: dict[str, Any] = field(default_factory=dict)  # JSON; whole numbers of any size survive


class CheckpointInfo(NamedTuple):
    """A checkpoint in a listing."""

    episodes: int
    timesteps: int
    chunks: int  # how many chunks the run had by then
    created_at: str
    kept: bool  # whether later checkpoints leave it in place
    size: int  # bytes
    run: str  # the run that wrote it: longer runs share it


class SnapshotInfo(NamedTuple):
    """A snapshot in a listing: arrays that belong to no run, such as a replay buffer's."""

    kind: str
    name: str
    created_at: str
    size: int  # bytes


class Span(NamedTuple):
    """The position of a chunk in its run."""

    number: int  # of the chunk, from 0
    first_episode: int
    first_step: int
    episodes: int  # that end in it
    segments: int
    steps: int
    run: str  # the run that wrote the chunk: longer runs share it

    @property
    def stop(self) -> int:
        """One more than the last episode it touches."""
        return self.first_episode + self.segments


@dataclass(frozen=True, eq=False)
class Episode(Shown):
    """One recorded episode: T steps and T+1 observations."""

    index: int  # in its run
    observations: Tree  # (T + 1, ...)
    actions: Tree  # (T, ...)
    rewards: NDArray[np.float64]  # (T,)
    terminated: bool
    truncated: bool
    explored: NDArray[np.bool_] | None = None  # (T,) whether each action was exploratory
    env_spec: str | None = None  # JSON spec of the env it was played in, for rendering

    @property
    def total_return(self) -> float:
        """The undiscounted sum of the rewards, added in order."""
        return float(np.cumsum(self.rewards)[-1]) if len(self) else 0.0

    @property
    def end(self) -> str:
        """How it ended: "terminated" (even if also truncated), "truncated" or "cut off"."""
        return "terminated" if self.terminated else "truncated" if self.truncated else "cut off"

    @property
    def length(self) -> int:
        """The number of steps, T."""
        return len(self.rewards)

    def __len__(self) -> int:
        return len(self.rewards)


def latest(evaluations: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the latest evaluation, if any, in a run's own env, not in further wrappers."""
    return next((one for one in reversed(evaluations) if not one.get("wrappers")), None)


def end_code(terminated: Any, truncated: Any) -> Any:
    """Returns the code of an end, or an array of codes for arrays of bools; CUT_OFF if both flags are False."""
    code = TERMINATED * terminated | TRUNCATED * truncated
    return code | CUT_OFF * (code == OPEN)


def is_terminated(end: Any) -> Any:
    """Returns whether an end, or each in an array of ends, is a termination."""
    return (end & TERMINATED) != 0


def is_truncated(end: Any) -> Any:
    """Returns whether an end, or each in an array of ends, is a truncation."""
    return (end & TRUNCATED) != 0


def has_last_row(column: str) -> bool:
    """Returns whether a step column has T+1 rows per segment: the observations, or a part of them."""
    return column == "observations" or column.startswith("observations/")


def tree(columns: dict[str, Array], name: str) -> Tree:
    """Returns the column `name`, or, if it is split into parts, a dict of the columns `name/part`."""
    if name in columns:
        return columns[name]
    prefix = name + "/"
    parts = [column for column in columns if column.startswith(prefix)]
    return {part.removeprefix(prefix): columns[part] for part in parts}


def row_of(tree: Any, row: int) -> Any:
    """Returns one row of an array, or of each array in a dict, as Python values."""
    if isinstance(tree, dict):
        return {name: row_of(part, row) for name, part in tree.items()}
    return tree[row].tolist()


def _are_same_bits(one: Array, other: Array) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and one.tobytes() == other.tobytes()


def _misfits(column: Array, rows: int) -> bool:
    return not np.ndim(column) or len(column) != rows
