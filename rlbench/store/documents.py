"""Converts records to the documents and blobs that a backend stores, and back."""

from __future__ import annotations

import functools
import json
import operator
from dataclasses import fields
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.store import codec, writers
from rlbench.store.config import RunConfig
from rlbench.store.records import OPEN, STATUSES, CheckpointInfo, EpisodeChunk, RunRecord, Span
from rlbench.texts import escaped, has_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    from rlbench.store.records import Checkpoint

    Document = dict[str, Any]  # str, int, float, None, or a list of str
    Arrays = dict[str, NDArray[Any]]

COUNTS = ("episodes", "timesteps", "chunks", "next_episode", "next_step")
LISTS = (list,)  # of strings
RUN_FIELDS: dict[str, tuple[type, ...]] = {  # the fields of a run's document and their types
    "id": (str,),
    "env_id": (str,),
    "agent_name": (str,),
    "seed": (str,),  # a seed may have 128 bits
    "status": (str,),
    "created_at": (str,),
    "episodes": (int,),
    "timesteps": (int,),
    "seconds": (float, int),
    "tags": LISTS,
    "parents": LISTS,
    "chunks": (int,),  # the number committed
    "next_episode": (int,),  # with next_step: where the next chunk must begin
    "next_step": (int,),
    "cache_key": (str,),  # "" for none
    "writer": (str,),  # JSON, see writers.py; "" for none
    "beat": (str,),  # time of the writer's last commit
    "evaluation": (str, NoneType),  # JSON
    "config": (str,),  # JSON
}
RECORD_FIELDS = tuple(field.name for field in fields(RunRecord))
NEW: Document = {
    "status": "running",
    "evaluation": None,
    "seconds": 0.0,
    **dict.fromkeys(COUNTS, 0),
}
PARTS = ("segments", "figures", "steps")  # of a chunk
MAX_NAME = 200  # characters


class ChunkRow(NamedTuple):
    """A chunk as a backend stores it."""

    span: Span
    segments: bytes
    figures: bytes
    steps: bytes | None


class CheckpointRow(NamedTuple):
    """A checkpoint as a backend stores it."""

    info: CheckpointInfo
    state: bytes


def now() -> str:
    """Returns the current time in ISO 8601, UTC, with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


# ---------------------------------------------------------------------- runs


def sound(document: Document) -> Document:
    """Returns a run's document after checking the type of every field.

    Raises:
        StoreError: a field is missing or has the wrong type.
    """
    for name, kinds in RUN_FIELDS.items():
        value = document.get(name, ...)
        if type(value) not in kinds or (kinds is LISTS and not all(type(text) is str for text in value)):
            shown = "missing" if value is ... else repr(value)[:MAX_NAME]
            raise StoreError(f"run {document.get('id')} is damaged: {name} is {shown}")
    return document


def record(document: Document) -> RunRecord:
    """Returns the record of a run; an abandoned one is "interrupted".

    Raises:
        StoreError: the document is damaged.
    """
    sound(document)
    values = {name: _printable(document[name]) for name in RECORD_FIELDS}
    try:
        values |= {"seed": int(document["seed"]), "config": RunConfig.of(_object(document["config"]))}
        values |= {name: tuple(map(escaped, document[name])) for name in ("tags", "parents")}
        values["evaluation"] = document["evaluation"] and _object(document["evaluation"])
    except (ValueError, RecursionError) as error:
        raise StoreError(f"run {document['id']} is damaged, its record is unreadable: {error}") from error
    if is_abandoned(document):
        values["status"] = "interrupted"
    return RunRecord(**values)


def _printable(value: Any) -> Any:
    """Returns a field as anyone may print it: a foreign file may hold what `text` refuses."""
    return escaped(value) if type(value) is str else value


def _object(text: str) -> dict[str, Any]:
    """Parses a JSON object; ValueError for anything else."""
    found = json.loads(text)
    if type(found) is not dict:
        raise ValueError(f"expected a JSON object, got {text[:MAX_NAME]}")
    return found


def is_abandoned(document: Document) -> bool:
    """Returns whether a run has the status "running", but its writer is gone."""
    return document["status"] == "running" and not writers.is_alive(document)


def clean(changes: Mapping[str, Any]) -> Document:
    """Validates a caller's fields of a run and converts them to what a document holds, without NumPy scalars."""
    for name in changes:
        if name not in CLEANERS:
            raise unknown_name("field of a run", name, CLEANERS)
    return {name: CLEANERS[name](value) for name, value in changes.items()}


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


CLEANERS: dict[str, Callable[[Any], Any]] = {
    "status": _status,
    "episodes": _count,
    "timesteps": _count,
    "seconds": float,
    "seed": lambda seed: str(operator.index(seed)),
    "evaluation": lambda value: None if value is None else codec.to_json(value),
    "config": lambda config: codec.to_json(config.document()),
    "tags": _texts,
    "parents": _texts,
}


# ---------------------------------------------------------------------- chunks and checkpoints


def span_of(number: int, chunk: EpisodeChunk) -> Span:
    """Returns the span of a chunk in its run."""
    segments = len(chunk.lengths)
    return Span(number, chunk.first_episode, chunk.first_step, chunk.episodes, segments, chunk.n_steps)


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
    span = span_of(before["chunks"], chunk)
    about = functools.partial(about_part, before["id"], span)
    segments: Arrays = {"lengths": chunk.lengths, "ends": chunk.ends}
    return ChunkRow(
        span,
        codec.pack(segments, {**about("segments"), "env_rng": chunk.env_rng}),
        codec.pack(chunk.figures, about("figures")),
        None if chunk.steps is None else codec.pack(chunk.steps, about("steps")),
    )


def about_part(run_id: str, span: Span, part: str) -> Document:
    """Returns the metadata that the blob of a chunk's part must carry."""
    about = {"run": run_id, "chunk": span.number, "part": part}
    place = {"first_episode": span.first_episode, "first_step": span.first_step}
    return {**about, **place} if part == "segments" else about


def assembled(run_id: str, span: Span, parts: Mapping[str, tuple[Arrays, Document]]) -> EpisodeChunk:
    """Assembles a chunk from its parts; steps and figures are optional.

    Raises:
        StoreError: the parts do not match each other or the span.
    """
    (segments, about), (steps, stored) = parts["segments"], parts["steps"]
    chunk = EpisodeChunk(
        span.first_episode,
        span.first_step,
        lengths=segments.get("lengths", np.empty(0, np.int64)),
        ends=segments.get("ends", np.empty(0, np.uint8)),
        figures=parts["figures"][0] if "figures" in parts else {},
        steps=steps if stored else None,
        env_rng=about.get("env_rng"),
    )
    if chunk.problem() or span_of(span.number, chunk) != span:
        raise StoreError(f"run {run_id}, chunk {span.number} is damaged: its parts do not match")
    return chunk


def checkpoint_row(run_id: str, checkpoint: Checkpoint, chunks: int, *, keep: bool) -> CheckpointRow:
    """Packs a checkpoint of a run that has `chunks` chunks."""
    info = CheckpointInfo(_count(checkpoint.episodes), _count(checkpoint.timesteps), chunks, now(), keep, 0)
    state = codec.pack(checkpoint.arrays, {**about_checkpoint(run_id, info), "numbers": checkpoint.numbers})
    return CheckpointRow(info._replace(size=len(state)), state)


def about_checkpoint(run_id: str, info: CheckpointInfo) -> Document:
    """Returns the metadata that a checkpoint's blob must carry."""
    return {"run": run_id, "episodes": info.episodes, "timesteps": info.timesteps, "chunks": info.chunks}


def sound_info(info: CheckpointInfo) -> CheckpointInfo:
    """Returns a checkpoint's listing entry; StoreError unless its counts are ints."""
    if not all(type(value) is int for value in (info.episodes, info.timesteps, info.chunks, info.size)):
        raise StoreError(f"a checkpoint at step {info.timesteps!r} is damaged: its counts are not whole numbers")
    return info


def verified(blob: bytes, where: str, expected: Document) -> tuple[Arrays, Document]:
    """Unpacks a blob whose metadata must be as expected: this detects exchanged blobs."""
    arrays, about = codec.unpack(blob, where)
    _belongs(about, where, expected)
    return arrays, about


def intact(blob: bytes | None, where: str, expected: Document) -> Document:
    """Verifies the checksums and metadata of a blob without unpacking its arrays; returns the metadata.

    Raises:
        StoreError: it is missing, damaged, or belongs to something else.
    """
    if blob is None:
        raise StoreError(f"{where} is missing")
    about: Document = codec.verify(blob, where)
    _belongs(about, where, expected)
    return about


def _belongs(about: object, where: str, expected: Document) -> None:
    if not isinstance(about, dict) or any(about.get(name) != value for name, value in expected.items()):
        raise StoreError(f"{where} is damaged: it belongs to something else")
