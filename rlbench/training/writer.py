"""Writes chunks to a store beside the loop, so that compression and disk do not hold training up."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from rlbench.errors import StoreAway, StoreError
from rlbench.store.spool import Spool, recover
from rlbench.store.writers import BEAT
from rlbench.training.tables import walked

if TYPE_CHECKING:
    from rlbench.store import Checkpoint, EpisodeChunk, Store
    from rlbench.store.walks import Table

RETRY = 10.0  # seconds between two tries to reach a store that is away
_RECOVERED: weakref.WeakSet[Store] = weakref.WeakSet()  # open stores that have got what was spooled for them


class Writer:
    """Appends to a run in a thread of its own, chunk by chunk; what fails there is raised here.

    No thread begins before it is needed. Steps that follow from the `table` are stored as a walk over it.
    Where the store goes away, what it should have been given is spooled to a local file, and uploaded when it is back.
    """

    def __init__(self, store: Store, run_id: str, table: Table | None = None) -> None:
        self._store, self._run_id, self._table = store, run_id, table
        self._pool: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._spool: Spool | None = None
        self._looked = 0.0
        self._closing = threading.Event()
        self._pulse: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._store not in _RECOVERED:  # a look takes a tenth of a short training
            recover(self._store)
            _RECOVERED.add(self._store)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits until nothing is being written any more, whether it succeeded or not."""
        self._closing.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True)
        if self._pulse is not None:
            self._pulse.join()

    def keep_alive(self) -> None:
        """Shows others from now on that the run is being written, however long an episode takes."""
        if self._pulse is None:
            self._pulse = threading.Thread(target=self._show_alive, name="rlbench-pulse", daemon=True)
            self._pulse.start()

    def _show_alive(self) -> None:
        while not self._closing.wait(BEAT):
            with suppress(StoreError):  # if it matters, the next write fails too
                self._store.show_alive(self._run_id)

    def put(self, chunk: EpisodeChunk, checkpoint: Checkpoint | None = None, **progress: Any) -> None:
        """Takes a chunk once the one before is written: at most one waits, so memory stays bounded."""
        self.wait()
        self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="rlbench-writer")
        self._pending = self._pool.submit(self._append, chunk, checkpoint, **progress)

    def wait(self) -> None:
        """Waits until everything is written; raises what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def write(self, chunk: EpisodeChunk | None, **progress: Any) -> None:
        """Writes a chunk after all others, and waits for it."""
        self.wait()
        if chunk is not None:
            self._append(chunk, None, **progress)

    def finish(
        self, chunk: EpisodeChunk | None, checkpoint: Checkpoint | None = None, *, keep: bool = False, **progress: Any
    ) -> None:
        """Writes the last chunk, if there is one, and the end of a run, all of it or nothing.

        Raises:
            StoreAway: the store is still away; the message says where what it lacks is kept.
        """
        self.wait()
        self._append(chunk, checkpoint, keep=keep, **progress)
        if self._spool is not None:
            self._upload()
        if self._spool is not None:
            self._spool.close()
            path = self._spool.path
            _RECOVERED.discard(self._store)
            raise StoreAway(
                f"{self._store.url} went away while run {self._run_id} was trained; what it lacks is in "
                f"{path}: `rlbench store copy {path} URL` uploads it"
            )

    def _append(
        self, chunk: EpisodeChunk | None, checkpoint: Checkpoint | None, *, keep: bool = False, **progress: Any
    ) -> None:
        chunk = None if chunk is None else walked(chunk, self._table)
        if self._spool is None:
            try:
                self._store.append(self._run_id, chunk, checkpoint, keep=keep, **progress)
            except StoreAway:
                self._spool = Spool(self._run_id, self._store.url)
                self._looked = time.monotonic()
            else:
                return
        self._spool.put(self._run_id, chunk, checkpoint, keep=keep, **progress)
        if time.monotonic() - self._looked > RETRY:
            self._upload()

    def _upload(self) -> None:
        """Uploads the spool, if the store is back."""
        if self._spool is None:
            return
        try:
            self._spool.upload(self._store)
            self._spool = None
        except StoreAway:
            self._looked = time.monotonic()
