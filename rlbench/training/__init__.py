"""Training: an agent meets an env, by the readable loop or the compiled one, and what happens is stored."""

from __future__ import annotations

from rlbench.training.callbacks import Callback, Progress, StopOnEvaluation, StopOnReturn
from rlbench.training.many import train_many
from rlbench.training.recording import RecordEpisodes
from rlbench.training.resuming import resume
from rlbench.training.retraining import retrain
from rlbench.training.rollouts import record
from rlbench.training.run import Run, load_run
from rlbench.training.running import train
from rlbench.training.setup import ALGORITHM_VERSION, ENGINES, RECORDS
from rlbench.training.stored import fill

__all__ = [
    "ALGORITHM_VERSION",
    "ENGINES",
    "RECORDS",
    "Callback",
    "Progress",
    "RecordEpisodes",
    "Run",
    "StopOnEvaluation",
    "StopOnReturn",
    "fill",
    "load_run",
    "record",
    "resume",
    "retrain",
    "train",
    "train_many",
]
