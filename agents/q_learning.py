"""Q-learning: off-policy TD control (Watkins, 1989)."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.base import TableAgent
from rlbench.agents.compiled import learners, rules


class QLearning(TableAgent):
    """Learns the value of the best policy while following an exploring one (Sutton & Barto, 2018, 6.5)."""

    name: ClassVar[str] = "q-learning"
    source: ClassVar[str] = "Watkins 1989; Sutton & Barto 2018, 6.5"
    off_policy: ClassVar[bool] = True

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves q[observation, action] towards the reward plus the discounted best value of the next state."""
        rules.q_update(
            self.table,
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
        """Returns the compiled counterpart, on this agent's own table."""
        return learners.QLearner(self.core())
