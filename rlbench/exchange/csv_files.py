r"""CSV: a first line `# {...}` with the manifest, then the column names and the rows of the flat table.

Texts are written so that no spreadsheet computes them: a column's name after a quote, the manifest's `=` as `\u003d`.
"""

from __future__ import annotations

import csv
import itertools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.batches import BATCH_STEPS
from rlbench.exchange.content import Content
from rlbench.exchange.flat import KINDS, SOME_ROWS, STEP_ROWS, Field, Flat, Layout
from rlbench.exchange.manifest import MOST_CHARACTERS, Manifest, exactly, plain_numbers
from rlbench.store.frames import Column, flat_columns
from rlbench.texts import from_cell, to_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch

ROWS = 2**14  # written at a time
MOST_LINE = 2**20  # characters
SIGN = "# "  # starts the first line
BOOLS = {"true": True, "false": False}
PARSERS: dict[str, Callable[[str], Any]] = {
    "b": lambda cell: BOOLS[cell.lower()],
    "i": int,
    "u": int,
    "f": float,
    "U": str,
}
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')  # in JSON
BEGINNING = re.compile(r"(?<!\w)[=+@-]")  # of what may be a formula, where a spreadsheet cuts the line at commas


def write(path: Path, content: Content) -> None:
    """Writes a run's episodes, results or table: one row of the flat table per line, in UTF-8.

    Raises:
        UsageError: columns of decimal numbers cannot hold it exactly.
    """
    plain_numbers({**content.manifest.columns, **content.manifest.figures}, "csv")
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        file.write(f"{SIGN}{STRING.sub(_inert, content.manifest.to_json())}\n")
        if content.manifest.what == "episodes":
            layout = Layout(content.manifest)
            writer.writerow(map(to_cell, layout.names))
            for batch in content.batches:
                writer.writerows(_rows(layout, batch))
        else:
            columns = table_columns(content)
            writer.writerow(map(to_cell, columns))
            for start in range(0, len(next(iter(columns.values()))), ROWS):
                writer.writerows(_lines([column[start : start + ROWS] for column in columns.values()]))


def _inert(string: re.Match[str]) -> str:
    """Returns an equal JSON string, without anything that a spreadsheet may compute."""
    return BEGINNING.sub(lambda found: f"\\u{ord(found[0]):04x}", string[0])


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
        cells = np.full(len(flat.closing), None, object)
        cells[flat.where(field.rows)] = values.tolist()  # Python numbers, which csv writes losslessly
        columns.append(cells.tolist())
    return zip(*columns, strict=True)


def _lines(columns: list[NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


# ---------------------------------------------------------------------- reading


@contextmanager
def read(path: Path) -> Iterator[Content]:
    """Reads a file that `write` wrote, a batch of episodes at a time; reads only episodes."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(MOST_CHARACTERS)
        if first.startswith(f'"{SIGN}'):  # a program that quotes every cell has saved it again
            first = first.strip()[1:].removesuffix('"').replace('""', '"')
        if not first.startswith(SIGN):
            raise UsageError(
                "its first line is not the `# {...}` that rlbench writes; data from elsewhere must be a minari dataset"
            )
        manifest = Manifest.from_json(first.removeprefix(SIGN))
        yield Content(manifest, _batches(manifest, iter(lambda: _line(file), "")))


def _line(file: Any) -> str:
    line: str = file.readline(MOST_LINE)
    if len(line) == MOST_LINE:
        raise UsageError(f"it has a line of more than {MOST_LINE} characters")
    return line


def _batches(manifest: Manifest, lines: Iterator[str]) -> Iterator[Batch]:
    if manifest.what != "episodes":
        return
    reader = csv.reader(lines, strict=True)
    try:
        header = list(map(from_cell, next(reader, [])))
        layout = Layout(manifest, len(header))
        _check_header(header, layout)
        while rows := _whole_episodes(reader, layout):
            yield layout.batch(_flat(rows, layout, reader.line_num + 2 - len(rows)))
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num + 1}: {error}") from error


def _check_header(found: list[str], layout: Layout) -> None:
    missing = [name for name in layout.names if name not in found]
    if missing:
        raise UsageError(f"line 2: the column {missing[0]!r} is missing")
    if found != layout.names:
        raise UsageError(f"line 2: the columns must be {','.join(layout.names)[:200]}, in this order and no others")


def _whole_episodes(reader: Any, layout: Layout) -> list[list[str]]:
    """Reads at least BATCH_STEPS rows, up to the end of an episode; none at the end of the file."""
    rows: list[list[str]] = []
    for row in reader:
        if len(row) != len(layout.names):
            at = reader.line_num + 1  # the manifest is line 1
            raise UsageError(f"line {at}: expected {len(layout.names)} cells, got {len(row)}")
        rows.append(row)
        if len(rows) >= BATCH_STEPS and not row[layout.reward]:
            return rows
    if rows and rows[-1][layout.reward]:
        raise UsageError("it ends in the middle of an episode")
    return rows


def _flat(rows: list[list[str]], layout: Layout, line: int) -> Flat:
    columns: list[tuple[str, ...]] = list(zip(*rows, strict=True))
    closing = np.array([not cell for cell in columns[layout.reward]])
    flat = Flat(closing, [])
    selectors = {rows: flat.where(rows) for rows in {field.rows for field in layout.fields}}
    lists = {rows: (where.tolist(), (~where).tolist()) for rows, where in selectors.items()}
    for field, cells in zip(layout.fields, columns, strict=True):
        inside, outside = lists[field.rows]
        values = list(itertools.compress(cells, inside))
        if any(itertools.compress(cells, outside)) or (field.rows != SOME_ROWS and "" in values):
            raise _misplaced(field, cells, selectors[field.rows], line)
        flat.values.append(_parsed(field, values, np.flatnonzero(selectors[field.rows]) + line))
    return flat


def _misplaced(field: Field, cells: Sequence[str], where: NDArray[np.bool_], line: int) -> UsageError:
    """Returns the error for the first cell that is blank and must not be, or vice versa."""
    is_blank = np.array([not cell for cell in cells])
    wrong = np.flatnonzero(~is_blank & ~where if field.rows == SOME_ROWS else is_blank == where)[0]
    rule = KINDS[field.dtype.kind] if where[wrong] else "a blank"
    kind = "a step" if where[wrong] == (field.rows == STEP_ROWS) else "the row that closes an episode"
    return UsageError(
        f"line {line + wrong}, column {field.name!r}: expected {rule} in {kind}, got {cells[wrong][:40]!r}"
    )


def _parsed(field: Field, cells: list[str], lines: NDArray[Any]) -> NDArray[Any]:
    parse = PARSERS[field.dtype.kind]
    try:
        values = list(map(parse, cells))
        return np.array(values, object) if field.dtype.kind == "U" else exactly(values, _column(field), field.name)
    except (ValueError, KeyError) as error:
        if isinstance(error, UsageError):
            raise
        row = next(row for row, cell in enumerate(cells) if not _fits(parse, cell))
        raise UsageError(
            f"line {lines[row]}, column {field.name!r}: expected {KINDS[field.dtype.kind]}, got {cells[row][:40]!r}"
        ) from error


def _column(field: Field) -> Column:
    return Column(field.dtype.str, ())


def _fits(parse: Callable[[str], Any], cell: str) -> bool:
    try:
        parse(cell)
    except (ValueError, KeyError):
        return False
    return True
