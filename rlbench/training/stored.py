"""What stored chunks are to those who learn from them or play them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.buffers import Batch
from rlbench.errors import StoreError
from rlbench.store import CUT_OFF

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.buffers import ReplayBuffer
    from rlbench.store import EpisodeChunk
    from rlbench.training.run import Run


def transitions(chunk: EpisodeChunk) -> Batch:
    """Returns the steps of a chunk as a minibatch, in their order: what a buffer's `extend` takes."""
    steps = chunk.steps or {}
    stops = np.cumsum(chunk.lengths)
    last = stops + np.arange(len(stops))  # rows of the last observations, T+1 a segment
    return Batch(
        observations=np.delete(steps["observations"], last, axis=0),
        actions=steps["actions"],
        rewards=steps["rewards"],
        next_observations=np.delete(steps["observations"], last - chunk.lengths, axis=0),
        terminations=chunk.on_last_steps(chunk.terminations),
        truncations=chunk.on_last_steps(chunk.truncations | (chunk.ends == CUT_OFF)),
    )


def fill(buffer: ReplayBuffer, runs: Run | Sequence[Run]) -> int:
    """Puts the stored transitions of runs into a replay buffer, oldest first; returns how many.

    Raises:
        StoreError: a run kept figures only.
    """
    count = 0
    for run in runs if isinstance(runs, Sequence) else [runs]:
        for chunk in run.store.chunks(run.id, figures=False):
            if chunk.steps is None:
                raise StoreError(f"run {run.id} kept figures only: train with record='all' to fill a buffer from it")
            buffer.extend(transitions(chunk))
            count += chunk.n_steps
    return count


def check_range(what: str, column: NDArray[Any], size: int) -> None:
    """Refuses numbers that no Discrete(size) holds: compiled code does not look where it reads.

    Raises:
        StoreError: the smallest or the largest is out of range.
    """
    for found in (column.min(initial=0), column.max(initial=0)):
        if not 0 <= found < size:
            raise StoreError(f"a stored {what} is {found}, expected 0 to {size - 1}: it is of another env")
