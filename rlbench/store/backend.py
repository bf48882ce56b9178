"""The interface of a backend: the few methods through which a store reads and writes its records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rlbench.store.audit import Head
from rlbench.store.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from rlbench.store.audit import Act, Entry
    from rlbench.store.documents import CheckpointRow, ChunkRow, Document
    from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span

TRIES = 8  # of a write that another process may get ahead of


class Backend(ABC):
    """Storage for documents and blobs by key; what they mean is up to `Store`.

    Commits are atomic. Only the first `chunks` chunks of a run, a field of its document, are committed. A chunk or
    checkpoint belongs to the run that wrote it, its owner; other runs may share it, and their documents name the owner.
    An `act` that is given with a change is entered in the audit log if the change is made, and only then.
    Every storage failure is a StoreError that names `url`, without its password.
    """

    def __init__(self, url: str) -> None:
        self.url = redact(url)

    # ------------------------------------------------------------------ runs

    @abstractmethod
    def insert_run(self, document: Document, base: str | None = None, *, act: Act | None = None) -> bool:
        """Adds a run with exactly the fields RUN_FIELDS; False if its id is taken, or the run `base` is gone.

        The chunks that the document counts are the first of `base`, and its checkpoints those of `base` that it shares.
        """

    @abstractmethod
    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        """Returns the runs that match every filter, the most recently added first.

        The filters are "id", "env_id", "agent_name", "status", "cache_key", "tag" and "study" (each one of its
        tags), "not_tag" (none of them), "prefix" (the beginning of its id) and "owner" (a run that wrote some of its
        chunks, or may have). A `limit` is 1 or more.
        """

    @abstractmethod
    def select_fields(
        self, filters: Mapping[str, str], names: Sequence[str], limit: int | None = None, offset: int = 0
    ) -> list[tuple[Any, ...]]:
        """Returns these fields of the runs that match, in the order of `select_runs`, from `offset` on; None: lacking.

        It is for lists of very many runs: nothing else of them is read.
        """

    @abstractmethod
    def count_runs(self, filters: Mapping[str, str]) -> int:
        """Returns how many runs match."""

    @abstractmethod
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
        """Adds rows and changes a run atomically; False, changing nothing, if the run is not as expected.

        The run must exist, and each field of its document named in `expected` ({}: none) must have that value, which
        shows that no other process has written it since. A new checkpoint replaces the run's others, except kept ones.
        The table of a chunk is added unless it is there.
        """

    @abstractmethod
    def exchange_chunk(self, run_id: str, before: ChunkRow, after: ChunkRow) -> bool:
        """Replaces a chunk of a run, finished or not, by one that reads the same, atomically, and adds its table.

        False, changing nothing that is read, if its blobs are not those of `before` (any more).
        """

    @abstractmethod
    def exchange_state(self, run_id: str, info: CheckpointInfo, before: bytes, after: bytes) -> bool:
        """Replaces the blob of a checkpoint of a run, atomically; False if it is not `before` (any more)."""

    @abstractmethod
    def exchange_table(self, digest: str, before: bytes, after: bytes) -> bool:
        """Replaces the blob of a table, atomically; False if it is not `before` (any more)."""

    @abstractmethod
    def remove_run(self, run_id: str, *, act: Act | None = None) -> bool:
        """Deletes a run, with chunks, checkpoints and tables that no other run needs; False if it does not exist."""

    # ------------------------------------------------------------------ chunks and checkpoints

    @abstractmethod
    def select_spans(self, run_id: str) -> list[Span]:
        """Returns the spans of a run's chunks, in order, without reading a blob."""

    @abstractmethod
    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        """Returns whether a chunk of a run exists, and the blob of its part "segments", "figures" or "steps"."""

    @abstractmethod
    def select_table(self, digest: str) -> bytes | None:
        """Returns the blob of a table that chunks name; None if it does not exist."""

    @abstractmethod
    def select_tables(self) -> list[str]:
        """Returns the digests of all tables."""

    @abstractmethod
    def select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Returns the checkpoints of a run, oldest first, without reading a blob."""

    @abstractmethod
    def select_state(self, run_id: str, info: CheckpointInfo) -> bytes | None:
        """Returns the blob of a checkpoint of a run; None if it does not exist."""

    # ------------------------------------------------------------------ snapshots

    @abstractmethod
    def put_snapshot(
        self, info: SnapshotInfo, blob: bytes, *, replace: SnapshotInfo | bool = True, act: Act | None = None
    ) -> bool:
        """Saves a snapshot in place of any of the same kind and name; `replace` names the only one that it may replace.

        False, changing nothing, if another has taken the place of that one, or it is gone; without `replace`, if there
        is one at all.
        """

    @abstractmethod
    def select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        """Returns the snapshots of a kind, or all, sorted by kind and name, without reading a blob."""

    @abstractmethod
    def select_snapshot(self, kind: str, name: str) -> bytes | None:
        """Returns the blob of a snapshot; None if it does not exist."""

    @abstractmethod
    def remove_snapshot(self, kind: str, name: str, *, act: Act | None = None) -> bool:
        """Deletes a snapshot; False if it does not exist."""

    # ------------------------------------------------------------------ the audit log

    def enter(self, act: Act) -> bool:
        """Enters what changes nothing else in the storage; False if that can only be read, or keeps no log."""
        del act
        return False

    def select_entries(self) -> list[Entry]:
        """Returns the audit log as it is stored, by the numbers of its entries."""
        return []

    def head(self) -> Head:
        """Returns where the audit log ends."""
        return Head()

    def continue_log(self, entries: Sequence[Entry]) -> bool:
        """Adds entries of another storage's log, as they are; False unless the first of them follows the last here."""
        del entries
        return False

    # ------------------------------------------------------------------ the storage itself

    @abstractmethod
    def close(self) -> None:
        """Releases the storage; closing twice does no harm."""

    @abstractmethod
    def size(self) -> int:
        """Returns the size of the records on disk, in bytes; 0 in memory."""

    @abstractmethod
    def compact(self) -> None:
        """Frees the disk space of deleted records; StoreError, losing nothing, if that is impossible."""

    def at_once(self) -> AbstractContextManager[object] | None:
        """Returns a context in which all writes are one transaction; None if the storage has no such thing."""
        return None

    def as_a_whole(self, run_id: str) -> AbstractContextManager[object]:
        """Returns a context in which a run is copied; storages where a commit takes long show it only at the end."""
        del run_id
        return nullcontext()

    def check_trainable(self) -> None:  # noqa: B027  (most are)
        """Raises UsageError if runs are not written straight into this storage, but copied."""

    def wait_at_most(self, seconds: float) -> None:
        """Gives up sooner, with a StoreError, what another process holds up; storages that serve all at once do not."""
        del seconds

    def check_place(self) -> None:  # noqa: B027  (most have no place that could be lost)
        """Raises StoreError if the storage was deleted or replaced since it was opened, as far as the backend knows."""

    def now(self) -> datetime:
        """Returns the time on the clock that all writers to this storage share."""
        return datetime.now(UTC)

    def problems(self) -> Iterator[str]:
        """Yields what is wrong with the storage beneath the records, if the backend can tell."""
        yield from ()

    def copy_to_file(self, path: str) -> bool:
        """Writes a consistent copy to a new SQLite file; False if unsupported, so the records must be copied."""
        del path
        return False
