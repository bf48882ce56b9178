"""`sweep`: every combination of some parameters, for every agent, with every seed, in several processes."""

from __future__ import annotations

import os
from concurrent.futures import Executor
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, TypeVar

from rlbench.checks import whole_number
from rlbench.envs.making import full_id
from rlbench.errors import UsageError
from rlbench.presets import DEFAULT, lasting_preset
from rlbench.store import Store
from rlbench.studies.axes import axes_of
from rlbench.studies.executors import address_for_workers
from rlbench.studies.keeping import add, load_study, names
from rlbench.studies.settings import Settings, check_name, check_size, completed, id_with_module
from rlbench.studies.study import Study
from rlbench.studies.working import work
from rlbench.training.binning import read_bins
from rlbench.training.many import check_shared, checked_seeds
from rlbench.training.tasks import kept_on_success

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rlbench.presets import AskedPreset
    from rlbench.training.binning import Asked

Kind = TypeVar("Kind", bound=Study)


def sweep(
    env: str,
    agents: str | Iterable[str] = "q-learning",
    *,
    over: Mapping[str, str | Iterable[Any]],
    seeds: Iterable[int] = range(10),
    episodes: int | None = None,
    total_timesteps: int | None = None,
    preset: AskedPreset = DEFAULT,
    agent_kwargs: dict[str, Any] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    bins: Asked | None = None,
    objective: str | None = None,
    aggregate: str = "mean",
    record: str = "none",
    workers: int = 1,
    executor: Executor | None = None,
    store: str | Path | Store | None = None,
    name: str | None = None,
    yes: bool = False,
    progress: bool = False,
) -> Study:
    """Trains every combination of some parameters, for every agent, with every seed, and tells which is best.

        study = rlbench.sweep("CliffWalking-v1", ["q-learning", "sarsa"], over={"learning_rate": "0.1..1:10"})
        print(study.best, study.hash)

    The result depends on these arguments alone, not on the number of processes or the kind of store. The same call
    again goes on where it was stopped, and what the store has already is not trained again. A program that does this
    with several workers does it under `if __name__ == "__main__":`, since they import it. Ctrl-C ends it with the
    episodes under way; `resume_study` goes on.

    Args:
        env: an id or a short name, as in `train`.
        agents: names; one or several.
        over: of each parameter its values, or a text: "a,b,c", "lo..hi:n" (evenly spaced) or "lo..hi:n:log". "env.NAME"
            is an argument of the env.
        seeds: whole numbers; each combination is trained with each.
        episodes: as in `train`, as are `total_timesteps`, `preset`, `agent_kwargs`, `env_kwargs`, `bins` and `record`.
        total_timesteps: likewise.
        preset: likewise.
        agent_kwargs: likewise, the same for all.
        env_kwargs: likewise.
        bins: likewise.
        objective: "regret", "return", "area", "area:FROM" or "steps-to:THRESHOLD", see `Objective`; by default regret
            where it is exact, else return.
        aggregate: of the seeds: "mean", "iqm" (interquartile mean) or a percentile, "q0" to "q100".
        record: "none", or "all" to keep every step.
        workers: how many processes; 1: this one alone.
        executor: works in their place: any `concurrent.futures.Executor`, such as `client.get_executor()` of a Dask
            client. `workers` then says how many batches of seeds it works on at a time, if these are more than this
            machine has cores. Its workers open the store by themselves, and need the same versions.
        store: as in `train`; several workers need a file or a server.
        name: of the study; by default made of the env and a digest of all these arguments.
        yes: agree to more than 100,000 combinations.
        progress: show a bar on a terminal, for anything over a second.

    Raises:
        UsageError: an argument is wrong, or the name belongs to a study with others.
        StoreError: as in `train`.
        ProcessError: the executor ended; `resume_study` goes on.
    """
    if not isinstance(env, str) or not isinstance(agents, str | list | tuple):
        raise UsageError("sweep takes the id of an env and the names of agents, which any process can make")
    workers = workers_of(workers, executor, store)
    asked = Settings(
        env=id_with_module(env),
        agents=_agents([agents] if isinstance(agents, str) else agents),
        axes=axes_of(over),
        seeds=tuple(checked_seeds(seeds)),
        episodes=episodes,
        total_timesteps=total_timesteps,
        preset=lasting_preset(full_id(env), preset),
        agent_kwargs=agent_kwargs or {},
        env_kwargs=env_kwargs or {},
        bins=None if bins is None else lasting(bins),
        objective=objective or "",
        aggregate=aggregate,
        record=record,
    )
    check_size(asked, yes=yes)
    settings = completed(asked)
    chosen = check_name(settings.default_name if name is None else name)
    with kept_on_success(store) as opened:
        study = begun(Study, chosen, settings, opened)
        work(study, store, workers, executor, progress=progress)
    return study


def workers_of(workers: int, executor: Executor | None, store: str | Path | Store | None) -> int:
    """Returns how many are to work at a time."""
    whole_number("workers", workers)
    if not isinstance(executor, Executor | None):
        raise UsageError(f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}")
    if workers > 1 or executor is not None:
        check_shared(store)
    if executor is not None:
        address_for_workers(store)
        return max(workers, os.cpu_count() or 1)
    if workers > 1 and isinstance(store, Store):
        ForkingPickler.dumps(store)  # a StoreError says why other processes cannot open it
    return workers


def _agents(asked: Iterable[Any]) -> tuple[str, ...]:
    found = tuple(asked)
    if not found or not all(isinstance(agent, str) for agent in found) or len(set(found)) < len(found):
        raise UsageError(f"agents are different names, one at least, got {', '.join(map(str, found)) or 'none'}")
    return found


def lasting(bins: Asked) -> Any:
    """Returns a request for bins that says the same later: what a file holds, not its name."""
    kind, value = read_bins(bins)
    return f"{kind}:{value}" if kind in ("kmeans", "quantile") else value


def begun(kind: type[Kind], name: str, settings: Settings, store: Store) -> Kind:
    """Returns the study of this name, as far as it is known; UsageError if it has other settings."""
    study = kind.new(name, settings, store)
    if name not in names(store) and add(study):
        return study
    found = load_study(store, name)
    if found.settings != settings or not isinstance(found, kind):
        theirs, ours = found.settings.document(), settings.document()
        differing = ", ".join(one for one in {**ours, **theirs} if ours.get(one) != theirs.get(one))
        raise UsageError(f"the study {name} is there already, with other settings ({differing}): choose another name")
    return found
