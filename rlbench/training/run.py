"""A run: an env, an agent, a seed and a budget, and what came of them."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rlbench._shown import Shown
from rlbench.agents import AGENTS
from rlbench.agents.base import sizes_of
from rlbench.agents.saving import BELIEVED, proof_of_size
from rlbench.envs.actions import action_names
from rlbench.envs.again import check_same_again
from rlbench.envs.layouts import layout_of
from rlbench.envs.making import make_from_spec
from rlbench.errors import RlbenchError, StoreError, unknown_name
from rlbench.store import Store, open_store
from rlbench.store.copying import backup
from rlbench.store.frames import figures_dataframe
from rlbench.training.checkpoints import load
from rlbench.training.code import check_same_code
from rlbench.training.finding import find_run, has_agent

if TYPE_CHECKING:
    import os
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from pandas import DataFrame

    from rlbench.agents import Agent
    from rlbench.envs.layouts import Layout
    from rlbench.store import Checkpoint, RunRecord


@dataclass(eq=False)
class Run(Shown):
    """A run, as `train` returns it and `load_run` reads it back.

    Attributes:
        record: what the store keeps of it: id, env, configuration, counts, evaluation.
        store: where it lives.
        cache: how `train` came by it: "miss" (trained), "hit" (stored before), "prefix" (went on from what was stored).
        cached_episodes: how many of its episodes were stored before.
        trust: make its env from whatever the store says, code included; else only from what is known to do no harm.
    """

    record: RunRecord
    store: Store
    cache: str = "miss"
    cached_episodes: int = 0
    trust: bool = False

    @property
    def id(self) -> str:
        """The run's id: 12 hexadecimal digits."""
        return self.record.id

    @property
    def env_id(self) -> str:
        """The id of the env it was trained on."""
        return self.record.env_id

    @property
    def agent_name(self) -> str:
        """The name of its agent."""
        return self.record.agent_name

    @property
    def seed(self) -> int:
        """The seed from which every generator of the run was spawned."""
        return self.record.seed

    @property
    def episodes(self) -> int:
        """The number of episodes played."""
        return self.record.episodes

    @property
    def timesteps(self) -> int:
        """The number of steps taken."""
        return self.record.timesteps

    @property
    def seconds(self) -> float:
        """The time of training alone: without imports, compilation and evaluation."""
        return self.record.seconds

    @property
    def status(self) -> str:
        """running, finished or interrupted."""
        return self.record.status

    @property
    def engine(self) -> str:
        """Which loop ran: compiled or python."""
        return self.record.config.engine

    @property
    def has_agent(self) -> bool:
        """Whether it keeps an agent that this program knows."""
        return has_agent(self.record)

    @cached_property
    def agent(self) -> Agent:
        """The learnt agent, rebuilt from the run's last checkpoint.

        Raises:
            StoreError: the run has no checkpoint.
            UnknownNameError: the agent's class is not registered here.
        """
        agent = self.make_agent()
        load(agent, self._checkpoint(), f"run {self.id}")
        agent.origins = (self.id,)
        return agent

    def make_agent(self, seed: np.random.SeedSequence | None = None) -> Agent:
        """Makes an agent with this run's parameters, which has learnt nothing yet."""
        if self.agent_name not in AGENTS:
            raise unknown_name("agent", self.agent_name, AGENTS)
        agent = self.record.config.agent
        if agent.n_states is None or agent.n_actions is None:
            raise StoreError(f"run {self.id} does not say how many states and actions its agent has")
        if agent.n_states * agent.n_actions > BELIEVED:
            self._confirm((agent.n_states, agent.n_actions))
        return AGENTS[self.agent_name](agent.n_states, agent.n_actions, seed=seed, **agent.parameters)

    def _confirm(self, sizes: tuple[int, int]) -> None:
        """Compares the states and actions of a large agent with its stored table or its env, before it takes memory."""
        checkpoint = self.store.checkpoint(self.id)
        table = None if checkpoint is None else proof_of_size(checkpoint.arrays)
        if table is None:
            with closing(self.make_env()) as env:
                found: tuple[int, ...] = sizes_of(env, self.agent_name)
        else:
            found = table.shape
        if found != sizes:
            raise StoreError(f"run {self.id} is damaged: its agent is for {sizes} states and actions, not for {found}")

    def _checkpoint(self) -> Checkpoint:
        checkpoint = self.store.checkpoint(self.id)
        if checkpoint is None:
            raise StoreError(f"run {self.id} has no checkpoint: it was killed before its first one")
        return checkpoint

    @cached_property
    def figures(self) -> dict[str, NDArray[Any]]:
        """Figures of each episode: return, length, exploration_rate, explored, action_counts, and what else is kept."""
        return self.store.figures(self.id)

    @property
    def returns(self) -> NDArray[np.float64]:
        """The return of each episode, shape (episodes,)."""
        return self.figures["return"]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of steps of each episode, shape (episodes,)."""
        return self.figures["length"]

    def make_env(self, **extra: Any) -> gym.Env[Any, Any]:
        """Makes the env of this run again.

        Raises:
            StoreError: it was an env object without a spec that can be stored, or its spec names what is not trusted.
        """
        spec = self.record.config.env.spec
        if spec is None:
            raise StoreError(f"run {self.id} cannot make {self.env_id} again (it has no storable spec): pass env=")
        return make_from_spec(spec, trust=self.trust, **extra)

    def make_same_env(self, agent: Agent | None = None, *, anyway: bool = False) -> gym.Env[Any, Any]:
        """Makes the env again for whoever judges the run, shows it live or goes on with it.

        Args:
            agent: an agent of the run, whose code counts too.
            anyway: take other code than the run was trained with.

        Raises:
            UsageError: the env is another each time it is made, or its code or the agent's was edited since.
            StoreError: as of `make_env`.
        """
        with ExitStack() as unless_same:
            env = unless_same.enter_context(closing(self.make_env()))
            check_same_again(env)
            if not anyway:
                check_same_code(self.record, env, agent)
            unless_same.pop_all()
        return env

    def layout(self) -> Layout | None:
        """Returns how the env's states lie on paper; None if nobody knows, or the env cannot be made here."""
        return self._told[0]

    def action_names(self) -> tuple[str, ...]:
        """Returns what the env's actions are called; empty if nobody knows, or the env cannot be made here."""
        return self._told[1]

    @cached_property
    def _told(self) -> tuple[Layout | None, tuple[str, ...]]:
        """What its env says of its layout and its actions; asked once, for a report asks ten times."""
        try:
            env = self.make_env()
        except (RlbenchError, gym.error.Error, ImportError):
            return None, ()
        with closing(env):
            return layout_of(env), action_names(env) or ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the run alone to a new store, one SQLite file, from which `load_run(path)` reads it back.

        Raises:
            StoreError: the file exists or cannot be written, or the run is damaged.
        """
        backup(self.store, path, [self])

    def to_dataframe(self) -> DataFrame:
        """Returns the figures as a pandas DataFrame, a row an episode (extra `plots`)."""
        return figures_dataframe(self.figures)

    def __repr__(self) -> str:
        return (
            f"Run({self.id}: {self.agent_name} on {self.env_id}, seed {self.seed}, "
            f"{self.episodes:,} episodes, {self.timesteps:,} steps, {self.status})"
        )


def load_run(store: Store | str | Path, ref: str = "latest", *, needs: str = "", trust: bool = False) -> Run:
    """Reads a run back.

    Args:
        store: an open store, or the URL or path of one that exists; it stays open for the run.
        ref: an id, a unique prefix of one, "latest", or "best": the highest evaluation in the latest run's env.
        needs: what "latest" and "best" must have: "agent", "episodes", "steps" or "training".
        trust: see `Run`.
    """
    opened = store if isinstance(store, Store) else open_store(store, create=False)
    return Run(find_run(opened, ref, needs=needs), opened, trust=trust)
