"""The schema of a SQLite store, as ordered migrations of one version each."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from rlbench.store.codec import to_json
from rlbench.store.documents import RUN_FIELDS, sums

if TYPE_CHECKING:
    from rlbench.store.documents import Document

APPLICATION_ID = 0x524C4231  # "RLB1": tells our files from other SQLite files


def _first_tables(connection: sqlite3.Connection) -> None:
    """Creates the tables; blobs come last in their rows, so that listings read no overflow pages."""
    connection.execute(
        """
        CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            env_id TEXT NOT NULL,
            agent_name TEXT NOT NULL,
            seed TEXT NOT NULL,  -- a seed may have 128 bits
            status TEXT NOT NULL,
            created_at TEXT NOT NULL,
            episodes INTEGER NOT NULL,
            timesteps INTEGER NOT NULL,
            seconds REAL NOT NULL,
            tags TEXT NOT NULL,  -- JSON, as parents, evaluation, config
            parents TEXT NOT NULL,
            chunks INTEGER NOT NULL,  -- how many are written, and where the next must begin
            next_episode INTEGER NOT NULL,
            next_step INTEGER NOT NULL,
            cache_key TEXT NOT NULL,
            writer TEXT NOT NULL,  -- who writes it, and when it last did
            beat TEXT NOT NULL,
            evaluation TEXT,
            config TEXT NOT NULL
        )
        """
    )
    for columns in (
        "created_at",
        "env_id, created_at",
        "agent_name, created_at",
        "status, created_at",
        "cache_key, created_at",
    ):
        name = "runs_by_" + columns.split(",", maxsplit=1)[0]
        connection.execute(f"CREATE INDEX {name} ON runs ({columns})")
    connection.execute(
        """
        CREATE TABLE chunks (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            first_episode INTEGER NOT NULL,
            first_step INTEGER NOT NULL,
            episodes INTEGER NOT NULL,
            segments INTEGER NOT NULL,
            steps INTEGER NOT NULL,
            segments_blob BLOB NOT NULL,
            figures_blob BLOB NOT NULL,
            steps_blob BLOB,
            PRIMARY KEY (run, number)
        )
        """
    )
    connection.execute(
        """
        CREATE TABLE checkpoints (
            run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
            timesteps INTEGER NOT NULL,
            episodes INTEGER NOT NULL,
            chunks INTEGER NOT NULL,  -- how many the run had written by then
            created_at TEXT NOT NULL,
            kept INTEGER NOT NULL,
            size INTEGER NOT NULL,
            state_blob BLOB NOT NULL,
            PRIMARY KEY (run, timesteps)
        )
        """
    )
    connection.execute(
        """
        CREATE TABLE snapshots (
            kind TEXT NOT NULL,
            name TEXT NOT NULL,
            created_at TEXT NOT NULL,
            size INTEGER NOT NULL,
            blob BLOB NOT NULL,
            PRIMARY KEY (kind, name)
        )
        """
    )


def _owners_and_checksums(connection: sqlite3.Connection) -> None:
    """Lets runs share chunks, adds checksums to their records, and creates tables for later use."""
    for index in ("created_at", "env_id", "agent_name", "status", "cache_key"):
        connection.execute(f"DROP INDEX runs_by_{index}")
    connection.execute("ALTER TABLE runs RENAME TO owners")  # chunks and checkpoints go on referring to it
    connection.execute(
        """
        CREATE TABLE runs (
            id TEXT PRIMARY KEY,
            env_id TEXT NOT NULL,
            agent_name TEXT NOT NULL,
            seed TEXT NOT NULL,  -- a seed may have 128 bits
            status TEXT NOT NULL,
            created_at TEXT NOT NULL,
            episodes INTEGER NOT NULL,
            timesteps INTEGER NOT NULL,
            seconds REAL NOT NULL,
            parents TEXT NOT NULL,  -- JSON, as owners, config, tags, evaluation and cache
            chunks INTEGER NOT NULL,
            checkpoints INTEGER NOT NULL,
            next_episode INTEGER NOT NULL,
            next_step INTEGER NOT NULL,
            owners TEXT NOT NULL,  -- from which chunk on which run wrote them
            cache_key TEXT NOT NULL,
            config TEXT NOT NULL,
            tags TEXT NOT NULL,
            note TEXT NOT NULL,
            evaluation TEXT NOT NULL,
            cache TEXT NOT NULL,
            record_sum TEXT NOT NULL,
            notes_sum TEXT NOT NULL,
            writer TEXT NOT NULL,  -- who writes it, and when it last did
            beat TEXT NOT NULL
        )
        """
    )
    for column in ("env_id", "agent_name", "status", "cache_key"):
        connection.execute(f"CREATE INDEX runs_by_{column} ON runs ({column})")  # and by rowid: the order of insertion
    _move_runs(connection)
    for column in [row[1] for row in connection.execute("PRAGMA table_info (owners)") if row[1] != "id"]:
        connection.execute(f"ALTER TABLE owners DROP COLUMN {column}")
    connection.execute("CREATE TABLE parts (row TEXT, number INTEGER, data BLOB NOT NULL, PRIMARY KEY (row, number))")
    connection.execute("CREATE TABLE tables (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, blob BLOB NOT NULL)")
    connection.execute("CREATE TABLE journal (study TEXT, number INTEGER, entry TEXT, PRIMARY KEY (study, number))")
    connection.execute("CREATE TABLE audit (number INTEGER PRIMARY KEY, entry TEXT NOT NULL, hash TEXT NOT NULL)")
    connection.execute("CREATE TABLE keys (id TEXT PRIMARY KEY, wrapped BLOB NOT NULL)")


def _move_runs(connection: sqlite3.Connection) -> None:
    fields = ", ".join(RUN_FIELDS)
    values = ", ".join(f":{name}" for name in RUN_FIELDS)
    rows = connection.execute("SELECT * FROM owners ORDER BY created_at, rowid")
    names = [column[0] for column in rows.description]
    for row in rows.fetchall():
        before = dict(zip(names, row, strict=True))
        sql = "SELECT count(*) FROM checkpoints WHERE run = ? AND chunks <= ?"
        count = connection.execute(sql, (before["id"], before["chunks"])).fetchone()[0]
        document = {**before, "tags": _list(before["tags"]), "parents": _list(before["parents"]), "checkpoints": count}
        after = {**document, **upgraded(document), "tags": before["tags"], "parents": before["parents"]}
        connection.execute(f"INSERT INTO runs ({fields}) VALUES ({values})", after)  # noqa: S608  our own names


def upgraded(document: Document) -> Document:
    """Returns the fields that a run's document of the first version lacks; one that is damaged stays damaged."""
    config, evaluation = _json(document["config"]), _json(document["evaluation"])
    cache = config.get("cache", {}) if isinstance(config, dict) else {}
    new = {
        "owners": json.dumps([[0, document["id"]]]),
        "note": "",
        "evaluation": to_json([] if evaluation is None else [evaluation]),
        "cache": to_json(cache),
        "writer": document["writer"] if document["status"] == "running" else "",
        "record_sum": "",
        "notes_sum": "",
    }
    with suppress(TypeError, ValueError):
        new |= sums({**document, **new})
    return new


def _json(text: Any) -> Any:
    with suppress(ValueError, TypeError, RecursionError):
        return json.loads(text)
    return None


def _list(text: Any) -> Any:
    found = _json(text)
    return text if found is None else found


def _tables_of_steps(connection: sqlite3.Connection) -> None:
    """Lets chunks name the table that their steps follow from, and drops what was never used, 4 kB each."""
    for unused in ("journal", "audit", "keys", "tables"):
        connection.execute(f"DROP TABLE {unused}")
    connection.execute("CREATE TABLE tables (digest TEXT PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID")
    connection.execute("ALTER TABLE chunks ADD COLUMN step_table TEXT REFERENCES tables (digest)")
    connection.execute("CREATE INDEX chunks_by_step_table ON chunks (step_table) WHERE step_table IS NOT NULL")


def _index_of_tags(connection: sqlite3.Connection) -> None:
    """Lets runs be found by their tags without being read: a study has thousands."""
    connection.execute("CREATE INDEX runs_by_tags ON runs (tags)")


def _audit_log(connection: sqlite3.Connection) -> None:
    """Lets who does what be entered; what was done before is not in it."""
    connection.execute(
        """
        CREATE TABLE audit (
            number INTEGER PRIMARY KEY,
            moment TEXT NOT NULL,
            who TEXT NOT NULL,
            what TEXT NOT NULL,
            record TEXT NOT NULL,
            hash TEXT NOT NULL
        )
        """
    )


MIGRATIONS = (_first_tables, _owners_and_checksums, _tables_of_steps, _index_of_tags, _audit_log)
READABLE = 2  # migrations that a file must have had to be read without another


def version(connection: sqlite3.Connection) -> int:
    """Returns how many migrations a database has had."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection) -> None:
    """Migrates a database to the newest version, each step in its own transaction."""
    while version(connection) < len(MIGRATIONS):
        with connection:  # commits, or rolls back on an error
            connection.execute("BEGIN IMMEDIATE")
            reached = version(connection)  # again, now that no other process can migrate it
            if reached < len(MIGRATIONS):
                MIGRATIONS[reached](connection)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {reached + 1}")


def schema(connection: sqlite3.Connection) -> dict[str, str | None]:
    """Returns the SQL of every table, index, view and trigger of a database."""
    sql = "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite!_stat%' ESCAPE '!'"
    return dict(connection.execute(sql).fetchall())


@cache
def schema_after(migrations: int) -> dict[str, str | None]:
    """Returns the schema of a database after its first `migrations` migrations."""
    if not migrations:
        return {}
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in MIGRATIONS[:migrations]:
            migration(connection)
        return schema(connection)
