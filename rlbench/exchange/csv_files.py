"""CSV: the column names and the rows of the flat table; the manifest is in a file beside it, `run.csv.json`.

The names of columns are written so that no spreadsheet computes them: after a quote. What other programs save again is
read: with semicolons and decimal commas, other line ends, another order of columns, 3.0 for 3 or TRUE for True. Without
the file beside it, a table is what its columns say: see `csv_guesses`. Files of layout 1 began with `# {...}`, the
manifest; they are read too.
"""

from __future__ import annotations

import csv
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange import csv_guesses, text_files
from rlbench.exchange.cells import Parser
from rlbench.exchange.content import Content
from rlbench.exchange.csv_tables import Table
from rlbench.exchange.flat import KINDS, SOME_ROWS, STEP_ROWS, Field, Flat, Layout, joined
from rlbench.exchange.manifest import MOST_CHARACTERS, Manifest, plain_numbers
from rlbench.store.frames import flat_columns
from rlbench.texts import to_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.exchange.sealed_files import Place

FLAT = True  # it holds the flat table
ROWS = 2**14  # written at a time
BESIDE = ".json"  # ends the name of the file with the manifest


def beside(path: Place) -> Place:
    """Returns the file that describes a CSV file."""
    return path.with_name(path.name + BESIDE)


def _found_beside(path: Place) -> Place | None:
    """Returns the file that describes a CSV file, also if it was packed or unpacked since; None if there is none."""
    plain = path.name.removesuffix(text_files.COMPRESSED)
    names = (path.name, plain, f"{plain}{text_files.COMPRESSED}")
    return next((found for name in names if (found := path.with_name(f"{name}{BESIDE}")).is_file()), None)


def write(path: Place, content: Content, *, next_observations: bool = False) -> None:
    """Writes a run's episodes, results or table: one row of the flat table per line, in UTF-8.

    Raises:
        UsageError: columns of decimal numbers cannot hold it exactly.
    """
    plain_numbers({**content.manifest.columns, **content.manifest.figures}, "csv")
    with text_files.writing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        if content.manifest.what == "episodes":
            layout = Layout(content.manifest, next_observations=next_observations)
            writer.writerow(map(to_cell, layout.names))
            for batch in content.batches:
                writer.writerows(_rows(layout, batch))
        else:
            columns = table_columns(content)
            writer.writerow(map(to_cell, columns))
            for start in range(0, len(next(iter(columns.values()))), ROWS):
                writer.writerows(_lines([column[start : start + ROWS] for column in columns.values()]))


def table_columns(content: Content) -> dict[str, NDArray[Any]]:
    """Returns results or an agent's table as flat columns: one row per episode or per state."""
    if content.table is not None:
        return {"state": np.arange(len(content.table)), **flat_columns("action", content.table)}
    columns: dict[str, NDArray[Any]] = {"episode": np.arange(content.manifest.episodes)}
    for name, array in content.figures.items():
        columns |= flat_columns(name, array)
    return columns


def _rows(layout: Layout, batch: Batch) -> Iterator[tuple[Any, ...]]:
    flat, columns = layout.flatten(batch), []
    for field, values in zip(layout.fields, flat.values, strict=True):
        cells = np.full(len(flat.last), None, object)
        cells[flat.where(field.rows)] = values.tolist()  # Python numbers, which csv writes losslessly
        columns.append(cells.tolist())
    return zip(*columns, strict=True)


def _lines(columns: list[NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


# ---------------------------------------------------------------------- reading


@contextmanager
def read(path: Place, env: gym.Env[Any, Any] | None = None) -> Iterator[Content]:
    """Reads the episodes of a file, a batch at a time.

    Args:
        path: the file; what `write` wrote, or another program has saved again.
        env: the env it was played in, whose spaces tell the types of numbers if no file beside it does.
    """
    with text_files.reading(path) as file:
        table = Table(file, text_files.most_held(path))
        manifest, described_by = table.manifest, ""
        found = _found_beside(path)
        if manifest is None and found is not None:
            manifest, described_by = _described(found), found.name
        if manifest is not None:
            notes = table.notes(Layout(manifest, table.header)) if manifest.what == "episodes" else ()
            yield Content(manifest, _batches(manifest, table), notes=notes, described_by=described_by)
            return
        with text_files.reading(path) as again:
            guess = csv_guesses.guessed(Table(again, text_files.most_held(path)), env)
        missing = f"{beside(path).name} is not beside it: agent, seed and configuration are unknown"
        notes = (missing, *table.notes(Layout(guess, table.header)))
        yield Content(guess, csv_guesses.fitting(_batches(guess, table), env), notes=notes)


def _described(path: Place) -> Manifest:
    with text_files.reading(path) as file:
        return Manifest.from_json(file.read(MOST_CHARACTERS + 1))


def _batches(manifest: Manifest, table: Table) -> Iterator[Batch]:
    if manifest.what != "episodes":
        return
    layout = Layout(manifest, table.header)
    reader = _Rows(layout, table, Parser(table.delimiter, is_checked=bool(manifest.digests)))
    yield from reader.batches()


class _Rows:
    """Turns rows of cells into batches: of an episode that is longer than a block, only the numbers are held."""

    def __init__(self, layout: Layout, table: Table, parser: Parser) -> None:
        self._layout, self._table, self._parser = layout, table, parser
        self._places = table.places(layout.names)
        self._step, self._reward = self._places[1], self._places[layout.reward]
        self._held: list[tuple[Flat, NDArray[np.int64]]] = []  # blocks of the next batch, with their lines
        self._before = (-1, -1)  # the episode and step of the last row held

    def batches(self) -> Iterator[Batch]:
        rows: list[list[str]] = []
        lines: list[int] = []
        self._table.begin()
        for row in self._table.rows():
            if rows and self._table.is_full(len(rows)):
                is_whole = self._is_whole(rows[-1], row)
                if is_whole or self._table.is_full(len(rows), times=2):
                    self._hold(rows, lines, is_whole=is_whole)
                    rows, lines = [], []
                    self._table.begin(holds_last=not is_whole)
                if is_whole:
                    yield self._batch()
            rows.append(row)
            lines.append(self._table.line)
        if rows:
            if self._layout.is_old and rows[-1][self._reward]:
                raise UsageError("it ends in the middle of an episode")
            self._hold(rows, lines, is_whole=True)
            yield self._batch()

    def _is_whole(self, last: list[str], following: list[str]) -> bool:
        return not last[self._reward] if self._layout.is_old else self._parser.is_zero(following[self._step])

    def _hold(self, rows: list[list[str]], lines: list[int], *, is_whole: bool) -> None:
        """Parses a block; `is_whole` says whether its last row ends an episode."""
        numbers, columns = np.array(lines), list(zip(*rows, strict=True))
        cells = [columns[place] for place in self._places]
        self._parser.learn(cells)
        has_step = np.array([not self._parser.is_blank(cell) for cell in cells[self._layout.reward]])
        episodes, steps = (self._parser.parsed(self._layout.fields[at], list(cells[at]), numbers) for at in (0, 1))
        flat = self._layout.rows(episodes, steps, has_step, numbers, before=self._before, is_whole=is_whole)
        selectors = {rows: flat.where(rows) for rows in {field.rows for field in self._layout.fields}}
        for field, column in zip(self._layout.fields, cells, strict=True):
            flat.values.append(self._values(field, column, selectors[field.rows], numbers))
        self._held.append((flat, numbers))
        self._before = (int(episodes[-1]), int(steps[-1]))

    def _batch(self) -> Batch:
        """Returns the blocks held, and lets go of them."""
        flats, lines = zip(*self._held, strict=True)
        self._held, self._before = [], (-1, -1)
        return self._layout.batch(joined(flats), np.concatenate(lines))

    def _values(
        self, field: Field, cells: tuple[str, ...], where: NDArray[np.bool_], lines: NDArray[np.int64]
    ) -> NDArray[Any]:
        inside = where.tolist()
        values = list(itertools.compress(cells, inside))
        others = [cell for cell in set(itertools.compress(cells, (~where).tolist())) if not self._parser.is_blank(cell)]
        if others or (field.rows != SOME_ROWS and not self._parser.may_lack(field) and "" in values):
            raise _misplaced(field, cells, where, lines, self._parser)
        return np.array(values, object) if field.dtype.kind == "U" else self._parser.parsed(field, values, lines[where])


def _misplaced(
    field: Field, cells: Sequence[str], where: NDArray[np.bool_], lines: NDArray[np.int64], parser: Parser
) -> UsageError:
    """Returns the error for the first cell that is blank and must not be, or vice versa."""
    is_blank = np.array(
        [parser.is_blank(cell) if not inside else not cell for cell, inside in zip(cells, where, strict=True)]
    )
    wrong = np.flatnonzero(~is_blank & ~where if field.rows == SOME_ROWS else is_blank == where)[0]
    rule = KINDS[field.dtype.kind] if where[wrong] else "a blank"
    if field.rows == STEP_ROWS:
        kind = "a step" if where[wrong] else "the row of an episode without steps"
    else:
        kind = "the last row of an episode" if where[wrong] else "a row that is not the last of its episode"
    return UsageError(
        f"line {lines[wrong]}, column {field.name!r}: expected {rule} in {kind}, got {cells[wrong][:40]!r}"
    )
