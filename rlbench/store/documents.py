"""Converts records to the documents and blobs that a backend stores, and back."""

from __future__ import annotations

import hashlib
import json
import operator
import sys
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.store import codec, figures, writers
from rlbench.store.config import CacheConfig, RunConfig
from rlbench.store.records import (
    MADE,
    OF_STUDY,
    OPEN,
    PSEUDONYMISED,
    STATUSES,
    CheckpointInfo,
    EpisodeChunk,
    RunRecord,
    Span,
)
from rlbench.store.walks import Walk
from rlbench.texts import escaped, has_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from rlbench.store.records import Checkpoint
    from rlbench.store.walks import Table

    Document = dict[str, Any]  # str, int, float, None, or a list of str
    Arrays = dict[str, NDArray[Any]]

COUNTS = ("episodes", "timesteps", "chunks", "next_episode", "next_step")
LISTS = (list,)  # of strings
FIXED: dict[str, tuple[type, ...]] = {  # the fields that never change once a run is finished, and their types
    "id": (str,),
    "env_id": (str,),
    "agent_name": (str,),
    "seed": (str,),  # a seed may have 128 bits
    "status": (str,),
    "created_at": (str,),
    "episodes": (int,),
    "timesteps": (int,),
    "seconds": (float, int),
    "parents": LISTS,
    "chunks": (int,),  # the number committed
    "checkpoints": (int,),  # likewise
    "next_episode": (int,),  # with next_step: where the next chunk must begin
    "next_step": (int,),
    "owners": (str,),  # JSON: [[number, run], ...], from which chunk on which run wrote them
    "cache_key": (str,),  # "" for none
    "config": (str,),  # JSON
}
NOTES: dict[str, tuple[type, ...]] = {  # the fields that may change at any time
    "tags": LISTS,
    "note": (str,),
    "evaluation": (str,),  # JSON: a list, oldest first
    "cache": (str,),  # JSON
}
RUN_FIELDS = {  # all fields of a run's document
    **FIXED,
    **NOTES,
    "record_sum": (str,),  # the checksum of the fields in FIXED
    "notes_sum": (str,),  # and of those in NOTES
    "writer": (str,),  # JSON, see writers.py; "" for none, as in every run that is not running
    "beat": (str,),  # time of the writer's last commit
}
RECORD_FIELDS = tuple(field.name for field in fields(RunRecord))
NEW: Document = {"status": "running", "seconds": 0.0, "checkpoints": 0, **dict.fromkeys(COUNTS, 0)}
UNNOTED: Document = {"tags": [], "note": "", "evaluation": "[]", "cache": "{}"}
FIGURES = ("mean_return", "success_rate", "exact_return", "optimal_return", "regret")  # of an evaluation
PARTS = ("segments", "figures", "steps")  # of a chunk
SORTED = json.JSONEncoder(sort_keys=True)
MAX_NAME = 200  # characters
MOST_TABLE = 2**22  # bytes: what follows from a larger one is stored as plain steps


class Piece(NamedTuple):
    """Chunks of a run, with the numbers `first` to `stop` - 1, that one run wrote."""

    owner: str
    first: int
    stop: int


class TableRow(NamedTuple):
    """A table as a backend stores it: once, whichever chunks need it."""

    digest: str
    blob: bytes


class ChunkRow(NamedTuple):
    """A chunk as a backend stores it."""

    span: Span
    segments: bytes
    figures: bytes
    steps: bytes | None
    table: TableRow | None  # that its steps follow from, if they do


class CheckpointRow(NamedTuple):
    """A checkpoint as a backend stores it."""

    info: CheckpointInfo
    state: bytes


def now() -> str:
    """Returns the current time as records store it."""
    return iso(datetime.now(UTC))


def iso(moment: datetime) -> str:
    """Returns a time in ISO 8601, UTC, with microseconds."""
    return moment.isoformat(timespec="microseconds")


# ---------------------------------------------------------------------- runs


def sound(document: Document) -> Document:
    """Returns a run's document after checking the type of every field, and the checksums.

    Raises:
        StoreError: a field is missing, has the wrong type, or differs from what was written.
    """
    for name, kinds in RUN_FIELDS.items():
        value = document.get(name, ...)
        if type(value) not in kinds or (kinds is LISTS and not all(type(text) is str for text in value)):
            shown = "missing" if value is ... else repr(value)[:MAX_NAME]
            raise StoreError(f"run {document.get('id')} is damaged: {name} is {shown}")
    for name, expected in sums(document).items():
        if document[name] != expected:
            what = (
                "its record differs" if name == "record_sum" else "its tags, note, evaluations or cache counts differ"
            )
            raise StoreError(f"run {document['id']} is damaged: {what} from what was written")
    return document


def sums(document: Document) -> Document:
    """Returns the checksums of a run's document."""
    return {"record_sum": record_sum(document), "notes_sum": notes_sum(document)}


def record_sum(document: Document) -> str:
    """Returns the checksum of the fields that never change once a run is finished."""
    return _sum({**{name: document[name] for name in FIXED}, "seconds": float(document["seconds"])})


def notes_sum(document: Document) -> str:
    """Returns the checksum of the fields that may change at any time."""
    return _sum({name: document[name] for name in NOTES})


def _sum(values: Document) -> str:
    return hashlib.blake2b(SORTED.encode(values).encode(), digest_size=16).hexdigest()


def pieces(document: Document) -> list[Piece]:
    """Returns the pieces that a run consists of, in order; StoreError if they are damaged.

    While a run is being copied, its last pieces are empty.
    """
    try:
        begun = [(str(owner), int(first)) for first, owner in json.loads(document["owners"])]
    except (LookupError, ValueError, TypeError, OverflowError, RecursionError):
        begun = []
    firsts, chunks = [first for _, first in begun], document.get("chunks")
    if not begun or firsts[0] != 0 or firsts != sorted(firsts) or type(chunks) is not int:
        raise StoreError(f"run {document['id']} is damaged: it does not say who wrote its chunks")
    stops = [*firsts[1:], chunks]
    return [
        Piece(owner, first, max(first, min(stop, chunks))) for (owner, first), stop in zip(begun, stops, strict=True)
    ]


def extended(document: Document, chunks: int, run_id: str) -> str:
    """Returns the owners of a new run that shares the first chunks of another."""
    shared = [[piece.first, piece.owner] for piece in pieces(document) if piece.first <= chunks]
    return codec.to_json([*shared, [chunks, run_id]])


def record(document: Document, moment: datetime | None = None) -> RunRecord:
    """Returns the record of a run; one abandoned by its writer, as of `moment`, is "interrupted".

    Raises:
        StoreError: the document is damaged.
    """
    return told(sound(document), moment)


def told(document: Document, moment: datetime | None = None) -> RunRecord:
    """Returns the record of a run whose fields and checksums are known to be sound; see `record`."""
    if has_controls(document["id"]):
        raise StoreError(f"run {document['id']} is damaged: its id has control characters")
    values = {name: _printable(document[name]) for name in RECORD_FIELDS if name in document}
    try:
        values |= {"seed": int(document["seed"]), "config": _config(document["config"])}
        values |= {name: tuple(map(escaped, document[name])) for name in ("tags", "parents")}
        values |= {"tags": tuple(tag for tag in values["tags"] if not is_ours(tag)), "studies": studies_of(document)}
        values["is_listed"] = MADE not in document["tags"]
        values["pseudonymised"] = _after(PSEUDONYMISED, document)
        values |= {"evaluations": tuple(evaluations_of(document)), "cache": CacheConfig.of(_object(document["cache"]))}
    except (ValueError, RecursionError) as error:
        raise StoreError(f"run {document['id']} is damaged, its record is unreadable: {error}") from error
    if is_abandoned(document, moment):
        values["status"] = "interrupted"
    return RunRecord(**values)


def is_ours(tag: str) -> bool:
    """Returns whether a tag is one of rlbench's own, such as of a study: a person neither sees nor sets it."""
    return tag == MADE or tag.startswith((OF_STUDY, PSEUDONYMISED))


def studies_of(document: Document) -> tuple[str, ...]:
    """Returns the names of the studies to which a run belongs."""
    return _after(OF_STUDY, document)


def _after(beginning: str, document: Document) -> tuple[str, ...]:
    """Returns what follows a beginning in the tags that have it."""
    return tuple(escaped(tag.removeprefix(beginning)) for tag in document["tags"] if tag.startswith(beginning))


def _printable(value: Any) -> Any:
    """Escapes a field for printing: a foreign file may hold characters that `text` refuses."""
    return escaped(value) if type(value) is str else value


def evaluations_of(document: Document) -> list[dict[str, Any]]:
    """Returns the evaluations of a run, oldest first; StoreError if they are unreadable."""
    found = None
    with suppress(ValueError, RecursionError):
        found = codec.from_json(document["evaluation"])
    if type(found) is not list or not all(map(is_evaluation, found)):
        raise StoreError(f"run {document['id']} is damaged, its evaluations are unreadable")
    return found


def is_evaluation(value: object) -> bool:
    """Returns whether this is an evaluation: a dict, of which the entries that rlbench reads have their types."""
    if type(value) is not dict:
        return False
    figures, wrappers = [value.get(name) for name in FIGURES], value.get("wrappers", [])
    interval = value.get("interval") or []
    is_readable = type(interval) is type(wrappers) is list and all(type(one) is str for one in wrappers)
    counts = [value.get(name, 0) for name in ("episodes", "seed")]
    are_whole = all(type(count) is int and count >= 0 for count in counts if count is not None)
    return is_readable and are_whole and all(map(_is_figure, (*figures, *interval)))


def _is_figure(value: object) -> bool:
    """Returns whether this is a number that a float can hold, or None."""
    return value is None or type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)


def _object(text: str) -> dict[str, Any]:
    """Parses a JSON object; ValueError for anything else."""
    found = codec.from_json(text)
    if type(found) is not dict:
        raise ValueError(f"expected a JSON object, got {text[:MAX_NAME]}")
    return found


@lru_cache(maxsize=64)
def _config(text: str) -> RunConfig:
    """Returns a configuration that is stored as JSON: the runs of a combination share theirs."""
    return RunConfig.of(_object(text))


def is_abandoned(document: Document, moment: datetime | None = None) -> bool:
    """Returns whether a run has the status "running", but its writer is gone."""
    return document["status"] == "running" and not writers.is_alive(document, moment)


def clean(changes: Mapping[str, Any], cleaners: Mapping[str, Callable[[Any], Any]]) -> Document:
    """Validates a caller's fields of a run and converts them to what a document holds, without NumPy scalars."""
    for name in changes:
        if name not in cleaners:
            raise unknown_name("field of a run", name, cleaners)
    return {name: cleaners[name](value) for name, value in changes.items()}


def text(value: object) -> str:
    """Returns `value` as text; UsageError for control characters, which a terminal would obey, and lone surrogates."""
    found = str(value)
    if has_controls(found):
        shown = repr(found[:MAX_NAME])
        raise UsageError(f"names are Unicode text without control characters or lone surrogates, got {shown}")
    return found


def label(what: str, value: object) -> str:
    """Returns `value` if it is a valid name; UsageError otherwise."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME or has_controls(value):
        raise UsageError(
            f"{what} must be 1 to {MAX_NAME} characters without control characters, got {str(value)[:MAX_NAME]!r}"
        )
    return value


def _status(value: str) -> str:
    if value not in STATUSES:
        raise unknown_name("status", str(value), STATUSES)
    return str(value)


def _count(value: int) -> int:
    if operator.index(value) < 0:
        raise UsageError(f"the episodes and steps of a run must be 0 or more, got {value}")
    return int(value)


def _texts(values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise UsageError(f"tags and parents must be lists of strings, got {values!r}")
    return list(map(text, values))


def _tags(values: Iterable[str]) -> list[str]:
    found = _texts(values)
    ours = next(filter(is_ours, found), None)
    if ours is not None:
        raise UsageError(f"a tag that begins with 'rlbench:' is one of rlbench's own, got {ours!r}: choose another")
    return found


PROGRESS: dict[str, Callable[[Any], Any]] = {  # what the writer of a run may change
    "status": _status,
    "episodes": _count,
    "timesteps": _count,
    "seconds": float,
    "seed": lambda seed: str(operator.index(seed)),
    "config": lambda config: config.text,
    "cache_key": text,
    "parents": _texts,
}
ANNOTATIONS: dict[str, Callable[[Any], Any]] = {  # what anyone may change, at any time
    "tags": _tags,
    "note": text,
    "cache": lambda cache: codec.to_json(asdict(cache)),
}


# ---------------------------------------------------------------------- chunks and checkpoints


def span_of(number: int, chunk: EpisodeChunk, run_id: str) -> Span:
    """Returns the span of a chunk that a run wrote."""
    segments = len(chunk.lengths)
    return Span(number, chunk.first_episode, chunk.first_step, chunk.episodes, segments, chunk.n_steps, run_id)


def open_steps(first_step: int, lengths: NDArray[np.int64], ends: NDArray[np.uint8]) -> int:
    """Returns how many steps of the unfinished episode have been written at the end of a chunk; 0 if none is open."""
    if not len(ends) or ends[-1] != OPEN:
        return 0
    return int(lengths[-1]) + (first_step if len(lengths) == 1 else 0)


def advance(before: Document, span: Span, left_open: int) -> Document:
    """Returns the counters of a run after adding a chunk."""
    return {
        "chunks": span.number + 1,
        "episodes": before["episodes"] + span.episodes,
        "timesteps": before["timesteps"] + span.steps,
        "next_episode": span.first_episode + span.episodes,
        "next_step": left_open,
    }


def chunk_row(before: Document, chunk: EpisodeChunk) -> ChunkRow:
    """Packs the next chunk of a run; UsageError if it is malformed or out of order."""
    problem = chunk.problem()
    if problem:
        raise UsageError(f"malformed chunk: {problem}")
    expected = (before["next_episode"], before["next_step"])
    if (chunk.first_episode, chunk.first_step) != expected:
        raise UsageError(
            f"the next chunk of run {before['id']} must begin at episode {expected[0]}, step {expected[1]}, "
            f"got episode {chunk.first_episode}, step {chunk.first_step}"
        )
    span = span_of(before["chunks"], chunk, before["id"])
    extra = {"env_rng": chunk.env_rng, "keeps_steps": chunk.steps is not None}
    columns: Arrays = {"lengths": chunk.lengths, "ends": chunk.ends}
    # the lengths and figures of all chunks are read at once: none may claim far more than it holds
    segments = codec.pack(columns, {**about_part(span, "segments"), **extra}, free=0)
    steps, table = _steps_row(span, chunk.steps)
    packed = _figures_row(span, chunk, before["timesteps"], len(segments) + len(steps or b""))
    return ChunkRow(span, segments, packed, steps, table)


def _figures_row(span: Span, chunk: EpisodeChunk, timesteps: int, others: int) -> bytes:
    """Packs what does not follow of a chunk's figures; `others` are the bytes of its other parts."""
    stored, about = figures.reduced(chunk, timesteps)
    derived = figures.claimed(stored, span.episodes) - sum(column.nbytes for column in stored.values())
    free = min(codec.FREE, codec.EXPANSION * others - derived)
    return codec.pack(stored, {**about_part(span, "figures"), **about}, free=free)


def _steps_row(span: Span, steps: Mapping[str, NDArray[Any]] | None) -> tuple[bytes | None, TableRow | None]:
    """Packs the steps of a chunk, if it has any; those over a table name it."""
    about = about_part(span, "steps")
    if isinstance(steps, Walk) and len(steps.table.blob) <= MOST_TABLE:
        table = steps.table
        return codec.pack(steps.packed(), {**about, "table": table.digest}), TableRow(table.digest, table.blob)
    return (None if steps is None else codec.pack(steps, about)), None


def about_part(span: Span, part: str) -> Document:
    """Returns the metadata that the blob of a chunk's part must carry."""
    about = {"run": span.run, "chunk": span.number, "part": part}
    place = {"first_episode": span.first_episode, "first_step": span.first_step}
    return {**about, **place} if part == "segments" else about


def assembled(
    run_id: str,
    span: Span,
    parts: Mapping[str, tuple[Arrays, Document]],
    table_of: Callable[[str], Table],
    *,
    keeps_steps: bool,
    names: Collection[str] | None = None,
) -> EpisodeChunk:
    """Assembles a chunk from its parts; figures and steps are optional.

    Args:
        run_id: the run that is read.
        span: the position of the chunk.
        parts: the arrays and the metadata of each part that was read; both empty if its steps were not kept.
        table_of: reads a table that steps follow from, by its digest.
        keeps_steps: whether the run says that its steps are kept, for chunks that do not say so themselves.
        names: of the figures wanted; None for all that were read.

    Raises:
        StoreError: the parts do not match each other or the span, or steps are missing.
    """
    (segments, about), (steps, stored) = parts["segments"], parts.get("steps", ({}, {}))
    chunk = EpisodeChunk(
        span.first_episode,
        span.first_step,
        lengths=segments.get("lengths", np.empty(0, np.int64)),
        ends=segments.get("ends", np.empty(0, np.uint8)),
        figures={},
        steps=steps if stored and not is_walk(stored) else None,
        env_rng=about.get("env_rng"),
    )
    where = f"run {run_id}, chunk {span.number}"
    if "steps" in parts and about.get("keeps_steps", keeps_steps) and not stored:
        raise StoreError(f"{where}, steps is missing")
    if chunk.problem() or span_of(span.number, chunk, span.run) != span:
        raise StoreError(f"{where} is damaged: its parts do not match")
    if is_walk(stored):
        try:
            walk = Walk.unpacked(table_of(str(stored["table"])), steps, chunk.lengths, chunk.terminations)
        except (UsageError, StoreError) as error:
            raise StoreError(f"{where}, steps is damaged: {error}") from error
        chunk = replace(chunk, steps=walk)
    return replace(chunk, figures=_completed(where, chunk, *parts.get("figures", ({}, {})), names))


def _completed(
    where: str, chunk: EpisodeChunk, stored: Arrays, about: Document, names: Collection[str] | None
) -> Arrays:
    try:
        return figures.completed(stored, about, chunk, names)
    except StoreError as error:
        raise StoreError(f"{where}, figures is damaged: {error}") from error


def is_walk(about: object) -> bool:
    """Returns whether the metadata of steps says that they follow from a table."""
    return isinstance(about, dict) and "table" in about


def checkpoint_row(run_id: str, checkpoint: Checkpoint, chunks: int, *, keep: bool) -> CheckpointRow:
    """Packs a checkpoint of a run that has `chunks` chunks."""
    episodes, timesteps = _count(checkpoint.episodes), _count(checkpoint.timesteps)
    info = CheckpointInfo(episodes, timesteps, chunks, now(), keep, 0, run_id)
    extra = {"created_at": info.created_at, "kept": keep, "numbers": checkpoint.numbers}
    state = codec.pack(checkpoint.arrays, {**about_checkpoint(info), **extra})
    return CheckpointRow(info._replace(size=len(state)), state)


def outlasts(new: CheckpointInfo) -> Callable[[CheckpointInfo], bool]:
    """Returns the test for the checkpoints that a new one leaves in place."""
    return lambda info: (info.kept or info.run != new.run) and (info.run, info.timesteps) != (new.run, new.timesteps)


def shares(document: Document) -> Callable[[CheckpointInfo], bool]:
    """Returns the test for the checkpoints that a run shares: those that the owners of its pieces kept."""
    owners = {piece.owner for piece in pieces(document)}
    return lambda info: info.kept and info.chunks <= document["chunks"] and info.run in owners


def about_checkpoint(info: CheckpointInfo) -> Document:
    """Returns the metadata that a checkpoint's blob must carry."""
    return {"run": info.run, "episodes": info.episodes, "timesteps": info.timesteps, "chunks": info.chunks}


def also_of_checkpoint(info: CheckpointInfo) -> Document:
    """Returns metadata that must match only if a checkpoint's blob has it: the first version did not write it."""
    return {"created_at": info.created_at, "kept": info.kept}


def sound_info(info: CheckpointInfo) -> CheckpointInfo:
    """Returns a checkpoint's listing entry; StoreError unless its counts are ints."""
    if not all(type(value) is int for value in (info.episodes, info.timesteps, info.chunks, info.size)):
        raise StoreError(f"a checkpoint at step {info.timesteps!r} is damaged: its counts are not whole numbers")
    return info


def verified(
    blob: bytes,
    where: str,
    expected: Document,
    optional: Document | None = None,
    names: Collection[str] | None = None,
) -> tuple[Arrays, Document]:
    """Unpacks a blob whose metadata must be as expected: this detects swapped blobs.

    Args:
        blob: packed arrays and metadata.
        where: names it in messages.
        expected: metadata that it must have.
        optional: metadata that must match if the blob has it.
        names: of the arrays to unpack; None for all.

    Raises:
        StoreError: it is damaged or belongs to something else.
    """
    arrays, about = codec.unpack(_packed(blob, where), where, names)
    _belongs(about, where, expected)
    _belongs({**(optional or {}), **about}, where, optional or {})
    return arrays, about


def intact(blob: bytes | None, where: str, expected: Document) -> Document:
    """Verifies the checksums and metadata of a blob without unpacking its arrays; returns the metadata.

    Raises:
        StoreError: it is missing, damaged, or belongs to something else.
    """
    if blob is None:
        raise StoreError(f"{where} is missing")
    about: Document = codec.verify(_packed(blob, where), where)
    _belongs(about, where, expected)
    return about


def _packed(blob: object, where: str) -> bytes:
    """Returns a blob; StoreError if the storage holds something else in its place."""
    if not isinstance(blob, bytes):
        raise StoreError(f"{where} is damaged: expected packed bytes, got {str(blob)[:MAX_NAME]!r}")
    return blob


def _belongs(about: object, where: str, expected: Document) -> None:
    if not isinstance(about, dict) or any(about.get(name) != value for name, value in expected.items()):
        raise StoreError(f"{where} is damaged: it belongs to something else")
