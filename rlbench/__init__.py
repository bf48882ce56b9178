"""A workbench for value-based reinforcement learning on Gymnasium: train, store, replay, verify.

    import rlbench

    run = rlbench.train("safecab", seed=0)
    print(run, rlbench.evaluate(run).regret)

Importing rlbench registers its envs, such as `rlbench/SafeCab-v0`, with Gymnasium as soon as Gymnasium itself is
imported. Heavy packages are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rlbench import _registration
from rlbench._compiling import choose_cache
from rlbench._version import __version__

if TYPE_CHECKING:
    from rlbench.drifting import Drift, drift
    from rlbench.evaluation import Comparison, Evaluation, compare, evaluate
    from rlbench.exchange import export, import_run
    from rlbench.planning import Plan, plan, policy_evaluation, policy_iteration
    from rlbench.replaying import Difference, Verification, diff, verify
    from rlbench.reports import explain, report
    from rlbench.store import Store, open_store
    from rlbench.studies import Power, Study, Tuning, load_study, power, resume_study, sweep, tune
    from rlbench.training import (
        Callback,
        RecordEpisodes,
        Run,
        StopOnEvaluation,
        StopOnReturn,
        load_run,
        record,
        resume,
        retrain,
        train,
        train_many,
    )

choose_cache()
_HOMES = {
    "Callback": "training",
    "Comparison": "evaluation",
    "Difference": "replaying",
    "Drift": "drifting",
    "Evaluation": "evaluation",
    "Plan": "planning",
    "Power": "studies",
    "RecordEpisodes": "training",
    "Run": "training",
    "StopOnEvaluation": "training",
    "StopOnReturn": "training",
    "Store": "store",
    "Study": "studies",
    "Tuning": "studies",
    "Verification": "replaying",
    "compare": "evaluation",
    "diff": "replaying",
    "drift": "drifting",
    "evaluate": "evaluation",
    "explain": "reports",
    "export": "exchange",
    "import_run": "exchange",
    "load_run": "training",
    "load_study": "studies",
    "open_store": "store",
    "plan": "planning",
    "policy_evaluation": "planning",
    "policy_iteration": "planning",
    "power": "studies",
    "record": "training",
    "report": "reports",
    "resume": "training",
    "resume_study": "studies",
    "retrain": "training",
    "sweep": "studies",
    "train": "training",
    "train_many": "training",
    "tune": "studies",
    "verify": "replaying",
}
_ROOMS = (
    "agents",
    "buffers",
    "drifting",
    "envs",
    "errors",
    "evaluation",
    "exchange",
    "modelling",
    "models",
    "planning",
    "plots",
    "presets",
    "replaying",
    "reports",
    "store",
    "studies",
    "testing",
    "training",
    "viewer",
)

__all__ = [
    "Callback",
    "Comparison",
    "Difference",
    "Drift",
    "Evaluation",
    "Plan",
    "Power",
    "RecordEpisodes",
    "Run",
    "StopOnEvaluation",
    "StopOnReturn",
    "Store",
    "Study",
    "Tuning",
    "Verification",
    "__version__",
    "compare",
    "diff",
    "drift",
    "evaluate",
    "explain",
    "export",
    "import_run",
    "load_run",
    "load_study",
    "open_store",
    "plan",
    "policy_evaluation",
    "policy_iteration",
    "power",
    "record",
    "report",
    "resume",
    "resume_study",
    "retrain",
    "sweep",
    "train",
    "train_many",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"rlbench.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"rlbench.{name}")
    raise AttributeError(f"module 'rlbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ROOMS})


_registration.register_with_gymnasium()
