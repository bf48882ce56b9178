"""Reports: a run summarised on one page, and an agent's policy explained in a few rules."""

from __future__ import annotations

from rlbench.reports.explaining import Explanation, explain
from rlbench.reports.page import report

__all__ = ["Explanation", "explain", "report"]
