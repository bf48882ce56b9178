"""Envs: SafeCab, binned CartPole, those of the book, and the wrappers and models that make other envs tabular."""

from __future__ import annotations

if __name__ != "rlbench.envs":
    raise ImportError(f"import rlbench.envs, not {__name__}: a second name would load a second copy of every class")

from typing import Any

import gymnasium as gym

from rlbench.envs.book import BOOK_ENVS
from rlbench.envs.cartpole import DiscreteCartPoleEnv
from rlbench.envs.discretize import Discretize, make_bins
from rlbench.envs.flattening import FlattenDiscrete, flattened
from rlbench.envs.safecab import SafeCabEnv
from rlbench.envs.starting import ExploringStarts
from rlbench.envs.tabular import TabularModel
from rlbench.names import SHORT_NAMES

ENVS: tuple[dict[str, Any], ...] = (
    {"id": "rlbench/SafeCab-v0", "entry_point": "rlbench.envs.safecab:SafeCabEnv", "max_episode_steps": 100},
    {
        "id": "rlbench/DiscreteCartPole-v1",
        "entry_point": "rlbench.envs.cartpole:DiscreteCartPoleEnv",
        "max_episode_steps": 500,
        "reward_threshold": 475.0,
    },
    *BOOK_ENVS,
)

__all__ = [
    "ENVS",
    "SHORT_NAMES",
    "DiscreteCartPoleEnv",
    "Discretize",
    "ExploringStarts",
    "FlattenDiscrete",
    "SafeCabEnv",
    "TabularModel",
    "flattened",
    "make_bins",
    "register_envs",
]


def register_envs() -> None:
    """Registers our envs with Gymnasium; calling it again does nothing."""
    for env in ENVS:
        if env["id"] not in gym.registry:
            gym.register(**env)


register_envs()
