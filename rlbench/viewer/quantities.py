"""CartPole's four quantities over an episode, and the edges of the bins that its observation puts them in."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleEnv

from rlbench.envs.discretize import bin_bounds, bin_counts
from rlbench.viewer.again import play_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.store import Episode

NAMES = ("x", "x_dot", "theta", "theta_dot")
UNITS = ("m", "m/s", "rad", "rad/s")


class Quantities(NamedTuple):
    """What a cart did."""

    values: NDArray[np.float64]  # (T + 1, 4): x, x_dot, theta, theta_dot
    edges: tuple[tuple[float, ...], ...]  # of each, where one bin ends and the next begins


def quantities_of(
    make: Callable[[], gym.Env[Any, Any]], episode: Episode, begin: Callable[[gym.Env[Any, Any]], Any]
) -> Quantities | None:
    """Returns the quantities of a CartPole episode, played again where only its bins are stored.

    Args:
        make: makes the env.
        episode: which.
        begin: brings the env to the episode's start and returns the first observation.

    Returns:
        None for another env, and where the episode, played again, goes another way.
    """
    env = make()
    world = env.unwrapped
    if not isinstance(world, CartPoleEnv):
        return None
    observations = episode.observations
    if not isinstance(observations, dict) and np.shape(observations) == (len(episode) + 1, len(NAMES)):
        return Quantities(np.asarray(observations, np.float64), edges_of(env))
    states = [np.array(world.state, np.float64) for _ in play_again(env, episode, lambda: begin(env))]
    env.close()
    return Quantities(np.array(states), edges_of(env)) if len(states) == len(episode) + 1 else None


def edges_of(env: gym.Env[Any, Any]) -> tuple[tuple[float, ...], ...]:
    """Returns the edges of the bins of each quantity; none where the observation has no bins."""
    while "bins" not in vars(env):
        if not isinstance(env, gym.Wrapper):
            return ((),) * len(NAMES)
        env = env.env
    bins: Any = vars(env)["bins"]
    counts = bin_counts(bins).tolist()
    strides = [prod(counts[i + 1 :]) for i in range(len(counts))]
    return tuple(
        tuple(float(bin_bounds(bins, place * stride)[0][i]) for place in range(1, count))
        for i, (count, stride) in enumerate(zip(counts, strides, strict=True))
    )
