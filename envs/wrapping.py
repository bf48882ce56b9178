"""Wrappers by name: "NAME" or "NAME:argument=value,...", of the closed list that a stored spec may name as well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from rlbench.envs.discretize import Discretize
from rlbench.envs.flattening import FlattenDiscrete
from rlbench.envs.starting import ExploringStarts
from rlbench.envs.trust import WRAPPERS
from rlbench.errors import UsageError, unknown_name
from rlbench.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS: dict[str, Any] = {
    "Discretize": Discretize,
    "ExploringStarts": ExploringStarts,
    "FlattenDiscrete": FlattenDiscrete,
}
SEPARATOR = re.compile(r",(?=\s*\w+\s*=)")  # between two arguments, not within the value of one


def names() -> list[str]:
    """Returns the names of the wrappers."""
    return sorted(WRAPPERS)


def wrap(env: gym.Env[Any, Any], wrappers: Iterable[str]) -> gym.Env[Any, Any]:
    """Returns an env in wrappers, the first of them the innermost.

    Args:
        env: what to wrap.
        wrappers: each "NAME" or "NAME:argument=value,argument=value", such as "ClipReward:min_reward=-1,max_reward=1".

    Raises:
        UsageError: an unknown wrapper, or arguments or an env that it does not take.
    """
    for wrapper in wrappers:
        env = _wrapped(env, wrapper)
    return env


def as_box(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Returns an env with Box observations: as it is, or a Dict or Tuple of numbers flattened to one row.

    Raises:
        UsageError: its observations are none of these.
    """
    space = env.observation_space
    if isinstance(space, gym.spaces.Dict | gym.spaces.Tuple) and space.is_np_flattenable:
        return gym.wrappers.FlattenObservation(env)
    if not isinstance(space, gym.spaces.Box):
        raise UsageError(f"bins need Box observations, got {space}: leave the bins out")
    return env


def _wrapped(env: gym.Env[Any, Any], wrapper: str) -> gym.Env[Any, Any]:
    name, _, arguments = wrapper.partition(":")
    if name not in WRAPPERS:
        raise unknown_name("wrapper", name, WRAPPERS)
    made = OURS.get(name) or getattr(gym.wrappers, name)
    given = parse_settings(SEPARATOR.split(arguments) if arguments else [], f"the wrapper {name}")
    try:
        return made(env, **given)  # type: ignore[no-any-return]
    except UsageError:
        raise
    except Exception as error:  # a wrapper may raise anything for arguments that it did not expect
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(f"the wrapper {wrapper} does not fit {env}: {reason}") from error
