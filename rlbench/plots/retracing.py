"""Retracing: what q-learning's stored steps tell of its training, by repeating its updates: errors and policies."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.tabular import TabularModel
from rlbench.errors import StoreError, UsageError
from rlbench.planning import score_policy, solve
from rlbench.plots.data import add_to_episodes, chunks_of, discrete, evaluations_of, is_evaluated, table_of
from rlbench.store.frames import singular
from rlbench.training.checkpoints import load
from rlbench.training.stored import check_range, transitions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rlbench.store import EpisodeChunk
    from rlbench.training import Run

    Array = NDArray[np.float64]
    Policy = NDArray[np.int64]

REGRETS = 60  # of a run


class Regrets(NamedTuple):
    """The regret of a run over its training.

    Attributes:
        after: int64 (points,), the numbers of episodes after which it is known.
        values: (points,), the best possible return minus that of the greedy policy.
        is_exact: whether the returns are computed from the env's model, not the mean of sampled episodes.
    """

    after: NDArray[np.int64]
    values: Array
    is_exact: bool


def td_errors(run: Run) -> Array:
    """Returns the mean absolute temporal-difference error of the updates in each episode, (episodes,).

    Errors are not stored. Q-learning learns from each step once, in order, so its updates can be repeated from the
    stored steps; the resulting table is checked against the stored one, bit for bit.

    Raises:
        UsageError: the agent is not Q-learning, or was trained before this run.
        StoreError: the run kept no steps.
    """
    sums, trace = np.zeros(run.episodes), _Trace(run)
    for chunk in chunks_of(run):
        add_to_episodes(sums, chunk, np.abs(trace.repeat(trace.steps_of(chunk))))
    trace.check()
    return sums / np.maximum(run.lengths, 1)


class Then(NamedTuple):
    """What an agent held in the course of an episode.

    Attributes:
        table: (n_states, n_actions), the action values when it began.
        values: (T + 1, n_actions), those of the state at each step, as they were then.
    """

    table: Array
    values: Array


def values_then(run: Run, episode: int) -> Then:
    """Returns the action values that q-learning held while it played an episode, by repeating its updates.

    Raises:
        UsageError: as `td_errors`, or the run was stopped before it learnt from the whole episode.
        StoreError: likewise.
    """
    trace, table, values = _Trace(run), np.empty(0), []
    for chunk in chunks_of(run):
        steps, segment = trace.steps_of(chunk), episode - chunk.first_episode
        if not 0 <= segment < len(chunk.lengths):
            trace.repeat(steps)
            continue
        start, stop = chunk.starts[segment : segment + 2]
        trace.repeat(tuple(column[:start] for column in steps))
        if segment or not chunk.first_step:
            table = np.array(trace.learner.q_table)
        values += trace.values_of(tuple(column[start:stop] for column in steps))
        last = discrete(run, chunk, "observations")[stop + segment]
        final = np.array(trace.learner.q_table[last])
        trace.repeat(tuple(column[stop:] for column in steps))
    trace.check()
    return Then(table, np.array([*values, final]))


def regrets_of(run: Run) -> Regrets:
    """Returns a run's regret over its training.

    It is exact at REGRETS places for q-learning that kept its steps, whose updates are repeated; else sampled where the
    run was evaluated while it was trained; else exact at the checkpoints that it kept: where it ended.

    Raises:
        UsageError: the best possible return in its env is unknown, or the agent has no greedy policy.
    """
    with closing(run.make_env()) as env:
        try:
            model = TabularModel.from_env(env)
        except UsageError as error:
            raise UsageError(f"the regret of run {run.id} is unknown: {error}") from error
    optimum = solve(model)
    try:
        policies = _policies_over_training(run)
    except (StoreError, UsageError):  # not q-learning, or without its steps
        if is_evaluated(run):
            after, (mean, _, _) = evaluations_of(run)
            return Regrets(after, optimum.optimal_return - mean, is_exact=False)
        policies = _policies_kept(run)
    scores = [score_policy(model, policy, optimum).regret for policy in policies.values()]
    return Regrets(np.array(list(policies)), np.array(scores), is_exact=True)


class _Trace:
    """Q-learning's updates, repeated step by step."""

    def __init__(self, run: Run) -> None:
        if run.agent_name != "q-learning":
            raise UsageError(
                f"the agent of run {run.id} is {run.agent_name}: "
                "only q-learning's errors can be recomputed from the steps"
            )
        self.run, self.left = run, run.agent.timesteps
        self.learner: Any = run.make_agent()
        if run.agent.allowed is not None:
            self.learner.allow(run.agent.allowed)

    def steps_of(self, chunk: EpisodeChunk) -> tuple[NDArray[Any], ...]:
        """Returns the steps of a chunk as columns, checked."""
        learner = self.learner
        for name, size in (("observations", learner.n_states), ("actions", learner.n_actions)):
            check_range(singular(name), discrete(self.run, chunk, name), size)
        found = transitions(chunk)
        return found.observations, found.actions, found.rewards, found.next_observations, found.terminations

    def repeat(self, steps: tuple[NDArray[Any], ...]) -> Array:
        """Learns from these steps, as far as the run did, and returns the errors."""
        from rlbench.plots._updates import q_updates  # noqa: PLC0415  (numba only when errors are asked for)

        learner = self.learner
        errors = np.empty(min(len(steps[0]), self.left))
        gamma = learner.parameters.gamma
        observations, actions, rewards, next_observations, terminated = steps
        q_updates(
            learner.table,
            learner.learning_rates,
            learner.timesteps,
            gamma,
            observations,
            actions,
            rewards,
            next_observations,
            terminated,
            errors,
        )
        learner.timesteps += len(errors)
        self.left -= len(errors)
        return errors

    def values_of(self, steps: tuple[NDArray[Any], ...]) -> list[Array]:
        """Learns from these steps, one by one; returns the values of the state before each."""
        found, learner = [], self.learner
        for k, state in enumerate(steps[0].tolist()):
            if not self.left:
                raise UsageError(f"run {self.run.id} was stopped before it learnt from that episode")
            found.append(np.array(learner.q_table[state]))
            self.repeat(tuple(column[k : k + 1] for column in steps))
        return found

    def check(self) -> None:
        """Raises UsageError unless the repeated updates led to the run's table."""
        if self.left or not np.array_equal(self.learner.q_table, table_of(self.run)):
            raise UsageError(
                f"run {self.run.id} did not start from an untrained agent: its errors do not follow from its steps"
            )


def _policies_over_training(run: Run) -> dict[int, Policy]:
    """Returns the greedy policies of q-learning by the number of episodes learnt from, 0 and all included."""
    counts = np.unique(np.linspace(0, run.episodes, REGRETS).round().astype(np.int64)).tolist()
    trace = _Trace(run)
    found = {0: _policy_of(trace.learner, run)}
    for chunk in chunks_of(run):
        steps, start = trace.steps_of(chunk), 0
        for count, stop in _stops(chunk, counts):
            trace.repeat(tuple(column[start:stop] for column in steps))
            found[count], start = _policy_of(trace.learner, run), stop
        trace.repeat(tuple(column[start:] for column in steps))
    trace.check()
    return found


def _stops(chunk: EpisodeChunk, counts: list[int]) -> Iterator[tuple[int, int]]:
    """Yields those counts of episodes that a chunk completes, and after how many of its steps."""
    ends = np.cumsum(chunk.lengths).tolist()
    for count in counts:
        if chunk.first_episode < count <= chunk.first_episode + chunk.episodes:
            yield count, ends[count - chunk.first_episode - 1]


def _policies_kept(run: Run) -> dict[int, Policy]:
    """Returns the greedy policies at the checkpoints of a run by the number of episodes learnt from."""
    found = {}
    for info in run.store.checkpoints(run.id):
        agent, checkpoint = run.make_agent(), run.store.checkpoint(run.id, info.episodes)
        if checkpoint is not None:
            load(agent, checkpoint, f"run {run.id}")
            found[info.episodes] = _policy_of(agent, run)
    if not found:
        raise UsageError(f"run {run.id} has no checkpoint: its regret is unknown")
    return found


def _policy_of(agent: Any, run: Run) -> Policy:
    policy: Policy | None = agent.greedy_policy()
    if policy is None:
        raise UsageError(f"the agent of run {run.id}, {run.agent_name}, has no greedy policy: its regret is unknown")
    return policy
