"""Playing without learning: greedy episodes, for evaluation and for watching."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.agents import RandomAgent, TableAgent
from rlbench.agents.compiled import learners, rules
from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import seed_env, step_limit
from rlbench.store import OPEN
from rlbench.training.budgets import Budget
from rlbench.training.gate import Gate
from rlbench.training.loops import compiled_loop
from rlbench.training.recorder import Recorder

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.store import EpisodeChunk


MOST_STEPS = 10_000  # of an episode, where the env has no limit: a greedy policy may circle for ever


class Played(NamedTuple):
    """What n greedy episodes came to."""

    returns: NDArray[np.float64]  # (n,)
    lengths: NDArray[np.int64]  # (n,)
    final_rewards: NDArray[np.float64]  # (n,)
    terminations: NDArray[np.bool_]  # (n,)
    unfinished: int  # how many were broken off after MOST_STEPS


def play(env: gym.Env[Any, Any], agent: Agent, episodes: int, seed: int) -> Played:
    """Plays greedy episodes from one seed; leaves the agent as it is.

    Tables are played by the compiled loop where the env has a world, anything else step by step.
    """
    world = compiled_world(env)
    seed_env(env, seed)
    if world is None or not isinstance(agent, TableAgent):
        return _play_readably(env, _stand_in(agent), episodes, seed)
    return _play_compiled(world, env, agent, episodes)


def _stand_in(agent: Agent) -> Agent:
    """Returns a copy whose counters and generator may move; tables are shared, for playing does not change them."""
    player = copy(agent)
    player.rng = deepcopy(agent.rng)
    return player


def _play_readably(env: gym.Env[Any, Any], agent: Agent, episodes: int, seed: int) -> Played:
    rows: list[tuple[float, int, float, bool]] = []
    unfinished, most, length = 0, step_limit(env) or MOST_STEPS, -1
    gate = Gate(agent, lambda: f"episode {len(rows)}, step {length + 1}")
    for episode in range(episodes):
        length = -1  # step 0 is the reset
        observation = gate.start(env.reset(seed=None if episode else seed)[0])
        total, length, ended = 0.0, 0, False
        while not ended:
            action = gate.action(agent.act(observation, explore=False))
            observation, reward, terminated, truncated = gate.outcome(*env.step(action))
            total, length, ended = total + reward, length + 1, terminated or truncated
            if length >= most and not ended:
                unfinished, ended = unfinished + 1, True
        rows.append((total, length, reward, terminated))
    returns, lengths, rewards, terminations = zip(*rows, strict=True)
    return Played(np.array(returns), np.array(lengths), np.array(rewards), np.array(terminations), unfinished)


def _play_compiled(world: Any, env: gym.Env[Any, Any], agent: TableAgent, episodes: int) -> Played:
    chunks: list[tuple[NDArray[Any], ...]] = []
    never = rules.Schedule(rules.CONSTANT, False, 0.0, 0.0, 0.0)
    recorder = Recorder(
        agent.n_actions,
        recording=True,
        episode_steps=step_limit(env) or MOST_STEPS,
        sink=lambda chunk: chunks.append(_ends_of(chunk)),
    )
    player = RandomAgent(agent.n_states, agent.n_actions, seed=0)  # lends counters, and draws that nobody looks at
    learner = learners.FixedPolicy(learners.Rates(never, never), agent.greedy_policy())
    compiled_loop(world, env, player, Budget(episodes=episodes), recorder, lambda: None, learner=learner)
    recorder.flush()
    returns, lengths, rewards, terminations = (np.concatenate(columns) for columns in zip(*chunks, strict=True))
    unfinished = 0 if step_limit(env) else int(np.count_nonzero(lengths[~terminations] == MOST_STEPS))
    return Played(returns, lengths, rewards, terminations, unfinished)


def _ends_of(chunk: EpisodeChunk) -> tuple[NDArray[Any], ...]:
    """Returns the figures of the episodes that end in a chunk; copies, for the tape is written over."""
    ended = chunk.ends != OPEN
    last = np.cumsum(chunk.lengths)[ended] - 1
    rewards = chunk.steps["rewards"][last] if chunk.steps is not None else np.empty(0)
    figures = chunk.figures
    return figures["return"].copy(), figures["length"].astype(np.int64), rewards, chunk.terminations[ended]
