"""The flat table of csv, parquet and data frames: a row per step, and in files one more to close each episode.

An array is spread over columns, "observation.0", "observation.1", ...; the parts of a Dict observation are
"observation/position" and so on. A file's closing row holds the episode's final observation and its figures,
"episode_return", ...; action, reward and the other step columns are blank. Figures are blank in all other rows.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.batches import Batch, Mark
from rlbench.store.codec import to_json
from rlbench.store.frames import Column, flat_columns, singular, spread
from rlbench.store.records import end_code, has_last_row, is_terminated, is_truncated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from rlbench.exchange.manifest import Manifest

    Array = NDArray[Any]

EVERY_ROW, STEP_ROWS, CLOSING_ROWS, SOME_ROWS = range(4)  # the rows in which a column is not blank
MARKS = "chunks"
KINDS = {"b": "True or False", "i": "a whole number", "u": "a whole number", "f": "a number", "U": "text"}


class Field(NamedTuple):
    """One column of the flat table."""

    name: str
    dtype: np.dtype[Any]  # "U": text
    rows: int  # in which it is not blank


@dataclass(frozen=True)
class Flat:
    """A table of whole episodes: for each field its values, without blanks."""

    closing: NDArray[np.bool_]  # (rows,) whether each closes an episode
    values: list[Array]  # one per field

    def where(self, rows: int) -> NDArray[np.bool_]:
        """Returns a mask of the rows in which a field of this kind is not blank."""
        return {EVERY_ROW: np.ones_like(self.closing), STEP_ROWS: ~self.closing}.get(rows, self.closing)


class Layout:
    """The columns of a run's flat table, and the conversion of batches to it and back.

    Args:
        manifest: describes the run's columns.
        found: the number of columns of a table being read; its manifest may not describe more.

    Attributes:
        fields: the columns of the table, from left to right.

    Raises:
        UsageError: it describes more, or two with the same name.
    """

    def __init__(self, manifest: Manifest, found: int | None = None) -> None:
        self._columns, self._figures = manifest.columns, manifest.figures
        described = sum(column.width for column in (*manifest.columns.values(), *manifest.figures.values()))
        if found is not None and described > found:  # before a name is made for each
            raise UsageError(f"its manifest describes {described:,} columns of numbers, but it has {found:,} columns")
        self.fields = self._fields()
        self.names = [field.name for field in self.fields]
        twice = next((name for name, count in Counter(self.names).items() if count > 1), None)
        if twice is not None:
            raise UsageError(f"two columns would be named {twice!r}: choose json, hdf5 or minari")
        self.reward = self.names.index("reward") if "reward" in self.names else -1

    def _fields(self) -> list[Field]:
        integers, bools = np.dtype(np.int64), np.dtype(np.bool_)
        steps = [name for name in self._columns if not has_last_row(name)]
        return [
            Field("episode", integers, EVERY_ROW),
            Field("step", integers, EVERY_ROW),
            *self._spread([name for name in self._columns if has_last_row(name)], EVERY_ROW),
            *self._spread([name for name in steps if singular(name) != name], STEP_ROWS),
            Field("terminated", bools, EVERY_ROW),
            Field("truncated", bools, EVERY_ROW),
            *self._spread([name for name in steps if singular(name) == name], STEP_ROWS),
            *(
                Field(part, np.dtype(column.dtype), CLOSING_ROWS)
                for name, column in self._figures.items()
                for part in spread(f"episode_{name}", column)
            ),
            Field(MARKS, np.dtype("U"), SOME_ROWS),
        ]

    def _spread(self, names: list[str], rows: int) -> list[Field]:
        return [
            Field(part, np.dtype(self._columns[name].dtype), rows)
            for name in names
            for part in spread(singular(name), self._columns[name])
        ]

    # ------------------------------------------------------------------ to the table

    def flatten(self, batch: Batch) -> Flat:
        """Converts a batch to rows of the table."""
        closing = np.zeros(int(np.sum(batch.lengths + 1)), np.bool_)
        closing[batch.row_stops - 1] = True
        flat: dict[str, Array] = {
            "episode": np.repeat(batch.episodes, batch.lengths + 1),
            "step": np.arange(len(closing)) - np.repeat(batch.row_stops - batch.lengths - 1, batch.lengths + 1),
            "terminated": _flags(batch, is_terminated(batch.ends)),
            "truncated": _flags(batch, is_truncated(batch.ends)),
            MARKS: _written(batch),
        }
        for name, array in batch.steps.items():
            flat |= flat_columns(singular(name), array)
        for name, array in batch.figures.items():
            flat |= flat_columns(f"episode_{name}", array)
        return Flat(closing, [flat[name] for name in self.names])

    # ------------------------------------------------------------------ from the table

    def batch(self, flat: Flat) -> Batch:
        """Converts rows of the table to a batch.

        Raises:
            UsageError: they are not whole episodes, correctly numbered and ended.
        """
        values = {field.name: array for field, array in zip(self.fields, flat.values, strict=True)}
        stops = np.flatnonzero(flat.closing) + 1
        lengths = np.diff(stops, prepend=0) - 1
        episodes = values["episode"][flat.closing]
        ends = end_code(values["terminated"][flat.closing], values["truncated"][flat.closing])
        batch = Batch(
            episodes,
            lengths,
            ends.astype(np.uint8),
            {name: _gathered(values, singular(name), column) for name, column in self._columns.items()},
            {name: _gathered(values, f"episode_{name}", column) for name, column in self._figures.items()},
            _read(values[MARKS]),
        )
        _check(batch, values)
        return batch


def _flags(batch: Batch, ended: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns a flag for each row: its episode's flag in the last step and the closing row, False elsewhere."""
    flags = np.zeros(int(np.sum(batch.lengths + 1)), np.bool_)
    flags[batch.row_stops - 1] = ended
    has_steps = batch.lengths > 0
    flags[batch.row_stops[has_steps] - 2] = ended[has_steps]
    return flags


def _check(batch: Batch, values: Mapping[str, Array]) -> None:
    rows = batch.lengths + 1
    expected = {
        "episode": np.repeat(batch.episodes, rows),
        "step": np.arange(int(rows.sum())) - np.repeat(batch.row_stops - rows, rows),
        "terminated": _flags(batch, is_terminated(batch.ends)),
        "truncated": _flags(batch, is_truncated(batch.ends)),
    }
    for name, column in expected.items():
        wrong = np.flatnonzero(values[name] != column)
        if len(wrong):
            episode, step = expected["episode"][wrong[0]], expected["step"][wrong[0]]
            raise UsageError(
                f"in row {step} of episode {episode} {name} must be {column[wrong[0]]}, got {values[name][wrong[0]]}"
            )


def _gathered(values: Mapping[str, Array], name: str, column: Column) -> Array:
    parts = [values[part] for part in spread(name, column)]
    return np.stack(parts, axis=1, dtype=parts[0].dtype).reshape(-1, *column.shape) if column.shape else parts[0]


# ---------------------------------------------------------------------- where chunks begin


def _written(batch: Batch) -> Array:
    """Returns a string per episode: "" if no chunk begins in it, else JSON."""
    texts = [""] * len(batch)
    for row in {mark.row for mark in batch.marks}:
        texts[row] = to_json(marks_json(batch, row))
    return np.array(texts, object)


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


def _read(texts: Array) -> tuple[Mark, ...]:
    found = [(row, json.loads(text)) for row, text in enumerate(texts.tolist()) if text]
    return tuple(mark for row, value in found for mark in marks_of(row, value))
