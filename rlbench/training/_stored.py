"""Compiled passes over stored chunks: playing them again, and learning from them."""

from __future__ import annotations

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.agents import _learners, _rules
from rlbench.agents._rules import q_update, sfc64_random
from rlbench.envs import _worlds
from rlbench.envs._worlds import observe, reset, step


@njit(cache=True, nogil=True)
def play_again(world, rng, state, begun, actions, lengths, observations, rewards, terminated):
    """Plays a chunk's actions again, from its first reset, or from `state` if its first segment had `begun` before.

    Writes what came of them: observations (steps + segments,), rewards and terminated (steps,). Returns the last state.
    """
    n, written = 0, 0
    for segment in range(lengths.shape[0]):
        if segment > 0 or not begun:
            state = reset(world, rng)
        observations[written] = observe(world, state)
        written += 1
        for _ in range(lengths[segment]):
            state, rewards[n], terminated[n] = step(world, state, actions[n], rng)
            observations[written] = observe(world, state)
            n += 1
            written += 1
    return state


@njit(cache=True, nogil=True)
def learn_backwards(table, observations, actions, rewards, lengths, terminated, learning_rate, gamma):
    """Learns a chunk by Q-learning from its last step to its first; returns the largest temporal-difference error.

    Backwards a value travels along a whole episode in one pass (Lin, 1992: backward replay).
    """
    largest = 0.0
    n, row = rewards.shape[0], observations.shape[0]
    for segment in range(lengths.shape[0] - 1, -1, -1):
        ends = terminated[segment]
        row -= 1  # the segment's last observation
        for _ in range(lengths[segment]):
            n, row = n - 1, row - 1
            error = q_update(
                table, observations[row], actions[n], rewards[n], observations[row + 1], ends, learning_rate, gamma
            )
            largest = max(largest, abs(error))
            ends = False
    return largest


@njit(cache=True, nogil=True)
def learn_minibatches(table, rows, filled, words, count, batch_size, learning_rate, gamma):
    """Learns `count` minibatches drawn from a buffer's rows; returns the largest temporal-difference error left in it.

    `words`, uint64 (4,), is the state of the buffer's SFC64, moved in place.
    """
    bits = (words[0], words[1], words[2], words[3])
    for _ in range(count * batch_size):
        u, bits = sfc64_random(bits)
        t = rows[np.int64(u * filled)]
        q_update(table, t.observation, t.action, t.reward, t.next_observation, t.terminated, learning_rate, gamma)
    words[0], words[1], words[2], words[3] = bits
    largest = 0.0  # of all: a minibatch that happens to fit says nothing of the rest
    for i in range(filled):
        t = rows[i]
        error = q_update(table, t.observation, t.action, t.reward, t.next_observation, t.terminated, 0.0, gamma)
        largest = max(largest, abs(error))
    return largest


for function in (play_again, learn_backwards, learn_minibatches):
    stamp(function, _rules, _learners, _worlds)
