"""Makes the env of a stored run, if the installed version can still draw it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import find_highest_version, parse_env_id

from rlbench.errors import RlbenchError

if TYPE_CHECKING:
    from rlbench.store import Episode
    from rlbench.training import Run


def installed_env(run: Run) -> gym.Env[Any, Any] | None:
    """Makes the env of a run; if it is missing or another version is installed, warns and returns None."""
    env, reason = env_or_reason(run)
    if env is None:
        warnings.warn(f"{reason}: the stored steps of run {run.id} are shown as text", RuntimeWarning, stacklevel=2)
    return env


def env_or_reason(run: Run) -> tuple[gym.Env[Any, Any] | None, str]:
    """Makes the env of a run; if it is missing or another version is installed, returns None and the reason."""
    reason = _other_version(run.env_id)
    if reason:
        return None, reason
    try:
        return run.make_env(), ""
    except (RlbenchError, gym.error.Error, ImportError) as error:
        return None, str(error)


def _other_version(env_id: str) -> str:
    """Returns a message if a different version of an env is installed; empty if not."""
    if env_id in gym.registry:
        return ""
    try:
        namespace, name, _ = parse_env_id(env_id)
    except gym.error.Error:  # a class, not an id
        return ""
    newest = find_highest_version(namespace, name)
    return "" if newest is None else f"{env_id} is not installed, but its version {newest} is"


def fits(env: gym.Env[Any, Any], episode: Episode) -> bool:
    """Returns whether an episode's observations can come from an env: in range, if its space is Discrete."""
    space, observations = env.observation_space, episode.observations
    if not isinstance(space, spaces.Discrete):
        return True
    if isinstance(observations, dict) or np.ndim(observations) != 1:
        return False
    return bool(((observations >= space.start) & (observations < space.start + space.n)).all())
