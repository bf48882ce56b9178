"""Decides which stored env specs may be made: a spec names code, and only code registered here is run."""

from __future__ import annotations

import json

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator

WRAPPERS = (
    "gymnasium.wrappers:",
    "gymnasium.wrappers.",
    "rlbench.envs:",
    "rlbench.envs.",
)  # modules whose wrappers a spec may use
CODE = ("entry_point", "vector_entry_point")


def is_trusted(spec: str) -> bool:
    """Returns whether a JSON spec names a registered env, its registered code, and only known wrappers."""
    try:
        found = EnvSpec.from_json(spec)
        known = gym.registry.get(found.id)
        wrappers = [wrapper["entry_point"] for wrapper in json.loads(spec)["additional_wrappers"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, gym.error.Error):
        return False
    if known is None or any(getattr(found, name) != getattr(known, name) for name in CODE):
        return False
    return all(map(_is_wrapper, wrappers))


def _is_wrapper(entry_point: object) -> bool:
    if not isinstance(entry_point, str) or not entry_point.startswith(WRAPPERS):
        return False
    try:
        cls = load_env_creator(entry_point)
    except (ImportError, AttributeError, ValueError, gym.error.Error):
        return False
    return isinstance(cls, type) and issubclass(cls, gym.Wrapper)
