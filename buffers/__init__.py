"""Replay buffers: transitions in NumPy arrays, sampled in minibatches."""

from __future__ import annotations

if __name__ != "rlbench.buffers":
    raise ImportError(f"import rlbench.buffers, not {__name__}: a second name would make a second copy of every class")

from typing import TYPE_CHECKING, Any

from rlbench.buffers.prioritized import PrioritizedReplayBuffer
from rlbench.buffers.uniform import Batch, BufferStats, ReplayBuffer
from rlbench.errors import unknown_name

if TYPE_CHECKING:
    import numpy as np
    from gymnasium import spaces

BUFFERS: dict[str, type[ReplayBuffer]] = {buffer.kind: buffer for buffer in (ReplayBuffer, PrioritizedReplayBuffer)}


def make_buffer(
    kind: str,
    capacity: int,
    observation_space: spaces.Space[Any] | None = None,
    action_space: spaces.Space[Any] | None = None,
    *,
    seed: int | np.random.SeedSequence | None = None,
    **parameters: Any,
) -> ReplayBuffer:
    """Makes a buffer of one of the kinds in BUFFERS.

    Raises:
        UsageError: the kind is unknown, or a parameter is out of range.
    """
    if kind not in BUFFERS:
        raise unknown_name("buffer", kind, BUFFERS)
    return BUFFERS[kind](capacity, observation_space, action_space, seed=seed, **parameters)


__all__ = ["BUFFERS", "Batch", "BufferStats", "PrioritizedReplayBuffer", "ReplayBuffer", "make_buffer"]
