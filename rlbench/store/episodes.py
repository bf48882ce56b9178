"""The episodes of a run as a lazy sequence over its chunks."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from rlbench.errors import StoreError
from rlbench.store.frames import episodes_dataframe
from rlbench.store.records import OPEN, Episode, is_terminated, is_truncated, tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray
    from pandas import DataFrame

    from rlbench.store.records import EpisodeChunk, Span


class EpisodeSequence(Sequence[Episode]):
    """Episodes that are read on access; iterating forward decodes each chunk once.

    Args:
        run_id: the run's id, for error messages.
        spans: of the run's chunks.
        load: reads a chunk.
        indices: which episodes of the run, in which order; all if None.
        env_spec: JSON spec of the env they were played in, if known.
    """

    def __init__(
        self,
        run_id: str,
        spans: Sequence[Span],
        load: Callable[[Span], EpisodeChunk],
        indices: Sequence[int] | None = None,
        *,
        env_spec: str | None = None,
    ) -> None:
        self._run_id, self._spans, self._load = run_id, spans, load
        self._stops = [span.stop for span in spans]
        ended = spans[-1].first_episode + spans[-1].episodes if spans else 0
        self._indices: Sequence[int] = range(ended) if indices is None else indices
        self._env_spec = env_spec
        self._held: tuple[Span, EpisodeChunk] | None = None

    def pick(self, indices: Iterable[int] | slice) -> EpisodeSequence:
        """Returns only these episodes, in this order; IndexError if one does not exist."""
        if isinstance(indices, slice):
            return self[indices]
        return self._only([self._index(index) for index in indices])

    def to_dataframe(self) -> DataFrame:
        """Returns the steps as a pandas DataFrame, one row per step (extra `plots`)."""
        return episodes_dataframe(self)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Episode]:
        return map(self._read, self._indices)

    @overload
    def __getitem__(self, key: int) -> Episode: ...
    @overload
    def __getitem__(self, key: slice) -> EpisodeSequence: ...
    def __getitem__(self, key: int | slice) -> Episode | EpisodeSequence:
        if isinstance(key, slice):
            return self._only(self._indices[key])
        return self._read(self._index(key))

    def __repr__(self) -> str:
        return f"<{len(self)} episodes of run {self._run_id}>"

    def _only(self, indices: Sequence[int]) -> EpisodeSequence:
        return EpisodeSequence(self._run_id, self._spans, self._load, indices, env_spec=self._env_spec)

    def _index(self, position: int) -> int:
        position, count = operator.index(position), len(self)
        if -count <= position < count:
            return self._indices[position]
        known = f"0 to {count - 1}" if count else "none has ended yet"
        raise IndexError(f"no episode {position} in run {self._run_id}: there are {count} ({known})")

    def _read(self, episode: int) -> Episode:
        pieces, end, length = [], OPEN, 0
        for span in self._spans_of(episode):
            chunk, segment = self._chunk(span), episode - span.first_episode
            expected = 0 if segment else span.first_step
            if chunk.steps is None:
                raise StoreError(
                    f"run {self._run_id} kept figures only, not episode {episode}: "
                    "train with record='all' (--record all) to read episodes"
                )
            if length != expected:
                break
            pieces.append(chunk.segment(segment))
            end = int(chunk.ends[segment])
            length += int(chunk.lengths[segment])
        if end == OPEN:
            raise StoreError(f"run {self._run_id} is damaged: a chunk of episode {episode} is missing")
        return _episode(episode, _join(pieces), end, self._env_spec)

    def _spans_of(self, episode: int) -> Iterator[Span]:
        for position in range(bisect_right(self._stops, episode), len(self._spans)):
            if self._spans[position].first_episode > episode:
                return
            yield self._spans[position]

    def _chunk(self, span: Span) -> EpisodeChunk:
        if self._held is None or self._held[0] is not span:
            self._held = (span, self._load(span))
        return self._held[1]


def _join(pieces: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Joins the pieces of an episode from consecutive chunks, which both hold the observation where they meet."""
    if len(pieces) == 1:
        return {name: rows.copy() for name, rows in pieces[0].items()}  # a view would keep the whole chunk
    last = pieces[-1]
    return {
        name: np.concatenate([*(piece[name][: len(piece["rewards"])] for piece in pieces[:-1]), last[name]])
        for name in last
    }


def _episode(index: int, columns: dict[str, NDArray[Any]], end: int, env_spec: str | None) -> Episode:
    return Episode(
        index=index,
        observations=tree(columns, "observations"),
        actions=tree(columns, "actions"),
        rewards=columns["rewards"].astype(np.float64, copy=False),
        terminated=is_terminated(end),
        truncated=is_truncated(end),
        explored=columns.get("explored"),
        env_spec=env_spec,
    )
