"""Any backend, with every blob encrypted: what is above it reads and writes plain blobs."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rlbench.errors import StoreError
from rlbench.keys import given_key
from rlbench.store.backend import Backend
from rlbench.store.documents import PARTS, CheckpointRow, ChunkRow, TableRow
from rlbench.store.sealed_fields import NAME, SealedFields
from rlbench.store.sealing import KIND, Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from rlbench.keys import Key
    from rlbench.store.audit import Act, Entry, Head
    from rlbench.store.documents import Document
    from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span


def sealed(backend: Backend, key: Key | None) -> Backend:
    """Returns a backend that encrypts with this key, and decrypts; without one, a plain store's backend as it is."""
    keyring = Keyring(backend, key)
    return SealedBackend(backend, keyring) if key is not None or keyring.wrapped else backend


def sealed_again(backend: Backend) -> Backend:
    """As `sealed`, with the key that the environment gives."""
    return sealed(backend, given_key())


def is_encrypted(backend: Backend) -> bool:
    """Returns whether a backend encrypts what is written to it."""
    return isinstance(backend, SealedBackend) and bool(backend.keyring.wrapped)


def as_stored(backend: Backend) -> Backend:
    """Returns a backend that does not begin to encrypt a plain store, though it was opened with a key."""
    return backend.inner if isinstance(backend, SealedBackend) and not is_encrypted(backend) else backend


class SealedBackend(Backend):
    """A backend whose blobs are sealed, each for its place.

    Attributes:
        inner: holds the records.
        keyring: the data keys.
    """

    def __init__(self, inner: Backend, keyring: Keyring) -> None:
        super().__init__(inner.url)
        self.inner, self.keyring = inner, keyring
        self._known_fields: SealedFields | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the backend without its keys: they are looked for again."""
        return sealed_again, (self.inner,)

    # ------------------------------------------------------------------ runs

    def insert_run(self, document: Document, base: str | None = None, *, act: Act | None = None) -> bool:
        self.keyring.prepare()
        return self.inner.insert_run(self._sealed_fields(document), base, act=act)

    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        fields = self._fields()
        if fields is None:
            return self.inner.select_runs(filters, limit)
        return list(map(fields.unseal, self.inner.select_runs(fields.seal_filters(filters), limit)))

    def select_fields(
        self, filters: Mapping[str, str], names: Sequence[str], limit: int | None = None, offset: int = 0
    ) -> list[tuple[Any, ...]]:
        fields = self._fields()
        if fields is None:
            return self.inner.select_fields(filters, names, limit, offset)
        rows = self.inner.select_fields(fields.seal_filters(filters), names, limit, offset)
        return [tuple(fields.unseal(dict(zip(names, row, strict=True))).values()) for row in rows]

    def count_runs(self, filters: Mapping[str, str]) -> int:
        fields = self._fields()
        return self.inner.count_runs(filters if fields is None else fields.seal_filters(filters))

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
        row = None if chunk is None else self._there(run_id, chunk) or self.sealed_chunk(chunk)
        state = None if checkpoint is None else self.sealed_checkpoint(checkpoint)
        known, new = self._sealed_fields(expected), self._sealed_fields(changes)
        return self.inner.commit(run_id, known, new, row, state, act=act)

    def exchange_chunk(self, run_id: str, before: ChunkRow, after: ChunkRow) -> bool:
        stored = self._stored(run_id, before)
        return stored is not None and self.inner.exchange_chunk(run_id, stored, self.sealed_chunk(after))

    def exchange_state(self, run_id: str, info: CheckpointInfo, before: bytes, after: bytes) -> bool:
        stored = self.inner.select_state(run_id, info)
        exchange = partial(self.inner.exchange_state, run_id, info)
        return self._exchange(exchange, stored, before, after, place_of_state(info))

    def exchange_table(self, digest: str, before: bytes, after: bytes) -> bool:
        exchange = partial(self.inner.exchange_table, digest)
        return self._exchange(exchange, self.inner.select_table(digest), before, after, place_of_table(digest))

    def remove_run(self, run_id: str, *, act: Act | None = None) -> bool:
        return self.inner.remove_run(run_id, act=act)

    # ------------------------------------------------------------------ chunks and checkpoints

    def select_spans(self, run_id: str) -> list[Span]:
        return self.inner.select_spans(run_id)

    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        found, blob = self.inner.select_part(run_id, span, part)
        return found, self._plain(blob, place_of_part(span, part))

    def select_table(self, digest: str) -> bytes | None:
        return self._plain(self.inner.select_table(digest), place_of_table(digest))

    def select_tables(self) -> list[str]:
        return self.inner.select_tables()

    def select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        return self.inner.select_checkpoints(run_id)

    def select_state(self, run_id: str, info: CheckpointInfo) -> bytes | None:
        return self._plain(self.inner.select_state(run_id, info), place_of_state(info))

    def sealed_chunk(self, chunk: ChunkRow) -> ChunkRow:
        """Seals the blobs of a chunk, and its table."""
        return self._changed(chunk, self.keyring.seal)._replace(table=self._sealed_table(chunk.table))

    def sealed_checkpoint(self, checkpoint: CheckpointRow) -> CheckpointRow:
        """Seals a checkpoint; its listed size stays that of the plain blob."""
        return checkpoint._replace(state=self.keyring.seal(checkpoint.state, place_of_state(checkpoint.info)))

    def _there(self, run_id: str, chunk: ChunkRow) -> ChunkRow | None:
        """As `_stored`; what lies in its place and cannot be read counts for nothing."""
        with suppress(StoreError):
            return self._stored(run_id, chunk)
        return None

    def _stored(self, run_id: str, chunk: ChunkRow) -> ChunkRow | None:
        """Returns a chunk as it is stored, if it is and its blobs are those of `chunk`: sealed anew they are others."""
        if not self.inner.select_part(run_id, chunk.span, PARTS[0])[0]:
            return None
        blobs: dict[str, Any] = {part: self.inner.select_part(run_id, chunk.span, part)[1] for part in PARTS}
        stored = chunk._replace(**blobs)
        is_same = self._changed(stored, self.keyring.unseal) == chunk
        return stored._replace(table=self._sealed_table(chunk.table)) if is_same else None

    def _changed(self, chunk: ChunkRow, change: Callable[[bytes, str], bytes]) -> ChunkRow:
        """Changes the blobs of a chunk, each at its place."""
        blobs = {part: getattr(chunk, part) for part in PARTS}
        changed: dict[str, Any] = {
            part: change(blob, place_of_part(chunk.span, part))
            for part, blob in blobs.items()
            if isinstance(blob, bytes)
        }
        return chunk._replace(**changed)

    def _sealed_table(self, table: TableRow | None) -> TableRow | None:
        return table and table._replace(blob=self.keyring.seal(table.blob, place_of_table(table.digest)))

    def _exchange(
        self, exchange: Callable[[bytes, bytes], bool], stored: bytes | None, before: bytes, after: bytes, place: str
    ) -> bool:
        """Exchanges a stored blob that reads as `before`."""
        is_before = stored is not None and self._plain(stored, place) == before
        return is_before and exchange(stored or b"", self.keyring.seal(after, place))

    def _plain(self, blob: bytes | None, place: str) -> bytes | None:
        return self.keyring.unseal(blob, place) if isinstance(blob, bytes) else blob

    # ------------------------------------------------------------------ snapshots

    def put_snapshot(
        self, info: SnapshotInfo, blob: bytes, *, replace: SnapshotInfo | bool = True, act: Act | None = None
    ) -> bool:
        sealed = self.keyring.seal(blob, place_of_snapshot(*info[:2]))
        replace = replace if isinstance(replace, bool) else self._sealed_info(replace)
        return self.inner.put_snapshot(self._sealed_info(info), sealed, replace=replace, act=act)

    def select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        found, fields = [info for info in self.inner.select_snapshots(kind) if info.kind != KIND], self._fields()
        if fields is None:
            return found
        named = (info._replace(name=fields.unseal_text(NAME, info.name)) for info in found)
        return sorted({info[:2]: info for info in named}.values())  # one has two names while it is encrypted

    def select_snapshot(self, kind: str, name: str) -> bytes | None:
        names = [self._sealed_name(name), name]  # the plain one until an encryption that was killed is finished
        found = [] if kind == KIND else [self.inner.select_snapshot(kind, each) for each in dict.fromkeys(names)]
        blob = next((blob for blob in found if blob is not None), None)
        return self._plain(blob, place_of_snapshot(kind, name))

    def remove_snapshot(self, kind: str, name: str, *, act: Act | None = None) -> bool:
        return kind != KIND and self.inner.remove_snapshot(kind, self._sealed_name(name), act=act)

    # ------------------------------------------------------------------ the audit log, which is stored as it is

    def enter(self, act: Act) -> bool:
        return self.inner.enter(act)

    def select_entries(self) -> list[Entry]:
        return self.inner.select_entries()

    def head(self) -> Head:
        return self.inner.head()

    def continue_log(self, entries: Sequence[Entry]) -> bool:
        return self.inner.continue_log(entries)

    # ------------------------------------------------------------------ lists

    def _fields(self) -> SealedFields | None:
        """Returns what seals the texts of runs; None if they are plain; StoreError if the key for it is missing."""
        if self._known_fields is None and (secret := self.keyring.lists()) is not None:
            self._known_fields = SealedFields(secret, strict=self.keyring.is_strict)
        return self._known_fields

    def _sealed_fields(self, document: Document) -> Document:
        fields = self._fields()
        return document if fields is None else fields.seal(document)

    def _sealed_name(self, name: str) -> str:
        fields = self._fields()
        return name if fields is None else fields.seal_text(NAME, name)

    def _sealed_info(self, info: SnapshotInfo) -> SnapshotInfo:
        return info._replace(name=self._sealed_name(info.name))

    # ------------------------------------------------------------------ the storage itself

    def close(self) -> None:
        self.inner.close()

    def size(self) -> int:
        return self.inner.size()

    def compact(self) -> None:
        self.inner.compact()

    def at_once(self) -> AbstractContextManager[object] | None:
        return self.inner.at_once()

    def as_a_whole(self, run_id: str) -> AbstractContextManager[object]:
        return self.inner.as_a_whole(run_id)

    def check_trainable(self) -> None:
        self.inner.check_trainable()

    def wait_at_most(self, seconds: float) -> None:
        self.inner.wait_at_most(seconds)

    def check_place(self) -> None:
        self.inner.check_place()

    def now(self) -> datetime:
        return self.inner.now()

    def problems(self) -> Iterator[str]:
        return self.inner.problems()

    def copy_to_file(self, path: str) -> bool:
        return self.inner.copy_to_file(path)


def place_of_part(span: Span, part: str) -> str:
    """Returns the place for which a part of a chunk is sealed."""
    return f"run {span.run}, chunk {span.number}, {part}"


def place_of_table(digest: str) -> str:
    """Returns the place for which a table is sealed."""
    return f"table {digest}"


def place_of_state(info: CheckpointInfo) -> str:
    """Returns the place for which a checkpoint is sealed."""
    return f"run {info.run}, checkpoint at step {info.timesteps}"


def place_of_snapshot(kind: str, name: str) -> str:
    """Returns the place for which a snapshot is sealed."""
    return f"snapshot {kind}/{name}"
