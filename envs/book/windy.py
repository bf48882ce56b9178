"""The windy gridworld of chapter 6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.checks import flag
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import PALE, Board
from rlbench.envs.book.grids import KINGS_MOVES, read_grid
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from rlbench.envs._sprites import Pen
    from rlbench.envs.book.board import Square

GRID = "\n".join((*[".........."] * 3, "S......G..", *[".........."] * 3))
WIND = (0, 0, 0, 1, 1, 1, 2, 2, 1, 0)  # squares upwards, by column
ALL_MOVES = {**KINGS_MOVES, "Stay": (0, 0)}


class WindyGridworldEnv(TableEnv):
    """Squares to walk on from a start to a goal, with a wind across the middle that blows upwards.

    ## Source
    Sutton and Barto (2018), Example 6.5; Exercise 6.9: `moves=8` and `moves=9`; Exercise 6.10: `stochastic=True`.

    ## States
    `Discrete(70)`: the square, 7 rows of 10 columns, numbered in reading order.

    ## Actions
    `Discrete(moves)`: 0 up, 1 right, 2 down, 3 left; with 8 moves also 4 up-right, 5 down-right, 6 down-left, 7
    up-left; with 9 also 8 stay. The wind of the column that the agent leaves moves it up by another 0, 1 or 2 squares.
    The edge stops it.

    ## Rewards
    -1 a step.

    ## Start
    The square S.

    ## End
    Terminated on the goal G; truncated after 10,000 steps.

    ## Arguments
    - `moves`: 4, 8 (king's moves) or 9 (king's moves and staying).
    - `stochastic`: where a wind blows, it is as strong as that, one stronger or one weaker, each by a third.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> rlbench.plan("rlbench/WindyGridworld-v0").optimal_return
        -15.0
        >>> rlbench.plan(gym.make("rlbench/WindyGridworld-v0", moves=8)).optimal_return
        -7.0
    """

    action_names = tuple(ALL_MOVES)

    def __init__(self, moves: int = 4, *, stochastic: bool = False, render_mode: str | None = None) -> None:
        if moves not in (4, 8, 9):
            raise UsageError(f"moves must be 4, 8 or 9, got {moves!r}")
        self.action_names = tuple(ALL_MOVES)[:moves]
        self.grid = read_grid(GRID, "grid")
        gusts = (-1, 0, 1) if flag("stochastic", stochastic) else (0,)
        ways = tuple(ALL_MOVES.values())

        def effects(at: Square, action: int) -> list[tuple[float, Square, float]]:
            row, col = at[0] + ways[action][0], at[1] + ways[action][1]
            winds = [WIND[at[1]] + gust for gust in gusts] if WIND[at[1]] else [0]
            return [(1 / len(winds), self._inside(row - wind, col), -1.0) for wind in winds]

        super().__init__(self.grid.model(moves, effects), WindyBoard(self.grid.board()), render_mode)

    def _inside(self, row: int, col: int) -> Square:
        return min(max(row, 0), self.grid.rows - 1), min(max(col, 0), self.grid.cols - 1)


class WindyBoard(Board):
    """A board with arrows where the wind blows."""

    def __init__(self, board: Board) -> None:
        super().__init__(board.rows, board.cols, board.walls, board.marks)

    def ground(self, pen: Pen) -> None:
        """Paints the squares, and an arrow for each square of wind."""
        super().ground(pen)
        for row in range(self.rows):
            for col, wind in enumerate(WIND):
                if (row, col) not in self.marks:
                    for k in range(wind):
                        _paint_arrow(pen, col + 0.5 + 0.3 * (k - (wind - 1) / 2), row + 0.5)


def _paint_arrow(pen: Pen, x: float, y: float) -> None:
    pen.line(PALE, (x, y + 0.2), (x, y - 0.1), 0.04)
    pen.shape(PALE, [(x, y - 0.24), (x - 0.09, y - 0.08), (x + 0.09, y - 0.08)])
