"""Stores: persistence for runs, their episodes, checkpoints and results."""

from __future__ import annotations

import os
from importlib import import_module

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
from rlbench.store.store import Store
from rlbench.store.urls import redact, split_url

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
}


def open_store(url: str | os.PathLike[str], *, create: bool = True, read_only: bool = False) -> Store:
    """Opens the store at a path, `sqlite:///path`, `mongodb://host/name` or `memory://`; close it after use.

    Args:
        url: its address; `sqlite:///x.db` is relative, `sqlite:////x.db` absolute.
        create: create it if it does not exist.
        read_only: refuse all changes; files without write permission are always opened read-only.

    Raises:
        UsageError: the URL is malformed; UnknownNameError if its scheme is unknown.
        StoreError: it cannot be opened; the message says why and what to do, and never contains a password.
    """
    url = os.fspath(url)
    scheme, rest = split_url(url, list(STORES))
    module, function = STORES[scheme].split(":")
    return Store(getattr(import_module(module), function)(url, rest, create=create, read_only=read_only))
