"""The schema of a SQLite store, as ordered migrations of one version each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

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


MIGRATIONS = (_first_tables,)


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
