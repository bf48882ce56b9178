"""Retraining: learning from stored transitions alone, without one step of an env."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import AGENTS, TableAgent
from rlbench.agents.saving import state_of
from rlbench.checks import whole_number
from rlbench.errors import RlbenchError, UsageError, unknown_name
from rlbench.presets import DEFAULT, preset_of
from rlbench.store import Checkpoint
from rlbench.store.config import RetrainingConfig, RunConfig
from rlbench.training.observing import sight_of
from rlbench.training.parents import take_values
from rlbench.training.run import Run
from rlbench.training.setup import agent_config, naming_unknown, versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlbench.presets import AskedPreset
    from rlbench.store import Store
    from rlbench.store.config import EnvConfig
    from rlbench.training.binning import Asked
    from rlbench.training.observing import Sight

PASSES = 100
LARGEST_BUFFER = 2**22  # transitions, 40 bytes each: unless another buffer_size is asked for
TOLERANCE = 1e-9  # of the largest temporal-difference error of a pass


@dataclass(frozen=True)
class Retraining:
    """The outcome of learning from stored runs.

    Attributes:
        run: the new run, with the learnt agent; it names its parents.
        passes: how often the stored transitions were gone through.
        transitions: how many there are.
        largest_error: the largest temporal-difference error of the last pass.
        converged: whether it fell under the tolerance.
    """

    run: Run
    passes: int
    transitions: int
    largest_error: float
    converged: bool


@naming_unknown
def retrain(
    runs: Run | Sequence[Run],
    agent: str = "q-learning",
    *,
    passes: int = PASSES,
    tolerance: float = TOLERANCE,
    warm_start: bool = False,
    store: Store | None = None,
    seed: int = 0,
    wrappers: Sequence[str] = (),
    bins: Asked | None = None,
    preset: AskedPreset = DEFAULT,
    agent_kwargs: dict[str, Any] | None = None,
) -> Retraining:
    """Learns from the stored transitions of one or many runs of one env, again and again until nothing changes.

    Transitions are streamed from the stores, a chunk at a time, each chunk backwards; memory does not grow with them.

    Args:
        runs: whose transitions; they may lie in different stores.
        agent: one that is off-policy: "q-learning", "double-q" and "dyna-q" go through all of them in each pass;
            "replay-q" fills its buffer with them, the latest 4 million if there are more, and draws as many from it in
            each pass.
        passes: at most this many.
        tolerance: stop after a pass whose largest temporal-difference error is below this.
        warm_start: begin with the table of the first run's agent, not from zero.
        store: where the new run goes; the first run's by default.
        seed: of the new run's agent.
        wrappers: to see the stored steps through: those that change each observation or each reward by itself, such as
            "FlattenObservation" or "ClipReward:max_reward=1".
        bins: of Box observations: a number for each dimension ("6,6,12,12"), "kmeans:K" or "quantile:K", fitted on the
            stored observations, a JSON file or a dict with arguments of `Discretize`.
        preset: the env's preset of hyper-parameters.
        agent_kwargs: hyper-parameters of the agent, added to the preset's.

    Raises:
        UsageError: no runs, runs of different envs, runs that kept no steps, an on-policy agent, an env whose
            code was edited since, or a bad argument; or runs are not written into this store, but copied.
    """
    from rlbench.training._passes import Source, learn  # noqa: PLC0415  (numba only when something is learnt)

    runs = [runs] if isinstance(runs, Run) else list(runs)
    _check(runs, agent, passes, tolerance)
    target = store or runs[0].store
    target.backend.check_trainable()
    chosen = preset_of(runs[0].env_id, preset)
    parameters = chosen.parameters(agent, agent_kwargs or {})
    if agent == "replay-q" and "buffer_size" not in (agent_kwargs or {}):
        parameters["buffer_size"] = min(LARGEST_BUFFER, max(1, sum(run.timesteps for run in runs)))
    sight = sight_of(runs, bins, chosen.bins, wrappers)
    learner = _learner(sight, agent, parameters, seed)
    if warm_start:
        take_values(learner, runs[0])
    source, started = Source(runs, sight, learner.allowed), time.perf_counter()
    errors = learn(learner, source, passes, tolerance)
    seconds = time.perf_counter() - started
    figures = RetrainingConfig(len(errors), source.count, errors[-1])
    config = _config(runs[0], sight.env, learner, chosen.name, figures)
    run = _stored(target, config, learner, seed, [parent.id for parent in runs], seconds)
    run.trust = runs[0].trust
    return Retraining(run, len(errors), source.count, errors[-1], errors[-1] < tolerance)


def _check(runs: Sequence[Run], agent: str, passes: int, tolerance: float) -> None:
    if not runs:
        raise UsageError("retraining needs at least one run to learn from")
    _check_agent(agent)
    whole_number("passes", passes)
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"tolerance must be 0 or more, got {tolerance}")
    specs = {run.record.config.env.spec or run.env_id for run in runs}
    if len(specs) > 1:
        raise UsageError("these runs are of different envs, or of one env with different arguments: retrain from each")
    if not any(run.timesteps for run in runs):
        raise UsageError("these runs hold no transitions: train or record some first")
    bare = next((run for run in runs if run.timesteps and not run.record.config.keeps_steps), None)
    if bare is not None:
        raise UsageError(f"run {bare.id} kept figures only: train with record='all' to retrain from it")


def off_policy_agents() -> list[str]:
    """Returns the names of the agents that can learn from what others did."""
    return [name for name, cls in AGENTS.items() if cls.off_policy and issubclass(cls, TableAgent)]


def _check_agent(agent: str) -> None:
    able = off_policy_agents()
    if agent not in AGENTS:
        raise unknown_name("agent to retrain", agent, able)
    if agent not in able:
        raise UsageError(
            f"{agent} cannot learn from what others did, it learns from its own steps alone (it is on-policy): "
            f"retrain {', '.join(able[:-1])} or {able[-1]}"
        )


def _learner(sight: Sight, agent: str, parameters: dict[str, Any], seed: int) -> TableAgent:
    learner = AGENTS[agent](sight.n_states, sight.n_actions, seed=np.random.SeedSequence(seed), **parameters)
    assert isinstance(learner, TableAgent)  # noqa: S101  (for the type checker: _check_agent has looked)
    sight.restrict(learner)
    return learner


def _config(parent: Run, env: EnvConfig, learner: TableAgent, preset: str, figures: RetrainingConfig) -> RunConfig:
    return RunConfig(
        env=env,
        agent=agent_config(learner),
        preset=preset,
        engine="compiled",
        record="none",
        versions=versions(),
        code=parent.record.config.code,
        retraining=figures,
    )


def _stored(store: Store, config: RunConfig, learner: TableAgent, seed: int, parents: list[str], seconds: float) -> Run:
    arrays, numbers = state_of(learner)
    checkpoint = Checkpoint(0, 0, arrays, {"agent": numbers, "unfinished_episode": False})
    about: dict[str, Any] = {"seed": seed, "config": config, "parents": parents}
    made = store.create_run(config.env.id, learner.name, **about, what="retrain")
    try:
        store.append(made.id, checkpoint=checkpoint, keep=True, status="finished", seconds=seconds)
    except BaseException:  # without its agent it is no run
        with suppress(RlbenchError):
            store.delete_run(made.id)
        raise
    run = Run(store.run(made.id), store)
    run.agent = learner
    run.agent.origins = (run.id,)
    return run
