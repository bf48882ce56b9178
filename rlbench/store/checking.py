"""Counts the contents of a store and checks its integrity, on any backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rlbench.errors import StoreError
from rlbench.store import audit, reading
from rlbench.store.documents import (
    COUNTS,
    PARTS,
    advance,
    assembled,
    open_steps,
    pieces,
    record,
    sound_info,
    verified,
)
from rlbench.store.records import RESERVED, STATUSES
from rlbench.store.sealed import SealedBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlbench.store import Store
    from rlbench.store.backend import Backend
    from rlbench.store.documents import Document
    from rlbench.store.records import CheckpointInfo, EpisodeChunk, Span
    from rlbench.store.walks import Table


class Damage(NamedTuple):
    """A part of a store that differs from what was written."""

    run: str  # id; "" if it belongs to no run
    where: str  # "record", "counters", "chunk 3, steps", "checkpoint at step 70", "snapshot buffer/x", "store"
    problem: str


def info(store: Store) -> dict[str, int]:
    """Counts what a store holds: runs, episodes, timesteps, chunks, checkpoints, snapshots, and bytes on disk.

    What runs share counts in each of them; a run whose record is damaged counts only as damaged. The last entry,
    `encrypted`, is a bool: whether all of it is.
    """
    backend = store.backend
    found = backend.select_runs({}, None)
    documents = [document for document in found if not _problem(document)]
    names = ("episodes", "timesteps", "chunks", "checkpoints")
    return {
        "runs": len(documents),
        **{name: sum(document[name] for document in documents) for name in names},
        "damaged": len(found) - len(documents),
        "snapshots": sum(not entry.kind.startswith(RESERVED) for entry in backend.select_snapshots(None)),
        "bytes": backend.size(),
        "encrypted": isinstance(backend, SealedBackend) and backend.keyring.is_strict,
    }


def check(store: Store, ref: str | None = None) -> Iterator[Damage]:
    """Verifies every checksum and reference, one chunk at a time; yields all damage, not only the first.

    Args:
        store: any store; others may write to it meanwhile.
        ref: check this run only, without the snapshots and the storage itself; None checks everything.

    Raises:
        StoreError: the run does not exist.
    """
    backend = store.backend
    if isinstance(backend, SealedBackend):
        backend.keyring.checked()
    if ref is not None:
        yield from _check_run(backend, reading.match(backend, ref))
        return
    yield from (Damage("", "store", problem) for problem in backend.problems())
    try:
        documents = backend.select_runs({}, None)
    except StoreError as error:
        documents = []
        yield Damage("", "runs", str(error))
    for document in documents:
        yield from _check_run(backend, document)
    yield from _check_snapshots(backend)
    yield from (Damage("", "audit log", problem) for problem in audit.problems(backend.select_entries()))


def _check_run(backend: Backend, document: Document) -> Iterator[Damage]:
    run_id = str(document.get("id"))
    problem = _problem(document)
    if problem is not None:
        yield _damage(run_id, "record", problem)
    if type(document.get("id")) is str and all(type(document.get(name)) is int for name in COUNTS):
        keeps_steps = problem is None and reading.says_it_keeps_steps(document)
        yield from _check_chunks(backend, document, keeps_steps=keeps_steps)
        yield from _check_checkpoints(backend, document)


def _problem(document: Document) -> StoreError | None:
    """Returns what is wrong with the record of a run."""
    try:
        known = record(document)
        pieces(document)
    except StoreError as error:
        return error
    return None if known.status in STATUSES else StoreError(f"status is {known.status!r}")


def _check_chunks(backend: Backend, document: Document, *, keeps_steps: bool) -> Iterator[Damage]:
    run_id, chunks, table_of = document["id"], document["chunks"], reading.Tables(backend)
    try:
        spans = backend.select_spans(run_id)
    except StoreError as error:
        yield _damage(run_id, "chunks", error)
        return
    reached: Document | None = dict.fromkeys(COUNTS, 0)
    expected = 0
    for span in spans:
        if not all(type(value) is int for value in span[:-1]):
            yield Damage(run_id, f"chunk {span.number}", f"its span must hold whole numbers, got {tuple(span)}")
            reached = None
            continue
        if span.number >= chunks:  # not committed, or written after the document was read
            break
        if span.number != expected:
            gap = _numbered(expected, span.number) if span.number > expected else f"chunk {span.number}"
            yield Damage(run_id, gap, "missing" if span.number > expected else "it should not be there")
            reached = None
        expected = span.number + 1
        problems, chunk = _check_chunk(backend, run_id, span, table_of, keeps_steps=keeps_steps)
        if problems and not _holds(backend, run_id, span.number):
            return  # the run was deleted meanwhile
        yield from problems
        if reached is not None and (reached["next_episode"], reached["next_step"]) != span[1:3]:
            yield Damage(run_id, f"chunk {span.number}", f"begins at episode {span[1]}, step {span[2]}: out of order")
        reached = _after(reached, span, chunk)
    if expected < chunks and _holds(backend, run_id, expected):
        yield Damage(run_id, _numbered(expected, chunks), "missing")
    elif reached is not None:
        yield from _check_counters(document, reached)


def _check_chunk(
    backend: Backend, run_id: str, span: Span, table_of: Callable[[str], Table], *, keeps_steps: bool
) -> tuple[list[Damage], EpisodeChunk | None]:
    problems, parts = [], {}
    for part in PARTS:
        try:
            parts[part] = reading.load_part(backend, run_id, span, part)
        except StoreError as error:
            problems.append(_damage(run_id, f"chunk {span.number}, {part}", error))
    if problems:
        return problems, None
    try:
        return [], assembled(run_id, span, parts, table_of, keeps_steps=keeps_steps)
    except StoreError as error:
        return [_damage(run_id, f"chunk {span.number}", error)], None


def _after(reached: Document | None, span: Span, chunk: EpisodeChunk | None) -> Document | None:
    """Returns the counters after a chunk; None if damage makes them unknown."""
    if reached is None or chunk is None:
        return None
    return advance(reached, span, open_steps(span.first_step, chunk.lengths, chunk.ends))


def _check_counters(document: Document, reached: Document) -> Iterator[Damage]:
    """Compares a run's counters with its chunks; a run without chunks may count steps that were not kept."""
    for name in COUNTS if document["chunks"] else ("next_episode", "next_step"):
        if document[name] != reached[name]:
            yield Damage(document["id"], "counters", f"{name} is {document[name]}, its chunks say {reached[name]}")


def _check_checkpoints(backend: Backend, document: Document) -> Iterator[Damage]:
    run_id = document["id"]
    try:
        listed = backend.select_checkpoints(run_id)
    except StoreError as error:
        yield _damage(run_id, "checkpoints", error)
        return
    if len(listed) != document.get("checkpoints") and _is_as_read(backend, document):
        counted = document.get("checkpoints")
        yield Damage(run_id, "checkpoints", f"there are {len(listed)}, the record counts {counted}")
    for entry in listed:
        try:
            reading.load_checkpoint(backend, run_id, sound_info(entry))
        except StoreError as error:
            if _is_listed(backend, run_id, entry):
                yield _damage(run_id, f"checkpoint at step {entry.timesteps}", error)


def _check_snapshots(backend: Backend) -> Iterator[Damage]:
    try:
        listed = backend.select_snapshots(None)
    except StoreError as error:
        yield Damage("", "snapshots", str(error))
        return
    for entry in listed:
        where = f"snapshot {entry.kind}/{entry.name}"
        try:
            blob = backend.select_snapshot(entry.kind, entry.name)
            about = {"kind": entry.kind, "name": entry.name}
            verified(reading.whole(blob, entry.size, where), where, about, {"created_at": entry.created_at})
        except StoreError as error:
            if entry in backend.select_snapshots(None):
                yield _damage("", where, error)


def _holds(backend: Backend, run_id: str, number: int) -> bool:
    """Returns whether this chunk of a run is still committed."""
    found = backend.select_runs({"id": run_id}, 1)
    return bool(found) and found[0]["chunks"] > number


def _is_as_read(backend: Backend, document: Document) -> bool:
    """Returns whether a run has not been written or deleted since its document was read."""
    found = backend.select_runs({"id": document["id"]}, 1)
    return bool(found) and found[0].get("record_sum") == document.get("record_sum")


def _is_listed(backend: Backend, run_id: str, entry: CheckpointInfo) -> bool:
    try:
        return entry in backend.select_checkpoints(run_id)
    except StoreError:
        return True


def _numbered(first: int, stop: int) -> str:
    return f"chunk {first}" if stop == first + 1 else f"chunks {first} to {stop - 1}"


def _damage(run_id: str, where: str, error: StoreError) -> Damage:
    """Returns the damage, without the location that the error's message repeats."""
    problem = str(error).removeprefix(f"run {run_id}").removeprefix(", ").removeprefix(where)
    return Damage(run_id, where, problem.lstrip(" ,").removeprefix("is damaged").lstrip(":, "))
