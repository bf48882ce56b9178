"""Reports: what a run came to, told on one page, and what its agent has learnt, explained in a few rules."""

from __future__ import annotations

from rlbench.reports.explaining import Explanation, explain
from rlbench.reports.page import report

__all__ = ["Explanation", "explain", "report"]
