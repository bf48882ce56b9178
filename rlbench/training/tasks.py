"""Tasks: what a request for training decides whatever its seed, worked out once and trained with each of many."""

from __future__ import annotations

import os
import secrets
import warnings
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import gymnasium as gym

from rlbench.agents import AGENTS, Agent, TableAgent
from rlbench.envs.again import check_same_again, lasting_spec
from rlbench.envs.flattening import flattened
from rlbench.envs.making import full_id, id_of, make_env, remembers, seed_env, spec_json
from rlbench.envs.wrapping import wrap
from rlbench.errors import StoreError, UsageError
from rlbench.presets import preset_of
from rlbench.store import Store, open_store
from rlbench.store.documents import ANNOTATIONS, clean
from rlbench.training.binning import in_bins
from rlbench.training.budgets import budget_of
from rlbench.training.cache import cache_key, find, known_by, reason_unknown
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
    world_for,
)
from rlbench.training.stored import parents_of
from rlbench.training.truth import compared, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from rlbench.presets import AskedPreset, Preset
    from rlbench.store import RunConfig, RunRecord
    from rlbench.training.binning import Asked
    from rlbench.training.cache import Found
    from rlbench.training.callbacks import Callback


class Request(NamedTuple):
    """The arguments of `train` that decide what is trained, but for the seed."""

    env: str | gym.Env[Any, Any]
    agent: str | type[Agent] | Agent
    episodes: int | None
    total_timesteps: int | None
    record: str
    engine: str
    env_kwargs: dict[str, Any] | None
    wrappers: Sequence[str]
    bins: Asked | None
    agent_kwargs: dict[str, Any] | None
    preset: AskedPreset
    parent: Run | None
    callbacks: Sequence[Callback]
    eval_every: int | None
    eval_episodes: int

    def check(self) -> None:
        """Refuses what can be seen to be wrong before an env is made."""
        check_record(self.record)
        check_engine(self.engine)
        check_kwargs(env_kwargs=self.env_kwargs, agent_kwargs=self.agent_kwargs)
        check_callbacks(self.callbacks, self.eval_every)
        if self.parent is not None:
            table_of(self.parent)

    @property
    def is_by_name(self) -> bool:
        """Whether the same is made of it each time: a name does not tell all about an object."""
        return isinstance(self.env, str) and not isinstance(self.agent, Agent)


class Labels(NamedTuple):
    """What a person calls a run, which decides nothing."""

    tags: list[str]
    note: str

    def put_on(self, store: Store, run: RunRecord) -> None:
        """Adds the tags that a run lacks, and the note if there is one; lists it even if a study made it."""
        if not run.is_listed:
            store.list_run(run.id)
        missing = [tag for tag in dict.fromkeys(self.tags) if tag not in run.tags]
        if missing or self.note:
            store.update_run(run.id, tags=[*run.tags, *missing], note=self.note or run.note)


class Plan(NamedTuple):
    """What the first agent of a task tells of all of them."""

    world: Any  # compiled; None for the readable loop
    config: RunConfig
    known_by: str  # and a seed: what its run is known by, see `cache_key`
    truth: NDArray[np.float64] | None  # see `truth_of`


class Task:
    """What to train, whatever the seed: its env is made here, and its plan with the first agent."""

    def __init__(self, request: Request) -> None:
        request.check()
        self.request, self._made_by = request, _makers(request)
        self._plan: Plan | None = None
        self.env_id = full_id(request.env) if isinstance(request.env, str) else id_of(request.env)
        self.preset = preset_of(self.env_id, request.preset)
        with ExitStack() as unless_begun:
            self.env = unless_begun.enter_context(_made(request, self.env_id, self.preset))
            self.budget = budget_of(request.episodes, request.total_timesteps, self.preset, self.env_id)
            self._opened = unless_begun.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the env, unless it was given."""
        self._opened.close()

    def serves(self, request: Request) -> bool:
        """Returns whether a further run of another request can be trained by this task.

        It can where the two have the same arguments and the compiled loop runs, which changes nothing of an env but
        the generator that each run gives it anew.
        """
        is_lasting = request.is_by_name and self._plan is not None and self._plan.world is not None
        are_same = all(one is other for one, other in zip(self.request, request, strict=True))
        return is_lasting and are_same and _makers(request) == self._made_by

    def train(
        self,
        *,
        seed: int | None,
        store: str | Path | Store | None,
        progress: bool | Callable[[float], object],
        cache: bool,
        tags: Iterable[str],
        note: str,
        callbacks: Sequence[Callback],
    ) -> Run:
        """Trains with a seed; see `rlbench.train`. The callbacks are those of the request, or copies."""
        check_seed(seed)
        labels = Labels(**clean({"tags": tags, "note": note}, ANNOTATIONS))
        seed = secrets.randbits(31) if seed is None else int(seed)
        env_seed, agent_seed = seeds_of(seed)
        learner, plan = self._begun(agent_seed)
        if cache and store is not None and self.request.is_by_name:
            _say_if_unknown(plan.config)
        wanted = Wanted(self.env, learner, self.budget.after(learner), plan.config, callbacks)
        key = cache_key(plan.known_by, seed)
        with kept_on_success(store) as kept:
            found = find(kept, key, wanted.budget) if cache and key and store is not None else None
            if found is not None and found.is_whole and found.ends_there:
                return _answered(found, kept, labels, trust=found.record.config.env.spec == plan.config.env.spec)
            is_known = plan.world is not None and not remembers(self.env)
            if found is not None and not is_known and not goes_on_alone(plan.config.env.spec, kept, found):
                found = None  # playing all of it again would take as long as training anew
            seed_env(self.env, env_seed)
            session = None if found is None else gone_on(found, kept, wanted)
            is_new = session is None
            session = session or _begun(kept, wanted, seed, env_seed, key)
            labels.put_on(kept, session.run)
            return trained(session, plan.world, progress=progress, cache="miss" if is_new else "prefix", trust=True)

    def _begun(self, seed: np.random.SeedSequence) -> tuple[Agent, Plan]:
        """Makes an agent, and with the first the plan."""
        request, parent = self.request, self.request.parent
        goes_on = parent is not None
        agent = agent_for(
            request.agent, self.env, request.agent_kwargs, self.preset, self.budget, seed, goes_on=goes_on
        )
        taken = take_values(agent, parent) if parent is not None and isinstance(agent, TableAgent) else None
        self._plan = self._plan or self._planned(agent, taken)
        compared(agent, self._plan.truth)
        return agent, self._plan

    def _planned(self, agent: Agent, taken: str | None) -> Plan:
        request = self.request
        world = world_for(self.env, agent, request.engine)
        spec = _spec_of(self.env, by_name=isinstance(request.env, str))
        config = config_of(
            self.env_id,
            spec,
            self.env,
            agent,
            self.budget.after(agent),
            self.preset.name,
            request.record,
            compiled=world is not None,
            initial_table=taken,
            callbacks=request.callbacks,
            evaluating=evaluating_of(request.eval_every, request.eval_episodes, spec),
        )
        return Plan(world, config, known_by(config) if request.is_by_name else "", truth_of(self.env, agent))


def _makers(request: Request) -> tuple[object, object]:
    """Returns what makes the env and the agent of a request now, if they are given by their names."""
    env = gym.registry.get(full_id(request.env)) if isinstance(request.env, str) else None
    return env, AGENTS.get(request.agent) if isinstance(request.agent, str) else None


def _made(request: Request, env_id: str, preset: Preset) -> AbstractContextManager[gym.Env[Any, Any]]:
    """Makes an env, in wrappers and bins, and closes it in the end; an env that was given stays open."""
    by_name = isinstance(request.env, str)
    kwargs = {**preset.env, **(request.env_kwargs or {})}
    made = make_env(env_id, kwargs) if by_name else make_env(request.env, request.env_kwargs)
    made = flattened(in_bins(wrap(made, request.wrappers), request.bins, preset.bins, request.parent))
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
        warnings.warn(f"this training is not cached: {reason}", stacklevel=5)


@contextmanager
def kept_on_success(store: str | Path | Store | None, *, create: bool = True) -> Iterator[Store]:
    """Opens the store of a run or a study, which keeps it; what was opened here is closed again if none comes of it."""
    if isinstance(store, Store):
        yield store
        return
    if store is not None and not isinstance(store, str | os.PathLike):
        raise UsageError(f"store must be a path, a URL or an open store, got {store!r}")
    with ExitStack() as unless_kept:
        yield unless_kept.enter_context(open_store("memory://" if store is None else store, create=create))
        unless_kept.pop_all()


def _answered(found: Found, store: Store, labels: Labels, *, trust: bool) -> Run:
    """Returns a stored run that answers the request, labels it, and counts the time that saved."""
    run = Run(found.record, store, cache="hit", cached_episodes=found.record.episodes, trust=trust)
    with suppress(StoreError):  # it may be open for reading only
        labels.put_on(store, run.record)
        run.record = store.update_run(run.id, cache=run.record.cache.counted("hit", run.seconds))
    return run


def _begun(store: Store, wanted: Wanted, seed: int, env_seed: int, key: str) -> Session:
    """Begins a new run; if it begins with a parent's values it keeps them, for the parent may be deleted."""
    env, agent, budget, config, callbacks = wanted
    parents = parents_of(agent)
    run = store.create_run(config.env.id, agent.name, seed=seed, config=config, cache_key=key, parents=parents)
    if config.initial_table is not None:
        store.append(run.id, checkpoint=checkpoint_of(env, agent, unfinished_episode=False))
    return Session(store, run, env, agent, budget, seed=env_seed, callbacks=callbacks)
