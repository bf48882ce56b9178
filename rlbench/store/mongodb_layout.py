"""The layout of a store in a MongoDB database: its collections and indexes, and the upgrade of older layouts.

Version 1 had no owners and checksums, version 2 kept the JSON of a run as text, version 3 had no tables, version 4 no
audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from rlbench.errors import StoreError
from rlbench.store.migrations import upgraded
from rlbench.store.mongodb_driver import hasty
from rlbench.store.mongodb_fields import JSON, to_fields
from rlbench.store.mongodb_rows import new_name, plain
from rlbench.store.records import Span

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

    from rlbench.store.documents import Document

SCHEMA = 5  # version of the layout
READABLE = 2  # the oldest version that is read as it is
PREFIX = "rlbench_"  # of our collections: others may share the database
MARKER = {"_id": "schema"}
THERE = {"number": {"$gte": 0}}  # of runs: one that is being deleted has none
NEWEST = [("number", -1)]  # in the order of insertion
FILTERS = {"env_id": "env_id", "agent_name": "agent_name", "status": "status", "cache_key": "cache_key", "tag": "tags"}
SPAN = Span._fields
ONE = [("kind", 1), ("name", 1)]  # unique: one snapshot per kind and name
INDEXES = {
    "runs": [
        NEWEST,
        *([(field, 1)] for field in ("owners", "acts.id")),
        *([(field, 1), *NEWEST] for field in FILTERS.values()),
    ],
    "chunks": [
        [(field, 1) for field in ("run", SPAN[0], "token", *SPAN[1:-1])],  # covers the query for spans
        *([(field, 1)] for field in ("table", "parts", "pending")),
    ],
    "checkpoints": [[("run", 1), ("_id", 1)]],
    "snapshots": [ONE, *([(field, 1)] for field in ("row", "pending", "acts.id"))],
    "parts": [[("row", 1)]],
    "audit": [[("act", 1)]],
}
INDEXED = 3  # version of the indexes
UNAUTHORIZED = 13  # the server's code of the error


class Collections(NamedTuple):
    """The collections of a store."""

    meta: Collection[Document]
    runs: Collection[Document]
    chunks: Collection[Document]
    checkpoints: Collection[Document]
    snapshots: Collection[Document]
    parts: Collection[Document]
    tables: Collection[Document]
    audit: Collection[Document]

    @classmethod
    def of(cls, database: Database[Document]) -> Self:
        """Returns the collections of a database."""
        return cls(*(database[PREFIX + name] for name in cls._fields))


def take_over(database: Database[Document], url: str, *, create: bool, read_only: bool) -> None:
    """Checks that a database is ours, or may become ours, before changing anything in it; upgrades an older layout.

    Raises:
        StoreError: it is not, is from a newer version, or is to be upgraded and cannot be written.
    """
    store = Collections.of(database)
    marker = store.meta.find_one(MARKER)
    if marker is None:
        names = set(database.list_collection_names()) - {store.meta.name}
        marker = store.meta.find_one(MARKER)  # again: it is written before the collections
        marker = marker or _mark(store, names, url, create=create and not read_only)
    version = marker.get("version")
    if type(version) is not int:
        raise _foreign(url)
    if version > SCHEMA:
        raise StoreError(f"{url} is from a newer rlbench (schema {version}): upgrade rlbench")
    if version < READABLE and read_only:
        raise StoreError(f"{url} is from an older rlbench: open it once for writing to upgrade it")
    if not read_only and (version < SCHEMA or marker.get("indexed") != INDEXED):
        _complete(store, version)


def _mark(store: Collections, names: set[str], url: str, *, create: bool) -> Document:
    """Marks a database as ours; it may hold other collections, unless their names start with our prefix."""
    if any(name.startswith(PREFIX) for name in names):
        raise _foreign(url)
    if not create:
        raise StoreError(f"there is no store at {url}: check the name, or train into it first")
    marker = {**MARKER, "version": SCHEMA}
    insert(store.meta, dict(marker))  # unless another process just did
    return store.meta.find_one(MARKER) or marker


def _foreign(url: str) -> StoreError:
    return StoreError(f"{url} is not an rlbench store: give another database, it was left unchanged")


def insert(collection: Collection[Document], document: Document) -> bool:
    """Inserts a document; False if its name is taken."""
    from pymongo.errors import DuplicateKeyError  # noqa: PLC0415

    try:
        collection.insert_one(document)
    except DuplicateKeyError:
        return False
    return True


def next_number(store: Collections) -> int:
    """Returns the place of a new run in the order of insertion."""
    found: Document = store.meta.find_one_and_update({"_id": "runs"}, {"$inc": {"count": 1}}, upsert=True) or {}
    return int(found.get("count", 0))


# ---------------------------------------------------------------------- upgrades


def _complete(store: Collections, version: int) -> None:
    """Upgrades the runs and makes the indexes; a user who may only read does without, where that is possible."""
    from pymongo.errors import OperationFailure  # noqa: PLC0415

    try:
        if version < SCHEMA:
            _add_owners(store)
            _make_documents(store)
            store.meta.update_one(MARKER, {"$set": {"version": SCHEMA}})
        _make_indexes(store)
    except OperationFailure as error:
        if error.code != UNAUTHORIZED or version < READABLE:
            raise


def _add_owners(store: Collections) -> None:
    """Gives runs of the first version owners, checksums and an order; skips those that have them."""
    old = list(store.runs.find({"owners": {"$exists": False}}, sort=[("created_at", 1), ("_id", 1)]))
    for found in map(plain, old):
        rows = found["rows"]
        rows["checkpoints"] = [[*row[:-1], found["_id"], row[-1]] for row in rows["checkpoints"]]
        document = {**found, "id": found["_id"], "checkpoints": len(rows["checkpoints"])}
        change = {**upgraded(document), "checkpoints": document["checkpoints"], "number": next_number(store)}
        unchanged = {"_id": found["_id"], "rows.revision": rows["revision"], "owners": {"$exists": False}}
        rows["revision"] = new_name()
        store.runs.update_one(unchanged, {"$set": {**to_fields(change), "rows": rows}})


def _make_documents(store: Collections) -> None:
    """Turns the JSON of runs of the second version into documents; skips what no document holds."""
    for found in store.runs.find({}, dict.fromkeys(JSON, 1)):
        for name, kept in to_fields(found).items():
            if kept != found[name]:  # each by itself: another may be too large to be sent twice, or change meanwhile
                unchanged = {key: {"$eq": found[key]} for key in ("_id", name)}
                hasty(store.runs).update_one(unchanged, {"$set": {name: kept}})


def _make_indexes(store: Collections) -> None:
    from pymongo import IndexModel  # noqa: PLC0415

    for name, indexes in INDEXES.items():
        hasty(getattr(store, name)).create_indexes([IndexModel(keys, unique=keys == ONE) for keys in indexes])
    store.meta.update_one(MARKER, {"$set": {"indexed": INDEXED}})
