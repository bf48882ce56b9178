"""What a bucket holds: the manifest of each run, the names of the packs that it lists, and snapshots.

The name of a pack tells its content: the size and the hash of each part. Whoever writes a manifest of a stranger's
bucket decides nothing but data: each field is checked here, and names lead nowhere else.
"""

from __future__ import annotations

import hashlib
import re
import struct
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rlbench.errors import StoreError
from rlbench.store.codec import from_json, to_json
from rlbench.store.documents import PARTS, RUN_FIELDS, outlasts, shares
from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span

if TYPE_CHECKING:
    from rlbench.store.bucket import Version
    from rlbench.store.documents import ChunkRow, Document

RUN = re.compile(r"[0-9a-f]{12}")
DIGEST = re.compile(r"[0-9a-f]{16,64}")  # of a table
CONTENT = r"(?:\d{1,11}\.[0-9a-f]{32}|none)"
PACK = re.compile(rf"c(\d{{1,9}})-({CONTENT})-({CONTENT})-({CONTENT})")
STATE = re.compile(rf"s\d{{1,19}}-({CONTENT})")
MOST = 2**28  # bytes of a manifest: that of a run with a million chunks
HEAD = struct.Struct(">4sI")  # of a snapshot: magic, and the size of what describes it
MAGIC = b"rlbs"
HEAD_SIZE = 2**13  # bytes in which the description of a snapshot ends


class Content(NamedTuple):
    """What a part of an object must hold."""

    size: int
    digest: str

    @classmethod
    def of(cls, blob: bytes) -> Self:
        """Returns what a blob is to be recognised by."""
        return cls(len(blob), hashlib.blake2b(blob, digest_size=16).hexdigest())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Reads it from a name; None for a part that is not kept."""
        size, _, digest = text.partition(".")
        return None if text == "none" else cls(int(size), digest)

    def __str__(self) -> str:
        return f"{self.size}.{self.digest}"


class Pack(NamedTuple):
    """The parts of a chunk in one object, one after the other."""

    number: int
    contents: tuple[Content | None, ...]

    @classmethod
    def of(cls, chunk: ChunkRow) -> Self:
        """Returns the pack of a chunk."""
        blobs = (chunk.segments, chunk.figures, chunk.steps)
        return cls(chunk.span.number, tuple(None if blob is None else Content.of(blob) for blob in blobs))

    @classmethod
    def parse(cls, name: str) -> Self:
        """Reads it from its name; ValueError if it is none."""
        found = PACK.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r:.80} does not name a chunk")
        return cls(int(found[1]), tuple(map(Content.parse, found.groups()[1:])))

    @property
    def name(self) -> str:
        """The name of the object."""
        return f"c{self.number}-" + "-".join(str(content or "none") for content in self.contents)

    @property
    def size(self) -> int:
        """The bytes of all parts."""
        return self.starts[-1]

    @property
    def starts(self) -> list[int]:
        """Where each part begins, and where the last ends."""
        starts = [0]
        for content in self.contents:
            starts.append(starts[-1] + (content.size if content else 0))
        return starts

    def content(self, part: str) -> Content | None:
        """Returns what a part must hold."""
        return self.contents[PARTS.index(part)]


class Chunk(NamedTuple):
    """A chunk in a manifest."""

    span: Span
    name: str  # of its pack
    table: str | None  # the digest of the table that its steps follow from

    @property
    def path(self) -> str:
        """The path of its pack."""
        return data_path(self.span.run, self.name)


class State(NamedTuple):
    """A checkpoint in a manifest."""

    info: CheckpointInfo
    name: str  # of the object that holds it

    @property
    def path(self) -> str:
        """The path of that object."""
        return data_path(self.info.run, self.name)

    @property
    def content(self) -> Content | None:
        """What that object must hold."""
        found = STATE.fullmatch(self.name)
        return found and Content.parse(found[1])


class Manifest(NamedTuple):
    """A run as a bucket holds it: its document, and the objects that belong to it."""

    document: Document
    added: int  # nanoseconds since 1970, when it was added: it tells the order of runs
    chunks: tuple[Chunk, ...] = ()
    states: tuple[State, ...] = ()
    version: Version | None = None  # that was read; None: it is new
    is_sound: bool = True  # False: what it needs is unknown

    @classmethod
    def parse(cls, blob: bytes, run_id: str, version: Version) -> Self:
        """Reads a manifest; one that cannot be read gives a run of which nothing is known but its id."""
        try:
            return cls._parse(from_json(blob.decode()), run_id)._replace(version=version)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return cls({"id": run_id}, 0, version=version, is_sound=False)

    @classmethod
    def _parse(cls, found: dict[str, Any], run_id: str) -> Self:
        document = {name: found["document"][name] for name in RUN_FIELDS if name in found["document"]}
        if document["id"] != run_id or type(found["added"]) is not int:
            raise ValueError("it belongs to another run")
        return cls(document, found["added"], tuple(map(_chunk, found["chunks"])), tuple(map(_state, found["states"])))

    def packed(self) -> bytes:
        """Returns it as it is stored."""
        chunks = [[*chunk.span, chunk.name, chunk.table] for chunk in self.chunks]
        states = [[*state.info, state.name] for state in self.states]
        found = {"document": self.document, "added": self.added, "chunks": chunks, "states": states}
        return to_json(found).encode()

    def fits(self, expected: Document) -> bool:
        """Returns whether the run is as expected."""
        return all(self.document.get(name, ...) == value for name, value in expected.items())

    def changed(self, changes: Document, chunk: Chunk | None = None, state: State | None = None) -> Self:
        """Returns it with changes, one more chunk, and a checkpoint that replaces all that are not kept."""
        states = list(self.states)
        if state is not None:
            stays = outlasts(state.info)
            states = sorted([*filter(lambda one: stays(one.info), states), state], key=lambda one: one.info.timesteps)
        chunks = self.chunks if chunk is None else (*self.chunks[: chunk.span.number], chunk)
        return self._replace(document={**self.document, **changes}, chunks=chunks, states=tuple(states))

    def shared(self, document: Document, added: int) -> Self:
        """Returns the manifest of a new run that begins with the first chunks of this one."""
        is_shared = shares(document)
        states = tuple(state for state in self.states if is_shared(state.info))
        return type(self)(document, added, self.chunks[: document["chunks"]], states)

    def exchanged(self, before: Chunk | State, after: Any) -> Self:
        """Returns it with another object for a chunk or a checkpoint."""
        chunks = tuple(after if chunk == before else chunk for chunk in self.chunks)
        states = tuple(after if state == before else state for state in self.states)
        return self._replace(chunks=chunks, states=states)

    def chunk(self, span: Span) -> Chunk | None:
        """Returns a chunk by the run that wrote it, and its number."""
        likely = self.chunks[span.number : span.number + 1]
        place = (span.run, span.number)
        return next((one for one in chain(likely, self.chunks) if (one.span.run, one.span.number) == place), None)

    def state(self, info: CheckpointInfo) -> State | None:
        """Returns a checkpoint by the run that wrote it, and its step."""
        place = (info.run, info.timesteps)
        return next((one for one in self.states if (one.info.run, one.info.timesteps) == place), None)

    @property
    def paths(self) -> set[str]:
        """The paths of all objects that it needs."""
        tables = {table_path(chunk.table) for chunk in self.chunks if chunk.table is not None}
        return tables | {chunk.path for chunk in self.chunks} | {state.path for state in self.states}

    @property
    def owners(self) -> set[str]:
        """The runs that wrote what it needs."""
        return {chunk.span.run for chunk in self.chunks} | {state.info.run for state in self.states}


def _chunk(row: list[Any]) -> Chunk:
    span, name, table = Span(*row[:-2]), *row[-2:]
    if not RUN.fullmatch(span.run) or not all(type(one) is int for one in span[:-1]):
        raise ValueError("not a chunk")
    if table is not None and not DIGEST.fullmatch(table):
        raise ValueError("not a table")
    Pack.parse(name)
    return Chunk(span, name, table)


def _state(row: list[Any]) -> State:
    *fields, name = row
    info = CheckpointInfo(*fields)
    if [type(field) for field in info] != [int, int, int, str, bool, int, str] or not RUN.fullmatch(info.run):
        raise ValueError("not a checkpoint")
    if not STATE.fullmatch(name):
        raise ValueError("not the name of a checkpoint")
    return State(info, name)


def run_path(run_id: str) -> str:
    """Returns the path of the manifest of a run; StoreError if no run has such an id."""
    if not RUN.fullmatch(run_id):
        raise StoreError(f"the id of a run has 12 hexadecimal digits, got {run_id!r:.80}: it is left out")
    return f"runs/{run_id}"


def data_path(run_id: str, name: str) -> str:
    """Returns the path of a pack or a checkpoint that a run wrote."""
    return f"data/{run_id}/{name}"


def table_path(digest: str) -> str:
    """Returns the path of a table."""
    return f"tables/{digest}"


def state_name(info: CheckpointInfo, blob: bytes) -> str:
    """Returns the name of the object of a checkpoint."""
    return f"s{info.timesteps}-{Content.of(blob)}"


# ---------------------------------------------------------------------- snapshots


def snapshot_path(kind: str, name: str) -> str:
    """Returns the path of a snapshot; names may hold anything, so it has their hashes."""
    return "/".join(("snapshots", *(Content.of(text.encode()).digest for text in (kind, name))))


def snapshot_object(info: SnapshotInfo, blob: bytes) -> bytes:
    """Returns a snapshot as it is stored: what describes it, and the blob."""
    about = to_json(list(info)).encode()
    return HEAD.pack(MAGIC, len(about)) + about + blob


def described(beginning: bytes) -> tuple[SnapshotInfo, int] | None:
    """Returns what describes a snapshot, from its first bytes, and where its blob begins; None if that is damaged."""
    try:
        magic, size = HEAD.unpack_from(beginning)
        found = from_json(beginning[HEAD.size : HEAD.size + size].decode())
        info = SnapshotInfo(*found)
    except (struct.error, ValueError, TypeError, RecursionError):
        return None
    is_sound = magic == MAGIC and [type(field) for field in info] == [str, str, str, int]
    return (info, HEAD.size + size) if is_sound and HEAD.size + size <= HEAD_SIZE else None
