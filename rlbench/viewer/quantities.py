"""CartPole's four quantities over an episode, and the edges of their bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.cartpole import DIMENSIONS, is_cart_pole
from rlbench.envs.discretize import Centers, bins_of, inner_edges
from rlbench.viewer.again import play_again

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store import Episode


class Quantities(NamedTuple):
    """The quantities of a cart, step by step."""

    values: NDArray[np.float64]  # (T + 1, 4), in the order of DIMENSIONS
    edges: tuple[tuple[float, ...], ...]  # for each, the edges between bins


def quantities_of(
    env: gym.Env[Any, Any], episode: Episode, begin: Callable[[gym.Env[Any, Any]], Any]
) -> Quantities | None:
    """Returns the quantities of a CartPole episode, replayed if only its bins are stored.

    Args:
        env: the env, to play it again in.
        episode: the stored episode.
        begin: brings the env to the episode's start and returns the first observation.

    Returns:
        None for other envs, or if the replay diverges from the stored episode.
    """
    if not is_cart_pole(env):
        return None
    observations = episode.observations
    if not isinstance(observations, dict) and np.shape(observations) == (len(episode) + 1, len(DIMENSIONS)):
        return Quantities(np.asarray(observations, np.float64), edges_of(env))
    world: Any = env.unwrapped
    states = [np.array(world.state, np.float64) for _ in play_again(env, episode, lambda: begin(env))]
    return Quantities(np.array(states), edges_of(env)) if len(states) == len(episode) + 1 else None


def edges_of(env: gym.Env[Any, Any]) -> tuple[tuple[float, ...], ...]:
    """Returns the bin edges of each quantity; empty if the observation has none."""
    bins = bins_of(env)
    if bins is None or isinstance(bins, Centers):
        return ((),) * len(DIMENSIONS)
    return tuple(tuple(inner_edges(bins, dimension)) for dimension in range(len(DIMENSIONS)))
