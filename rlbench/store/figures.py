"""Figures of episodes that follow from the rest of their chunk, bit for bit: derived when read, not stored.

A packed chunk has a column for each of its figures. One with fewer rows than episodes holds the first of them, that
of an episode that began in an earlier chunk, or none: the others follow from lengths, steps, and a `Schedule`.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import StoreError
from rlbench.lazy import LazyModule
from rlbench.store import codec
from rlbench.store.schedules import Schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from rlbench.store.records import EpisodeChunk

    Array = NDArray[Any]

_walking = LazyModule("rlbench.store._walking")

RATE, ULPS = "exploration_rate", "ulps of exploration_rate"  # columns: the figure, and how far it is from its schedule
STEPS = {"return": "rewards", "explored": "explored", "action_counts": "actions"}  # what a figure needs


# ---------------------------------------------------------------------- in and out of a chunk


def reduced(chunk: EpisodeChunk, timesteps: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """Returns the columns to store of a chunk's figures, and the metadata that the others follow from.

    `timesteps` came before the chunk in its run.
    """
    stored = {name: column[: _rows_to_store(name, column, chunk)] for name, column in chunk.figures.items()}
    schedule = _schedule_at(chunk, timesteps)
    if schedule is None or RATE not in stored or ULPS in stored or stored[RATE].dtype != np.float64:
        return stored, {}
    ulps = stored[RATE].view(np.int64) - schedule.values(_lengths(chunk)).view(np.int64)
    few = ulps.astype(np.int8)
    if np.any(few != ulps):  # it was made otherwise: a callback may change it
        return stored, {}
    stored[RATE] = stored[RATE][:0]
    return {**stored, **({ULPS: few} if few.any() else {})}, {"exploration": schedule._asdict()}


def _schedule_at(chunk: EpisodeChunk, timesteps: int) -> Schedule | None:
    """Returns the schedule that counts from where the first episode of a chunk began."""
    if chunk.exploration is None:
        return None
    begun = timesteps - chunk.first_step if chunk.exploration.per_step else chunk.first_episode
    with suppress(ValueError):
        return Schedule.of({**chunk.exploration._asdict(), "before": chunk.exploration.before + begun})
    return None


def _rows_to_store(name: str, column: Array, chunk: EpisodeChunk) -> int:
    """Returns how many of the first rows of a figure must be stored: the others follow."""
    if chunk.adds_up and not chunk.first_step and _may_follow(name, column, chunk):
        return 0
    derived = _derived(name, column, chunk)
    if derived is not None:
        for rows in (0, 1):
            if column[rows:].tobytes() == derived[rows:].tobytes():
                return rows
    return len(column)


def completed(
    stored: Mapping[str, Array], about: Mapping[str, Any], chunk: EpisodeChunk, names: Collection[str] | None = None
) -> dict[str, Array]:
    """Returns the figures of a chunk, or those of them with these names, from the columns that `reduced` gave.

    Raises:
        StoreError: they do not follow from the rest of the chunk.
    """
    wanted = [name for name in named(stored, about) if names is None or name in names]
    try:
        return {name: _completed(name, stored, about, chunk) for name in wanted}
    except ValueError as error:
        raise StoreError(f"its figures do not follow from the rest of it: expected {error}") from error


def _completed(name: str, stored: Mapping[str, Array], about: Mapping[str, Any], chunk: EpisodeChunk) -> Array:
    if name == RATE and "exploration" in about:
        return _scheduled(Schedule.of(about["exploration"]), stored.get(ULPS), chunk)
    column = stored[name]
    if len(column) == chunk.episodes:
        return column
    derived = _derived(name, column, chunk) if len(column) <= 1 else None
    if derived is None:
        raise ValueError(f"{chunk.episodes} rows of {name!r}, got {len(column)}")
    return np.concatenate([column, derived[len(column) :]])


def _scheduled(schedule: Schedule, ulps: Array | None, chunk: EpisodeChunk) -> NDArray[np.float64]:
    rates = schedule.values(_lengths(chunk))
    if ulps is None:
        return rates
    if ulps.shape != rates.shape or ulps.dtype != np.int8:
        raise ValueError(f"{len(rates)} ulps, got shape {ulps.shape}")
    return (rates.view(np.int64) + ulps).view(np.float64)


def claimed(stored: Mapping[str, Array], episodes: int) -> int:
    """Returns how many bytes the figures of a chunk take once they are complete."""
    return episodes * sum(math.prod(column.shape[1:]) * column.itemsize for column in stored.values())


def needed(stored: Mapping[str, Array], episodes: int, names: Collection[str] | None = None) -> set[str]:
    """Returns the columns of steps from which figures with these names, or all, are to be derived."""
    derived = [name for name in stored if len(stored[name]) < episodes and (names is None or name in names)]
    columns = {STEPS[name] for name in derived if name in STEPS}
    return columns | {"rewards"} if columns else columns  # all steps have rewards


def named(stored: Iterable[str], about: Mapping[str, Any]) -> list[str]:
    """Returns the names of a chunk's figures, from what was stored of them."""
    return [name for name in stored if not (name == ULPS and "exploration" in about)]


# ---------------------------------------------------------------------- what follows


def _may_follow(name: str, like: Array, chunk: EpisodeChunk) -> bool:
    return name in DERIVED and claimed({name: like}, chunk.episodes) <= codec.FREE


def _derived(name: str, like: Array, chunk: EpisodeChunk) -> Array | None:
    """Returns a figure as it follows from a chunk, in the dtype and with the width of another; None if it does not."""
    if not _may_follow(name, like, chunk):
        return None
    found = DERIVED[name](chunk, like.shape[1:])
    is_alike = found is not None and found.shape[1:] == like.shape[1:] and found.dtype.kind == _kind(like)
    return found.astype(like.dtype) if found is not None and is_alike else None


def _kind(column: Array) -> str:
    """Returns the kind of a dtype: "i" for all whole numbers."""
    return column.dtype.kind.replace("u", "i")


def _lengths(chunk: EpisodeChunk, _: object = None) -> NDArray[np.int64]:
    """Returns the lengths of the episodes that end in a chunk, the steps in earlier ones included."""
    lengths = _lengths_here(chunk)
    lengths[:1] += chunk.first_step
    return lengths


def _lengths_here(chunk: EpisodeChunk) -> NDArray[np.int64]:
    """Returns how many steps of each episode that ends in a chunk are in it."""
    return chunk.lengths[: chunk.episodes].astype(np.int64)


def _column(chunk: EpisodeChunk, name: str, kinds: str) -> Array | None:
    """Returns a column of steps; None if there is none with one number a step, of one of these kinds."""
    column = (chunk.steps or {}).get(name)
    is_simple = column is not None and column.ndim == 1 and column.dtype.kind in kinds and column.dtype.isnative
    return np.ascontiguousarray(column) if is_simple else None


def _returns(chunk: EpisodeChunk, _: object) -> Array | None:
    rewards = _column(chunk, "rewards", "f")
    if rewards is None or rewards.dtype != np.float64:
        return None
    return _added_up(chunk, rewards, np.zeros(chunk.episodes))


def _explored(chunk: EpisodeChunk, _: object) -> Array | None:
    explored = _column(chunk, "explored", "b")
    return None if explored is None else _added_up(chunk, explored, np.zeros(chunk.episodes, np.int32))


def _added_up(chunk: EpisodeChunk, column: Array, sums: Array) -> Array:
    _walking.add_up(_lengths_here(chunk), column, sums)
    return sums


def _action_counts(chunk: EpisodeChunk, width: tuple[int, ...]) -> Array | None:
    actions = _column(chunk, "actions", "iu")
    if actions is None or len(width) != 1:
        return None
    if actions.min(initial=0) < 0 or actions.max(initial=0) >= width[0]:
        return None
    counts = np.zeros((chunk.episodes, *width), np.int32)
    _walking.tally(_lengths_here(chunk), actions, counts)
    return counts


DERIVED: dict[str, Callable[[EpisodeChunk, tuple[int, ...]], Array | None]] = {  # by the shape of their rows
    "length": _lengths,
    "return": _returns,
    "explored": _explored,
    "action_counts": _action_counts,
}
