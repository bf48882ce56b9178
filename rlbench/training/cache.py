"""The training cache: a run is known by what determines it, found again, and continued rather than repeated."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlbench.errors import StoreError
from rlbench.training.budgets import UNLIMITED
from rlbench.training.checkpoints import last_whole_checkpoint
from rlbench.training.code import unknown_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench.store import CheckpointInfo, RunConfig, RunRecord, Store
    from rlbench.training.budgets import Budget


class Found(NamedTuple):
    """A stored run that begins as the wanted one does."""

    record: RunRecord
    checkpoint: CheckpointInfo
    is_whole: bool  # the checkpoint stands where the wanted budget ends

    @property
    def ends_there(self) -> bool:
        """Whether the run ends there too, so that it is what was asked for."""
        return self.checkpoint.episodes == self.record.episodes


def known_by(config: RunConfig) -> str:
    """Returns what runs with this configuration are known by beside their seeds, as JSON.

    That is env, agent, parameters and versions; not the budget. Evaluations while training count, for the run is to
    have them, and so do callbacks, which may end it. Schedules that depend on the budget are in the parameters, in
    absolute units; `Parameters.named` says which count. Empty if the env has no spec, or if some of the code that
    decides the result cannot be known. Our own code is known by the versions alone.
    """
    if config.env.spec is None or reason_unknown(config):
        return ""
    versions = {name: config.versions[name] for name in ("algorithm", "gymnasium")}
    spec = json.loads(config.env.spec)
    known = {"env": spec, "agent": asdict(config.agent), "record": config.record, **versions}
    if config.initial_table is not None:
        known["initial_table"] = config.initial_table
    if config.code is not None:
        known["code"] = config.code
    if config.callbacks is not None:
        known["callbacks"] = config.callbacks
    if config.evaluating is not None:
        known["evaluating"] = asdict(config.evaluating)
    return json.dumps(known, sort_keys=True)


def cache_key(known: str, seed: int) -> str:
    """Returns the key of the run with a seed, from what `known_by` returns; empty if that is."""
    whole = f'{known[:-1]}, "seed": {seed}}}'  # the last name of all, sorted
    return hashlib.sha256(whole.encode()).hexdigest() if known else ""


def reason_unknown(config: RunConfig) -> str:
    """Returns why it cannot be known what decides a run; empty if it can."""
    silent = next((one["name"] for one in config.callbacks or () if one["settings"] is None), "")
    if silent:
        return f"the callback {silent} does not say its settings (see rlbench.Callback.settings)"
    rates = [value for value in config.agent.parameters.values() if isinstance(value, dict)]
    nameless = next((rate["function"] for rate in rates if "<" in rate["function"]), "")
    if nameless:
        return f"the function {nameless} cannot be found by its name: define it with def, outside of functions"
    return unknown_of(config.code)


def find(store: Store, key: str, budget: Budget) -> Found | None:
    """Returns the run that answers the budget, else the one that comes closest to it from below."""
    found: list[Found] = []
    for record in store.runs(cache_key=key):
        with suppress(StoreError):  # a damaged run is trained anew
            found += _places(store, record, budget)
    return max(found, key=lambda one: (one.is_whole, one.checkpoint.episodes, one.ends_there), default=None)


def _places(store: Store, record: RunRecord, budget: Budget) -> Iterator[Found]:
    """Yields the places of a run from which the budget can be reached: of one that broke off, its end alone."""
    end = end_of(store, record, budget)
    if record.status == "finished":
        if end is None and record.config.stopped is not None:
            end = record.episodes  # a callback ends it there, whatever the budget
        kept = [info for info in store.checkpoints(record.id) if info.kept]
        yield from (Found(record, info, info.episodes == end) for info in kept if end is None or info.episodes <= end)
    elif record.status == "interrupted" and not is_past(store, record, budget):
        last = last_whole_checkpoint(store, record.id)
        if last is not None:
            yield Found(record, last, is_whole=False)


def is_past(store: Store, record: RunRecord, budget: Budget) -> bool:
    """Returns whether a run has stored more than a budget allows."""
    end = end_of(store, record, budget)
    if end is None or end < record.episodes:
        return end is not None
    return int(store.figures(record.id, ["length"])["length"].sum()) < record.timesteps  # another episode has begun


def end_of(store: Store, record: RunRecord, budget: Budget) -> int | None:
    """Returns after how many episodes of a run a budget ends; None if the run has not come so far."""
    ends = [budget.episodes] if budget.episodes <= record.episodes else []
    if budget.timesteps != UNLIMITED and budget.timesteps <= record.timesteps:
        steps = np.cumsum(store.figures(record.id, ["length"])["length"], dtype=np.int64)
        ends.append(int(np.searchsorted(steps, budget.timesteps)) + 1)
    return min((end for end in ends if end <= record.episodes), default=None)
