"""Cities for SafeCab: drawn by hand as text, or generated."""

from __future__ import annotations

import re
import textwrap
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import is_whole_number
from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

SOUTH, NORTH, EAST, WEST = range(4)
MOVES = {SOUTH: (1, 0), NORTH: (-1, 0), EAST: (0, 1), WEST: (0, -1)}  # by action: rows, columns
MAX_STATES = 20_000_000  # at BYTES_PER_STATE each: 1.8 GB of tables
ANOMALY_SHARE = 4 / 25  # of a generated city's squares, as in the book's city
GENERATED_ZONES = "RGYB"
MAX_ZONES = 25
BYTES_PER_STATE = 90
SIZE = re.compile(r"\s*(\d{1,9})\s*x\s*(\d{1,9})\s*")  # of a generated city: NxM
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CAPTION = re.compile(r"\s*\(\w+\)")  # the last action, printed below the map by `ansi`

PRESETS = {
    "book": """
        |R: :A: :G|
        | : : : : |
        | :A:A: : |
        | : : : : |
        |Y: :A:B: |
    """,
    "taxi": """
        |R: | : :G|
        | : | : : |
        | : : : : |
        | | : | : |
        |Y| : |B: |
    """,
    "downtown": """
        |R: : : | : :A: : :G|
        | : :A: | : : : : : |
        | : : : : : :A| : : |
        |A: | : :C: : | :A: |
        | : | : : : : : : : |
        | : : :A: : : : | : |
        | : : : : :A: : | : |
        | | :A: : : : : : : |
        | | : : | : : :A: : |
        |Y: : : |A: : : : :B|
    """,
}


@dataclass(frozen=True)
class City:
    """A grid of streets with safe zones, anomalies and walls; squares are (row, column) from the north-west corner."""

    rows: int
    cols: int
    zones: tuple[
        tuple[str, int, int], ...
    ]  # (letter, row, column) in reading order: passenger and destination 0, 1 ...
    anomalies: tuple[tuple[int, int], ...]
    walls: tuple[tuple[int, int], ...] = ()  # squares with a wall on their eastern side

    @property
    def n_states(self) -> int:
        """The number of (square, passenger, destination) combinations: the rows of a table for this city."""
        return self.rows * self.cols * (len(self.zones) + 1) * len(self.zones)

    @cached_property
    def letters(self) -> dict[tuple[int, int], str]:
        """The letters of the squares that are not empty."""
        zones = {(row, col): letter for letter, row, col in self.zones}
        return {**zones, **dict.fromkeys(self.anomalies, "A")}

    def __str__(self) -> str:
        """Returns the map, as `parse_city` reads it."""
        border = "+" + "-" * (2 * self.cols - 1) + "+"
        walls = set(self.walls)
        lines = [self._line(row, walls) for row in range(self.rows)]
        return "\n".join([border, *lines, border])

    def _line(self, row: int, walls: set[tuple[int, int]]) -> str:
        squares = [self.letters.get((row, col), " ") for col in range(self.cols)]
        between = ["|" if (row, col) in walls else ":" for col in range(self.cols - 1)]
        return "|" + "".join(s + b for s, b in zip(squares, [*between, "|"], strict=True))


def make_city(city: str, seed: int = 0) -> City:
    """Returns a city from the name of a preset, a map, or "NxM": generated, N rows by M columns.

    Raises:
        UsageError: an unknown preset, a malformed map (the message names the line), or an impossible size.
    """
    if not isinstance(city, str):
        raise UsageError(f"city must be a preset, a map or NxM, got {type(city).__name__}")
    if city in PRESETS:
        return parse_city(PRESETS[city])
    size = SIZE.fullmatch(city)
    if size:
        return generate_city(int(size[1]), int(size[2]), seed)
    if "|" not in city and "\n" not in city:
        raise unknown_name("city", city, [*PRESETS, "50x50 (any size)", "a map"])
    return parse_city(city)


def count_states(city: str) -> int:
    """Returns how many states a city would have at most, from its size or its map, before it is made."""
    size = SIZE.fullmatch(city)
    if size:
        return int(size[1]) * int(size[2]) * (len(GENERATED_ZONES) + 1) * len(GENERATED_ZONES)
    zones = len({letter for letter in COLOUR.sub("", city) if letter.isalpha()} - {"A"})
    return len(city) // 2 * (zones + 1) * zones


def parse_city(text: str) -> City:
    """Reads a map: rows such as `|R: :A: :G|`, with or without the borders +---+ above and below.

    A letter is a zone, except that `A` is an anomaly; a blank is a street. Between squares, `:` is open and `|` a wall.
    `ansi` output is a valid map: colours, and the last action in brackets below a border, are ignored.

    Raises:
        UsageError: the map is malformed; the message names the line and the fault.
    """
    text = textwrap.dedent(COLOUR.sub("", text))
    numbered = [(i, line.rstrip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for _, line in numbered), default=0)
    numbered = [(i, line[indent:]) for i, line in numbered]
    if numbered and numbered[0][1].startswith("+"):
        numbered = _without_borders(numbered)
    if not numbered:
        raise UsageError("the map has no rows: a row looks like |R: :A: :G|")
    for i, line in numbered:
        _check_line(i, line, len(numbered[0][1]))
    squares = {(row, col): c for row, (_, line) in enumerate(numbered) for col, c in enumerate(line[1::2])}
    walls = [(row, col) for row, (_, line) in enumerate(numbered) for col, c in enumerate(line[2:-1:2]) if c == "|"]
    zones = [(letter, *at) for at, letter in squares.items() if letter not in "A "]
    _check_zones(zones, [i for i, _ in numbered])
    return _checked_size(
        City(
            rows=len(numbered),
            cols=len(numbered[0][1]) // 2,
            zones=tuple(zones),
            anomalies=tuple(at for at, letter in squares.items() if letter == "A"),
            walls=tuple(walls),
        )
    )


def _without_borders(numbered: list[tuple[int, str]]) -> list[tuple[int, str]]:
    if CAPTION.fullmatch(numbered[-1][1]):
        numbered = numbered[:-1]
    for i, line in (numbered[0], numbered[-1]):
        if not re.fullmatch(r"\+-*\+", line) or (len(numbered) > 1 and len(line) != len(numbered[1][1])):
            raise UsageError(
                f"line {i} of the map should be the border +{'-' * (len(numbered[0][1]) - 2)}+, got {line!r}"
            )
    return numbered[1:-1]


def _check_line(i: int, line: str, width: int) -> None:
    if not line.startswith("|") or not line.endswith("|") or len(line) < 3:  # noqa: PLR2004  (|R|)
        raise UsageError(f"line {i} of the map must begin and end with a wall, like |R: :G|, got {line!r}")
    if len(line) != width:
        raise UsageError(f"line {i} of the map is {len(line)} characters wide, the first row {width}: {line!r}")
    if len(line) % 2 == 0:
        raise UsageError(f"line {i} of the map needs a : or | between adjacent squares, like |R: :G|, got {line!r}")
    for column, square in enumerate(line[1::2]):
        if square != " " and not re.fullmatch("[A-Z]", square):
            raise UsageError(
                f"line {i} of the map, square {column}: expected a blank or a capital letter, got {square!r}"
            )
    for column, between in enumerate(line[2:-1:2]):
        if between not in ":|":
            raise UsageError(f"line {i} of the map, after square {column}: expected : or |, got {between!r}")


def _check_zones(zones: list[tuple[str, int, int]], lines: list[int]) -> None:
    seen: dict[str, int] = {}
    for letter, row, _ in zones:
        if letter in seen:
            raise UsageError(f"line {lines[row]} of the map: zone {letter} is already in line {seen[letter]}")
        seen[letter] = lines[row]
    if len(zones) < 2:  # noqa: PLR2004
        raise UsageError(f"a city needs 2 to {MAX_ZONES} zones (letters other than A), the map has {len(zones)}")


def _checked_size(city: City) -> City:
    if city.n_states > MAX_STATES:
        raise UsageError(
            f"a city of {city.rows}x{city.cols} with {len(city.zones)} zones has {city.n_states:,} states "
            f"({city.n_states * BYTES_PER_STATE / 1e9:,.0f} GB of tables); "
            f"the limit is {MAX_STATES:,}: make it smaller"
        )
    return city


def generate_city(rows: int, cols: int, seed: int = 0) -> City:
    """Draws a city in which every street and zone can reach every other without an anomaly.

    Raises:
        UsageError: fewer than 2 squares, more states than MAX_STATES, or a seed that is not a whole number >= 0.
    """
    if not is_whole_number(seed, least=0):
        raise UsageError(f"city_seed must be a whole number, 0 or more, got {seed!r}")
    squares = rows * cols
    if squares < 2:  # noqa: PLR2004
        raise UsageError(f"a city needs at least 2 squares for its 2 zones, got {rows}x{cols}")
    n_zones = min(len(GENERATED_ZONES), max(2, squares // 4))
    _checked_size(City(rows, cols, tuple((letter, 0, 0) for letter in GENERATED_ZONES[:n_zones]), ()))
    rng = np.random.default_rng(seed)
    closed = np.zeros(squares, dtype=bool)
    wished = min(round(ANOMALY_SHARE * squares), squares - n_zones)
    closed[rng.permutation(squares)[:wished]] = True
    places = np.sort(rng.choice(np.flatnonzero(~closed), n_zones, replace=False))
    zones = tuple((letter, *divmod(int(at), cols)) for letter, at in zip(GENERATED_ZONES, places, strict=False))
    shut = bytearray(closed)
    _open_ways(shut, rows, cols, int(places[0]))
    return City(rows, cols, zones, tuple(divmod(int(at), cols) for at in np.flatnonzero(shut)))


def _open_ways(closed: bytearray, rows: int, cols: int, root: int) -> None:
    """Opens, in place, the fewest closed squares that connect `root` with each open square that is cut off."""
    crossed, before = _ways(closed, rows, cols, root)
    for square in range(len(closed)):
        here = square
        while not closed[square] and crossed[here]:
            closed[here] = False
            crossed[here] = 0  # joined: later ways end here
            here = before[here]


def _ways(closed: bytearray, rows: int, cols: int, root: int) -> tuple[list[int], list[int]]:
    """Finds ways from `root` that cross the fewest closed squares (0-1 breadth-first search).

    Returns two values per square: the closed squares on its way (itself included), and the square before it.
    """
    crossed, before = [len(closed)] * len(closed), [root] * len(closed)
    crossed[root] = 0
    queue = deque([root])
    while queue:
        here = queue.popleft()
        for there in _around(here, rows, cols):
            if crossed[here] + closed[there] < crossed[there]:
                crossed[there] = crossed[here] + closed[there]
                before[there] = here
                (queue.append if closed[there] else queue.appendleft)(there)
    return crossed, before


def _around(square: int, rows: int, cols: int) -> Iterator[int]:
    row, col = divmod(square, cols)
    if row + 1 < rows:
        yield square + cols
    if row > 0:
        yield square - cols
    if col + 1 < cols:
        yield square + 1
    if col > 0:
        yield square - 1
