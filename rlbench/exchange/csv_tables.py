"""The rows of a CSV file, however it was saved: which delimiter, which order of columns, how much at a time."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from rlbench.errors import UsageError
from rlbench.exchange.batches import BATCH_STEPS
from rlbench.exchange.content import left_out
from rlbench.exchange.flat import FINAL, NEXT
from rlbench.exchange.manifest import MOST_CHARACTERS, Manifest
from rlbench.texts import from_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rlbench.exchange.flat import Layout

BATCH_CHARACTERS = 2**22  # after which a reader passes on its episodes
MOST_LINE = 2**20  # characters
MOST_BLANK = 2**16  # lines, and one for each that is not blank
SIGN = "# "  # starts the first line of layout 1
NEEDED = ("episode", "step", "reward", "terminated", "truncated")  # columns of every table of episodes
DELIMITERS = ",;\t"
INDEX = re.compile(r"|Unnamed: \d+(\.\d+)?|index|level_0")  # a column that pandas writes, unasked, before the others


class Table:
    """The rows of a CSV file, read from top to bottom.

    Attributes:
        manifest: of layout 1, which the file itself holds; else None.
        header: the names of the columns.
        delimiter: between cells.
        line: of the file, that was read last.
    """

    def __init__(self, file: Any, most: int) -> None:
        self._file, self._most, self.line = file, most, 0
        self._taken = self._held = 0  # characters of this block, and of those before it that were not passed on
        first = self._first_line()
        self.manifest = Manifest.from_json(first.removeprefix(SIGN)) if first.startswith(SIGN) else None
        head = first if self.manifest is None else self._line()
        if not head.strip():
            raise UsageError("it is empty: expected a line with the names of columns")
        self.delimiter = max(DELIMITERS, key=lambda delimiter: _fitness(head, delimiter))
        lines = itertools.chain([head], iter(self._line, ""))
        self._reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        self.header = [from_cell(cell.strip()) for cell in next(self._rows())]

    def _first_line(self) -> str:
        first = self._line(is_whole=False)
        if not first.startswith((SIGN, f'"{SIGN}')):
            return self._checked(first)
        first += "" if first.endswith("\n") else self._file.readline(MOST_CHARACTERS)
        # a program that quotes every cell may have saved it again
        return first.strip()[1:].removesuffix('"').replace('""', '"') if first.startswith('"') else first

    def _line(self, *, is_whole: bool = True) -> str:
        line: str = self._file.readline(MOST_LINE)
        self._taken += len(line)
        self.line += bool(line)
        return self._checked(line) if is_whole else line

    def _checked(self, line: str) -> str:
        if len(line) == MOST_LINE and not line.endswith("\n"):
            raise UsageError(f"line {self.line} has more than {MOST_LINE:,} characters")
        if "\0" in line:
            raise UsageError(f"line {self.line} holds NUL characters: save the file as text in UTF-8")
        return line

    def _rows(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            raise UsageError(f"line {self.line}: {error}") from error

    def rows(self) -> Iterator[list[str]]:
        """Yields the cells of each line that is not blank; UsageError if far more are blank than are not."""
        blank = 0
        for row in self._rows():
            if not any(row):
                blank += 1
                if blank > MOST_BLANK:
                    raise UsageError(f"line {self.line}: most of the lines before it are blank")
                continue
            blank -= blank > 0
            if len(row) != len(self.header):
                raise UsageError(f"line {self.line}: expected {len(self.header)} cells, got {len(row)}")
            yield row

    def blocks(self) -> Iterator[list[list[str]]]:
        """Yields the rows, many at a time."""
        block: list[list[str]] = []
        for row in self.rows():
            block.append(row)
            if self.is_full(len(block)):
                yield block
                block = []
                self.begin()
        if block:
            yield block

    def is_full(self, rows: int, times: int = 1) -> bool:
        """Returns whether enough was read for a block; UsageError if it is more than a file of this size may need."""
        if self._held + self._taken > self._most:
            raise UsageError(f"line {self.line}: an episode of more than {self._most:,} characters is too long")
        return rows >= times * BATCH_STEPS or self._taken >= times * BATCH_CHARACTERS

    def begin(self, *, holds_last: bool = False) -> None:
        """Begins a block; what was read before it counts on if it is still held."""
        self._held = self._held + self._taken if holds_last else 0
        self._taken = 0

    def places(self, names: Sequence[str]) -> list[int]:
        """Returns where the columns of these names are; UsageError if one is missing or there twice."""
        counts, line = Counter(self.header), 1 + (self.manifest is not None)
        for name in names:
            if counts[name] != 1:
                problem = "is missing" if not counts[name] else "is there more than once"
                other = NEXT + name.removeprefix(FINAL)
                hint = f"; {other!r} in every row would do, too" if name.startswith(FINAL) and not counts[name] else ""
                raise UsageError(f"line {line}: the column {name!r} {problem}{hint}")
        return [self.header.index(name) for name in names]

    def notes(self, layout: Layout) -> tuple[str, ...]:
        """Returns a note on the columns that are not imported, if there are any."""
        return left_out([name for name in self.header if name not in layout.names and not INDEX.fullmatch(name)])


def _fitness(head: str, delimiter: str) -> tuple[int, int]:
    """Returns how many columns of episodes, and how many at all, a delimiter finds in the first line."""
    try:
        cells = next(csv.reader([head], delimiter=delimiter), [])
    except csv.Error:
        return 0, 0
    return len(set(NEEDED).intersection(cells)), len(cells)
