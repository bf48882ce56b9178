"""Drift: incoming data against what was learnt from, alarms with a budget, and what drift costs a policy.

found = drift(run, later_run)
print(found.drifted, found.lost_return)

monitor = monitor_of(run, rows_per_alarm=100_000)
state = monitor.observe(observations)
"""

from __future__ import annotations

from rlbench.drifting.comparing import ColumnDrift
from rlbench.drifting.measuring import Drift, drift, monitor_of
from rlbench.drifting.monitor import Monitor, State
from rlbench.drifting.page import drift_report
from rlbench.drifting.samples import Sample, rows_sample
from rlbench.drifting.transitions import Transitions

__all__ = [
    "ColumnDrift",
    "Drift",
    "Monitor",
    "Sample",
    "State",
    "Transitions",
    "drift",
    "drift_report",
    "monitor_of",
    "rows_sample",
]
