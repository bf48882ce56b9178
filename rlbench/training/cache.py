"""The training cache: a run is known by what determines it, found again, and continued rather than repeated."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlbench.training.budgets import UNLIMITED
from rlbench.training.checkpoints import whole_checkpoints

if TYPE_CHECKING:
    from rlbench.store import CheckpointInfo, RunConfig, RunRecord, Store
    from rlbench.training.budgets import Budget


class Found(NamedTuple):
    """A stored run that begins as the wanted one does."""

    record: RunRecord
    checkpoint: CheckpointInfo
    is_whole: bool  # the checkpoint stands where the wanted budget ends


def cache_key(config: RunConfig, seed: int) -> str:
    """Returns what a run is known by: env, agent, parameters, seed, versions; not its budget.

    Schedules that depend on the budget are in the parameters, in absolute units. Empty if the env has no spec.
    """
    if config.env.spec is None:
        return ""
    versions = {name: config.versions[name] for name in ("algorithm", "gymnasium")}
    spec = json.loads(config.env.spec)
    known_by = {"env": spec, "agent": asdict(config.agent), "seed": seed, "record": config.record, **versions}
    return hashlib.sha256(json.dumps(known_by, sort_keys=True).encode()).hexdigest()


def find(store: Store, key: str, budget: Budget) -> Found | None:
    """Returns the run that answers the budget, else the one that comes closest to it from below."""
    prefixes: list[Found] = []
    for record in store.runs(cache_key=key):
        if record.status == "running":
            continue
        end, checkpoints = _end_of(store, record, budget), whole_checkpoints(store, record)
        for info in checkpoints:
            if info.episodes == end:
                return Found(record, info, is_whole=True)
        earlier = [info for info in checkpoints if end is None or info.episodes < end]
        if earlier and (end is None or record.status == "interrupted"):  # what finished is left as it is
            prefixes.append(Found(record, earlier[-1], is_whole=False))
    return max(prefixes, key=lambda found: found.checkpoint.episodes, default=None)


def _end_of(store: Store, record: RunRecord, budget: Budget) -> int | None:
    """Returns after how many episodes of a run a budget ends; None if the run has not come so far."""
    ends = [budget.episodes] if budget.episodes <= record.episodes else []
    if budget.timesteps != UNLIMITED and budget.timesteps <= record.timesteps:
        steps = np.cumsum(store.figures(record.id)["length"], dtype=np.int64)
        ends.append(int(np.searchsorted(steps, budget.timesteps)) + 1)
    return min(ends, default=None)
