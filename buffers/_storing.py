"""Storing many transitions at once, compiled for a single signature, so that odd arrays never trigger a compilation."""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64, njit

NARROW = 8  # words: columns up to this width are written word by word over all rows, wider ones row by row


@njit(cache=True, inline="always")
def _outside(values, low, stop):
    wrong = False
    if low < stop:
        for value in values.flat:
            wrong |= (value < low) | (value >= stop)
    return wrong


@njit(cache=True, inline="always")
def _not_finite(values):
    wrong = False
    for i in range(values.shape[0]):
        wrong |= not abs(values[i]) < math.inf
    return wrong


@njit(cache=True, inline="always")
def _put(words, at, column, source, i, m):
    """Writes rows i to i + m of `source`, (n, k) words, into the ring, starting at row `at` and word `column`."""
    width = source.shape[1]
    if width <= NARROW:
        for c in range(width):
            for k in range(m):  # unsigned indices: no check for negative ones
                words[np.uint64(at + k), np.uint64(column + c)] = source[np.uint64(i + k), np.uint64(c)]
    else:
        for k in range(m):
            for c in range(width):
                words[np.uint64(at + k), np.uint64(column + c)] = source[np.uint64(i + k), np.uint64(c)]


_WORDS, _FLAGS = int64[:, ::1], boolean[::1]


@njit(
    boolean(
        _WORDS, int64[::1], int64[::1], _WORDS, _WORDS, float64[::1], _WORDS, _FLAGS, _FLAGS,
    ),
    cache=True,
)  # fmt: skip
def store_rows(words, cursor, layout, observations, actions, rewards, nexts, terminated, truncated):
    """Stores n transitions, advances the cursor and returns True; if any is invalid, stores none and returns False.

    The ring is (capacity, k) words. Observations, actions and next observations are rows of words of any meaning.
    `layout` holds start and stop of a Discrete observation, start and stop of a Discrete action (equal if there is no
    range to check), words per observation, words per action.
    """
    n, capacity = rewards.shape[0], words.shape[0]
    numbers, flags = words.view(np.float64), words.view(np.bool_)  # the same memory
    low, stop, first, end, action, width = layout
    reward = action + width  # offsets in words: the action follows the observation, the reward the action
    if observations.shape != (n, action) or nexts.shape != (n, action) or actions.shape != (n, width):
        return False
    if terminated.shape[0] != n or truncated.shape[0] != n or _not_finite(rewards):
        return False
    if _outside(observations, low, stop) or _outside(nexts, low, stop) or _outside(actions, first, end):
        return False
    flag = 8 * (reward + 1 + action)
    i = max(0, n - capacity)  # earlier rows would be overwritten at once
    at = (cursor[0] + i) % capacity
    while i < n:
        m = min(n - i, capacity - at)
        _put(words, at, 0, observations, i, m)
        _put(words, at, action, actions, i, m)
        _put(words, at, reward + 1, nexts, i, m)
        for k in range(m):
            numbers[np.uint64(at + k), np.uint64(reward)] = rewards[np.uint64(i + k)]
        for k in range(m):
            flags[np.uint64(at + k), np.uint64(flag)] = terminated[np.uint64(i + k)]
            flags[np.uint64(at + k), np.uint64(flag + 1)] = truncated[np.uint64(i + k)]
        i, at = i + m, (at + m) % capacity
    cursor[0], cursor[1] = at, min(capacity, cursor[1] + n)
    return True
