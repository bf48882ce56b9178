"""Monte Carlo prediction: averaging returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlbench.agents.monte_carlo import AVERAGES, MOST_STEPS, VISITS, MonteCarlo
from rlbench.agents.parameters import Parameters, among, parameter, within
from rlbench.agents.prediction import Prediction, PredictionParameters


@dataclass(frozen=True, kw_only=True)
class MCPredictionParameters(PredictionParameters):
    """Parameters of prediction from whole episodes."""

    average: str = parameter(
        "sample", "sample: the mean of all returns; exponential: weighted by learning_rate", "sample or exponential"
    )
    visits: str = parameter("first", "which visits of an episode count", "first or every")
    horizon: int = parameter(
        10_000, "longer episodes are learnt in segments of this many steps", f"1 to {MOST_STEPS:,}"
    )

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        within(self, 1, MOST_STEPS, "horizon")
        among(self, average=AVERAGES, visits=VISITS)


class MCPrediction(Prediction, MonteCarlo):
    """Averages the returns that follow visits to a state, under a given policy (Sutton & Barto, 2018, 5.1).

    If an episode is cut off, by its step limit or `horizon`, the value of the last state replaces the missing rewards.
    """

    name: ClassVar[str] = "mc-prediction"
    source: ClassVar[str] = "Sutton & Barto 2018, 5.1"
    Parameters: ClassVar[type[Parameters]] = MCPredictionParameters
    parameters: MCPredictionParameters  # type: ignore[assignment]  # those of MonteCarlo, without exploration
