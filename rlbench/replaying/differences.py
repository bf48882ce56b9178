"""Differences: the first episode and step at which two runs diverge, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import StoreError, UnknownNameError
from rlbench.store.conditions import settings_of
from rlbench.store.records import row_of

if TYPE_CHECKING:
    from rlbench.store import Episode
    from rlbench.training import Run


@dataclass(frozen=True)
class Difference:
    """Where and why two runs diverge.

    Attributes:
        settings: what was asked for differently, as {name: (in a, in b)}, None where one has no such setting; budgets,
            engines and versions aside.
        episode: the first that differs; None if all episodes that both runs have are equal.
        step: its first step that differs: 0 is the reset, t the t-th action and its outcome.
        cause: "draw" (a random draw differs: a reset, an exploratory action, an outcome), "action" (the greedy
            actions differ, and so do the tables behind them), "reward", "end", or None.
        table_entry: the first (state, action) in which the final tables differ; None if they are equal, or differ in
            shape.
        detail: one line that says it all.
    """

    settings: dict[str, tuple[Any, Any]]
    episode: int | None
    step: int | None
    cause: str | None
    table_entry: tuple[int, int] | None
    detail: str


def diff(a: Run, b: Run) -> Difference:
    """Compares two runs: their settings, their episodes one by one, and their final tables.

    Episodes are compared only of one env, and if both runs stored their steps; `detail` says so.

    Raises:
        StoreError: what one of them stored is damaged.
    """
    settings = _different(settings_of(a.record), settings_of(b.record))
    why_not = _why_not(a, b)
    episode, step, cause, detail = _parting(a, b) if not why_not else (None, None, None, why_not)
    entry = _table_entry(a, b)
    if episode is None and entry is not None:
        detail += f"; the tables differ first at state {entry[0]}, action {entry[1]}"
    return Difference(settings, episode, step, cause, entry, detail)


def _different(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {name: (a.get(name), b.get(name)) for name in {**a, **b} if a.get(name) != b.get(name)}


def _why_not(a: Run, b: Run) -> str:
    """Returns why the episodes of two runs cannot be compared; empty if they can."""
    if a.env_id != b.env_id:
        return f"episodes are not compared: one is of {a.env_id}, the other of {b.env_id}"
    without = [run.id for run in (a, b) if not (run.record.config.keeps_steps and run.timesteps)]
    return f"episodes are not compared: {' and '.join(without)} stored no steps" if without else ""


def _parting(a: Run, b: Run) -> tuple[int | None, int | None, str | None, str]:
    pairs = zip(a.store.episodes(a.id), b.store.episodes(b.id), strict=False)
    for one, other in pairs:
        found = _first_difference(one, other)
        if found is not None:
            step, cause, detail = found
            return one.index, step, cause, f"episode {one.index}, step {step}: {detail}"
    common = min(a.record.episodes, b.record.episodes)
    more = "" if a.record.episodes == b.record.episodes else f", then one goes on to {max(a.episodes, b.episodes):,}"
    return None, None, None, f"the same for {common:,} episodes{more}"


def _first_difference(a: Episode, b: Episode) -> tuple[int, str, str] | None:
    if _same(a.observations, b.observations) and _same(a.actions, b.actions) and _same(a.rewards, b.rewards):
        if (a.terminated, a.truncated) == (b.terminated, b.truncated):
            return None
        return len(a), "end", f"{_end(a)} in one, {_end(b)} in the other"
    if not _same(a.observations, b.observations, 0):
        return 0, "draw", "the resets drew different starts"
    for t in range(min(len(a), len(b))):
        found = _step_difference(a, b, t)
        if found is not None:
            return (t + 1, *found)
    return min(len(a), len(b)), "end", f"{_end(a)} after {len(a)} steps in one, {_end(b)} after {len(b)} in the other"


def _step_difference(a: Episode, b: Episode, t: int) -> tuple[str, str] | None:
    if not _same(a.actions, b.actions, t):
        chosen = f"action {row_of(a.actions, t)} in one, {row_of(b.actions, t)} in the other"
        if a.explored is None or b.explored is None:
            return "action", chosen
        if a.explored[t] or b.explored[t]:
            return "draw", f"{chosen}: exploration drew differently"
        return "action", f"{chosen}: both greedy, so their tables differ at state {row_of(a.observations, t)}"
    if not _same(a.observations, b.observations, t + 1):
        return "draw", "the same action led to different observations: the env drew differently"
    if not _same(a.rewards, b.rewards, t):
        return "reward", f"reward {a.rewards[t]:g} in one, {b.rewards[t]:g} in the other"
    return None


def _table_entry(a: Run, b: Run) -> tuple[int, int] | None:
    try:
        tables = [getattr(run.agent, "q_table", None) for run in (a, b)]
    except (StoreError, UnknownNameError):  # no checkpoint, or an agent that is not registered here
        return None
    one, other = tables
    if one is None or other is None or one.shape != other.shape:
        return None
    where = np.argwhere(one != other)
    return (int(where[0][0]), int(where[0][1])) if len(where) else None


def _same(a: Any, b: Any, row: Any = ...) -> bool:
    """Returns whether two arrays, or dicts of arrays, are equal, in one row or in all."""
    if isinstance(a, dict) or isinstance(b, dict):
        return type(a) is type(b) and a.keys() == b.keys() and all(_same(a[name], b[name], row) for name in a)
    return np.array_equal(a[row], b[row], equal_nan=a.dtype.kind == "f")


def _end(episode: Episode) -> str:
    ends = [name for name in ("terminated", "truncated") if getattr(episode, name)]
    return " and ".join(ends) or "cut off"
