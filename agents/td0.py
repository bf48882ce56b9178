"""TD(0): the simplest temporal-difference prediction (Sutton, 1988)."""

from __future__ import annotations

from typing import ClassVar

from rlbench.agents.prediction import LookingAheadPrediction
from rlbench.agents.sarsa import Sarsa


class TD0(LookingAheadPrediction, Sarsa):
    """Learns what a given policy is worth, from each reward and the value of what follows (Sutton & Barto, 2018, 6.1).

    With `values="q"` what follows is the next action, as for Sarsa.
    """

    name: ClassVar[str] = "td0"
    source: ClassVar[str] = "Sutton 1988; Sutton & Barto 2018, 6.1"
