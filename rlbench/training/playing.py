"""Playing without learning: greedy episodes, for evaluation and for watching."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.agents import TableAgent
from rlbench.envs.compiled import compiled_world
from rlbench.envs.making import seed_env, step_limit
from rlbench.envs.success import judge_of
from rlbench.training.gate import Gate

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.agents import Agent

MOST_STEPS = 10_000  # of an episode, where the env has no limit: a policy may circle for ever
AT_ONCE = 500  # episodes in machine code, which Ctrl-C does not interrupt


class End(NamedTuple):
    """How an episode ended."""

    state: int  # the observation, or the attribute `s` of an env that has one
    terminated: bool
    is_success: Any = None  # what the env said in `info`


class Played(NamedTuple):
    """The results of n greedy episodes."""

    returns: NDArray[np.float64]  # (n,)
    lengths: NDArray[np.int64]  # (n,)
    successes: NDArray[np.bool_] | None  # (n,); None if the env defines no success
    unfinished: int  # how many were cut off after MOST_STEPS


def play(env: gym.Env[Any, Any], agent: Agent, episodes: int, seed: int) -> Played:
    """Plays greedy episodes from one seed; leaves the agent as it is.

    The compiled loop plays tables in envs with a compiled counterpart; anything else is played step by step.
    """
    world = compiled_world(env, own=False)  # another env may say in its infos whether it succeeds, which no table does
    seed_env(env, seed)
    policy = agent.greedy_policy() if isinstance(agent, TableAgent) else None
    if world is None or policy is None:
        return _play_readably(env, _stand_in(agent), episodes, seed)
    return _play_compiled(world, env, policy, episodes)


def _stand_in(agent: Agent) -> Agent:
    """Returns a copy whose counters and generator may move; tables are shared, since playing does not change them."""
    player = copy(agent)
    player.rng = deepcopy(agent.rng)
    return player


def _play_readably(env: gym.Env[Any, Any], agent: Agent, episodes: int, seed: int) -> Played:
    rows: list[tuple[float, int]] = []
    ends: list[End] = []
    unfinished, most, length = 0, step_limit(env) or MOST_STEPS, -1
    gate = Gate(agent, lambda: f"episode {len(rows)}, step {length + 1}")
    for episode in range(episodes):
        length = -1  # step 0 is the reset
        observation = gate.start(env.reset(seed=None if episode else seed)[0])
        total, length, ended = 0.0, 0, False
        while not ended:
            action = gate.action(agent.act(observation, explore=False))
            outcome = env.step(action)
            observation, reward, terminated, truncated = gate.outcome(*outcome)
            total, length, ended = total + reward, length + 1, terminated or truncated
            if length >= most and not ended:
                unfinished, ended = unfinished + 1, True
        rows.append((total, length))
        ends.append(End(getattr(env.unwrapped, "s", observation), terminated, outcome[4].get("is_success")))
    returns, lengths = zip(*rows, strict=True)
    return Played(np.array(returns), np.array(lengths), _successes(env, ends), unfinished)


def _play_compiled(world: Any, env: gym.Env[Any, Any], policy: NDArray[np.int64], episodes: int) -> Played:
    from rlbench.training._greedy import player_for  # noqa: PLC0415  (numba only when something runs)

    rng, most = env.unwrapped.np_random, step_limit(env) or MOST_STEPS
    batches = []
    for first in range(0, episodes, AT_ONCE):
        n = min(AT_ONCE, episodes - first)
        batch = np.empty(n), np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.bool_)
        player_for(world)(world, rng, policy, most, *batch)
        batches.append(batch)
    returns, lengths, states, terminations = (np.concatenate(columns) for columns in zip(*batches, strict=True))
    unfinished = 0 if step_limit(env) else int(np.count_nonzero(lengths[~terminations] == MOST_STEPS))
    return Played(returns, lengths, _judged(env, states, terminations), unfinished)


def _judged(
    env: gym.Env[Any, Any], states: NDArray[np.int64], terminations: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """Returns which episodes succeeded by the rule known for the env; None without one."""
    judge = judge_of(env)
    if judge is None:
        return None
    ends = list(zip(states.tolist(), terminations.tolist(), strict=True))
    told = {end: judge(*end) for end in set(ends)}  # few differ
    return np.array([told[end] for end in ends])


def _successes(env: gym.Env[Any, Any], ends: list[End]) -> NDArray[np.bool_] | None:
    """Returns which episodes succeeded: as the env reports it, else by the rule known for it; None without either."""
    if any(end.is_success is not None for end in ends):
        return np.array([bool(end.is_success) for end in ends])
    judge = judge_of(env)
    return None if judge is None else np.array([judge(end.state, end.terminated) for end in ends])
