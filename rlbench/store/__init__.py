"""Stores: persistence for runs, their episodes, checkpoints and results."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rlbench.keys import given_key
from rlbench.store.config import RunConfig
from rlbench.store.episodes import EpisodeSequence
from rlbench.store.records import (
    BOTH,
    CUT_OFF,
    OPEN,
    TERMINATED,
    TRUNCATED,
    Checkpoint,
    CheckpointInfo,
    Episode,
    EpisodeChunk,
    RunRecord,
    SnapshotInfo,
)
from rlbench.store.sealed import sealed
from rlbench.store.store import Store
from rlbench.store.urls import redact, split_url

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

__all__ = [
    "BOTH",
    "CUT_OFF",
    "OPEN",
    "TERMINATED",
    "TRUNCATED",
    "Checkpoint",
    "CheckpointInfo",
    "Episode",
    "EpisodeChunk",
    "EpisodeSequence",
    "RunConfig",
    "RunRecord",
    "SnapshotInfo",
    "Store",
    "open_store",
    "redact",
]

STORES = {  # URL scheme: the function that opens its backend
    "sqlite": "rlbench.store.sqlite:open_file",
    "memory": "rlbench.store.sqlite:open_memory",
    "mongodb": "rlbench.store.mongodb:open_mongodb",
    "mongodb+srv": "rlbench.store.mongodb:open_mongodb",
    "s3": "rlbench.store.objects:open_objects",
    "gs": "rlbench.store.objects:open_objects",
    "az": "rlbench.store.objects:open_objects",
}


def open_store(
    url: str | os.PathLike[str] | MongoClient[Any] | Database[Any], *, create: bool = True, read_only: bool = False
) -> Store:
    """Opens the store at a path, `mongodb://host/name`, `s3://bucket/prefix` or `memory://`; close it after use.

    Args:
        url: its address; `sqlite:///x.db` is relative, `sqlite:////x.db` absolute; `gs://` and `az://` are as `s3://`,
            with credentials from the environment. Or a database of a client of pymongo
            or mongomock (`client["lab"]`), or the client itself, for its default database or else "rlbench"; closing
            the store leaves the client open.
        create: create it if it does not exist.
        read_only: refuse all changes; files without write permission are always opened read-only.

    Raises:
        UsageError: the URL is malformed; UnknownNameError if its scheme is unknown.
        StoreError: it cannot be opened; the message says why and what to do, and never contains a password.
    """
    if not isinstance(url, str | os.PathLike):
        from rlbench.store.mongodb import open_given  # noqa: PLC0415  (a store in a file goes without)

        return Store(sealed(open_given(url, create=create, read_only=read_only), given_key()))
    url = os.fspath(url)
    scheme, rest = split_url(url, list(STORES))
    module, function = STORES[scheme].split(":")
    backend = getattr(import_module(module), function)(url, rest, create=create, read_only=read_only)
    return Store(backend if scheme == "memory" else sealed(backend, given_key()))
