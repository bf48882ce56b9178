"""Evaluation: how good a policy is, and which of several agents is better."""

from __future__ import annotations

from rlbench.evaluation.comparing import ComparisonAcross, compare
from rlbench.evaluation.comparison import Comparison
from rlbench.evaluation.evaluating import Evaluation, evaluate

__all__ = ["Comparison", "ComparisonAcross", "Evaluation", "compare", "evaluate"]
