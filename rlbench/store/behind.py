"""Short runs written behind: several that were made one after another, in one transaction."""

from __future__ import annotations

import time
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlbench.store.audit import Act
    from rlbench.store.backend import Backend
    from rlbench.store.documents import CheckpointRow, ChunkRow, Document

SECONDS = 0.25  # for which the end of a run is kept back: about as much a killed process loses
MOST_BYTES = 2**22  # of chunks and checkpoints that are kept back


class _Kept(NamedTuple):
    """A run that is kept back; only its end may have a chunk and a checkpoint."""

    document: Document
    act: Act | None
    chunk: ChunkRow | None = None
    checkpoint: CheckpointRow | None = None

    @property
    def size(self) -> int:
        blobs = [] if self.chunk is None else [self.chunk.segments, self.chunk.figures, self.chunk.steps or b""]
        return sum(map(len, blobs)) + (0 if self.checkpoint is None else len(self.checkpoint.state))


class Behind:
    """A backend that keeps new runs back until they have ended, and then writes several of them at once.

    A transaction takes a tenth of the time of a short training, and processes wait for each other's. A run that writes
    anything before its end is no short one: it is written then, and from then on as ever. Whoever reads here sees all.

    Args:
        backend: one that can write `at_once`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend, self.url, self.now = backend, backend.url, backend.now
        self._kept: dict[str, _Kept] = {}
        self._size, self._since = 0, 0.0  # of those that have ended, and when the first of them did
        self._lock = RLock()  # a writer's thread shows that its run is alive

    def __getattr__(self, name: str) -> Any:
        """Returns any other method of the backend, once all is written."""
        self.flush()
        return getattr(self._backend, name)

    def check_trainable(self) -> None:
        """Asks the backend, which this changes in nothing: so nothing needs to be written before."""
        self._backend.check_trainable()

    def insert_run(self, document: Document, base: str | None = None, *, act: Act | None = None) -> bool:
        """Keeps a new run back; one that shares what another stored is written, after that one."""
        if base is not None:
            self.flush()
            return self._backend.insert_run(document, base, act=act)
        with self._lock:
            self._kept[document["id"]] = _Kept(document, act)
        return True

    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        """Returns a run that is kept back if it is asked for by its id; for all else they are written."""
        with self._lock:
            kept = self._kept.get(filters.get("id") or filters.get("prefix", ""))
            if kept is not None and len(filters) == 1:
                return [kept.document]
            if filters.keys() != {"cache_key"} or any(
                one.document["cache_key"] == filters["cache_key"] for one in self._kept.values()
            ):
                self.flush()
            return self._backend.select_runs(filters, limit)

    def commit(
        self,
        run_id: str,
        expected: Document,
        changes: Document,
        chunk: ChunkRow | None = None,
        checkpoint: CheckpointRow | None = None,
        *,
        act: Act | None = None,
    ) -> bool:
        """Keeps the end of a run back, and its signs of life; if it writes more, all are written."""
        with self._lock:
            kept, ends = self._kept.get(run_id), changes.get("status", "running") != "running"
            writes_more = act is not None or (not ends and (chunk is not None or checkpoint is not None))
            if kept is not None and (writes_more or kept.document["status"] != "running"):
                self.flush()
                kept = None
            if kept is None:
                return self._backend.commit(run_id, expected, changes, chunk, checkpoint, act=act)
            if any(kept.document[name] != value for name, value in expected.items()):
                return False
            self._kept[run_id] = _Kept({**kept.document, **changes}, kept.act, chunk, checkpoint)
            self._note(self._kept[run_id].size, ends=ends)
        return True

    def _note(self, size: int, *, ends: bool) -> None:
        """Counts what is kept back, and writes it if that is enough, or was enough of a while ago."""
        now = time.monotonic()
        if ends and not self._since:
            self._since = now
        self._size += size
        if self._size > MOST_BYTES or (self._since and now - self._since > SECONDS):
            self.flush()

    def flush(self) -> None:
        """Writes all that is kept back.

        Raises:
            StoreError: it cannot be written; nothing of it is.
        """
        with self._lock:
            kept, self._kept = self._kept, {}
            self._size, self._since = 0, 0.0
            writing = self._backend.at_once() if kept else None
            if writing is not None:
                with writing:
                    for run_id, run in kept.items():
                        self._write(run_id, run)

    def _write(self, run_id: str, run: _Kept) -> None:
        if not self._backend.insert_run(run.document, act=run.act):
            raise StoreError(f"the id {run_id} was taken by another process in {self.url}: try again")
        if run.chunk is not None or run.checkpoint is not None:
            self._backend.commit(run_id, {}, {}, run.chunk, run.checkpoint)
