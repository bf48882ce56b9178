"""Grids: maps whose squares are states, and the tables of moving on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlbench.envs.book.board import GREEN, RED, Board, Mark, read_map, squares_of
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.envs.book.board import Square
    from rlbench.envs.tabular import Outcome

    Effects = Callable[[Square, int], "list[tuple[float, Square, float]]"]  # (probability, square, reward), each

MOVES = {"Up": (-1, 0), "Right": (0, 1), "Down": (1, 0), "Left": (0, -1)}  # rows, columns
KINGS_MOVES = {**MOVES, "Up-right": (-1, 1), "Down-right": (1, 1), "Down-left": (1, -1), "Up-left": (-1, -1)}


class Grid(NamedTuple):
    """A map: `S` may be started on, `G` ends the episode, `#` is a wall."""

    rows: int
    cols: int
    walls: frozenset[Square]
    goals: frozenset[Square]
    starts: tuple[Square, ...]

    def is_free(self, at: Square) -> bool:
        """Returns whether a square lies on the map and is no wall."""
        return 0 <= at[0] < self.rows and 0 <= at[1] < self.cols and at not in self.walls

    def state(self, at: Square) -> int:
        """Returns the number of a square, in reading order."""
        return at[0] * self.cols + at[1]

    def board(self) -> Board:
        """Returns the grid as it is drawn."""
        starts = {at: Mark("S", RED) for at in self.starts} if len(self.starts) == 1 else {}
        return Board(self.rows, self.cols, self.walls, {**starts, **{at: Mark("G", GREEN) for at in self.goals}})

    def model(self, n_actions: int, effects: Effects) -> TabularModel:
        """Returns the table of moving on it.

        Args:
            n_actions: the number of actions.
            effects: (square, action) -> what may follow; of a wall too, for one may
                come where the agent stands.
        """
        table = [
            [self._outcomes((row, col), action, effects) for action in range(n_actions)]
            for row in range(self.rows)
            for col in range(self.cols)
        ]
        initial = np.zeros(len(table))
        initial[[self.state(at) for at in self.starts]] = 1 / len(self.starts)
        return TabularModel.from_table(table, initial)

    def _outcomes(self, at: Square, action: int, effects: Effects) -> list[Outcome]:
        if at in self.goals:
            return [(1.0, self.state(at), 0.0, True)]
        return [(p, self.state(to), reward, to in self.goals) for p, to, reward in effects(at, action)]


def moved(at: Square, move: Square) -> Square:
    """Returns the square that a move leads to, on the map or not."""
    return at[0] + move[0], at[1] + move[1]


def read_grid(text: str, name: str, also: str = "") -> Grid:
    """Returns the grid that a map draws; without an `S` any square is a start that is neither goal nor wall.

    Args:
        text: the map, of `.`, `S`, `G` and `#`.
        name: of the argument, for errors.
        also: more letters that it may hold.

    Raises:
        UsageError: it is no such map, or nothing can be started on.
    """
    lines = read_map(text, ".SG#" + also, name)
    goals, walls = squares_of(lines, "G"), squares_of(lines, "#")
    starts = squares_of(lines, "S") or squares_of(lines, "." + also)
    if not starts:
        raise UsageError(f"{name} must have a square to start on, 'S' or '.', got none")
    return Grid(len(lines), len(lines[0]), frozenset(walls), frozenset(goals), tuple(starts))
