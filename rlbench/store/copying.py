"""Copies runs between stores on any backends, and backs up a whole store to one file."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rlbench.errors import StoreError
from rlbench.files import written
from rlbench.store import audit, open_store, reading
from rlbench.store.documents import (
    COUNTS,
    NEW,
    NOTES,
    PARTS,
    RUN_FIELDS,
    CheckpointRow,
    ChunkRow,
    TableRow,
    about_checkpoint,
    about_part,
    advance,
    intact,
    is_walk,
    notes_sum,
    now,
    outlasts,
    pieces,
    record,
    shares,
    sound,
    sums,
)
from rlbench.store.records import MADE, OF_STUDY

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from rlbench.store import Store
    from rlbench.store.backend import Backend
    from rlbench.store.documents import Document
    from rlbench.store.reading import Ref
    from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span

IDENTITY = ("env_id", "agent_name", "seed", "created_at")  # identify a run besides its id; they never change
OWN = ("id", "writer", "beat")  # fields that are not updated in a copy


class CopyResult(NamedTuple):
    """The outcome of copying a run."""

    run: str  # id
    action: str  # "copied", "continued" (part existed), "updated" (only its record), "equal" or "damaged" (not copied)
    chunks: int  # number copied; those that a run in the target has already are shared
    size: int  # bytes copied
    problem: str = ""  # of a run that is damaged


def copy(
    source: Store,
    target: Store,
    refs: Iterable[Ref] | None = None,
    *,
    on_run: Callable[[CopyResult], object] | None = None,
    snapshots: Iterable[SnapshotInfo] | None = None,
) -> list[CopyResult]:
    """Copies runs unchanged, under the same ids; without `refs`, also snapshots.

    Without `refs` it also continues the audit log, if that of the target is only a beginning of it.

    Skips what the target has already, chunks that runs share included, and resumes interrupted copies. Afterwards the
    target's records equal the source's: a tag changed in the target is changed back, though its studies keep their
    runs. Until a run is complete its status is "running", or "interrupted" if the copying process has died.

    Args:
        source: the store to copy from; of a run being written, it copies what is committed.
        target: the store to copy to.
        refs: the runs to copy; None: all runs and the snapshots.
        on_run: called with the result of each run.
        snapshots: those that are copied without `refs`; None: all.

    Raises:
        StoreError: a run named in `refs`, or a chunk of a run, is damaged; or the target has a different run of the
            same id, a longer version of it, or is writing it.
    """
    results, copied = [], _copy_sound if refs is None else _copy_run
    chosen = _chosen(source.backend, refs)
    for record_id in [""] if refs is None else [document["id"] for document in chosen]:
        source.enter("copy-out", record_id)
    if refs is None:
        target.continue_log(source.entries())
    for document in chosen:
        with target.backend.as_a_whole(str(document.get("id"))):
            results.append(copied(source.backend, target, document))
        if on_run is not None:
            on_run(results[-1])
    if refs is None:
        copy_snapshots(source, target, source.snapshots() if snapshots is None else snapshots)
    return results


def _chosen(source: Backend, refs: Iterable[Ref] | None) -> list[Document]:
    """Returns the runs to copy, oldest first, so that parents precede their children."""
    if refs is None:
        return list(reversed(source.select_runs({}, None)))
    found = [reading.find(source, ref) for ref in refs]
    once = {document["id"]: document for document in found}
    return sorted(once.values(), key=lambda document: document["created_at"])


def _copy_sound(source: Backend, target: Store, document: Document) -> CopyResult:
    """Copies a run; reports one whose record is damaged, so that the others are still copied."""
    try:
        record(document)
    except StoreError as error:
        return CopyResult(str(document.get("id")), "damaged", 0, 0, str(error))
    return _copy_run(source, target, document)


def _copy_run(source: Backend, target: Store, document: Document) -> CopyResult:
    run_id = document["id"]
    record(document)  # raises if damaged
    theirs = target.backend.select_runs({"id": run_id}, 1)
    spans, checkpoints = reading.spans_of(source, document), reading.checkpoints_of(source, document)
    there = _compare(source, target, document, spans, sound(theirs[0])) if theirs else 0
    document = _in_studies_of(theirs[0], document) if theirs else document
    missing = _missing(checkpoints, target.backend.select_checkpoints(run_id))
    if theirs and there == len(spans) and not missing and _final(document).items() <= theirs[0].items():
        return CopyResult(run_id, "equal", 0, 0)
    if theirs and theirs[0]["status"] == "finished":
        _copy_notes(target, document, theirs[0])
        return CopyResult(run_id, "updated", 0, 0)
    counters = list(_counters(document, spans))
    with _released_on_errors(target, run_id):
        begun = _go_on(target, run_id) if theirs else _begin(source, target, document, spans, counters)
        there, size, tables = begun["chunks"], 0, reading.Tables(source)
        for span, counted in list(zip(spans, counters, strict=True))[there:]:
            begun.update(counted)
            size += _copy_chunk(tables, target, begun, span)
        missing = _missing(checkpoints, target.backend.select_checkpoints(run_id))
        size += sum(_copy_checkpoint(source, target, begun, entry) for entry in missing)
        count = len(target.backend.select_checkpoints(run_id))  # a writer may have replaced one
        _commit(target, {**begun, **_final(document), "checkpoints": count, "writer": ""})
    action = "copied" if not theirs else "continued" if size else "updated"
    return CopyResult(run_id, action, len(spans) - there, size)


def _in_studies_of(theirs: Document, document: Document) -> Document:
    """Returns a run that also belongs to the target's studies that have it, or to a person who asked for it there."""
    more = [tag for tag in theirs["tags"] if tag.startswith(OF_STUDY) and tag not in document["tags"]]
    tags = [*more, *(tag for tag in document["tags"] if tag != MADE or tag in theirs["tags"])]
    found = {**document, "tags": tags}
    return {**found, "notes_sum": notes_sum(found)} if tags != document["tags"] else document


def _copy_notes(target: Store, document: Document, theirs: Document) -> None:
    """Gives a finished copy the tags, note, evaluations and cache counts of its original; the rest never changes."""
    if document["record_sum"] != theirs["record_sum"]:
        raise StoreError(
            f"{target.url} has a different run {document['id']}: it was left unchanged, copy the others by id"
        )
    notes = {name: document[name] for name in (*NOTES, "notes_sum")}
    act = target.act("copy", document["id"])
    if not target.backend.commit(document["id"], {"notes_sum": theirs["notes_sum"]}, notes, act=act):
        raise reading.refusal(target.backend, document["id"])


def _counters(document: Document, spans: list[Span]) -> Iterator[Document]:
    """Yields the counters of a run after each of its chunks."""
    left_open = [*(span.first_step for span in spans[1:]), document["next_step"]]
    counted = dict.fromkeys(COUNTS, 0)
    for span, steps in zip(spans, left_open, strict=False):
        counted = advance(counted, span, steps)
        yield counted


def _final(document: Document) -> Document:
    """Returns the fields that a copy shares with its original."""
    return {name: document[name] for name in RUN_FIELDS if name not in OWN}


def _compare(source: Backend, target: Store, document: Document, spans: list[Span], theirs: Document) -> int:
    """Returns how many chunks of a run the target has; StoreError if the source's do not start with them."""
    run_id, there = document["id"], reading.spans_of(target.backend, theirs)
    if any(document[name] != theirs[name] for name in IDENTITY) or there[: len(spans)] != spans[: len(there)]:
        raise StoreError(f"{target.url} has a different run {run_id}: it was left unchanged, copy the others by id")
    if len(there) > len(spans):
        raise StoreError(f"run {run_id} is longer in {target.url}: copy it the other way, or delete one of them")
    if there and not _is_same_chunk(there[-1], (source, document), (target.backend, theirs)):
        raise StoreError(f"run {run_id} has diverged in {target.url}: it was left unchanged, delete one of them")
    return len(there)


def _missing(wanted: list[CheckpointInfo], there: list[CheckpointInfo]) -> list[CheckpointInfo]:
    """Returns the checkpoints missing from a copy, the kept ones first."""
    return sorted((entry for entry in wanted if entry not in there), key=lambda entry: not entry.kept)


def _go_on(target: Store, run_id: str) -> Document:
    """Makes the target the writer of an interrupted copy."""
    target.claim(run_id, what="copy")
    return reading.document_of(target.backend, run_id)


def _begin(source: Backend, target: Store, document: Document, spans: list[Span], counters: list[Document]) -> Document:
    """Adds a run to the target: an empty one, or one that shares its first chunks with a run in the target."""
    base, shared = _base(source, target.backend, document, spans)
    counted = counters[shared - 1] if shared else {}
    begun = {**document, **NEW, **counted, "writer": target.writer, "beat": now()}
    if base is not None:
        begun["checkpoints"] = sum(map(shares(begun), target.backend.select_checkpoints(base)))
    act = target.act("copy", document["id"])
    if not target.backend.insert_run({**begun, **sums(begun)}, base, act=act):
        complaint = f"another process is copying run {document['id']} to {target.url}"
        raise StoreError(f"{complaint}: wait for it, then try again")
    return begun


def _base(source: Backend, target: Backend, document: Document, spans: list[Span]) -> tuple[str | None, int]:
    """Returns a run of the target that holds the first chunks of another, and how many; None and 0 if there is none."""
    for piece in reversed(pieces(document)):
        for theirs in target.select_runs({"id": piece.owner}, 1) or target.select_runs({"owner": piece.owner}, 1):
            with suppress(StoreError):  # it is damaged
                shared = _alike(source, document, spans, target, sound(theirs))
                if shared:
                    return theirs["id"], shared
    return None, 0


def _alike(source: Backend, document: Document, spans: list[Span], target: Backend, theirs: Document) -> int:
    """Returns how many of the first chunks of a run are also the first of a run in the target."""
    for number, (span, other) in enumerate(zip(spans, reading.spans_of(target, theirs), strict=False)):
        if span != other or not _is_same_chunk(span, (source, document), (target, theirs)):
            return number
    return min(len(spans), int(theirs["chunks"]))


def _is_same_chunk(span: Span, *places: tuple[Backend, Document]) -> bool:
    """Returns whether a chunk is the same in two runs: in its bytes, or once it is read, for `migrate` changes them."""
    one, other = ([backend.select_part(run["id"], span, part) for part in PARTS] for backend, run in places)
    if one == other:
        return True
    try:
        chunk, found = (reading.chunk_loader(backend, run)(span) for backend, run in places)
    except StoreError:  # it is damaged in one of them
        return False
    return chunk.equals(found)


@contextmanager
def _released_on_errors(target: Store, run_id: str) -> Iterator[None]:
    """Releases a run on errors, so that another process can copy it."""
    try:
        yield
    except BaseException:
        with suppress(StoreError):
            target.backend.commit(run_id, {"writer": target.writer}, {"writer": ""})
        raise


def _commit(
    target: Store, after: Document, chunk: ChunkRow | None = None, checkpoint: CheckpointRow | None = None
) -> None:
    """Commits the next state of a copy."""
    expected = {"chunks": after["chunks"] - (chunk is not None), "writer": target.writer}
    changes = {**after, **sums(after), "beat": now()}
    if not target.backend.commit(changes.pop("id"), expected, changes, chunk, checkpoint):
        raise reading.refusal(target.backend, after["id"])


def _copy_chunk(source: reading.Tables, target: Store, after: Document, span: Span) -> int:
    blobs, run_id, table = [], after["id"], None
    for part in PARTS:
        found, blob = source.backend.select_part(run_id, span, part)
        if not (found and blob is None and part == "steps"):
            about = intact(blob, f"run {run_id}, chunk {span.number}, {part}", about_part(span, part))
            table = source(str(about["table"])) if is_walk(about) else None
        blobs.append(blob)
    segments, figures, steps = blobs
    row = None if table is None else TableRow(table.digest, table.blob)
    _commit(target, after, ChunkRow(span, segments or b"", figures or b"", steps, row))
    return sum(len(blob or b"") for blob in blobs)


def _copy_checkpoint(source: Backend, target: Store, copy: Document, entry: CheckpointInfo) -> int:
    state = source.select_state(copy["id"], entry)
    if state is None and entry not in source.select_checkpoints(copy["id"]):
        return 0  # a newer one has just replaced it
    intact(state, f"run {copy['id']}, checkpoint at step {entry.timesteps}", about_checkpoint(entry))
    copy["checkpoints"] = 1 + sum(map(outlasts(entry), target.backend.select_checkpoints(copy["id"])))
    _commit(target, copy, checkpoint=CheckpointRow(entry, state or b""))
    return entry.size


def copy_snapshots(source: Store, target: Store, entries: Iterable[SnapshotInfo]) -> None:
    """Copies snapshots unless the target has the same; StoreError if one is damaged."""
    there = set(target.snapshots())
    for entry in entries:
        blob = source.backend.select_snapshot(entry.kind, entry.name) if entry not in there else None
        if blob is not None:
            about = {"kind": entry.kind, "name": entry.name}
            intact(blob, f"snapshot {entry.kind}/{entry.name}", about)
            target.put_copy(entry, blob)


# ---------------------------------------------------------------------- backups


def backup(store: Store, path: str | os.PathLike[str], refs: Iterable[Ref] | None = None) -> Path:
    """Writes a consistent copy of a store, or of some of its runs alone, to a new SQLite file.

    Others may write to the store meanwhile. The file appears once it is complete, with the mode of the original, or
    private if it holds some runs only. Runs in progress show there as interrupted. Some runs, and a store other than a
    SQLite file, are copied record by record, so each run is as of the moment it was copied.

    Raises:
        StoreError: the file exists already, or cannot be written.
    """
    whole = Path(path).expanduser().absolute()
    if whole.exists():
        raise StoreError(f"{path} exists already: give the path of a new file")
    if not whole.parent.is_dir():
        raise StoreError(f"cannot write {whole}: its folder does not exist")
    with written(whole, overwrite=False) as draft:
        if refs is None:
            store.enter("backup")
        if refs is not None or not store.backend.copy_to_file(str(draft)):
            with open_store(draft) as target:
                copy(store, target, refs)
            audit.HEADS.pop(target.url, None)  # of a path that is about to go
    return whole
