"""The contract of a store: all that does not depend on where the records lie, over a few methods that do."""

from __future__ import annotations

import functools
import operator
import re
import secrets
import weakref
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.store import codec, writers
from rlbench.store.documents import (
    COUNTS,
    NEW,
    PARTS,
    RUN_FIELDS,
    CheckpointRow,
    ChunkRow,
    about_checkpoint,
    about_part,
    advance,
    assembled,
    checkpoint_row,
    chunk_row,
    clean,
    intact,
    is_abandoned,
    label,
    now,
    open_steps,
    record,
    sound,
    sound_info,
    text,
    verified,
)
from rlbench.store.episodes import EpisodeSequence
from rlbench.store.records import Checkpoint, CheckpointInfo, EpisodeChunk, RunRecord, SnapshotInfo, Span
from rlbench.store.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rlbench.store.documents import Arrays, Document

__all__ = ["RUN_FIELDS", "CheckpointRow", "ChunkRow", "Store"]

ID_BEGINNING = re.compile(r"[0-9a-f]{1,12}")
ID_TRIES = 8
MOST = 2**31 - 1  # runs in a listing: more than a backend may be asked for


class Store(ABC):
    """Where runs live: an append-only log of packed chunks, with checkpoints and results.

    A backend implements the methods at the end, which know documents and blobs but not what they mean. What
    it commits is whole or absent; `chunks` in a run's document says how many chunks count. A run has one writer
    at a time, a Store object: the one that made it, or claimed it since.
    """

    def __init__(self, url: str) -> None:
        self.url = redact(url)
        token = secrets.token_hex(8)
        writers.LIVING.add(token)
        self._writer = writers.identity(token)
        self._release = weakref.finalize(self, writers.LIVING.discard, token)
        self._begun: set[str] = set()  # ids of the runs that it may still be writing

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
        cache_key: str = "",
    ) -> RunRecord:
        """Begins a run: status "running", nothing in it yet, and this store its writer."""
        given = {"seed": seed, "config": dict(config or {}), "tags": tags, "parents": parents}
        names = {"env_id": text(env_id), "agent_name": text(agent_name), "cache_key": text(cache_key)}
        document = {**NEW, **names, **clean(given), "writer": self._writer}
        for _ in range(ID_TRIES):
            moment = now()
            document |= {"id": secrets.token_hex(6), "created_at": moment, "beat": moment}
            if self._insert_run(document):
                self._begun.add(document["id"])
                return record(document)
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
            run_id: the whole id of a run whose writer this store is.
            chunk: must begin where the last chunk of the run ended.
            checkpoint: takes the place of the one before, unless that was kept.
            keep: keep this checkpoint when later ones come.
            progress: `episodes`, `timesteps` (by default, what the chunk adds), `seconds`, `status`,
                `evaluation` or others that `update_run` takes. Without any of all these, it says that the
                writer is alive.

        Raises:
            UsageError: the chunk is malformed, or out of order.
            StoreError: there is no such run, or another process is writing it.
        """
        changes, before = clean(progress), self._own(run_id)
        row = chunk_row(before, chunk) if chunk is not None else None
        if row is not None and chunk is not None:
            left_open = open_steps(chunk.first_step, chunk.lengths, chunk.ends)
            changes = {**advance(before, row.span, left_open), **changes}
        chunks = before["chunks"] + (row is not None)
        state = checkpoint_row(run_id, checkpoint, chunks, keep=keep) if checkpoint is not None else None
        expected = {"chunks": before["chunks"], "writer": self._writer}
        if not self._commit(run_id, expected, {**changes, "beat": now()}, row, state):
            raise self._refused(run_id)
        self._note_end(run_id, changes)

    def claim(self, run_id: str) -> RunRecord:
        """Makes this store the writer of a run that nobody writes, to go on with it: its status is "running" again.

        Raises:
            StoreError: there is no such run, or its writer is alive; of two that claim it at once, one is refused.
        """
        before = self._document(run_id)
        if before["status"] == "running" and writers.is_alive(before):
            raise self._refused(run_id)
        expected = {name: before[name] for name in ("status", "chunks", "writer", "beat")}
        if not self._commit(run_id, expected, {"status": "running", "writer": self._writer, "beat": now()}, None, None):
            raise self._refused(run_id)
        self._begun.add(run_id)
        return record(self._document(run_id))

    def rewind(self, run_id: str, checkpoint: CheckpointInfo | None) -> RunRecord:
        """Drops what was written after a checkpoint, to go on from there; None drops all that was written.

        Args:
            run_id: the whole id of a run whose writer this store is.
            checkpoint: one of `checkpoints(run_id)`.

        Raises:
            StoreError: there is no such run or checkpoint, or another process is writing it.
        """
        before = self._own(run_id)
        if checkpoint is not None and checkpoint not in self.checkpoints(run_id):
            raise StoreError(
                f"run {run_id} has no checkpoint at episode {checkpoint.episodes}, step {checkpoint.timesteps}: "
                "take one of those that are listed"
            )
        chunks, timesteps = (0, -1) if checkpoint is None else (checkpoint.chunks, checkpoint.timesteps)
        changes = {**self._counted(before, chunks), "beat": now()}
        expected = {"chunks": before["chunks"], "writer": self._writer}
        if not self._truncate(run_id, expected, chunks, timesteps, changes):
            raise self._refused(run_id)
        return record(self._document(run_id))

    def update_run(self, run_id: str, **changes: Any) -> RunRecord:
        """Changes `status`, `evaluation`, `tags`, `config`, `parents`, `seconds`, `episodes`, `timesteps`."""
        if not self._commit(run_id, {}, clean(changes), None, None):
            raise self._no_such(run_id)
        self._note_end(run_id, changes)
        return record(self._document(run_id))

    def delete_run(self, run_id: str) -> None:
        """Deletes a run, by its whole id, with its chunks and checkpoints."""
        if not self._remove_run(run_id):
            raise self._no_such(run_id)

    def save_snapshot(
        self, kind: str, name: str, arrays: Mapping[str, Any], numbers: Mapping[str, Any] | None = None
    ) -> SnapshotInfo:
        """Keeps arrays and numbers that belong to no run (a replay buffer), in place of those of the same name.

        Args:
            kind: what it is, such as "buffer".
            name: any text of 1 to 200 characters, without control characters.
            arrays: of any bool or numeric dtype and any shape.
            numbers: what JSON can say; whole numbers of any size survive.
        """
        about = {"kind": label("the kind of a snapshot", kind), "name": label("the name of a snapshot", name)}
        blob = codec.pack(arrays, {**about, "numbers": dict(numbers or {})})
        info = SnapshotInfo(kind, name, now(), len(blob))
        self._put_snapshot(info, blob)
        return info

    def delete_snapshot(self, kind: str, name: str) -> None:
        """Deletes a snapshot; StoreError if there is none."""
        if not self._remove_snapshot(label("the kind", kind), label("the name", name)):
            raise self._no_such_snapshot(kind, name)

    # ------------------------------------------------------------------ reading

    def runs(
        self,
        *,
        env_id: str | None = None,
        agent_name: str | None = None,
        status: str | None = None,
        tag: str | None = None,
        cache_key: str | None = None,
        limit: int | None = None,
    ) -> list[RunRecord]:
        """Returns the runs that fit, newest first."""
        filters = {"env_id": env_id, "agent_name": agent_name, "tag": tag, "cache_key": cache_key}
        wanted = {name: text(value) for name, value in filters.items() if value is not None}
        if limit is not None and operator.index(limit) < 0:
            raise UsageError(f"limit must be 0 or more, got {limit}")
        return [record(document) for document in self._listed(wanted, status, limit)]

    def run(self, ref: str) -> RunRecord:
        """Returns a run by its id, the beginning of its id, or "latest"; StoreError says what is wrong."""
        return record(self._find(ref))

    def chunks(
        self, ref: str, *, figures: bool = True, episodes: Iterable[int] | None = None
    ) -> Iterator[EpisodeChunk]:
        """Reads the chunks of a run one after another, with or without their figures.

        Args:
            ref: the run, as in `run`.
            figures: read them.
            episodes: only the chunks that these lie in, and those in which an episode that goes on there began.
        """
        document = self._find(ref)
        spans = self._spans(document)
        chosen = spans if episodes is None else _touching(spans, episodes)
        return (self._load_chunk(document["id"], span, figures=figures) for span in chosen)

    def figures(self, ref: str) -> Arrays:
        """Returns all figures, a row for each episode that ended; reads no steps."""
        document = self._find(ref)
        spans = self._spans(document)
        tables = [self._load_part(document["id"], span, "figures")[0] for span in spans]
        if not tables:
            return {"return": np.empty(0), "length": np.empty(0, np.int64)}
        shared = [name for name in tables[0] if all(name in table for table in tables)]
        return {name: np.concatenate([table[name] for table in tables]) for name in shared}

    def episodes(self, ref: str, indices: Iterable[int] | slice | None = None) -> EpisodeSequence:
        """Returns the episodes that ended, or some of them, as a sequence that reads them when asked for."""
        document = self._find(ref)
        run_id = document["id"]
        load = functools.partial(self._load_chunk, run_id, figures=False)
        env = record(document).config.get("env")
        spec = env.get("spec") if isinstance(env, dict) else None
        every = EpisodeSequence(run_id, self._spans(document), load, env_spec=spec)
        return every if indices is None else every.pick(indices)

    def checkpoint(self, ref: str, episodes: int | None = None) -> Checkpoint | None:
        """Returns the latest checkpoint, of those at no more than `episodes` episodes, if there is one."""
        document = self._find(ref)
        listed = [info for info in self._checkpoints(document) if episodes is None or info.episodes <= episodes]
        return self._load_checkpoint(document["id"], listed[-1]) if listed else None

    def checkpoints(self, ref: str) -> list[CheckpointInfo]:
        """Lists the checkpoints of a run, oldest first."""
        return self._checkpoints(self._find(ref))

    def snapshots(self, kind: str | None = None) -> list[SnapshotInfo]:
        """Lists the snapshots of a kind, or all, by kind and name."""
        return self._select_snapshots(None if kind is None else label("the kind of a snapshot", kind))

    def load_snapshot(self, kind: str, name: str) -> tuple[Arrays, dict[str, Any]]:
        """Returns the arrays and numbers of a snapshot.

        Raises:
            StoreError: there is no such snapshot, and the message names those that are; or it is damaged.
        """
        blob = self._select_snapshot(label("the kind of a snapshot", kind), label("the name of a snapshot", name))
        if blob is None:
            raise self._no_such_snapshot(kind, name)
        arrays, about = verified(blob, f"snapshot {kind}/{name}", {"kind": kind, "name": name})
        return arrays, about.get("numbers", {})

    def describe_snapshot(self, kind: str, name: str) -> dict[str, Any]:
        """Returns the numbers of a snapshot alone: its checksums are verified, its arrays stay packed.

        Raises:
            StoreError: there is no such snapshot, and the message names those that are; or it is damaged.
        """
        blob = self._select_snapshot(label("the kind of a snapshot", kind), label("the name of a snapshot", name))
        if blob is None:
            raise self._no_such_snapshot(kind, name)
        about = intact(blob, f"snapshot {kind}/{name}", {"kind": kind, "name": name})
        return dict(about.get("numbers", {}))

    # ------------------------------------------------------------------ finding

    def _listed(self, wanted: dict[str, str], status: str | None, limit: int | None) -> list[Document]:
        """Selects runs by the status that they show: one says "running" until it is known that its writer is gone."""
        most = None if limit is None else min(operator.index(limit), MOST)
        if most == 0:
            return []
        if status not in {"running", "interrupted"}:
            return self._select_runs(wanted if status is None else {**wanted, "status": text(status)}, most)
        running = [sound(document) for document in self._select_runs({**wanted, "status": "running"}, None)]
        found = [document for document in running if is_abandoned(document) == (status == "interrupted")]
        if status == "interrupted":
            found += map(sound, self._select_runs({**wanted, "status": status}, most))
            found.sort(key=operator.itemgetter("created_at"), reverse=True)
        return found[:most]

    def _find(self, ref: str) -> Document:
        return sound(self._match(ref))

    def _match(self, ref: str) -> Document:
        """Returns the document of the run that is meant, sound or not."""
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
        return found[0]

    def _document(self, run_id: str) -> Document:
        found = self._select_runs({"id": text(run_id)}, 1)
        if not found:
            raise self._no_such(run_id)
        return sound(found[0])

    def _own(self, run_id: str) -> Document:
        """Returns the document of a run that this store writes; StoreError if another does, or none."""
        document = self._document(run_id)
        if document["writer"] != self._writer:
            raise self._refused(run_id)
        return document

    def _note_end(self, run_id: str, changes: Document) -> None:
        if changes.get("status", "running") != "running":
            self._begun.discard(run_id)

    def _refused(self, run_id: str) -> StoreError:
        """Says why a run was not written: another has it, or none."""
        document = self._document(run_id)
        if not writers.is_alive(document):
            return StoreError(f"run {run_id} is written by nobody now: claim it first; nothing was changed")
        who = writers.describe(document)
        return StoreError(f"run {run_id} is being written by another process ({who}): nothing was added")

    def _no_such(self, ref: str) -> StoreError:
        if not self._select_runs({}, 1):
            return StoreError(f"the store {self.url} has no runs yet: start one with `rlbench train safecab`")
        return StoreError(f"there is no run {ref!r} in {self.url}: `rlbench runs` lists those that are")

    def _no_such_snapshot(self, kind: str, name: str) -> StoreError:
        known = [info.name for info in self._select_snapshots(kind)]
        if not known:
            kinds = ", ".join(sorted({info.kind for info in self._select_snapshots(None)})) or "none"
            return StoreError(f"there is no snapshot of kind {kind!r} in {self.url}; known kinds: {kinds}")
        return StoreError(f"{unknown_name(f'snapshot of kind {kind!r}', name, known)} in {self.url}")

    def _spans(self, document: Document) -> list[Span]:
        spans = self._select_spans(document["id"])[: document["chunks"]]  # later ones are not committed
        whole = all(type(value) is int for span in spans for value in span)
        if not whole or len(spans) != document["chunks"] or any(span.number != i for i, span in enumerate(spans)):
            raise StoreError(f"run {document['id']} is damaged: {document['chunks']} chunks should be there")
        return spans

    def _counted(self, document: Document, chunks: int) -> Document:
        """Returns the counters of a run of which the first chunks are left."""
        spans = self._spans(document)[:chunks]
        counted = dict.fromkeys(COUNTS, 0)
        for span in spans:
            counted = advance(counted, span, 0)
        if spans and spans[-1].episodes < spans[-1].segments:
            segments, _ = self._load_part(document["id"], spans[-1], "segments")
            counted["next_step"] = open_steps(spans[-1].first_step, segments["lengths"], segments["ends"])
        return counted

    def _load_chunk(self, run_id: str, span: Span, *, figures: bool) -> EpisodeChunk:
        names = PARTS if figures else ("segments", "steps")
        return assembled(run_id, span, {part: self._load_part(run_id, span, part) for part in names})

    def _load_part(self, run_id: str, span: Span, part: str) -> tuple[Arrays, Document]:
        """Returns the arrays of a part of a chunk and what it says of itself; nothing if it was not kept."""
        found, blob = self._select_blob(run_id, span.number, part)
        where = f"run {run_id}, chunk {span.number}, {part}"
        if blob is None and found and part == "steps":
            return {}, {}
        if blob is None:
            raise StoreError(f"{where} is missing")
        return verified(blob, where, about_part(run_id, span, part))

    def _checkpoints(self, document: Document) -> list[CheckpointInfo]:
        listed = self._select_checkpoints(document["id"])
        return [info for info in map(sound_info, listed) if info.chunks <= document["chunks"]]  # others: uncommitted

    def _load_checkpoint(self, run_id: str, info: CheckpointInfo) -> Checkpoint:
        where = f"run {run_id}, checkpoint at step {info.timesteps}"
        blob = self._select_state(run_id, info.timesteps)
        if blob is None:
            raise StoreError(f"{where} is missing")
        if len(blob) != info.size:
            raise StoreError(f"{where} is damaged: it should have {info.size} bytes, and has {len(blob)}")
        arrays, about = verified(blob, where, about_checkpoint(run_id, info))
        return Checkpoint(info.episodes, info.timesteps, arrays, about.get("numbers", {}))

    # ------------------------------------------------------------------ what a backend does

    @abstractmethod
    def close(self) -> None:
        """Lets go of the place where the records lie; closing twice does no harm.

        Calls `super().close()` first: a run that this store is still writing becomes interrupted.
        """
        begun, self._begun = self._begun, set()
        expected: Document = {"status": "running", "writer": self._writer}
        with suppress(StoreError):  # then it shows as interrupted when this process has ended
            for run_id in begun:
                self._commit(run_id, expected, {"status": "interrupted", "writer": ""}, None, None)
        self._release()

    @abstractmethod
    def _insert_run(self, document: Document) -> bool:
        """Adds a run, of exactly the fields RUN_FIELDS; False if its id is taken."""

    @abstractmethod
    def _select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        """Returns runs, newest first, that equal each filter; "tag" is in tags, "prefix" begins the id.

        The other filters are "id", "env_id", "agent_name", "status" and "cache_key". A `limit` is 1 or more.
        """

    @abstractmethod
    def _commit(
        self,
        run_id: str,
        expected: Document,
        changes: Document,
        chunk: ChunkRow | None,
        checkpoint: CheckpointRow | None,
    ) -> bool:
        """Adds rows and changes a run at once; False, with nothing done, if it is not as expected.

        The run must be there, and each field of its document named in `expected` ({}: none) must have that value:
        no other process has written it since. A new checkpoint takes the place of all that are not kept.
        """

    @abstractmethod
    def _truncate(self, run_id: str, expected: Document, chunks: int, timesteps: int, changes: Document) -> bool:
        """Removes the chunks numbered `chunks` and up and the checkpoints beyond `timesteps`, and changes the run.

        All at once; False, with nothing done, if the run is not as `expected`, as in `_commit`.
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

    @abstractmethod
    def _put_snapshot(self, info: SnapshotInfo, blob: bytes) -> None:
        """Keeps a snapshot, in place of one of the same kind and name."""

    @abstractmethod
    def _select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        """Returns the snapshots of a kind, or all, by kind and name, without reading a blob."""

    @abstractmethod
    def _select_snapshot(self, kind: str, name: str) -> bytes | None:
        """Returns the blob of a snapshot."""

    @abstractmethod
    def _remove_snapshot(self, kind: str, name: str) -> bool:
        """Deletes a snapshot; False if there is none."""

    @abstractmethod
    def _size(self) -> int:
        """Returns how many bytes the store takes on disk; 0 in memory."""

    @abstractmethod
    def _compact(self) -> None:
        """Gives back the room that deleted records left."""

    def _problems(self) -> Iterator[str]:
        """Says what is wrong with the place itself, beneath the records, where a backend can tell."""
        yield from ()

    def _copy_to_file(self, path: str) -> bool:
        """Writes all of one moment to a new SQLite file; False if it cannot, and the records must be copied."""
        del path
        return False


def _touching(spans: list[Span], episodes: Iterable[int]) -> list[Span]:
    """Returns the spans that hold some of the episodes, each with those before it back to an episode's beginning."""
    wanted, chosen, goes_back = np.unique(np.fromiter(episodes, np.int64)), [], False
    for span in reversed(spans):
        next_wanted = np.searchsorted(wanted, span.first_episode)
        if goes_back or (next_wanted < len(wanted) and wanted[next_wanted] < span.stop):
            chosen.append(span)
            goes_back = span.first_step > 0
    return chosen[::-1]
