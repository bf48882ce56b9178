"""The backend in a bucket of objects: immutable packs under names that tell their content, one manifest a run.

    rlbench.json                  says that the prefix is a store
    runs/ID                       the manifest of a run: its document, and the objects that it needs
    data/ID/cNUMBER-CONTENTS      a chunk that the run ID wrote, its parts one after the other
    data/ID/sSTEP-CONTENT         a checkpoint that it wrote
    tables/DIGEST                 a table that steps follow from
    snapshots/KIND/NAME           a snapshot, under the hashes of its kind and its name
    uploads/TOKEN, collecting     who uploads and who deletes now: see leases.py

A commit writes new objects first, then replaces the manifest if nobody else has since it was read, which its e-tag
tells. Hence a run is never seen in part, of two writers one is refused, and an upload that broke off has written
nothing but objects that the next one finds by their names. A copy of a run is seen once it is whole: until then its
manifest is kept in memory. What no manifest needs is deleted by `compact` and with the last run that needed it.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from rlbench.errors import StoreError, UsageError
from rlbench.store import manifests
from rlbench.store.backend import TRIES, Backend
from rlbench.store.bucket import PIECE, open_bucket
from rlbench.store.documents import PARTS, CheckpointRow
from rlbench.store.leases import Lease
from rlbench.store.manifests import RUN, Chunk, Content, Manifest, Pack, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from rlbench.store.audit import Act
    from rlbench.store.bucket import Bucket, Found, Listed
    from rlbench.store.documents import ChunkRow, Document
    from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span

MARK, MARKED = "rlbench.json", b'{"format":"rlbench objects","version":1}'
SMALL = 2**18  # bytes of a pack that is read whole
READERS, WRITERS = 16, 4  # requests at once; each of the latter keeps a pack in memory


class ObjectBackend(Backend):
    """Records in a bucket."""

    def __init__(self, bucket: Bucket, *, read_only: bool = False) -> None:
        super().__init__(bucket.url)
        self._store, self._read_only, self._is_closed = bucket, read_only, False
        self._lease = Lease(bucket)
        self._known: dict[str, Manifest] = {}  # as they were last read
        self._heads: dict[str, tuple[str | None, SnapshotInfo | None]] = {}  # of each snapshot, with its e-tag
        self._drafts: dict[str, Manifest | None] = {}  # of the runs that are copied
        self._upload: _Upload | None = None  # of the run that is copied
        self._last = ("", 0, b"")  # what was last read of a pack: its path, from where on, and the bytes
        self._reads_all = self._read_steps = False  # of the pack that was read last
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[tuple[str, int, int] | None, Future[bytes | None] | None] = (None, None)
        self._added = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles and copies the address, to open the store again with the credentials of the environment there."""
        rest = self.url.partition("://")[2]
        return partial(open_objects, create=False, read_only=self._read_only), (self.url, rest)

    def close(self) -> None:
        """Says that its uploads have ended; closing twice does no harm."""
        if not self._is_closed:
            self._lease.release()
        self._is_closed = True
        self._reader.shutdown(wait=False, cancel_futures=True)

    @property
    def _bucket(self) -> Bucket:
        if self._is_closed:
            raise StoreError(f"cannot use the store {self.url}: it is closed, open it again")
        return self._store

    @property
    def _writable(self) -> Bucket:
        self._check_writable()
        return self._bucket

    def _check_writable(self) -> None:
        if self._read_only:
            raise StoreError(f"cannot use the store {self.url}: it can only be read; open it without read_only")

    def check_trainable(self) -> None:
        raise UsageError(
            f"runs are not written straight into {self.url}: write them into a file such as rlbench.db, "
            f"then `rlbench store copy rlbench.db {self.url}`"
        )

    def take_over(self, *, create: bool) -> None:
        """Makes the prefix a store of ours, or checks that it is one, before anything else is done with it."""
        found = self._bucket.get(MARK, len(MARKED))
        if found is None:
            if not self._bucket.is_empty():
                raise StoreError(f"{self.url} is not an rlbench store: give another prefix, it was left unchanged")
            if not create or self._read_only:
                raise StoreError(f"there is no store at {self.url}: check the address, or copy one there first")
            self._bucket.add(MARK, MARKED)
            try:
                self._bucket.check_conditions(MARK, MARKED)
            except BaseException:
                self._bucket.delete([MARK])
                raise
        elif found.blob != MARKED:
            raise StoreError(f"{self.url} is from a newer rlbench, or none of its stores: upgrade rlbench to open it")

    # ------------------------------------------------------------------ runs

    def insert_run(self, document: Document, base: str | None = None, *, act: Act | None = None) -> bool:
        del act  # a bucket keeps no audit log: the store that is copied to it does
        run_id, document = document["id"], copy.deepcopy(document)
        if base is not None:
            self._hold()  # what it shares may be deleted with the base
        shared = None if base is None else self._manifest(base)
        if (base is not None and shared is None) or self._manifest(run_id) is not None:
            return False
        self._added = max(time.time_ns(), self._added + 1)
        if shared is None:
            return self._exchange(run_id, Manifest(document, self._added))
        return self._exchange(run_id, shared.shared(document, self._added))

    def select_runs(self, filters: Mapping[str, str], limit: int | None) -> list[Document]:
        return [copy.deepcopy(found.document) for found in self._matching(filters)[:limit]]

    def select_fields(
        self, filters: Mapping[str, str], names: Sequence[str], limit: int | None = None, offset: int = 0
    ) -> list[tuple[Any, ...]]:
        found = [run.document for run in self._matching(filters)[offset:][:limit]]
        return [tuple(copy.deepcopy(run.get(name)) for name in names) for run in found]

    def count_runs(self, filters: Mapping[str, str]) -> int:
        return len(self._matching(filters))

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
        del act
        for _ in range(TRIES):  # another process may have changed the manifest meanwhile
            before = self._manifest(run_id)
            if before is None or not before.fits(expected):
                return False
            added = None if chunk is None else self._add_chunk(chunk)
            state = None if checkpoint is None else self._add_state(checkpoint)
            after = before.changed(changes, added, state)
            if after == before or self._exchange(run_id, after):
                return True
        raise self._too_busy(run_id)

    def exchange_chunk(self, run_id: str, before: ChunkRow, after: ChunkRow) -> bool:
        found = self._manifest(run_id)
        old = found and found.chunk(before.span)
        if old is None or Pack.parse(old.name) != Pack.of(before):
            return False
        new = self._add_chunk(after)
        return self._exchange_all(before.span.run, old, new if new.table else new._replace(table=old.table))

    def exchange_state(self, run_id: str, info: CheckpointInfo, before: bytes, after: bytes) -> bool:
        found = self._manifest(run_id)
        old = found and found.state(info)
        if old is None or old.content != Content.of(before):
            return False
        new = self._add_state(CheckpointRow(info, after))
        return self._exchange_all(info.run, old, new._replace(info=old.info))

    def exchange_table(self, digest: str, before: bytes, after: bytes) -> bool:
        path = manifests.table_path(digest)
        found = self._bucket.get(path)
        return bool(found and found.blob == before and self._writable.exchange(path, after, found.version))

    def _exchange_all(self, owner: str, old: Chunk | State, new: Chunk | State) -> bool:
        """Lets all runs that name an object name another, one by one; False if none does (any more)."""
        sharing = [run.document["id"] for run in self._matching({"owner": owner})]
        done = [self._exchange_one(run_id, old, new) for run_id in sharing]
        return any(done)

    def _exchange_one(self, run_id: str, old: Chunk | State, new: Chunk | State) -> bool:
        for _ in range(TRIES):
            before = self._manifest(run_id)
            after = before and before.exchanged(old, new)
            if before is None or after is None or after == before:
                return False
            if self._exchange(run_id, after):
                return True
        raise self._too_busy(run_id)

    def remove_run(self, run_id: str, *, act: Act | None = None) -> bool:
        del act
        found = self._manifest(run_id)
        if found is None:
            return False
        self._writable.delete([manifests.run_path(run_id)])
        self._known.pop(run_id, None)
        with suppress(StoreError):  # the run is gone; `compact` deletes what is left over
            self._sweep([f"data/{owner}" for owner in {run_id, *found.owners}])
        return True

    @contextmanager
    def as_a_whole(self, run_id: str) -> Iterator[None]:
        before = self._manifest(run_id)
        self._drafts[run_id] = before
        try:
            with _Upload(self._bucket) as self._upload:
                yield
            after = self._drafts[run_id]
        finally:
            del self._drafts[run_id]
            self._upload = None
        if after is not None and after != before and not self._exchange(run_id, after):
            raise StoreError(f"another process is copying run {run_id} to {self.url}: wait for it, then try again")

    # ------------------------------------------------------------------ manifests

    def _manifest(self, run_id: str) -> Manifest | None:
        """Reads the manifest of a run; None if it does not exist."""
        if run_id in self._drafts:
            return self._drafts[run_id]
        if not RUN.fullmatch(run_id):
            return None
        found = self._bucket.get(manifests.run_path(run_id), manifests.MOST)
        if found is None:
            self._known.pop(run_id, None)
            return None
        known = self._known.get(run_id)
        if known is None or known.version != found.version:
            known = self._known[run_id] = Manifest.parse(found.blob, run_id, found.version)
        return known

    def _lasting(self, run_id: str) -> Manifest | None:
        """Returns a run's manifest as it is known, if it had finished then: all but its notes is final."""
        known = self._drafts.get(run_id) or self._known.get(run_id)
        return known if known and known.document.get("status") == "finished" else self._manifest(run_id)

    def _exchange(self, run_id: str, after: Manifest) -> bool:
        """Writes a manifest in place of the version that was read; False if another process was faster."""
        if run_id in self._drafts:
            self._drafts[run_id] = after
            return True
        version = self._writable.exchange(manifests.run_path(run_id), after.packed(), after.version)
        if version is not None:
            self._known[run_id] = after._replace(version=version)
        return version is not None

    def _matching(self, filters: Mapping[str, str]) -> list[Manifest]:
        """Returns the runs that match, the last added first."""
        found = [run for run in self._candidates(filters) if all(FITS[n](run.document, v) for n, v in filters.items())]
        return sorted(found, key=lambda run: (run.added, run.document["id"]), reverse=True)

    def _candidates(self, filters: Mapping[str, str]) -> list[Manifest]:
        """Reads no more runs than may match."""
        one = filters.get("id", filters.get("prefix", ""))
        if "id" in filters or RUN.fullmatch(one):
            found = self._manifest(one)
            return [] if found is None else [found]
        if "owner" in filters and not self._listed(f"data/{filters['owner']}"):
            return []
        return self._manifests(one)

    def _manifests(self, beginning: str = "") -> list[Manifest]:
        """Reads the manifests of all runs whose ids begin like this; of those that are known only their e-tags."""
        listed = {one.path.rpartition("/")[2]: one for one in self._bucket.list("runs", after=beginning)}
        listed = {
            run_id: one for run_id, one in listed.items() if run_id.startswith(beginning) and RUN.fullmatch(run_id)
        }
        fresh = [run_id for run_id, one in listed.items() if not self._is_known(run_id, one)]
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(self._manifest, fresh))
        found = {run_id: self._known.get(run_id) for run_id in listed} | self._drafts
        return [run for run_id, run in found.items() if run is not None]

    def _listed(self, folder: str) -> Collection[str]:
        """Returns the paths of the objects in a folder; of a run that is copied, what must not be sent again."""
        if self._upload is None:
            return [one.path for one in self._bucket.list(folder)]
        self._hold()
        return self._upload.listed(folder)

    def _is_known(self, run_id: str, listed: Listed) -> bool:
        known = self._known.get(run_id)
        e_tag = known and known.version and known.version.get("e_tag")
        return listed.e_tag is not None and e_tag == listed.e_tag

    def _too_busy(self, what: str) -> StoreError:
        return StoreError(f"cannot use the store {self.url}: other processes keep changing {what}; try again")

    # ------------------------------------------------------------------ objects

    def _add_chunk(self, chunk: ChunkRow) -> Chunk:
        """Writes a chunk, which does not count yet, and its table."""
        table = None
        if chunk.table is not None:
            table, path = chunk.table.digest, manifests.table_path(chunk.table.digest)
            self._add(path, chunk.table.blob)
        added = Chunk(chunk.span, Pack.of(chunk).name, table)
        self._add(added.path, chunk.segments + chunk.figures + (chunk.steps or b""))
        return added

    def _add_state(self, checkpoint: CheckpointRow) -> State:
        """Writes a checkpoint, which does not count yet."""
        added = State(checkpoint.info, manifests.state_name(checkpoint.info, checkpoint.state))
        self._add(added.path, checkpoint.state)
        return added

    def _add(self, path: str, blob: bytes) -> None:
        """Writes an object whose name tells its content, unless it is there; while a run is copied, meanwhile."""
        self._hold()
        if self._upload is not None:
            self._upload.add(path, blob)
        elif not self._bucket.has(path):
            self._bucket.add(path, blob)

    def _hold(self) -> None:
        """Says that this process uploads."""
        self._check_writable()
        self._lease.hold()

    # ------------------------------------------------------------------ chunks and checkpoints

    def select_spans(self, run_id: str) -> list[Span]:
        found = self._lasting(run_id)
        return [chunk.span for chunk in found.chunks] if found else []

    def select_part(self, run_id: str, span: Span, part: str) -> tuple[bool, bytes | None]:
        for chunk in self._places(run_id, span):
            content = Pack.parse(chunk.name).content(part)
            if content is None:
                return True, None
            blob = self._read(run_id, chunk, part)
            if blob is not None:
                if Content.of(blob) != content:
                    what = f"run {run_id}, chunk {span.number}, {part}"
                    raise StoreError(f"{what} is damaged: it is not what its name says")
                return True, blob
        return False, None

    def _places(self, run_id: str, span: Span) -> Iterator[Chunk]:
        """Yields a chunk as it is known; if that has gone, as it is now: another process may have exchanged it."""
        known = self._drafts.get(run_id) or self._known.get(run_id)
        before = known and known.chunk(span)
        if before is not None:
            yield before
        found = self._manifest(run_id)
        after = found and found.chunk(span)
        if after is not None and after != before:
            yield after
        if after is None and self._upload is not None:
            yield from self._upload.left_over(span)

    def _read(self, run_id: str, chunk: Chunk, part: str) -> bytes | None:
        """Reads a part of a pack, and with it what is read next: all, if that of the pack before was read."""
        if part == PARTS[0]:
            self._reads_all, self._read_steps = self._read_steps, False
        self._read_steps = self._read_steps or part == PARTS[-1]
        pack, path = Pack.parse(chunk.name), chunk.path
        first, stop = pack.starts[PARTS.index(part)], pack.starts[PARTS.index(part) + 1]
        known, start, blob = self._last
        if known != path or start > first or start + len(blob) < stop:
            is_whole = pack.size <= (PIECE if self._reads_all else SMALL)
            found = self._fetch(path, first, pack.size if is_whole else max(stop, pack.starts[2]))
            if found is None:
                return None
            start, blob = first, found
            self._last = path, start, blob
            if self._reads_all:
                self._fetch_ahead(run_id, chunk)
        return blob[first - start : stop - start]

    def _fetch(self, path: str, first: int, stop: int) -> bytes | None:
        """Returns bytes of a pack, which may be on their way already."""
        (place, under_way), self._ahead = self._ahead, (None, None)
        if under_way is not None and place == (path, first, stop):
            return under_way.result()
        return self._bucket.get_range(path, first, stop - first)

    def _fetch_ahead(self, run_id: str, chunk: Chunk) -> None:
        """Begins to read the next pack of a run, while this one is used."""
        known = self._known.get(run_id)
        following = known and known.chunk(chunk.span._replace(number=chunk.span.number + 1))
        if following and 0 < Pack.parse(following.name).size <= PIECE:
            place = following.path, 0, Pack.parse(following.name).size
            self._ahead = place, self._reader.submit(self._bucket.get_range, following.path, 0, place[2])

    def select_table(self, digest: str) -> bytes | None:
        found = self._bucket.get(manifests.table_path(digest)) if manifests.DIGEST.fullmatch(digest) else None
        return found and found.blob

    def select_tables(self) -> list[str]:
        return sorted(one.path.rpartition("/")[2] for one in self._bucket.list("tables"))

    def select_checkpoints(self, run_id: str) -> list[CheckpointInfo]:
        found = self._lasting(run_id)
        return [state.info for state in found.states] if found else []

    def select_state(self, run_id: str, info: CheckpointInfo) -> bytes | None:
        for manifest in (self._lasting, self._manifest):  # another process may have exchanged it
            known = manifest(run_id)
            state = known and known.state(info)
            found = state and self._bucket.get(state.path)
            if state and found:
                if Content.of(found.blob) != state.content:
                    where = f"run {run_id}, checkpoint at step {info.timesteps}"
                    raise StoreError(f"{where} is damaged: it is not what its name says")
                return found.blob
        return None

    # ------------------------------------------------------------------ snapshots

    def put_snapshot(
        self, info: SnapshotInfo, blob: bytes, *, replace: SnapshotInfo | bool = True, act: Act | None = None
    ) -> bool:
        del act
        path, written = manifests.snapshot_path(info.kind, info.name), manifests.snapshot_object(info, blob)
        if replace is True:
            self._writable.replace(path, written)
            return True
        found = None if replace is False else self._bucket.get_beginning(path, manifests.HEAD_SIZE)
        if replace is not False and (found is None or _info(found) != replace):
            return False
        return self._writable.exchange(path, written, found and found.version) is not None

    def select_snapshots(self, kind: str | None) -> list[SnapshotInfo]:
        listed = self._bucket.list("snapshots")
        fresh = [one.path for one in listed if self._heads.get(one.path, (None,))[0] != (one.e_tag or "")]
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(self._read_head, fresh))
        found = [self._heads[one.path][1] for one in listed if one.path in self._heads]
        return sorted(info for info in found if info is not None and kind in (None, info.kind))

    def _read_head(self, path: str) -> None:
        found = self._bucket.get_beginning(path, manifests.HEAD_SIZE)
        if found is not None:
            info = _info(found)
            is_here = info is not None and manifests.snapshot_path(info.kind, info.name) == path
            self._heads[path] = found.version.get("e_tag"), info if is_here else None

    def select_snapshot(self, kind: str, name: str) -> bytes | None:
        found = self._bucket.get(manifests.snapshot_path(kind, name))
        head = found and manifests.described(found.blob)
        return found.blob[head[1] :] if found and head and head[0][:2] == (kind, name) else None

    def remove_snapshot(self, kind: str, name: str, *, act: Act | None = None) -> bool:
        del act
        path = manifests.snapshot_path(kind, name)
        if not self._bucket.has(path):
            return False
        self._writable.delete([path])
        return True

    # ------------------------------------------------------------------ the storage itself

    def size(self) -> int:
        return sum(one.size for one in self._bucket.list(""))

    def problems(self) -> Iterator[str]:
        for run in self._manifests():
            if not run.is_sound:
                yield f"the manifest of run {run.document['id']} cannot be read"
        self.select_snapshots(None)
        yield from (f"the object {path} is no snapshot" for path, (_, info) in self._heads.items() if info is None)

    def compact(self) -> None:
        self._sweep(["data"])

    def _sweep(self, folders: Iterable[str]) -> None:
        """Deletes the objects in these folders, and the tables, that no run needs."""
        self._check_writable()
        if self._drafts:
            raise StoreError(f"a run is being copied to {self.url}: free space once it is there")
        with self._lease.alone():
            listed = [one.path for folder in (*folders, "tables") for one in self._bucket.list(folder)]
            found = self._manifests()
            if not all(run.is_sound for run in found):
                what = f"the manifest of a run in {self.url} cannot be read"
                raise StoreError(f"{what}: nothing is deleted, for it may need it; delete that run first")
            needed = {path for run in found for path in run.paths}
            self._lease.delete(path for path in listed if path not in needed)


class _Upload:
    """Writes the objects of a run, several at once, while the next are made; what is there is not sent again."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket, self._pool = bucket, ThreadPoolExecutor(WRITERS)
        self._under_way: deque[Future[None]] = deque()
        self._there: dict[str, dict[str, None]] = {}  # paths, by folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self._under_way and kind is None:
                self._under_way.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def add(self, path: str, blob: bytes) -> None:
        """Begins to write an object, unless it is there; an error of an earlier one is raised here, or at the end."""
        there = self.listed(path.rpartition("/")[0])
        if path in there:
            return
        there[path] = None
        while len(self._under_way) >= WRITERS or (self._under_way and self._under_way[0].done()):
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(self._bucket.add, path, blob))

    def left_over(self, span: Span) -> Iterator[Chunk]:
        """Yields the packs of a chunk that an upload has left that broke off; they do not count."""
        folder = f"data/{span.run}"
        for path in list(self.listed(folder)):
            with suppress(ValueError):
                name = path.rpartition("/")[2]
                if Pack.parse(name).number == span.number:
                    yield Chunk(span, name, None)

    def listed(self, folder: str) -> dict[str, None]:
        """Returns the paths of the objects that a folder holds, or will."""
        if folder not in self._there:
            self._there[folder] = {one.path: None for one in self._bucket.list(folder)}
        return self._there[folder]


def open_objects(url: str, rest: str, *, create: bool, read_only: bool) -> ObjectBackend:
    """Opens the new or existing store under a prefix of a bucket.

    Raises:
        UsageError: the address is malformed, or obstore is not installed.
        StoreError: the bucket does not exist, access is denied, or the prefix is not an rlbench store, or does not
            exist and may not be created; StoreAway if no server answers.
    """
    backend = ObjectBackend(open_bucket(url, rest), read_only=read_only)
    backend.take_over(create=create)
    return backend


def _tags(document: Document) -> list[Any]:
    tags = document.get("tags")
    return tags if isinstance(tags, list) else []


def _has(name: str) -> Callable[[Document, str], bool]:
    """Returns the test whether a run has a value in a field."""
    return lambda document, value: document.get(name) == value


FITS: dict[str, Callable[[Document, str], bool]] = {  # what each filter of `select_runs` asks for
    "prefix": lambda document, value: str(document["id"]).startswith(value),
    "owner": lambda document, value: f'"{value}"' in str(document.get("owners")),
    "tag": lambda document, value: value in _tags(document),
    "study": lambda document, value: value in _tags(document),
    "not_tag": lambda document, value: value not in _tags(document),
    **{name: _has(name) for name in ("id", "env_id", "agent_name", "status", "cache_key")},
}


def _info(found: Found) -> SnapshotInfo | None:
    """Returns what describes a snapshot, from its first bytes."""
    head = manifests.described(found.blob)
    return head and head[0]
