"""`train` and `resume`: from what a caller asks for to a stored run."""

from __future__ import annotations

import os
import secrets
import warnings
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import Agent, TableAgent
from rlbench.envs.again import check_same_again, lasting_spec
from rlbench.envs.flattening import flattened
from rlbench.envs.making import full_id, id_of, make_env, make_from_spec, seed_env, spec_json
from rlbench.envs.wrapping import wrap
from rlbench.errors import StoreError, UsageError
from rlbench.presets import DEFAULT, Preset, load_preset
from rlbench.store import Store, open_store
from rlbench.training.binning import in_bins
from rlbench.training.bringing_back import bring_back, goes_on_by_np_random
from rlbench.training.budgets import UNLIMITED, Budget, budget_config, budget_of
from rlbench.training.cache import Found, cache_key, end_of, find, is_past
from rlbench.training.checkpoints import checkpoint_of, last_whole_checkpoint, restore
from rlbench.training.code import code_of, unknown_of
from rlbench.training.parents import table_of, take_values
from rlbench.training.repeating import Stored
from rlbench.training.run import Run
from rlbench.training.session import Session
from rlbench.training.setup import (
    agent_for,
    check_engine,
    check_fit,
    check_kwargs,
    check_record,
    check_seed,
    config_of,
    versions,
    world_for,
)
from rlbench.training.stored import parents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import gymnasium as gym

    from rlbench.store import CheckpointInfo, RunConfig, RunRecord
    from rlbench.training.binning import Asked

DECISIVE = ("algorithm", "gymnasium")  # versions that decide a result


def train(
    env: str | gym.Env[Any, Any],
    agent: str | type[Agent] | Agent = "q-learning",
    *,
    episodes: int | None = None,
    total_timesteps: int | None = None,
    seed: int | None = None,
    store: str | Path | Store | None = None,
    record: str = "all",
    engine: str = "auto",
    progress: bool = False,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[str] = (),
    bins: Asked | None = None,
    agent_kwargs: dict[str, Any] | None = None,
    preset: str = DEFAULT,
    parent: Run | None = None,
    cache: bool = True,
) -> Run:
    """Trains an agent on an env and stores what happened.

    Args:
        env: an id ("FrozenLake-v1"), a short name ("safecab", "cartpole") or an env with Discrete spaces.
        agent: a name ("q-learning"), a class or an agent; an agent goes on from where it is.
        episodes: stop after this many.
        total_timesteps: stop with the episode in which this many steps are reached; with `episodes`, the first to come.
            Without either, the preset of the env says.
        seed: of all the run's generators; None draws one and records it.
        store: a URL, path or open store; None keeps the run in memory.
        record: "all" stores every step, "none" the figures of each episode only.
        engine: "compiled", "python", or "auto": compiled where env and agent allow. The result is the same.
        progress: show a bar on a terminal, for anything over a second.
        env_kwargs: arguments of the env, added to the preset's.
        wrappers: to put round the env, each "NAME" or "NAME:argument=value,..."; see `rlbench.envs.wrapping.wrap`.
        bins: of Box observations, so that they can index a table: a number for each dimension ("6,6,12,12"), "kmeans:K"
            or "quantile:K", fitted on 10,000 random steps, a JSON file or a dict with arguments of `Discretize`.
        agent_kwargs: hyper-parameters of the agent, added to the preset's.
        preset: the name of a set of tuned parameters.
        parent: begin with the values of this run's agent, in its bins; counters, generators and schedules begin anew,
            exploration at its final value unless `agent_kwargs` say how.
        cache: answer from the store what has been trained there before, in whole or as far as it goes; the result is
            the same. Only envs and agents given by name or class are known again, and only as long as their code is
            the same; a warning says when it cannot be known.

    Returns:
        The run: its agent, its returns and lengths (one an episode), its id in the store.

    Raises:
        UsageError: an argument is wrong; the message says which and what to do.
        StoreError: the store cannot be opened or written.
    """
    check_record(record)
    check_engine(engine)
    check_seed(seed)
    check_kwargs(env_kwargs=env_kwargs, agent_kwargs=agent_kwargs)
    if parent is not None:
        table_of(parent)  # before an env is made for it
    env_id = full_id(env) if isinstance(env, str) else id_of(env)
    chosen = load_preset(env_id, preset)
    seed = secrets.randbits(31) if seed is None else int(seed)
    with _made(env, env_id, chosen, env_kwargs, wrappers, bins, parent) as made:
        env_seed, agent_seed = _seeds(seed)
        budget = budget_of(episodes, total_timesteps, chosen, env_id)
        learner = agent_for(agent, made, agent_kwargs, chosen, total_timesteps, agent_seed, goes_on=parent is not None)
        taken = take_values(learner, parent) if parent is not None and isinstance(learner, TableAgent) else None
        world = world_for(made, learner, engine)
        spec = _spec_of(made, by_name=isinstance(env, str))
        config = config_of(
            env_id, spec, made, learner, budget, preset, record, compiled=world is not None, initial_table=taken
        )
        # what an object brings with it is not known by its name
        key = cache_key(config, learner, seed) if isinstance(env, str) and not isinstance(agent, Agent) else ""
        if cache and store is not None and isinstance(env, str) and not isinstance(agent, Agent):
            _say_if_unknown(config)
        with _opened(store) as kept:
            found = find(kept, key, budget) if cache and key else None
            if found is not None and found.is_whole and found.ends_there:
                return _answered(found, kept, trust=found.record.config.env.spec == config.env.spec)
            if found is not None and world is None and not _goes_on_alone(spec, kept, found):
                found = None  # to play all of it again would take as long as to train anew
            seed_env(made, env_seed)
            ends = budget.after(learner)
            session = _gone_on(found, kept, made, learner, ends, config) if found is not None else None
            if session is not None:
                return _trained(session, world, progress=progress, cache="prefix", trust=True)
            started = kept.create_run(
                env_id, learner.name, seed=seed, config=config, cache_key=key, parents=parents_of(learner)
            )
            if parent is not None:  # its values may be gone when this run is resumed
                kept.append(started.id, checkpoint=checkpoint_of(made, learner, unfinished_episode=False))
            session = Session(kept, started, made, learner, ends, seed=env_seed)
            return _trained(session, world, progress=progress, cache="miss", trust=True)


def resume(
    run: Run,
    *,
    episodes: int | None = None,
    total_timesteps: int | None = None,
    engine: str = "auto",
    progress: bool = False,
    anyway: bool = False,
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

    Raises:
        UsageError: the run has already come so far, was not trained, or was made by other versions or other code.
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
    if not anyway:
        _check_versions(run)
    last = last_whole_checkpoint(run.store, run.id)
    env_seed, agent_seed = _seeds(run.seed)
    agent = run.make_agent(agent_seed)
    with closing(run.make_same_env(agent, anyway=anyway)) as env:
        check_fit(agent, env)
        world = world_for(env, agent, engine)
        if world is None and last is not None:
            bring_back(env, run.make_env(), run.store, run.record, last)
        seed_env(env, env_seed)
        config = replace(_as_of_now(config, env, agent), budget=budget_config(budget))
        begin = _continued if run.status == "finished" else _taken_over
        session = begin(run.store, run.record, last, env, agent, budget, config)
        return _trained(session, world, progress=progress, cache="prefix", trust=run.trust)


def _made(
    env: str | gym.Env[Any, Any],
    env_id: str,
    preset: Preset,
    env_kwargs: dict[str, Any] | None,
    wrappers: Sequence[str],
    bins: Asked | None,
    parent: Run | None,
) -> AbstractContextManager[gym.Env[Any, Any]]:
    """Makes an env, in wrappers and in bins, that is closed in the end; one that was given stays open."""
    by_name = isinstance(env, str)
    made = make_env(env_id, {**preset.env, **(env_kwargs or {})}) if by_name else make_env(env, env_kwargs)
    made = flattened(in_bins(wrap(made, wrappers), bins, preset.bins, parent))
    return closing(made) if by_name else nullcontext(made)


def _goes_on_alone(spec: str | None, store: Store, found: Found) -> bool:
    """Returns whether an env goes on from a stored prefix by its `np_random` alone; False if that is damaged."""
    twin = make_from_spec(spec or "", trust=True)  # as the env that was made by name
    try:
        return goes_on_by_np_random(twin, store, found.record, found.checkpoint)
    except (StoreError, UsageError):
        return False


def _spec_of(env: gym.Env[Any, Any], *, by_name: bool) -> str | None:
    """Returns the spec to store of an env; one that was given as an object may be another than its spec makes."""
    if by_name:
        check_same_again(env)
        return spec_json(env)
    return lasting_spec(env)


def _say_if_unknown(config: RunConfig) -> None:
    """Warns that a run is not cached because some of its code cannot be known."""
    reason = unknown_of(config.code)
    if reason and config.env.spec is not None:
        warnings.warn(f"this training is not cached: {reason}", stacklevel=3)


@contextmanager
def _opened(store: str | Path | Store | None) -> Iterator[Store]:
    """Opens the store that a run is kept in; what was opened here is closed again if no run comes of it."""
    if isinstance(store, Store):
        yield store
        return
    if store is not None and not isinstance(store, str | os.PathLike):
        raise UsageError(f"store must be a path, a URL or an open store, got {store!r}")
    with ExitStack() as unless_kept:
        yield unless_kept.enter_context(open_store("memory://" if store is None else store))
        unless_kept.pop_all()


def _answered(found: Found, store: Store, *, trust: bool) -> Run:
    """Returns a stored run that is what was asked for, and counts what that saved."""
    run = Run(found.record, store, cache="hit", cached_episodes=found.record.episodes, trust=trust)
    with suppress(StoreError):  # it may be open for reading only
        run.record = store.update_run(run.id, cache=run.record.cache.counted("hit", run.seconds))
    return run


def _seeds(seed: int) -> tuple[int, np.random.SeedSequence]:
    """Returns the seeds of the env and of the agent, from the run's."""
    env, agent = np.random.SeedSequence(seed).spawn(2)
    return int(env.generate_state(1)[0]), agent


def _trained(session: Session, world: Any, *, progress: bool, cache: str, trust: bool) -> Run:
    """Trains, and returns the run that came of it."""
    session.train(world, progress=progress)
    record = session.store.run(session.run.id)
    run = Run(record, session.store, cache=cache, cached_episodes=session.run.episodes, trust=trust)
    run.agent = session.agent
    run.agent.origins = (run.id,)
    return run


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


def _as_of_now(config: RunConfig, env: gym.Env[Any, Any], agent: Agent) -> RunConfig:
    """Returns a run's configuration with the versions and the code that go on with it, if they are others."""
    here, code = versions(), code_of(env, agent)
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


def _gone_on(
    found: Found, store: Store, env: gym.Env[Any, Any], agent: Agent, budget: Budget, config: RunConfig
) -> Session | None:
    """Goes on from what is stored, and counts what that saved; None, changing nothing, if that cannot be."""
    begin = _continued if found.record.status == "finished" else _taken_over
    try:
        session = begin(store, found.record, found.checkpoint, env, agent, budget, config)
    except StoreError:
        return None
    with suppress(StoreError):
        store.update_run(found.record.id, cache=found.record.cache.counted("prefix", session.run.seconds))
    return session


def _continued(
    store: Store,
    run: RunRecord,
    checkpoint: CheckpointInfo | None,
    env: gym.Env[Any, Any],
    agent: Agent,
    budget: Budget,
    config: RunConfig,
) -> Session:
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
        config=config,
        cache_key=run.cache_key,
        parents=[run.id],
        base=run.id,
        checkpoint=checkpoint,
    )
    with _or_undone(lambda: store.delete_run(begun.id)):
        restore(env, agent, state)
    return Session(store, begun, env, agent, _from_here(budget, agent, begun.episodes, begun.timesteps))


def _taken_over(
    store: Store,
    run: RunRecord,
    checkpoint: CheckpointInfo | None,
    env: gym.Env[Any, Any],
    agent: Agent,
    budget: Budget,
    config: RunConfig,
) -> Session:
    """Takes over a run that broke off, to train again what it stored after its last checkpoint, and then go on."""
    store.claim(run.id)
    with _or_undone(lambda: store.append(run.id, status="interrupted")):
        begun = store.run(run.id)
        stored = Stored(store, begun, checkpoint)
        state = None if checkpoint is None else store.checkpoint(run.id, checkpoint.episodes)
        if state is not None:
            restore(env, agent, state)
        store.append(run.id, config=config)
    budget = _from_here(budget, agent, stored.first_episode, stored.first_timestep)
    seed = None if stored.first_episode else _seeds(run.seed)[0]  # of the run's first reset
    return Session(store, begun, env, agent, budget, stored, seed=seed)


@contextmanager
def _or_undone(undo: Callable[[], None]) -> Iterator[None]:
    """Takes back what was written to the store if the run cannot be gone on with after all."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):
            undo()
        raise


def _from_here(budget: Budget, agent: Agent, episodes: int, timesteps: int) -> Budget:
    """Returns a run's budget in the counts of an agent, which may have learnt before the run began."""
    ahead_episodes, ahead_timesteps = agent.episodes - episodes, agent.timesteps - timesteps
    return Budget(min(UNLIMITED, budget.episodes + ahead_episodes), min(UNLIMITED, budget.timesteps + ahead_timesteps))
