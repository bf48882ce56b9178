"""Expected Sarsa: on-policy TD control without the variance of the next action (van Seijen et al., 2009)."""

from __future__ import annotations

from typing import Any, ClassVar

from rlbench.agents.base import TableAgent
from rlbench.agents.compiled import learners, rules


class ExpectedSarsa(TableAgent):
    """Learns the value of the policy it follows from the expectation over next actions (Sutton & Barto, 2018, 6.6)."""

    name: ClassVar[str] = "expected-sarsa"
    source: ClassVar[str] = "van Seijen et al. 2009; Sutton & Barto 2018, 6.6"

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves q[observation, action] towards the reward plus the discounted expected value of the next state."""
        learning_rate = self.learning_rate
        self.timesteps += 1
        rules.expected_sarsa_update(
            self.table,
            self.policy,
            self.exploration_rate,
            observation,
            action,
            reward,
            next_observation,
            terminated,
            learning_rate,
            self.parameters.gamma,
        )

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.ExpectedSarsaLearner(self.core())
