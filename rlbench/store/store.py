"""The store: runs with their chunks, checkpoints and results, and snapshots, kept by any backend."""

from __future__ import annotations

import functools
import operator
import secrets
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from rlbench.errors import StoreError, UsageError
from rlbench.store import codec, reading, writers
from rlbench.store.config import RunConfig
from rlbench.store.documents import (
    NEW,
    advance,
    checkpoint_row,
    chunk_row,
    clean,
    intact,
    label,
    now,
    open_steps,
    record,
    text,
    verified,
)
from rlbench.store.episodes import EpisodeSequence
from rlbench.store.records import SnapshotInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rlbench.store.backend import Backend
    from rlbench.store.documents import Arrays, Document
    from rlbench.store.records import Checkpoint, CheckpointInfo, EpisodeChunk, RunRecord

ID_TRIES = 8
MOST = 2**31 - 1  # runs in a listing: more than a backend may be asked for


class Store:
    """Where runs live: an append-only log of packed chunks, with checkpoints and results.

    A run has one writer at a time, a Store object: the one that made it, or claimed it since.

    Attributes:
        backend: where the records lie.
        url: its address, without a password.
        writer: what the document of a run says while this store writes it.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend, self.url = backend, backend.url
        token = secrets.token_hex(8)
        writers.LIVING.add(token)
        self.writer = writers.identity(token)
        self._release = weakref.finalize(self, writers.LIVING.discard, token)
        self._begun: set[str] = set()  # ids of the runs that it may still be writing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def close(self) -> None:
        """Lets go of the backend; a run that it is still writing becomes interrupted. Closing twice does no harm."""
        begun, self._begun = self._begun, set()
        expected: Document = {"status": "running", "writer": self.writer}
        with suppress(StoreError):  # then it shows as interrupted when this process has ended
            for run_id in begun:
                self.backend.commit(run_id, expected, {"status": "interrupted", "writer": ""})
        self._release()
        self.backend.close()

    # ------------------------------------------------------------------ writing

    def create_run(
        self,
        env_id: str,
        agent_name: str,
        *,
        seed: int,
        config: RunConfig | None = None,
        tags: Iterable[str] = (),
        parents: Iterable[str] = (),
        cache_key: str = "",
    ) -> RunRecord:
        """Begins a run: status "running", nothing in it yet, and this store its writer."""
        given = {"seed": seed, "config": config or RunConfig.of({}), "tags": tags, "parents": parents}
        names = {"env_id": text(env_id), "agent_name": text(agent_name), "cache_key": text(cache_key)}
        document = {**NEW, **names, **clean(given), "writer": self.writer}
        for _ in range(ID_TRIES):
            moment = now()
            document |= {"id": secrets.token_hex(6), "created_at": moment, "beat": moment}
            if self.backend.insert_run(document):
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
        expected = {"chunks": before["chunks"], "writer": self.writer}
        if not self.backend.commit(run_id, expected, {**changes, "beat": now()}, row, state):
            raise reading.refusal(self.backend, run_id)
        self._note_end(run_id, changes)

    def claim(self, run_id: str) -> RunRecord:
        """Makes this store the writer of a run that nobody writes, to go on with it: its status is "running" again.

        Raises:
            StoreError: there is no such run, or its writer is alive; of two that claim it at once, one is refused.
        """
        before = reading.document_of(self.backend, run_id)
        if before["status"] == "running" and writers.is_alive(before):
            raise reading.refusal(self.backend, run_id)
        expected = {name: before[name] for name in ("status", "chunks", "writer", "beat")}
        if not self.backend.commit(run_id, expected, {"status": "running", "writer": self.writer, "beat": now()}):
            raise reading.refusal(self.backend, run_id)
        self._begun.add(run_id)
        return record(reading.document_of(self.backend, run_id))

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
        changes = {**reading.counted(self.backend, before, chunks), "beat": now()}
        expected = {"chunks": before["chunks"], "writer": self.writer}
        if not self.backend.truncate(run_id, expected, chunks, timesteps, changes):
            raise reading.refusal(self.backend, run_id)
        return record(reading.document_of(self.backend, run_id))

    def update_run(self, run_id: str, **changes: Any) -> RunRecord:
        """Changes `status`, `evaluation`, `tags`, `config`, `parents`, `seconds`, `episodes`, `timesteps`."""
        if not self.backend.commit(run_id, {}, clean(changes)):
            raise reading.unknown_run(self.backend, run_id)
        self._note_end(run_id, changes)
        return record(reading.document_of(self.backend, run_id))

    def delete_run(self, run_id: str) -> None:
        """Deletes a run, by its whole id, with its chunks and checkpoints."""
        if not self.backend.remove_run(run_id):
            raise reading.unknown_run(self.backend, run_id)

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
        self.backend.put_snapshot(info, blob)
        return info

    def delete_snapshot(self, kind: str, name: str) -> None:
        """Deletes a snapshot; StoreError if there is none."""
        if not self.backend.remove_snapshot(label("the kind", kind), label("the name", name)):
            raise reading.unknown_snapshot(self.backend, kind, name)

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
        if limit == 0:
            return []
        most = None if limit is None else min(operator.index(limit), MOST)
        return [record(document) for document in reading.listed(self.backend, wanted, status, most)]

    def run(self, ref: str) -> RunRecord:
        """Returns a run by its id, the beginning of its id, or "latest"; StoreError says what is wrong."""
        return record(reading.find(self.backend, ref))

    def chunks(
        self, ref: str, *, figures: bool = True, episodes: Iterable[int] | None = None
    ) -> Iterator[EpisodeChunk]:
        """Reads the chunks of a run one after another, with or without their figures.

        Args:
            ref: the run, as in `run`.
            figures: read them.
            episodes: only the chunks that these lie in, and those in which an episode that goes on there began.
        """
        document = reading.find(self.backend, ref)
        spans = reading.spans_of(self.backend, document)
        chosen = spans if episodes is None else reading.touching(spans, episodes)
        return (reading.load_chunk(self.backend, document["id"], span, figures=figures) for span in chosen)

    def figures(self, ref: str) -> Arrays:
        """Returns all figures, a row for each episode that ended; reads no steps."""
        document = reading.find(self.backend, ref)
        spans = reading.spans_of(self.backend, document)
        tables = [reading.load_part(self.backend, document["id"], span, "figures")[0] for span in spans]
        if not tables:
            return {"return": np.empty(0), "length": np.empty(0, np.int64)}
        shared = [name for name in tables[0] if all(name in table for table in tables)]
        return {name: np.concatenate([table[name] for table in tables]) for name in shared}

    def episodes(self, ref: str, indices: Iterable[int] | slice | None = None) -> EpisodeSequence:
        """Returns the episodes that ended, or some of them, as a sequence that reads them when asked for."""
        document = reading.find(self.backend, ref)
        run_id = document["id"]
        load = functools.partial(reading.load_chunk, self.backend, run_id, figures=False)
        spec = record(document).config.env.spec
        every = EpisodeSequence(run_id, reading.spans_of(self.backend, document), load, env_spec=spec)
        return every if indices is None else every.pick(indices)

    def checkpoint(self, ref: str, episodes: int | None = None) -> Checkpoint | None:
        """Returns the latest checkpoint, of those at no more than `episodes` episodes, if there is one."""
        document = reading.find(self.backend, ref)
        listed = reading.checkpoints_of(self.backend, document)
        fitting = [info for info in listed if episodes is None or info.episodes <= episodes]
        return reading.load_checkpoint(self.backend, document["id"], fitting[-1]) if fitting else None

    def checkpoints(self, ref: str) -> list[CheckpointInfo]:
        """Lists the checkpoints of a run, oldest first."""
        return reading.checkpoints_of(self.backend, reading.find(self.backend, ref))

    def snapshots(self, kind: str | None = None) -> list[SnapshotInfo]:
        """Lists the snapshots of a kind, or all, by kind and name."""
        return self.backend.select_snapshots(None if kind is None else label("the kind of a snapshot", kind))

    def load_snapshot(self, kind: str, name: str) -> tuple[Arrays, dict[str, Any]]:
        """Returns the arrays and numbers of a snapshot.

        Raises:
            StoreError: there is no such snapshot, and the message names those that are; or it is damaged.
        """
        blob = self._snapshot(kind, name)
        arrays, about = verified(blob, f"snapshot {kind}/{name}", {"kind": kind, "name": name})
        return arrays, about.get("numbers", {})

    def describe_snapshot(self, kind: str, name: str) -> dict[str, Any]:
        """Returns the numbers of a snapshot alone: its checksums are verified, its arrays stay packed.

        Raises:
            StoreError: there is no such snapshot, and the message names those that are; or it is damaged.
        """
        blob = self._snapshot(kind, name)
        about = intact(blob, f"snapshot {kind}/{name}", {"kind": kind, "name": name})
        return dict(about.get("numbers", {}))

    def _snapshot(self, kind: str, name: str) -> bytes:
        blob = self.backend.select_snapshot(
            label("the kind of a snapshot", kind), label("the name of a snapshot", name)
        )
        if blob is None:
            raise reading.unknown_snapshot(self.backend, kind, name)
        return blob

    # ------------------------------------------------------------------ writers

    def _own(self, run_id: str) -> Document:
        """Returns the document of a run that this store writes; StoreError if another does, or none."""
        document = reading.document_of(self.backend, run_id)
        if document["writer"] != self.writer:
            raise reading.refusal(self.backend, run_id)
        return document

    def _note_end(self, run_id: str, changes: Document) -> None:
        if changes.get("status", "running") != "running":
            self._begun.discard(run_id)
