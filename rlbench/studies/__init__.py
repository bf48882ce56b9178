"""Studies: many runs of one env, over agents, parameters and seeds, stored like any other, and what they are worth."""

from __future__ import annotations

from rlbench.studies.keeping import delete_study, load_study
from rlbench.studies.objectives import AGGREGATES, OBJECTIVES, Objective
from rlbench.studies.study import Row, Study
from rlbench.studies.sweeping import resume_study, sweep

__all__ = [
    "AGGREGATES",
    "OBJECTIVES",
    "Objective",
    "Row",
    "Study",
    "delete_study",
    "load_study",
    "resume_study",
    "sweep",
]
