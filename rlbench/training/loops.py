"""The two loops: one to read, one to run; for the same seed they leave the same tables, episodes and generators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.training.gate import Gate

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym

    from rlbench.agents import Agent
    from rlbench.training.budgets import Budget
    from rlbench.training.recorder import Recorder


def readable_loop(
    env: gym.Env[Any, Any],
    agent: Agent,
    budget: Budget,
    recorder: Recorder,
    look: Callable[[], None],
    *,
    seed: int | None = None,
) -> None:
    """Trains any agent on any env: the definition of reinforcement learning, aloud. The first reset takes the seed."""
    agent.drop_episode()
    gate = Gate(agent, lambda: recorder.place)
    act, update = agent.behind_a_gate()
    while not budget.is_spent(agent):
        recorder.note_reset(env, seed)
        observation = gate.start(env.reset(seed=seed)[0])
        seed = None
        recorder.begin_episode(observation, agent.exploration_rate)
        ended = False
        while not ended:
            # choose, step, learn
            action = gate.action(act(observation, explore=True))
            next_observation, reward, terminated, truncated = gate.outcome(*env.step(action))
            update(observation, action, reward, next_observation, terminated)
            # keep
            recorder.step(action, reward, next_observation, explored=agent.explored)
            observation, ended = next_observation, terminated or truncated or recorder.cuts_off
            if not ended and recorder.is_full:
                recorder.split_episode(observation)
                look()
        agent.end_episode()
        recorder.end_episode(terminated=terminated, truncated=truncated)
        look()
        if recorder.is_full:
            recorder.flush()


def compiled_loop(
    world: Any,
    env: gym.Env[Any, Any],
    agent: Agent,
    budget: Budget,
    recorder: Recorder,
    look: Callable[[], None],
    *,
    seed: int | None = None,
) -> None:
    """Does the same in machine code, a chunk at a time."""
    from rlbench.training._compiled import run  # noqa: PLC0415  (numba only when something runs)

    run(world, env, agent, budget, recorder, look, seed)
