"""Compiled passes over stored chunks: playing them again, and learning from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.agents._learners import learn, replay
from rlbench.agents._replay import largest_error
from rlbench.agents._rules import greedy_value, q_value
from rlbench.buffers._sfc64 import put_words, words_of
from rlbench.envs._worlds import functions_of, observe, reset, step
from rlbench.training._linking import compiled


def for_world(function: Any, world: Any) -> Any:
    """Returns `play_again` or `leads_to`, compiled for a world of this type."""
    return compiled(function, functions_of(world), STAMP)


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


def leads_to(
    world, rng, state, first_step, limit, actions, lengths, terminations, truncations, observations, reward_bits
):
    """Plays a chunk's actions again as `play_again` does, up to the first step of which anything is not as stored.

    Returns (last state, whether all is as stored).
    """
    n, row, taken = 0, 0, first_step
    for segment in range(lengths.shape[0]):
        if taken == 0:
            state = reset(world, rng)
        if observe(world, state) != observations[row]:
            return state, False
        for left in range(lengths[segment], 0, -1):
            state, reward, terminated = step(world, state, actions[n], rng)
            is_truncated, is_last = taken + 1 == limit, left == 1
            if observe(world, state) != observations[row + 1] or np.float64(reward).view(np.int64) != reward_bits[n]:
                return state, False
            if terminated != (is_last and terminations[segment]) or is_truncated != (is_last and truncations[segment]):
                return state, False
            n, row, taken = n + 1, row + 1, taken + 1
        row, taken = row + 1, 0
    return state, True


@njit(cache=True, nogil=True)
def learn_backwards(learner, observations, actions, rewards, lengths, terminated, learning_rate, epsilon, words):
    """Learns a chunk from its last step to its first; returns the largest temporal-difference error.

    The learner is one whose `learn` asks for no step before or after. `words`, uint64 (4,), is the state of its SFC64,
    moved in place. Backwards a value travels along a whole episode in one pass (Lin, 1992: backward replay).
    """
    largest = 0.0
    bits = words_of(words)
    n, row = rewards.shape[0], observations.shape[0]
    for segment in range(lengths.shape[0] - 1, -1, -1):
        ends = terminated[segment]
        row -= 1  # the segment's last observation
        for _ in range(lengths[segment]):
            n, row = n - 1, row - 1
            s, a, r, s_next = observations[row], actions[n], rewards[n], observations[row + 1]
            target = r if ends else r + learner.core.gamma * greedy_value(learner.core.table, s_next)
            largest = max(largest, abs(target - q_value(learner.core.table, s, a)))
            bits = learn(learner, s, a, r, s_next, ends, learning_rate, epsilon, 0, bits)
            ends = False
    put_words(words, bits)
    return largest


@njit(cache=True, nogil=True)
def learn_minibatches(learner, count, learning_rate):
    """Learns `count` minibatches of a buffer; returns the largest temporal-difference error left in all of it."""
    for _ in range(count):
        replay(learner, learning_rate)
    return largest_error(learner.core.table, learner.memory, learner.core.gamma)


STAMP = stamp(__name__)
