"""The random walk of chapters 6 and 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import finite, whole_number
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import AMBER, GREEN, Board, Mark
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from rlbench.envs.tabular import Outcome


class RandomWalkEnv(TableEnv):
    """A row of states between two ends; from the centre an agent walks left or right.

    ## Source
    Sutton and Barto (2018), Example 6.2 (5 states) and Example 7.1 (19 states, `left_reward=-1`). There the walk is
    random: its values are those of the policy "uniform", i / 6 for the five states.

    ## States
    `Discrete(states + 2)`: 0 is the left end, 1 to `states` the states of the walk, `states + 1` the right end.

    ## Actions
    `Discrete(2)`: 0 left, 1 right.

    ## Rewards
    `left_reward` for reaching the left end, `right_reward` for the right end, else 0.

    ## Start
    The state in the middle.

    ## End
    Terminated at either end; truncated after 10,000 steps.

    ## Arguments
    - `states`: the number of states between the ends, odd.
    - `left_reward`: for reaching the left end.
    - `right_reward`: for reaching the right end.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> env = gym.make("rlbench/RandomWalk-v0", states=19, left_reward=-1.0)
        >>> env.reset(seed=0)[0]
        10
    """

    action_names = ("Left", "Right")

    def __init__(
        self,
        states: int = 5,
        *,
        left_reward: float = 0.0,
        right_reward: float = 1.0,
        render_mode: str | None = None,
    ) -> None:
        count = whole_number("states", states)
        if count % 2 == 0:
            raise UsageError(f"states must be odd, so that one is in the middle, got {count}")
        ends = {0: finite("left_reward", left_reward), count + 1: finite("right_reward", right_reward)}
        table = [[_outcomes(state, state + step, ends) for step in (-1, 1)] for state in range(count + 2)]
        initial = np.zeros(count + 2)
        initial[(count + 1) // 2] = 1.0
        super().__init__(TabularModel.from_table(table, initial), _board(count, ends), render_mode)


def _outcomes(state: int, to: int, ends: dict[int, float]) -> list[Outcome]:
    """Returns what follows a step from a state to the next one, with the rewards of the ends."""
    return [(1.0, state, 0.0, True)] if state in ends else [(1.0, to, ends.get(to, 0.0), to in ends)]


def _board(count: int, ends: dict[int, float]) -> Board:
    """Returns the row as it is drawn: the rewards at its ends, and letters between them if there are enough."""
    named = count <= 26  # noqa: PLR2004  letters
    marks = {(0, s): Mark(chr(ord("A") + s - 1) if named else "") for s in range(1, count + 1)}
    marks |= {(0, s): Mark(f"{reward:g}", GREEN if reward > 0 else AMBER) for s, reward in ends.items()}
    return Board(1, count + 2, (), marks)
