"""The compiled loop: any world, any learner, one function; what the readable loop does, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from rlbench.agents._learners import greedy, learn
from rlbench.agents._rules import epsilon_greedy, schedule_value, sfc64_random
from rlbench.envs._worlds import observe, reset, step

if TYPE_CHECKING:
    from numpy.typing import NDArray

TERMINATED, TRUNCATED = 1, 2  # bits of an episode's end; 0: it goes on in the next chunk


class Counts(NamedTuple):
    """Where the loop is: the agent's absolute counters, and the unfinished episode."""

    episodes: int
    timesteps: int
    episode_length: int  # steps taken of the unfinished episode; -1: the next step needs a reset
    episode_return: float
    episode_epsilon: float
    explored: int


class Limits(NamedTuple):
    """When the loop stops or cuts an episode."""

    episode_steps: int  # the env's step limit, 0 for none
    chunk_steps: int  # what the tape holds, or how many to take before someone looks at the clock
    reserve: int  # no episode begins with fewer steps left than this, so that few are split between chunks
    episodes: int  # stop at this many episodes, counted from the agent's first
    timesteps: int  # stop at the end of the episode that reaches this


class Tape(NamedTuple):
    """What the loop writes: figures an episode, and every step if `recording`."""

    recording: bool
    lengths: NDArray[np.int64]  # (segments,): steps of each episode within this chunk
    ends: NDArray[np.uint8]  # (segments,)
    returns: NDArray[np.float64]  # (segments,), and likewise below: of episodes that end here
    episode_lengths: NDArray[np.int32]
    epsilons: NDArray[np.float64]
    explored_counts: NDArray[np.int32]
    action_counts: NDArray[np.int32]  # (segments, n_actions)
    observations: NDArray[np.int32]  # (steps + segments,)
    actions: NDArray[np.int16]  # (steps,)
    rewards: NDArray[np.float64]  # (steps,)
    explored: NDArray[np.bool_]  # (steps,)


@njit(cache=True, nogil=True)
def run_chunk(world, world_rng, state, learner, words, n_actions, counts, limits, tape, segments):
    """Trains until the budget, the tape or `limits.chunk_steps` ends; writes from row `segments` of the figures on.

    `words`, uint64 (4,), is the state of the agent's SFC64, moved in place.
    Returns (state, counts, steps taken, segments on the tape).
    """
    bits = (words[0], words[1], words[2], words[3])
    per_step_epsilon, per_step_rate = learner.exploration.per_step, learner.learning_rate.per_step
    episodes, timesteps = counts.episodes, counts.timesteps
    length, total, explored_count = counts.episode_length, counts.episode_return, counts.explored
    first_epsilon = counts.episode_epsilon
    epsilon = schedule_value(learner.exploration, timesteps if per_step_epsilon else episodes)
    rate = schedule_value(learner.learning_rate, timesteps if per_step_rate else episodes)
    n, written, begun = 0, 0, 0
    if length >= 0 and tape.recording:
        tape.observations[0] = observe(world, state)
        written = 1
    while n < limits.chunk_steps:
        if length < 0:
            if episodes >= limits.episodes or timesteps >= limits.timesteps:
                break
            if segments == tape.lengths.shape[0] or n + limits.reserve > limits.chunk_steps:
                break
            state = reset(world, world_rng)
            length, total, explored_count, first_epsilon = 0, 0.0, 0, epsilon
            if tape.recording:
                tape.observations[written] = observe(world, state)
                written += 1
        # choose
        s = observe(world, state)
        u, bits = sfc64_random(bits)
        if per_step_epsilon:
            epsilon = schedule_value(learner.exploration, timesteps)
            first_epsilon = epsilon if length == 0 else first_epsilon
        action, explored = epsilon_greedy(u, epsilon, n_actions, greedy(learner, s))
        # step
        state, reward, terminated = step(world, state, action, world_rng)
        s_next = observe(world, state)
        # learn
        if per_step_rate:
            rate = schedule_value(learner.learning_rate, timesteps)
        timesteps += 1
        learn(learner, s, action, reward, s_next, terminated, rate, timesteps)
        # keep
        length += 1
        total += reward
        explored_count += explored
        tape.action_counts[np.uint64(segments), np.uint64(action)] += 1
        if tape.recording:
            tape.observations[written] = s_next
            written += 1
            tape.actions[n] = action
            tape.rewards[n] = reward
            tape.explored[n] = explored
        n += 1
        truncated = length == limits.episode_steps
        if terminated or truncated:
            tape.lengths[segments] = n - begun
            tape.ends[segments] = TERMINATED * terminated + TRUNCATED * truncated
            tape.returns[segments] = total
            tape.episode_lengths[segments] = length
            tape.epsilons[segments] = first_epsilon
            tape.explored_counts[segments] = explored_count
            segments += 1
            begun = n
            length = -1
            episodes += 1
            if not per_step_epsilon:
                epsilon = schedule_value(learner.exploration, episodes)
    if length >= 0:  # unfinished: the next chunk goes on with it
        tape.lengths[segments] = n - begun
        tape.ends[segments] = 0
        segments += 1
    words[0], words[1], words[2], words[3] = bits
    return state, Counts(episodes, timesteps, length, total, first_epsilon, explored_count), n, segments
