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
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from rlbench.store.records import EpisodeChunk

    Array = NDArray[Any]

_walking = LazyModule("rlbench.store._walking")

RATE, ULPS = "exploration_rate", "ulps of exploration_rate"  # columns: the figure, and how far it is from its schedule
STEPS = {  # the column that a figure adds up, and the characters of the dtypes it may have, first the usual one
    "return": ("rewards", "d"),
    "explored": ("explored", "?"),
    "action_counts": ("actions", "hilqbBHILQ"),
}


# ---------------------------------------------------------------------- in and out of a chunk


def reduced(chunk: EpisodeChunk, timesteps: int) -> tuple[dict[str, Array], dict[str, Any]]:
    """Returns the columns to store of a chunk's figures, and the metadata that the others follow from.

    `timesteps` came before the chunk in its run.
    """
    rows = _rows_to_store(chunk)
    stored = {name: column[: rows[name]] for name, column in chunk.figures.items()}
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


def _rows_to_store(chunk: EpisodeChunk) -> dict[str, int]:
    """Returns how many of the first rows of each figure must be stored: the others follow."""
    if chunk.adds_up and not chunk.first_step:
        return {name: 0 if _may_follow(name, column, chunk) else len(column) for name, column in chunk.figures.items()}
    derived = _derived(chunk, chunk.figures)
    return {name: _rows_that_differ(column, derived.get(name)) for name, column in chunk.figures.items()}


def _rows_that_differ(column: Array, derived: Array | None) -> int:
    """Returns how many of the first rows of a figure do not follow: none, one or all."""
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
    derived = _derived(chunk, {name: stored[name] for name in wanted if len(stored[name]) < chunk.episodes})
    try:
        return {name: _completed(name, stored, about, chunk, derived.get(name)) for name in wanted}
    except ValueError as error:
        raise StoreError(f"its figures do not follow from the rest of it: expected {error}") from error


def _completed(
    name: str, stored: Mapping[str, Array], about: Mapping[str, Any], chunk: EpisodeChunk, derived: Array | None
) -> Array:
    if name == RATE and "exploration" in about:
        return _scheduled(Schedule.of(about["exploration"]), stored.get(ULPS), chunk)
    column = stored[name]
    if len(column) == chunk.episodes:
        return column
    if derived is None or len(column) > 1:
        raise ValueError(f"{chunk.episodes} rows of {name!r}, got {len(column)}")
    derived[: len(column)] = column
    return derived


def _scheduled(schedule: Schedule, ulps: Array | None, chunk: EpisodeChunk) -> NDArray[np.float64]:
    rates = schedule.values(_lengths(chunk))
    if ulps is None:
        return rates
    if ulps.shape != rates.shape or ulps.dtype != np.int8:
        raise ValueError(f"{len(rates)} ulps, got shape {ulps.shape}")
    rates.view(np.int64)[:] += ulps
    return rates


def claimed(stored: Mapping[str, Array], episodes: int) -> int:
    """Returns how many bytes the figures of a chunk take once they are complete."""
    return episodes * sum(math.prod(column.shape[1:]) * column.itemsize for column in stored.values())


def needed(stored: Mapping[str, Array], episodes: int, names: Collection[str] | None = None) -> set[str]:
    """Returns the columns of steps from which figures with these names, or all, are to be derived."""
    derived = [name for name in stored if len(stored[name]) < episodes and (names is None or name in names)]
    columns = {STEPS[name][0] for name in derived if name in STEPS}
    return columns | {"rewards"} if columns else columns  # all steps have rewards


def named(stored: Iterable[str], about: Mapping[str, Any]) -> list[str]:
    """Returns the names of a chunk's figures, from what was stored of them."""
    return [name for name in stored if not (name == ULPS and "exploration" in about)]


# ---------------------------------------------------------------------- what follows


def _may_follow(name: str, column: Array, chunk: EpisodeChunk) -> bool:
    return name in ("length", *STEPS) and claimed({name: column}, chunk.episodes) <= codec.FREE


def _derived(chunk: EpisodeChunk, like: Mapping[str, Array]) -> dict[str, Array]:
    """Returns those of these figures that follow from a chunk, each in its dtype."""
    like = {name: column for name, column in like.items() if _may_follow(name, column, chunk)}
    found = _sums(chunk, like) | ({"length": _lengths(chunk)} if "length" in like else {})
    return {
        name: column.astype(like[name].dtype, copy=False) for name, column in found.items() if _fits(column, like[name])
    }


def _fits(found: Array, column: Array) -> bool:
    """Returns whether a figure has rows like those of another: all kinds of whole numbers are alike."""
    return found.shape[1:] == column.shape[1:] and found.dtype.kind == column.dtype.kind.replace("u", "i")


def _sums(chunk: EpisodeChunk, like: Mapping[str, Array]) -> dict[str, Array]:
    """Returns those of these figures that add up the steps of each episode: one pass makes all of them."""
    columns = {name: column for name in STEPS if name in like and (column := _column(chunk, *STEPS[name])) is not None}
    if "action_counts" in columns and not _are_counted(columns["action_counts"], like["action_counts"]):
        del columns["action_counts"]
    if not columns:
        return {}
    episodes, width = chunk.episodes, like["action_counts"].shape[1] if "action_counts" in columns else 1
    sums: tuple[Array, ...] = np.zeros(episodes), np.zeros(episodes, np.int32), np.zeros((episodes, width), np.int32)
    added = [columns[name] if name in columns else np.zeros(chunk.n_steps, of[1][0]) for name, of in STEPS.items()]
    _walking.add_up(_lengths_here(chunk), *added, *sums)
    return {name: column for name, column in zip(STEPS, sums, strict=True) if name in columns}


def _are_counted(actions: Array, counts: Array) -> bool:
    """Returns whether a figure has a column for each of these actions."""
    unsigned = actions.view(f"u{actions.itemsize}")  # in which one below 0 is large
    return counts.ndim == 2 and int(unsigned.max(initial=0)) < counts.shape[1]  # noqa: PLR2004  (a row an episode)


def _lengths(chunk: EpisodeChunk) -> NDArray[np.int64]:
    """Returns the lengths of the episodes that end in a chunk, the steps in earlier ones included."""
    lengths = _lengths_here(chunk)
    lengths[:1] += chunk.first_step
    return lengths


def _lengths_here(chunk: EpisodeChunk) -> NDArray[np.int64]:
    """Returns how many steps of each episode that ends in a chunk are in it."""
    return chunk.lengths[: chunk.episodes].astype(np.int64)


def _column(chunk: EpisodeChunk, name: str, dtypes: str) -> Array | None:
    """Returns a column of steps; None if there is none with one number a step, of one of these dtypes."""
    column = (chunk.steps or {}).get(name)
    is_simple = column is not None and column.ndim == 1 and column.dtype.char in dtypes and column.dtype.isnative
    return np.ascontiguousarray(column) if is_simple else None
