"""Passes over stored transitions: backwards through every chunk, or by minibatches of a buffer filled with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import ReplayQ
from rlbench.agents._learners import set_sfc64_words, sfc64_words
from rlbench.errors import UsageError
from rlbench.store.walks import OBSERVATION, action_dtype
from rlbench.training._stored import learn_backwards, learn_minibatches
from rlbench.training.stored import check_range, put, transitions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rlbench.agents import TableAgent
    from rlbench.store import EpisodeChunk
    from rlbench.training.observing import Sight
    from rlbench.training.run import Run


class Source:
    """The chunks of several runs, one after another, as often as they are asked for, as a table sees them.

    Steps by an action that is not in `allowed`, bool (n_states, n_actions), are refused; None: all are allowed.
    """

    def __init__(self, runs: Sequence[Run], sight: Sight, allowed: NDArray[np.bool_] | None = None) -> None:
        self.runs, self.sight, self.allowed = runs, sight, allowed
        self.count = 0  # transitions, of the last time

    def __iter__(self) -> Iterator[EpisodeChunk]:
        self.count = 0
        for run in self.runs:
            for chunk in self.sight.chunks(run):
                self._check(run, chunk.steps or {})
                self._check_allowed(run, chunk)
                self.count += chunk.n_steps
                yield chunk

    def _check(self, run: Run, steps: Mapping[str, Any]) -> None:
        for what, size in (("observation", self.sight.n_states), ("action", self.sight.n_actions)):
            column = steps.get(what + "s")
            if column is None or column.ndim != 1 or column.dtype.kind not in "iu":
                raise UsageError(f"run {run.id} holds {what}s that are not Discrete: give bins")
            check_range(what, column, size)

    def _check_allowed(self, run: Run, chunk: EpisodeChunk) -> None:
        if self.allowed is None:
            return
        batch = transitions(chunk)
        stray = np.flatnonzero(~self.allowed[batch.observations, batch.actions])
        if stray.size:
            s, a = batch.observations[stray[0]], batch.actions[stray[0]]
            raise UsageError(f"run {run.id} took action {a} in state {s}, which does not allow it: retrain from others")


def learn(learner: TableAgent, source: Source, passes: int, tolerance: float) -> list[float]:
    """Learns until a pass's largest temporal-difference error is below the tolerance; returns that of each pass."""
    errors: list[float] = []
    if isinstance(learner, ReplayQ):
        put(learner.buffer, source)
    while len(errors) < passes and not (errors and errors[-1] < tolerance):
        errors.append(_replay_pass(learner) if isinstance(learner, ReplayQ) else _pass(learner, source))
    return errors


def _pass(learner: TableAgent, source: Source) -> float:
    compiled, largest = learner.learner(), 0.0
    for chunk in source:
        error = _backwards_readably(learner, chunk) if compiled is None else _backwards(learner, compiled, chunk)
        largest = max(largest, error)
        learner.timesteps += chunk.n_steps  # what schedules of the learning rate count
    return largest


def _backwards(learner: TableAgent, compiled: Any, chunk: EpisodeChunk) -> float:
    """Learns a chunk from its last step to its first, in machine code; returns the largest error."""
    steps, words = chunk.steps or {}, sfc64_words(learner.rng)
    # of the types that a walk has, whatever the store's: numba compiles the loop anew for each
    observations = steps["observations"].astype(OBSERVATION, copy=False)
    actions = steps["actions"].astype(action_dtype(learner.n_actions), copy=False)
    columns = (observations, actions, steps["rewards"].astype(np.float64, copy=False), chunk.lengths)
    rates = (learner.learning_rate, learner.exploration_rate)
    largest: float = learn_backwards(compiled, *columns, chunk.terminations, *rates, words)
    set_sfc64_words(learner.rng, words)
    learner.take_back(compiled)
    return largest


def _backwards_readably(learner: TableAgent, chunk: EpisodeChunk) -> float:
    """Does the same for an agent without a compiled counterpart, by its `update`."""
    batch, gamma, largest = transitions(chunk), learner.parameters.gamma, 0.0
    before = learner.timesteps
    for s, a, r, s_next, terminated in zip(*(column[::-1].tolist() for column in batch[:5]), strict=True):
        target = r if terminated else r + gamma * learner.q_table[s_next].max()
        largest = max(largest, abs(target - learner.q_table[s, a]))
        learner.update(s, a, r, s_next, terminated)
        learner.timesteps = before  # one rate for the chunk, as compiled: `_pass` counts
    return largest


def _replay_pass(learner: ReplayQ) -> float:
    compiled, batch_size = learner.learner(), learner.parameters.batch_size
    count = -(-len(learner.buffer) // batch_size)
    largest: float = learn_minibatches(compiled, count, learner.learning_rate)
    learner.take_back(compiled)
    learner.timesteps += count * batch_size
    return largest
