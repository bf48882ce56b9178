"""Double Q-learning: Q-learning without its maximisation bias (van Hasselt, 2010)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import TableAgent
from rlbench.agents.compiled import learners, rules
from rlbench.forms import Numbers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.forms import Form


class DoubleQ(TableAgent):
    """Keeps two tables, each learning from the other's value of its own best action (Sutton & Barto, 2018, 6.7).

    It acts on `q_table`, the mean of the two.
    """

    name: ClassVar[str] = "double-q"
    source: ClassVar[str] = "van Hasselt 2010; Sutton & Barto 2018, 6.7"
    off_policy: ClassVar[bool] = True

    def build(self) -> None:
        """Makes the two tables; `table` is their mean."""
        super().build()
        self.halves = rules.new_table(self.n_rows, self.n_actions, self.parameters.initial_value)

    @property
    def n_rows(self) -> int:
        """How many states it learns the values of, in both tables."""
        return 2 * self.n_states

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Updates one of the two tables, chosen at random."""
        rules.double_q_update(
            self.halves,
            self.table,
            self.rng.random(),
            observation,
            action,
            reward,
            next_observation,
            terminated,
            self.learning_rate,
            self.parameters.gamma,
        )
        self.timesteps += 1

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.DoubleQLearner(self.core(), self.halves)

    @property
    def q_tables(self) -> NDArray[np.float64]:
        """A copy of the two tables, float64 (2, n_states, n_actions)."""
        values: NDArray[np.float64] = self.halves.values[:, rules.FIRST : rules.FIRST + self.n_actions]
        return values.reshape(2, self.n_states, self.n_actions).copy()

    def set_q_table(self, values: NDArray[np.float64]) -> None:
        """Overwrites both tables and their mean."""
        super().set_q_table(values)
        rules.set_table(self.halves, np.concatenate([values, values]))

    def write_q(self, key: Any, values: Any) -> None:
        """Assigns to action values of both tables and of their mean."""
        super().write_q(key, values)
        for half in self._halves():
            rules.write(half, self.n_actions, key, values, self._barred)

    def move(self, observation: int, action: int, target: float, rate: float | None = None) -> float:
        """Moves a value of both tables and of their mean towards a target; see `TableAgent.move`."""
        rate = self.learning_rate if rate is None else rate
        if isinstance(rate, rules.Visits):  # what the first table has learnt counts for all
            rate = float(rules.step_size(rate, *self._pair(observation, action)))
        error = super().move(observation, action, target, rate)
        for half in self._halves():
            rules.td_update(half, int(observation), int(action), float(target), float(rate))
        return error

    def _halves(self) -> list[Any]:
        n = self.n_states
        return [rules.Table(self.halves.values[rows], self.halves.words[rows]) for rows in (slice(n), slice(n, None))]

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), "q_tables": self.q_tables}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        return {**super().state_form(), "q_tables": Numbers(np.float64, (2, self.n_states, self.n_actions))}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        rules.set_table(self.halves, state["q_tables"].reshape(-1, self.n_actions))
