"""`train` and `resume`: from what a caller asks for to a stored run."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import Agent
from rlbench.envs.making import full_id, id_of, make_env, seed_env
from rlbench.errors import StoreError, UsageError
from rlbench.presets import DEFAULT, Preset, load_preset
from rlbench.store import Store, open_store
from rlbench.training.budgets import budget_config, budget_of
from rlbench.training.cache import Found, cache_key, find
from rlbench.training.checkpoints import restore, whole_checkpoints
from rlbench.training.run import Run
from rlbench.training.session import Session
from rlbench.training.setup import (
    agent_for,
    check_engine,
    check_kwargs,
    check_record,
    check_seed,
    config_of,
    world_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import gymnasium as gym

    from rlbench.store import CheckpointInfo, RunConfig, RunRecord
    from rlbench.training.budgets import Budget


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
    agent_kwargs: dict[str, Any] | None = None,
    preset: str = DEFAULT,
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
        agent_kwargs: hyper-parameters of the agent, added to the preset's.
        preset: the name of a set of tuned parameters.
        cache: answer from the store what has been trained there before, in whole or as far as it goes; the result is
            the same. Only envs and agents given by name or class are known again.

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
    env_id = full_id(env) if isinstance(env, str) else id_of(env)
    chosen = load_preset(env_id, preset)
    seed = secrets.randbits(31) if seed is None else int(seed)
    with _made(env, env_id, chosen, env_kwargs) as made:
        env_seed, agent_seed = _seeds(seed)
        budget = budget_of(episodes, total_timesteps, chosen, env_id)
        learner = agent_for(agent, made, agent_kwargs, chosen, total_timesteps, agent_seed)
        world = world_for(made, learner, engine)
        config = config_of(env_id, made, learner, budget, preset, record, compiled=world is not None)
        # what an object brings with it is not known by its name
        key = cache_key(config, seed) if isinstance(env, str) and not isinstance(agent, Agent) else ""
        with _opened(store) as kept:
            found = find(kept, key, budget) if cache and key else None
            if found is not None and found.is_whole:
                return _answered(found, kept)
            seed_env(made, env_seed)
            ends = budget.after(learner)
            begun = _taken_over(found, kept, made, learner, config) if found is not None else None
            started = begun or kept.create_run(env_id, learner.name, seed=seed, config=config, cache_key=key)
            session = Session(kept, started, made, learner, ends)
            return _trained(session, world, progress=progress, cache="prefix" if begun else "miss")


def resume(
    run: Run,
    *,
    episodes: int | None = None,
    total_timesteps: int | None = None,
    engine: str = "auto",
    progress: bool = False,
) -> Run:
    """Goes on with a stored run, as if it had never stopped: same tables, episodes and generators, byte for byte.

    Args:
        run: as `load_run` returns it. What it stored after its last checkpoint is made again.
        episodes: the run's new budget, counted from its beginning; by default the one that it was begun with.
        total_timesteps: likewise.
        engine: as in `train`.
        progress: as in `train`.

    Raises:
        UsageError: the run has already come so far.
        StoreError: another process is writing it, or its env or agent cannot be made again.
    """
    config = run.record.config
    check_record(config.record)
    check_engine(engine)
    if config.was_retrained:
        raise UsageError(
            f"run {run.id} was learnt from stored steps: retrain again, there is no training to go on with"
        )
    if episodes is None and total_timesteps is None:
        episodes, total_timesteps = config.budget.episodes, config.budget.total_timesteps
    budget = budget_of(episodes, total_timesteps, Preset(), run.env_id)
    last = next(reversed(whole_checkpoints(run.store, run.record)), None)
    _check_further(run, last, budget)
    with closing(run.make_env()) as env:
        env_seed, agent_seed = _seeds(run.seed)
        agent = run.make_agent(agent_seed)
        world = world_for(env, agent, engine)
        seed_env(env, env_seed)
        run.store.claim(run.id)
        config = replace(config, budget=budget_config(budget))
        started = _go_back(run.store, run.record, last, env, agent, config)
        return _trained(Session(run.store, started, env, agent, budget), world, progress=progress, cache="prefix")


def _made(
    env: str | gym.Env[Any, Any], env_id: str, preset: Preset, env_kwargs: dict[str, Any] | None
) -> AbstractContextManager[gym.Env[Any, Any]]:
    """Makes an env that is closed in the end; one that was given stays open."""
    if isinstance(env, str):
        return closing(make_env(env_id, {**preset.env, **(env_kwargs or {})}))
    return nullcontext(make_env(env, env_kwargs))


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


def _answered(found: Found, store: Store) -> Run:
    """Returns what is stored, as a run of the budget that was asked for, and counts it as saved."""
    until = found.checkpoint if found.checkpoint.episodes < found.record.episodes else None
    run = Run(found.record, store, until, cache="hit", cached_episodes=found.checkpoint.episodes)
    with suppress(StoreError):  # it may be open for reading only
        cache = run.record.config.cache.counted("hit", run.seconds)
        run.record = store.update_run(run.id, config=replace(run.record.config, cache=cache))
    return run


def _seeds(seed: int) -> tuple[int, np.random.SeedSequence]:
    """Returns the seeds of the env and of the agent, from the run's."""
    env, agent = np.random.SeedSequence(seed).spawn(2)
    return int(env.generate_state(1)[0]), agent


def _trained(session: Session, world: Any, *, progress: bool, cache: str) -> Run:
    """Trains, and returns the run that came of it."""
    session.train(world, progress=progress)
    started = session.run
    run = Run(session.store.run(started.id), session.store, cache=cache, cached_episodes=started.episodes)
    run.agent = session.agent
    return run


def _check_further(run: Run, last: CheckpointInfo | None, budget: Budget) -> None:
    """Refuses a budget that a finished run has spent, or that lies before the place to go on from."""
    episodes, timesteps = (last.episodes, last.timesteps) if last is not None else (0, 0)
    is_behind = budget.episodes < episodes or budget.timesteps < timesteps
    if is_behind or (run.status == "finished" and (budget.episodes == episodes or budget.timesteps == timesteps)):
        raise UsageError(
            f"run {run.id} has come to {episodes:,} episodes, {timesteps:,} steps: "
            "give more episodes or timesteps than that to go on with it"
        )


def _taken_over(
    found: Found, store: Store, env: gym.Env[Any, Any], agent: Agent, config: RunConfig
) -> RunRecord | None:
    """Takes a stored run over, to go on with it; None if another process was faster."""
    try:
        store.claim(found.record.id)
    except StoreError:
        return None
    saved = Run(found.record, store, found.checkpoint).seconds
    cache = found.record.config.cache.counted("prefix", saved)
    return _go_back(store, found.record, found.checkpoint, env, agent, replace(config, cache=cache))


def _go_back(
    store: Store,
    run: RunRecord,
    checkpoint: CheckpointInfo | None,
    env: gym.Env[Any, Any],
    agent: Agent,
    config: RunConfig,
) -> RunRecord:
    """Puts a claimed run, its env and its agent where a checkpoint was taken, or at the beginning."""
    state = store.checkpoint(run.id, checkpoint.episodes) if checkpoint is not None else None
    if state is not None:
        restore(env, agent, state)
    store.rewind(run.id, checkpoint)
    return store.update_run(run.id, config=config, evaluation=None)
