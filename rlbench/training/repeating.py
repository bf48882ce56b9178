"""Trains again what a run stored after its last checkpoint: the outcome must be the same, then the run goes on."""

from __future__ import annotations

from dataclasses import replace
from itertools import tee
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import StoreError
from rlbench.store.documents import open_steps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rlbench.store import CheckpointInfo, EpisodeChunk, RunRecord, Store

    Rows = dict[str, NDArray[Any]]


class Stored:
    """What a run stored after a checkpoint; chunks that repeat it are compared, not written.

    Attributes:
        first_episode: the episode at which the checkpoint stands, counted in the run.
        first_timestep: and the step.
        episodes: how many episodes of the run have ended and are stored.
        is_repeated: whether all of it has been trained again.
    """

    def __init__(self, store: Store, run: RunRecord, checkpoint: CheckpointInfo | None) -> None:
        chunks = list(store.chunks(run.id, episodes=[run.episodes], figures=False))
        last = chunks[-1] if chunks else None
        self._open_steps = 0 if last is None else open_steps(last.first_step, last.lengths, last.ends)
        self._run_id, self.episodes = run.id, run.episodes
        self.first_episode, self.first_timestep = (0, 0) if checkpoint is None else store.counts_at(run.id, checkpoint)
        wanted = range(self.first_episode, run.episodes + 1)
        figures, steps = tee(store.chunks(run.id, episodes=wanted))
        self._figures = _Rows(chunk.figures for chunk in figures)
        self._steps = _Rows(map(_step_rows, steps))
        self.is_repeated = (self.first_episode, 0) == (self.episodes, self._open_steps)

    def take(self, chunk: EpisodeChunk) -> EpisodeChunk | None:
        """Compares a chunk with what is stored; returns the part of it that is new, or None.

        Raises:
            StoreError: it differs.
        """
        if chunk.first_episode < self.episodes:
            self._compare(self._figures.take(chunk.episodes), chunk.figures, chunk.first_episode)
            self._compare(self._steps.take(chunk.n_steps), _step_rows(chunk), chunk.first_episode)
            self.is_repeated = chunk.first_episode + chunk.episodes == self.episodes and not self._open_steps
            return None
        known = min(int(chunk.lengths[0]), self._open_steps - chunk.first_step)
        if known <= 0 or chunk.first_episode > self.episodes:
            return chunk
        rows = {name: column[:known] for name, column in _step_rows(chunk).items()}
        self._compare(self._steps.take(known), rows, chunk.first_episode)
        self.is_repeated = chunk.first_step + known == self._open_steps
        return None if known == chunk.n_steps and not chunk.episodes else _without(chunk, known)

    def _compare(self, stored: Rows, again: Rows, episode: int) -> None:
        different = [name for name, rows in stored.items() if not _same(rows, again.get(name))]
        if different:
            raise StoreError(
                f"run {self._run_id} cannot be resumed: trained again from its last checkpoint, it gave another "
                f"{different[0]} from episode {episode} on than it stored, so its env or its agent is not the same "
                "any more; nothing was changed"
            )


def _same(one: NDArray[Any], other: NDArray[Any] | None) -> bool:
    return other is not None and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


class _Rows:
    """Rows of columns that come in pieces, taken in other pieces."""

    def __init__(self, pieces: Iterable[Rows]) -> None:
        self._pieces = iter(pieces)
        self._left: Rows = {}

    def take(self, count: int) -> Rows:
        """Returns the next rows; fewer if there are no more."""
        taken: list[Rows] = []
        while count > 0:
            held = len(next(iter(self._left.values()), ()))
            if not held:
                found = next(self._pieces, None)
                if found is None:
                    break
                self._left = found
                continue
            rows = min(count, held)
            taken.append({name: column[:rows] for name, column in self._left.items()})
            self._left = {name: column[rows:] for name, column in self._left.items()}
            count -= rows
        return {name: np.concatenate([piece[name] for piece in taken]) for name in (taken[0] if taken else ())}


def _step_rows(chunk: EpisodeChunk) -> Rows:
    """Returns the step columns of a chunk with one row a step: without the last observation of each segment."""
    if chunk.steps is None:
        return {}
    last = np.cumsum(chunk.lengths) + np.arange(len(chunk.lengths))
    return {**chunk.steps, "observations": np.delete(chunk.steps["observations"], last, axis=0)}


def _without(chunk: EpisodeChunk, steps: int) -> EpisodeChunk:
    """Returns a chunk without the first steps of its first segment."""
    lengths = chunk.lengths.copy()
    lengths[0] -= steps
    columns = None if chunk.steps is None else {name: column[steps:] for name, column in chunk.steps.items()}
    return replace(chunk, first_step=chunk.first_step + steps, lengths=lengths, steps=columns, env_rng=None)
