"""Worlds: SafeCab, CartPole in bins, and the wrappers and models that make any env a table."""

from __future__ import annotations

if __name__ != "rlbench.envs":
    raise ImportError(f"import rlbench.envs, not {__name__}: a second name would make a second copy of every class")

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium as gym

if TYPE_CHECKING:
    from rlbench.envs.cartpole import DiscreteCartPoleEnv
    from rlbench.envs.discretize import Discretize, FlattenDiscrete, make_bins
    from rlbench.envs.safecab import SafeCabEnv
    from rlbench.envs.tabular import TabularModel

ENVS: tuple[dict[str, Any], ...] = (
    {"id": "rlbench/SafeCab-v0", "entry_point": "rlbench.envs.safecab:SafeCabEnv", "max_episode_steps": 100},
    {
        "id": "rlbench/DiscreteCartPole-v1",
        "entry_point": "rlbench.envs.cartpole:DiscreteCartPoleEnv",
        "max_episode_steps": 500,
        "reward_threshold": 475.0,
    },
)
SHORT_NAMES = {"safecab": "rlbench/SafeCab-v0", "cartpole": "rlbench/DiscreteCartPole-v1"}

_HOMES = {
    "DiscreteCartPoleEnv": "cartpole",
    "Discretize": "discretize",
    "FlattenDiscrete": "discretize",
    "SafeCabEnv": "safecab",
    "TabularModel": "tabular",
    "make_bins": "discretize",
}

__all__ = [
    "ENVS",
    "SHORT_NAMES",
    "DiscreteCartPoleEnv",
    "Discretize",
    "FlattenDiscrete",
    "SafeCabEnv",
    "TabularModel",
    "make_bins",
    "register_envs",
]


def register_envs() -> None:
    """Registers our envs with Gymnasium; calling it again does nothing."""
    for env in ENVS:
        if env["id"] not in gym.registry:
            gym.register(**env)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"rlbench.envs.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'rlbench.envs' has no attribute {name!r}")


register_envs()
