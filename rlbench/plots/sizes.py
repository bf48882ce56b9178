"""The size of a figure: as asked for in inches, as a column of a journal, or what suits the plot and a screen."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from rlbench.errors import UsageError, unknown_name
from rlbench.plots.style import FONT

COLUMNS = {"single": 3.5, "double": 7.2}  # inches: 89 and 183 mm, as in Nature; IEEE and Elsevier differ by 2 mm
COLUMN_FONT = 7.0  # points
NARROW = 4.5  # inches: a figure as wide or less gets these letters too
LEAST_SIDE, MOST_SIDE = 1.0, 60.0  # inches
SCREEN = (9.6, 5.9)  # inches: 1,920 x 1,180 dots of a PNG; a grid of panels is not larger


class Size(NamedTuple):
    """What is asked of a figure's size, in inches; None for what suits the plot."""

    width: float | None = None
    height: float | None = None
    font: float = FONT  # points

    @property
    def is_fixed(self) -> bool:
        """Whether the height is asked for too."""
        return self.height is not None

    def of(self, natural: tuple[float, float]) -> tuple[float, float]:
        """Returns the size of a figure that would by itself be `natural`: in its proportions, unless they are fixed."""
        width = self.width or natural[0]
        return width, self.height or natural[1] * width / natural[0]


def read_size(size: str | tuple[float, float] | None = None, column: str | None = None) -> Size:
    """Returns what is asked for.

    Args:
        size: width and height in inches, as a pair or as "WxH".
        column: "single" or "double": as wide as columns of a journal, with smaller letters.

    Raises:
        UsageError: both, or none that is known.
    """
    if column is not None and size is not None:
        raise UsageError("size and column both set the width: choose one")
    if column is not None:
        if column not in COLUMNS:
            raise unknown_name("column", column, COLUMNS)
        return Size(COLUMNS[column], font=COLUMN_FONT)
    if size is None:
        return Size()
    width, height = _sides(size)
    return Size(width, height, FONT if width > NARROW else COLUMN_FONT)


def grid_of(panels: int, panel: tuple[float, float]) -> tuple[int, int]:
    """Returns the rows and columns in which panels of this size are largest on a screen."""

    def scale(columns: int) -> float:
        rows = math.ceil(panels / columns)
        return min(1.0, SCREEN[0] / (columns * panel[0]), SCREEN[1] / (rows * panel[1]))

    columns = max(range(1, panels + 1), key=lambda count: (scale(count), -abs(count - math.sqrt(panels))))
    return math.ceil(panels / columns), columns


def on_screen(rows: int, columns: int, panel: tuple[float, float]) -> tuple[float, float]:
    """Returns the size of a grid of panels, made smaller if it would leave a screen."""
    width, height = columns * panel[0], rows * panel[1]
    scale = min(1.0, SCREEN[0] / width, SCREEN[1] / height) if rows * columns > 1 else 1.0
    return width * scale, height * scale


def _sides(size: str | tuple[float, float]) -> tuple[float, float]:
    found = re.fullmatch(r"([\d.]{1,9})\s*[xX]\s*([\d.]{1,9})", size.strip()) if isinstance(size, str) else None
    parts = found.groups() if found else size
    try:
        width, height = map(float, parts)
    except (TypeError, ValueError):
        width = height = math.nan
    if not (LEAST_SIDE <= width <= MOST_SIDE and LEAST_SIDE <= height <= MOST_SIDE):
        raise UsageError(
            f"size must be width x height in inches, each from {LEAST_SIDE:g} to {MOST_SIDE:g}, as 6x4, got {size!r}"
        )
    return width, height
