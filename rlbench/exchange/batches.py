"""The stream between stores and files: a run's chunks to batches of whole episodes, and batches back to chunks."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError
from rlbench.store.records import CHUNK_BYTES, CHUNK_STEPS, OPEN, EpisodeChunk, has_last_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]

MOST_STEPS = 2**20  # maximum steps per chunk, whatever the file says
MOST_BYTES = 2**27
BATCH_STEPS = 2**14  # steps after which a reader passes on its episodes
BATCH_BYTES = 2**22
ROUNDING = 1e-9  # relative to the sum of all magnitudes: how far two ways to add up rewards may differ


class Mark(NamedTuple):
    """Where a chunk of the stored run begins, so that an imported run can be replayed from the same points."""

    row: int  # of the batch: the episode that contains it
    step: int  # within that episode
    env_rng: dict[str, Any] | None  # the env's generator before the episode's reset


@dataclass(frozen=True, eq=False)
class Batch:
    """Whole episodes, one after another: T rows of steps each, T + 1 of observations."""

    episodes: NDArray[np.int64]  # (E,) indices in the run
    lengths: NDArray[np.int64]  # (E,) steps
    ends: NDArray[np.uint8]  # (E,) TERMINATED, TRUNCATED, BOTH or CUT_OFF
    steps: Columns
    figures: Columns  # E rows each
    marks: tuple[Mark, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def row_stops(self) -> NDArray[np.int64]:
        """The row after each episode's last observation."""
        return np.cumsum(self.lengths + 1)


# ---------------------------------------------------------------------- out of a store


def whole_episodes(chunks: Iterable[EpisodeChunk], run_id: str) -> Iterator[Batch]:
    """Joins episodes that span several chunks; drops an episode that has not ended in the last one.

    Raises:
        UsageError: the run recorded no steps.
        StoreError: a chunk is missing.
    """
    tail = _Tail()
    for chunk in chunks:
        if chunk.steps is None:
            raise UsageError(
                f"run {run_id} kept figures only: train with record='all' (--record all) to export its episodes, "
                "or export its results"
            )
        if chunk.first_step == 0:
            tail = _Tail()
        elif (chunk.first_episode, chunk.first_step) != (tail.episode, tail.steps):
            raise StoreError(f"run {run_id} is damaged: a chunk of episode {chunk.first_episode} is missing")
        batch = tail.take(chunk)
        if len(batch):
            yield batch


class _Tail:
    """The unfinished episode that continues in the next chunk."""

    def __init__(self) -> None:
        self.episode, self.steps = -1, 0
        self._pieces: list[Columns] = []
        self._marks: list[Mark] = []  # here `row` is the episode's index in the run

    def take(self, chunk: EpisodeChunk) -> Batch:
        """Returns the episodes that end in this chunk and keeps the rest of it."""
        ended, first = chunk.episodes, chunk.first_episode
        mark = Mark(first, chunk.first_step, chunk.env_rng)
        inside = chunk.starts[ended], chunk.starts[ended] + ended  # rows of steps, of observations
        if ended < len(chunk.lengths):
            rest = _rows(chunk.steps or {}, inside, (None, None))
        lengths = chunk.lengths[:ended].astype(np.int64)
        lengths[:1] += chunk.first_step
        if ended:
            steps = _continued([*self._pieces, _rows(chunk.steps or {}, (0, 0), inside)])
            marks = tuple(mark._replace(row=mark.row - first) for mark in [*self._marks, mark])
            batch = Batch(np.arange(first, first + ended), lengths, chunk.ends[:ended], steps, chunk.figures, marks)
            self._pieces, self._marks, self.steps = [], [], 0
        else:
            batch = Batch(np.empty(0, np.int64), lengths, chunk.ends[:0], {}, {})
            self._marks.append(mark)
        if ended < len(chunk.lengths):
            self._pieces.append(rest)
            self.episode, self.steps = first + ended, self.steps + int(chunk.lengths[-1])
        return batch


def chosen(batches: Iterable[Batch], indices: NDArray[np.int64]) -> Iterator[Batch]:
    """Keeps only the episodes of the given sorted indices."""
    for batch in batches:
        wanted = np.isin(batch.episodes, indices, assume_unique=True)
        if wanted.any():
            yield _only(batch, wanted)


def _only(batch: Batch, wanted: NDArray[np.bool_]) -> Batch:
    """Returns the wanted episodes, without marks: a mark is valid only if every following episode is kept."""
    steps, rows = np.repeat(wanted, batch.lengths), np.repeat(wanted, batch.lengths + 1)
    return Batch(
        batch.episodes[wanted],
        batch.lengths[wanted],
        batch.ends[wanted],
        {name: column[rows if has_last_row(name) else steps] for name, column in batch.steps.items()},
        {name: column[wanted] for name, column in batch.figures.items()},
    )


def first_episodes(batches: Iterable[Batch], count: int) -> Iterator[Batch]:
    """Stops after `count` episodes."""
    for batch in batches:
        if count == 0:
            return
        if len(batch) > count:
            marks = tuple(mark for mark in batch.marks if mark.row < count)
            yield dataclasses.replace(_only(batch, np.arange(len(batch)) < count), marks=marks)
            return
        yield batch
        count -= len(batch)


def gathered(episodes: Iterable[Batch]) -> Iterator[Batch]:
    """Joins single-episode batches into larger ones."""
    held: list[Batch] = []
    steps = size = 0
    for episode in episodes:
        held.append(episode)
        steps += int(episode.lengths[0]) + 1
        size += sum(column.nbytes for column in episode.steps.values())
        if steps >= BATCH_STEPS or size >= BATCH_BYTES:
            yield _joined(held)
            held, steps, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(batches: list[Batch]) -> Batch:
    """Joins several single-episode batches into one."""
    first = batches[0]
    return Batch(
        joined_rows([batch.episodes for batch in batches]),
        joined_rows([batch.lengths for batch in batches]),
        joined_rows([batch.ends for batch in batches]),
        {name: joined_rows([batch.steps[name] for batch in batches]) for name in first.steps},
        {name: joined_rows([batch.figures[name] for batch in batches]) for name in first.figures},
        tuple(mark._replace(row=row) for row, batch in enumerate(batches) for mark in batch.marks),
    )


# ---------------------------------------------------------------------- into a store


def chunks_of(batches: Iterable[Batch]) -> Iterator[EpisodeChunk]:
    """Cuts a stream of episodes, numbered from 0, into chunks: at its marks, or else by size.

    Raises:
        UsageError: a mark is outside its episode, or two are out of order.
    """
    held: EpisodeChunk | None = None
    episodes, is_marked = 0, False
    for batch in batches:
        added = EpisodeChunk(episodes, 0, batch.lengths, batch.ends, batch.figures, batch.steps)
        held = added if held is None else _appended(held, added)
        for mark in batch.marks:
            before, held = _split_at(held, episodes + mark.row, mark)
            yield from before
        is_marked |= bool(batch.marks)
        episodes += len(batch)
        most = _most_steps(held, *((MOST_STEPS, MOST_BYTES) if is_marked else (CHUNK_STEPS, CHUNK_BYTES)))
        while held.n_steps > most:
            first, held = _cut(held, *_place(held, most))
            yield first
    if held is not None and len(held.lengths):
        yield held


def _split_at(held: EpisodeChunk, episode: int, mark: Mark) -> tuple[list[EpisodeChunk], EpisodeChunk]:
    segment = episode - held.first_episode
    step = mark.step - (0 if segment else held.first_step)
    if not 0 <= segment < len(held.lengths) or not 0 <= step <= held.lengths[segment]:
        raise UsageError(f"a chunk cannot begin at step {mark.step} of episode {episode}, as the file says")
    before = []
    if segment or step:
        first, held = _cut(held, segment, step)
        before.append(first)
    return before, dataclasses.replace(held, env_rng=mark.env_rng)


def _cut(chunk: EpisodeChunk, segment: int, step: int) -> tuple[EpisodeChunk, EpisodeChunk]:
    """Cuts a chunk before a step of one of its segments, splitting an episode if the step is inside it."""
    row = chunk.starts[segment] + step
    whole, inside = slice(None, segment), step > 0
    lengths, ends = chunk.lengths[: segment + inside].copy(), chunk.ends[: segment + inside].copy()
    if inside:
        lengths[segment], ends[segment] = step, OPEN
    steps = chunk.steps or {}
    before = EpisodeChunk(
        chunk.first_episode,
        chunk.first_step,
        lengths,
        ends,
        {name: column[whole] for name, column in chunk.figures.items()},
        _rows(steps, (0, 0), (row, row + segment + inside)),
        chunk.env_rng,
    )
    rest = chunk.lengths[segment:].copy()
    rest[0] -= step
    after = EpisodeChunk(
        chunk.first_episode + segment,
        step + (0 if segment else chunk.first_step),
        rest,
        chunk.ends[segment:],
        {name: column[segment:] for name, column in chunk.figures.items()},
        _rows(steps, (row, row + segment), (None, None)),
    )
    return before, after


def _place(chunk: EpisodeChunk, most: int) -> tuple[int, int]:
    """Returns the segment and step to cut at, after at most `most` steps: between episodes if possible."""
    segment = int(np.searchsorted(chunk.starts, most, side="right")) - 1
    return (segment, 0) if chunk.starts[segment] else (segment, most)


def _most_steps(chunk: EpisodeChunk, steps: int, size: int) -> int:
    held = sum(column.nbytes for column in (chunk.steps or {}).values())
    return max(1, min(steps, size * chunk.n_steps // max(1, held)))


def _appended(chunk: EpisodeChunk, added: EpisodeChunk) -> EpisodeChunk:
    """Joins two chunks, the second of which begins with a new episode."""
    return dataclasses.replace(
        chunk,
        lengths=joined_rows([chunk.lengths, added.lengths]),
        ends=joined_rows([chunk.ends, added.ends]),
        figures={name: joined_rows([column, added.figures[name]]) for name, column in chunk.figures.items()},
        steps={name: joined_rows([column, (added.steps or {})[name]]) for name, column in (chunk.steps or {}).items()},
    )


# ---------------------------------------------------------------------- used by both


def finite(batch: Batch) -> Batch:
    """Returns the batch; UsageError, naming the step, if a reward is not finite."""
    bad = np.flatnonzero(~np.isfinite(batch.steps["rewards"]))
    if len(bad):
        stops = np.cumsum(batch.lengths)
        row = int(np.searchsorted(stops, bad[0], side="right"))
        step = int(bad[0] - stops[row] + batch.lengths[row])
        raise UsageError(
            f"the reward of episode {batch.episodes[row]}, step {step} is {batch.steps['rewards'][bad[0]]}: "
            "expected a finite number"
        )
    return batch


def figured(batch: Batch) -> Batch:
    """Returns the batch with the figures "return" and "length", computed if missing.

    Raises:
        UsageError: a length or a return does not match its episode.
    """
    figures = {**batch.figures}
    figures.setdefault("length", batch.lengths)
    with np.errstate(over="ignore", invalid="ignore"):  # rewards may be so large that their sum is infinite
        if "return" not in figures:
            figures["return"] = _returns(batch)
        summed, margin = _sums(batch, batch.steps["rewards"]), ROUNDING * _sums(batch, np.abs(batch.steps["rewards"]))
        is_right = np.abs(figures["return"] - summed) <= margin
        if not np.isfinite(margin).all():
            is_right = np.where(np.isfinite(margin), is_right, figures["return"] == _returns(batch))
    wrong = np.flatnonzero((figures["length"] != batch.lengths) | ~is_right)
    if len(wrong):
        row = wrong[0]
        raise UsageError(
            f"the figures of episode {batch.episodes[row]} are wrong: return {figures['return'][row]}, "
            f"length {figures['length'][row]}, and it has {batch.lengths[row]} steps with rewards of {summed[row]:g}"
        )
    return dataclasses.replace(batch, figures=figures)


def _returns(batch: Batch) -> NDArray[np.float64]:
    """Returns the sum of each episode's rewards, added in order."""
    pieces = np.split(batch.steps["rewards"].astype(np.float64), np.cumsum(batch.lengths)[:-1])
    return np.array([np.cumsum(piece)[-1] if len(piece) else 0.0 for piece in pieces[: len(batch)]])


def _sums(batch: Batch, column: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the sum of a step column over each episode."""
    has_steps, sums = batch.lengths > 0, np.zeros(len(batch))
    starts = np.cumsum(batch.lengths) - batch.lengths
    if has_steps.any():
        sums[has_steps] = np.add.reduceat(column.astype(np.float64), starts[has_steps])
    return sums


def _rows(
    columns: Mapping[str, NDArray[Any]], first: tuple[int | None, int | None], stop: tuple[int | None, int | None]
) -> Columns:
    """Returns views of some rows; `first` and `stop` are (for columns of T rows, for columns of T + 1 rows)."""
    return {name: column[first[has_last_row(name)] : stop[has_last_row(name)]] for name, column in columns.items()}


def _continued(pieces: list[Columns]) -> Columns:
    """Joins pieces of an episode: each repeats the last observation of the piece before it."""
    if len(pieces) == 1:
        return pieces[0]
    *before, last = pieces
    return {
        name: joined_rows([*(piece[name][:-1] if has_last_row(name) else piece[name] for piece in before), column])
        for name, column in last.items()
    }


def joined_rows(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Concatenates arrays; a common dtype is kept with its byte order, which NumPy alone would change."""
    dtypes = {array.dtype for array in arrays}
    return np.concatenate(arrays, dtype=dtypes.pop() if len(dtypes) == 1 else None)
