"""The gambler of chapter 4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import finite, whole_number
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import GREEN, INK, PALE, SHADE, TILE
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from rlbench.envs._sprites import Pen
    from rlbench.envs.tabular import Outcome


class GamblerEnv(TableEnv):
    """A gambler stakes part of the capital on flips of a coin, until it reaches a goal or is lost.

    ## Source
    Sutton and Barto (2018), Example 4.3 (figure 4.3) and Exercise 4.9: `p_h=0.25` and `p_h=0.55`.

    ## States
    `Discrete(goal + 1)`: the capital.

    ## Actions
    `Discrete(goal // 2 + 1)`: the stake. Allowed are stakes from 1 to what the capital and the way to the goal permit;
    of 0, which the book lists too, nothing would ever come.

    ## Rewards
    1 for reaching the goal, else 0: the value of a capital is the chance to reach the goal.

    ## Start
    Uniform over the capitals from 1 to `goal - 1`.

    ## End
    Terminated when the capital is 0 or the goal; truncated after 10,000 flips.

    ## Arguments
    - `p_h`: the probability of heads, which wins the stake; else it is lost.
    - `goal`: the capital to reach.

    ## Example
        >>> import rlbench
        >>> rlbench.plan("rlbench/Gambler-v0").values[[25, 50, 75]].round(6).tolist()
        [0.16, 0.4, 0.64]
    """

    def __init__(self, p_h: float = 0.4, *, goal: int = 100, render_mode: str | None = None) -> None:
        goal, p_h = whole_number("goal", goal, least=2), finite("p_h", p_h)
        if not 0 <= p_h <= 1:
            raise UsageError(f"p_h must be a probability, from 0 to 1, got {p_h}")
        self.action_names = tuple(map(str, range(goal // 2 + 1)))
        capital, stake = np.arange(goal + 1)[:, None], np.arange(goal // 2 + 1)
        is_over = (capital == 0) | (capital == goal)
        allowed = is_over | ((stake >= 1) & (stake <= np.minimum(capital, goal - capital)))
        table = [
            [_outcomes(int(c), int(s), goal, p_h) if allowed[c, s] else [(1.0, int(c), 0.0, False)] for s in stake]
            for c in capital[:, 0]
        ]
        initial = np.where(is_over[:, 0], 0.0, 1 / (goal - 1))
        super().__init__(TabularModel.from_table(table, initial, allowed=allowed), PurseView(goal), render_mode)


def _outcomes(capital: int, stake: int, goal: int, p_h: float) -> list[Outcome]:
    if capital in (0, goal):
        return [(1.0, capital, 0.0, True)]
    won, lost = capital + stake, capital - stake
    return [(p_h, won, float(won == goal), won == goal), (1 - p_h, lost, 0.0, lost == 0)]


class PurseView:
    """The capital as a bar that fills up to the goal."""

    size = (6.0, 2.0)

    def __init__(self, goal: int) -> None:
        self.goal = goal

    def ground(self, pen: Pen) -> None:
        """Paints the empty bar and its quarters."""
        pen.rect(TILE, 0, 0, 6, 2)
        pen.rect(SHADE, 0.5, 1.05, 5, 0.4, 0.2)
        for quarter in range(5):
            pen.text(f"{quarter * self.goal / 4:g}", PALE, 0.5 + 1.25 * quarter, 1.68, 0.24)

    def paint(self, pen: Pen, state: int) -> None:
        """Paints the capital."""
        pen.text(str(state), INK, 3, 0.6, 0.7)
        if state:
            pen.rect(GREEN, 0.5, 1.05, max(0.4, 5 * state / self.goal), 0.4, 0.2)

    def text(self, state: int) -> str:
        """Returns the capital."""
        return f"capital {state} of {self.goal}"
