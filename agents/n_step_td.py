"""n-step TD: prediction from several rewards at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlbench.agents.n_step_sarsa import MOST_STEPS, NStepSarsa
from rlbench.agents.parameters import Parameters, parameter, within
from rlbench.agents.prediction import LookingAheadPrediction, PredictionParameters


@dataclass(frozen=True, kw_only=True)
class NStepTDParameters(PredictionParameters):
    """Parameters of prediction from n steps at a time."""

    n_steps: int = parameter(4, "rewards in a return before bootstrapping; 1 is TD(0)", f"1 to {MOST_STEPS:,}")

    def __post_init__(self) -> None:
        """Checks ranges."""
        super().__post_init__()
        within(self, 1, MOST_STEPS, "n_steps")


class NStepTD(LookingAheadPrediction, NStepSarsa):
    """Learns what a given policy is worth, from n rewards and the value of what follows (Sutton & Barto, 2018, 7.1)."""

    name: ClassVar[str] = "n-step-td"
    source: ClassVar[str] = "Sutton & Barto 2018, 7.1"
    Parameters: ClassVar[type[Parameters]] = NStepTDParameters
    parameters: NStepTDParameters  # type: ignore[assignment]  # those of NStepSarsa, without exploration
