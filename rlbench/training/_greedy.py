"""Greedy episodes in machine code: what they come to, without their steps."""

from __future__ import annotations

from typing import Any

from rlbench._stamp import stamp
from rlbench.envs._worlds import functions_of, observe, reset, step
from rlbench.training._linking import compiled


def player_for(world: Any) -> Any:
    """Returns `play_greedily`, compiled for a world of this type."""
    return compiled(play_greedily, functions_of(world), STAMP)


def play_greedily(world, rng, policy, most, returns, lengths, states, terminations):
    """Plays an episode for each row of the last four arrays, of `most` steps at most, and writes there how it ended.

    `policy`, int64 (n_states,), is the action of each state.
    """
    for episode in range(returns.shape[0]):
        state = reset(world, rng)
        s, total, length, terminated = observe(world, state), 0.0, 0, False
        while length < most and not terminated:
            state, reward, terminated = step(world, state, policy[s], rng)
            s = observe(world, state)
            total += reward
            length += 1
        returns[episode], lengths[episode], states[episode], terminations[episode] = total, length, s, terminated


STAMP = stamp(__name__)
