"""The flat table of csv, parquet, feather and data frames: a row per step.

An array is spread over columns, "observation.0", "observation.1", ...; the parts of a Dict observation are
"observation/position" and so on. In a file, the last row of an episode holds its figures, "episode_return", ..., and
the observation that no action followed, "final_observation"; these are blank in all other rows. On request every row
has its "next_observation" instead. An episode without steps has one row, in which all that belongs to a step is blank.

Files of layout 1 had a further row that closed each episode, with its final observation and figures; they are read too.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.batches import Batch, Mark, joined_rows
from rlbench.store.frames import Column, flat_columns, singular, spread
from rlbench.store.records import end_code, has_last_row, is_terminated, is_truncated

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rlbench.exchange.manifest import Manifest

    Array = NDArray[Any]

EVERY_ROW, STEP_ROWS, LAST_ROWS, SOME_ROWS = range(4)  # the rows in which a column is not blank
MARKS = "chunks"  # a column of layout 1
FINAL, NEXT = "final_observation", "next_observation"
KINDS = {"b": "True or False", "i": "a whole number", "u": "a whole number", "f": "a number", "U": "text"}


class Field(NamedTuple):
    """One column of the flat table."""

    name: str
    dtype: np.dtype[Any]  # "U": text
    rows: int  # in which it is not blank


@dataclass(frozen=True)
class Flat:
    """A table of whole episodes: for each field its values, without blanks."""

    steps: NDArray[np.bool_]  # (rows,) whether each holds a step
    last: NDArray[np.bool_]  # (rows,) whether each is the last of its episode
    values: list[Array]  # one per field

    def where(self, rows: int) -> NDArray[np.bool_]:
        """Returns a mask of the rows in which a field of this kind is not blank."""
        return {EVERY_ROW: np.ones_like(self.last), STEP_ROWS: self.steps}.get(rows, self.last)


def joined(flats: Sequence[Flat]) -> Flat:
    """Returns one table with the rows of several."""
    if len(flats) == 1:
        return flats[0]
    tables = [(flat.steps, flat.last, *flat.values) for flat in flats]
    steps, last, *values = (joined_rows(list(arrays)) for arrays in zip(*tables, strict=True))
    return Flat(steps, last, values)


class Layout:
    """The columns of a run's flat table, and the conversion of batches to it and back.

    Args:
        manifest: describes the run's columns.
        found: the names of the columns of a table being read; its manifest may not describe more.
        next_observations: whether every row has its next observation.

    Attributes:
        fields: the columns of the table, from left to right: first "episode" and "step".

    Raises:
        UsageError: it describes more, or two with the same name.
    """

    def __init__(
        self, manifest: Manifest, found: Collection[str] | None = None, *, next_observations: bool = False
    ) -> None:
        self._columns, self._figures, self.is_old = manifest.columns, manifest.figures, manifest.version == 1
        described = sum(column.width for column in (*manifest.columns.values(), *manifest.figures.values()))
        if found is not None and described > len(found):  # before a name is made for each
            raise UsageError(
                f"its manifest describes {described:,} columns of numbers, but it has {len(found):,} columns"
            )
        self._has_next = next_observations or any(name.startswith(NEXT) for name in found or ())
        self._marks = _by_episode(manifest.chunks)
        self.fields = self._old_fields() if self.is_old else self._fields()
        self.names = [field.name for field in self.fields]
        twice = next((name for name, count in Counter(self.names).items() if count > 1), None)
        if twice is not None:
            raise UsageError(f"two columns would be named {twice!r}: choose json, hdf5 or minari")
        self.reward = self.names.index("reward") if "reward" in self.names else -1

    def _fields(self) -> list[Field]:
        observations = [name for name in self._columns if has_last_row(name)]
        steps = [name for name in self._columns if not has_last_row(name)]
        return [
            *_numbers(np.int64, "episode", "step"),
            *self._spread(observations, STEP_ROWS),
            *self._spread([name for name in steps if singular(name) != name], STEP_ROWS),
            *(self._moved(observations, NEXT, EVERY_ROW) if self._has_next else ()),
            *_numbers(np.bool_, "terminated", "truncated"),
            *self._spread([name for name in steps if singular(name) == name], STEP_ROWS),
            *(() if self._has_next else self._moved(observations, FINAL, LAST_ROWS)),
            *self._figure_fields(),
        ]

    def _old_fields(self) -> list[Field]:
        steps = [name for name in self._columns if not has_last_row(name)]
        return [
            *_numbers(np.int64, "episode", "step"),
            *self._spread([name for name in self._columns if has_last_row(name)], EVERY_ROW),
            *self._spread([name for name in steps if singular(name) != name], STEP_ROWS),
            *_numbers(np.bool_, "terminated", "truncated"),
            *self._spread([name for name in steps if singular(name) == name], STEP_ROWS),
            *self._figure_fields(),
            Field(MARKS, np.dtype("U"), SOME_ROWS),
        ]

    def _spread(self, names: list[str], rows: int) -> Iterator[Field]:
        for name in names:
            yield from _parts(singular(name), self._columns[name], rows)

    def _moved(self, observations: list[str], head: str, rows: int) -> Iterator[Field]:
        for name in observations:
            yield from _parts(_renamed(name, head), self._columns[name], rows)

    def _figure_fields(self) -> Iterator[Field]:
        for name, column in self._figures.items():
            yield from _parts(f"episode_{name}", column, LAST_ROWS)

    def rows(
        self,
        episodes: Array,
        steps: Array,
        has_step: NDArray[np.bool_],
        lines: Array | None = None,
        *,
        before: tuple[int, int] = (-1, -1),
        is_whole: bool = True,
    ) -> Flat:
        """Returns a table, without values yet, that knows its rows.

        Args:
            episodes: (rows,) the episode of each.
            steps: (rows,) the step of each, from 0.
            has_step: (rows,) whether each holds a step.
            lines: (rows,) the line of each in its file, for messages.
            before: the episode and step of the row before the first, if that one may continue its episode.
            is_whole: whether the last row ends its episode.

        Raises:
            UsageError: a row does not follow the one before.
        """
        begins = steps == 0
        follows = (np.diff(episodes, prepend=before[0]) == 0) & (np.diff(steps, prepend=before[1]) == 1)
        wrong = np.flatnonzero(~begins & ~follows)
        if len(wrong):
            row = wrong[0]
            place = f"in row {row}" if lines is None else f"line {lines[row]}"
            episode, step = (episodes[row - 1], steps[row - 1]) if row else before
            is_same = step >= 0 and episodes[row] == episode
            expected = f"{step + 1}, or 0 to begin an episode" if is_same else "0 where an episode begins"
            raise UsageError(
                f"{place}, column 'step': expected {expected}, got {steps[row]} in episode {episodes[row]}"
            )
        last = ~has_step if self.is_old else np.append(begins[1:], [is_whole] * bool(len(begins)))
        misplaced = ~has_step & ~(begins & last)
        if misplaced.any() and not self.is_old:
            row = int(np.flatnonzero(misplaced)[0])
            place = f"in row {row}" if lines is None else f"line {lines[row]}"
            raise UsageError(f"{place}, column 'reward': expected a number in a step, got none")
        return Flat(has_step, last, [])

    # ------------------------------------------------------------------ to the table

    def flatten(self, batch: Batch) -> Flat:
        """Converts a batch to rows of the table."""
        places = _Places(batch.lengths)
        flat: dict[str, Array] = {
            "episode": np.repeat(batch.episodes, places.counts),
            "step": places.within,
            "terminated": places.last & np.repeat(is_terminated(batch.ends), places.counts),
            "truncated": places.last & np.repeat(is_truncated(batch.ends), places.counts),
        }
        for name, array in batch.steps.items():
            if not has_last_row(name):
                flat |= flat_columns(singular(name), array)
                continue
            flat |= flat_columns(singular(name), array[places.observations])
            flat |= flat_columns(_renamed(name, NEXT), array[places.next])
            flat |= flat_columns(_renamed(name, FINAL), array[places.finals])
        for name, array in batch.figures.items():
            flat |= flat_columns(f"episode_{name}", array)
        return Flat(places.steps, places.last, [flat[name] for name in self.names])

    # ------------------------------------------------------------------ from the table

    def batch(self, flat: Flat, lines: NDArray[np.int64] | None = None) -> Batch:
        """Converts rows of the table to a batch.

        Args:
            flat: the rows.
            lines: the line of each in its file, for messages.

        Raises:
            UsageError: they are not whole episodes, correctly numbered and ended.
        """
        values = {field.name: array for field, array in zip(self.fields, flat.values, strict=True)}
        stops = np.flatnonzero(flat.last) + 1
        counts = np.diff(stops, prepend=0)
        lengths = counts - ~flat.steps[flat.last]
        episodes = values["episode"][flat.last]
        ends = end_code(values["terminated"][flat.last], values["truncated"][flat.last]).astype(np.uint8)
        self._check(flat, values, lengths, lines)
        steps = {name: self._gathered(values, lengths, name, column) for name, column in self._columns.items()}
        figures = {name: _joined(values, f"episode_{name}", column) for name, column in self._figures.items()}
        marks = _read(values[MARKS]) if self.is_old else self._marks_of(episodes)
        return Batch(episodes, lengths, ends, steps, figures, marks)

    def _check(self, flat: Flat, values: Mapping[str, Array], lengths: Array, lines: NDArray[np.int64] | None) -> None:
        counts = np.diff(np.flatnonzero(flat.last) + 1, prepend=0)
        before_last = values["step"] == np.repeat(lengths, counts) - 1  # layout 1 ends an episode in two rows
        is_end = flat.last | (self.is_old & before_last)
        for name in ("terminated", "truncated"):
            expected = is_end & np.repeat(values[name][flat.last], counts)
            wrong = np.flatnonzero(values[name] != expected)
            if len(wrong):
                row = wrong[0]
                place = f"in row {row}" if lines is None else f"line {lines[row]}"
                raise UsageError(
                    f"{place}, column {name!r}: expected {expected[row]} in step {values['step'][row]} of episode "
                    f"{values['episode'][row]}, as in its last row, got {values[name][row]}"
                )

    def _gathered(self, values: Mapping[str, Array], lengths: Array, name: str, column: Column) -> Array:
        found = _joined(values, singular(name), column)
        if self.is_old or not has_last_row(name):
            return found
        places = _Places(lengths)
        array = np.empty((int(np.sum(lengths + 1)), *column.shape), found.dtype)
        array[places.observations] = found
        if not self._has_next:
            array[places.finals] = _joined(values, _renamed(name, FINAL), column)
            return array
        following = _joined(values, _renamed(name, NEXT), column)
        array[places.finals] = following[places.last]
        differs = _differ(array[places.next], following)
        if differs.any():
            row = int(np.flatnonzero(differs.reshape(len(following), -1).any(axis=1))[0])
            episode, step = values["episode"][row], values["step"][row]
            raise UsageError(
                f"in episode {episode} the {NEXT} of step {step} is not the observation of step {step + 1}"
            )
        return array

    def _marks_of(self, episodes: NDArray[np.int64]) -> tuple[Mark, ...]:
        found = enumerate(episodes.tolist())
        return tuple(mark._replace(row=row) for row, episode in found for mark in self._marks.get(episode, ()))


class _Places:
    """Where the steps and observations of episodes stand: in rows of the table, and among T + 1 observations."""

    def __init__(self, lengths: NDArray[np.int64]) -> None:
        self.counts = np.maximum(lengths, 1)  # rows of each episode
        stops = np.cumsum(self.counts)
        self.within = np.arange(int(self.counts.sum())) - np.repeat(stops - self.counts, self.counts)  # the step
        self.steps = np.repeat(lengths > 0, self.counts)
        self.last = np.zeros(len(self.steps), np.bool_)
        self.last[stops - 1] = True
        self.finals = np.cumsum(lengths + 1) - 1
        begins = np.repeat(self.finals - lengths, self.counts)
        self.observations = (begins + self.within)[self.steps]
        self.next = begins + np.minimum(self.within + 1, np.repeat(lengths, self.counts))


def _differ(found: Array, expected: Array) -> Array:
    unequal: Array = found != expected
    return unequal & ~(np.isnan(found) & np.isnan(expected)) if found.dtype.kind in "fc" else unequal


def _numbers(dtype: Any, *names: str) -> list[Field]:
    return [Field(name, np.dtype(dtype), EVERY_ROW) for name in names]


def _parts(name: str, column: Column, rows: int) -> list[Field]:
    return [Field(part, np.dtype(column.dtype), rows) for part in spread(name, column)]


def _renamed(observations: str, head: str) -> str:
    """Returns the name of a column of next or final observations: "final_observation/x" for "observations/x"."""
    return head + observations.removeprefix("observations")


def _joined(values: Mapping[str, Array], name: str, column: Column) -> Array:
    parts = [values[part] for part in spread(name, column)]
    return np.stack(parts, axis=1, dtype=parts[0].dtype).reshape(-1, *column.shape) if column.shape else parts[0]


# ---------------------------------------------------------------------- where chunks begin


def marks_json(batch: Batch, row: int) -> list[list[Any]]:
    """Returns where chunks begin in an episode, as JSON values: steps, each with a generator's state or null."""
    return [[mark.step, mark.env_rng] for mark in batch.marks if mark.row == row]


def marks_of(row: int, found: Any) -> list[Mark]:
    """Reads the values of `marks_json`; UsageError if they are anything else."""
    fits = type(found) is list and all(
        type(pair) is list and len(pair) == 2 and type(pair[0]) is int and type(pair[1]) in (dict, type(None))  # noqa: PLR2004
        for pair in found
    )
    if not fits:
        raise UsageError("the beginnings of chunks must be pairs of a step and a generator's state or null")
    return [Mark(row, step, env_rng) for step, env_rng in found]


def chunks_json(batch: Batch) -> list[list[Any]]:
    """Returns where chunks begin in a batch, as JSON values: an episode, a step, a generator's state or null."""
    return [[int(batch.episodes[mark.row]), mark.step, mark.env_rng] for mark in batch.marks]


def _by_episode(chunks: list[Any]) -> dict[Any, list[Mark]]:
    marks: dict[Any, list[Mark]] = {}
    for chunk in chunks:
        episode, *pair = chunk if type(chunk) is list and chunk else [-1]
        marks.setdefault(episode, []).extend(marks_of(0, [pair]))
    return marks


def _read(texts: Array) -> tuple[Mark, ...]:
    found = [(row, json.loads(text)) for row, text in enumerate(texts.tolist()) if text]
    return tuple(mark for row, value in found for mark in marks_of(row, value))
