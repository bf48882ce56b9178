"""The two states of chapter 6 that show the bias of a maximum."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import finite, whole_number
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import SHADE, Board, Mark
from rlbench.envs.tabular import TabularModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs.tabular import Outcome

A, B, LEFT_END, RIGHT_END = range(4)
VALUES = 100  # that stand for a normal distribution


class MaximizationBiasEnv(TableEnv):
    """From A, right ends the episode; left leads to B, whose many actions look good by chance and cost on average.

    ## Source
    Sutton and Barto (2018), Example 6.7 (figure 6.5).

    ## States
    `Discrete(4)`: 0 A, 1 B, 2 the end on the left, 3 the end on the right.

    ## Actions
    `Discrete(actions)`: in A 0 left and 1 right, and no others are allowed; in B all lead to the end on the left.

    ## Rewards
    In A 0. In B a draw from 100 equally likely values with the mean `mean` and the variance 1, which stand for the
    normal distribution of the book, so that the table is exact.

    ## Start
    A.

    ## End
    Terminated by going right from A, or by any action in B; truncated after 100 steps.

    ## Arguments
    - `actions`: the number of actions in B.
    - `mean`: of the rewards in B.

    ## Example
        >>> import rlbench
        >>> rlbench.plan("rlbench/MaximizationBias-v0").q_values[0, :2].round(6).tolist()
        [-0.1, 0.0]
    """

    def __init__(self, actions: int = 10, *, mean: float = -0.1, render_mode: str | None = None) -> None:
        count, center = whole_number("actions", actions, least=2), finite("mean", mean)
        self.action_names = ("Left", "Right", *(str(action) for action in range(2, count)))
        drawn: list[Outcome] = [(1 / VALUES, LEFT_END, float(center + x), True) for x in normal_values()]
        stay: list[Outcome] = [(1.0, A, 0.0, False)]
        in_a: list[list[Outcome]] = [[(1.0, B, 0.0, False)], [(1.0, RIGHT_END, 0.0, True)], *[stay] * (count - 2)]
        ends: list[list[list[Outcome]]] = [[[(1.0, end, 0.0, True)]] * count for end in (LEFT_END, RIGHT_END)]
        allowed = np.ones((4, count), bool)
        allowed[A, 2:] = False
        model = TabularModel.from_table([in_a, [drawn] * count, *ends], np.eye(4)[A], allowed=allowed)
        super().__init__(model, _board(), render_mode)


def normal_values(count: int = VALUES) -> NDArray[np.float64]:
    """Returns values that stand for the standard normal distribution: its quantiles, with the mean 0 and variance 1."""
    quantiles: NDArray[np.float64] = np.array([NormalDist().inv_cdf((k + 0.5) / count) for k in range(count)])
    quantiles = (quantiles - quantiles[::-1]) / 2  # symmetric, bit for bit
    quantiles /= quantiles.std()
    return quantiles


def _board() -> Board:
    marks = {(0, 0): Mark("end", SHADE), (0, 1): Mark("B"), (0, 2): Mark("A"), (0, 3): Mark("end", SHADE)}
    return Board(1, 4, marks=marks, order=(LEFT_END, B, A, RIGHT_END))
