"""Finds a stored run by id, unique prefix, "latest" or "best", among those that have what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.agents import AGENTS
from rlbench.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlbench.store import RunRecord, Store

FEW = 20  # records to read before reading all


def has_agent(run: RunRecord) -> bool:
    """Returns whether a run keeps an agent that this program knows."""
    return run.agent_name in AGENTS and run.checkpoints > 0


def was_trained(run: RunRecord) -> bool:
    """Returns whether training in an env made a run, not recording or retraining."""
    return not (run.config.was_recorded or run.config.was_retrained)


NEEDS: dict[str, tuple[Callable[[RunRecord], bool], str]] = {  # whether a run has it, and how it is worded
    "": (lambda _: True, ""),
    "agent": (has_agent, " that keeps an agent"),
    "episodes": (lambda run: run.episodes > 0, " with an episode that ended"),
    "steps": (lambda run: run.config.keeps_steps and run.timesteps > 0, " with stored steps"),
    "training": (was_trained, " that was trained in an env"),
}


def find_run(store: Store, ref: str, *, env_id: str | None = None, needs: str = "") -> RunRecord:
    """Returns a run by id, unique prefix, "latest", or "best": the highest evaluation in one env.

    Args:
        store: where to look.
        ref: which run; "best" without an env means the env of the latest run.
        env_id: only runs of this env.
        needs: what "latest" and "best" must have, one of NEEDS; a run that is named is returned as it is.

    Raises:
        StoreError: there is none; the message says what to do.
    """
    word = ref.strip().lower()
    if word == "latest":
        return _latest(store, env_id, needs)
    if word == "best":
        return _best(store, env_id or _latest(store, None, needs).env_id, needs)
    found = store.run(ref)
    if env_id not in (None, found.env_id):
        raise StoreError(f"run {found.id} is of {found.env_id}, not of {env_id}: leave it out, or name another run")
    return found


def _latest(store: Store, env_id: str | None, needs: str) -> RunRecord:
    found = next(_having(store, env_id, needs), None)
    if found is None:
        raise StoreError(_none(store, env_id, needs))
    return found


def _best(store: Store, env_id: str, needs: str) -> RunRecord:
    judged = [run for run in _having(store, env_id, needs) if run.evaluation]
    if not judged:
        if not store.runs(env_id=env_id, limit=1):
            raise StoreError(_none(store, env_id, ""))
        raise StoreError(f"no run of {env_id} in {store.url} has been evaluated: `rlbench evaluate RUN` does it")
    return max(judged, key=_merit)  # of equals the newest


def _having(store: Store, env_id: str | None, needs: str) -> Iterator[RunRecord]:
    """Yields the runs that have what is needed, the newest first."""
    has = NEEDS[needs][0]
    newest = store.runs(env_id=env_id, limit=FEW)
    yield from filter(has, newest)
    if len(newest) == FEW:
        yield from filter(has, store.runs(env_id=env_id)[FEW:])


def _none(store: Store, env_id: str | None, needs: str) -> str:
    of_env = "" if env_id is None else f" of {env_id}"
    return f"there is no run{of_env}{NEEDS[needs][1]} in {store.url}: `rlbench train {env_id or 'safecab'}` makes one"


def _merit(run: RunRecord) -> float:
    """Returns the exact value where it is known, else the mean of the sample."""
    figures = run.evaluation or {}
    known = [figures[name] for name in ("exact_return", "mean_return") if figures.get(name) is not None]
    return float(known[0]) if known else -float("inf")
