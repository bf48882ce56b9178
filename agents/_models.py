"""Compiled learning from a model of the env: Dyna-Q and prioritized sweeping."""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.agents._rules import greedy_value, q_value, set_q, size_so_far, step_size

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Model(NamedTuple):
    """The latest outcome of every action tried; compact, to fit the CPU cache."""

    rewards: NDArray[np.float64]  # (n_states, n_actions)
    outcomes: NDArray[np.int32]  # (n_states, n_actions): next state << 1 | terminated; -1 for never tried
    states: NDArray[np.int32]  # (n_states,): the states seen, in order of discovery
    tried: NDArray[np.int32]  # (n_states, n_actions): the actions tried in each state, in the same order
    n_tried: NDArray[np.int32]  # (n_states,)
    n_seen: NDArray[np.int32]  # (1,)


def new_model(n_states: int, n_actions: int) -> Model:
    """Makes an empty model."""
    shape = (n_states, n_actions)
    rows = (np.zeros(size, np.int32) for size in (n_states, shape, n_states, 1))
    return Model(np.zeros(shape), np.full(shape, -1, np.int32), *rows)


@njit(cache=True, forceinline=True)
def learn_model(model, s, a, r, s_next, terminated):
    """Records the outcome of an action: Model(s, a) <- r, s_next, assuming a deterministic env."""
    if model.outcomes[s, a] < 0:
        if model.n_tried[s] == 0:
            model.states[model.n_seen[0]] = s
            model.n_seen[0] += 1
        model.tried[s, model.n_tried[s]] = a
        model.n_tried[s] += 1
    model.rewards[s, a] = r
    model.outcomes[s, a] = np.int64(s_next) << 1 | np.int64(terminated)


@njit(cache=True, forceinline=True)
def plan_step(table, model, u, learning_rate, gamma):
    """Applies `q_update` to one step of the model: a random state seen before and a random action tried in it.

    Tabular Dyna-Q, Sutton & Barto (2018) 8.2, step (f) of its box. One draw u selects both: the state, and by the
    remaining fraction the action.
    """
    s, a = _drawn_pair(model, u)
    learn_again(table, model, s, a, learning_rate, gamma)


@njit(cache=True, inline="always")
def _drawn_pair(model, u):
    place = u * model.n_seen[0]
    s = np.uint64(model.states[np.uint64(place)])
    return s, np.uint64(model.tried[s, np.uint64((place - math.floor(place)) * model.n_tried[s])])


@njit(cache=True, forceinline=True)
def learn_again(table, model, s, a, learning_rate, gamma):
    """Applies `q_update` to the model's outcome for a pair; skips the write if the error is 0."""
    error = model_error(table, model, s, a, gamma)
    if error != 0.0:
        set_q(table, s, a, q_value(table, s, a) + size_so_far(learning_rate, s, a) * error)


@njit(cache=True)
def plan(table, model, draws, learning_rate, gamma):
    """Takes one `plan_step` for each draw of an array (n,)."""
    for u in draws:
        plan_step(table, model, u, learning_rate, gamma)


# ------------------------------------------------------------------------------------- outcomes that differ


class Outcomes(NamedTuple):
    """How often each outcome of an action came, for envs that draw them."""

    counts: NDArray[np.int64]  # (n_states, n_actions, k): those that came first, 0 for the rest
    nexts: NDArray[np.int32]  # (n_states, n_actions, k): next state << 1 | terminated
    rewards: NDArray[np.float64]  # (n_states, n_actions, k): the mean reward


def new_outcomes(n_states: int, n_actions: int, k: int) -> Outcomes:
    """Makes room for k outcomes of every action."""
    shape = n_states, n_actions, k
    return Outcomes(np.zeros(shape, np.int64), np.zeros(shape, np.int32), np.zeros(shape))


@njit(cache=True, forceinline=True)
def count_outcome(known, s, a, r, s_next, terminated):
    """Counts an outcome of an action; one too many takes the place of the rarest."""
    counts, nexts, found, place = known.counts[s, a], known.nexts[s, a], np.int64(s_next) << 1 | np.int64(terminated), 0
    for k in range(counts.shape[0]):
        if counts[k] == 0 or nexts[k] == found:
            place = k
            break
        if counts[k] < counts[place]:
            place = k
    if nexts[place] != found:
        counts[place], nexts[place], known.rewards[s, a, place] = 0, found, 0.0
    counts[place] += 1
    known.rewards[s, a, place] += (r - known.rewards[s, a, place]) / counts[place]


@njit(cache=True, forceinline=True)
def plan_drawn_step(table, model, known, u, v, learning_rate, gamma):
    """Applies `plan_step` to an outcome that the draw v selects, each as often as it came."""
    s, a = _drawn_pair(model, u)
    counts = known.counts[s, a]
    left, place = v * counts.sum(), 0
    for k in range(counts.shape[0]):
        place = k if counts[k] > 0 else place
        left -= counts[k]
        if left < 0.0:
            break
    model.rewards[s, a], model.outcomes[s, a] = known.rewards[s, a, place], known.nexts[s, a, place]
    learn_again(table, model, s, a, learning_rate, gamma)


@njit(cache=True)
def plan_by_draws(table, model, known, draws, learning_rate, gamma):
    """Takes one `plan_drawn_step` for each row of an array (n, 2)."""
    for i in range(draws.shape[0]):
        plan_drawn_step(table, model, known, draws[i, 0], draws[i, 1], learning_rate, gamma)


# ------------------------------------------------------------------------------------------------ Dyna-Q+


@njit(cache=True, forceinline=True)
def learn_curious_model(table, model, tried_at, s, a, r, s_next, terminated, now):
    """Records an outcome and its time; in a state seen for the first time every allowed action counts as tried.

    The actions not tried in truth lead back to the state, for no reward, since time 0 (Dyna-Q+, 8.3).
    """
    if model.n_tried[s] == 0:
        for b in range(model.outcomes.shape[1]):
            if q_value(table, s, b) > -np.inf:
                learn_model(model, s, b, 0.0, s, False)
    learn_model(model, s, a, r, s_next, terminated)
    tried_at[s, a] = now


@njit(cache=True, forceinline=True)
def plan_curious_step(table, model, tried_at, u, learning_rate, gamma, now, kappa):
    """Applies `plan_step` with a bonus of kappa * sqrt(tau), where tau is the time since the action was tried.

    Dyna-Q+, Sutton & Barto (2018) 8.3.
    """
    s, a = _drawn_pair(model, u)
    error = model_error(table, model, s, a, gamma) + kappa * math.sqrt(now - tried_at[s, a])
    set_q(table, s, a, q_value(table, s, a) + size_so_far(learning_rate, s, a) * error)


@njit(cache=True)
def plan_curiously(table, model, tried_at, draws, learning_rate, gamma, now, kappa):
    """Takes one `plan_curious_step` for each draw of an array (n,)."""
    for u in draws:
        plan_curious_step(table, model, tried_at, u, learning_rate, gamma, now, kappa)


# ------------------------------------------------------------------------------------ prioritized sweeping


class Queue(NamedTuple):
    """The pairs (s, a) waiting for an update, numbered s * n_actions + a, and the pairs that lead to each state."""

    heap: NDArray[np.int64]  # (n_pairs,): the pairs in the queue, the first on top
    places: NDArray[np.int64]  # (n_pairs,): a pair's index in the heap, -1 if absent
    priorities: NDArray[np.float64]  # (n_pairs,)
    held: NDArray[np.int64]  # (1,): the number of pairs in the queue
    updates: NDArray[np.int64]  # (1,): the number of pairs taken out of it and learnt again so far
    leading: NDArray[np.int64]  # (n_states,): a pair that leads to a state, -1 for none
    following: NDArray[np.int64]  # (n_pairs,): the next pair that leads to the same state, -1 for none
    preceding: NDArray[np.int64]  # (n_pairs,): the one before


def new_queue(n_states: int, n_actions: int) -> Queue:
    """Makes an empty queue."""
    n_pairs = n_states * n_actions
    heap, priorities = np.zeros(n_pairs, np.int64), np.zeros(n_pairs)
    nowhere, leading = np.full(n_pairs, -1, np.int64), np.full(n_states, -1, np.int64)
    held, updates = np.zeros(1, np.int64), np.zeros(1, np.int64)
    return Queue(heap, nowhere, priorities, held, updates, leading, nowhere.copy(), nowhere.copy())


@njit(cache=True)
def sweep(table, model, queue, s, a, r, s_next, terminated, learning_rate, gamma, threshold, planning_steps):
    """Records a step in the model, then learns from the model the pairs with the largest errors.

    Prioritized sweeping, Sutton & Barto (2018) 8.4, steps (d) to (g) of its box. Ties in priority go to the lowest
    pair. Every pair waits for its turn in the queue, that of the step included.
    """
    n_actions = model.outcomes.shape[1]
    pair = s * n_actions + a
    step_size(learning_rate, s, a)  # for it counts the visit
    _unlink(queue, pair, model.outcomes[s, a])
    learn_model(model, s, a, r, s_next, terminated)
    _link(queue, pair, model.outcomes[s, a])
    _enqueue(queue, pair, abs(model_error(table, model, s, a, gamma)), threshold)
    for _ in range(planning_steps):
        if queue.held[0] == 0:
            break
        first = queue.heap[0]
        _remove_first(queue)
        s_first, a_first = first // n_actions, first % n_actions
        learn_again(table, model, s_first, a_first, learning_rate, gamma)
        queue.updates[0] += 1
        before = queue.leading[s_first]
        while before >= 0:
            error = model_error(table, model, before // n_actions, before % n_actions, gamma)
            _enqueue(queue, before, abs(error), threshold)
            before = queue.following[before]


@njit(cache=True, inline="always")
def model_error(table, model, s, a, gamma):
    """Returns the temporal-difference error of the model's outcome for a pair."""
    outcome = model.outcomes[s, a]
    value = 0.0 if outcome & 1 else greedy_value(table, outcome >> 1)
    return model.rewards[s, a] + gamma * value - q_value(table, s, a)


@njit(cache=True, inline="always")
def _link(queue, pair, outcome):
    """Adds a pair to the list of those that lead to its next state; not needed if the episode ends there."""
    if outcome < 0 or outcome & 1:
        return
    head = queue.leading[outcome >> 1]
    queue.following[pair], queue.preceding[pair], queue.leading[outcome >> 1] = head, -1, pair
    if head >= 0:
        queue.preceding[head] = pair


@njit(cache=True, inline="always")
def _unlink(queue, pair, outcome):
    if outcome < 0 or outcome & 1:
        return
    before, after = queue.preceding[pair], queue.following[pair]
    if before >= 0:
        queue.following[before] = after
    else:
        queue.leading[outcome >> 1] = after
    if after >= 0:
        queue.preceding[after] = before


@njit(cache=True)
def _enqueue(queue, pair, priority, threshold):
    """Puts a pair into the queue; a pair already there keeps the higher of the two priorities."""
    if priority <= threshold:
        return
    place = queue.places[pair]
    if place < 0:
        place = queue.held[0]
        queue.held[0] += 1
    elif queue.priorities[pair] >= priority:
        return
    queue.priorities[pair] = priority
    while place > 0:  # up
        above = queue.heap[(place - 1) // 2]
        if not _comes_first(queue, pair, above):
            break
        queue.heap[place], queue.places[above] = above, place
        place = (place - 1) // 2
    queue.heap[place], queue.places[pair] = pair, place


@njit(cache=True, inline="always")
def _remove_first(queue):
    queue.places[queue.heap[0]] = -1
    queue.held[0] -= 1
    held = queue.held[0]
    if held == 0:
        return
    pair, place = queue.heap[held], 0
    while 2 * place + 1 < held:  # down
        below = 2 * place + 1
        if below + 1 < held and _comes_first(queue, queue.heap[below + 1], queue.heap[below]):
            below += 1
        if not _comes_first(queue, queue.heap[below], pair):
            break
        queue.heap[place], queue.places[queue.heap[below]] = queue.heap[below], place
        place = below
    queue.heap[place], queue.places[pair] = pair, place


@njit(cache=True, inline="always")
def _comes_first(queue, one, other):
    p, q = queue.priorities[one], queue.priorities[other]
    return p > q or (p == q and one < other)


@njit(cache=True)
def refill(queue, model, pairs, priorities):
    """Rebuilds a queue from its pairs and their priorities, and the lists of leading pairs from the model."""
    queue.places[:], queue.leading[:], queue.held[0] = -1, -1, 0
    n_actions = model.outcomes.shape[1]
    for pair in range(queue.places.shape[0]):
        _link(queue, pair, model.outcomes[pair // n_actions, pair % n_actions])
    for i in range(pairs.shape[0]):
        _enqueue(queue, pairs[i], priorities[i], -1.0)


stamp(__name__)
