"""`resume`, and how training goes on with what is stored: a finished run by a child, an interrupted one by itself."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.agents.base import restrict
from rlbench.envs.making import make_from_spec, remembers, seed_env
from rlbench.errors import StoreError, UsageError
from rlbench.presets import Preset
from rlbench.training.bringing_back import bring_back, goes_on_by_np_random
from rlbench.training.budgets import UNLIMITED, Budget, budget_config, budget_of
from rlbench.training.cache import end_of, is_past
from rlbench.training.callbacks import check_callbacks, described, known_of, label, made_again
from rlbench.training.checkpoints import last_whole_checkpoint, restore
from rlbench.training.code import code_of
from rlbench.training.repeating import Stored
from rlbench.training.run import Run
from rlbench.training.session import Session
from rlbench.training.setup import check_engine, check_fit, check_record, naming_unknown, versions, world_for
from rlbench.training.truth import compared, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.store import CheckpointInfo, RunConfig, RunRecord, Store
    from rlbench.training.cache import Found
    from rlbench.training.callbacks import Callback

DECISIVE = ("algorithm", "gymnasium")  # versions that decide a result


class Wanted(NamedTuple):
    """What to train: an agent in an env, how far, and the run's configuration."""

    env: gym.Env[Any, Any]
    agent: Agent
    budget: Budget
    config: RunConfig
    callbacks: Sequence[Any] = ()


@naming_unknown
def resume(
    run: Run,
    *,
    episodes: int | None = None,
    total_timesteps: int | None = None,
    engine: str = "auto",
    progress: bool = False,
    anyway: bool = False,
    callbacks: Sequence[Callback] | None = None,
) -> Run:
    """Goes on with a stored run, as if it had never stopped: same tables, episodes and generators, byte for byte.

    A finished run stays as it is: a new one, its child, begins where it ends and shares what it stored. An interrupted
    run is itself gone on with: what it stored after its last checkpoint is trained again and compared.

    Args:
        run: as `load_run` returns it.
        episodes: the new budget, counted from the run's beginning; by default the one that it was begun with.
        total_timesteps: likewise.
        engine: as in `train`.
        progress: as in `train`.
        anyway: go on even if other versions of the algorithms or of Gymnasium, or other code of the env or the agent,
            made the run; its record then says so.
        callbacks: those of the run, by default; only rlbench's own can be made again from its record, so give yours
            once more. [] goes on without, past where one of them ended the training, too.

    Raises:
        UsageError: the run has already come so far, was not trained, was made by other versions or other code, or was
            ended or watched by callbacks that are not given.
        StoreError: another process is writing it, or its env or agent cannot be made again or has changed.
    """
    config = run.record.config
    check_record(config.record)
    check_engine(engine)
    _check_trained(run)
    if episodes is None and total_timesteps is None:
        episodes, total_timesteps = config.budget.episodes, config.budget.total_timesteps
    budget = budget_of(episodes, total_timesteps, Preset(), run.env_id)
    _check_further(run, budget)
    callbacks = _callbacks_of(run, callbacks)
    if not anyway:
        _check_versions(run)
    last = last_whole_checkpoint(run.store, run.id)
    if last is None and config.initial_table is not None:
        raise UsageError(f"run {run.id} was stopped before it kept the values that it began with: train anew")
    env_seed, agent_seed = seeds_of(run.seed)
    agent = run.make_agent(agent_seed)
    with closing(run.make_same_env(agent, anyway=anyway)) as env:
        check_fit(agent, env)
        restrict(agent, env)
        compared(agent, truth_of(env, agent))
        for name, rate in agent.parameters.by_function().items():
            raise UsageError(f"{name} of run {run.id} is {rate}, which its record does not hold: train with it again")
        world = world_for(env, agent, engine)
        seed_env(env, env_seed)
        if last is not None and (world is None or remembers(env)):
            bring_back(env, run.make_env(), run.store, run.record, last)
        described_callbacks = [described(one) for one in callbacks] or None
        config = replace(_as_of_now(config, env, agent, callbacks), budget=budget_config(budget))
        config = replace(config, callbacks=described_callbacks, stopped=None)
        begin = _continued if run.status == "finished" else _taken_over
        session = begin(run.store, run.record, last, Wanted(env, agent, budget, config, callbacks))
        return trained(session, world, progress=progress, cache="prefix", trust=run.trust)


def _callbacks_of(run: Run, given: Sequence[Callback] | None) -> Sequence[Any]:
    """Returns the callbacks to go on with.

    Raises:
        UsageError: they are not those of the run, or one of them has ended it.
        StoreError: what is stored of them, or of evaluations, is damaged.
    """
    config = run.record.config
    if config.evaluating is not None and not (config.evaluating.every and config.evaluating.episodes):
        raise StoreError(f"run {run.id} is damaged: it does not say how often its agent was evaluated")
    before = config.callbacks or []
    if given is not None:
        check_callbacks(given, None if config.evaluating is None else config.evaluating.every)
        if not given:
            return given
        if [described(one) for one in given] != before:
            had = ", ".join(map(label, before)) or "none"
            raise UsageError(f"run {run.id} was trained with other callbacks ({had}): give these, or [] for none")
    if config.stopped is not None:
        raise UsageError(
            f"run {run.id} was ended by {config.stopped} after {run.episodes:,} episodes: "
            "go on without callbacks (callbacks=[], --no-callbacks)"
        )
    return made_again(before, run.id) if given is None else given


def _check_trained(run: Run) -> None:
    """Refuses to go on with a run that training did not make, and says what can be done instead."""
    if run.record.config.was_retrained:
        raise UsageError(
            f"run {run.id} was learnt from stored steps: retrain again, or pass its agent to train, to go on from it"
        )
    if run.record.config.was_recorded:
        raise UsageError(
            f"run {run.id} was recorded, not trained: retrain learns from its steps, train begins a run of its own"
        )


def _check_versions(run: Run) -> None:
    """Refuses to go on with a run whose result other versions may have decided."""
    made_by, here = run.record.config.versions, versions()
    other = [name for name in DECISIVE if name in made_by and made_by[name] != here[name]]
    if other:
        name = other[0]
        raise UsageError(
            f"run {run.id} was made by {name} {made_by[name]}, here is {here[name]}, so it may not go on as it began: "
            "train anew, or resume it with anyway=True (--anyway), which its record will say"
        )


def _as_of_now(config: RunConfig, env: gym.Env[Any, Any], agent: Agent, callbacks: Sequence[Callback]) -> RunConfig:
    """Returns a run's configuration with the versions and the code that go on with it, if they are others."""
    here, code = versions(), code_of(env, agent, known_of(callbacks))
    if code == config.code and all(config.versions.get(name) == here[name] for name in DECISIVE):
        return config
    return replace(config, versions=here, code=code, began_with=config.began_with or config.versions)


def _check_further(run: Run, budget: Budget) -> None:
    """Refuses a budget that a run has spent."""
    spent = end_of(run.store, run.record, budget) is not None if run.status == "finished" else False
    if spent or is_past(run.store, run.record, budget):
        raise UsageError(
            f"run {run.id} has come to {run.episodes:,} episodes, {run.timesteps:,} steps: give more episodes or "
            "timesteps than that to go on with it, or train with a smaller budget, which makes a run of its own"
        )


def gone_on(found: Found, store: Store, wanted: Wanted) -> Session | None:
    """Goes on from what is stored, and counts what that saved; None, changing nothing, if that cannot be."""
    begin = _continued if found.record.status == "finished" else _taken_over
    try:
        session = begin(store, found.record, found.checkpoint, wanted)
    except StoreError:
        return None
    with suppress(StoreError):
        store.update_run(found.record.id, cache=found.record.cache.counted("prefix", session.run.seconds))
    return session


def _continued(store: Store, run: RunRecord, checkpoint: CheckpointInfo | None, wanted: Wanted) -> Session:
    """Begins a new run where a finished one kept a checkpoint."""
    state = None if checkpoint is None else store.checkpoint(run.id, checkpoint.episodes)
    if checkpoint is None or state is None:
        raise StoreError(
            f"run {run.id} keeps no checkpoint to go on from: train with its parameters, or retrain from its steps"
        )
    begun = store.create_run(
        run.env_id,
        run.agent_name,
        seed=run.seed,
        config=wanted.config,
        cache_key=_key_of(run, wanted.config),
        parents=[run.id],
        base=run.id,
        checkpoint=checkpoint,
        what="resume",
    )
    with _or_undone(lambda: store.delete_run(begun.id)):
        restore(wanted.env, wanted.agent, state)
    budget = _from_here(wanted, begun.episodes, begun.timesteps)
    return Session(store, begun, wanted.env, wanted.agent, budget, callbacks=wanted.callbacks)


def _taken_over(store: Store, run: RunRecord, checkpoint: CheckpointInfo | None, wanted: Wanted) -> Session:
    """Takes over a run that broke off, to train again what it stored after its last checkpoint, and then go on."""
    store.backend.check_trainable()
    store.claim(run.id)
    with _or_undone(lambda: store.append(run.id, status="interrupted")):
        begun = replace(store.run(run.id), config=wanted.config)
        stored = Stored(store, begun, checkpoint)
        state = None if checkpoint is None else store.checkpoint(run.id, checkpoint.episodes)
        if state is not None:
            restore(wanted.env, wanted.agent, state)
        store.append(run.id, config=wanted.config, cache_key=_key_of(run, wanted.config))
    budget = _from_here(wanted, stored.first_episode, stored.first_timestep)
    seed = None if stored.first_episode else seeds_of(run.seed)[0]  # of the run's first reset
    return Session(store, begun, wanted.env, wanted.agent, budget, stored, seed, wanted.callbacks)


def _key_of(run: RunRecord, config: RunConfig) -> str:
    """Returns the cache key of a run that goes on.

    It is empty if callbacks, versions or code change on the way: no training in one go gives the same.
    """
    is_same = config.callbacks == run.config.callbacks and config.began_with is None
    return run.cache_key if is_same else ""


@contextmanager
def _or_undone(undo: Callable[[], None]) -> Iterator[None]:
    """Undoes what was written to the store if the run cannot go on after all."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):
            undo()
        raise


def _from_here(wanted: Wanted, episodes: int, timesteps: int) -> Budget:
    """Returns a run's budget in the counts of an agent, which may have learnt before the run began."""
    budget, agent = wanted.budget, wanted.agent
    ahead_episodes, ahead_timesteps = agent.episodes - episodes, agent.timesteps - timesteps
    return Budget(min(UNLIMITED, budget.episodes + ahead_episodes), min(UNLIMITED, budget.timesteps + ahead_timesteps))


def goes_on_alone(spec: str | None, store: Store, found: Found) -> bool:
    """Returns whether an env goes on from a stored prefix by its `np_random` alone; False if that is damaged."""
    twin = make_from_spec(spec or "", trust=True)  # made by name, so its code is trusted
    try:
        return goes_on_by_np_random(twin, store, found.record, found.checkpoint)
    except (StoreError, UsageError):
        return False


def seeds_of(seed: int) -> tuple[int, np.random.SeedSequence]:
    """Returns the seeds of the env and of the agent, from the run's."""
    env, agent = np.random.SeedSequence(seed).spawn(2)
    return int(env.generate_state(1)[0]), agent


def trained(
    session: Session, world: Any, *, progress: bool | Callable[[float], object], cache: str, trust: bool
) -> Run:
    """Trains, and returns the run that came of it."""
    session.train(world, progress=progress)
    record = session.store.ended(session.run.id)
    run = Run(record, session.store, cache=cache, cached_episodes=session.run.episodes, trust=trust)
    run.agent = session.agent
    run.agent.origins = (run.id,)
    if session.figures is not None:
        run.figures = session.figures  # to read them back takes as long as a short training
    return run
