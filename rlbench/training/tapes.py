"""What both loops write and when they stop: tuples of counts and arrays that machine code takes as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Counts(NamedTuple):
    """Where the loop is: the agent's absolute counters, and the unfinished episode."""

    episodes: int
    timesteps: int
    episode_length: int  # steps taken of the unfinished episode; -1: the next step needs a reset
    episode_return: float
    episode_epsilon: float
    explored: int


class Limits(NamedTuple):
    """When the loop stops or cuts an episode."""

    episode_steps: int  # after which an episode ends
    truncates: bool  # that is the env's own step limit; else the episode is cut off
    chunk_steps: int  # what the tape holds, or how many to take before someone looks at the clock
    reserve: int  # no episode begins with fewer steps left than this, so that few are split between chunks
    episodes: int  # stop at this many episodes, counted from the agent's first
    timesteps: int  # stop at the end of the episode that reaches this


class Tape(NamedTuple):
    """What the loop writes: figures an episode, and every step if `recording`."""

    recording: bool
    lengths: NDArray[np.int64]  # (segments,) if recording: steps of each episode within this chunk
    ends: NDArray[np.uint8]  # (segments,)
    returns: NDArray[np.float64]  # (segments,), and likewise below: of episodes that end here
    episode_lengths: NDArray[np.int32]
    epsilons: NDArray[np.float64]
    explored_counts: NDArray[np.int32]
    action_counts: NDArray[np.int32]  # (segments, n_actions)
    observations: NDArray[np.int32]  # (steps + segments,)
    actions: NDArray[np.int16]  # (steps,)
    rewards: NDArray[np.float64]  # (steps,)
    explored: NDArray[np.bool_]  # (steps,)
