"""`train`: from a request to a stored run."""

from __future__ import annotations

import os
import secrets
import warnings
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.agents import Agent, TableAgent
from rlbench.envs.again import check_same_again, lasting_spec
from rlbench.envs.flattening import flattened
from rlbench.envs.making import full_id, id_of, make_env, seed_env, spec_json
from rlbench.envs.wrapping import wrap
from rlbench.errors import StoreError, UsageError
from rlbench.presets import DEFAULT, Preset, load_preset
from rlbench.store import Store, open_store
from rlbench.store.config import EVAL_EPISODES
from rlbench.store.documents import ANNOTATIONS, clean
from rlbench.training.binning import in_bins
from rlbench.training.budgets import budget_of
from rlbench.training.cache import Found, cache_key, find, reason_unknown
from rlbench.training.callbacks import check_callbacks
from rlbench.training.checkpoints import checkpoint_of
from rlbench.training.parents import table_of, take_values
from rlbench.training.resuming import Wanted, goes_on_alone, gone_on, seeds_of, trained
from rlbench.training.run import Run
from rlbench.training.session import Session
from rlbench.training.setup import (
    agent_for,
    check_engine,
    check_kwargs,
    check_record,
    check_seed,
    config_of,
    evaluating_of,
    naming_unknown,
    world_for,
)
from rlbench.training.stored import parents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import gymnasium as gym

    from rlbench.store import RunConfig, RunRecord
    from rlbench.training.binning import Asked
    from rlbench.training.callbacks import Callback


class Labels(NamedTuple):
    """What a person calls a run, which decides nothing."""

    tags: list[str]
    note: str

    def put_on(self, store: Store, run: RunRecord) -> None:
        """Adds the tags that a run lacks, and the note if there is one."""
        missing = [tag for tag in dict.fromkeys(self.tags) if tag not in run.tags]
        if missing or self.note:
            store.update_run(run.id, tags=[*run.tags, *missing], note=self.note or run.note)


@naming_unknown
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
    progress: bool | Callable[[float], object] = False,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[str] = (),
    bins: Asked | None = None,
    agent_kwargs: dict[str, Any] | None = None,
    preset: str = DEFAULT,
    parent: Run | None = None,
    cache: bool = True,
    callbacks: Sequence[Callback] = (),
    eval_every: int | None = None,
    eval_episodes: int = EVAL_EPISODES,
    tags: Iterable[str] = (),
    note: str = "",
) -> Run:
    """Trains an agent on an env and stores what happened.

    Args:
        env: an id ("FrozenLake-v1"), a short name ("safecab", "cartpole") or an env with Discrete spaces.
        agent: a name ("q-learning"), a class or an agent; an agent goes on from where it is.
        episodes: stop after this many.
        total_timesteps: stop with the episode in which this many steps are reached; with `episodes`, the first to come.
            In an env without a step limit an episode is cut off after 100,000 steps, so that this ends a task that
            never does; the value of the state after the last step counts. Without either, the preset of the env says.
        seed: of all the run's generators; None draws one and records it.
        store: a URL, path or open store; None keeps the run in memory.
        record: "all" stores every step, "none" the figures of each episode only.
        engine: "compiled", "python", or "auto": compiled where env and agent allow. The result is the same.
        progress: show a bar on a terminal, for anything over a second; a function is called with the share that is
            done instead.
        env_kwargs: arguments of the env, added to the preset's.
        wrappers: to put round the env, each "NAME" or "NAME:argument=value,..."; see `rlbench.envs.wrapping.wrap`.
        bins: of Box observations, so that they can index a table: a number for each dimension ("6,6,12,12"), "kmeans:K"
            or "quantile:K", fitted on 10,000 random steps, a JSON file or a dict with arguments of `Discretize`.
        agent_kwargs: hyper-parameters of the agent, added to the preset's. `learning_rate` and `exploration_schedule`
            may be functions of the share of the training that remains, from 1 to 0; the readable loop then runs.
        preset: the name of a set of tuned parameters.
        parent: begin with the values of this run's agent, in its bins; counters, generators and schedules begin anew,
            exploration at its final value unless `agent_kwargs` say how.
        cache: answer from the store what has been trained there before, in whole or as far as it goes; the result is
            the same. Only envs and agents given by name or class are known again, and only as long as their code is
            the same; a warning says when it cannot be known.
        callbacks: called between episodes, at the same places in both loops; they may end the training. See
            `rlbench.Callback`.
        eval_every: play greedy episodes each time this many episodes of training end, in an env and with generators of
            their own, so that training is the same bit for bit. Their mean returns are stored with the run's figures.
        eval_episodes: how many of them.
        tags: labels of the run, by which it is listed; they decide nothing, and a run that the cache answers with, or
            goes on with, gets those that it lacks.
        note: text about it; "" leaves that of a run from the cache as it is.

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
    check_callbacks(callbacks, eval_every)
    labels = Labels(**clean({"tags": tags, "note": note}, ANNOTATIONS))
    if parent is not None:
        table_of(parent)  # before an env is made for it
    env_id = full_id(env) if isinstance(env, str) else id_of(env)
    chosen = load_preset(env_id, preset)
    seed = secrets.randbits(31) if seed is None else int(seed)
    with _made(env, env_id, chosen, env_kwargs, wrappers, bins, parent) as made:
        env_seed, agent_seed = seeds_of(seed)
        budget = budget_of(episodes, total_timesteps, chosen, env_id)
        learner = agent_for(agent, made, agent_kwargs, chosen, budget, agent_seed, goes_on=parent is not None)
        taken = take_values(learner, parent) if parent is not None and isinstance(learner, TableAgent) else None
        world = world_for(made, learner, engine)
        spec = _spec_of(made, by_name=isinstance(env, str))
        config = config_of(
            env_id,
            spec,
            made,
            learner,
            budget,
            preset,
            record,
            compiled=world is not None,
            initial_table=taken,
            callbacks=callbacks,
            evaluating=evaluating_of(eval_every, eval_episodes, spec),
        )
        # its name does not tell all about an object
        key = cache_key(config, seed) if isinstance(env, str) and not isinstance(agent, Agent) else ""
        if cache and store is not None and isinstance(env, str) and not isinstance(agent, Agent):
            _say_if_unknown(config)
        wanted = Wanted(made, learner, budget.after(learner), config, callbacks)
        with _opened(store) as kept:
            found = find(kept, key, budget) if cache and key else None
            if found is not None and found.is_whole and found.ends_there:
                return _answered(found, kept, labels, trust=found.record.config.env.spec == spec)
            if found is not None and world is None and not goes_on_alone(spec, kept, found):
                found = None  # playing all of it again would take as long as training anew
            seed_env(made, env_seed)
            session = None if found is None else gone_on(found, kept, wanted)
            if session is not None:
                labels.put_on(kept, session.run)
                return trained(session, world, progress=progress, cache="prefix", trust=True)
            session = _begun(kept, wanted, seed, key)
            labels.put_on(kept, session.run)
            return trained(session, world, progress=progress, cache="miss", trust=True)


def _made(
    env: str | gym.Env[Any, Any],
    env_id: str,
    preset: Preset,
    env_kwargs: dict[str, Any] | None,
    wrappers: Sequence[str],
    bins: Asked | None,
    parent: Run | None,
) -> AbstractContextManager[gym.Env[Any, Any]]:
    """Makes an env, in wrappers and bins, and closes it in the end; an env that was given stays open."""
    by_name = isinstance(env, str)
    made = make_env(env_id, {**preset.env, **(env_kwargs or {})}) if by_name else make_env(env, env_kwargs)
    made = flattened(in_bins(wrap(made, wrappers), bins, preset.bins, parent))
    return closing(made) if by_name else nullcontext(made)


def _spec_of(env: gym.Env[Any, Any], *, by_name: bool) -> str | None:
    """Returns the spec to store of an env; one that was given as an object may be another than its spec makes."""
    if by_name:
        check_same_again(env)
        return spec_json(env)
    return lasting_spec(env)


def _say_if_unknown(config: RunConfig) -> None:
    """Warns that a run is not cached because some of its code cannot be known."""
    reason = reason_unknown(config)
    if reason and config.env.spec is not None:
        warnings.warn(f"this training is not cached: {reason}", stacklevel=4)


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


def _answered(found: Found, store: Store, labels: Labels, *, trust: bool) -> Run:
    """Returns a stored run that answers the request, labels it, and counts the time that saved."""
    run = Run(found.record, store, cache="hit", cached_episodes=found.record.episodes, trust=trust)
    with suppress(StoreError):  # it may be open for reading only
        labels.put_on(store, run.record)
        run.record = store.update_run(run.id, cache=run.record.cache.counted("hit", run.seconds))
    return run


def _begun(store: Store, wanted: Wanted, seed: int, key: str) -> Session:
    """Begins a new run; if it begins with a parent's values it keeps them, for the parent may be deleted."""
    env, agent, budget, config, callbacks = wanted
    parents = parents_of(agent)
    run = store.create_run(config.env.id, agent.name, seed=seed, config=config, cache_key=key, parents=parents)
    if config.initial_table is not None:
        store.append(run.id, checkpoint=checkpoint_of(env, agent, unfinished_episode=False))
    return Session(store, run, env, agent, budget, seed=seeds_of(seed)[0], callbacks=callbacks)
