"""Learning from a model of what was seen, compiled: Dyna-Q and prioritized sweeping."""

# compiled code carries no annotations: numba infers its types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.agents._rules import greedy_value, q_value, set_q

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Model(NamedTuple):
    """What every action that was tried led to, the last time; in few bytes, for a cache to hold it."""

    rewards: NDArray[np.float64]  # (n_states, n_actions)
    outcomes: NDArray[np.int32]  # (n_states, n_actions): next state << 1 | terminated; -1 for never tried
    states: NDArray[np.int32]  # (n_states,): those seen, in the order of their discovery
    tried: NDArray[np.int32]  # (n_states, n_actions): the actions tried in each, likewise
    n_tried: NDArray[np.int32]  # (n_states,)
    n_seen: NDArray[np.int32]  # (1,)


def new_model(n_states: int, n_actions: int) -> Model:
    """Makes a model that knows nothing."""
    shape = (n_states, n_actions)
    rows = (np.zeros(size, np.int32) for size in (n_states, shape, n_states, 1))
    return Model(np.zeros(shape), np.full(shape, -1, np.int32), *rows)


@njit(cache=True, forceinline=True)
def learn_model(model, s, a, r, s_next, terminated):
    """Notes what an action led to: Model(s, a) <- r, s_next, assuming a deterministic world."""
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
    """Learns from one step of the model as `q_update` does: any state seen before, any action tried in it.

    Tabular Dyna-Q, Sutton & Barto (2018) 8.2, step (f) of its box; one draw u says which state, its fraction which
    action.
    """
    place = u * model.n_seen[0]
    s = np.uint64(model.states[np.uint64(place)])
    a = np.uint64(model.tried[s, np.uint64((place - math.floor(place)) * model.n_tried[s])])
    learn_again(table, model, s, a, learning_rate, gamma)


@njit(cache=True, forceinline=True)
def learn_again(table, model, s, a, learning_rate, gamma):
    """Learns as `q_update` does from what the model says of a pair; what is learnt already costs no write."""
    error = model_error(table, model, s, a, gamma)
    if error != 0.0:
        set_q(table, s, a, q_value(table, s, a) + learning_rate * error)


@njit(cache=True)
def plan(table, model, draws, learning_rate, gamma):
    """Takes one `plan_step` for each of the draws, (n,)."""
    for u in draws:
        plan_step(table, model, u, learning_rate, gamma)


# ------------------------------------------------------------------------------------ prioritized sweeping


class Queue(NamedTuple):
    """The pairs (s, a), numbered s * n_actions + a, whose values are out of date, and which pairs lead to a state."""

    heap: NDArray[np.int64]  # (n_pairs,): pairs in the queue, the first one on top
    places: NDArray[np.int64]  # (n_pairs,): where a pair stands in the heap, -1 for nowhere
    priorities: NDArray[np.float64]  # (n_pairs,)
    held: NDArray[np.int64]  # (1,): how many there are
    leading: NDArray[np.int64]  # (n_states,): a pair that leads to a state, -1 for none
    following: NDArray[np.int64]  # (n_pairs,): the next pair that leads to the same state, -1 for none
    preceding: NDArray[np.int64]  # (n_pairs,): the one before


def new_queue(n_states: int, n_actions: int) -> Queue:
    """Makes an empty queue."""
    n_pairs = n_states * n_actions
    heap, priorities = np.zeros(n_pairs, np.int64), np.zeros(n_pairs)
    nowhere, leading = np.full(n_pairs, -1, np.int64), np.full(n_states, -1, np.int64)
    return Queue(heap, nowhere, priorities, np.zeros(1, np.int64), leading, nowhere.copy(), nowhere.copy())


@njit(cache=True)
def sweep(table, model, queue, s, a, r, s_next, terminated, learning_rate, gamma, threshold, planning_steps):
    """Notes a step in the model, then learns from the model where values are furthest from it.

    Prioritized sweeping, Sutton & Barto (2018) 8.4, steps (d) to (g) of its box. Of equal priorities the lowest pair is
    first. A pair learns only when its turn in the queue comes, the step's own not before others.
    """
    n_actions = model.outcomes.shape[1]
    pair = s * n_actions + a
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
        before = queue.leading[s_first]
        while before >= 0:
            error = model_error(table, model, before // n_actions, before % n_actions, gamma)
            _enqueue(queue, before, abs(error), threshold)
            before = queue.following[before]


@njit(cache=True, forceinline=True)
def model_error(table, model, s, a, gamma):
    """Returns the temporal-difference error of what the model says of a pair."""
    outcome = model.outcomes[s, a]
    value = 0.0 if outcome & 1 else greedy_value(table, outcome >> 1)
    return model.rewards[s, a] + gamma * value - q_value(table, s, a)


@njit(cache=True)
def _link(queue, pair, outcome):
    """Enters a pair among those that lead to a state; none is needed where the episode ends."""
    if outcome < 0 or outcome & 1:
        return
    head = queue.leading[outcome >> 1]
    queue.following[pair], queue.preceding[pair], queue.leading[outcome >> 1] = head, -1, pair
    if head >= 0:
        queue.preceding[head] = pair


@njit(cache=True)
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
    """Puts a pair into the queue; one that is there keeps the higher of its priorities."""
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


@njit(cache=True)
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


@njit(cache=True, forceinline=True)
def _comes_first(queue, one, other):
    p, q = queue.priorities[one], queue.priorities[other]
    return p > q or (p == q and one < other)


@njit(cache=True)
def refill(queue, model, pairs, priorities):
    """Makes a queue anew from its pairs and their priorities, and from the model which pairs lead where."""
    queue.places[:], queue.leading[:], queue.held[0] = -1, -1, 0
    n_actions = model.outcomes.shape[1]
    for pair in range(queue.places.shape[0]):
        _link(queue, pair, model.outcomes[pair // n_actions, pair % n_actions])
    for i in range(pairs.shape[0]):
        _enqueue(queue, pairs[i], priorities[i], -1.0)


stamp(__name__)
