"""The two loops: one to read, one to run; for the same seed they leave the same tables, episodes and generators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.training.recorder import Recorder

UNLIMITED = 2**62


@dataclass
class Budget:
    """When training ends, in the agent's absolute counts; `stop` asks it to end with the episode under way."""

    episodes: int = UNLIMITED
    timesteps: int = UNLIMITED  # the episode that reaches it is played to its end
    stop: bool = False
    abort: bool = False  # asks it to end at once, as soon as someone looks

    def after(self, agent: Agent) -> Budget:
        """Returns the same budget for an agent that has already played: counted from where it stands."""
        episodes, timesteps = self.episodes + agent.episodes, self.timesteps + agent.timesteps
        return Budget(min(UNLIMITED, episodes), min(UNLIMITED, timesteps))

    def is_spent(self, agent: Agent) -> bool:
        """Whether no further episode may begin."""
        return self.stop or agent.episodes >= self.episodes or agent.timesteps >= self.timesteps


def readable_loop(
    env: gym.Env[Any, Any], agent: Agent, budget: Budget, recorder: Recorder, look: Callable[[], None]
) -> None:
    """Trains any agent on any env: the definition of reinforcement learning, aloud."""
    agent.drop_episode()
    while not budget.is_spent(agent):
        recorder.note_reset(env)
        observation, _ = env.reset()
        recorder.begin_episode(observation, agent.exploration_rate)
        ended = False
        while not ended:
            # choose, step, learn
            action = agent.act(observation, explore=True)
            next_observation, reward, terminated, truncated, _ = env.step(action)
            agent.update(observation, action, float(reward), next_observation, terminated)
            # keep
            recorder.step(action, float(reward), next_observation, explored=agent.explored)
            observation, ended = next_observation, terminated or truncated
            if not ended and recorder.is_full:
                recorder.split_episode(observation)
                look()
        agent.end_episode()
        recorder.end_episode(terminated=terminated, truncated=truncated)
        if recorder.is_full:
            recorder.flush()
        look()


def compiled_loop(
    world: Any, env: gym.Env[Any, Any], agent: Agent, budget: Budget, recorder: Recorder, look: Callable[[], None]
) -> None:
    """Does the same in machine code, a chunk at a time."""
    run_compiled(world, env, agent, agent.learner(), budget, recorder, look)


def run_compiled(
    world: Any,
    env: gym.Env[Any, Any],
    agent: Agent,
    learner: Any,
    budget: Budget,
    recorder: Recorder,
    look: Callable[[], None],
) -> None:
    """Runs any learner in a world: the env lends its generator, the agent its arrays, counters and generator."""
    from rlbench.agents._learners import set_sfc64_words, sfc64_words  # noqa: PLC0415  (numba only when training starts)
    from rlbench.training._kernel import Counts, run_chunk  # noqa: PLC0415

    agent.drop_episode()
    rng, state, words = env.unwrapped.np_random, world.blank_state(), sfc64_words(agent.rng)
    counts = Counts(agent.episodes, agent.timesteps, -1, 0.0, 0.0, 0)
    while counts.episode_length >= 0 or not budget.is_spent(agent):
        recorder.note_reset(env)
        # asked to stop: the episode under way is the last
        last = counts.episodes if budget.stop else budget.episodes
        limits = recorder.limits._replace(episodes=last, timesteps=budget.timesteps)
        state, after, steps, segments = run_chunk(
            world, rng, state, learner, words, agent.n_actions, counts, limits, recorder.tape, recorder.segments
        )
        counts = Counts(*after)
        # the agent is whole again before anyone looks
        agent.episodes, agent.timesteps = counts.episodes, counts.timesteps
        set_sfc64_words(agent.rng, words)
        agent.take_back(learner)
        recorder.take(counts, steps, segments)
        look()


def compile_for(world: Any, agent: Agent) -> None:
    """Compiles the loop for a world and an agent, or loads it from numba's cache, without taking a step."""
    from rlbench.training._kernel import Counts, run_chunk  # noqa: PLC0415
    from rlbench.training.recorder import Recorder  # noqa: PLC0415

    recorder = Recorder(agent.n_actions, recording=False, episode_steps=0, sink=lambda _: None, steps=1)
    words = np.zeros(4, np.uint64)
    counts = Counts(0, 0, -1, 0.0, 0.0, 0)
    limits = recorder.limits._replace(episodes=0, timesteps=0)
    rng = np.random.Generator(np.random.PCG64(0))
    state, learner = world.blank_state(), agent.learner()
    run_chunk(world, rng, state, learner, words, agent.n_actions, counts, limits, recorder.tape, 0)
