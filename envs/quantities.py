"""What the numbers in an env's observation are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.envs.cartpole import DIMENSIONS
from rlbench.envs.transparent import found_by_class

if TYPE_CHECKING:
    import gymnasium as gym

QUANTITIES: dict[tuple[str, str], dict[str, str]] = {  # with units
    ("gymnasium.envs.classic_control.cartpole", "CartPoleEnv"): DIMENSIONS,
    ("gymnasium.envs.classic_control.mountain_car", "MountainCarEnv"): {"position": "", "velocity": ""},
    ("gymnasium.envs.classic_control.acrobot", "AcrobotEnv"): {
        **dict.fromkeys(("cos theta1", "sin theta1", "cos theta2", "sin theta2"), ""),
        **dict.fromkeys(("theta1_dot", "theta2_dot"), "rad/s"),
    },
}


def quantities_of(env: gym.Env[Any, Any], size: int) -> dict[str, str]:
    """Returns the names of the numbers that an env observes, with their units; "value 0" ... if they are unknown."""
    found = found_by_class(QUANTITIES, env) or {}
    return found if len(found) == size else {f"value {i}": "" for i in range(size)}
