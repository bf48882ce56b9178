"""Sarsa: on-policy TD control (Rummery and Niranjan, 1994)."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.base import LookingAhead
from rlbench.agents.compiled import learners, rules


class Sarsa(LookingAhead):
    """Learns the value of the policy it follows, including exploration (Sutton & Barto, 2018, 6.4)."""

    name: ClassVar[str] = "sarsa"
    source: ClassVar[str] = "Rummery & Niranjan 1994; Sutton & Barto 2018, 6.4"

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves q[observation, action] towards the reward plus the discounted value of the next action."""
        learning_rate = self.learning_rate
        self.timesteps += 1
        rules.sarsa_update(
            self.table,
            observation,
            action,
            reward,
            next_observation,
            self._look_ahead(next_observation, terminated),
            terminated,
            learning_rate,
            self.parameters.gamma,
        )

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.SarsaLearner(self.core(), self.ahead)
