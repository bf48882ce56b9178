"""The contract of a backend: the few methods by which a store reaches its records, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from rlbench.store.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rlbench.store.documents import CheckpointRow, ChunkRow, Document
    from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span


class Backend(ABC):
    """A place where records lie: documents and blobs, by key, whatever they mean; `Store` knows that.

    What it commits is whole or absent. A chunk counts if the run's document says so: its field `chunks` is how many do.
    Every failure of the place is a StoreError that names `url`, never with a password.
    """

    def __init__(self, url: str) -> None:
        self.url = redact(url)

    # ------------------------------------------------------------------ runs

    @abstractmethod
    def insert_run(self, document: Document) -> bool:
        """Adds a run, of exactly the fields RUN_FIELDS; False if its id is taken."""

    @abstractmethod
    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        """Returns runs, newest first, that equal each filter; "tag" is in tags, "prefix" begins the id.

        The other filters are "id", "env_id", "agent_name", "status" and "cache_key". A `limit` is 1 or more.
        """

    @abstractmethod
    def commit(
        self,
        run_id: str,
        expected: Document,
        changes: Document,
        chunk: ChunkRow | None = None,
        checkpoint: CheckpointRow | None = None,
    ) -> bool:
        """Adds rows and changes a run at once; False, with nothing done, if it is not as expected.

        The run must be there, and each field of its document named in `expected` ({}: none) must have that value:
        no other process has written it since. A new checkpoint takes the place of all that are not kept.
        """

    @abstractmethod
    def truncate(self, run_id: str, expected: Document, chunks: int, timesteps: int, changes: Document) -> bool:
        """Removes the chunks numbered `chunks` and up and the checkpoints beyond `timesteps`, and changes the run.

        All at once; False, with nothing done, if the run is not as `expected`, as in `commit`.
        """

    @abstractmethod
    def remove_run(self, run_id: str) -> bool:
        """Deletes a run with all that belongs to it; False if there is none."""

    # ------------------------------------------------------------------ chunks and checkpoints

    @abstractmethod
    def select_spans(self, run_id: str) -> list[Span]:
        """Returns where the chunks of a run lie, in order, without reading a blob."""

    @abstractmethod
    def select_part(self, run_id: str, number: int, part: str) -> tuple[bool, bytes | None]:
        """Returns whether a chunk is there, and the blob of its part "segments", "figures" or "steps"."""

    @abstractmethod
    def select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Returns the checkpoints of a run, oldest first, without reading a blob."""

    @abstractmethod
    def select_state(self, run_id: str, timesteps: int) -> bytes | None:
        """Returns the blob of a checkpoint; None if there is none."""

    # ------------------------------------------------------------------ snapshots

    @abstractmethod
    def put_snapshot(self, info: SnapshotInfo, blob: bytes) -> None:
        """Keeps a snapshot, in place of one of the same kind and name."""

    @abstractmethod
    def select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        """Returns the snapshots of a kind, or all, by kind and name, without reading a blob."""

    @abstractmethod
    def select_snapshot(self, kind: str, name: str) -> bytes | None:
        """Returns the blob of a snapshot; None if there is none."""

    @abstractmethod
    def remove_snapshot(self, kind: str, name: str) -> bool:
        """Deletes a snapshot; False if there is none."""

    # ------------------------------------------------------------------ the place itself

    @abstractmethod
    def close(self) -> None:
        """Lets go of the place; closing twice does no harm."""

    @abstractmethod
    def size(self) -> int:
        """Returns how many bytes the records take on disk; 0 in memory."""

    @abstractmethod
    def compact(self) -> None:
        """Gives back the room that deleted records left; StoreError if it cannot be had, with nothing lost."""

    def problems(self) -> Iterator[str]:
        """Says what is wrong with the place itself, beneath the records, where a backend can tell."""
        yield from ()

    def copy_to_file(self, path: str) -> bool:
        """Writes all of one moment to a new SQLite file; False if it cannot, and the records must be copied."""
        del path
        return False
