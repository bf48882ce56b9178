"""What stored chunks are to those who learn from them or play them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.buffers import Batch
from rlbench.errors import StoreError
from rlbench.store import CUT_OFF

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from rlbench.agents import Agent
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
    """Adds the stored transitions of runs to a replay buffer, oldest first; returns their number.

    Raises:
        StoreError: a run kept figures only.
    """
    runs = runs if isinstance(runs, Sequence) else [runs]
    count = put(buffer, (chunk for run in runs for chunk in chunks_with_steps(run)))
    buffer.sources = tuple(dict.fromkeys([*buffer.sources, *(run.id for run in runs)]))
    buffer.end_episode()  # the next transition belongs to another episode
    return count


def parents_of(agent: Agent) -> list[str]:
    """Returns the ids of the runs that an agent has learnt in, and of those that its buffer was filled from."""
    sources = getattr(getattr(agent, "buffer", None), "sources", ())
    return list(dict.fromkeys([*agent.origins, *sources]))


def put(buffer: ReplayBuffer, chunks: Iterable[EpisodeChunk]) -> int:
    """Puts the chunks of one run or of several into a replay buffer, in their order; returns how many transitions."""
    count = 0
    for chunk in chunks:
        if chunk.first_step == 0:
            buffer.end_episode()  # the run before may have broken off: no return crosses into this one
        buffer.extend(transitions(chunk))
        count += chunk.n_steps
    return count


def chunks_with_steps(run: Run) -> Iterator[EpisodeChunk]:
    """Reads the chunks of a run one after another.

    Raises:
        StoreError: it kept figures only.
    """
    for chunk in run.store.chunks(run.id, figures=False):
        if chunk.steps is None:
            raise StoreError(f"run {run.id} kept figures only: train with record='all' to learn from its steps")
        yield chunk


def check_range(what: str, column: NDArray[Any], size: int) -> None:
    """Refuses numbers outside Discrete(size): compiled code does not check its indices.

    Raises:
        StoreError: the smallest or the largest is out of range.
    """
    for found in (column.min(initial=0), column.max(initial=0)):
        if not 0 <= found < size:
            raise StoreError(f"a stored {what} is {found}, expected 0 to {size - 1}: it is of another env")
