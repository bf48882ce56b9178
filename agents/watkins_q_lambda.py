"""Watkins's Q(lambda): Q-learning with eligibility traces (Watkins, 1989)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from rlbench.agents.compiled import learners, returns
from rlbench.agents.parameters import Parameters, among, parameter
from rlbench.agents.sarsa_lambda import SarsaLambdaParameters, Traced


@dataclass(frozen=True, kw_only=True)
class WatkinsQLambdaParameters(SarsaLambdaParameters):
    """Parameters of Q-learning with eligibility traces."""

    trace_decay: float = parameter(0.8, "lambda; 0 is Q-learning", "[0, 1]")
    traces: str = parameter("replacing", "what a second visit does to a trace", "replacing or accumulating")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        among(self, traces=("replacing", "accumulating"))


class WatkinsQLambda(Traced):
    """Applies each error of Q-learning to the preceding pairs, back to the last action that was not the best.

    Sutton & Barto (2018), 12.10: from there on, what follows says nothing about the best policy.
    """

    name: ClassVar[str] = "watkins-q-lambda"
    source: ClassVar[str] = "Watkins 1989; Sutton & Barto 2018, 12.10"
    Parameters: ClassVar[type[Parameters]] = WatkinsQLambdaParameters
    parameters: WatkinsQLambdaParameters

    def _learn(self, observation: int, action: int, reward: float, next_observation: int, terminated: bool) -> None:  # noqa: FBT001
        """Moves all values by the step's error times their traces."""
        step, rates = (observation, action, reward, next_observation, terminated), (self.learning_rate, *self._rates())
        returns.q_lambda_update(self.table, self.traces, *step, *rates)
        self.timesteps += 1

    def _rates(self) -> tuple[float, float, bool, float]:
        p = self.parameters
        return p.gamma, p.trace_decay, p.traces == "replacing", p.trace_floor

    def end_episode(self) -> None:
        """Called after the last update of an episode: forgets its traces."""
        self.drop_episode()
        super().end_episode()

    def learner(self) -> Any:
        """Returns the compiled counterpart, on this agent's own arrays."""
        return learners.QLambdaLearner(self.core(), self.traces, *self._rates()[1:])
