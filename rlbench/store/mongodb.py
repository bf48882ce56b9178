"""The MongoDB backend: rows are written first, then one update of the run's document commits them.

A commit never overwrites: each chunk and checkpoint is a separate document under a name that is used once. A row counts
as committed if a run's document lists it under `rows`: the token under which the chunks from a number on were
written, and the names of the checkpoints. A run that shares rows of another lists them too, under the name of their
owner. That document is updated by compare-and-set on the caller's expectations and on `rows.revision`, which changes
with every such update. Hence, without transactions,

- a writer killed between the two steps leaves rows that nobody sees; `compact` deletes them;
- if two write the same chunk at once, one commits; the row of the other, under another name, never counts;
- `compact` lists the rows to delete, then changes the revisions of all runs that name their owner, so that none can
  commit them any longer;
- a table is written after the chunk that names it, each time with a new stamp. It is deleted only with the stamp that
  it had before no chunk was found to name it, so a chunk written meanwhile saves it, or brings it again;
- an act for the audit log waits in the document that it changes until it is entered, see mongodb_audit.py;
- a chunk is exchanged by one update, after it has named its new table and parts: until then it reads as before.

Every write is acknowledged by a majority of the servers from their journals, whatever the URL says. The exception is
rows on a standalone server, which are not waited for: they precede the commit in its only journal.
"""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeGuard

from rlbench.errors import StoreError
from rlbench.store.backend import TRIES, Backend
from rlbench.store.documents import RUN_FIELDS, CheckpointRow, ChunkRow, TableRow
from rlbench.store.mongodb_audit import EMPTIED, NONE_WAIT, Log, Waiting, pulled
from rlbench.store.mongodb_driver import (
    addressed,
    driver,
    durable,
    explained,
    hasty,
    is_standalone,
    parsed_url,
    place_of,
)
from rlbench.store.mongodb_fields import JSON, from_field, to_fields
from rlbench.store.mongodb_layout import (
    FILTERS,
    NEWEST,
    SPAN,
    THERE,
    UNAUTHORIZED,
    Collections,
    insert,
    next_number,
    take_over,
)
from rlbench.store.mongodb_rows import Rows, chunk_name, new_name, pieces_of, plain
from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span
from rlbench.store.urls import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pymongo import MongoClient
    from pymongo.collection import Collection

    from rlbench.store.audit import Act, Entry, Head
    from rlbench.store.documents import Document

PART = 4 * 2**20  # bytes: larger blobs are split into parts; three of this size fit into one document of 16 MiB
BATCH = 1000  # names per request
ROOM = 2**20  # bytes: freeing less is not worth the second it takes
BLOBS = {"segments": "segments_blob", "figures": "figures_blob", "steps": "steps_blob"}
NOTHING = {"_id": {"$eq": ""}}  # no document: to try to delete it tells who may delete
COMPLETE = {"$ne": None}  # the row of a snapshot; one that is being written has none yet


class MongoBackend(Backend):
    """Records in a MongoDB database, through one thread-safe client."""

    def __init__(
        self, url: str, client: MongoClient[Document], name: str, *, read_only: bool = False, is_given: bool = False
    ) -> None:
        super().__init__(url)
        self._client, self._is_given = client, is_given
        self._database = durable(client, name)
        self._collections = self._rows_first = Collections.of(self._database)
        self._entered: dict[str, Sequence[Waiting]] = {}  # acts of our new runs that are entered, but wait there still
        self._log = Log(self._collections, self.url)
        self._read_only = read_only
        self._is_closed = False
        self._token = new_name()
        self._known: dict[str, Rows] = {}  # a run's rows after our last commit: a guess that the next one verifies
        self._clock_offset = timedelta()  # the server's clock minus this machine's
        self._prefetched: Document = {}  # the chunk read last: its segments are read first, then its other parts

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the address, to open the store again; refuses one with a password, or with a client."""
        if self._is_given:
            raise StoreError(f"the store {self.url} is not copied, since its client cannot be: open it again there")
        if HIDDEN in self.url:
            raise StoreError(f"the store {self.url} is not copied, since its password would be: open it by its URL")
        return partial(open_mongodb, create=False, read_only=self._read_only), (self.url, "")

    def close(self) -> None:
        """Closes the connections, but not those of a client that was given; closing twice does no harm."""
        self._is_closed = True
        if not self._is_given:
            self._client.close()

    @contextmanager
    def _reading(self) -> Iterator[Collections]:
        if self._is_closed:
            raise StoreError(f"cannot use the store {self.url}: it is closed, open it again")
        with explained(self.url):
            yield self._collections

    @contextmanager
    def _writing(self) -> Iterator[Collections]:
        if self._read_only:
            raise StoreError(f"cannot use the store {self.url}: it can only be read; open it without read_only")
        with self._reading() as collections:
            yield collections

    # ------------------------------------------------------------------ runs

    def insert_run(self, document: Document, base: str | None = None, *, act: Act | None = None) -> bool:
        waiting = self._waiting(act)
        rows = Rows([], 0, new_name(), [], []) if base is None else self._rows(base, {})
        if rows is None:
            return False
        with self._writing() as store:
            more = {"number": next_number(store), "rows": rows.shared(document).document()}
            more |= {"acts": [one.document() for one in waiting]} if waiting else {}
            if not insert(store.runs, {**to_fields(document), **more}):
                return False
            if base is None or store.runs.find_one({"_id": {"$eq": base}, **THERE}, {"_id": 1}):
                with suppress(StoreError):  # as in `_settle`
                    self._enter_begun(document["id"], waiting)
                return True
            store.runs.delete_one({"_id": {"$eq": document["id"]}})  # the base was deleted, with the rows it wrote
        return False

    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        wanted = _conditions(filters)
        with self._reading() as store:
            if "owner" in filters and not store.chunks.find_one({"run": {"$eq": filters["owner"]}}, {"_id": 1}):
                return []  # an index tells this faster than a search of the runs
            found = list(store.runs.find(wanted, {"rows": 0}, sort=NEWEST, limit=limit or 0))
        names = {name: "_id" if name == "id" else name for name in RUN_FIELDS}
        return [{name: _told(name, run[key]) for name, key in names.items() if key in run} for run in found]

    def select_fields(
        self, filters: Mapping[str, str], names: Sequence[str], limit: int | None = None, offset: int = 0
    ) -> list[tuple[Any, ...]]:
        wanted = _conditions(filters)
        keys = ["_id" if name == "id" else name for name in names]
        with self._reading() as store:
            found = store.runs.find(wanted, dict.fromkeys(keys, 1), sort=NEWEST, limit=limit or 0, skip=offset)
            return [tuple(_told(name, run.get(name)) for name in keys) for run in found]

    def count_runs(self, filters: Mapping[str, str]) -> int:
        with self._reading() as store:
            return int(store.runs.count_documents(_conditions(filters)))

    def commit(
        self,
        run_id: str,
        expected: Document,
        changes: Document,
        chunk: ChunkRow | None = None,
        checkpoint: CheckpointRow | None = None,
        *,
        act: Act | None = None,
    ) -> bool:
        waiting = self._waiting(act)
        if chunk is None and checkpoint is None:
            return self._change(run_id, expected, changes, waiting)
        for _ in range(TRIES):  # another process may have changed the revision meanwhile
            before = self._known.pop(run_id, None) or self._rows(run_id, expected)
            if before is None:
                return False
            after, written = self._add_rows(run_id, before, chunk, checkpoint)
            if self._exchange(run_id, expected, changes, before, after, waiting):
                self._discard(row[-1] for row in before.checkpoints if not after.counts(row[-1]))
                return True
            self._discard(written)
        raise self._too_busy(run_id)

    def _too_busy(self, what: str) -> StoreError:
        return StoreError(f"cannot use the store {self.url}: other processes keep changing {what}; try again")

    def exchange_chunk(self, run_id: str, before: ChunkRow, after: ChunkRow) -> bool:
        for _ in range(TRIES):  # `compact` may interfere
            found = self._find_chunk(run_id, before.span, list(BLOBS.values()))
            if not found or self._blobs_in(found) != _blobs_of(before):
                return False
            self._prefetched = {}
            if self._exchange_blobs(_version(found), after):
                return True
        raise self._too_busy(run_id)

    def _exchange_blobs(self, version: Document, after: ChunkRow) -> bool:
        """Replaces the blobs of a version of a chunk; large ones are written first, as parts of the next one."""
        name, blobs = new_name(), _blobs_of(after)
        table = {} if after.table is None else {"table": after.table.digest}
        with self._writing() as store:
            announced = {"$addToSet": {"pending": name}, **({"$set": table} if table else {})}
            store.chunks.update_one(version, announced)  # or `compact` would delete the table and the parts
            self._put_table(after.table)
            counts = {field: self._add_parts(name, field, blob) for field, blob in blobs.items() if _is_large(blob)}
            change = {"$set": {**blobs, **counts, "parts": name}, "$pull": {"pending": name}}
            is_done = store.chunks.update_one({**version, "pending": name}, change).matched_count == 1
            unused = name if not is_done else version["parts"]["$eq"] or version["_id"]["$eq"]
            hasty(store.parts).delete_many({"row": unused})
        return is_done

    def exchange_state(self, run_id: str, info: CheckpointInfo, before: bytes, after: bytes) -> bool:
        if self.select_state(run_id, info) != before:
            return False
        old, new = self._name_of_state(run_id, info), self._add_checkpoint(CheckpointRow(info, after))
        with self._reading() as store:
            sharing = [run["_id"] for run in store.runs.find(dict([_condition("owner", info.run)]), {"_id": 1})]
        done = [self._rename_state(each, old, new) for each in sharing]
        self._sweep_run(info.run)
        return any(done)

    def _rename_state(self, run_id: str, old: str | None, new: str) -> bool:
        """Lets a run name another row for a checkpoint; False if it does not name the old one (any more)."""
        for _ in range(TRIES):
            self._known.pop(run_id, None)
            before = self._rows(run_id, {})
            if before is None or not any(row[-1] == old for row in before.checkpoints):
                return False
            if self._exchange(run_id, {}, {}, before, before.renamed(old, new)):
                return True
        raise self._too_busy(run_id)

    def exchange_table(self, digest: str, before: bytes, after: bytes) -> bool:
        with self._writing() as store:
            expected = {"_id": {"$eq": digest}, "blob": {"$eq": before}}
            return store.tables.update_one(expected, {"$set": {"blob": after}}).matched_count == 1

    def remove_run(self, run_id: str, *, act: Act | None = None) -> bool:
        waiting, key = self._waiting(act), {"_id": {"$eq": run_id}, **THERE}
        with self._writing() as store:
            hasty(store.runs).delete_one(NOTHING)
            found = store.runs.find_one_and_replace(key, {"acts": [one.document() for one in waiting]})
        if found is None:
            return False
        self._settle("runs", run_id, waiting, emptied=True)
        with suppress(StoreError):  # the run is gone; `compact` deletes any rows left over
            for owner in {run_id, *(piece.owner for piece in pieces_of(found))}:
                self._sweep_run(owner)
            self._sweep_tables()
        return True

    def _rows(self, run_id: str, expected: Document) -> Rows | None:
        with self._reading() as store:
            found = store.runs.find_one(_like(run_id, expected), {"chunks": 1, "owners": 1, "rows": 1})
        return None if found is None else Rows.of(found)

    def _change(self, run_id: str, expected: Document, changes: Document, waiting: Sequence[Waiting] = ()) -> bool:
        change: Document = {"$set": to_fields(changes)} if changes else {}
        for one in waiting:
            change |= one.pushed()
        if change and not waiting and (entered := self._entered.pop(run_id, ())):
            change |= pulled(entered)
        with self._writing() as store:
            if not change:
                return store.runs.find_one(_like(run_id, expected), {"_id": 1}) is not None
            is_done = store.runs.update_one(_like(run_id, expected), change).matched_count == 1
        self._settle("runs", run_id, waiting if is_done else ())
        return is_done

    def _exchange(
        self,
        run_id: str,
        expected: Document,
        changes: Document,
        before: Rows,
        after: Rows,
        waiting: Sequence[Waiting] = (),
    ) -> bool:
        """Commits `after` and the changes, if the rows are still those of `before` and the run is as expected."""
        seen, after = {**expected, "rows.revision": before.revision}, after._replace(revision=new_name())
        if not self._change(run_id, seen, {**changes, "rows": after.document()}, waiting):
            return False
        self._known[run_id], self._prefetched = after, {}
        return True

    # ------------------------------------------------------------------ rows

    def _add_rows(
        self, run_id: str, before: Rows, chunk: ChunkRow | None, checkpoint: CheckpointRow | None
    ) -> tuple[Rows, list[str]]:
        """Writes rows that do not count yet; returns the rows to commit, and the names of the new ones."""
        after, written = before, []
        if chunk is not None:
            token = self._add_chunk(run_id, chunk)
            written.append(chunk_name(chunk.span.run, chunk.span.number, token))
            after = after.with_chunk(chunk.span.number, token)
        if checkpoint is not None:
            written.append(self._add_checkpoint(checkpoint))
            after = after.with_checkpoint(checkpoint.info, written[-1])
        return after, written

    def _add_chunk(self, run_id: str, chunk: ChunkRow) -> str:
        """Writes a chunk that does not count yet, and returns its token."""
        fields = chunk.span._asdict() | ({} if chunk.table is None else {"table": chunk.table.digest})
        blobs = _blobs_of(chunk)
        for _ in range(TRIES):
            token = self._token
            name = chunk_name(chunk.span.run, chunk.span.number, token)
            with self._writing():
                if self._add_row(self._rows_first.chunks, {"_id": name, "token": token, **fields}, blobs):
                    self._put_table(chunk.table)
                    return token
            self._token = new_name()  # the name is taken by the row of a failed attempt
        raise self._too_busy(run_id)

    def _put_table(self, table: TableRow | None) -> None:
        """Writes a table if it is not there, and gives it a new stamp."""
        tables, stamp = self._rows_first.tables, {"$set": {"stamp": new_name()}}
        if table is not None and not tables.update_one({"_id": table.digest}, stamp).matched_count:
            tables.update_one({"_id": table.digest}, {**stamp, "$setOnInsert": {"blob": table.blob}}, upsert=True)

    def _add_checkpoint(self, checkpoint: CheckpointRow) -> str:
        """Writes a checkpoint that does not count yet, and returns the name of its row."""
        name = new_name()
        with self._writing():
            row = {"_id": name, "run": checkpoint.info.run}
            self._add_row(self._rows_first.checkpoints, row, {"state_blob": checkpoint.state})
        return name

    def _add_row(self, collection: Collection[Document], row: Document, blobs: Mapping[str, bytes | None]) -> bool:
        """Inserts a row, then the parts of its large blobs; False if its name is taken."""
        large = {field: blob for field, blob in blobs.items() if _is_large(blob)}
        counts = {field: _n_parts(blob) for field, blob in large.items()}
        if not insert(collection, {**row, **blobs, **counts}):
            return False
        for field, blob in large.items():
            self._add_parts(row["_id"], field, blob)
        return True

    def _add_parts(self, row: str, field: str, blob: bytes) -> int:
        """Inserts a blob in parts, and returns their number."""
        for number in range(_n_parts(blob)):
            part = blob[number * PART : (number + 1) * PART]
            self._rows_first.parts.insert_one({"_id": f"{row}/{field}/{number}", "row": row, "data": part})
        return _n_parts(blob)

    def _whole(self, row: str, field: str, kept: object) -> bytes | None:
        """Returns a blob, reassembled if it was split into parts; None if any of it is missing."""
        if type(kept) is not int:
            return kept if isinstance(kept, bytes) else None
        blob = bytearray()
        for number in range(kept):
            with self._reading() as store:
                part = store.parts.find_one({"_id": {"$eq": f"{row}/{field}/{number}"}})
            if part is None or not isinstance(part.get("data"), bytes):
                return None
            blob += part["data"]
        return bytes(blob)

    def _names(self, run_id: str) -> list[str]:
        """Returns the names of all rows written for a run, from indexes alone."""
        belongs = {"run": {"$eq": run_id}}
        with self._reading() as store:
            chunks = list(store.chunks.find(belongs, {"_id": 0, "number": 1, "token": 1}))
            checkpoints = [row["_id"] for row in store.checkpoints.find(belongs, {"_id": 1})]
        return [chunk_name(run_id, row.get("number"), row.get("token")) for row in chunks] + checkpoints

    def _discard(self, names: Iterable[str]) -> None:
        """Deletes rows that do not count, if the server allows it; their names are never reused."""
        remaining = iter(names)
        while batch := list(itertools.islice(remaining, BATCH)):
            self._token = new_name()
            with suppress(StoreError), self._writing() as store:
                for collection, key in ((store.chunks, "_id"), (store.checkpoints, "_id"), (store.parts, "row")):
                    hasty(collection).delete_many({key: {"$in": batch}})

    # ------------------------------------------------------------------ chunks and checkpoints

    def select_spans(self, run_id: str) -> list[Span]:
        rows = self._rows(run_id, {})
        if rows is None:
            return []
        self._prefetched = {}  # it may be older than this listing
        shown = {"_id": 0, "token": 1, **dict.fromkeys(SPAN, 1)}
        found: list[Document] = []
        for owner, first, stop in rows.pieces:
            place = {"run": {"$eq": owner}, "number": {"$gte": first, "$lt": stop}}
            with self._reading() as store:
                found += plain(list(store.chunks.find(place, shown, sort=[("number", 1)])))
        counting = [row for row in found if row.get("token") == rows.token(row.get("number")) is not None]
        return [Span(*(row.get(field) for field in SPAN)) for row in counting]  # type: ignore[arg-type]  # checked later

    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        row, field = self._prefetched, BLOBS[part]
        for _ in range(TRIES):  # its parts vanish if another process exchanges it meanwhile
            if part == "segments" or (row.get("run"), row.get("number")) != (span.run, span.number):
                row = self._find_chunk(run_id, span, list(BLOBS.values()) if part == "segments" else [field])
            kept = row.get(field, ...)
            blob = self._whole(row.get("parts") or row["_id"], field, kept) if row else None
            if blob is not None or type(kept) is not int:
                break
            row = {}
        if part == "segments":
            self._prefetched = row
        return blob is not None or kept is None, blob  # stored as None: not kept; otherwise missing

    def _find_chunk(self, run_id: str, span: Span, fields: list[str]) -> Document:
        """Returns the committed row of a chunk, with some of its fields; empty if there is none."""
        place = {"run": {"$eq": span.run}, "number": {"$eq": span.number}}
        with self._reading() as store:
            found = list(store.chunks.find(place, dict.fromkeys(("run", "number", "token", "parts", *fields), 1)))
        if len(found) > 1:  # some are failed attempts
            rows = self._rows(run_id, {})
            found = [row for row in found if rows is not None and rows.token(span.number) == row.get("token")]
        return found[0] if found else {}

    def _blobs_in(self, row: Document) -> dict[str, bytes | None]:
        """Returns the blobs of a chunk by the fields of its row, reassembled."""
        return {field: self._whole(row.get("parts") or row["_id"], field, row.get(field)) for field in BLOBS.values()}

    def select_tables(self) -> list[str]:
        with self._reading() as store:
            return [found["_id"] for found in store.tables.find({}, {"_id": 1}, sort=[("_id", 1)])]

    def select_table(self, digest: str) -> bytes | None:
        with self._reading() as store:
            found = store.tables.find_one({"_id": {"$eq": digest}})
        return None if found is None else found.get("blob")

    def select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        rows = self._rows(run_id, {})
        return [CheckpointInfo(*row[:-1]) for row in rows.checkpoints] if rows else []

    def select_state(self, run_id: str, info: CheckpointInfo) -> bytes | None:
        with self._reading() as store:
            found = store.checkpoints.find_one({"_id": {"$eq": self._name_of_state(run_id, info)}})
        return self._whole(found["_id"], "state_blob", found.get("state_blob")) if found else None

    def _name_of_state(self, run_id: str, info: CheckpointInfo) -> str | None:
        """Returns the name of the row of a checkpoint; None if it does not exist."""
        rows, place = self._rows(run_id, {}), (info.run, info.timesteps)
        return next((row[-1] for row in rows.checkpoints if (row[-2], row[1]) == place), None) if rows else None

    # ------------------------------------------------------------------ snapshots

    def put_snapshot(
        self, info: SnapshotInfo, blob: bytes, *, replace: SnapshotInfo | bool = True, act: Act | None = None
    ) -> bool:
        waiting = self._waiting(act)
        key, allowed = _snapshot(info.kind, info.name), _replaceable(replace=replace)
        for _ in range(TRIES):
            row = new_name()
            with self._writing() as store:
                store.snapshots.update_one(key, {"$addToSet": {"pending": row}}, upsert=True)
                parts = self._add_parts(row, "blob", blob)
                fields = {"row": row, "parts": parts, "created_at": info.created_at, "size": info.size}
                change: Document = {"$set": fields, "$pull": {"pending": row}}
                for one in waiting:
                    change |= one.pushed()
                old = store.snapshots.find_one_and_update({**key, "pending": {"$eq": row}, **allowed}, change)
                refused = old is None and replace is not True and self._sweep_refused(store, key, row, replace=replace)
            if old is not None:
                self._settle("snapshots", old["_id"], waiting)
                self._discard([old["row"]] if "row" in old else [])
                return True
            if refused:
                return False
        raise self._too_busy(f"snapshot {info.name}")

    def _sweep_refused(self, store: Collections, key: Document, row: str, *, replace: SnapshotInfo | bool) -> bool:
        """Deletes what was written for a snapshot; returns whether another process was faster, not only swept it."""
        store.snapshots.update_one(key, {"$pull": {"pending": row}})
        self._discard([row])
        if isinstance(replace, SnapshotInfo):
            return store.snapshots.find_one({**key, **_replaceable(replace=replace)}, {"_id": 1}) is None
        return store.snapshots.find_one({**key, "row": COMPLETE}, {"_id": 1}) is not None

    def select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        wanted = {"row": COMPLETE} if kind is None else {"kind": {"$eq": kind}, "row": COMPLETE}
        shown = {"_id": 0, **dict.fromkeys(SnapshotInfo._fields, 1)}
        with self._reading() as store:
            found = list(map(plain, store.snapshots.find(wanted, shown, sort=[("kind", 1), ("name", 1)])))
        names = ("kind", "name", "created_at")
        return [SnapshotInfo(*[str(row.get(name)) for name in names], size=row.get("size")) for row in found]  # type: ignore[misc, arg-type]  # checked later

    def select_snapshot(self, kind: str, name: str) -> bytes | None:
        blob = None
        for _ in range(TRIES):  # its parts vanish if another process replaces it meanwhile
            with self._reading() as store:
                found = store.snapshots.find_one({**_snapshot(kind, name), "row": COMPLETE})
            blob = self._whole(found["row"], "blob", found.get("parts")) if found else None
            if blob is not None or found is None:
                break
        return blob

    def remove_snapshot(self, kind: str, name: str, *, act: Act | None = None) -> bool:
        waiting, change = self._waiting(act), {"$unset": dict.fromkeys(("row", "parts", "created_at", "size"), "")}
        for one in waiting:
            change |= one.pushed()
        with self._writing() as store:
            hasty(store.snapshots).delete_one(NOTHING)
            found = store.snapshots.find_one_and_update({**_snapshot(kind, name), "row": COMPLETE}, change)
        if found is None:
            return False
        self._settle("snapshots", found["_id"], waiting, emptied=True)
        self._discard([found["row"]])
        return True

    # ------------------------------------------------------------------ the audit log

    def _waiting(self, act: Act | None) -> list[Waiting]:
        """Returns the acts that are to wait in a document."""
        return [] if act is None else [self._log.waiting(act)]

    def _settle(self, kind: str, name: object, acts: Sequence[Waiting], *, emptied: bool = False) -> None:
        """Enters the acts that wait in a document; where that fails, whoever opens the store next does."""
        if acts or emptied:
            with suppress(StoreError), self._writing():
                self._log.settle(kind, name, acts, emptied=emptied)

    def _enter_begun(self, run_id: str, acts: Sequence[Waiting]) -> None:
        """Enters the acts that wait in a new run, which its next change takes out of it: that saves a request."""
        with self._writing():
            for waiting in acts:
                self._log.enter(waiting, precedes=True)
        self._entered[run_id] = acts

    def enter(self, act: Act) -> bool:
        if self._read_only:
            return False
        try:
            with self._writing():
                self._log.enter(self._log.waiting(act))
        except StoreError as error:
            if getattr(error.__cause__, "code", None) == UNAUTHORIZED:
                return False
            raise
        return True

    def select_entries(self) -> list[Entry]:
        with suppress(StoreError), self._writing():
            self._log.settle_all()
        with self._reading():
            return list(self._log.entries())

    def head(self) -> Head:
        with self._reading():
            return self._log.head()

    def continue_log(self, entries: Sequence[Entry]) -> bool:
        with self._writing():
            return self._log.continue_by(entries)

    # ------------------------------------------------------------------ the storage itself

    def size(self) -> int:
        with self._reading() as store:
            stats = [self._stats(collection) for collection in store]
        return sum(int(found.get("storageSize", 0) + found.get("totalIndexSize", 0)) for found in stats)

    def _stats(self, collection: Collection[Document]) -> Document:
        with suppress(NotImplementedError):  # an in-memory mock has no size
            return self._database.command({"collStats": collection.name})
        return {}

    def problems(self) -> Iterator[str]:
        with self._reading() as store:
            lost = list(store.snapshots.find({"row": None, "size": {"$exists": True}}, {"kind": 1, "name": 1}))
            hidden = list(store.runs.find({"$nor": [THERE], "status": {"$exists": True}}, {"_id": 1}))
        yield from (f"run {found['_id']} is not listed, for it has no number" for found in hidden)
        yield from (f"snapshot {found.get('kind')}/{found.get('name')} does not say where it is" for found in lost)

    def compact(self) -> None:
        with self._writing() as store:
            runs = {run_id for rows in (store.chunks, store.checkpoints) for run_id in rows.distinct("run")}
            for run_id in sorted(runs):
                self._sweep_run(run_id)
            for row in self._unnamed_parts(store):
                self._sweep_parts(row)
            self._sweep_tables()
            self._log.settle_all()
            store.runs.delete_many(EMPTIED["runs"])
            store.snapshots.delete_many({"row": None, "pending": [], **NONE_WAIT})
            self._give_back(store)

    def _sweep_run(self, run_id: str) -> None:
        """Deletes the rows of a run that do not count, after making sure that they never will."""
        listed, sharing = self._names(run_id), dict([_condition("owner", run_id)])
        if self._uncounted(listed, sharing):
            with self._writing() as store:
                for found in store.runs.find(sharing, {"_id": 1}):  # each gets a revision of its own
                    store.runs.update_one({"_id": {"$eq": found["_id"]}}, {"$set": {"rows.revision": new_name()}})
            self._discard(self._uncounted(listed, sharing))

    def _uncounted(self, names: list[str], sharing: Document) -> list[str]:
        """Returns the rows that count in none of the runs."""
        with self._reading() as store:
            found = list(store.runs.find(sharing, {"chunks": 1, "owners": 1, "rows": 1}))
        counting = list(map(Rows.of, found))
        return [name for name in names if not any(rows.counts(name) for rows in counting)]

    def _sweep_tables(self) -> None:
        """Deletes the tables that no chunk names."""
        with self._writing() as store:
            for table in store.tables.find({}, {"stamp": 1}):
                if not store.chunks.find_one({"table": table["_id"]}, {"_id": 1}):
                    store.tables.delete_one(table)

    def _unnamed_parts(self, store: Collections) -> list[str]:
        """Returns the rows of parts that no chunk names; what an exchange has announced, it has to announce again."""
        rows = store.parts.distinct("row")
        store.chunks.update_many({"pending": {"$gt": ""}}, {"$unset": {"pending": ""}})
        named = set(store.chunks.distinct("parts"))
        return [row for row in rows if row not in named]

    def _sweep_parts(self, row: str) -> None:
        """Deletes parts whose row was deleted or never completed."""
        with self._writing() as store:
            is_chunk = store.chunks.find_one({"_id": {"$eq": row}, "parts": None}, {"_id": 1})  # never exchanged
            if is_chunk or store.checkpoints.find_one({"_id": {"$eq": row}}, {"_id": 1}):
                return
            store.snapshots.update_one({"pending": {"$eq": row}}, {"$pull": {"pending": row}})
            if not store.snapshots.find_one({"row": {"$eq": row}}, {"_id": 1}):
                self._discard([row])

    def _give_back(self, store: Collections) -> None:
        """Asks the server to return free space to the disk; a refusal does no harm."""
        from pymongo.errors import OperationFailure  # noqa: PLC0415

        for collection in store:
            if self._stats(collection).get("freeStorageSize", 0) >= ROOM:
                with suppress(OperationFailure):
                    self._database.command({"compact": collection.name, "force": True})

    def take_over(self, *, create: bool) -> None:
        """Makes the database a store of ours, or checks that it is one, before anything else is done with it."""
        with self._reading() as store:
            if is_standalone(self._client):
                self._rows_first = Collections(*map(hasty, store))
            take_over(self._database, self.url, create=create, read_only=self._read_only)
        with suppress(StoreError), self._writing():
            self._log.settle_all()  # what a killed process left
        self._read_clock()

    def _read_clock(self) -> None:
        """Measures how far the server's clock is from this machine's."""
        before = datetime.now(UTC)
        with suppress(NotImplementedError, KeyError), explained(self.url):  # an in-memory mock has no clock
            told = self._client.admin.command("hello")["localTime"].replace(tzinfo=UTC)
            self._clock_offset = told - before

    def now(self) -> datetime:
        return datetime.now(UTC) + self._clock_offset


# ---------------------------------------------------------------------- opening


def open_mongodb(url: str, _rest: str, *, create: bool, read_only: bool) -> MongoBackend:
    """Opens the new or existing database named in the URL's path, "rlbench" by default.

    Raises:
        StoreError: the address is malformed, the user is refused, or the database is not an rlbench store, or does not
            exist and may not be created; StoreAway if no server answers within 4 s.
        UsageError: pymongo is not installed.
    """
    pymongo = driver()
    with addressed(url):
        name, options = parsed_url(url)
        client: MongoClient[Document] = pymongo.MongoClient(url, appname="rlbench", **options)
    try:
        backend = MongoBackend(url, client, name, read_only=read_only)
        backend.take_over(create=create)
    except BaseException:
        client.close()
        raise
    return backend


def open_given(given: Any, *, create: bool, read_only: bool) -> MongoBackend:
    """Opens a database that was given, or the default database, else "rlbench", of a client that was given.

    Raises:
        StoreError: as `open_mongodb`.
        UsageError: it is neither a client nor a database of pymongo or mongomock.
    """
    client, name, url = place_of(given)
    backend = MongoBackend(url, client, name, read_only=read_only, is_given=True)
    backend.take_over(create=create)
    return backend


# ---------------------------------------------------------------------- documents


def _told(name: str, value: Any) -> Any:
    """Returns a field of a run's document as it was given."""
    return from_field(value) if name in JSON else plain(value)


def _is_large(blob: bytes | None) -> TypeGuard[bytes]:
    """Returns whether a blob is split into parts."""
    return blob is not None and len(blob) > PART


def _n_parts(blob: bytes) -> int:
    return -(-len(blob) // PART)


def _blobs_of(chunk: ChunkRow) -> dict[str, bytes | None]:
    """Returns the blobs of a chunk by the fields of its row."""
    return {field: getattr(chunk, part) for part, field in BLOBS.items()}


def _version(chunk: Document) -> Document:
    """Returns the filter for a chunk that nobody has exchanged since it was read: each exchange renames its parts."""
    return {name: {"$eq": chunk.get(name)} for name in ("_id", "parts")}


def _like(run_id: str, expected: Document) -> Document:
    """Returns the filter for a run as expected; `$eq` keeps outside values from acting as operators."""
    return {"_id": {"$eq": run_id}, **THERE, **{name: {"$eq": value} for name, value in to_fields(expected).items()}}


def _snapshot(kind: str, name: str) -> Document:
    return {"kind": {"$eq": kind}, "name": {"$eq": name}}


def _replaceable(*, replace: SnapshotInfo | bool) -> Document:
    """Returns the condition on a snapshot for another to take its place."""
    if isinstance(replace, SnapshotInfo):
        return {"row": COMPLETE, "created_at": {"$eq": replace.created_at}, "size": {"$eq": replace.size}}
    return {} if replace else {"row": None}  # only one that is not complete yet


def _conditions(filters: Mapping[str, str]) -> Document:
    """Returns the filter for runs that match."""
    return THERE | dict(_condition(name, value) for name, value in filters.items())


def _condition(name: str, value: str) -> tuple[str, Any]:
    if name == "owner":
        return "owners", {"$regex": re.escape(f'"{value}"')}
    if name == "prefix":
        return "_id", {"$gte": value, "$lt": value + "g"}  # g follows the last hexadecimal digit
    if name == "not_tag":
        return "$nor", [{"tags": {"$eq": value}}]
    if name == "study":
        return "$and", [{"tags": {"$eq": value}}]  # beside a tag
    return ("_id" if name == "id" else FILTERS[name]), {"$eq": value}
