"""The arithmetic of the agents: compiled free functions, true to the book, used by both training loops.

**The table.** Row s is `[max_a q[s, a], argmax_a q[s, a], q[s, 0], q[s, 1], ...]`, filled up with -inf to whole cache
lines.
The greedy value and action are kept up on every write (`set_q`), so that acting and bootstrapping read two numbers
instead of scanning a row: that breaks the chain of memory waits which bounds a tabular learner. The action is an
int64 in the same eight bytes (`table.view(np.int64)`). Ties go to the lowest index.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALUE, ACTION, FIRST = 0, 1, 2  # columns of a table: greedy value, greedy action, q[s, 0]
CACHE_LINE = 8  # float64
TO_UNIT = 1.0 / 9007199254740992.0  # 2**-53: NumPy's own way from 53 random bits to [0, 1)


class Table(NamedTuple):
    """One block of memory seen twice, so that no kernel has to make the second view in its loop."""

    values: NDArray[np.float64]  # (n_states, 2 + n_actions + padding)
    words: NDArray[np.int64]  # the same bytes: column ACTION is read here


def new_table(n_states: int, n_actions: int, initial_value: float = 0.0) -> Table:
    """Allocates a table, each row on cache lines of its own."""
    width = -(-(FIRST + n_actions) // CACHE_LINE) * CACHE_LINE
    raw = np.empty(n_states * width + CACHE_LINE)
    start = (-raw.ctypes.data // raw.itemsize) % CACHE_LINE
    values = raw[start : start + n_states * width].reshape(n_states, width)
    values[:] = -np.inf
    table = Table(values, values.view(np.int64))
    set_table(table, np.full((n_states, n_actions), initial_value))
    return table


def set_table(table: Table, q_table: NDArray[np.float64]) -> None:
    """Overwrites all action values, shape (n_states, n_actions), and what is cached of them."""
    table.values[:, FIRST : FIRST + q_table.shape[1]] = q_table
    table.values[:, VALUE] = q_table.max(axis=1)
    table.words[:, ACTION] = q_table.argmax(axis=1)


# `inline="always"`: LLVM leaves calls with many arguments (an array is seven) standing, dearer than what they do


@njit(cache=True, inline="always")
def greedy_value(table, s):
    """Returns max_a q[s, a]."""
    return table.values[np.uint64(s), np.uint64(VALUE)]


@njit(cache=True, inline="always")
def greedy_action(table, s):
    """Returns argmax_a q[s, a], the lowest index of equals."""
    return table.words[np.uint64(s), np.uint64(ACTION)]


@njit(cache=True, inline="always")
def set_q(table, s, a, value):
    """Writes q[s, a] and keeps the row's greedy value and action up."""
    row, column = np.uint64(s), np.uint64(a) + np.uint64(FIRST)
    table.values[row, column] = value
    best, best_a = table.values[row, np.uint64(VALUE)], greedy_action(table, s)
    if value > best or (value == best and a <= best_a):
        table.values[row, np.uint64(VALUE)] = value
        table.words[row, np.uint64(ACTION)] = a
    elif a == best_a:  # the best one fell: look for its successor
        _rescan(table, row)


@njit(cache=True)
def _rescan(table, row):
    best, best_column = table.values[row, np.uint64(FIRST)], FIRST
    for column in range(FIRST + 1, table.values.shape[1]):
        if table.values[row, np.uint64(column)] > best:
            best, best_column = table.values[row, np.uint64(column)], column
    table.values[row, np.uint64(VALUE)] = best
    table.words[row, np.uint64(ACTION)] = best_column - FIRST


@njit(cache=True, inline="always")
def q_update(table, s, a, r, s_next, terminated, learning_rate, gamma):
    """Moves q[s, a] towards r + gamma * max_a' q[s_next, a'], in place; returns the temporal-difference error.

    Q-learning, Sutton & Barto (2018) 6.5, equation 6.8; the value of a terminal state is 0.
    """
    target = r if terminated else r + gamma * greedy_value(table, s_next)
    old = table.values[np.uint64(s), np.uint64(a) + np.uint64(FIRST)]
    td_error = target - old
    set_q(table, s, a, old + learning_rate * td_error)
    return td_error


@njit(cache=True)
def q_update_batch(table, s, a, r, s_next, terminated, learning_rate, gamma):
    """Applies `q_update` to a minibatch of arrays (n,), one transition after the other."""
    for i in range(r.shape[0]):
        q_update(table, s[i], a[i], r[i], s_next[i], terminated[i], learning_rate, gamma)


@njit(cache=True, inline="always")
def epsilon_greedy(u, epsilon, n_actions, greedy):
    """Returns (action, explored) from one uniform draw u: its place below epsilon picks the random action."""
    if u < epsilon:
        return np.int64(u / epsilon * n_actions), True
    return np.int64(greedy), False


# ------------------------------------------------------------------------------------------- schedules

CONSTANT, EXPONENTIAL, MULTIPLICATIVE, LINEAR = range(4)
KINDS = {"constant": CONSTANT, "exponential": EXPONENTIAL, "multiplicative": MULTIPLICATIVE, "linear": LINEAR}


class Schedule(NamedTuple):
    """A number that changes with the count of absolute episodes or steps."""

    kind: int
    per_step: bool  # counts steps, else episodes
    initial: float
    final: float
    rate: float  # exponential: decay; multiplicative: factor; linear: the count at which `final` is reached


@njit(cache=True)
def schedule_value(schedule, count):
    """Returns the schedule's value after `count` episodes or steps."""
    if schedule.kind == EXPONENTIAL:
        return schedule.final + (schedule.initial - schedule.final) * math.exp(-schedule.rate * count)
    if schedule.kind == MULTIPLICATIVE:
        return max(schedule.final, schedule.initial * math.pow(schedule.rate, np.float64(count)))
    if schedule.kind == LINEAR:
        return schedule.initial + (schedule.final - schedule.initial) * min(1.0, count / schedule.rate)
    return schedule.initial


# ---------------------------------------------------------------------------------------- random numbers


@njit(cache=True, inline="always")
def sfc64_random(state):
    """Returns (u in [0, 1), next state) of NumPy's SFC64, its four words held in registers.

    Bit for bit `numpy.random.Generator(SFC64).random()`: calling NumPy's own costs 2 ns a draw through a pointer.
    Source: Chris Doty-Humphrey's PractRand, sfc64; numpy/random/src/sfc64.
    """
    a, b, c, counter = state
    word = a + b + counter
    turned = (c << np.uint64(24)) | (c >> np.uint64(40))
    following = (b ^ (b >> np.uint64(11)), c + (c << np.uint64(3)), turned + word, counter + np.uint64(1))
    return np.float64(word >> np.uint64(11)) * TO_UNIT, following
