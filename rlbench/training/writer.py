"""Writes chunks to a store beside the loop: compression and disk need not hold training up."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.store import EpisodeChunk


class Writer:
    """Hands chunks on from a thread of its own, one at a time and in order; what fails there is raised here."""

    def __init__(self, write: Callable[[EpisodeChunk], None]) -> None:
        self._write = write
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rlbench-writer")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)

    def put(self, chunk: EpisodeChunk) -> None:
        """Takes a chunk, once the one before is written: at most one waits, so memory stays bounded."""
        self.wait()
        self._pending = self._pool.submit(self._write, chunk)

    def wait(self) -> None:
        """Returns when all is written; raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
