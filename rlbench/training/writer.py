"""Writes chunks to a store beside the loop: compression and disk need not hold training up."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rlbench.store import Checkpoint, EpisodeChunk, Store


class Writer:
    """Appends to a run from a thread of its own, one chunk at a time and in order; what fails there is raised here."""

    def __init__(self, store: Store, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="rlbench-writer")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Returns when nothing is being written any more, whatever came of it."""
        self._pool.shutdown(wait=True)

    def put(self, chunk: EpisodeChunk, checkpoint: Checkpoint | None = None, **progress: Any) -> None:
        """Takes a chunk, once the one before is written: at most one waits, so memory stays bounded."""
        self.wait()
        self._pending = self._pool.submit(self._store.append, self._run_id, chunk, checkpoint, **progress)

    def wait(self) -> None:
        """Returns when all is written; raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
