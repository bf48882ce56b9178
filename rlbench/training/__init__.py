"""Training: an agent meets an env, by the readable loop or the compiled one, and what happens is stored."""

from __future__ import annotations

import platform
import secrets
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding

from rlbench.agents import Agent, make_agent
from rlbench.agents.base import count_of
from rlbench.envs import SHORT_NAMES
from rlbench.errors import UsageError, unknown_name
from rlbench.presets import DEFAULT, Preset, load_preset
from rlbench.random_state import generator_state
from rlbench.store import Checkpoint, EpisodeChunk, Store, open_store
from rlbench.training.environment import make_env, spec_json, step_limit
from rlbench.training.loops import UNLIMITED, Budget, compiled_loop, readable_loop
from rlbench.training.monitor import Monitor, stopping_on_interrupt
from rlbench.training.recorder import Recorder
from rlbench.training.run import Run, load_run
from rlbench.training.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

ENGINES = ("auto", "compiled", "python")
RECORDS = ("all", "none")
ALGORITHM_VERSION = 1  # raised whenever the same seed would give another result


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

    Returns:
        The run: its agent, its returns and lengths (one an episode), its id in the store.

    Raises:
        UsageError: an argument is wrong; the message says which and what to do.
        StoreError: the store cannot be opened or written.
    """
    _check_words(record, engine, seed)
    env_id = SHORT_NAMES.get(env, env) if isinstance(env, str) else _id_of(env)
    chosen = load_preset(env_id, preset)
    made = make_env(env, {**chosen.env, **(env_kwargs or {})} if isinstance(env, str) else env_kwargs)
    try:
        seed = secrets.randbits(31) if seed is None else int(seed)
        env_seed, agent_seed = np.random.SeedSequence(seed).spawn(2)
        budget = _budget(episodes, total_timesteps, chosen, env_id)
        learner = _agent(agent, made, agent_kwargs, chosen, total_timesteps, agent_seed)
        world = _world(made, learner, engine)
        kept = open_store(store if store is not None else "memory://") if not isinstance(store, Store) else store
        config = {
            "env": {"id": env_id, "spec": spec_json(made)},
            "agent": {
                "name": learner.name,
                "parameters": learner.config(),
                "n_states": learner.n_states,
                "n_actions": learner.n_actions,
            },
            "budget": {"episodes": _finite(budget.episodes), "total_timesteps": _finite(budget.timesteps)},
            "preset": preset,
            "engine": "python" if world is None else "compiled",
            "record": record,
            "versions": _versions(),
        }
        run = kept.create_run(env_id=env_id, agent_name=learner.name, seed=seed, config=config)
        made.unwrapped.np_random, _ = seeding.np_random(int(env_seed.generate_state(1)[0]))
        session = _Session(kept, run.id, made, learner, budget)
        session.train(world, recording=record == "all", progress=progress)
    finally:
        if isinstance(env, str):
            made.close()
    finished = Run(kept.run(run.id), kept)
    finished.agent = learner
    return finished


@dataclass
class _Session:
    """One stretch of training of one run: what the loops, the store and the clock share."""

    store: Store
    run_id: str
    env: gym.Env[Any, Any]
    agent: Agent
    budget: Budget
    seconds: float = 0.0

    def train(self, world: Any, *, recording: bool, progress: bool) -> None:
        """Runs the loop and leaves the run finished or interrupted, with a checkpoint of the agent."""
        if world is not None:
            _warm_up(world, self.agent)
        monitor = Monitor(self.agent, self.budget, shown=progress)
        with Writer(lambda chunk: self.store.append(self.run_id, chunk)) as writer:

            def sink(chunk: EpisodeChunk) -> None:
                monitor.hear(_checked(chunk))
                writer.put(chunk)

            recorder = Recorder(
                self.agent.n_actions, recording=recording, episode_steps=step_limit(self.env), sink=sink
            )
            status = "interrupted"
            started = time.perf_counter()
            try:
                with stopping_on_interrupt(self.budget):
                    self._loop(world, recorder, monitor)
                    if recording:  # writing the steps is part of such training
                        recorder.flush()
                        writer.wait()
                status = "interrupted" if self.budget.stop else "finished"
            finally:
                self.seconds = time.perf_counter() - started
                monitor.close()
                recorder.flush()
                writer.wait()
                self._close(status)

    def _loop(self, world: Any, recorder: Recorder, monitor: Monitor) -> None:
        if world is None:
            readable_loop(self.env, self.agent, self.budget, recorder, monitor.look)
        else:
            compiled_loop(world, self.env, self.agent, self.budget, recorder, monitor.look)

    def _close(self, status: str) -> None:
        state = self.agent.state_dict()
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        numbers = {name: value for name, value in state.items() if name not in arrays}
        env_rng = generator_state(self.env.unwrapped.np_random)
        checkpoint = Checkpoint(
            episodes=self.agent.episodes,
            timesteps=self.agent.timesteps,
            arrays=arrays,
            numbers={"agent": numbers, "env_rng": env_rng},
        )
        self.store.append(self.run_id, checkpoint=checkpoint, status=status, seconds=self.seconds)


def _checked(chunk: EpisodeChunk) -> EpisodeChunk:
    bad = np.flatnonzero(~np.isfinite(chunk.figures["return"]))
    if len(bad):
        episode = chunk.first_episode + int(bad[0])
        raise UsageError(f"the env gave a reward that is not finite in episode {episode}: expected real numbers")
    return chunk


def _check_words(record: str, engine: str, seed: int | None) -> None:
    if record not in RECORDS:
        raise unknown_name("record", record, RECORDS)
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
        raise UsageError(f"seed must be a whole number, 0 or more, got {seed!r}")


def _id_of(env: gym.Env[Any, Any]) -> str:
    if not isinstance(env, gym.Env):
        raise UsageError(f"env must be an id, a short name or a Gymnasium env, got {type(env).__name__}")
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def _budget(episodes: int | None, total_timesteps: int | None, preset: Preset, env_id: str) -> Budget:
    for name, value in (("episodes", episodes), ("total_timesteps", total_timesteps)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise UsageError(f"{name} must be a whole number, 1 or more, got {value!r}")
    if episodes is None and total_timesteps is None:
        episodes, total_timesteps = preset.episodes, preset.total_timesteps
    if episodes is None and total_timesteps is None:
        raise UsageError(f"{env_id} has no default budget: give episodes= or total_timesteps=")
    return Budget(int(episodes or UNLIMITED), int(total_timesteps or UNLIMITED))


def _agent(
    agent: str | type[Agent] | Agent,
    env: gym.Env[Any, Any],
    agent_kwargs: dict[str, Any] | None,
    preset: Preset,
    total_timesteps: int | None,
    seed: np.random.SeedSequence,
) -> Agent:
    if isinstance(agent, Agent):
        if agent_kwargs:
            raise UsageError("agent_kwargs go with an agent's name or class: give them to the agent where it is made")
        counts = (
            count_of(env.observation_space, "observations", agent.name),
            count_of(env.action_space, "actions", agent.name),
        )
        if counts != (agent.n_states, agent.n_actions):
            raise UsageError(
                f"the agent is for {agent.n_states} states and {agent.n_actions} actions, the env has {counts}"
            )
        return agent
    name = agent if isinstance(agent, str) else agent.name
    parameters = {**preset.agents.get(name, {}), **(agent_kwargs or {})}
    return make_agent(agent, env, seed=seed, **_share_of_budget(parameters, total_timesteps))


def _share_of_budget(parameters: dict[str, Any], total_timesteps: int | None) -> dict[str, Any]:
    """Turns exploration_fraction into steps, once the budget it is a share of is known."""
    fraction = parameters.get("exploration_fraction")
    if not isinstance(fraction, int | float) or total_timesteps is None:
        return parameters
    others = {name: value for name, value in parameters.items() if name != "exploration_fraction"}
    return {**others, "exploration_steps": fraction * total_timesteps}


def _world(env: gym.Env[Any, Any], agent: Agent, engine: str) -> Any:
    """Returns the compiled world to train in, or None for the readable loop."""
    if engine == "python":
        return None
    from rlbench.envs._worlds import world_of  # noqa: PLC0415  (numba only when training starts)

    world = world_of(env) if agent.learner() is not None else None
    if world is None and engine == "compiled":
        what = f"the agent {agent.name}" if agent.learner() is None else f"the env {_id_of(env)}"
        raise UsageError(f"engine='compiled' is not possible: {what} has no compiled counterpart; use engine='auto'")
    return world


def _warm_up(world: Any, agent: Agent) -> None:
    """Loads or compiles the loop for these types, so that a run's seconds are of training alone."""
    from rlbench.training.loops import compile_for  # noqa: PLC0415

    compile_for(world, agent)


def _finite(limit: int) -> int | None:
    return None if limit == UNLIMITED else limit


def _versions() -> dict[str, Any]:
    packages = {name: version(name) for name in ("rlbench", "gymnasium", "numpy", "numba")}
    return {**packages, "python": platform.python_version(), "algorithm": ALGORITHM_VERSION}


__all__ = ["ALGORITHM_VERSION", "ENGINES", "RECORDS", "Run", "load_run", "make_env", "train"]
