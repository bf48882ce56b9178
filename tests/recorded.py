"""Recorded envs for the processes of a vector env, which find them by this module."""

import gymnasium as gym

from rlbench import RecordEpisodes


def lake(path):
    """Makes an env that is recorded in a file."""
    return RecordEpisodes(gym.make("FrozenLake-v1"), path)
