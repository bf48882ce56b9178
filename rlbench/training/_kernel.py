"""The compiled loop: any world, any learner, one function; what the readable loop does, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.agents import _learners
from rlbench.agents._learners import choose, finish, judge, learn
from rlbench.agents._rules import rate_now, schedule_value
from rlbench.envs import _worlds
from rlbench.envs._worlds import observe, reset, step
from rlbench.store.records import CUT_OFF, TERMINATED, TRUNCATED
from rlbench.training._linking import compiled

MAKES_NO_ARRAYS: Any = {"_nrt": False}  # so numba need not count who uses them, which may cost calls each step


def run_chunk(  # noqa: C901, PLR0912, PLR0915  (one loop: a call inside it costs more than what it does)
    world, world_rng, state, learner, words, n_actions, counts, limits, tape, segments
):
    """Trains until the budget, the tape or `limits.chunk_steps` ends; writes from row `segments` of the figures on.

    `words`, uint64 (4,), is the state of the agent's SFC64, moved in place.
    Returns (state, counts as a plain tuple, steps taken, segments on the tape).
    """
    bits = (words[0], words[1], words[2], words[3])
    per_step_epsilon, per_step_rate = learner.core.exploration.per_step, learner.core.learning_rate.per_step
    per_step = per_step_epsilon or per_step_rate
    before, episodes = counts.timesteps, counts.episodes
    length, total, explored_count = counts.episode_length, counts.episode_return, counts.explored
    first_epsilon, first = counts.episode_epsilon, counts.first
    epsilon = schedule_value(learner.core.exploration, before if per_step_epsilon else episodes)
    rate = rate_now(learner.core.learning_rate, before if per_step_rate else episodes)
    n, written, tried = 0, 0, 0
    while True:
        # begin an episode, or go on with the one that the last chunk left
        if length < 0:
            if episodes >= limits.episodes or before + n >= limits.timesteps:
                break
            if segments == tape.ends.shape[0] or n + limits.reserve > limits.chunk_steps:
                break
            state = reset(world, world_rng)
            length, total, explored_count, first_epsilon = 0, 0.0, 0, epsilon
            first = observe(world, state)
        s = observe(world, state)
        if tape.recording:
            tape.observations[written] = s
            written += 1
        begun, terminated = n, False
        tried -= explored_count  # of an episode that goes on: those in earlier chunks
        # one comparison a step serves the step limit and the end of the chunk
        stop = min(limits.chunk_steps, n + limits.episode_steps - length)
        while n < stop and not terminated:
            # choose
            action, explored, bits = choose(learner, s, epsilon, n_actions, bits)
            # step
            state, reward, terminated = step(world, state, action, world_rng)
            s_next = observe(world, state)
            # learn
            if per_step:
                if per_step_rate:
                    rate = rate_now(learner.core.learning_rate, before + n)
                if per_step_epsilon:
                    epsilon = schedule_value(learner.core.exploration, before + n + 1)
            bits = learn(learner, s, action, reward, s_next, terminated, rate, epsilon, before + n + 1, bits)
            # keep
            total += reward
            explored_count += explored
            tape.action_counts[np.uint64(segments), np.uint64(action)] += 1
            if tape.recording:
                tape.explored[n] = explored
                if tape.walking:
                    pack(tape.packed, s, action, explored, n, tried + explored_count - explored)
                else:
                    tape.observations[written] = s_next
                    written += 1
                    tape.actions[n] = action
                    tape.rewards[n] = reward
            n += 1
            s = s_next
        length += n - begun
        tried += explored_count
        is_over = length == limits.episode_steps
        truncated, cut_off = is_over and limits.truncates, is_over and not (limits.truncates or terminated)
        if tape.recording:
            tape.lengths[segments] = n - begun
        tape.ends[segments] = TERMINATED * terminated + TRUNCATED * truncated + CUT_OFF * cut_off  # as `end_code`
        segments += 1
        if not (terminated or is_over):  # the next chunk goes on with it
            break
        tape.returns[segments - 1] = total
        tape.episode_lengths[segments - 1] = length
        tape.epsilons[segments - 1] = first_epsilon
        tape.explored_counts[segments - 1] = explored_count
        finish(learner, epsilon, before + n, episodes)
        if tape.judging:
            tape.judgements[segments - 1, 0], tape.judgements[segments - 1, 1] = judge(learner, first)
        length = -1
        episodes += 1
        if not per_step_epsilon:
            epsilon = schedule_value(learner.core.exploration, episodes)
    words[0], words[1], words[2], words[3] = bits
    # plain: were it a NamedTuple, a signal that arrives while it is made would crash the process
    after = (episodes, before + n, length, total, first_epsilon, explored_count, first)
    return state, after, n, segments


@njit(inline="always")
def pack(packed, s, action, explored, n, tried):
    """Packs the action of step n, after so many that explored, as `rlbench.store._walking.trace` does."""
    before, changed = packed.usual[np.uint64(s)], np.uint64(packed.changed[0])
    # no branch: which column takes an action cannot be foretold, so each does, and some go on
    packed.tries[np.uint64(tried)] = packed.changes[changed] = action
    packed.repeats[np.uint64(n - tried)] = action == before
    packed.changed[0] += action != before and not explored
    packed.usual[np.uint64(s)] = before if explored else action


def loop_for(world: Any, learner: Any) -> Any:
    """Returns `run_chunk`, compiled for a world and a learner of these types."""
    parts = _worlds.functions_of(world) | _learners.functions_of(learner)
    return compiled(run_chunk, parts, STAMP, error_model="numpy", **MAKES_NO_ARRAYS)


STAMP = stamp(__name__)
