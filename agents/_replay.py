"""Compiled learning from minibatches of a replay buffer: bit for bit what `ReplayQ` does in Python."""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.agents._rules import greedy_value, q_update, q_value, weighted
from rlbench.buffers._kernels import draw_rows, n_step_returns
from rlbench.buffers._sfc64 import live_words, put_words, sfc64_random, words_of
from rlbench.buffers._sum_tree import LARGEST, draw_leaves, importance_weights, set_priorities, settle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.buffers import PrioritizedReplayBuffer, ReplayBuffer


class Memory(NamedTuple):
    """A replay buffer of Discrete observations and actions, and room for one minibatch."""

    rows: NDArray[np.void]  # (capacity,); some of its columns below
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    cursor: NDArray[np.int64]  # next row to write, rows filled
    words: NDArray[np.uint64]  # (4,): the state of the buffer's SFC64
    n_step: int
    first: NDArray[np.int64]  # (batch_size,): the rows drawn; the next three have the same shape
    last: NDArray[np.int64]  # the rows where their returns end
    returns: NDArray[np.float64]
    discounts: NDArray[np.float64]
    places: NDArray[np.int64]  # (batch_size, 4): state, action, next state, terminated; of the rows drawn


class Priorities(NamedTuple):
    """The additional state of a prioritized buffer; see `_sum_tree`."""

    tree: NDArray[np.float64]  # (2 * leaves,)
    added: NDArray[np.int64]  # transitions added in all; how many of them have a priority
    greatest: NDArray[np.float64]  # (1,): the greatest priority so far
    alpha: float
    beta: float
    beta_final: float
    beta_steps: int  # 0: beta is constant
    epsilon: float
    weights: NDArray[np.float64]  # (batch_size,)
    td_errors: NDArray[np.float64]  # (batch_size,)


def memory_of(buffer: ReplayBuffer, batch_size: int) -> Memory:
    """Returns a buffer as compiled code sees it: the same rows, cursor and generator."""
    rows = buffer.rows
    columns = rows["reward"], rows["terminated"], rows["truncated"]
    places = np.zeros(batch_size, np.int64), np.zeros(batch_size, np.int64)
    numbers = np.zeros(batch_size), np.zeros(batch_size)
    copies = np.zeros((batch_size, 4), np.int64)
    return Memory(rows, *columns, buffer.cursor, live_words(buffer.rng), buffer.n_step, *places, *numbers, copies)


def priorities_of(buffer: PrioritizedReplayBuffer, batch_size: int) -> Priorities:
    """Returns a buffer's priorities as compiled code sees them."""
    arrays: tuple[Any, Any, Any] = buffer.tree, buffer.added, buffer.greatest
    betas = buffer.beta_initial, buffer.beta_final, buffer.beta_steps or 0
    return Priorities(*arrays, buffer.alpha, *betas, buffer.epsilon, np.zeros(batch_size), np.zeros(batch_size))


@njit(cache=True, inline="always")
def remember(memory, s, a, r, s_next, terminated):
    """Stores a step as the buffer's `add` does."""
    position = memory.cursor[0]
    row = memory.rows[position]
    row.observation, row.action, row.reward = s, a, r
    row.next_observation, row.terminated, row.truncated = s_next, terminated, False
    memory.cursor[0] = position + 1 if position + 1 < memory.rows.shape[0] else 0
    memory.cursor[1] = max(memory.cursor[1], position + 1)


@njit(cache=True)
def mark_end(memory):
    """Marks the newest transition as truncated, unless it terminated: returns stop there."""
    if memory.cursor[1] > 0 and not memory.terminated[memory.cursor[0] - 1]:
        memory.truncated[memory.cursor[0] - 1] = True


@njit(cache=True)
def replay_steps(table, memory, learning_rate, gamma):
    """Learns from a uniform minibatch of single steps.

    All are copied before the first update, so that the memory latencies of their rows overlap.
    """
    places, state, filled = memory.places, words_of(memory.words), memory.cursor[1]
    for i in range(memory.first.shape[0]):
        u, state = sfc64_random(state)
        t = memory.rows[np.uint64(u * filled)]
        memory.returns[i] = t.reward
        places[i, 0], places[i, 1] = t.observation, t.action
        places[i, 2], places[i, 3] = t.next_observation, t.terminated
    put_words(memory.words, state)
    for i in range(memory.first.shape[0]):
        s, a, s_next, terminated = places[i, 0], places[i, 1], places[i, 2], places[i, 3] != 0
        q_update(table, s, a, memory.returns[i], s_next, terminated, learning_rate, gamma)


@njit(cache=True)
def replay_returns(table, memory, learning_rate, gamma):
    """Learns from a uniform minibatch of n-step returns."""
    draw_rows(memory.words, memory.cursor[1], memory.first)
    _add_up(memory, gamma)
    for i in range(memory.first.shape[0]):
        _learn_return(table, memory, i, learning_rate)


@njit(cache=True)
def replay_prioritized(table, memory, priorities, learning_rate, gamma):
    """Learns from a prioritized minibatch of n-step returns and updates the priorities from their errors.

    Schaul et al. (2016), algorithm 1, lines 9 to 14; the weight of a transition scales its step size.
    """
    p = priorities
    settle(p.tree, memory.cursor, memory.rows.shape[0], p.added, p.greatest, p.alpha)
    draw_leaves(p.tree, memory.words, memory.first)
    importance_weights(p.tree, memory.first, _beta(p), p.weights)
    _add_up(memory, gamma)
    for i in range(memory.first.shape[0]):
        p.td_errors[i] = _learn_return(table, memory, i, weighted(learning_rate, p.weights[i]))
    bound_errors(p.td_errors)
    for i in range(memory.first.shape[0]):
        p.td_errors[i] = abs(p.td_errors[i]) + p.epsilon
    p.greatest[0] = set_priorities(p.tree, memory.cursor[1], memory.first, p.td_errors, p.alpha, p.greatest[0])


@njit(cache=True)
def bound_errors(td_errors):
    """Moves errors past the largest priority, and those that overflowed, to it, so that both loops go on alike."""
    for i in range(td_errors.shape[0]):
        if not abs(td_errors[i]) <= LARGEST:  # also NaN
            td_errors[i] = LARGEST


@njit(cache=True)
def _beta(priorities):
    if priorities.beta_steps == 0:
        return priorities.beta
    share = min(1.0, priorities.added[0] / priorities.beta_steps)
    return priorities.beta + (priorities.beta_final - priorities.beta) * share


@njit(cache=True)
def _add_up(memory, gamma):
    """Adds up the returns that begin at the rows drawn."""
    flags = memory.terminated, memory.truncated
    n_step_returns(
        memory.reward,
        flags[0],
        flags[1],
        memory.cursor,
        memory.n_step,
        gamma,
        memory.first,
        memory.last,
        memory.returns,
        memory.discounts,
    )


@njit(cache=True, inline="always")
def _learn_return(table, memory, i, learning_rate):
    begin, end = memory.rows[memory.first[i]], memory.rows[memory.last[i]]
    return q_update(
        table,
        begin.observation,
        begin.action,
        memory.returns[i],
        end.next_observation,
        end.terminated,
        learning_rate,
        memory.discounts[i],
    )


@njit(cache=True)
def largest_error(table, memory, gamma):
    """Returns the largest temporal-difference error over all n-step returns in the buffer."""
    largest, size = 0.0, memory.first.shape[0]
    for start in range(0, memory.cursor[1], size):
        for i in range(size):  # the last block wraps around
            memory.first[i] = (start + i) % memory.cursor[1]
        _add_up(memory, gamma)
        for i in range(size):
            begin, end = memory.rows[memory.first[i]], memory.rows[memory.last[i]]
            value = 0.0 if end.terminated else greedy_value(table, end.next_observation)
            target = memory.returns[i] + memory.discounts[i] * value
            largest = max(largest, abs(target - q_value(table, begin.observation, begin.action)))
    return largest


stamp(__name__)
