"""The mazes of chapter 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.checks import whole_number
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import read_map
from rlbench.envs.book.grids import MOVES, moved, read_grid

if TYPE_CHECKING:
    from rlbench.envs.book.board import Square
    from rlbench.envs.book.grids import Grid
    from rlbench.envs.tabular import TabularModel


class Maze(NamedTuple):
    """A maze of the book: its map, and how it looks once it has changed after some steps."""

    text: str
    later: str = ""
    changes_after: int | None = None


MOST_SCALE = 100
OPEN_RIGHT = "........G\n.........\n.........\n########.\n.........\n...S....."
OPEN_LEFT = OPEN_RIGHT.replace("########.", ".########")
MAZES = {
    "dyna": Maze(".......#G\n..#....#.\nS.#....#.\n..#......\n.....#...\n........."),
    "blocking": Maze(OPEN_RIGHT, OPEN_LEFT, 1000),
    "shortcut": Maze(OPEN_LEFT, OPEN_RIGHT.replace("########.", ".#######."), 3000),
}


class DynaMazeEnv(TableEnv):
    """A maze from a start to a goal, which may change while an agent learns.

    ## Source
    Sutton and Barto (2018), Example 8.1 (figures 8.2 and 8.3), Example 8.2 ("blocking", figure 8.4), Example 8.3
    ("shortcut", figure 8.5) and Example 8.4 (the maze of Example 8.1 by `scale`).

    ## States
    `Discrete(rows * cols)`: the square, numbered in reading order; 54 in the book's mazes. Walls are numbered too.

    ## Actions
    `Discrete(4)`: 0 up, 1 right, 2 down, 3 left. A move against a wall or the edge leaves the agent where it is.

    ## Rewards
    1 for reaching the goal, else 0.

    ## Start
    The square S; of one that `scale` has made larger, the top left.

    ## End
    Terminated on the goal G; truncated after 10,000 steps.

    A maze that changes has no table (`rlbench.plan` says so) and trains in the readable loop. Its steps count from the
    last reset with a seed, or from the first.

    ## Arguments
    - `maze`: "dyna", "blocking", "shortcut", or a map: lines of `.`, `S` start, `G` goal, `#` wall.
    - `scale`: the number of squares, down and across, that each square of the map becomes.
    - `changes_after`: the step after which "blocking" (1,000) or "shortcut" (3,000) changes; 0: it has changed from the
      beginning, -1: it never does. With these two it has a table.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> round(rlbench.plan("rlbench/DynaMaze-v0", gamma=0.95).optimal_return, 12) == round(0.95**13, 12)
        True
    """

    action_names = tuple(MOVES)

    def __init__(
        self,
        maze: str = "dyna",
        *,
        scale: int = 1,
        changes_after: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        known = MAZES.get(maze, Maze(maze))
        scale = whole_number("scale", scale, most=MOST_SCALE)
        after = known.changes_after if changes_after is None else whole_number("changes_after", changes_after, least=-1)
        texts = [known.text, known.later or known.text]
        self._grids = [read_grid(_scaled(text, scale), "maze") for text in texts]
        self._tables = [_table(grid) for grid in self._grids]
        self.steps, self.changes_after = 0, -1 if after is None or not known.later else after
        self.remembers = self.changes_after > 0
        if self.remembers:
            self.why_no_table = (
                f"changes after {self.changes_after} steps, which no table can say: make it with changes_after=-1 for "
                "the maze before, or 0 for the maze after"
            )
        super().__init__(self._tables[0], self._grids[0].board(), render_mode)
        self._look_after_the_maze()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begins at the start; with a seed also with the maze as it is at first."""
        if seed is not None:
            self.steps = 0
            self._look_after_the_maze()
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Takes a step, after which the maze may change."""
        result = super().step(action)
        self.steps += 1
        self._look_after_the_maze()
        return result

    def _look_after_the_maze(self) -> None:
        has_changed = 0 <= self.changes_after <= self.steps
        if self._model is not self._tables[has_changed]:
            self.use(self._tables[has_changed], self._grids[has_changed].board())


def _table(grid: Grid) -> TabularModel:
    moves = tuple(MOVES.values())

    def effects(at: Square, action: int) -> list[tuple[float, Square, float]]:
        to = moved(at, moves[action])
        return [(1.0, to if grid.is_free(to) else at, float(to in grid.goals))]

    return grid.model(len(moves), effects)


def _scaled(text: str, scale: int) -> str:
    """Returns a map with `scale` times as many squares down and across, and one start for each before."""
    wide = ["".join(letter * scale for letter in line) for line in read_map(text, ".SG#", "maze")]
    first = [line.replace("S" * scale, "S" + "." * (scale - 1)) for line in wide]
    others = [[line.replace("S", ".")] * (scale - 1) for line in wide]
    return "\n".join("\n".join((top, *below)) for top, below in zip(first, others, strict=True))
