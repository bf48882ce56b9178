"""How the states of an env look: boards, which are squares in rows and columns, and what other pictures are made of."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gymnasium.utils import colorize

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rlbench.envs._sprites import Pen

    Color = tuple[int, ...]
    Square = tuple[int, int]  # row, column

LARGEST_SQUARE, LARGEST_PICTURE, LEAST_WIDTH = 72, 800, 300  # pixels
MOST_SQUARES = 1_000_000  # of a map
SIZE = re.compile(r"([0-9]{1,7})x([0-9]{1,7})")  # of an empty board: rows and columns
INK, PALE, TILE, SHADE, WALL = (38, 34, 40), (150, 152, 160), (255, 255, 255), (226, 224, 216), (84, 88, 100)
GREEN, RED, BLUE, AMBER, VIOLET = (66, 160, 98), (208, 72, 62), (58, 110, 190), (232, 166, 36), (140, 96, 190)
SOFT: dict[Color, Color] = {  # the same, as the ground of a square
    GREEN: (206, 234, 212),
    RED: (246, 214, 208),
    BLUE: (210, 224, 244),
    AMBER: (252, 234, 196),
    VIOLET: (230, 218, 244),
}


class Geometry(NamedTuple):
    """How a picture of some squares is laid out, in pixels."""

    square: int
    width: int
    height: int  # without the strip
    left: int  # of the first square


def geometry(size: tuple[float, float]) -> Geometry:
    """Returns the layout of a picture of this width and height in squares: wide enough for a strip below it.

    A tall one is as wide as high, so that it can be shown small and still have room for the strip.
    """
    square = max(1, min(LARGEST_SQUARE, int(LARGEST_PICTURE / max(size))))
    inner = round(size[0] * square)
    height = max(1, round(size[1] * square))
    width = max(LEAST_WIDTH, inner, height)
    return Geometry(square, width, height, (width - inner) // 2)


class View(Protocol):
    """How the states of an env look; lengths are in squares."""

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of the picture."""

    def ground(self, pen: Pen) -> None:
        """Paints what never changes."""

    def paint(self, pen: Pen, state: int) -> None:
        """Paints, on a transparent picture, what a state adds."""

    def text(self, state: int) -> str:
        """Returns the state in lines of text."""


class Mark(NamedTuple):
    """What stands on a square."""

    letter: str = ""
    color: Color = TILE


class Board:
    """Squares in rows and columns, each of which is a state; the agent stands on one.

    Args:
        rows: of squares.
        cols: of squares.
        walls: squares that cannot be entered, as (row, column).
        marks: the letters and colours of others.
        order: the state of each square in reading order; by default they are numbered so.
    """

    def __init__(
        self,
        rows: int,
        cols: int,
        walls: Iterable[Square] = (),
        marks: Mapping[Square, Mark] | None = None,
        order: Sequence[int] = (),
    ) -> None:
        self.rows, self.cols = rows, cols
        self.walls = frozenset(walls)
        self.marks = dict(marks or {})
        self.order = order or range(rows * cols)

    @property
    def size(self) -> tuple[float, float]:
        """The width and height of the picture, in squares."""
        return self.cols, self.rows

    def place(self, state: int) -> Square:
        """Returns the row and column on which the agent stands."""
        return divmod(self.order.index(state), self.cols)

    def ground(self, pen: Pen) -> None:
        """Paints the squares."""
        for row in range(self.rows):
            for col in range(self.cols):
                mark = self.marks.get((row, col), Mark())
                color = WALL if (row, col) in self.walls else SOFT.get(mark.color, mark.color)
                pen.rect(SHADE, col, row, 1, 1)
                pen.rect(color, col + 0.02, row + 0.02, 0.96, 0.96, 0.08)
                if mark.letter:
                    pen.text(mark.letter, INK, col + 0.5, row + 0.5, 0.6 if len(mark.letter) < len("end") else 0.42)

    def paint(self, pen: Pen, state: int) -> None:
        """Paints the agent."""
        row, col = self.place(state)
        paint_agent(pen, col + 0.5, row + 0.5)

    def text(self, state: int) -> str:
        """Returns the board in letters, the agent's square in yellow."""
        width = max((len(mark.letter) for mark in self.marks.values()), default=1) or 1
        lines = [[self._word((row, col)).center(width) for col in range(self.cols)] for row in range(self.rows)]
        row, col = self.place(state)
        lines[row][col] = colorize(lines[row][col], "yellow", highlight=True)
        return "\n".join(" ".join(line) for line in lines)

    def _word(self, at: Square) -> str:
        return "#" if at in self.walls else self.marks.get(at, Mark()).letter or "."


def paint_agent(pen: Pen, x: float, y: float, color: Color = BLUE) -> None:
    """Paints the agent: a disc with an edge, and a mark of light that shows it is round."""
    pen.disc(INK, x, y, 0.3)
    pen.disc(color, x, y, 0.26)
    pen.disc(tuple(part + (255 - part) // 2 for part in color), x - 0.08, y - 0.08, 0.07)


def paint_person(pen: Pen, x: float, y: float, size: float, coat: Color) -> None:
    """Paints a person of this size: a head above shoulders."""
    for color, grown in ((INK, 0.04), (coat, 0.0)):
        pen.disc(color, x, y - 0.22 * size, (0.17 + grown) * size)
        pen.rect(color, x - (0.26 + grown) * size, y, (0.52 + 2 * grown) * size, (0.34 + grown) * size, 0.16 * size)


def read_map(text: str, letters: str, name: str) -> list[str]:
    """Returns the lines of a map.

    Args:
        text: the map: lines of equal length, one letter a square.
        letters: those that it may hold.
        name: of the argument, for errors.

    Raises:
        UsageError: it is no text, is too large, has lines of different lengths, or other letters.
    """
    if not isinstance(text, str):
        raise UsageError(f"{name} must be a map, lines of the letters {letters!r}, got {text!r}")
    if len(text) > MOST_SQUARES:
        raise UsageError(f"{name} must have at most {MOST_SQUARES:,} squares, got {len(text):,}")
    lines = [line.strip() for line in text.strip().splitlines()]
    if len({len(line) for line in lines}) != 1:
        raise UsageError(f"{name} must have lines of equal length, got {sorted({len(line) for line in lines})}")
    odd = next((letter for line in lines for letter in line if letter not in letters), None)
    if odd is not None:
        raise UsageError(f"{name} must be drawn with the letters {letters!r}, got {odd!r}")
    return lines


def squares_of(lines: list[str], letters: str) -> list[Square]:
    """Returns the squares of a map that have one of these letters, in reading order."""
    return [(row, col) for row, line in enumerate(lines) for col, letter in enumerate(line) if letter in letters]


def empty_map(size: str) -> str:
    """Returns the map of an empty board of the size "ROWSxCOLUMNS"; any other text, or one too large, as it is."""
    found = SIZE.fullmatch(str(size))
    if found is None or not 0 < n_squares(size) <= MOST_SQUARES:
        return size
    return "\n".join(["." * int(found[2])] * int(found[1]))


def n_squares(text: str) -> int:
    """Returns the number of squares of a map, or of a size "ROWSxCOLUMNS", without making it."""
    found = SIZE.fullmatch(text)
    return int(found[1]) * int(found[2]) if found else len(text)
