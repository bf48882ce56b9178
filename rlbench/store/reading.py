"""Reads and verifies records from any backend: runs by reference, their chunks and checkpoints."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from rlbench.errors import StoreError, unknown_name
from rlbench.names import ID_BEGINNING
from rlbench.store import codec, writers
from rlbench.store.documents import (
    PARTS,
    about_checkpoint,
    about_part,
    also_of_checkpoint,
    assembled,
    is_walk,
    record,
    sound,
    sound_info,
    text,
    told,
    verified,
)
from rlbench.store.figures import named, needed
from rlbench.store.records import MADE, Checkpoint
from rlbench.store.walks import COLUMNS, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from rlbench.store.backend import Backend
    from rlbench.store.documents import Arrays, Document
    from rlbench.store.records import CheckpointInfo, EpisodeChunk, RunRecord, Span

# Freed at once and never touched: from then on glibc keeps freed memory, up to twice the largest piece that ever was.
# It would give back that of each chunk, and to get it again, page by page, takes longer than to make the columns.
np.empty(2**25 - 2**13, np.uint8)

MOST = 2**31 - 1  # runs in a listing: the largest limit that every backend accepts
COUNTLESS = 2**62  # no count comes near it, and two of them can be added
MOST_FIGURES = 2**26  # bytes that the figures of any run may take; more only if as much of them is stored

# ---------------------------------------------------------------------- runs


class HasId(Protocol):
    """A run, or the record of one."""

    @property
    def id(self) -> str:
        """Its id."""


Ref: TypeAlias = str | HasId  # the id of a run, a unique prefix of one, "latest", or the run itself


def document_of(backend: Backend, run_id: str) -> Document:
    """Returns the document of a run by its full id; StoreError if it is damaged or does not exist."""
    found = backend.select_runs({"id": text(run_id)}, 1)
    if not found:
        raise unknown_run(backend, run_id)
    return sound(found[0])


def find(backend: Backend, ref: Ref) -> Document:
    """Returns the document of a run by reference, as in `match`; StoreError if it is damaged or does not exist."""
    return sound(match(backend, ref))


def match(backend: Backend, ref: Ref) -> Document:
    """Returns the document, even if damaged, of a run or of the run with an id, a unique prefix of one, or "latest"."""
    ref = str(getattr(ref, "id", ref))
    found, name = [], ref.strip().lower()
    if name == "latest":
        found = backend.select_runs({"not_tag": MADE}, 1)
    elif ID_BEGINNING.fullmatch(name):
        found = backend.select_runs({"prefix": name}, 2)
    if not found:
        raise unknown_run(backend, ref)
    if len(found) > 1:
        ids = " or ".join(document["id"] for document in found)
        raise StoreError(f"run {ref!r:.80} is ambiguous, it could be {ids}: give more of the id")
    return found[0]


def listed(
    backend: Backend,
    wanted: dict[str, str],
    status: str | None,
    most: int | None,
    on_damaged: Callable[[str, str], object] | None,
) -> list[RunRecord]:
    """Reads at most `most` runs by the status they show, the last created first, and reports damaged ones.

    A stored "running" shows as "interrupted" once the writer is gone.
    """
    records: list[RunRecord] = []
    for document in _last_first(backend, *_filtered(wanted, status, most)):
        try:
            found = record(document, backend.now())
        except StoreError as error:
            if on_damaged is not None:
                on_damaged(str(document.get("id")), str(error))
            continue
        if status in (None, found.status):
            records.append(found)
        if len(records) == most:
            break
    return records


def _filtered(wanted: dict[str, str], status: str | None, most: int | None) -> tuple[dict[str, str], int | None]:
    """Returns what to ask a backend for: any run stored as "running" may show as "interrupted"."""
    if status is None:
        return wanted, most
    if status == "interrupted":
        return wanted, None
    return {**wanted, "status": text(status)}, most


def _last_first(backend: Backend, wanted: dict[str, str], most: int | None) -> Iterator[Document]:
    """Yields the matching runs, the last created first; reads `most` of them, and more only if asked for more."""
    seen: set[str] = set()
    while True:
        found = backend.select_runs(wanted, most)
        yield from (document for document in found if str(document.get("id")) not in seen)
        if most is None or len(found) < most:
            return
        seen |= {str(document.get("id")) for document in found}
        most = min(2 * most, MOST)


def unknown_run(backend: Backend, ref: str) -> StoreError:
    """Returns the error for a run that does not exist; it says how to find the existing ones."""
    if not backend.select_runs({}, 1):
        return StoreError(f"the store {backend.url} has no runs yet: start one with `rlbench train safecab`")
    return StoreError(f"there is no run {ref!r:.80} in {backend.url}: `rlbench runs` lists all runs")


def refusal(backend: Backend, run_id: str) -> StoreError:
    """Returns the error for a refused write: the run has another writer, or none."""
    document = document_of(backend, run_id)
    if document["status"] == "finished":
        return StoreError(
            f"run {run_id} is finished and does not change any more: resume it, or train with a larger budget, "
            "to begin a new run where it ends"
        )
    if not writers.is_alive(document, backend.now()):
        return StoreError(f"run {run_id} has no writer: claim it first; nothing was changed")
    who = writers.describe(document)
    return StoreError(f"run {run_id} is being written by another process ({who}): nothing was changed")


# ---------------------------------------------------------------------- chunks


def spans_of(backend: Backend, document: Document) -> list[Span]:
    """Returns the spans of a run's chunks; StoreError if one is missing."""
    spans = backend.select_spans(document["id"])[: document["chunks"]]  # later ones are not committed
    whole = all(type(value) is int and 0 <= value < COUNTLESS for span in spans for value in span[:-1])
    if not whole or len(spans) != document["chunks"] or any(span.number != i for i, span in enumerate(spans)):
        raise StoreError(f"run {document['id']} is damaged: it should have {document['chunks']} chunks")
    return spans


def touching(spans: list[Span], episodes: Iterable[int]) -> list[Span]:
    """Returns the spans that hold any of the episodes, and earlier ones back to where their first episode begins."""
    wanted, chosen, goes_back = np.unique(np.fromiter(episodes, np.int64)), [], False
    for span in reversed(spans):
        next_wanted = np.searchsorted(wanted, span.first_episode)
        if goes_back or (next_wanted < len(wanted) and wanted[next_wanted] < span.stop):
            chosen.append(span)
            goes_back = span.first_step > 0
    return chosen[::-1]


class Parts(Protocol):
    """Where chunks are read from: a backend."""

    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        """Returns whether a chunk of a run exists, and the blob of its part."""

    def select_table(self, digest: str) -> bytes | None:
        """Returns the blob of a table."""


def chunk_loader(
    backend: Parts,
    document: Document,
    *,
    figures: bool = True,
    steps: bool = True,
    names: Collection[str] | None = None,
) -> Callable[[Span], EpisodeChunk]:
    """Returns the function that reads a chunk of a run, with or without its figures, or some of them, and its steps."""
    wanted = {"segments": True, "figures": figures, "steps": steps}
    parts_wanted = tuple(part for part in PARTS if wanted[part])
    keeps_steps = says_it_keeps_steps(document)  # read once: there may be thousands of chunks
    return partial(_load_chunk, Tables(backend), document["id"], parts_wanted, keeps_steps, names)


def _load_chunk(
    tables: Tables,
    run_id: str,
    parts_wanted: tuple[str, ...],
    keeps_steps: bool,  # noqa: FBT001
    names: Collection[str] | None,
    span: Span,
) -> EpisodeChunk:
    parts = {part: load_part(tables.backend, run_id, span, part) for part in parts_wanted}
    if "figures" in parts and "steps" not in parts:
        columns = needed(parts["figures"][0], span.episodes, names)
        if columns:
            parts["steps"] = load_part(tables.backend, run_id, span, "steps", columns)
    chunk = assembled(run_id, span, parts, tables, keeps_steps=keeps_steps, names=names)
    return chunk if "steps" in parts_wanted else replace(chunk, steps=None)


class Tables:
    """Reads tables by their digest, and keeps the last: the chunks of a run seldom need another."""

    def __init__(self, backend: Parts) -> None:
        self.backend = backend
        self._last: tuple[str, Table | None] = ("", None)

    def __call__(self, digest: str) -> Table:
        """Returns a table; StoreError if it is missing or damaged."""
        known, table = self._last
        if table is None or known != digest:
            table = load_table(self.backend, digest)
            self._last = digest, table
        return table


def load_table(backend: Parts, digest: str) -> Table:
    """Reads a table that steps follow from; StoreError if it is missing or damaged."""
    blob = backend.select_table(digest)
    if blob is None:
        raise StoreError(f"table {digest} is missing")
    return _unpacked_table(blob, digest)


@lru_cache(1)  # of all bytes: what is damaged is another
def _unpacked_table(blob: bytes, digest: str) -> Table:
    return Table.unpack(blob, digest)


def says_it_keeps_steps(document: Document) -> bool:
    """Returns whether a run was trained to keep every step."""
    return told(document).config.record == "all"


def load_part(
    backend: Parts, run_id: str, span: Span, part: str, names: Collection[str] | None = None
) -> tuple[Arrays, Document]:
    """Returns the arrays and metadata of a chunk's part; both empty if its steps were not kept.

    With `names`, these arrays alone, except of a walk: it is made of all of them.
    """
    found, blob = backend.select_part(run_id, span, part)
    if blob is None and found and part == "steps":
        return {}, {}
    where = _where(run_id, span, part)
    if blob is None:
        raise StoreError(f"{where} is missing")
    if names is not None and is_walk(codec.described(blob, where)[1]):
        names = None
    return verified(blob, where, about_part(span, part), names=names)


def _where(run_id: str, span: Span, part: str) -> str:
    return f"run {run_id}, chunk {span.number}, {part}"


def row_shapes(backend: Backend, run_id: str, span: Span, part: str) -> dict[str, tuple[int, ...]]:
    """Returns the shape of a row of each column in a chunk's part without unpacking them; none if it is missing."""
    _, blob = backend.select_part(run_id, span, part)
    if not isinstance(blob, bytes):
        return {}
    shapes, about = codec.described(blob, _where(run_id, span, part))
    if is_walk(about):
        return dict.fromkeys(COLUMNS, ())
    return {name: shapes[name][1:] for name in named(shapes, about)}


class _Weighed:
    """A backend that counts the bytes of the parts that are read."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.bytes, self.select_table = backend, 0, backend.select_table

    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        found, blob = self._backend.select_part(run_id, span, part)
        self.bytes += len(blob) if isinstance(blob, bytes) else 0
        return found, blob


def load_figures(backend: Backend, document: Document, names: Collection[str] | None = None) -> list[Arrays]:
    """Reads the figures of each chunk of a run, or those with these names.

    Raises:
        StoreError: they are damaged, or together claim far more than is stored.
    """
    tables, claimed, weighed = [], 0, _Weighed(backend)
    load = chunk_loader(weighed, document, steps=False, names=names)
    for span in spans_of(backend, document):
        tables.append(load(span).figures)
        claimed += sum(column.nbytes for column in tables[-1].values())
        if claimed > max(MOST_FIGURES, codec.EXPANSION * weighed.bytes):
            raise StoreError(
                f"run {document['id']} is damaged: {weighed.bytes:,} bytes of figures claim to hold {claimed:,}"
            )
    return tables


# ---------------------------------------------------------------------- checkpoints


def checkpoints_of(backend: Backend, document: Document) -> list[CheckpointInfo]:
    """Lists the checkpoints of a run, oldest first."""
    found = backend.select_checkpoints(document["id"])
    return [info for info in map(sound_info, found) if info.chunks <= document["chunks"]]  # the others: uncommitted


def load_checkpoint(backend: Backend, run_id: str, info: CheckpointInfo) -> Checkpoint:
    """Reads a checkpoint of a run."""
    where = f"run {run_id}, checkpoint at step {info.timesteps}"
    blob = whole(backend.select_state(run_id, info), info.size, where)
    arrays, about = verified(blob, where, about_checkpoint(info), also_of_checkpoint(info))
    return Checkpoint(info.episodes, info.timesteps, arrays, about.get("numbers", {}))


def whole(blob: bytes | None, size: int, where: str) -> bytes:
    """Returns a blob after checking that it exists and has the listed size."""
    if blob is None:
        raise StoreError(f"{where} is missing")
    found = len(blob) if isinstance(blob, bytes) else repr(blob)
    if found != size:
        raise StoreError(f"{where} is damaged: expected {size} bytes, got {found}")
    return blob


# ---------------------------------------------------------------------- snapshots


def unknown_snapshot(backend: Backend, kind: str, name: str) -> StoreError:
    """Returns the error for a snapshot that does not exist; it names the existing ones."""
    known = [info.name for info in backend.select_snapshots(kind)]
    if not known:
        kinds = ", ".join(sorted({info.kind for info in backend.select_snapshots(None)})) or "none"
        return StoreError(f"there is no snapshot of kind {kind!r} in {backend.url}; known kinds: {kinds}")
    return StoreError(f"{unknown_name(f'snapshot of kind {kind!r}', name, known)} in {backend.url}")
