"""Off-policy Monte Carlo prediction: what one policy is worth, from episodes of another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rlbench.agents.compiled import learners, returns, rules
from rlbench.agents.given import UNIFORM, GivenPolicy, probabilities_of
from rlbench.agents.mc_prediction import MCPrediction, MCPredictionParameters
from rlbench.agents.monte_carlo import Weighing
from rlbench.agents.parameters import Parameters, among, parameter
from rlbench.errors import UsageError

SAMPLINGS = ("weighted", "ordinary")


@dataclass(frozen=True, kw_only=True)
class OffPolicyMCParameters(MCPredictionParameters):
    """Parameters of prediction from episodes of another policy."""

    behaviour: GivenPolicy = parameter(  # noqa: RUF009  (it declares a field)
        UNIFORM, "the policy that it acts by, given as `policy` is; it must take each action that `policy` may", UNIFORM
    )
    sampling: str = parameter(
        "weighted", "importance sampling: divided by the sum of the ratios, or by their number", "weighted or ordinary"
    )

    def __post_init__(self) -> None:
        """Checks ranges and combinations."""
        super().__post_init__()
        among(self, sampling=SAMPLINGS)
        if self.sampling == "weighted" and (self.average, self.learning_rate_schedule) != ("sample", "time"):
            raise UsageError("weighted sampling has step sizes of its own: give sampling='ordinary' with others")

    def compiled_policy(self, n_states: int, n_actions: int) -> Any:
        """Returns the compiled policy that it acts by, with the one whose values it learns."""
        target = probabilities_of(self.policy, n_states, n_actions)
        behaviour = probabilities_of(self.behaviour, n_states, n_actions, "behaviour")
        missing = np.argwhere((target > 0) & (behaviour == 0))
        if len(missing):
            s, a = missing[0].tolist()
            raise UsageError(f"behaviour must take each action that policy takes, in state {s} it never takes {a}")
        return rules.new_given(behaviour, target, per_action=self.values == "q")


class OffPolicyMC(Weighing, MCPrediction):
    """Learns what a policy is worth while it acts by another, by importance sampling (Sutton & Barto, 2018, 5.5, 5.6).

    A return counts as often as the given policy would have acted so, for once that the other did.
    """

    name: ClassVar[str] = "off-policy-mc"
    source: ClassVar[str] = "Sutton & Barto 2018, 5.5, 5.6"
    Parameters: ClassVar[type[Parameters]] = OffPolicyMCParameters
    parameters: OffPolicyMCParameters

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Remembers the step and its ratio; learns if the horizon is reached."""
        returns.remember_ratio(self.ratios, self.episode, self.policy, observation, action)
        super()._learn(observation, action, reward, next_observation, terminated)

    def _learn_episode(self, learning_rate: Any) -> None:
        learner = self.learner()
        value = returns.value_after(self.episode, self.policy, self.table, 0.0)
        rate = returns.returns_rate(learning_rate, learner.averaging)
        kept = self.table, self.counts, self.episode, self.ratios
        gamma = self.parameters.gamma
        returns.off_policy_update(*kept, value, rate, gamma, learner.every, learner.weighted, self.n_columns > 1)

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        p, kept = self.parameters, (self.core(), self.counts, self.episode)
        choices = p.average == "sample", p.visits == "every"
        return learners.OffPolicyLearner(*kept, *choices, self.ratios, p.sampling == "weighted")
