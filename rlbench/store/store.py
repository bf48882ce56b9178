"""The store: runs with their chunks, checkpoints and results, and snapshots, on any backend."""

from __future__ import annotations

import json
import operator
import secrets
import weakref
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from rlbench.errors import StoreError, UsageError
from rlbench.files import require
from rlbench.store import audit, codec, querying, reading, writers
from rlbench.store.backend import TRIES
from rlbench.store.behind import Behind
from rlbench.store.conditions import Condition, condition, holding
from rlbench.store.config import RunConfig
from rlbench.store.documents import (
    ANNOTATIONS,
    MAX_NAME,
    NEW,
    PROGRESS,
    UNNOTED,
    advance,
    checkpoint_row,
    chunk_row,
    clean,
    evaluations_of,
    extended,
    intact,
    is_abandoned,
    is_evaluation,
    is_ours,
    iso,
    label,
    notes_sum,
    open_steps,
    outlasts,
    record,
    record_sum,
    sound,
    sums,
    text,
    told,
    verified,
)
from rlbench.store.episodes import EpisodeSequence
from rlbench.store.querying import Query
from rlbench.store.records import MADE, OF_STUDY, RESERVED, SnapshotInfo
from rlbench.store.sql import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from pandas import DataFrame

    from rlbench.store.backend import Backend
    from rlbench.store.documents import Arrays, Document
    from rlbench.store.querying import Groups, Names, Page
    from rlbench.store.reading import Ref
    from rlbench.store.records import Checkpoint, CheckpointInfo, EpisodeChunk, RunRecord


ALL = "all"  # in place of a study: runs of any and of none


class Store:
    """Runs, each an append-only log of packed chunks with checkpoints and results.

    A run has one writer at a time: the Store object that created it or was the last to claim it.

    Attributes:
        backend: holds the records.
        url: the address, without a password.
        writer: identifies this store in the documents of the runs it writes.
    """

    def __init__(self, backend: Backend, *, purpose: str = "") -> None:
        self.backend, self.url = backend, backend.url
        token = secrets.token_hex(8)
        writers.LIVING.add(token)
        self.writer = writers.identity(token, purpose)
        self._release = weakref.finalize(self, writers.LIVING.discard, token)
        self._open: set[str] = set()  # ids of the runs that it may still be writing
        self._known: dict[str, Document] = {}  # of these, as it last wrote them: nobody else does
        self._ended: Document = {}  # the run that it ended last
        self._marks: list[str] = []  # tags of the runs that it creates

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the backend; the new store does not become the writer of this one's runs."""
        return type(self), (self.backend,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def close(self) -> None:
        """Closes the backend and marks runs it is still writing as interrupted. Closing twice does no harm."""
        unfinished, self._open = self._open, set()
        for run_id in unfinished:
            with suppress(StoreError):  # then it shows as interrupted once this process has ended
                self.append(run_id, status="interrupted")
        self._release()
        self.backend.close()

    # ------------------------------------------------------------------ writing

    @contextmanager
    def working_for(self, study: str) -> Iterator[None]:
        """Makes the runs that are created meanwhile those of a study: `runs` and "latest" leave them out."""
        before, self._marks = self._marks, [MADE, OF_STUDY + study]
        try:
            yield
        finally:
            self._marks = before

    @contextmanager
    def writing_behind(self) -> Iterator[None]:
        """Keeps short runs that are made meanwhile back, for a moment, to write several at once where that is faster.

        Raises:
            StoreError: they cannot be written; in the end, at the latest.
        """
        before = self.backend
        if before.at_once() is None:
            yield
            return
        behind = Behind(before)
        self.backend = cast("Backend", behind)
        try:
            yield
        finally:
            self.backend = before
            behind.flush()

    def create_run(
        self,
        env_id: str,
        agent_name: str,
        *,
        seed: int,
        config: RunConfig | None = None,
        tags: Iterable[str] = (),
        parents: Iterable[str] = (),
        note: str = "",
        cache_key: str = "",
        base: str | None = None,
        checkpoint: CheckpointInfo | None = None,
        what: str = "train",
    ) -> RunRecord:
        """Creates a run with the status "running" and this store as its writer.

        It is empty, or begins with what a finished run stored up to a checkpoint, which the two then share.

        Args:
            env_id: the id of its env.
            agent_name: the name of its agent.
            seed: of all its generators.
            config: its configuration.
            tags: labels.
            parents: ids of the runs that it learnt from or continues.
            note: text.
            cache_key: the key by which the training cache finds it.
            base: the full id of a finished run to begin with.
            checkpoint: one of `checkpoints(base)` that is kept.
            what: is done, as the audit log says it.

        Raises:
            StoreError: the base does not exist, or has not finished.
            UsageError: runs are not written into this store, but copied.
        """
        self.backend.check_trainable()
        given = {"seed": seed, "config": config or RunConfig.of({}), "cache_key": cache_key, "parents": parents}
        names = {"env_id": text(env_id), "agent_name": text(agent_name)}
        document = {**NEW, **names, **clean(given, PROGRESS), "writer": self.writer}
        document |= {**UNNOTED, **clean({"tags": tags, "note": note}, ANNOTATIONS)}
        document["tags"] = [*self._marks, *document["tags"]]
        for _ in range(TRIES):
            moment = self._now()
            run_id = secrets.token_hex(6)
            document |= {"id": run_id, "created_at": moment, "beat": moment, "owners": f'[[0, "{run_id}"]]'}
            if base is not None and checkpoint is not None:
                document |= self._begun(base, checkpoint, run_id)
            document |= sums(document)
            if self.backend.insert_run(document, base, act=audit.Act(moment, audit.who(), what, run_id)):
                self._open.add(run_id)
                self._known[run_id] = document
                return told(document, self.backend.now())
        raise StoreError(f"found no free run id in {self.url}: try again")

    def _begun(self, base: str, checkpoint: CheckpointInfo, run_id: str) -> Document:
        """Returns the fields of a new run that shares what a finished one stored up to a checkpoint."""
        before = reading.document_of(self.backend, base)
        kept = [info for info in reading.checkpoints_of(self.backend, before) if info.kept]
        if before["status"] != "finished" or checkpoint not in kept:
            raise StoreError(f"run {base} keeps no checkpoint at step {checkpoint.timesteps} to continue from")
        shared = [info for info in kept if info.chunks <= checkpoint.chunks]
        counts = self._counts_at(before, checkpoint)
        share = counts["timesteps"] / before["timesteps"] if before["timesteps"] else 1.0
        return {
            **counts,
            "checkpoints": len(shared),
            "seconds": before["seconds"] * share,
            "owners": extended(before, checkpoint.chunks, run_id),
        }

    def _counts_at(self, document: Document, checkpoint: CheckpointInfo) -> dict[str, int]:
        spans = reading.spans_of(self.backend, document)[: checkpoint.chunks]
        episodes, timesteps = sum(span.episodes for span in spans), sum(span.steps for span in spans)
        return {"episodes": episodes, "timesteps": timesteps, "next_episode": episodes, "chunks": len(spans)}

    def append(
        self,
        run_id: str,
        chunk: EpisodeChunk | None = None,
        checkpoint: Checkpoint | None = None,
        *,
        keep: bool = False,
        **progress: Any,
    ) -> None:
        """Adds a chunk, a checkpoint or both, and advances the run's counters, atomically.

        Args:
            run_id: the full id of a run that this store writes.
            chunk: must begin where the last chunk of the run ended.
            checkpoint: replaces the previous one, unless that was kept.
            keep: do not let later checkpoints replace this one.
            progress: `episodes`, `timesteps` (default: counted from the chunk), `seconds`, `status`, `seed`, `config`,
                `cache_key` or `parents`.

        Raises:
            UsageError: the chunk is malformed or out of order.
            StoreError: the run does not exist, is finished, or another process is writing it.
        """
        changes, before = clean(progress, PROGRESS), self._known.pop(run_id, None) or self._own(run_id)
        row = chunk_row(before, chunk) if chunk is not None else None
        if row is not None and chunk is not None:
            left_open = open_steps(chunk.first_step, chunk.lengths, chunk.ends)
            changes = {**advance(before, row.span, left_open), **changes}
        chunks = before["chunks"] + (row is not None)
        state = checkpoint_row(run_id, checkpoint, chunks, keep=keep) if checkpoint is not None else None
        if state is not None:
            others = self.backend.select_checkpoints(run_id) if before["checkpoints"] else []
            changes["checkpoints"] = 1 + sum(map(outlasts(state.info), others))
        if changes.get("status", "running") != "running":
            changes["writer"] = ""
        changes = {**changes, "beat": self._now(), "record_sum": record_sum({**before, **changes})}
        if not self.backend.commit(run_id, {"chunks": before["chunks"], "writer": self.writer}, changes, row, state):
            raise reading.refusal(self.backend, run_id)
        if "writer" in changes:
            self._open.discard(run_id)
            self._ended = {**before, **changes}
        else:
            self._known[run_id] = {**before, **changes}

    def show_alive(self, run_id: str) -> None:
        """Shows others that the writer of a run, this store, is alive; StoreError if another process writes it."""
        if not self.backend.commit(run_id, {"writer": self.writer}, {"beat": self._now()}):
            raise reading.refusal(self.backend, run_id)

    def claim(self, run_id: str, *, what: str = "resume") -> RunRecord:
        """Makes this store the writer of a run without a living writer, to resume it; sets its status to "running".

        Args:
            run_id: its full id.
            what: is done, as the audit log says it.

        Raises:
            StoreError: the run does not exist or is finished, its writer is alive, or another store claimed it at the
                same time.
        """
        before = reading.document_of(self.backend, run_id)
        is_alive = before["status"] == "running" and writers.is_alive(before, self.backend.now())
        if is_alive or before["status"] == "finished":
            raise reading.refusal(self.backend, run_id)
        expected = {name: before[name] for name in ("status", "chunks", "writer", "beat")}
        changes = {"status": "running", "writer": self.writer, "beat": self._now()}
        changes["record_sum"] = record_sum({**before, **changes})
        if not self.backend.commit(run_id, expected, changes, act=self.act(what, run_id)):
            raise reading.refusal(self.backend, run_id)
        self._open.add(run_id)
        self._known.pop(run_id, None)  # another store may have written it in between
        return self.run(run_id)

    def update_run(self, run_id: str, *, evaluation: Mapping[str, Any] | None = None, **changes: Any) -> RunRecord:
        """Annotates a run, whatever its status: `tags`, `note` and `cache` are replaced, an `evaluation` is added.

        Raises:
            StoreError: the run does not exist, or other processes keep changing it.
        """
        cleaned = clean(changes, ANNOTATIONS)

        def changed(before: Document) -> Document:
            kept = {"tags": [*filter(is_ours, before["tags"]), *cleaned["tags"]]} if "tags" in cleaned else {}
            return {**cleaned, **kept, **({} if evaluation is None else {"evaluation": _with(before, evaluation)})}

        return self._annotate(run_id, changed, self.act("tag", run_id) if "tags" in changes else None)

    def add_to_study(self, run_id: str, study: str) -> RunRecord:
        """Makes a run one of a study too; `runs` goes on listing it if it did."""
        tag = OF_STUDY + study
        return self._annotate(run_id, lambda run: {"tags": [tag, *(one for one in run["tags"] if one != tag)]})

    def remove_from_study(self, run_id: str, study: str) -> RunRecord:
        """Makes a run none of a study any more."""
        tag = OF_STUDY + study
        return self._annotate(run_id, lambda run: {"tags": [one for one in run["tags"] if one != tag]})

    def list_run(self, run_id: str) -> None:
        """Lets `runs` list a run that was made for a study, unless this store works for one."""
        if not self._marks:
            self._annotate(run_id, lambda run: {"tags": [one for one in run["tags"] if one != MADE]})

    def _annotate(
        self, run_id: str, changed: Callable[[Document], Document], act: audit.Act | None = None
    ) -> RunRecord:
        for _ in range(TRIES):
            before = reading.document_of(self.backend, run_id)
            new = changed(before)
            new["notes_sum"] = notes_sum({**before, **new})
            if self.backend.commit(run_id, {"notes_sum": before["notes_sum"]}, new, act=act):
                return self.run(run_id)
        raise StoreError(f"other processes keep changing run {run_id}: try again")

    def delete_run(self, run_id: str, *, what: str = "delete") -> None:
        """Deletes a run, by its full id, with the chunks and checkpoints that no other run shares.

        Args:
            run_id: its full id.
            what: is done, as the audit log says it.
        """
        self._known.pop(run_id, None)
        if not self.backend.remove_run(run_id, act=self.act(what, run_id)):
            raise reading.unknown_run(self.backend, run_id)

    def sweep(self, purpose: str) -> None:
        """Deletes the unfinished runs of killed processes that had opened their store for this purpose."""
        for document in self.backend.select_runs({"status": "running"}, None):
            with suppress(StoreError):  # damaged: it may not be one of them
                if is_abandoned(sound(document), self.backend.now()) and writers.purpose(document) == purpose:
                    self.backend.remove_run(document["id"], act=self.act("delete", document["id"]))

    def save_snapshot(
        self, kind: str, name: str, arrays: Mapping[str, Any], numbers: Mapping[str, Any] | None = None
    ) -> SnapshotInfo:
        """Saves arrays and numbers that belong to no run (a replay buffer); replaces those of the same kind and name.

        Args:
            kind: such as "buffer".
            name: 1 to 200 characters, without control characters.
            arrays: of any bool or numeric dtype and any shape.
            numbers: JSON values; integers of any size survive.
        """
        info, blob = _packed(kind, name, arrays, numbers or {}, self._now())
        self.backend.put_snapshot(info, blob, act=self._act_on(info))
        return info

    def add_snapshot(
        self, kind: str, name: str, numbers: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> SnapshotInfo | None:
        """Saves numbers and arrays, unless there is such a snapshot already; then None, whoever saved it."""
        info, blob = _packed(kind, name, arrays or {}, numbers, self._now())
        return info if self.backend.put_snapshot(info, blob, replace=False, act=self._act_on(info)) else None

    def exchange_snapshot(
        self, before: SnapshotInfo, numbers: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> SnapshotInfo | None:
        """Replaces a snapshot by the next of its name; None if another took its place meanwhile, or it was deleted."""
        moment = max(self._now(), _just_after(before.created_at))  # so that no two of a name are taken for one
        info, blob = _packed(before.kind, before.name, arrays, numbers, moment)
        return info if self.backend.put_snapshot(info, blob, replace=before) else None

    def amend_snapshot(
        self, before: SnapshotInfo, numbers: Mapping[str, Any], arrays: Mapping[str, Any], *, what: str
    ) -> bool:
        """Replaces what a snapshot holds, which keeps its time; False if another took its place, or it was deleted.

        `what` is done, as the audit log says it.
        """
        info, blob = _packed(before.kind, before.name, arrays, numbers, before.created_at)
        act = self.act(what, f"{before.kind} {before.name}")
        return self.backend.put_snapshot(info, blob, replace=before, act=act)

    def reserve(self, kind: str, name: str) -> bool:
        """Reserves a name among those of its kind, for good; False if it is reserved already, by anyone."""
        return self.add_snapshot(RESERVED + kind, name, {}) is not None

    def reserved(self, kind: str) -> list[str]:
        """Returns the reserved names of a kind, sorted."""
        return [info.name for info in self.snapshots(RESERVED + kind)]

    def delete_snapshot(self, kind: str, name: str) -> None:
        """Deletes a snapshot; StoreError if it does not exist."""
        words = audit.SNAPSHOTS.get(kind)
        act = words and self.act(words[1], f"{kind} {name}")
        if not self.backend.remove_snapshot(label("the kind", kind), label("the name", name), act=act):
            raise reading.unknown_snapshot(self.backend, kind, name)

    # ------------------------------------------------------------------ the audit log

    def act(self, what: str, record: str = "") -> audit.Act:
        """Returns what the audit log says of something that is done now, in this process, to a record."""
        return audit.Act(self._now(), audit.who(), what, record)

    def enter(self, what: str, record: str = "") -> None:
        """Enters in the audit log what changes nothing in the store, such as an export, unless it can only be read."""
        self.backend.enter(self.act(what, record))

    def continue_log(self, entries: Sequence[audit.Entry]) -> bool:
        """Adds to the audit log the rest of one that begins with all of it; False if none does."""
        known = self.entries()
        return entries[: len(known)] == known and self.backend.continue_log(entries[len(known) :])

    def put_copy(self, info: SnapshotInfo, blob: bytes) -> None:
        """Saves a snapshot of another store as it is."""
        act = self.act("copy", f"{info.kind} {info.name}") if info.kind in audit.SNAPSHOTS else None
        self.backend.put_snapshot(info, blob, act=act)

    def entries(self) -> list[audit.Entry]:
        """Returns the entries of the audit log, the oldest first; `audit.problems` tells whether they are whole."""
        return self.backend.select_entries()

    @property
    def head(self) -> str:
        """The hash of the last entry of the audit log; "" without one."""
        return self.backend.head().hash

    def tell_head(self) -> None:
        """Lets the command line tell the head of the audit log, to which other processes have added."""
        audit.HEADS[self.url] = self.head

    def _act_on(self, info: SnapshotInfo) -> audit.Act | None:
        """Returns the act of saving a snapshot; None for a kind whose snapshots are not entered."""
        words = audit.SNAPSHOTS.get(info.kind)
        return words and self.act(words[0], f"{info.kind} {info.name}")

    # ------------------------------------------------------------------ reading

    def runs(
        self,
        *,
        env_id: str | None = None,
        agent_name: str | None = None,
        status: str | None = None,
        tag: str | None = None,
        study: str | None = None,
        cache_key: str | None = None,
        where: Iterable[str] = (),
        limit: int | None = None,
        on_damaged: Callable[[str, str], object] | None = None,
    ) -> list[RunRecord]:
        """Returns the matching runs, the last created first, without those whose record is damaged.

        Args:
            env_id: only runs of this env.
            agent_name: only runs of this agent.
            status: only runs that are "running", "finished" or "interrupted".
            tag: only runs with this tag.
            study: only runs of this study; "all": of any and of none. Without it, runs that were made for a study are
                left out, unless a tag or a key asks for them.
            cache_key: only runs with this key.
            where: only runs for which these conditions hold: `["seed=3", "learning_rate>=0.1"]`, with =, !=, <, <=, >
                or >=, on any parameter of the agent, argument of the env or column of `rlbench runs`; `!=` holds of
                runs without it too. With conditions all runs are read.
            limit: the most to return; no more are read, except in place of damaged ones.
            on_damaged: called with the id of each damaged run that was read, and what is wrong with it.

        Raises:
            UsageError: a condition is malformed, or is on what no run has.
        """
        if isinstance(where, str):
            raise UsageError(f"where takes a list of conditions, got {where!r}: give [{where!r}]")
        conditions = list(where)
        filters = {"env_id": env_id, "agent_name": agent_name, "tag": tag, "study": study, "cache_key": cache_key}
        wanted = _asked({name: text(value) for name, value in filters.items() if value is not None})
        if limit is not None and operator.index(limit) < 0:
            raise UsageError(f"limit must be 0 or more, got {limit}")
        if limit == 0:
            return []
        most = None if limit is None else min(operator.index(limit), reading.MOST)
        if conditions:
            return holding(reading.listed(self.backend, wanted, status, None, on_damaged), conditions)[:most]
        return reading.listed(self.backend, wanted, status, most, on_damaged)

    def page(
        self, *, where: Iterable[str] = (), sort: str | None = None, limit: int = 50, offset: int = 0, **filters: str
    ) -> Page:
        """Returns some of the matching runs, from `offset` on, and how many match, without reading the others whole.

        Args:
            where: only runs for which these conditions hold, as in `runs`.
            sort: the name of a value, such as "return" or a parameter, "-NAME" from the highest; the runs without it
                come last. By default the last created come first.
            limit: the most to return.
            offset: how many to pass over.
            filters: env_id, agent_name, tag, study and status, as in `runs`.

        Raises:
            UsageError: a condition is malformed, or no run has a value of a name.
        """
        return querying.page(self.backend, _query(where, sort, filters), limit, offset)

    def groups(
        self, *, where: Iterable[str] = (), sort: str | None = None, limit: int = 50, offset: int = 0, **filters: str
    ) -> Groups:
        """Returns some of the groups of matching runs that differ only in their seed; otherwise like `page`.

        `sort` is also "runs", how many are in a group; "return" and "regret" are the means of a group.
        """
        return querying.groups(self.backend, _query(where, sort, filters), limit, offset)

    def names(self) -> Names:
        """Returns the envs, agents, tags and studies of all runs."""
        return querying.names(self.backend)

    def broken_off(self, study: str) -> list[RunRecord]:
        """Returns the runs of a study that did not finish and that nobody is writing; reads few others."""
        stored = [{"study": OF_STUDY + study, "status": status} for status in ("running", "interrupted")]
        found = [document for wanted in stored for document in self.backend.select_runs(wanted, None)]
        return [run for run in (record(each, self.backend.now()) for each in found) if run.status == "interrupted"]

    def count_runs(self, **filters: str) -> int:
        """Counts the runs, damaged ones too, that fit these filters of `runs`: env_id, agent_name, tag, study."""
        return self.backend.count_runs(_asked(filters))

    def run(self, ref: Ref) -> RunRecord:
        """Returns a run by its id, a unique prefix of it, or "latest"; StoreError if none or several match.

        All methods that read a run take the run itself as well: `store.episodes(run)`.
        """
        return record(reading.find(self.backend, ref), self.backend.now())

    def ended(self, run_id: str) -> RunRecord:
        """Returns a run that this store has just written to its end; only one that it does not know is read."""
        known = self._ended
        return told(known, self.backend.now()) if known.get("id") == run_id else self.run(run_id)

    def damaged_runs(self) -> list[tuple[str, str]]:
        """Reads every record; returns the id of each run whose record is damaged, and what is wrong with it."""
        found: list[tuple[str, str]] = []
        self.runs(study=ALL, on_damaged=lambda *one: found.append(one))
        return found

    def chunks(
        self, ref: Ref, *, figures: bool = True, episodes: Iterable[int] | None = None
    ) -> Iterator[EpisodeChunk]:
        """Reads the chunks of a run lazily, in order.

        Args:
            ref: the run, as in `run`.
            figures: read the figures too.
            episodes: read only the chunks that hold these, and earlier ones back to where their first episode begins.
        """
        document = reading.find(self.backend, ref)
        spans = reading.spans_of(self.backend, document)
        chosen = spans if episodes is None else reading.touching(spans, episodes)
        return map(reading.chunk_loader(self.backend, document, figures=figures), chosen)

    def figures(self, ref: Ref, names: Collection[str] | None = None) -> Arrays:
        """Returns all figures, or those with these names, one row per finished episode."""
        tables = reading.load_figures(self.backend, reading.find(self.backend, ref), names)
        if not tables:
            return {"return": np.empty(0), "length": np.empty(0, np.int64)}
        shared = [name for name in tables[0] if all(name in table for table in tables)]
        return {name: np.concatenate([table[name] for table in tables]) for name in shared}

    def episodes(self, ref: Ref, indices: Iterable[int] | slice | None = None) -> EpisodeSequence:
        """Returns the finished episodes, or some of them, as a lazy sequence."""
        document = reading.find(self.backend, ref)
        run_id = document["id"]
        load = reading.chunk_loader(self.backend, document, figures=False)
        spec = record(document).config.env.spec
        every = EpisodeSequence(run_id, reading.spans_of(self.backend, document), load, env_spec=spec)
        return every if indices is None else every.pick(indices)

    def checkpoint(self, ref: Ref, episodes: int | None = None) -> Checkpoint | None:
        """Returns the latest checkpoint, or the latest at or before `episodes` episodes; None if there is none."""
        document = reading.find(self.backend, ref)
        listed = reading.checkpoints_of(self.backend, document)
        fitting = [info for info in listed if episodes is None or info.episodes <= episodes]
        return reading.load_checkpoint(self.backend, document["id"], fitting[-1]) if fitting else None

    def checkpoints(self, ref: Ref) -> list[CheckpointInfo]:
        """Lists the checkpoints of a run, oldest first."""
        return reading.checkpoints_of(self.backend, reading.find(self.backend, ref))

    def counts_at(self, ref: Ref, checkpoint: CheckpointInfo) -> tuple[int, int]:
        """Returns how many episodes and steps of a run were stored at one of its checkpoints.

        The checkpoint itself counts those of the agent, which may have learnt before the run began.
        """
        counts = self._counts_at(reading.find(self.backend, ref), checkpoint)
        return counts["episodes"], counts["timesteps"]

    def sql(self, query: str, runs: Iterable[Ref] | None = None) -> DataFrame:
        """Answers a SELECT over the tables `runs`, `episodes` and `steps` as a pandas DataFrame (extra `plots`).

        Args:
            query: in SQLite's dialect; it can only read.
            runs: the runs in the tables; None: all.

        Raises:
            UsageError: SQLite refuses the query, or it reads too many steps of runs that were not named; or pandas is
                not installed.
        """
        pandas = require("pandas", "plots", "a data frame")
        with answered(self.backend, query, runs) as answer:
            return pandas.DataFrame(list(answer.rows), columns=answer.columns)

    def snapshots(self, kind: str | None = None) -> list[SnapshotInfo]:
        """Lists the snapshots of a kind, or all, sorted by kind and name."""
        return self.backend.select_snapshots(None if kind is None else label("the kind of a snapshot", kind))

    def load_snapshot(self, kind: str, name: str) -> tuple[Arrays, dict[str, Any]]:
        """Returns the arrays and numbers of a snapshot.

        Raises:
            StoreError: it is damaged, or does not exist (the message names the existing ones).
        """
        blob = self._snapshot(kind, name)
        arrays, about = verified(blob, f"snapshot {kind}/{name}", {"kind": kind, "name": name})
        return arrays, about.get("numbers", {})

    def describe_snapshot(self, kind: str, name: str) -> dict[str, Any]:
        """Returns only the numbers of a snapshot: verifies its checksums, without unpacking the arrays.

        Raises:
            StoreError: it is damaged, or does not exist (the message names the existing ones).
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
        """Returns the document of a run that this store writes; StoreError if it does not."""
        document = reading.document_of(self.backend, run_id)
        if document["writer"] != self.writer:
            raise reading.refusal(self.backend, run_id)
        return document

    def _now(self) -> str:
        return iso(self.backend.now())


def _asked(filters: dict[str, str]) -> dict[str, str]:
    """Returns filters of runs as a backend takes them."""
    wanted = dict(filters)
    study = wanted.pop("study", None)
    if study is None and not wanted.keys() & {"tag", "cache_key"}:
        wanted["not_tag"] = MADE
    elif study not in (None, ALL):
        wanted["study"] = OF_STUDY + study
    return wanted


def _query(where: Iterable[str], sort: str | None, filters: dict[str, str]) -> Query:
    """Returns a query; the status that a run shows is a condition: a stored "running" may show as "interrupted"."""
    status = filters.pop("status", None)
    shown = [] if status is None else [Condition("status", "=", status, status)]
    return Query(_asked({name: text(value) for name, value in filters.items()}), [*map(condition, where), *shown], sort)


def _with(document: Document, evaluation: Mapping[str, Any]) -> str:
    """Returns the evaluations of a run and one more, as JSON; an equal one moves to the end."""
    new = json.loads(codec.to_json(evaluation))
    if not is_evaluation(new):
        what = "the figures of an evaluation are numbers, its episodes and seed whole ones, its wrappers texts"
        raise UsageError(f"{what}, got {str(new)[:MAX_NAME]}")
    return codec.to_json([*(one for one in evaluations_of(document) if one != new), new])


def _just_after(moment: str) -> str:
    with suppress(ValueError, OverflowError):  # it is what a store says
        return iso(datetime.fromisoformat(moment) + timedelta(microseconds=1))
    return ""


def _packed(
    kind: str, name: str, arrays: Mapping[str, Any], numbers: Mapping[str, Any], moment: str
) -> tuple[SnapshotInfo, bytes]:
    about = {"kind": label("the kind of a snapshot", kind), "name": label("the name of a snapshot", name)}
    blob = codec.pack(arrays, {**about, "created_at": moment, "numbers": dict(numbers)})
    return SnapshotInfo(kind, name, moment, len(blob)), blob
