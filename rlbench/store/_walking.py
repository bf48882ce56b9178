"""Compiled passes over steps: tracing and following them through a table, packing their actions, adding them up.

Packed, an action says only what cannot be guessed. Most are what their state saw when it last did not explore: one bit
each, in `repeats`. The others are written out in `changes`, and apart from them, in `tries`, all that explored.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rlbench._stamp import stamp

ALL = -1  # in place of the first step that does not fit the table


@njit(cache=True, nogil=True)
def trace(table, observations, actions, rewards, lengths, ends):
    """Returns (first step that does not fit, which outcome each step had); rewards are compared by their bits."""
    offsets, successor, reward, terminated, n_actions = table
    outcomes, known, found = np.zeros(actions.shape[0], np.uint8), reward.view(np.int64), rewards.view(np.int64)
    n, row = 0, 0
    for segment in range(lengths.shape[0]):
        for left in range(lengths[segment], 0, -1):
            pair = np.int64(observations[row]) * n_actions + actions[n]
            row += 1
            is_end = left == 1 and ends[segment]
            i, stop = offsets[pair], offsets[pair + 1]
            while i < stop and (successor[i] != observations[row] or known[i] != found[n] or terminated[i] != is_end):
                i += 1
            if i == stop:
                return n, outcomes
            outcomes[n] = i - offsets[pair]
            n += 1
        row += 1
    return ALL, outcomes


@njit(cache=True, nogil=True)
def follow(table, starts, explored, outcomes, lengths, ends, actions):
    """Returns (first step that does not fit, observations, rewards, repeats, changes, tries)."""
    offsets, successor, reward, terminated, n_actions = table
    n_steps, n, row, repeated, changed, tried = actions.shape[0], 0, 0, 0, 0, 0
    drawn = outcomes.shape[0] > 0  # else each pair has one outcome: 20% faster than looking for it
    observations, rewards = np.empty(n_steps + lengths.shape[0], np.int32), np.empty(n_steps)
    repeats, changes, tries = np.empty(n_steps, np.bool_), np.empty_like(actions), np.empty_like(actions)
    usual = np.zeros((offsets.shape[0] - 1) // n_actions, actions.dtype)
    for segment in range(lengths.shape[0]):
        state = np.int64(starts[segment])
        observations[row] = state
        for left in range(lengths[segment], 0, -1):
            action, before, explores = actions[n], usual[state], explored[n]
            # unsigned: an index from the end is not looked for, 10% faster
            pair = np.uint64(state * n_actions + action)
            i = np.uint64(offsets[pair] + outcomes[n]) if drawn else pair
            if i >= offsets[pair + np.uint64(1)] or terminated[i] != (left == 1 and ends[segment]):
                return n, observations, rewards, repeats, changes, tries
            # no branch: which column takes an action cannot be foretold, so each does, and some go on
            repeats[repeated], changes[changed], tries[tried] = action == before, action, action
            repeated, changed = repeated + (not explores), changed + (not explores and action != before)
            tried += explores
            usual[state] = before if explores else action
            state, rewards[n] = np.int64(successor[i]), reward[i]
            row, n = row + 1, n + 1
            observations[row] = state
        row += 1
    return ALL, observations, rewards, repeats[:repeated], changes[:changed], tries[:tried]


@njit(cache=True, nogil=True)
def retrace(table, starts, explored, outcomes, lengths, ends, repeats, changes, tries, actions):
    """Writes the actions of a walk that `follow` packed; returns (first step that does not fit, observations, rewards).

    Each step that did not explore must have a repeat, each repeat that is False a change, and each other step a try.
    """
    offsets, successor, reward, terminated, n_actions = table
    n_steps, n, row, repeated, changed, tried = actions.shape[0], 0, 0, 0, 0, 0
    drawn = outcomes.shape[0] > 0  # else each pair has one outcome: 20% faster than looking for it
    observations, rewards = np.empty(n_steps + lengths.shape[0], np.int32), np.empty(n_steps)
    # of each state the pair with its usual action, not the action: the next state then does not wait for a product
    usual = np.arange((offsets.shape[0] - 1) // n_actions) * n_actions
    for segment in range(lengths.shape[0]):
        state = np.int64(starts[segment])
        observations[row] = state
        for left in range(lengths[segment], 0, -1):
            first = state * n_actions
            pair = np.uint64(usual[np.uint64(state)])
            if explored[n]:
                pair, tried = np.uint64(first + tries[tried]), tried + 1
            elif repeats[repeated]:
                repeated += 1
            else:
                pair, repeated, changed = np.uint64(first + changes[changed]), repeated + 1, changed + 1
                usual[np.uint64(state)] = pair
            i = np.uint64(offsets[pair] + outcomes[n]) if drawn else pair
            if i >= offsets[pair + np.uint64(1)] or terminated[i] != (left == 1 and ends[segment]):
                return n, observations, rewards
            state, rewards[n], actions[n] = np.int64(successor[i]), reward[i], np.int64(pair) - first
            row, n = row + 1, n + 1
            observations[row] = state
        row += 1
    return ALL, observations, rewards


@njit(cache=True, nogil=True)
def add_up(lengths, column, sums):
    """Adds the rows of each episode to its sum, in order."""
    n = 0
    for episode in range(lengths.shape[0]):
        total = sums[episode]
        for _ in range(lengths[episode]):
            total += column[n]
            n += 1
        sums[episode] = total


@njit(cache=True, nogil=True)
def tally(lengths, actions, counts):
    """Adds to `counts` how often each episode took each action."""
    n = 0
    for episode in range(lengths.shape[0]):
        for _ in range(lengths[episode]):
            counts[np.uint64(episode), np.uint64(actions[n])] += 1
            n += 1


stamp(__name__)
