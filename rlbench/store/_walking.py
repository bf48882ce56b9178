"""Compiled passes over steps: tracing them through a table, which packs their actions, and back; adding them up.

Packed, an action says only what cannot be guessed. Most are what their state saw when it last did not explore: one bit
each, in `repeats`. The others are written out in `changes`, and apart from them, in `tries`, all that explored.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rlbench._stamp import stamp

ALL = -1  # in place of the first step that does not fit the table
GOES_ON, BREAKS_OFF, ENDS = range(3)  # what a segment does after a step; the last: it terminates


@njit(cache=True, nogil=True)
def trace(table, observations, actions, rewards, explored, lengths, ends, outcomes, repeats, changes, tries):
    """Writes which outcome each step had, and its packed action; rewards are compared by their bits.

    No length may be 0. `outcomes` has no rows if each pair has one outcome.
    Returns (whether all steps fit the table, rows of repeats, rows of changes, rows of tries).
    """
    offsets, successor, reward, terminated, n_actions = table
    known, found, drawn = reward.view(np.int64), rewards.view(np.int64), outcomes.shape[0] > 0
    usual = np.zeros((offsets.shape[0] - 1) // n_actions, changes.dtype)
    closing = _closing(lengths, ends, actions.shape[0])
    # unsigned: an index from the end is not looked for, 10% faster
    one, row = np.uint64(1), np.uint64(0)
    repeated, changed, tried = row, row, row
    for n in range(actions.shape[0]):
        state, after = np.uint64(observations[row]), observations[row + one]
        action, explores, is_end = actions[n], explored[n], closing[n] == ENDS
        row += one + np.uint64(closing[n] != GOES_ON)
        pair = state * np.uint64(n_actions) + np.uint64(action)
        i = pair
        if drawn:
            i, stop = np.uint64(offsets[pair]), np.uint64(offsets[pair + one])
            while i < stop and (successor[i] != after or known[i] != found[n] or terminated[i] != is_end):
                i += one
            if i == stop:
                return False, repeated, changed, tried
            outcomes[n] = i - np.uint64(offsets[pair])
        elif successor[i] != after or known[i] != found[n] or terminated[i] != is_end:
            return False, repeated, changed, tried
        before = usual[state]
        # no branch: which column takes an action cannot be foretold, so each does, and some go on
        repeats[repeated], changes[changed], tries[tried] = action == before, action, action
        repeated += np.uint64(not explores)
        changed += np.uint64(not explores and action != before)
        tried += np.uint64(explores)
        usual[state] = before if explores else action
    return True, repeated, changed, tried


@njit(cache=True, nogil=True)
def _closing(lengths, ends, steps):
    """Returns what the segment of each step does after it.

    So one loop goes through all steps: where short segments end cannot be foretold, and two loops take 40% longer.
    """
    closing, n = np.full(steps, GOES_ON, np.uint8), 0
    for segment in range(lengths.shape[0]):
        n += lengths[segment]
        closing[n - 1] = ENDS if ends[segment] else BREAKS_OFF
    return closing


@njit(cache=True, nogil=True)
def retrace(table, starts, explored, outcomes, lengths, ends, repeats, changes, tries, actions):
    """Writes the actions of a walk that `trace` packed; returns (first step that does not fit, observations, rewards).

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
