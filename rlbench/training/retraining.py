"""Retraining: learning from stored transitions alone, without one step of an env."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import QLearning, ReplayQ, TableAgent
from rlbench.errors import UsageError, unknown_name
from rlbench.presets import DEFAULT, load_preset
from rlbench.store import BOTH, TERMINATED, Checkpoint
from rlbench.training.run import Run
from rlbench.training.session import state_of
from rlbench.training.setup import versions
from rlbench.training.stored import check_range, transitions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rlbench.store import EpisodeChunk, Store

LEARNERS: dict[str, type[TableAgent]] = {
    "q-learning": QLearning,
    "replay-q": ReplayQ,
}  # off-policy: they may learn from what others did
PASSES = 100
LARGEST_BUFFER = 2**22  # transitions, 40 bytes each: unless another buffer_size is asked for
TOLERANCE = 1e-9  # of the largest temporal-difference error of a pass


@dataclass(frozen=True)
class Retraining:
    """What learning from stored runs came to.

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


def retrain(
    runs: Run | Sequence[Run],
    agent: str = "q-learning",
    *,
    passes: int = PASSES,
    tolerance: float = TOLERANCE,
    warm_start: bool = False,
    store: Store | None = None,
    seed: int = 0,
    preset: str = DEFAULT,
    agent_kwargs: dict[str, Any] | None = None,
) -> Retraining:
    """Learns from the stored transitions of one or many runs of one env, again and again until nothing changes.

    Transitions are streamed from the stores, a chunk at a time, each chunk backwards; memory does not grow with them.

    Args:
        runs: whose transitions; they may lie in different stores.
        agent: "q-learning" goes through all of them in each pass; "replay-q" fills its buffer with them, the
            latest 4 million if there are more, and draws as many from it in each pass.
        passes: at most so many.
        tolerance: stop after a pass whose largest temporal-difference error is below this.
        warm_start: begin with the table of the first run's agent, not from zero.
        store: where the new run goes; the first run's by default.
        seed: of the new run's agent.
        preset: the env's preset of hyper-parameters.
        agent_kwargs: hyper-parameters of the agent, added to the preset's.

    Raises:
        UsageError: no runs, runs of different envs, runs that kept no steps, or a bad argument.
    """
    runs = [runs] if isinstance(runs, Run) else list(runs)
    _check(runs, agent, passes, tolerance)
    parameters = {**load_preset(runs[0].env_id, preset).agents.get(agent, {}), **(agent_kwargs or {})}
    if agent == "replay-q" and "buffer_size" not in (agent_kwargs or {}):
        parameters["buffer_size"] = min(LARGEST_BUFFER, max(1, sum(run.timesteps for run in runs)))
    learner = _learner(runs[0], agent, parameters, seed)
    if warm_start:
        learner.q_table = _table_of(runs[0])
    source, started = _Transitions(runs, learner), time.perf_counter()
    errors = _learn(learner, source, passes, tolerance)
    seconds = time.perf_counter() - started
    figures = {"passes": len(errors), "transitions": source.count, "largest_error": errors[-1], "env_steps": 0}
    config = _config(runs[0], learner, preset, figures)
    run = _stored(store or runs[0].store, config, learner, seed, [parent.id for parent in runs], seconds)
    return Retraining(run, len(errors), source.count, errors[-1], errors[-1] < tolerance)


class _Transitions:
    """The chunks of several runs, one after another, as often as they are asked for."""

    def __init__(self, runs: Sequence[Run], agent: TableAgent) -> None:
        self.runs, self.n_states, self.n_actions = runs, agent.n_states, agent.n_actions
        self.count = 0  # of the last time

    def __iter__(self) -> Iterator[EpisodeChunk]:
        self.count = 0
        for run in self.runs:
            for chunk in run.store.chunks(run.id, figures=False):
                if chunk.steps is None:
                    raise UsageError(f"run {run.id} kept figures only: train with record='all' to retrain from it")
                self._check(run, chunk.steps)
                self.count += chunk.n_steps
                yield chunk

    def _check(self, run: Run, steps: dict[str, Any]) -> None:
        for what, size in (("observation", self.n_states), ("action", self.n_actions)):
            column = steps.get(what + "s")
            if column is None or column.ndim != 1 or column.dtype.kind not in "iu":
                raise UsageError(f"run {run.id} holds {what}s that are not Discrete: record a discretized env")
            check_range(what, column, size)


def _check(runs: Sequence[Run], agent: str, passes: int, tolerance: float) -> None:
    if not runs:
        raise UsageError("retraining needs at least one run to learn from")
    if agent not in LEARNERS:
        raise unknown_name("off-policy agent", agent, LEARNERS)
    if isinstance(passes, bool) or not isinstance(passes, int | np.integer) or passes < 1:
        raise UsageError(f"passes must be a whole number, 1 or more, got {passes!r}")
    if not 0 <= tolerance < np.inf:
        raise UsageError(f"tolerance must be 0 or more, got {tolerance}")
    specs = {run.record.config["env"]["spec"] or run.id for run in runs}
    if len(specs) > 1:
        raise UsageError("these runs are of different envs, or of one env with different arguments: retrain from each")
    if not any(run.timesteps for run in runs):
        raise UsageError("these runs hold no transitions: train or record some first")


def _learner(run: Run, agent: str, parameters: dict[str, Any], seed: int) -> TableAgent:
    env = run.make_env()
    try:
        spaces = env.observation_space, env.action_space
    finally:
        env.close()
    return LEARNERS[agent](*spaces, seed=np.random.SeedSequence(seed), **parameters)


def _table_of(run: Run) -> Any:
    table = getattr(run.agent, "q_table", None)
    if table is None:
        raise UsageError(f"a warm start needs a run whose agent keeps a table, {run.id} is of {run.agent_name}")
    return table


def _learn(learner: TableAgent, source: _Transitions, passes: int, tolerance: float) -> list[float]:
    """Returns the largest temporal-difference error of each pass."""
    errors: list[float] = []
    if isinstance(learner, ReplayQ):
        _fill(learner, source)
    while len(errors) < passes and not (errors and errors[-1] < tolerance):
        errors.append(_replay_pass(learner) if isinstance(learner, ReplayQ) else _pass(learner, source))
    return errors


def _pass(learner: TableAgent, source: _Transitions) -> float:
    from rlbench.training._stored import learn_backwards  # noqa: PLC0415  (numba only when something is learnt)

    largest = 0.0
    for chunk in source:
        steps = chunk.steps or {}
        error = learn_backwards(
            learner.table,
            steps["observations"],
            steps["actions"],
            steps["rewards"],
            chunk.lengths,
            (chunk.ends == TERMINATED) | (chunk.ends == BOTH),
            learner.learning_rate,
            learner.parameters.gamma,
        )
        largest = max(largest, error)
        learner.timesteps += chunk.n_steps  # what schedules of the learning rate count
    return largest


def _fill(learner: ReplayQ, source: _Transitions) -> None:
    for chunk in source:
        learner.buffer.extend(transitions(chunk))


def _replay_pass(learner: ReplayQ) -> float:
    from rlbench.agents._learners import set_sfc64_words, sfc64_words  # noqa: PLC0415
    from rlbench.training._stored import learn_minibatches  # noqa: PLC0415

    buffer, p = learner.buffer, learner.parameters
    words = sfc64_words(buffer.rng)
    count = -(-len(buffer) // p.batch_size)
    largest: float = learn_minibatches(
        learner.table, buffer.rows, len(buffer), words, count, p.batch_size, learner.learning_rate, p.gamma
    )
    set_sfc64_words(buffer.rng, words)
    learner.timesteps += count * p.batch_size
    return largest


def _config(parent: Run, learner: TableAgent, preset: str, figures: dict[str, Any]) -> dict[str, Any]:
    agent = {"name": learner.name, "parameters": learner.config()}
    return {
        "env": parent.record.config["env"],
        "agent": {**agent, "n_states": learner.n_states, "n_actions": learner.n_actions},
        "budget": {"episodes": None, "total_timesteps": None},
        "preset": preset,
        "engine": "compiled",
        "record": "none",
        "versions": versions(),
        "retraining": figures,
    }


def _stored(
    store: Store, config: dict[str, Any], learner: TableAgent, seed: int, parents: list[str], seconds: float
) -> Run:
    made = store.create_run(config["env"]["id"], learner.name, seed=seed, config=config, parents=parents)
    arrays, numbers = state_of(learner)
    checkpoint = Checkpoint(0, 0, arrays, {"agent": numbers, "unfinished_episode": False})
    store.append(made.id, checkpoint=checkpoint, keep=True, status="finished", seconds=seconds)
    run = Run(store.run(made.id), store)
    run.agent = learner
    return run
