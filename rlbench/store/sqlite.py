"""The SQLite backend, one file or in memory: one writer, many readers, one transaction per write."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
import time
import weakref
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench.errors import StoreError
from rlbench.store.audit import HEADS, Entry, Head, following, follows
from rlbench.store.backend import Backend
from rlbench.store.codec import to_json
from rlbench.store.documents import RUN_FIELDS, CheckpointRow, ChunkRow, Piece, pieces
from rlbench.store.migrations import APPLICATION_ID, MIGRATIONS, READABLE, migrate, schema, schema_after, version
from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from rlbench.store.audit import Act
    from rlbench.store.documents import Document

PRIVATE = 0o600  # the mode of a new store: the data of training may be confidential
PART = 2**29  # bytes of a blob in one row: SQLite allows no more than a billion
CHECKPOINT, SNAPSHOT = "checkpoint", "snapshot"  # the tables whose blobs may be larger
BUSY_TIMEOUT = 60.0  # seconds to wait for other processes' transactions: long, since SQLite has no queue
LISTS = ("tags", "parents")  # kept as JSON text
TAGGED = (  # a search of the index of tags alone
    "(SELECT rowid FROM runs WHERE json_valid(tags) AND EXISTS (SELECT 1 FROM json_each(tags) WHERE value = :{}))"
)
FILTERS = {
    "id": "id = :id",
    "env_id": "env_id = :env_id",
    "agent_name": "agent_name = :agent_name",
    "status": "status = :status",
    "cache_key": "cache_key = :cache_key",
    "prefix": "id >= :prefix AND id < :prefix || 'g'",  # g follows the last hexadecimal digit
    "owner": "EXISTS (SELECT 1 FROM owners WHERE owners.id = :owner) AND instr(runs.owners, :owner)",
    "tag": "rowid IN " + TAGGED.format("tag"),
    "study": "rowid IN " + TAGGED.format("study"),
    "not_tag": "rowid NOT IN " + TAGGED.format("not_tag"),
}
SPAN = "number, first_episode, first_step, episodes, segments, steps, run"
THERE = "SELECT 1 FROM snapshots WHERE (kind, name, created_at, size) = (?, ?, ?, ?)"
LAST = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
INFO = "episodes, timesteps, chunks, created_at, kept, size, run"
EXPLANATIONS = {
    sqlite3.SQLITE_BUSY: "another process has been writing to it for too long; try again later",
    sqlite3.SQLITE_LOCKED: "another connection is writing to it; try again later",
    sqlite3.SQLITE_READONLY: "it can only be read; copy it to a writable folder",
    sqlite3.SQLITE_FULL: "the disk is full; make room and try again",
    sqlite3.SQLITE_IOERR: "the disk failed or is full; make room and try again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup",
    sqlite3.SQLITE_NOTADB: "the file is not an SQLite database; give another path",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that you may write to the file and its folder",
    sqlite3.SQLITE_TOOBIG: "a record is larger than SQLite allows; write smaller chunks",
}


class SqliteBackend(Backend):
    """Records in a SQLite database, through one connection that threads take turns to use."""

    def __init__(
        self, url: str, connection: sqlite3.Connection, file: Path | None = None, *, read_only: bool = False
    ) -> None:
        super().__init__(url)
        self._connection, self._file, self._read_only = connection, file, read_only
        self._place = _place_of(file)
        self._entered = ""  # the hash of the last entry that this transaction has made
        self._lock = threading.RLock()
        weakref.finalize(self, connection.close)  # who closes a file last takes its -wal away: nobody may forget

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies a file by its path, to open it again, and a database in memory with its contents."""
        if self._file is not None:
            return partial(open_file, create=False, read_only=self._read_only), (self.url, str(self._file))
        with self._lock, explained(self.url):
            return _memory_again, (self.url, self._connection.serialize())

    def close(self) -> None:
        """Closes the connection; closing twice does no harm."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Opens a transaction, or joins the one of `at_once`: commits at the end, rolls back on an error."""
        with self._lock, explained(self.url):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._entered = ""
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self.check_place()
            if self._entered:
                HEADS[self.url] = self._entered

    def at_once(self) -> AbstractContextManager[object]:
        return self._transaction()

    def wait_at_most(self, seconds: float) -> None:
        with self._lock, explained(self.url):
            self._connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")

    def check_place(self) -> None:
        if _place_of(self._file) != self._place:
            raise StoreError(
                f"cannot use the store {self.url}: its file was deleted or replaced while it was open, "
                "so nothing is written any more: put it back, or open the store again"
            )

    def _rows(self, sql: str, values: Mapping[str, Any] | tuple[Any, ...] = ()) -> list[Any]:
        with self._lock, explained(self.url):
            return self._connection.execute(sql, values).fetchall()

    def insert_run(self, document: Document, base: str | None = None, *, act: Act | None = None) -> bool:
        values = {**_to_row(document), "base": base}
        fields = ", ".join(document)
        sql = f"""INSERT INTO runs ({fields}) SELECT {", ".join(f":{name}" for name in document)}
                  WHERE :base IS NULL OR EXISTS (SELECT 1 FROM runs WHERE id = :base)
                  ON CONFLICT (id) DO NOTHING"""  # noqa: S608  the names are fields of a run
        with self._transaction() as connection:
            connection.execute(OWN, (document["id"],))
            is_new = connection.execute(sql, values).rowcount == 1
            self._enter(connection, act if is_new else None)
        return is_new

    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        rows = self._select(", ".join(RUN_FIELDS), filters, limit)
        return [_from_row(dict(zip(RUN_FIELDS, row, strict=True))) for row in rows]

    def select_fields(
        self, filters: Mapping[str, str], names: Sequence[str], limit: int | None = None, offset: int = 0
    ) -> list[tuple[Any, ...]]:
        rows = self._select(", ".join(names), filters, limit, offset)
        lists = [name for name in names if name in LISTS]
        if not lists:
            return rows
        return [tuple(_from_row(dict(zip(names, row, strict=True)), lists).values()) for row in rows]

    def count_runs(self, filters: Mapping[str, str]) -> int:
        return int(self._select("count(*)", filters)[0][0])

    def _select(self, what: str, filters: Mapping[str, str], limit: int | None = None, offset: int = 0) -> list[Any]:
        """Returns columns of the runs that match, the last added first."""
        wanted = " AND ".join(FILTERS[name] for name in filters) or "TRUE"
        sql = f"""SELECT {what} FROM runs WHERE {wanted}
                  ORDER BY rowid DESC LIMIT :limit OFFSET :offset"""  # noqa: S608  the names of fields only
        return self._rows(sql, {**filters, "limit": -1 if limit is None else limit, "offset": offset})

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
        with self._transaction() as connection:
            if not _change_run(connection, run_id, expected, changes):
                return False
            if chunk is not None:
                _put_chunk(connection, chunk)
            if checkpoint is not None:
                _put_checkpoint(connection, checkpoint)
            self._enter(connection, act)
        return True

    def exchange_chunk(self, run_id: str, before: ChunkRow, after: ChunkRow) -> bool:
        del run_id  # the span names the run that wrote the chunk
        sql = """UPDATE chunks SET segments_blob = ?, figures_blob = ?, steps_blob = ?, step_table = ?
                 WHERE run = ? AND number = ?"""
        with self._transaction() as connection:
            if not _is_stored(connection, before):
                return False
            digest = _put_table(connection, after)
            connection.execute(sql, (*_blobs_of(after), digest, after.span.run, after.span.number))
            return True

    def exchange_state(self, run_id: str, info: CheckpointInfo, before: bytes, after: bytes) -> bool:
        sql = "UPDATE checkpoints SET state_blob = ? WHERE run = ? AND timesteps = ?"
        with self._transaction() as connection:
            if self.select_state(run_id, info) != before:
                return False
            connection.execute(sql, (after[:PART], info.run, info.timesteps))
            _put_parts(connection, after, CHECKPOINT, info.run, info.timesteps)
            return True

    def exchange_table(self, digest: str, before: bytes, after: bytes) -> bool:
        sql = "UPDATE tables SET blob = ? WHERE digest = ? AND blob = ?"
        with self._transaction() as connection:
            return connection.execute(sql, (after, digest, before)).rowcount == 1

    def _pieces(self, run_id: str) -> list[Piece]:
        return [piece for row in self._rows(PIECES + " WHERE id = ?", (run_id,)) for piece in _pieces_of(row)]

    def select_spans(self, run_id: str) -> list[Span]:
        sql = f"SELECT {SPAN} FROM chunks WHERE run = ? AND number >= ? AND number < ? ORDER BY number"  # noqa: S608
        return [Span(*row) for piece in self._pieces(run_id) for row in self._rows(sql, piece)]

    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        del run_id  # the span names the run that wrote the chunk
        rows = self._rows(BLOBS[part], (span.run, span.number))
        return (True, rows[0][0]) if rows else (False, None)

    def select_table(self, digest: str) -> bytes | None:
        rows = self._rows("SELECT blob FROM tables WHERE digest = ?", (digest,))
        return rows[0][0] if rows else None

    def select_tables(self) -> list[str]:
        return [row[0] for row in self._rows("SELECT digest FROM tables ORDER BY digest")]

    def select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        sql = f"""SELECT {INFO} FROM checkpoints
                  WHERE run = :owner AND (run = :id OR kept AND chunks <= :stop)
                  ORDER BY timesteps"""  # noqa: S608  the names above only
        asked = [{"owner": piece.owner, "stop": piece.stop, "id": run_id} for piece in self._pieces(run_id)]
        rows = [row for values in asked for row in self._rows(sql, values)]
        return [CheckpointInfo(*row)._replace(kept=bool(row[4])) for row in rows]

    def select_state(self, run_id: str, info: CheckpointInfo) -> bytes | None:
        del run_id  # `info` names the run that wrote the checkpoint
        sql = "SELECT state_blob FROM checkpoints WHERE run = ? AND timesteps = ?"
        return self._whole(self._rows(sql, (info.run, info.timesteps)), CHECKPOINT, info.run, info.timesteps)

    def _whole(self, rows: list[Any], table: str, *key: object) -> bytes | None:
        """Returns the blob of a row, with the parts that did not fit into it."""
        sql = "SELECT data FROM parts WHERE row = ? ORDER BY number"
        rest = self._rows(sql, (_name(table, *key),)) if rows else []
        return b"".join(row[0] for row in (*rows, *rest)) if rest else rows[0][0] if rows else None

    def remove_run(self, run_id: str, *, act: Act | None = None) -> bool:
        with self._transaction() as connection:
            row = connection.execute(PIECES + " WHERE id = ?", (run_id,)).fetchone()
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
            for owner in {run_id, *_owners_of(row)} if row else ():
                _remove_unshared(connection, owner)
                _sweep_parts(connection, owner)
            connection.execute(UNUSED_TABLES)
            self._enter(connection, act if row else None)
        return row is not None

    def put_snapshot(
        self, info: SnapshotInfo, blob: bytes, *, replace: SnapshotInfo | bool = True, act: Act | None = None
    ) -> bool:
        verb = "REPLACE" if replace else "IGNORE"
        insert = f"INSERT OR {verb} INTO snapshots VALUES (?, ?, ?, ?, ?)"  # noqa: S608  one of two words
        with self._transaction() as connection:
            if isinstance(replace, SnapshotInfo) and not connection.execute(THERE, replace).fetchone():
                return False
            is_new = connection.execute(insert, (*info, blob[:PART])).rowcount == 1
            if is_new:
                _put_parts(connection, blob, SNAPSHOT, info.kind, info.name)
                self._enter(connection, act)
            return is_new

    def select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        rows = self._rows(
            """SELECT kind, name, created_at, size FROM snapshots
               WHERE :kind IS NULL OR kind = :kind ORDER BY kind, name""",
            {"kind": kind},
        )
        return [SnapshotInfo(str(kind), str(name), str(moment), size) for kind, name, moment, size in rows]

    def select_snapshot(self, kind: str, name: str) -> bytes | None:
        rows = self._rows("SELECT blob FROM snapshots WHERE kind = ? AND name = ?", (kind, name))
        return self._whole(rows, SNAPSHOT, kind, name)

    def remove_snapshot(self, kind: str, name: str, *, act: Act | None = None) -> bool:
        with self._transaction() as connection:
            connection.execute("DELETE FROM parts WHERE row = ?", (_name(SNAPSHOT, kind, name),))
            rows = connection.execute("DELETE FROM snapshots WHERE kind = ? AND name = ?", (kind, name)).rowcount
            self._enter(connection, act if rows else None)
        return rows == 1

    def _enter(self, connection: sqlite3.Connection, act: Act | None) -> None:
        """Enters an act in the audit log, in the transaction of what it tells of: nobody comes in between."""
        if act is not None:
            last = connection.execute(LAST).fetchone()
            entry = following(Head(*last) if last else Head(), act)
            connection.execute(ENTER, entry)
            self._entered = entry.hash

    def enter(self, act: Act) -> bool:
        if self._rows("PRAGMA query_only")[0][0]:
            return False
        with self._transaction() as connection:
            self._enter(connection, act)
        return True

    def select_entries(self) -> list[Entry]:
        return [Entry.of(*row) for row in self._rows("SELECT * FROM audit ORDER BY number")] if self._has_log() else []

    def head(self) -> Head:
        rows = self._rows(LAST) if self._has_log() else []
        return Head(*rows[0]) if rows else Head()

    def _has_log(self) -> bool:
        """Returns whether the file has the table: an older one that can only be read has not."""
        return bool(self._rows("SELECT 1 FROM sqlite_master WHERE name = 'audit'"))

    def continue_log(self, entries: Sequence[Entry]) -> bool:
        with self._transaction() as connection:
            last = connection.execute(LAST).fetchone()
            if not follows(Head(*last) if last else Head(), entries):
                return False
            connection.executemany(ENTER, entries)
        return True

    def size(self) -> int:
        path = self._rows("PRAGMA database_list")[0][2]
        files = [Path(path), Path(path + "-wal")] if path else []
        return sum(file.stat().st_size for file in files if file.exists())

    def compact(self) -> None:
        with self._lock, explained(self.url):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def copy_to_file(self, path: str) -> bool:
        with explained(path):
            _create(path, PRIVATE if self._file is None else stat.S_IMODE(self._file.stat().st_mode))
        with explained(path), closing(_connect(path)) as target:
            with self._lock:
                self._connection.backup(target)  # in one step: consistent, even while others write
            target.execute("UPDATE runs SET writer = ''")  # nobody writes to the copy
            target.execute("PRAGMA journal_mode = DELETE")  # a single file, without a WAL
        return True

    def problems(self) -> Iterator[str]:
        try:
            rows = self._rows("PRAGMA integrity_check")
            yield from (row[0] for row in rows if row[0] != "ok")
            orphans = self._rows("PRAGMA foreign_key_check")
            yield from (f"a row of {row[0]} belongs to no run" for row in orphans)
            sql = "SELECT id FROM owners WHERE NOT EXISTS (SELECT 1 FROM runs WHERE instr(runs.owners, owners.id))"
            yield from (f"the chunks of {row[0]} belong to no run" for row in self._rows(sql))
        except StoreError as error:
            yield str(error)


BLOBS = {
    "segments": "SELECT segments_blob FROM chunks WHERE run = ? AND number = ?",
    "figures": "SELECT figures_blob FROM chunks WHERE run = ? AND number = ?",
    "steps": "SELECT steps_blob FROM chunks WHERE run = ? AND number = ?",
}


ENTER = "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)"
PIECES = "SELECT id, owners, chunks FROM runs"
OWN = "INSERT INTO owners (id) VALUES (?) ON CONFLICT DO NOTHING"
UNUSED_TABLES = "DELETE FROM tables WHERE NOT EXISTS (SELECT 1 FROM chunks WHERE step_table = digest)"


def _change_run(connection: sqlite3.Connection, run_id: str, expected: Document, changes: Document) -> bool:
    """Changes a run if it is as expected; returns whether it was."""
    fields = {"id": run_id, **_to_row(changes)}
    known = {f"known_{name}": value for name, value in _to_row(expected).items()}
    assignments = ", ".join(f"{name} = :{name}" for name in fields)
    conditions = "".join(f" AND {name} IS :known_{name}" for name in expected)
    sql = f"UPDATE runs SET {assignments} WHERE id = :id{conditions}"  # noqa: S608  the names are fields of a run
    return connection.execute(sql, {**fields, **known}).rowcount == 1


def _put_chunk(connection: sqlite3.Connection, chunk: ChunkRow) -> None:
    """Adds a chunk, unless it was copied already with a run that shares it; StoreError if the stored one differs."""
    insert = f"""INSERT INTO chunks ({SPAN}, segments_blob, figures_blob, steps_blob, step_table)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""  # noqa: S608  the names above only
    connection.execute(OWN, (chunk.span.run,))
    digest = _put_table(connection, chunk)
    is_new = connection.execute(insert, (*chunk.span, *_blobs_of(chunk), digest)).rowcount == 1
    if not is_new and not _is_stored(connection, chunk):
        raise StoreError(f"run {chunk.span.run} has a different chunk {chunk.span.number}: nothing was changed")


def _put_table(connection: sqlite3.Connection, chunk: ChunkRow) -> str | None:
    """Adds the table of a chunk unless it is there; returns its digest, None without a table."""
    if chunk.table is None:
        return None
    connection.execute("INSERT INTO tables VALUES (?, ?) ON CONFLICT DO NOTHING", chunk.table)
    return chunk.table.digest


def _is_stored(connection: sqlite3.Connection, chunk: ChunkRow) -> bool:
    """Returns whether a chunk is stored with the same blobs."""
    sql = """SELECT 1 FROM chunks
             WHERE run = ? AND number = ? AND segments_blob = ? AND figures_blob = ? AND steps_blob IS ?"""
    return connection.execute(sql, (chunk.span.run, chunk.span.number, *_blobs_of(chunk))).fetchone() is not None


def _blobs_of(chunk: ChunkRow) -> tuple[bytes, bytes, bytes | None]:
    return chunk.segments, chunk.figures, chunk.steps


def _put_checkpoint(connection: sqlite3.Connection, checkpoint: CheckpointRow) -> None:
    connection.execute(OWN, (checkpoint.info.run,))
    connection.execute("DELETE FROM checkpoints WHERE run = ? AND NOT kept", (checkpoint.info.run,))
    connection.execute(
        f"INSERT OR REPLACE INTO checkpoints ({INFO}, state_blob) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (*checkpoint.info, checkpoint.state[:PART]),
    )
    _put_parts(connection, checkpoint.state, CHECKPOINT, checkpoint.info.run, checkpoint.info.timesteps)
    _sweep_parts(connection, checkpoint.info.run)


def _name(table: str, *key: object) -> str:
    """Returns the name of a row in the table of parts."""
    return "/".join(map(str, (table, *key)))


def _put_parts(connection: sqlite3.Connection, blob: bytes, table: str, *key: object) -> None:
    """Stores the parts of a blob after its first."""
    row = _name(table, *key)
    connection.execute("DELETE FROM parts WHERE row = ?", (row,))
    for number, start in enumerate(range(PART, len(blob), PART)):
        connection.execute("INSERT INTO parts VALUES (?, ?, ?)", (row, number, blob[start : start + PART]))


def _sweep_parts(connection: sqlite3.Connection, run_id: str) -> None:
    """Deletes the parts of a run's deleted checkpoints."""
    connection.execute(
        """DELETE FROM parts WHERE row >= :first AND row < :first || ':'
           AND NOT EXISTS (SELECT 1 FROM checkpoints WHERE run = :run AND :first || timesteps = row)""",
        {"run": run_id, "first": _name(CHECKPOINT, run_id, "")},
    )


def _pieces_of(row: tuple[Any, ...]) -> list[Piece]:
    return pieces(dict(zip(("id", "owners", "chunks"), row, strict=True)))


def _owners_of(row: tuple[Any, ...]) -> set[str]:
    """Returns the runs that wrote a run's chunks; none if it is damaged."""
    try:
        return {piece.owner for piece in _pieces_of(row)}
    except StoreError:
        return set()


def _remove_unshared(connection: sqlite3.Connection, owner: str) -> None:
    """Deletes the chunks and checkpoints that a run wrote, except those that a remaining run shares."""
    sharing = connection.execute(PIECES + " WHERE instr(owners, ?)", (owner,)).fetchall()
    if not all(_owners_of(row) for row in sharing):
        return  # one is damaged: what it shares is unknown
    stop = max((piece.stop for row in sharing for piece in _pieces_of(row) if piece.owner == owner), default=0)
    if not sharing:
        connection.execute("DELETE FROM owners WHERE id = ?", (owner,))  # cascades to all that it wrote
    connection.execute("DELETE FROM chunks WHERE run = ? AND number >= ?", (owner, stop))
    is_left = any(row[0] == owner for row in sharing)
    connection.execute(
        "DELETE FROM checkpoints WHERE run = ? AND NOT ? AND (chunks > ? OR NOT kept)", (owner, is_left, stop)
    )


def _to_row(document: Document) -> dict[str, Any]:
    return {name: to_json(value) if name in LISTS else value for name, value in document.items()}


def _from_row(row: dict[str, Any], lists: Iterable[str] = LISTS) -> Document:
    """Returns a run's document; an unreadable list stays text, which `sound` reports as damage."""
    for name in lists:
        with suppress(ValueError, TypeError, RecursionError):
            row[name] = json.loads(row[name])
    return row


# ---------------------------------------------------------------------- opening


def open_memory(url: str, _rest: str, **_options: bool) -> SqliteBackend:
    """Opens a new, empty store in memory."""
    connection = _connect(":memory:")
    _new_database().backup(connection)
    return SqliteBackend(url, connection)


@cache
def _new_database() -> sqlite3.Connection:
    """Returns an empty store to copy, which takes a hundredth of the time that the migrations take to make one."""
    connection = _connect(":memory:")
    migrate(connection)
    connection.execute("VACUUM")  # what the migrations left behind would be copied too
    return connection


def _memory_again(url: str, content: bytes) -> SqliteBackend:
    """Opens a store in memory with the contents of another."""
    connection = _connect(":memory:")
    with explained(url), closing(sqlite3.connect(":memory:")) as source:
        source.deserialize(content)
        source.backup(connection)
    return SqliteBackend(url, connection)


def open_file(url: str, path: str, *, create: bool, read_only: bool) -> SqliteBackend:
    """Opens a new or existing SQLite file; read-only if it is not writable.

    Raises:
        StoreError: it is not an rlbench store, cannot be opened, or does not exist and may not be created.
    """
    file = Path(path).expanduser().absolute()
    with explained(path):
        exists = _look(file, path)
        if not exists and (read_only or not create):
            raise StoreError(f"there is no store at {path}: check the path, or train into it first")
        writable = _may_write(file.parent) and (not exists or _may_write(file))
        if not writable and not exists:
            raise StoreError(f"cannot create {path}: its folder is not writable, choose another one")
        if not exists:
            with suppress(FileExistsError):  # another process has just made it
                _create(str(file), PRIVATE)
        connection = _connect(_uri(file, writable=writable))
        try:
            _take_over(connection, path, writable=writable and not read_only)
        except BaseException:
            connection.close()
            raise
    return SqliteBackend(url, connection, file, read_only=read_only)


def _create(path: str, mode: int) -> None:
    """Creates an empty file with this mode, which SQLite also gives to the -wal and -shm files beside it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        if hasattr(os, "fchmod"):  # the umask may have taken away what a backup's original allows
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _place_of(file: Path | None) -> tuple[int, int] | None:
    """Returns a file's identity, which changes if it is replaced; None if it is gone, or the database is in memory."""
    try:
        found = None if file is None else file.stat()
    except OSError:
        return None
    return found and (found.st_dev, found.st_ino)


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turns errors of SQLite and the file system into a StoreError that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind of error
        reason = EXPLANATIONS.get(code) or " ".join(str(error).split())[:300]  # it may quote what is damaged
        raise StoreError(f"cannot use the store {place}: {reason}") from error
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StoreError(f"cannot use the store {place}: {reason}") from error


def _look(file: Path, path: str) -> bool:
    """Returns whether a file exists; StoreError if it cannot be a store."""
    if file.is_dir():
        raise StoreError(f"{path} is a folder, a store is a file: give {Path(path) / 'rlbench.db'} instead")
    if not file.parent.is_dir():
        raise StoreError(f"the folder {Path(path).parent} does not exist: make it, or choose another one")
    if file.exists() and not file.is_file():
        raise StoreError(f"{path} is not a regular file: give the path of a file")
    return file.exists()


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _uri(file: Path, *, writable: bool) -> str:
    if writable:
        return f"{file.as_uri()}?mode=rw"
    if file.with_name(file.name + "-wal").exists():
        return f"{file.as_uri()}?mode=ro"
    return f"{file.as_uri()}?immutable=1"  # otherwise SQLite would create files in a folder it cannot write to


def _connect(target: str) -> sqlite3.Connection:
    connection = sqlite3.connect(target, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, uri=True)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _take_over(connection: sqlite3.Connection, path: str, *, writable: bool) -> None:
    """Checks that a database is empty or ours before changing a byte of it, then migrates it."""
    with connection:  # one consistent view: another process may be creating the store
        connection.execute("BEGIN")
        known = version(connection)
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = not connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0]
        found = schema(connection)
    if application != APPLICATION_ID and (application or known or not empty or not writable):
        raise StoreError(f"{path} is not an rlbench store: give another path, it was left unchanged")
    if known > len(MIGRATIONS):
        raise StoreError(f"{path} is from a newer rlbench (schema {known}): upgrade rlbench to open it")
    _check_schema(found, known, path)
    if not writable:
        if known < READABLE:
            raise StoreError(f"{path} is from an older rlbench: open it once for writing to upgrade it")
        connection.execute("PRAGMA query_only = ON")
        return
    _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"))
    connection.execute("PRAGMA synchronous = NORMAL")  # with a WAL, only a power failure can lose commits
    migrate(connection)


def _check_schema(found: dict[str, str | None], known: int, path: str) -> None:
    """Refuses a database whose tables, indexes, views or triggers are not ours: they could do anything."""
    expected = schema_after(known)
    odd = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if odd:
        raise StoreError(
            f"{path} has a schema that rlbench did not make: {odd[0]} is foreign or altered; it was left unchanged"
        )


def _patiently(act: Callable[[], object]) -> None:
    """Retries a call that fails immediately, without a timeout, while another process opens the same file."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            act()
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
