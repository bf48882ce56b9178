"""All that is known of a run, as (name, text): for a terminal and for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.errors import RlbenchError, StoreError
from rlbench.replaying import command_of, origins_of, program_of
from rlbench.settings import write_call, write_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlbench.store import RunRecord, Store
    from rlbench.training import Run


def run_document(run: Run) -> dict[str, Any]:
    """Returns as JSON what a record does not say: where parameters come from, and how to make the run again."""
    command, why_not = _attempt(command_of, run)
    return {
        "parameters_from": origins_of(run),
        "command": command,
        "program": _attempt(program_of, run)[0],
        "not_reproducible": why_not,
    }


def _attempt(of: Callable[[Run], str], run: Run) -> tuple[str | None, str | None]:
    try:
        return of(run), None
    except RlbenchError as error:
        return None, str(error)


def made(run: Run) -> Iterator[tuple[str, str]]:
    """How a run was made, and what people noted."""
    record, config = run.record, run.record.config
    limits = (("episodes", config.budget.episodes), ("steps", config.budget.total_timesteps))
    kept = {"all": "every step stored", "none": "figures of episodes stored"}.get(config.record, "")
    yield "status", f"{run.status}, {run.episodes:,} episodes, {run.timesteps:,} steps in {run.seconds:.2f} s"
    yield "budget", ", ".join(f"{limit:,} {unit}" for unit, limit in limits if limit) or "none"
    yield "started", record.created_at[:19].replace("T", " ")
    maker = "another program or a person" if config.was_recorded else f"{config.engine or 'unknown'} loop"
    yield "made by", ", ".join(filter(None, (maker, kept)))
    yield "tags", ", ".join(record.tags) or "none"
    if record.studies:
        yield "studies", ", ".join(record.studies)
    if record.note:
        yield "note", record.note
    yield "parents", ", ".join(record.parents) or "none"


def asked(run: Run) -> Iterator[tuple[str, str]]:
    """Its env: arguments, wrappers, bins."""
    config = run.record.config.env
    added = config.added
    wrappers, bins = added.pop("wrappers", []), added.pop("bins", {})
    arguments = {**config.made_with.get("kwargs", {}), **added}
    yield "env", ", ".join(f"{name}={write_setting(value)}" for name, value in arguments.items()) or "as it is"
    if wrappers:
        yield "wrappers", ", ".join(wrappers)
    if bins:
        yield "bins", write_call("Discretize", bins)


def watched(run: Run) -> Iterator[tuple[str, str]]:
    """What watched its training, or ended it."""
    config = run.record.config
    if config.evaluating is not None:
        every, episodes = config.evaluating.every, config.evaluating.episodes
        yield "evaluated", f"each {every:,} episodes of training, by {episodes:,} greedy ones"
    if config.callbacks:
        yield "callbacks", ", ".join(write_call(one["name"], one["settings"] or {}) for one in config.callbacks)
    if config.stopped:
        yield "stopped", f"by {config.stopped}"
    if config.retraining is not None:
        passes, transitions = config.retraining.passes, config.retraining.transitions
        yield "retrained", f"in {passes:,} passes over {transitions:,} stored transitions"


def judged(run: Run) -> Iterator[tuple[str, str]]:
    """Its evaluations, and the versions that it was made with."""
    config = run.record.config
    for evaluation in run.record.evaluations:
        yield "evaluation", _evaluation(evaluation)
    if not run.record.evaluations:
        yield "evaluation", "none"
    for name, versions in (("versions", config.versions), ("begun with", config.began_with), ("code", config.code)):
        if versions:
            yield name, ", ".join(f"{package} {str(version)[:12]}" for package, version in versions.items())


def _evaluation(found: dict[str, Any]) -> str:
    """Returns an evaluation in words: what it was made with, then its figures."""
    bounds = zip(("low", "high"), found.get("interval") or (), strict=False)
    figures = {name: value for name, value in (*found.items(), *bounds) if isinstance(value, int | float)}
    words = {
        "episodes": "{:,} greedy episodes",
        "seed": "seed {}",
        "mean_return": "mean return {:.6g}",
        "low": "from {:.6g}",
        "high": "to {:.6g} at 95%",
        "success_rate": "success {:.0%}",
        "exact_return": "exact {:.6g}",
        "optimal_return": "of {:.6g} possible",
        "regret": "regret {:.4g}",
    }
    told = [form.format(figures[name]) for name, form in words.items() if name in figures]
    wrappers = [f"in {wrapper}" for wrapper in found.get("wrappers", ())]
    return ", ".join([*wrappers, *told]).replace(", to ", " to ").replace(", of ", " of ")


def ancestors(store: Store, record: RunRecord) -> dict[str, Any]:
    """Returns a run, and the runs that it learnt from, each with its own parents in turn."""
    parents = []
    for parent in record.parents:
        known = [ancestors(store, run) for run in _known(store, parent)]
        parents += known or [{"run": parent, "deleted": True, "parents": []}]
    done = {"pseudonymised": list(record.pseudonymised)} if record.pseudonymised else {}
    return {"run": record.id, "agent": record.agent_name, "episodes": record.episodes, **done, "parents": parents}


def _known(store: Store, run_id: str) -> list[RunRecord]:
    try:
        return [store.run(run_id)]
    except StoreError:
        return []
