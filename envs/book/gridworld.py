"""The gridworlds of chapters 3 and 4."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rlbench.checks import finite
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import AMBER, BLUE, Mark, empty_map, squares_of
from rlbench.envs.book.grids import MOVES, moved, read_grid
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from rlbench.envs.book.board import Square


class Preset(NamedTuple):
    """A gridworld of the book: its map, the reward of a step, and that of a bump."""

    text: str
    step: float
    bump: float


PRESETS = {
    "jumps": Preset(".A.B.\n.....\n...b.\n.....\n.a...", 0.0, -1.0),
    "corners": Preset("G...\n....\n....\n...G", -1.0, -1.0),
}
JUMPS = {"A": 10.0, "B": 5.0}  # letter: reward
COLORS = {"A": AMBER, "B": BLUE}


class GridworldEnv(TableEnv):
    """Squares to walk on in four directions, with jumps, walls and goals, as a map draws them.

    ## Source
    Sutton and Barto (2018), Example 3.5 (5 by 5 squares with the jumps A and B; optimal values in figure 3.5) and
    Example 4.1 (4 by 4 squares with two terminal corners; figure 4.1).

    ## States
    `Discrete(rows * cols)`: the square, numbered in reading order. Walls are numbered too, and never entered.

    ## Actions
    `Discrete(4)`: 0 up, 1 right, 2 down, 3 left. A move against a wall or off the grid leaves the agent where it is.
    From A or B every action leads to A' or B'.

    ## Rewards
    `step_reward` a step, `bump_reward` for a move against a wall or off the grid, 10 for leaving A and 5 for leaving B.

    ## Start
    Uniform over the squares marked `S`; if there is none, over all that are neither goals nor walls.

    ## End
    Terminated on a goal. "jumps" has none: it goes on until it is truncated, after 1,000 steps.

    ## Arguments
    - `grid`: "jumps" (Example 3.5), "corners" (Example 4.1), the size "ROWSxCOLUMNS" of an empty grid, or a map: lines
      of `.`, `S` start, `G` goal, `#` wall, `A` and `B` with the squares `a` and `b` that they lead to.
    - `step_reward`: of a step; by default 0 in "jumps", else -1.
    - `bump_reward`: of a move that leads nowhere; by default -1.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> values = rlbench.plan("rlbench/Gridworld-v0", gamma=0.9).values
        >>> values.reshape(5, 5)[0].round(1).tolist()
        [22.0, 24.4, 22.0, 19.4, 17.5]
    """

    action_names = tuple(MOVES)

    def __init__(
        self,
        grid: str = "jumps",
        *,
        step_reward: float | None = None,
        bump_reward: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        preset = PRESETS.get(grid, Preset(empty_map(grid), -1.0, -1.0))
        step = preset.step if step_reward is None else finite("step_reward", step_reward)
        bump = preset.bump if bump_reward is None else finite("bump_reward", bump_reward)
        self.grid = read_grid(preset.text, "grid", "ABab")
        jumps = _jumps(preset.text.split())
        moves = tuple(MOVES.values())

        def effects(at: Square, action: int) -> list[tuple[float, Square, float]]:
            if at in jumps:
                return [(1.0, *jumps[at])]
            to = moved(at, moves[action])
            return [(1.0, to, step)] if self.grid.is_free(to) else [(1.0, at, bump)]

        board = self.grid.board()
        for letter, color in COLORS.items():
            for name, drawn in ((letter, letter), (f"{letter}'", letter.lower())):
                board.marks.update(dict.fromkeys(squares_of(preset.text.split(), drawn), Mark(name, color)))
        super().__init__(self.grid.model(len(moves), effects), board, render_mode)


def _jumps(lines: list[str]) -> dict[Square, tuple[Square, float]]:
    """Returns where each `A` and `B` of a map leads, and the reward for it."""
    jumps: dict[Square, tuple[Square, float]] = {}
    for letter, reward in JUMPS.items():
        sources, ends = squares_of(lines, letter), squares_of(lines, letter.lower())
        if len(ends) != bool(sources):
            raise UsageError(f"grid must have one {letter.lower()!r} for its {letter!r} to lead to, got {len(ends)}")
        jumps.update((at, (ends[0], reward)) for at in sources)
    return jumps
