"""Compiled passes over steps: tracing them through a table, which packs their actions, and back; adding them up.

Packed, an action says only what cannot be guessed. Most are what their state saw when it last did not explore: one bit
each, in `repeats`. The others are written out in `changes`, and apart from them, in `tries`, all that explored.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rlbench._stamp import stamp

ALL = -1  # in place of the first step that does not fit the table
U = np.uint64  # of an index: it is then not looked for from the end
ONE, RANK = U(1), U(2**8 - 1)
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
    row, repeated, changed, tried = U(0), U(0), U(0), U(0)
    for n in range(actions.shape[0]):
        state, after = U(observations[row]), observations[row + ONE]
        action, explores, is_end = actions[n], explored[n], closing[n] == ENDS
        row += ONE + U(closing[n] != GOES_ON)
        pair = state * U(n_actions) + U(action)
        i = pair
        if drawn:
            i, stop = U(offsets[pair]), U(offsets[pair + ONE])
            while i < stop and (successor[i] != after or known[i] != found[n] or terminated[i] != is_end):
                i += ONE
            if i == stop:
                return False, repeated, changed, tried
            outcomes[n] = i - U(offsets[pair])
        elif successor[i] != after or known[i] != found[n] or terminated[i] != is_end:
            return False, repeated, changed, tried
        before = usual[state]
        # no branch: which column takes an action cannot be foretold, so each does, and some go on
        repeats[repeated], changes[changed], tries[tried] = action == before, action, action
        repeated += U(not explores)
        changed += U(not explores and action != before)
        tried += U(explores)
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
def retrace(links, starts, explored, outcomes, lengths, ends, repeats, changes, tries, observations, actions, rewards):
    """Writes the steps of a walk that `trace` packed; returns the first that does not fit the table, or ALL.

    Each step that did not explore must have a repeat, each repeat that is False a change, and each other step a try;
    each of these three has one more at its end, which is read but not used. Where a state changes its usual action, the
    last row of `first` changes. It makes no array itself: the part of numba that does so takes 25 ms to load.
    """
    first, successor, about, reward = links
    usual, drawn = U(first.shape[0] - 1), outcomes.shape[0] > 0
    begin, changed, tried = U(0), U(0), U(0)
    for segment in range(U(lengths.shape[0])):
        state, stop = U(starts[segment]), begin + U(lengths[segment])
        observations[begin + segment] = starts[segment]
        for n in range(begin, stop):
            # no branch: what explores cannot be foretold, so that both are read, and one of them is not used
            explores, repeat, tries_it = U(explored[n]), U(repeats[n - tried]), U(tries[tried])
            if not (explores | repeat):
                first[usual, state] = first[U(changes[changed]), state]
                changed += ONE
            i = U(first[tries_it if explores else usual, state])
            i += U(outcomes[n]) if drawn else U(0)
            found = U(about[i])
            is_another = drawn and (found >> ONE) & RANK != U(outcomes[n])  # the action has fewer: it is the next one's
            if is_another or (found & ONE) != U(n + ONE == stop and ends[segment]):
                return np.int64(n)
            state, rewards[n], actions[n], tried = U(successor[i]), reward[i], found >> U(9), tried + explores
            observations[n + segment + ONE] = state
        begin = stop
    return ALL


@njit(cache=True, nogil=True)
def add_up(lengths, rewards, explored, actions, returns, tries, counts):
    """Adds up the steps of each episode: its rewards, in order, those that explored, and those with each action."""
    begin = U(0)
    for episode in range(U(lengths.shape[0])):
        total, tried, stop = 0.0, U(0), begin + U(lengths[episode])
        for n in range(begin, stop):
            total, tried = total + rewards[n], tried + U(explored[n])
            counts[episode, U(actions[n])] += 1
        returns[episode], tries[episode] = total, tried
        begin = stop


stamp(__name__)
