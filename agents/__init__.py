"""Learners: they choose actions and learn from steps."""

from __future__ import annotations

if __name__ != "rlbench.agents":
    raise ImportError(f"import rlbench.agents, not {__name__}: a second name would make a second copy of every class")

from typing import TYPE_CHECKING, Any

from rlbench.agents.base import Agent, TableAgent
from rlbench.agents.q_learning import QLearning
from rlbench.agents.random import RandomAgent
from rlbench.agents.replay_q import ReplayQ
from rlbench.errors import unknown_name

if TYPE_CHECKING:
    import gymnasium as gym

AGENTS: dict[str, type[Agent]] = {cls.name: cls for cls in (RandomAgent, QLearning, ReplayQ)}


def register_agent(cls: type[Agent]) -> type[Agent]:
    """Makes an agent known by its `name`; usable as a class decorator."""
    AGENTS[cls.name] = cls
    return cls


def make_agent(agent: str | type[Agent], env: gym.Env[Any, Any], *, seed: Any = None, **parameters: Any) -> Agent:
    """Makes an agent, given by name or class, for the spaces of an env.

    Raises:
        UsageError: an unknown name or parameter, or spaces that are not Discrete.
    """
    if isinstance(agent, str):
        if agent not in AGENTS:
            raise unknown_name("agent", agent, AGENTS)
        agent = AGENTS[agent]
    return agent(env.observation_space, env.action_space, seed=seed, **parameters)


__all__ = ["AGENTS", "Agent", "QLearning", "RandomAgent", "ReplayQ", "TableAgent", "make_agent", "register_agent"]
