"""The contract of a store: all that does not depend on where the records lie, over a few methods that do."""

from __future__ import annotations

import functools
import json
import operator
import re
import secrets
from abc import ABC, abstractmethod
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.store import codec
from rlbench.store.episodes import EpisodeSequence
from rlbench.store.records import (
    OPEN,
    STATUSES,
    Checkpoint,
    CheckpointInfo,
    EpisodeChunk,
    RunRecord,
    Span,
)
from rlbench.store.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Document = dict[str, Any]  # str, int, float, None, or a list of str

ID_BEGINNING = re.compile(r"[0-9a-f]{1,12}")
ID_TRIES = 8
COUNTS = ("episodes", "timesteps", "chunks", "next_episode", "next_step")
NEW = {"status": "running", "evaluation": None, "seconds": 0.0, **dict.fromkeys(COUNTS, 0)}


class ChunkRow(NamedTuple):
    """A chunk as a backend keeps it."""

    span: Span
    segments: bytes
    figures: bytes
    steps: bytes | None


class CheckpointRow(NamedTuple):
    """A checkpoint as a backend keeps it."""

    info: CheckpointInfo
    state: bytes


class Store(ABC):
    """Where runs live: an append-only log of packed chunks, with checkpoints and results.

    A backend implements the methods at the end, which know documents and blobs but not what they mean. What
    it commits is whole or absent; `chunks` in a run's document says how many chunks count.
    """

    def __init__(self, url: str) -> None:
        self.url = redact(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    # ------------------------------------------------------------------ writing

    def create_run(
        self,
        env_id: str,
        agent_name: str,
        *,
        seed: int,
        config: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        parents: Iterable[str] = (),
    ) -> RunRecord:
        """Begins a run: status "running", nothing in it yet."""
        given = {"seed": seed, "config": dict(config or {}), "tags": tags, "parents": parents}
        document = {"env_id": str(env_id), "agent_name": str(agent_name), **_clean(given), **NEW}
        for _ in range(ID_TRIES):
            document |= {"id": secrets.token_hex(6), "created_at": _now()}
            if self._insert_run(document):
                return _record(document)
        raise StoreError(f"found no free run id in {self.url}: try again")

    def append(
        self,
        run_id: str,
        chunk: EpisodeChunk | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        keep: bool = False,
        **progress: Any,
    ) -> None:
        """Adds a chunk, a checkpoint or both, and moves the run's counters on: all of it or nothing.

        Args:
            run_id: the whole id.
            chunk: must begin where the last chunk of the run ended.
            checkpoint: takes the place of the one before, unless that was kept.
            keep: keep this checkpoint when later ones come.
            progress: `episodes`, `timesteps` (by default, what the chunk adds), `seconds`, `status`,
                `evaluation` or others that `update_run` takes.

        Raises:
            UsageError: the chunk is malformed, or out of order.
            StoreError: there is no such run, or another process is writing it.
        """
        changes, before = _clean(progress), self._document(run_id)
        row = _chunk_row(before, chunk) if chunk is not None else None
        if row is not None:
            changes = {**_advance(before, row.span, _open_steps(chunk)), **changes}
        chunks = before["chunks"] + (row is not None)
        state = _checkpoint_row(run_id, checkpoint, chunks, keep=keep) if checkpoint is not None else None
        if not self._commit(run_id, before["chunks"], changes, row, state):
            raise StoreError(f"run {run_id} is being written by another process: nothing was added")

    def update_run(self, run_id: str, **changes: Any) -> RunRecord:
        """Changes `status`, `evaluation`, `tags`, `config`, `parents`, `seconds`, `episodes`, `timesteps`."""
        if not self._commit(run_id, None, _clean(changes), None, None):
            raise self._no_such(run_id)
        return _record(self._document(run_id))

    def delete_run(self, run_id: str) -> None:
        """Deletes a run, by its whole id, with its chunks and checkpoints."""
        if not self._remove_run(run_id):
            raise self._no_such(run_id)

    # ------------------------------------------------------------------ reading

    def runs(
        self,
        *,
        env_id: str | None = None,
        agent_name: str | None = None,
        status: str | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Returns the runs that fit, newest first."""
        filters = {"env_id": env_id, "agent_name": agent_name, "status": status, "tag": tag}
        wanted = {name: str(value) for name, value in filters.items() if value is not None}
        count = None if limit is None else operator.index(limit)
        return list(map(_record, self._select_runs(wanted, count)))

    def run(self, ref: str) -> RunRecord:
        """Returns a run by its id, the beginning of its id, or "latest"; StoreError says what is wrong."""
        return _record(self._find(ref))

    def chunks(self, ref: str, *, figures: bool = True) -> Iterator[EpisodeChunk]:
        """Reads the chunks of a run one after another, with or without their figures."""
        document = self._find(ref)
        return (self._load_chunk(document["id"], span, figures=figures) for span in self._spans(document))

    def figures(self, ref: str) -> dict[str, NDArray[Any]]:
        """Returns all figures, a row for each episode that ended; reads no steps."""
        document = self._find(ref)
        spans = self._spans(document)
        tables = [self._load_part(document["id"], span.number, "figures")[0] for span in spans]
        if not tables:
            return {"return": np.empty(0), "length": np.empty(0, np.int64)}
        shared = [name for name in tables[0] if all(name in table for table in tables)]
        return {name: np.concatenate([table[name] for table in tables]) for name in shared}

    def episodes(self, ref: str, indices: Iterable[int] | slice | None = None) -> EpisodeSequence:
        """Returns the episodes that ended, or some of them, as a sequence that reads them when asked for."""
        document = self._find(ref)
        run_id = document["id"]
        load = functools.partial(self._load_chunk, run_id, figures=False)
        every = EpisodeSequence(run_id, self._spans(document), load)
        return every if indices is None else every.pick(indices)

    def checkpoint(self, ref: str, episodes: int | None = None) -> Checkpoint | None:
        """Returns the latest checkpoint, of those at no more than `episodes` episodes, if there is one."""
        listed = [info for info in self.checkpoints(ref) if episodes is None or info.episodes <= episodes]
        return self._load_checkpoint(self._find(ref)["id"], listed[-1]) if listed else None

    def checkpoints(self, ref: str) -> list[CheckpointInfo]:
        """Lists the checkpoints of a run, oldest first."""
        document = self._find(ref)
        listed = self._select_checkpoints(document["id"])
        return [info for info in listed if info.chunks <= document["chunks"]]  # later ones are not committed

    # ------------------------------------------------------------------ finding

    def _find(self, ref: str) -> Document:
        found, name = [], str(ref).strip().lower()
        if name == "latest":
            found = self._select_runs({}, 1)
        elif ID_BEGINNING.fullmatch(name):
            found = self._select_runs({"prefix": name}, 2)
        if not found:
            raise self._no_such(ref)
        if len(found) > 1:
            ids = " or ".join(document["id"] for document in found)
            raise StoreError(f"run {ref!r} is ambiguous, it could be {ids}: give more of the id")
        return _sound(found[0])

    def _document(self, run_id: str) -> Document:
        found = self._select_runs({"id": run_id}, 1)
        if not found:
            raise self._no_such(run_id)
        return _sound(found[0])

    def _no_such(self, ref: str) -> StoreError:
        if not self._select_runs({}, 1):
            return StoreError(f"the store {self.url} has no runs yet: start one with `rlbench train safecab`")
        return StoreError(f"there is no run {ref!r} in {self.url}: `rlbench runs` lists those that are")

    def _spans(self, document: Document) -> list[Span]:
        spans = self._select_spans(document["id"])[: document["chunks"]]  # later ones are not committed
        whole = all(type(value) is int for span in spans for value in span)
        if not whole or [span.number for span in spans] != list(range(document["chunks"])):
            raise StoreError(f"run {document['id']} is damaged: {document['chunks']} chunks should be there")
        return spans

    def _load_chunk(self, run_id: str, span: Span, *, figures: bool) -> EpisodeChunk:
        place = {"first_episode": span.first_episode, "first_step": span.first_step}
        segments, about = self._load_part(run_id, span.number, "segments", **place)
        steps, stored = self._load_part(run_id, span.number, "steps")
        chunk = EpisodeChunk(
            **place,
            lengths=segments.get("lengths", np.empty(0, np.int64)),
            ends=segments.get("ends", np.empty(0, np.uint8)),
            figures=self._load_part(run_id, span.number, "figures")[0] if figures else {},
            steps=steps if stored else None,
            env_rng=about.get("env_rng"),
        )
        if chunk.problem() or _span(span.number, chunk) != span:
            raise StoreError(f"run {run_id}, chunk {span.number} is damaged: its parts do not fit together")
        return chunk

    def _load_part(
        self, run_id: str, number: int, part: str, **expected: int
    ) -> tuple[dict[str, NDArray[Any]], Document]:
        """Returns the arrays of a part of a chunk and what it says of itself; nothing if it was not kept."""
        found, blob = self._select_blob(run_id, number, part)
        where = f"run {run_id}, chunk {number}, {part}"
        if blob is None and found and part == "steps":
            return {}, {}
        if blob is None:
            raise StoreError(f"{where} is missing")
        return _verified(blob, where, {"run": run_id, "chunk": number, "part": part, **expected})

    def _load_checkpoint(self, run_id: str, info: CheckpointInfo) -> Checkpoint:
        where = f"run {run_id}, checkpoint at step {info.timesteps}"
        blob = self._select_state(run_id, info.timesteps)
        if blob is None:
            raise StoreError(f"{where} is missing")
        expected = {"run": run_id, "episodes": info.episodes, "timesteps": info.timesteps}
        arrays, about = _verified(blob, where, expected)
        return Checkpoint(info.episodes, info.timesteps, arrays, about.get("numbers", {}))

    # ------------------------------------------------------------------ what a backend does

    @abstractmethod
    def close(self) -> None:
        """Lets go of the place where the records lie; closing twice does no harm."""

    @abstractmethod
    def _insert_run(self, document: Document) -> bool:
        """Adds a run; False if its id is taken."""

    @abstractmethod
    def _select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        """Returns runs, newest first, that equal each filter; "tag" is in tags, "prefix" begins the id."""

    @abstractmethod
    def _commit(
        self,
        run_id: str,
        chunks: int | None,
        changes: Document,
        chunk: ChunkRow | None,
        checkpoint: CheckpointRow | None,
    ) -> bool:
        """Adds rows and changes a run at once; False, with nothing done, if there is no such run.

        Where `chunks` is a number, the run must have so many: no other process has written it. A new
        checkpoint takes the place of all that are not kept.
        """

    @abstractmethod
    def _select_spans(self, run_id: str) -> list[Span]:
        """Returns where the chunks of a run lie, in order, without reading a blob."""

    @abstractmethod
    def _select_blob(self, run_id: str, number: int, part: str) -> tuple[bool, bytes | None]:
        """Returns whether a chunk is there, and its part "segments", "figures" or "steps"."""

    @abstractmethod
    def _select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        """Returns the checkpoints of a run, oldest first, without reading a blob."""

    @abstractmethod
    def _select_state(self, run_id: str, timesteps: int) -> bytes | None:
        """Returns the blob of a checkpoint."""

    @abstractmethod
    def _remove_run(self, run_id: str) -> bool:
        """Deletes a run with all that belongs to it; False if there is none."""


# ---------------------------------------------------------------------- records to documents and back


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _sound(document: Document) -> Document:
    for name in COUNTS:
        if type(document[name]) is not int:
            raise StoreError(f"run {document['id']} is damaged: {name} is {document[name]!r}")
    return document


def _record(document: Document) -> RunRecord:
    values = {name.name: document.get(name.name) for name in fields(RunRecord)}
    try:
        values |= {"seed": int(document["seed"]), "config": json.loads(document["config"])}
        values |= {"tags": tuple(document["tags"]), "parents": tuple(document["parents"])}
        values["evaluation"] = document["evaluation"] and json.loads(document["evaluation"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(f"run {document.get('id')} is damaged, its record is unreadable: {error}") from error
    return RunRecord(**values)  # type: ignore[arg-type]  # the fields are named above


def _clean(changes: Mapping[str, Any]) -> Document:
    """Turns what a caller says of a run into what a document may hold; no numpy scalar slips through."""
    for name in changes:
        if name not in CLEANERS:
            raise unknown_name("field of a run", name, CLEANERS)
    return {name: CLEANERS[name](value) for name, value in changes.items()}


def _status(value: str) -> str:
    if value not in STATUSES:
        raise unknown_name("status", str(value), STATUSES)
    return str(value)


def _count(value: int) -> int:
    if operator.index(value) < 0:
        raise UsageError(f"a run counts episodes and steps from 0, got {value}")
    return int(value)


def _texts(values: Iterable[str]) -> list[str]:
    if isinstance(values, str):
        raise UsageError(f"tags and parents are lists of strings, got {values!r}")
    return [str(value) for value in values]


CLEANERS: dict[str, Callable[[Any], Any]] = {
    "status": _status,
    "episodes": _count,
    "timesteps": _count,
    "seconds": float,
    "seed": lambda seed: str(operator.index(seed)),  # text: a seed may have 128 bits
    "evaluation": lambda value: None if value is None else codec.to_json(value),
    "config": codec.to_json,
    "tags": _texts,
    "parents": _texts,
}


# ---------------------------------------------------------------------- chunks and checkpoints to blobs


def _span(number: int, chunk: EpisodeChunk) -> Span:
    segments = len(chunk.lengths)
    return Span(number, chunk.first_episode, chunk.first_step, chunk.episodes, segments, chunk.n_steps)


def _open_steps(chunk: EpisodeChunk | None) -> int:
    """Returns how many steps of an unfinished episode a chunk leaves behind."""
    if chunk is None or chunk.ends[-1] != OPEN:
        return 0
    return int(chunk.lengths[-1]) + (chunk.first_step if len(chunk.lengths) == 1 else 0)


def _advance(before: Document, span: Span, open_steps: int) -> Document:
    return {
        "chunks": span.number + 1,
        "episodes": before["episodes"] + span.episodes,
        "timesteps": before["timesteps"] + span.steps,
        "next_episode": span.first_episode + span.episodes,
        "next_step": open_steps,
    }


def _chunk_row(before: Document, chunk: EpisodeChunk) -> ChunkRow:
    problem = chunk.problem()
    if problem:
        raise UsageError(f"a chunk does not fit together: {problem}")
    expected = (before["next_episode"], before["next_step"])
    if (chunk.first_episode, chunk.first_step) != expected:
        raise UsageError(
            f"the next chunk of run {before['id']} must begin at episode {expected[0]}, step {expected[1]}, "
            f"got episode {chunk.first_episode}, step {chunk.first_step}"
        )
    span = _span(before["chunks"], chunk)
    about = {"run": before["id"], "chunk": span.number}
    where = {"first_episode": span.first_episode, "first_step": span.first_step, "env_rng": chunk.env_rng}
    segments: dict[str, NDArray[Any]] = {"lengths": chunk.lengths, "ends": chunk.ends}
    return ChunkRow(
        span,
        codec.pack(segments, {**about, "part": "segments", **where}),
        codec.pack(chunk.figures, {**about, "part": "figures"}),
        None if chunk.steps is None else codec.pack(chunk.steps, {**about, "part": "steps"}),
    )


def _checkpoint_row(run_id: str, checkpoint: Checkpoint, chunks: int, *, keep: bool) -> CheckpointRow:
    episodes, timesteps = _count(checkpoint.episodes), _count(checkpoint.timesteps)
    about = {"run": run_id, "episodes": episodes, "timesteps": timesteps, "numbers": checkpoint.numbers}
    state = codec.pack(checkpoint.arrays, about)
    return CheckpointRow(CheckpointInfo(episodes, timesteps, chunks, _now(), keep, len(state)), state)


def _verified(blob: bytes, where: str, expected: Document) -> tuple[dict[str, NDArray[Any]], Document]:
    """Unpacks a blob that must say of itself what is expected: none was exchanged for another."""
    arrays, about = codec.unpack(blob, where)
    if not isinstance(about, dict) or any(about.get(name) != value for name, value in expected.items()):
        raise StoreError(f"{where} is damaged: it belongs to something else")
    return arrays, about
