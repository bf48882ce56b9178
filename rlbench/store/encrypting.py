"""Encrypts a store in place, decrypts it, and hands it over to another key.

Blobs are exchanged one by one, each atomically, for one that reads the same: whoever reads meanwhile sees no
difference, and a call that was killed is finished by the next.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

from rlbench.errors import StoreError, UsageError
from rlbench.keys import MAKES_ONE, given_key
from rlbench.store.backend import TRIES
from rlbench.store.documents import PARTS, ChunkRow, is_abandoned, sound
from rlbench.store.sealed import SealedBackend, place_of_part, place_of_snapshot, place_of_state, place_of_table
from rlbench.store.sealed_fields import FIELDS, NAME, SECRET, SealedFields
from rlbench.store.sealing import KIND, LISTS, Wrapped, is_sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlbench.keys import Key
    from rlbench.store import Store
    from rlbench.store.backend import Backend
    from rlbench.store.documents import Document
    from rlbench.store.records import SnapshotInfo, Span

    Change = Callable[[bytes, str], bytes]  # returns what replaces a blob at its place: itself if it may stay


def encrypt(store: Store, *, figures: bool = False) -> int:
    """Encrypts what is not yet, then frees the space that it took; from then on nothing plain is read.

    Args:
        store: opened with the key.
        figures: encrypt the texts of the lists too: names, parameters, tags, notes, evaluations.

    Returns:
        How many records were encrypted.

    Raises:
        UsageError: no key is given.
        StoreError: the key is another than that of the store, or another process is writing a run.
    """
    backend = _sealed(store)
    keyring = backend.keyring
    keyring.checked()
    check_that_nobody_writes(backend)
    store.enter("encrypt")
    if figures and LISTS not in keyring.wrapped:
        keyring.add(LISTS, secrets.token_bytes(SECRET), strict=False)
    count = _exchanged(backend.inner, lambda blob, place: blob if is_sealed(blob) else keyring.seal(blob, place))
    if LISTS in keyring.wrapped:
        fields = SealedFields(keyring.lists() or b"", strict=False)
        count += _changed(backend.inner, fields.seal, fields.seal_text)
    if not keyring.is_strict:
        keyring.begin(strict=True)
    backend.compact()
    return count


def decrypt(store: Store) -> int:
    """Decrypts everything and deletes the data keys; returns how many blobs were decrypted.

    Raises:
        UsageError: no key is given.
        StoreError: the key is another than that of the store, or another process is writing a run.
    """
    backend = _sealed(store)
    keyring = backend.keyring
    key = keyring.checked()
    check_that_nobody_writes(backend)
    store.enter("decrypt")
    for wrapped in list(keyring.wrapped.values()):  # what is plain may be read from now on
        keyring.put(Wrapped.of(wrapped.name, wrapped.unwrap(key), key, strict=False))
    count = 0
    if LISTS in keyring.wrapped:  # first: a blob is sealed for a place with a plain name
        fields = SealedFields(keyring.lists() or b"", strict=False)
        count += _changed(backend.inner, fields.unseal, fields.unseal_text)
    count += _exchanged(backend.inner, lambda blob, place: keyring.unseal(blob, place) if is_sealed(blob) else blob)
    for name in list(keyring.wrapped):
        keyring.drop(name)
    return count


def rotate(store: Store, new: Key) -> int:
    """Wraps the data keys of a store with a new key: no blob is written; returns how many were wrapped anew.

    Raises:
        UsageError: no key is given, or the new one is the same.
        StoreError: a data key is wrapped by neither.
    """
    keyring = _sealed(store).keyring
    old = keyring.needed(store.url)
    if new.id == old.id:
        raise UsageError(f"the new key is the old one ({old.id}): make another with `rlbench store key --out FILE`")
    store.enter("rotate-key")
    count = 0
    while stale := [wrapped for wrapped in keyring.wrapped.values() if wrapped.key != new.id]:
        for wrapped in stale:
            keyring.put(Wrapped.of(wrapped.name, wrapped.unwrap(old), new, strict=wrapped.strict))
        count += len(stale)
        keyring.read()  # another process may have made one meanwhile
    return count


def check_key() -> None:
    """Refuses to go on without a key."""
    if given_key() is None:
        raise UsageError(
            "to encrypt or decrypt takes a key: give --key-file FILE or set RLBENCH_KEY_FILE; " + MAKES_ONE
        )


def _sealed(store: Store) -> SealedBackend:
    backend = store.backend
    if not isinstance(backend, SealedBackend) or backend.keyring.key is None:
        raise UsageError(f"the store {store.url} was opened without a key: set RLBENCH_KEY_FILE, and open it again")
    return backend


def check_that_nobody_writes(backend: Backend) -> None:
    """Refuses while a run is written by a process that began without the key, or with it, and would go on so."""
    for document in backend.select_runs({"status": "running"}, None):
        if not is_abandoned(sound(document), backend.now()):
            raise StoreError(f"run {document['id']} is being written: wait until it has ended, then try again")


def _exchanged(inner: Backend, change: Change) -> int:
    """Changes every blob; returns how many were."""
    total = 0
    for _ in range(TRIES):
        done = list(_exchanges(inner, change))
        total += sum(done)
        if all(done):
            return total
    raise StoreError(f"other processes keep changing {inner.url}: try again")


def _changed(inner: Backend, change: Callable[[Document], Document], change_name: Callable[[str, str], str]) -> int:
    """Changes the texts of every run, and the names of snapshots; returns how many were."""
    count = 0
    for before in inner.select_runs({}, None):
        after = change(before)
        if after != before:
            seen = {name: before[name] for name in ("record_sum", "notes_sum")}
            if not inner.commit(before["id"], seen, {name: after[name] for name in FIELDS}):
                raise StoreError(f"other processes keep changing {inner.url}: try again")
            count += 1
    for info in inner.select_snapshots(None):
        name = change_name(NAME, info.name)
        if info.kind != KIND and name != info.name:
            blob = inner.select_snapshot(info.kind, info.name)
            inner.put_snapshot(info._replace(name=name), blob or b"", replace=False)
            inner.remove_snapshot(info.kind, info.name)
            count += 1
    return count


def _exchanges(inner: Backend, change: Change) -> Iterator[bool]:
    """Exchanges what changes; yields for each whether it was still there as it was read."""
    for document in inner.select_runs({}, None):
        run_id = document["id"]
        for span in inner.select_spans(run_id):
            yield from _exchange_chunk(inner, run_id, span, change)
        for info in inner.select_checkpoints(run_id):
            before, place = inner.select_state(run_id, info), place_of_state(info)
            yield from _exchange(before, place, change, partial(inner.exchange_state, run_id, info))
    for digest in inner.select_tables():
        before, place = inner.select_table(digest), place_of_table(digest)
        yield from _exchange(before, place, change, partial(inner.exchange_table, digest))
    for entry in inner.select_snapshots(None):
        if entry.kind != KIND:
            before, place = inner.select_snapshot(*entry[:2]), place_of_snapshot(*entry[:2])
            yield from _exchange(before, place, change, partial(_replace_snapshot, inner, entry))


def _replace_snapshot(inner: Backend, info: SnapshotInfo, _before: bytes, after: bytes) -> bool:
    return inner.put_snapshot(info, after, replace=info)


def _exchange(
    before: bytes | None, place: str, change: Change, exchange: Callable[[bytes, bytes], bool]
) -> Iterator[bool]:
    if before is not None and (after := change(before, place)) != before:
        yield exchange(before, after)


def _exchange_chunk(inner: Backend, run_id: str, span: Span, change: Change) -> Iterator[bool]:
    before = [inner.select_part(run_id, span, part)[1] for part in PARTS]
    pairs = zip(before, PARTS, strict=True)
    after = [blob and change(blob, place_of_part(span, part)) for blob, part in pairs]
    if after != before:
        yield inner.exchange_chunk(run_id, _row(span, before), _row(span, after))


def _row(span: Span, blobs: list[bytes | None]) -> ChunkRow:
    segments, figures, steps = blobs
    return ChunkRow(span, segments or b"", figures or b"", steps, None)
