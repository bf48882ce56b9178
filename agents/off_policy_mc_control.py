"""Off-policy Monte Carlo control: the best policy from whole episodes of an exploring one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rlbench.agents.compiled import learners, returns
from rlbench.agents.monte_carlo import MOST_STEPS, Weighing
from rlbench.agents.parameters import LearningParameters, Parameters, parameter, within


@dataclass(frozen=True, kw_only=True)
class OffPolicyMCControlParameters(LearningParameters):
    """Parameters of learning the best policy from whole episodes; step sizes come from importance sampling."""

    horizon: int = parameter(
        10_000, "longer episodes are learnt in segments of this many steps", f"1 to {MOST_STEPS:,}"
    )

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        within(self, 1, MOST_STEPS, "horizon")


class OffPolicyMCControl(Weighing):
    """Learns the best policy from the greedy end of each episode, by weighted importance sampling.

    Sutton & Barto (2018), 5.7. An episode teaches from its end back to the last action that was not the best.
    """

    name: ClassVar[str] = "off-policy-mc-control"
    source: ClassVar[str] = "Sutton & Barto 2018, 5.7"
    Parameters: ClassVar[type[Parameters]] = OffPolicyMCControlParameters
    parameters: OffPolicyMCControlParameters  # type: ignore[assignment]  # not how to average

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Remembers the step and its ratio; learns if the horizon is reached."""
        policy, epsilon = (self.policy, self.table), self.exploration_rate
        returns.remember_greedy_ratio(self.ratios, self.episode, *policy, epsilon, observation, action)
        super()._learn(observation, action, reward, next_observation, terminated)

    def _learn_episode(self, learning_rate: Any) -> None:  # noqa: ARG002  (ratios take its place)
        kept = self.table, self.counts, self.episode, self.ratios
        returns.off_policy_control_update(*kept, self.parameters.gamma)

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.OffPolicyControlLearner(self.core(), self.counts, self.episode, self.ratios)
