"""Layouts: how the states of an env are arranged on the page."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np

from rlbench.envs.actions import action_names
from rlbench.envs.book.board import geometry
from rlbench.envs.book.grids import KINGS_MOVES
from rlbench.envs.cities import MOVES
from rlbench.envs.discretize import Centers, bin_counts, bins_of, inner_edges, n_dimensions
from rlbench.envs.making import wrappers_of
from rlbench.envs.quantities import quantities_of
from rlbench.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.envs.discretize import Bins

DOWN, UP, RIGHT, LEFT = (0, 1), (0, -1), (1, 0), (-1, 0)  # steps on the page: columns, rows from the top


class Axis(NamedTuple):
    """How the rows, or the columns, of a map lie in the env's own picture, in shares of its height or width."""

    first: float  # where the first square begins
    stride: float  # from one square to the next
    extent: float  # of a square

    def span(self, square: int, length: int) -> tuple[int, int]:
        """Returns where a square begins and ends, in pixels of a picture of this length."""
        start = self.first + self.stride * square
        return round(start * length), round((start + self.extent) * length)


class Layout(NamedTuple):
    """A grid of panels (SafeCab: one per passenger and destination), each a grid of squares; a square is a state.

    Attributes:
        states: int64 (panel rows, panel columns, rows, columns).
        row_names, col_names: of the panels; empty if there is only one.
        row_title, col_title: what these names stand for.
        letters: the letter at each (row, column) of every panel.
        hazards: squares to avoid.
        blocks: squares that cannot be entered.
        walls: squares with a wall to the east.
        actions: their names; empty if unknown.
        arrows: for each action that is a move, its step on the page.
        inside: what the rows and columns of a panel are, unless it is a map.
        is_trip: whether this is a cab with a passenger; then a row of panels is where the passenger waits (the last
            row: in the cab), and a column is their destination.
        axes: the rows and the columns of a map in the env's own picture; None: its squares fill it.
    """

    states: NDArray[np.int64]
    row_names: tuple[str, ...] = ()
    col_names: tuple[str, ...] = ()
    row_title: str = ""
    col_title: str = ""
    letters: dict[tuple[int, int], str] = {}  # noqa: RUF012  (never written to)
    hazards: tuple[tuple[int, int], ...] = ()
    blocks: tuple[tuple[int, int], ...] = ()
    walls: tuple[tuple[int, int], ...] = ()
    actions: tuple[str, ...] = ()
    arrows: dict[int, tuple[int, int]] = {}  # noqa: RUF012
    inside: str = ""
    is_trip: bool = False
    axes: tuple[Axis, Axis] | None = None

    @property
    def panel_shape(self) -> tuple[int, int]:
        """The rows and columns of a panel."""
        return self.states.shape[2], self.states.shape[3]

    def pick(self, row: str | None = None, col: str | None = None) -> Layout:
        """Returns the panels of one row, one column, or both.

        Raises:
            UnknownNameError: no panel has that name.
        """
        rows = _picked(self.row_title or "row", self.row_names, row)
        cols = _picked(self.col_title or "column", self.col_names, col)
        return self._replace(
            states=self.states[rows][:, cols],
            row_names=tuple(self.row_names[i] for i in rows) if self.row_names else (),
            col_names=tuple(self.col_names[i] for i in cols) if self.col_names else (),
        )

    def find(self, state: int) -> tuple[int, int, int, int] | None:
        """Returns the panel row, panel column, row and column of a state; None if it has no place."""
        found = np.argwhere(self.states == state)
        return tuple(found[0].tolist()) if len(found) else None

    def box(self, row: int, col: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns left, top, width and height of a square in the env's own picture of a size, in pixels."""
        down, across = self.axes or (Axis(0.0, 1 / squares, 1 / squares) for squares in self.panel_shape)
        (left, right), (top, bottom) = across.span(col, size[0]), down.span(row, size[1])
        return left, top, right - left, bottom - top

    def describe(self, state: int) -> str:
        """Describes the place of a state: "row 0, column 3, passenger at R, going to G"; "" if it has none."""
        found = self.find(state)
        if found is None:
            return ""
        i, j, row, col = found
        place = [] if self.inside else [f"row {row}, column {col}"]
        names = ((self.row_title, self.row_names, i), (self.col_title, self.col_names, j))
        return ", ".join([*place, *(f"{title} {known[at]}" for title, known, at in names if known)])


def layout_of(env: gym.Env[Any, Any]) -> Layout | None:
    """Returns the layout of a cab, a grid, a board of the book, or of two or four binned quantities; else None."""
    bins = bins_of(env)
    if bins is not None and not isinstance(bins, Centers) and n_dimensions(bins) in BINNED:
        return BINNED[n_dimensions(bins)](bins, quantities_of(env, n_dimensions(bins)), action_names(env))
    base = env.unwrapped
    if any(isinstance(wrapper, gym.ObservationWrapper | gym.ActionWrapper) for wrapper in wrappers_of(env)):
        return None  # outside them, a number means something else
    for module, name, layout in LAYOUTS:
        if type(base).__name__ == name and type(base).__module__ == module:
            found = layout(base)._replace(actions=action_names(env))
            return found if found.states.size == getattr(env.observation_space, "n", None) else None
    return None


def map_of(env: gym.Env[Any, Any]) -> Layout | None:
    """Returns the layout of an env whose picture is a map: a cab's, a grid's or a board's; else None."""
    layout = layout_of(env)
    return None if layout is None or layout.inside else layout


def _picked(title: str, names: tuple[str, ...], name: str | None) -> list[int]:
    if name is None:
        return list(range(max(len(names), 1)))
    if name not in names:
        raise unknown_name(f"map {title}", name, names)
    return [names.index(name)]


def trip_states(rows: int, cols: int, zones: int) -> NDArray[np.int64]:
    """Returns a cab's states as (passenger, destination, row, column); the last passenger index means in the cab."""
    states = np.arange(rows * cols * (zones + 1) * zones).reshape(rows, cols, zones + 1, zones)
    return states.transpose(2, 3, 0, 1)


def _cab_layout(rows: int, cols: int, names: tuple[str, ...], **more: Any) -> Layout:
    return Layout(
        states=trip_states(rows, cols, len(names)),
        row_names=(*names, "cab"),
        col_names=names,
        row_title="passenger at",
        col_title="going to",
        arrows={action: (right, down) for action, (down, right) in MOVES.items()},
        is_trip=True,
        **more,
    )


def _safecab(base: Any) -> Layout:
    city = base.city
    names = tuple(zone[0] for zone in city.zones)
    letters = {(row, col): letter for letter, row, col in city.zones}
    return _cab_layout(city.rows, city.cols, names, letters=letters, hazards=city.anomalies, walls=city.walls)


def _taxi(base: Any) -> Layout:
    lines = [b"".join(line).decode() for line in base.desc[1:-1]]
    squares = {tuple(at): lines[at[0]][2 * at[1] + 1] for at in base.locs}
    walls = tuple((r, c) for r, line in enumerate(lines) for c, between in enumerate(line[2:-1:2]) if between == "|")
    rows, cols = len(lines), len(lines[0]) // 2
    return _cab_layout(rows, cols, tuple(squares.values()), letters=squares, walls=walls, axes=_taxi_axes(base))


def _taxi_axes(base: Any) -> tuple[Axis, Axis]:
    """Returns where the squares of a Taxi are drawn: not as in Gymnasium 1.0 since 1.4."""
    from gymnasium.envs.toy_text.taxi import WINDOW_SIZE  # noqa: PLC0415  (only for a Taxi, which has imported it)

    first, second = base.get_surf_loc((0, 0)), base.get_surf_loc((1, 1))
    across, down = (
        Axis(start / length, (then - start) / length, cell / length)
        for start, then, cell, length in zip(first, second, base.cell_size, WINDOW_SIZE, strict=True)
    )
    return down, across


def _frozen_lake(base: Any) -> Layout:
    squares = {(row, col): letter.decode() for (row, col), letter in np.ndenumerate(base.desc)}
    return Layout(
        states=np.arange(base.desc.size).reshape(1, 1, *base.desc.shape),
        letters={at: letter for at, letter in squares.items() if letter in "SG"},
        hazards=tuple(at for at, letter in squares.items() if letter == "H"),
        arrows=dict(enumerate((LEFT, DOWN, RIGHT, UP))),
    )


def _cliff_walking(base: Any) -> Layout:
    rows, cols = base.shape
    return Layout(
        states=np.arange(rows * cols).reshape(1, 1, rows, cols),
        letters={(rows - 1, 0): "S", (rows - 1, cols - 1): "G"},
        hazards=tuple((rows - 1, col) for col in range(1, cols - 1)),
        arrows=dict(enumerate((UP, RIGHT, DOWN, LEFT))),
    )


def _board(base: Any) -> Layout:
    board = base.view
    steps = {move: (right, down) for move, (down, right) in KINGS_MOVES.items()}
    return Layout(
        states=np.array(board.order).reshape(1, 1, board.rows, board.cols),
        letters={at: mark.letter for at, mark in board.marks.items() if mark.letter},
        blocks=tuple(sorted(board.walls)),
        arrows={action: steps[name] for action, name in enumerate(base.action_names) if name in steps},
        axes=_board_axes(board),
    )


def _queue(base: Any) -> Layout:
    return Layout(
        states=np.arange(4 * (base.servers + 1)).reshape(1, 1, 4, -1)[:, :, ::-1],
        inside=f"free servers from 0 to {base.servers} to the right, payments of 1, 2, 4 and 8 upwards",
    )


def _two_lots(base: Any) -> Layout:
    most = base.max_cars
    return Layout(
        states=np.arange((most + 1) ** 2).reshape(1, 1, most + 1, most + 1)[:, :, ::-1],
        inside=f"cars from 0 to {most}: at the second location to the right, at the first upwards",
    )


def _board_axes(board: Any) -> tuple[Axis, Axis]:
    """Returns where the squares of a board are drawn: a narrow one has an edge to its left and right."""
    shape = geometry(board.size)
    across = Axis(shape.left / shape.width, shape.square / shape.width, shape.square / shape.width)
    return Axis(0.0, 1 / board.rows, 1 / board.rows), across


def _plane(bins: Bins, quantities: dict[str, str], actions: tuple[str, ...]) -> Layout:
    """Returns the layout of two quantities: the first to the right, the second upwards."""
    counts = bin_counts(bins).tolist()
    across, up = (_reach(name, inner_edges(bins, i)) for i, name in enumerate(quantities))
    return Layout(
        states=np.arange(np.prod(counts)).reshape(1, 1, *counts).swapaxes(2, 3)[:, :, ::-1],
        actions=actions,
        arrows=_sideways(actions),
        inside=f"{across} to the right, {up} upwards",
    )


def _reach(name: str, edges: list[float]) -> str:
    return f"{name} from {edges[0]:.3g} to {edges[-1]:.3g}" if edges else name


def _panels(bins: Bins, quantities: dict[str, str], actions: tuple[str, ...]) -> Layout:
    """Returns the layout of four quantities: a panel for each bin of the first two."""
    counts = bin_counts(bins).tolist()
    names = [f"{name} ({unit})" if unit else name for name, unit in quantities.items()]
    _, _, down, across = quantities
    return Layout(
        states=np.arange(np.prod(counts)).reshape(counts),
        row_names=_bin_names(inner_edges(bins, 0)),
        col_names=_bin_names(inner_edges(bins, 1)),
        row_title=names[0],
        col_title=names[1],
        actions=actions,
        arrows=_sideways(actions),
        inside=f"in each panel: {down} from top to bottom, {across} from left to right",
    )


def _sideways(actions: tuple[str, ...]) -> dict[int, tuple[int, int]]:
    """Returns the steps on the page of the actions called left and right."""
    steps = {"Left": LEFT, "Right": RIGHT}
    return {action: steps[name] for action, name in enumerate(actions) if name in steps}


BINNED = {2: _plane, 4: _panels}  # by the number of quantities


def _bin_names(edges: list[float]) -> tuple[str, ...]:
    """Returns the names of the bins of one dimension: "< -0.6", "-0.6 to 0.6", "> 0.6"."""
    if not edges:
        return ("any",)
    between = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    return f"< {edges[0]:.3g}", *between, f"> {edges[-1]:.3g}"


LAYOUTS: tuple[tuple[str, str, Callable[[Any], Layout]], ...] = (
    ("rlbench.envs.safecab", "SafeCabEnv", _safecab),
    ("rlbench.envs.book.gridworld", "GridworldEnv", _board),
    ("rlbench.envs.book.random_walk", "RandomWalkEnv", _board),
    ("rlbench.envs.book.windy", "WindyGridworldEnv", _board),
    ("rlbench.envs.book.maze", "DynaMazeEnv", _board),
    ("rlbench.envs.book.maximization_bias", "MaximizationBiasEnv", _board),
    ("rlbench.envs.book.car_rental", "CarRentalEnv", _two_lots),
    ("rlbench.envs.book.access_control", "AccessControlEnv", _queue),
    ("gymnasium.envs.toy_text.taxi", "TaxiEnv", _taxi),
    ("gymnasium.envs.toy_text.frozen_lake", "FrozenLakeEnv", _frozen_lake),
    ("gymnasium.envs.toy_text.cliffwalking", "CliffWalkingEnv", _cliff_walking),
)
