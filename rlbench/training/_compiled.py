"""The way into machine code and back: an agent lends its arrays, counters and generator to the compiled loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents._learners import set_sfc64_words, sfc64_words
from rlbench.training._kernel import loop_for
from rlbench.training.tapes import Counts

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.training.budgets import Budget
    from rlbench.training.recorder import Recorder

_LOADED: set[Any] = set()  # kinds of worlds and learners whose loop this process has


def run(
    world: Any,
    env: gym.Env[Any, Any],
    agent: Agent,
    budget: Budget,
    recorder: Recorder,
    look: Callable[[], None],
    seed: int | None = None,
) -> None:
    """Runs any learner in a world: the env lends its generator, the agent its arrays, counters and generator.

    The agent is whole whenever someone looks, and what is changed in it there counts from the next episode on. The seed
    is noted, as that of the readable loop's first reset: the env's generator was seeded with it.
    """
    agent.drop_episode()
    rng, state = env.unwrapped.np_random, world.blank_state()
    counts = Counts(agent.episodes, agent.timesteps, -1, 0.0, 0.0, 0, 0)
    while counts.episode_length >= 0 or not budget.is_spent(agent):
        recorder.note_reset(env, seed)
        # asked to stop: the episode under way is the last
        last = counts.episodes if budget.stop else min(budget.episodes, budget.pause)
        tape, limits = recorder.blank()
        limits = limits._replace(episodes=last, timesteps=budget.timesteps)
        learner, words = agent.learner(), sfc64_words(agent.rng)
        state, after, steps, segments = loop_for(world, learner)(
            world, rng, state, learner, words, agent.n_actions, counts, limits, tape, recorder.segments
        )
        counts, seed = Counts(*after), None
        agent.episodes, agent.timesteps = counts.episodes, counts.timesteps
        set_sfc64_words(agent.rng, words)
        agent.take_back(learner)
        recorder.take(counts, steps, segments)
        look()
        if recorder.is_full:
            recorder.flush()


def compile_for(world: Any, agent: Agent, recorder: Recorder) -> None:
    """Compiles the loop for a world and an agent, or loads it from numba's cache, without taking a step."""
    learner, tape = agent.learner(), recorder.tape
    kind = _kind_of((world, learner, tape))
    if kind in _LOADED:
        return
    words, counts = np.zeros(4, np.uint64), Counts(0, 0, -1, 0.0, 0.0, 0, 0)
    limits, rng = recorder.limits._replace(episodes=0, timesteps=0), np.random.Generator(np.random.PCG64(0))
    state = world.blank_state()
    loop_for(world, learner)(world, rng, state, learner, words, agent.n_actions, counts, limits, tape, 0)
    _LOADED.add(kind)


def _kind_of(value: Any) -> Any:
    """Returns what decides the type that numba gives a value."""
    if isinstance(value, tuple):
        return type(value), *map(_kind_of, value)
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return type(value)
