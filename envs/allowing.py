"""Action sets by state: which actions an env allows, as it says itself or as its action masks say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import id_of
from rlbench.envs.transparent import opaque_wrapper
from rlbench.errors import UsageError

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray


def allowed_actions(env: gym.Env[Any, Any]) -> NDArray[np.bool_] | None:
    """Returns the actions that an env allows, bool (n_states, n_actions), by its attribute `allowed_actions`.

    None where all are allowed: it has no such attribute, or a wrapper may change what it describes.

    Raises:
        UsageError: the attribute has another form, or allows no action in a state.
    """
    allowed = getattr(env.unwrapped, "allowed_actions", None)
    if allowed is None or opaque_wrapper(env) is not None:
        return None
    check_allowed(allowed, *_sizes(env))
    return np.array(allowed)


def masked_actions(env: gym.Env[Any, Any]) -> NDArray[np.bool_]:
    """Returns the allowed actions that an env's method `action_mask(state)` marks, bool (n_states, n_actions).

    Where it marks none, all that are allowed remain.

    Raises:
        UsageError: the env has no such method, or a wrapper may change what it describes.
    """
    base: Any = env.unwrapped
    if not callable(getattr(base, "action_mask", None)) or opaque_wrapper(env) is not None:
        raise UsageError(
            f"{id_of(env)} has no action_mask(state) to choose actions by: leave out actions='masked', "
            "or take an env that has one, such as Taxi-v4"
        )
    n_states, n_actions = _sizes(env)
    allowed = allowed_actions(env)
    able = np.ones((n_states, n_actions), np.bool_) if allowed is None else allowed
    marked = able & np.array([base.action_mask(state) for state in range(n_states)], np.bool_)
    return np.where(marked.any(axis=1, keepdims=True), marked, able)


def check_allowed(allowed: Any, n_states: int, n_actions: int) -> None:
    """Raises UsageError unless `allowed` is bool (n_states, n_actions), with at least one action in every state."""
    if not isinstance(allowed, np.ndarray) or allowed.dtype != np.bool_ or allowed.shape != (n_states, n_actions):
        got = f"{allowed.dtype} of shape {allowed.shape}" if isinstance(allowed, np.ndarray) else f"{allowed!r:.80}"
        raise UsageError(f"the allowed actions must be bool of shape {(n_states, n_actions)}, got {got}")
    if not allowed.any(axis=1).all():
        raise UsageError(f"each state must allow an action, got none in state {int(allowed.any(axis=1).argmin())}")


def _sizes(env: gym.Env[Any, Any]) -> tuple[int, int]:
    return int(getattr(env.observation_space, "n", 0)), int(getattr(env.action_space, "n", 0))
