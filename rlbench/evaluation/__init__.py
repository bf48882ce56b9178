"""Evaluation: how good a policy is, and which of several agents is better."""

from __future__ import annotations

from rlbench.evaluation.comparison import Comparison, compare
from rlbench.evaluation.evaluating import Evaluation, evaluate

__all__ = ["Comparison", "Evaluation", "compare", "evaluate"]
