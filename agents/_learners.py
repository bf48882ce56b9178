"""Agents as the compiled loop sees them: NamedTuples of schedules and arrays, chosen among by type.

Each shares its agent's arrays, so what the loop learns the agent knows. Every learner begins with the two schedules;
`greedy` returns its best action, `learn` learns from a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload

from rlbench._stamp import stamp
from rlbench.agents import _rules
from rlbench.agents._rules import Schedule, Table, greedy_action, q_update, sfc64_random

if TYPE_CHECKING:
    from numpy.typing import NDArray


class RandomLearner(NamedTuple):
    """The random agent: its exploration is constantly 1."""

    learning_rate: Schedule
    exploration: Schedule


class FixedPolicy(NamedTuple):
    """One action a state, learnt elsewhere; its exploration is constantly 0."""

    learning_rate: Schedule
    exploration: Schedule
    actions: NDArray[np.int64]  # (n_states,)


class QLearner(NamedTuple):
    """Q-learning on a table of `_rules`."""

    learning_rate: Schedule
    exploration: Schedule
    table: Table
    gamma: float


class ReplayQLearner(NamedTuple):
    """Q-learning on minibatches from a uniform buffer."""

    learning_rate: Schedule
    exploration: Schedule
    table: Table
    gamma: float
    rows: NDArray[np.void]  # the buffer's ring
    cursor: NDArray[np.int64]  # next row to write, rows filled
    buffer_rng: NDArray[np.uint64]  # the four words of the buffer's SFC64
    learning_starts: int
    batch_size: int
    train_freq: int


def greedy(learner: Any, s: int) -> int:
    """Returns the learner's best action in state s."""
    raise NotImplementedError


def learn(
    learner: Any,
    s: int,
    a: int,
    r: float,
    s_next: int,
    terminated: bool,  # noqa: FBT001  (a step as Gymnasium orders it)
    learning_rate: float,
    timesteps: int,
) -> None:
    """Learns from one step; `timesteps` counts it."""
    raise NotImplementedError


def _no_greedy(learner, s):
    return 0


def _policy_greedy(learner, s):
    return learner.actions[s]


def _table_greedy(learner, s):
    return greedy_action(learner.table, s)


def _learn_nothing(learner, s, a, r, s_next, terminated, learning_rate, timesteps):
    return None


def _q_learn(learner, s, a, r, s_next, terminated, learning_rate, timesteps):
    q_update(learner.table, s, a, r, s_next, terminated, learning_rate, learner.gamma)


def _replay_q_learn(learner, s, a, r, s_next, terminated, learning_rate, timesteps):
    _remember(learner.rows, learner.cursor, s, a, r, s_next, terminated)
    if timesteps >= learner.learning_starts and timesteps % learner.train_freq == 0:
        _replay(learner, learning_rate)


@njit(cache=True)
def _remember(rows, cursor, s, a, r, s_next, terminated):
    position = cursor[0]
    row = rows[position]
    row.observation, row.action, row.reward = s, a, r
    row.next_observation, row.terminated, row.truncated = s_next, terminated, False
    cursor[0] = (position + 1) % rows.shape[0]
    cursor[1] = max(cursor[1], position + 1)


@njit(cache=True)
def _replay(learner, learning_rate):
    words = learner.buffer_rng
    state = (words[0], words[1], words[2], words[3])
    for _ in range(learner.batch_size):
        u, state = sfc64_random(state)
        row = learner.rows[np.int64(u * learner.cursor[1])]
        q_update(
            learner.table,
            row.observation,
            row.action,
            row.reward,
            row.next_observation,
            row.terminated,
            learning_rate,
            learner.gamma,
        )
    words[0], words[1], words[2], words[3] = state


stamp(_replay, _rules)


_GREEDY: dict[Any, Any] = {
    RandomLearner: _no_greedy,
    FixedPolicy: _policy_greedy,
    QLearner: _table_greedy,
    ReplayQLearner: _table_greedy,
}
_LEARN: dict[Any, Any] = {
    RandomLearner: _learn_nothing,
    FixedPolicy: _learn_nothing,
    QLearner: _q_learn,
    ReplayQLearner: _replay_q_learn,
}


@overload(greedy, inline="always")
def _overload_greedy(learner, s):
    return _GREEDY.get(getattr(learner, "instance_class", None))


@overload(learn, inline="always")
def _overload_learn(learner, s, a, r, s_next, terminated, learning_rate, timesteps):
    return _LEARN.get(getattr(learner, "instance_class", None))


def sfc64_words(rng: np.random.Generator) -> NDArray[np.uint64]:
    """Returns a copy of the four words of a generator's SFC64 state."""
    words: NDArray[np.uint64] = rng.bit_generator.state["state"]["state"].copy()
    return words


def set_sfc64_words(rng: np.random.Generator, words: NDArray[np.uint64]) -> None:
    """Puts a generator where the compiled loop left it."""
    state = rng.bit_generator.state
    rng.bit_generator.state = {**state, "state": {"state": np.array(words, dtype=np.uint64)}}
