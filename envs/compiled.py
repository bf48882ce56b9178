"""The compiled counterparts of envs, imported when something runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    import gymnasium as gym

_worlds = LazyModule("rlbench.envs._worlds")


def compiled_world(env: gym.Env[Any, Any], *, own: bool = True) -> Any:
    """Returns the compiled counterpart of an env; None if it has none.

    `own=False` leaves out those of envs that are not known here, whose table must first be compared with them.
    """
    return _worlds.world_of(env, own=own)
