"""What the actions of an env are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rlbench.envs.cartpole import DiscreteCartPoleEnv
from rlbench.envs.making import wrappers_of
from rlbench.envs.safecab import SafeCabEnv

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of Gymnasium's envs; ours say it themselves.
ACTION_NAMES: dict[tuple[str, str], tuple[str, ...]] = {
    ("gymnasium.envs.classic_control.cartpole", "CartPoleEnv"): DiscreteCartPoleEnv.action_names,
    ("gymnasium.envs.classic_control.mountain_car", "MountainCarEnv"): ("Left", "Coast", "Right"),
    ("gymnasium.envs.classic_control.acrobot", "AcrobotEnv"): ("Left", "None", "Right"),
    ("gymnasium.envs.toy_text.taxi", "TaxiEnv"): SafeCabEnv.action_names,
    ("gymnasium.envs.toy_text.frozen_lake", "FrozenLakeEnv"): ("Left", "Down", "Right", "Up"),
    ("gymnasium.envs.toy_text.cliffwalking", "CliffWalkingEnv"): ("Up", "Right", "Down", "Left"),
}


def action_names(env: gym.Env[Any, Any] | None) -> tuple[str, ...]:
    """Returns the names of an env's actions 0, 1 ...; empty where nobody knows, or a wrapper changes what they mean.

    An env of your own names them in an attribute `action_names`. None stands for an env that cannot be made here.
    """
    if env is None or any(isinstance(wrapper, gym.ActionWrapper) for wrapper in wrappers_of(env)):
        return ()
    own = getattr(env.unwrapped, "action_names", None)
    if isinstance(own, tuple | list):
        return tuple(own)
    known = [ACTION_NAMES.get((cls.__module__, cls.__name__), ()) for cls in type(env.unwrapped).__mro__]
    return next(filter(None, known), ())


def action_name(names: Sequence[str], action: Any, unnamed: str = "{}") -> str:
    """Returns what an action is called; where it has no name `unnamed`, such as "action {}", with its number."""
    is_named = isinstance(action, int) and 0 <= action < len(names)
    return names[action] if is_named else unnamed.format(action)
