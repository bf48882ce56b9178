"""A workbench for value-based reinforcement learning on Gymnasium: train, store, replay, verify.

    import rlbench

    run = rlbench.train("safecab", seed=0)
    print(run, rlbench.evaluate(run).regret)

Importing it registers `rlbench/SafeCab-v0` and `rlbench/DiscreteCartPole-v1` with Gymnasium, as soon as Gymnasium
itself is imported; nothing heavy is loaded before it is needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rlbench import _registration
from rlbench._version import __version__

if TYPE_CHECKING:
    from rlbench.differences import Difference, diff
    from rlbench.evaluation import Evaluation, evaluate
    from rlbench.exchange import export, import_run
    from rlbench.planning import Plan, plan
    from rlbench.recording import RecordEpisodes
    from rlbench.store import Store, open_store
    from rlbench.training import Run, load_run, resume, train
    from rlbench.training.retraining import retrain
    from rlbench.verification import Verification, verify

_HOMES = {
    "Difference": "differences",
    "Evaluation": "evaluation",
    "Plan": "planning",
    "RecordEpisodes": "recording",
    "Run": "training",
    "Store": "store",
    "Verification": "verification",
    "diff": "differences",
    "evaluate": "evaluation",
    "export": "exchange",
    "import_run": "exchange",
    "load_run": "training",
    "open_store": "store",
    "plan": "planning",
    "resume": "training",
    "retrain": "training.retraining",
    "train": "training",
    "verify": "verification",
}
_ROOMS = (
    "agents",
    "buffers",
    "comparison",
    "envs",
    "errors",
    "evaluation",
    "exchange",
    "explaining",
    "modelling",
    "models",
    "planning",
    "plots",
    "presets",
    "recording",
    "report",
    "reproduction",
    "store",
    "testing",
    "training",
    "viewer",
)

__all__ = [
    "Difference",
    "Evaluation",
    "Plan",
    "RecordEpisodes",
    "Run",
    "Store",
    "Verification",
    "__version__",
    "diff",
    "evaluate",
    "export",
    "import_run",
    "load_run",
    "open_store",
    "plan",
    "resume",
    "retrain",
    "train",
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


_registration.when_gymnasium_is_there()
