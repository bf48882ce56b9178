"""The names of an env's actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rlbench.envs.cartpole import DiscreteCartPoleEnv
from rlbench.envs.making import wrappers_of
from rlbench.envs.safecab import SafeCabEnv
from rlbench.envs.transparent import found_by_class

if TYPE_CHECKING:
    from collections.abc import Sequence

# Gymnasium's envs; ours have an attribute `action_names`.
ACTION_NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("gymnasium.envs.classic_control.cartpole", "CartPoleEnv"): DiscreteCartPoleEnv.action_names,
    ("gymnasium.envs.classic_control.mountain_car", "MountainCarEnv"): ("Left", "Coast", "Right"),
    ("gymnasium.envs.classic_control.acrobot", "AcrobotEnv"): ("Left", "None", "Right"),
    ("gymnasium.envs.toy_text.blackjack", "BlackjackEnv"): ("Stick", "Hit"),
    ("gymnasium.envs.toy_text.taxi", "TaxiEnv"): SafeCabEnv.action_names,
    ("gymnasium.envs.toy_text.frozen_lake", "FrozenLakeEnv"): ("Left", "Down", "Right", "Up"),
    ("gymnasium.envs.toy_text.cliffwalking", "CliffWalkingEnv"): ("Up", "Right", "Down", "Left"),
}


def action_names(env: gym.Env[Any, Any] | None) -> tuple[str, ...]:
    """Returns the names of an env's actions 0, 1 ...; empty if unknown, or if a wrapper changes their meaning.

    Your own env names them in an attribute `action_names`. None stands for an env that cannot be made here.
    """
    if env is None or any(isinstance(wrapper, gym.ActionWrapper) for wrapper in wrappers_of(env)):
        return ()
    own = getattr(env.unwrapped, "action_names", None)
    if isinstance(own, tuple | list):
        return tuple(own)
    return found_by_class(ACTION_NAMES, env) or ()


def action_name(names: Sequence[str], action: Any, unnamed: str = "{}") -> str:
    """Returns the name of an action, or `unnamed` (such as "action {}") with its number if it has none."""
    is_named = isinstance(action, int) and 0 <= action < len(names)
    return names[action] if is_named else unnamed.format(action)
