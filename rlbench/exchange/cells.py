"""Cells of a table as numbers, in the ways that spreadsheets and data frames write them."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.flat import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from rlbench.exchange.flat import Field

BOOLS = {"True": True, "False": False}  # as Python writes them
WORDS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
BLANKS = {"", "nan", "na", "n/a", "#n/a", "<na>", "null", "none"}
MARKED = re.compile(r"[+-]?(\d+[.,]\d*|[.,]\d+)(e[+-]?\d+)?", re.IGNORECASE)  # a number with one mark in it
UNCLEAR = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")  # one such, or a thousand times as much
WHOLE = 2**53  # beyond it, a number written with a point may stand for several whole ones
FAST: dict[str, Callable[[list[str]], list[Any]]] = {
    "b": lambda cells: [BOOLS[cell] for cell in cells],
    "i": lambda cells: list(map(int, cells)),
    "u": lambda cells: list(map(int, cells)),
    "f": lambda cells: list(map(float, cells)),
}


class Parser:
    """Parses columns of cells.

    Args:
        delimiter: between cells; a comma among the digits of a number is read only if it is another.
        is_checked: whether all values are checked later, so that a blank may be read as NaN.
    """

    def __init__(self, delimiter: str, *, is_checked: bool) -> None:
        self._is_checked = is_checked
        self._point = "." if delimiter == "," else ""  # what stands before decimals; "" while it is unknown

    def learn(self, columns: Iterable[Iterable[str]]) -> None:
        """Learns what stands before decimals, while it is unknown, from the first number that leaves no doubt."""
        if self._point:
            return
        for cell in itertools.chain.from_iterable(map(dict.fromkeys, columns)):
            text = cell.strip()
            if MARKED.fullmatch(text) and not UNCLEAR.fullmatch(text):
                self._point = "." if "." in text else ","
                return

    def is_blank(self, cell: str) -> bool:
        """Returns whether a cell holds nothing, or a word for it."""
        return not cell or cell.strip().lower() in BLANKS

    def is_zero(self, cell: str) -> bool:
        """Returns whether a cell is the number 0."""
        return cell.strip() in {"0", "0.0", "0,0"}

    def may_lack(self, field: Field) -> bool:
        """Returns whether a blank in a column means NaN, as data frames write it: surely so in figures."""
        is_figure = field.name.startswith("episode_") and field.name != "episode_return"
        return field.dtype.kind == "f" and (is_figure or (self._is_checked and field.name != "reward"))

    def parsed(self, field: Field, cells: list[str], lines: NDArray[np.int64]) -> NDArray[Any]:
        """Returns the numbers of a column in its dtype.

        Args:
            field: the column.
            cells: without blanks, unless it may lack values.
            lines: of each cell.

        Raises:
            UsageError: a cell is no number of this dtype; the message names its line and column.
        """
        values = self._at_once(field, cells)
        if values is None:
            values = [self._one(field, cell, line) for cell, line in zip(cells, lines.tolist(), strict=True)]
        return self._fitted(field, values, cells, lines)

    def _at_once(self, field: Field, cells: list[str]) -> list[Any] | None:
        """Returns the values of cells that are all written as Python writes them; None if some are not, perhaps."""
        text = "".join(cells)
        if "_" in text or (self._point != "." and "." in text):
            return None
        try:
            return FAST[field.dtype.kind](cells)
        except (ValueError, KeyError):
            return None

    def _one(self, field: Field, cell: str, line: int) -> Any:
        text = cell.strip()
        try:
            return self._value(field, text)
        except (ValueError, KeyError):
            place = f"line {line}, column {field.name!r}"
        if not self._point and UNCLEAR.fullmatch(text):
            raise UsageError(
                f"{place}: {text} is a number or a thousand times as much: "
                "save the file with commas between cells and points before decimals"
            )
        raise UsageError(f"{place}: expected {KINDS[field.dtype.kind]}, got {cell[:40]!r}")

    def _value(self, field: Field, text: str) -> Any:
        if field.dtype.kind == "b":
            return WORDS[text.replace(",", ".").lower()]
        if field.dtype.kind == "f":
            return float("nan") if not text and self.may_lack(field) else self._number(text)
        if text.lstrip("+-").isdigit():
            return int(text)
        number = self._number(text)
        if not number.is_integer() or abs(number) > WHOLE:
            raise ValueError
        return int(number)

    def _number(self, text: str) -> float:
        if "_" in text or (self._point != "." and "." in text) or (self._point != "," and "," in text):
            raise ValueError
        return float(text.replace(",", "."))

    def _fitted(self, field: Field, values: list[Any], cells: list[str], lines: NDArray[np.int64]) -> NDArray[Any]:
        if field.dtype.kind in "iu":
            least, most = np.iinfo(field.dtype).min, np.iinfo(field.dtype).max
            wrong = [row for row, value in enumerate(values) if not least <= value <= most]
        else:
            numbers = np.array(values, np.float64 if field.dtype.kind == "f" else np.bool_)
            with np.errstate(over="ignore"):
                wrong = np.flatnonzero(np.isinf(numbers.astype(field.dtype)) & ~np.isinf(numbers)).tolist()
        if wrong:
            place = f"line {lines[wrong[0]]}, column {field.name!r}"
            raise UsageError(f"{place}: expected a number that {field.dtype} can hold, got {cells[wrong[0]][:40]!r}")
        return np.array(values, field.dtype)
