"""TD(lambda): prediction with eligibility traces (Sutton, 1988)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlbench.agents.parameters import Parameters, among, in_unit, parameter
from rlbench.agents.prediction import LookingAheadPrediction, PredictionParameters
from rlbench.agents.sarsa_lambda import TRACES, SarsaLambda


@dataclass(frozen=True, kw_only=True)
class TDLambdaParameters(PredictionParameters):
    """Parameters of prediction with eligibility traces."""

    trace_decay: float = parameter(0.8, "lambda; 0 is TD(0)", "[0, 1]")
    traces: str = parameter(
        "accumulating",
        "what a second visit does to a trace; dutch: true online",
        "replacing, accumulating or dutch",
    )
    trace_floor: float = parameter(0.0, "traces that decay to this are dropped; 0 keeps all", "[0, 1]")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        in_unit(self, "trace_decay", "trace_floor")
        among(self, traces=TRACES)


class TDLambda(LookingAheadPrediction, SarsaLambda):
    """Learns what a given policy is worth: each error moves all preceding values, as far as their traces last.

    By `traces`: accumulating is TD(lambda) (Sutton & Barto, 2018, 12.2), dutch is true online TD(lambda) (12.5).
    """

    name: ClassVar[str] = "td-lambda"
    source: ClassVar[str] = "Sutton 1988; van Seijen et al. 2016; Sutton & Barto 2018, 12.2, 12.5"
    Parameters: ClassVar[type[Parameters]] = TDLambdaParameters
    parameters: TDLambdaParameters  # type: ignore[assignment]  # those of SarsaLambda, without exploration
