"""Studies: many runs of one env, over agents, parameters and seeds, stored like any other, and what they are worth."""

from __future__ import annotations

from rlbench.studies.keeping import delete_study, load_study
from rlbench.studies.objectives import AGGREGATES, OBJECTIVES, Objective
from rlbench.studies.power import Power, power
from rlbench.studies.resuming import resume_study
from rlbench.studies.study import Row, Study
from rlbench.studies.sweeping import sweep
from rlbench.studies.tuned import Tuning
from rlbench.studies.tuning import tune

__all__ = [
    "AGGREGATES",
    "OBJECTIVES",
    "Objective",
    "Power",
    "Row",
    "Study",
    "Tuning",
    "delete_study",
    "load_study",
    "power",
    "resume_study",
    "sweep",
    "tune",
]
