"""What envs and their actions are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.envs.safecab import ACTIONS

if TYPE_CHECKING:
    import gymnasium as gym

ACTION_NAMES = {  # by the class of the env
    "SafeCabEnv": ACTIONS,
    "CartPoleEnv": ("Left", "Right"),
    "DiscreteCartPoleEnv": ("Left", "Right"),
    "TaxiEnv": ACTIONS,
    "FrozenLakeEnv": ("Left", "Down", "Right", "Up"),
    "CliffWalkingEnv": ("Up", "Right", "Down", "Left"),
    "MountainCarEnv": ("Left", "Coast", "Right"),
    "AcrobotEnv": ("Left", "None", "Right"),
}


def name_of(env: gym.Env[Any, Any]) -> str:
    """Returns the id of an env, or the name of its class."""
    return env.spec.id if env.spec is not None else type(env.unwrapped).__name__


def action_name(env: gym.Env[Any, Any] | None, action: Any) -> str:
    """Returns what an action is called; its number where nobody knows."""
    names = () if env is None else ACTION_NAMES.get(type(env.unwrapped).__name__, ())
    is_named = isinstance(action, int) and 0 <= action < len(names)
    return names[action] if is_named else str(action)
