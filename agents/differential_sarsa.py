"""Differential Sarsa and R-learning: control without discounting, where episodes do not end (Schwartz, 1993)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from rlbench.agents.base import LookingAhead
from rlbench.agents.compiled import learners, rules
from rlbench.agents.parameters import LearningParameters, Parameters, among, in_unit, parameter
from rlbench.forms import Numbers

if TYPE_CHECKING:
    from rlbench.forms import Form

RULES = ("sarsa", "r-learning")


@dataclass(frozen=True, kw_only=True)
class DifferentialParameters(LearningParameters):
    """Parameters of learning how much better than the average reward things are."""

    gamma: float = parameter(1.0, "discount", "[0, 1]")
    average_rate: float = parameter(0.01, "step size of the average reward", "[0, 1]")
    rule: str = parameter("sarsa", "sarsa: of its own behaviour; r-learning: of the best policy", "sarsa or r-learning")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        in_unit(self, "average_rate")
        among(self, rule=RULES)


class DifferentialSarsa(LookingAhead):
    """Learns how much better than the average reward what follows is, and that average (Sutton & Barto, 2018, 10.3).

    It suits tasks without an end, in which what counts is the reward per step. R-learning does the same off-policy, and
    averages the rewards of the best actions alone.
    """

    name: ClassVar[str] = "differential-sarsa"
    source: ClassVar[str] = "Schwartz 1993; Sutton & Barto 2018, 10.3"
    Parameters: ClassVar[type[Parameters]] = DifferentialParameters
    parameters: DifferentialParameters

    def build(self) -> None:
        """Makes room for the average reward."""
        super().build()
        self.average = np.zeros(1)

    @property
    def average_reward(self) -> float:
        """The average reward of a step, as far as it is known."""
        return float(self.average[0])

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves q[observation, action] and the average reward by the step's differential error."""
        rates = self.learning_rate, self.parameters.gamma, *self._averaging()
        self.timesteps += 1
        next_action = self._look_ahead(next_observation, terminated)
        step = observation, action, reward, next_observation, next_action, terminated
        rules.differential_update(self.table, self.average, *step, *rates)

    def _averaging(self) -> tuple[float, bool]:
        return self.parameters.average_rate, self.parameters.rule == "r-learning"

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.DifferentialLearner(self.core(), self.ahead, self.average, *self._averaging())

    def state_dict(self) -> dict[str, Any]:
        """Returns the agent's complete state as plain arrays and numbers."""
        return {**super().state_dict(), "average": self.average.copy()}

    def state_form(self) -> Form:
        """Describes every entry of `state_dict`."""
        return {**super().state_form(), "average": Numbers(np.float64, (1,))}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        super().restore(state)
        self.average[:] = state["average"]
