"""`tune`: parameters that a sampler chooses in the light of what came of those before, and a test on other seeds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rlbench.checks import whole_number
from rlbench.envs.making import full_id
from rlbench.errors import UsageError
from rlbench.files import require
from rlbench.presets import DEFAULT, lasting_preset
from rlbench.studies.asking import Asking
from rlbench.studies.keeping import delete_broken_off
from rlbench.studies.pruning import Halving, pruning_of
from rlbench.studies.rounds import Pruner
from rlbench.studies.searching import search_of
from rlbench.studies.settings import check_name, completed, id_with_module
from rlbench.studies.sweeping import begun, lasting, workers_of
from rlbench.studies.tuned import Tuning, TuningSettings, check_tuning
from rlbench.studies.working import Worker
from rlbench.training.many import checked_seeds
from rlbench.training.tasks import kept_on_success

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from concurrent.futures import Executor
    from pathlib import Path

    from rlbench.presets import AskedPreset
    from rlbench.store import Store
    from rlbench.training.binning import Asked

TRIALS = 100
ROUND = 8  # trials


def tune(
    env: str,
    agent: str = "q-learning",
    *,
    search: Mapping[str, str | Iterable[Any]],
    trials: int | None = None,
    round: int = ROUND,  # noqa: A002  (the word of --round)
    seeds: Iterable[int] = range(8),
    test_seeds: Iterable[int] = range(100, 120),
    sampler: str = "tpe",
    seed: int = 0,
    episodes: int | None = None,
    total_timesteps: int | None = None,
    preset: AskedPreset = DEFAULT,
    agent_kwargs: dict[str, Any] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    bins: Asked | None = None,
    objective: str | None = None,
    aggregate: str = "mean",
    prune: str | None = None,
    record: str = "none",
    workers: int = 1,
    executor: Executor | None = None,
    store: str | Path | Store | None = None,
    name: str | None = None,
    progress: bool = False,
) -> Tuning:
    """Searches the parameters of an agent that are best over some seeds, and tests them on others (extra `tune`).

        study = rlbench.tune("FrozenLake-v1", search={"learning_rate": "0.01..1:log"}, trials=50, episodes=500)
        print(study.best, study.test.best, study.hash)

    Optuna chooses the trials in rounds: what came of the trials of a round is told in their order before the next is
    chosen. Hence the result depends on these arguments alone, as in `sweep`; so do going on and several workers.

    Args:
        env: as in `sweep`.
        agent: its name.
        search: of each parameter a range "lo..hi" or "lo..hi:log" (evenly in its logarithm), a list of values, or a
            text that `sweep` reads: "a,b,c", "lo..hi:n". "env.NAME" is an argument of the env.
        trials: how many; by default 100, or the whole grid.
        round: how many of them are chosen at once. It is to be at least `workers`, if there are few seeds.
        seeds: each trial is trained with each; its value is the aggregate over them.
        test_seeds: others, with which the best trial is tested, and what the preset gives without the search; may be
            none.
        sampler: "tpe" (a tree-structured Parzen estimator), "random", or "grid", for lists of values.
        seed: of the sampler.
        episodes: as in `sweep`, as is all that follows.
        total_timesteps: likewise.
        preset: likewise.
        agent_kwargs: likewise.
        env_kwargs: likewise.
        bins: likewise.
        objective: likewise.
        aggregate: likewise.
        prune: how trials are given up early: "halving", "halving:FACTOR" or "halving:FACTOR:RUNGS" (successive halving:
            one in FACTOR, 3, goes on from each of RUNGS, 3, lengths of training), or "seeds" or "seeds:ERROR" (when it
            is worse than the best so far on too many seeds). None gives up none. See `Halving` and `Racing`.
        record: likewise.
        workers: likewise.
        executor: likewise.
        store: likewise.
        name: likewise.
        progress: likewise.

    Raises:
        UsageError: an argument is wrong, or the name belongs to a study with others.
        StoreError: as in `train`, or another process is working on the study.
        MissingPackageError: Optuna is missing.
    """
    if not isinstance(env, str) or not isinstance(agent, str):
        raise UsageError("tune takes the id of an env and the name of an agent, which any process can make")
    workers = workers_of(workers, executor, store)
    axes, ranges = search_of(search, agent)
    grid = math.prod(len(axis.values) for axis in axes)
    asked = TuningSettings(
        env=id_with_module(env),
        agents=(agent,),
        axes=axes,
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
        ranges=ranges,
        trials=(grid if sampler == "grid" else TRIALS) if trials is None else whole_number("trials", trials),
        round=whole_number("round", round),
        sampler=sampler,
        seed=whole_number("seed", seed, least=0),
        test_seeds=tuple(whole_number("seed", one, least=0) for one in test_seeds),
        prune=prune or "",
    )
    if isinstance(pruning_of(asked.prune), Halving):
        asked = asked.with_length()
    check_tuning(asked)
    settings = completed(asked)
    require("optuna", "tune", "tuning")
    chosen = check_name(settings.default_name if name is None else name)
    with kept_on_success(store) as opened:
        study = begun(Tuning, chosen, settings, opened)
        work_on_tuning(study, store, workers, executor, progress=progress)
    return study


def work_on_tuning(
    study: Tuning,
    address: str | Path | Store | None,
    workers: int,
    executor: Executor | None = None,
    *,
    progress: bool,
) -> None:
    """Does what is missing of a tuning: the trials in rounds, then the test; Ctrl-C ends it, as in `work`."""
    asking = Asking(study)
    how = pruning_of(study.settings.prune)
    pruner = None if how is None else Pruner(study, how)
    with Worker(study, address, workers, executor, shown=progress).working() as worker:
        while worker.finish(study) if pruner is None else pruner.finish(worker):
            if any(part.failed.any() for part in study.parts):
                worker.save()  # before it is told: else it might be tried again, and go well
            if not asking.go_on():
                _test(study, worker)
                break
    if study.is_done and not any(part.failed.any() for part in study.parts):
        delete_broken_off(study.store, study.name)


def _test(study: Tuning, worker: Worker) -> None:
    """Tests the best trial, if one has a value."""
    if study.has_test:
        if study.test is None:
            study.test = Tuning.new(study.name, study.settings.for_test(), study.store)
            study.test.parameters = study.tested
        worker.finish(study.test)
