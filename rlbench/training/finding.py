"""Finds a stored run by id, unique prefix, "latest" or "best", among those that have what is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.agents import AGENTS
from rlbench.errors import StoreError
from rlbench.store.conditions import holding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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


FILTERS: dict[str, tuple[Callable[[RunRecord, Any], bool], str]] = {  # of Store.runs: what fits, and how it is worded
    "env_id": (lambda run, env_id: run.env_id == env_id, " of {}"),
    "agent_name": (lambda run, name: run.agent_name == name, " by {}"),
    "tag": (lambda run, tag: tag in run.tags, " tagged {}"),
    "study": (lambda run, study: study in run.studies, " of the study {}"),
    "where": (lambda run, where: bool(holding([run], where)), " where {}"),
}


def worded(selection: Mapping[str, Any]) -> str:
    """Returns the filters of a selection in words: " of FrozenLake-v1 by sarsa tagged good"."""
    told = {name: value if isinstance(value, str) else " and ".join(value) for name, value in selection.items()}
    return "".join(words.format(told[name]) for name, (_, words) in FILTERS.items() if name in told)


def find_run(store: Store, ref: str, *, needs: str = "", **selection: Any) -> RunRecord:
    """Returns a run by id, unique prefix, "latest", or "best": the highest evaluation in one env.

    Args:
        store: where to look.
        ref: which run; "best" without an env means the env of the latest run.
        needs: what "latest" and "best" must have, one of NEEDS; a run that is named is returned as it is.
        selection: only runs that fit these filters of `Store.runs`: `env_id`, `agent_name`, `tag`, `where`.

    Raises:
        StoreError: there is none; the message says what to do.
    """
    word = ref.strip().lower()
    if word == "latest":
        return _latest(store, selection, needs)
    if word == "best":
        env_id = selection.get("env_id") or _latest(store, selection, needs).env_id
        return _best(store, {**selection, "env_id": env_id}, needs)
    found = store.run(ref)
    if not all(FILTERS[name][0](found, value) for name, value in selection.items()):
        is_one = worded({"env_id": found.env_id, "agent_name": found.agent_name})
        raise StoreError(f"run {found.id} is{is_one}, not{worded(selection)}: leave it out, or name another run")
    return found


def _latest(store: Store, selection: Mapping[str, Any], needs: str) -> RunRecord:
    found = next(_having(store, selection, needs), None)
    if found is None:
        raise StoreError(none_of(store, selection, needs))
    return found


def _best(store: Store, selection: Mapping[str, Any], needs: str) -> RunRecord:
    judged = [run for run in _having(store, selection, needs) if run.evaluation]
    if not judged:
        if not store.runs(**selection, limit=1):
            raise StoreError(none_of(store, selection))
        of_them = worded(selection)
        raise StoreError(f"no run{of_them} in {store.url} has been evaluated: `rlbench evaluate RUN` does it")
    return max(judged, key=_merit)  # of equals the newest


def _having(store: Store, selection: Mapping[str, Any], needs: str) -> Iterator[RunRecord]:
    """Yields the runs that have what is needed, the newest first."""
    has = NEEDS[needs][0]
    newest = store.runs(**selection, limit=FEW)
    yield from filter(has, newest)
    if len(newest) == FEW:
        yield from filter(has, store.runs(**selection)[FEW:])


def none_of(store: Store, selection: Mapping[str, Any], needs: str = "") -> str:
    """Returns the message that no run of a selection has what is needed."""
    env = selection.get("env_id", "safecab")
    makes = (
        "`rlbench runs` lists what is there" if selection.keys() - {"env_id"} else f"`rlbench train {env}` makes one"
    )
    return f"there is no run{worded(selection)}{NEEDS[needs][1]} in {store.url}: {makes}"


def _merit(run: RunRecord) -> float:
    """Returns the exact value where it is known, else the mean of the sample."""
    figures = run.evaluation or {}
    known = [figures[name] for name in ("exact_return", "mean_return") if figures.get(name) is not None]
    return float(known[0]) if known else -float("inf")
