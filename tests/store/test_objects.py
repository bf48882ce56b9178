"""The store in a bucket, in memory and on a real S3 server."""

import json

import numpy as np
import pytest
from contracts import stores
from needs import package
from seaweed import READER

import rlbench
from rlbench.errors import StoreError, UsageError
from rlbench.keys import KEY
from rlbench.store import Store, checking, copying, manifests, open_store
from rlbench.store.bucket import Bucket, open_bucket
from rlbench.store.documents import PARTS
from rlbench.store.encrypting import encrypt
from rlbench.store.manifests import Content, Pack
from rlbench.store.objects import ObjectBackend
from rlbench.store.records import CheckpointInfo, SnapshotInfo, Span
from rlbench.store.sealed import sealed_again

memory = package("obstore.store", "cloud").MemoryStore
URL = "s3://somewhere/runs"


class Anyhow(ObjectBackend):
    """A backend that lets the contract write runs straight into it."""

    def check_trainable(self):
        pass


def opened(bucket):
    """A store in a bucket."""
    backend = Anyhow(bucket)
    backend.take_over(create=True)
    return Store(sealed_again(backend))


def beneath(store):
    """The backend that holds the records."""
    return getattr(store.backend, "inner", store.backend)


# ---------------------------------------------------------------- the contract


class OverObjects(stores.StoreContract):
    @pytest.fixture
    def store(self, bucket):
        with opened(bucket) as store:
            yield store

    def alter(self, store, table, where, changes):
        """Changes what is stored as somebody does who may write to the bucket: names tell the new contents."""
        getattr(self, f"alter_{table}")(beneath(store), where, changes)

    def alter_runs(self, backend, where, changes):
        [manifest] = backend._matching(where)
        self.write(backend, manifest._replace(document={**manifest.document, **changes}))

    def alter_chunks(self, backend, where, changes):
        for manifest in backend._manifests():
            [chunk] = [each for each in manifest.chunks if fits(each.span, where)] or [None]
            if chunk is not None:
                after = [changes and altered(backend, chunk, changes)] if changes else []
                at = manifest.chunks.index(chunk)
                self.write(
                    backend, manifest._replace(chunks=(*manifest.chunks[:at], *after, *manifest.chunks[at + 1 :]))
                )

    def alter_checkpoints(self, backend, where, changes):
        for manifest in backend._manifests():
            for state in manifest.states:
                if fits(state.info, where):
                    blob = changes.get("state_blob", backend._bucket.get(state.path).blob)
                    told = {name: value for name, value in changes.items() if name in CheckpointInfo._fields}
                    after = state._replace(
                        info=state.info._replace(**told), name=manifests.state_name(state.info, blob)
                    )
                    backend._bucket.replace(after.path, blob)
                    self.write(backend, manifest.exchanged(state, after))

    def alter_snapshots(self, backend, where, changes):
        path = manifests.snapshot_path(where["kind"], where["name"])
        [info] = [info for info in backend.select_snapshots(where["kind"]) if info.name == where["name"]]
        told = {name: value for name, value in changes.items() if name in SnapshotInfo._fields}
        backend._bucket.replace(path, manifests.snapshot_object(info._replace(**told), changes["blob"]))

    def alter_tables(self, backend, where, changes):
        backend._bucket.replace(manifests.table_path(where["digest"]), changes["blob"])

    def write(self, backend, manifest):
        backend._bucket.replace(f"runs/{manifest.document['id']}", manifest.packed())
        backend._known.clear()

    def rows(self, store, table):
        bucket = beneath(store)._bucket
        if table == "tables":
            return len(bucket.list("tables"))
        return sum(
            one.path.split("/")[2].startswith(table[0] if table == "chunks" else "s") for one in bucket.list("data")
        )

    @pytest.mark.parametrize("direction", ["to", "from"])
    @pytest.mark.parametrize("commits", range(7))
    def test_a_copy_that_broke_off_goes_on_where_it_was(self, store, monkeypatch, direction, commits):
        """A copy to a bucket is seen whole or not at all."""
        if direction == "from":
            super().test_a_copy_that_broke_off_goes_on_where_it_was(store, monkeypatch, direction, commits)
            return
        with open_store("memory://") as other:
            original = stores.fill(other)
            commit, left = beneath(store).commit, iter(range(commits))

            def breaking(*args, **act):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return commit(*args, **act)

            monkeypatch.setattr(beneath(store), "commit", breaking)
            with pytest.raises(KeyboardInterrupt):
                copying.copy(other, store)
            monkeypatch.undo()
            assert store.runs() == []
            assert [result.action for result in copying.copy(other, store)] == ["copied"]
            assert store.run(original.id) == original
            assert stores.everything(store) == stores.everything(other)
            assert list(checking.check(store)) == []


def fits(row, where):
    return all(getattr(row, name) == value for name, value in where.items())


def altered(backend, chunk, changes):
    """A chunk with changes, after its pack was written."""
    span = chunk.span._replace(**{name: value for name, value in changes.items() if name in Span._fields})
    blobs = [
        backend._read(chunk.span.run, chunk, part) if Pack.parse(chunk.name).content(part) else None for part in PARTS
    ]
    blobs = [changes.get(f"{part}_blob", blob) for part, blob in zip(PARTS, blobs, strict=True)]
    name = Pack(chunk.span.number, tuple(blob if blob is None else Content.of(blob) for blob in blobs)).name
    after = chunk._replace(span=span, name=name)
    backend._bucket.replace(after.path, b"".join(blob or b"" for blob in blobs))
    return after


class TestInMemory(OverObjects):
    @pytest.fixture
    def bucket(self):
        return Bucket(URL, memory())


@pytest.mark.long
class TestRealServer(OverObjects):
    @pytest.fixture
    def bucket(self, s3_url):
        return open_bucket(s3_url, s3_url.removeprefix("s3://"))


@pytest.mark.long
class TestEncrypted(OverObjects):
    @pytest.fixture
    def bucket(self):
        return Bucket(URL, memory())

    @pytest.fixture
    def store(self, bucket, monkeypatch):
        monkeypatch.setenv(KEY, "00" * 32)
        with opened(bucket) as store:
            encrypt(store)
            yield store

    def alter(self, store, table, where, changes):
        super().alter(store, table, where, stores.sealed_changes(store, table, where, changes))


# ---------------------------------------------------------------- copies, whole or not at all


@pytest.fixture
def bucket():
    return Bucket(URL, memory())


@pytest.fixture
def local():
    """A store with a run to copy."""
    with open_store("memory://") as store:
        stores.fill(store)
        yield store


def objects(bucket, folder="data"):
    return [one.path for one in bucket.list(folder)]


class Counting:
    """Counts what is written to a bucket."""

    def __init__(self, bucket, monkeypatch):
        self.paths, put = [], bucket._put
        monkeypatch.setattr(bucket, "_put", lambda path, *rest: self.paths.append(path) or put(path, *rest))


@pytest.mark.parametrize("key", [None, "00" * 32])
@pytest.mark.parametrize("chunks", range(5))
def test_what_a_broken_off_upload_sent_is_not_sent_again(bucket, local, monkeypatch, key, chunks):
    if key:
        monkeypatch.setenv(KEY, key)
    sent, left = [], iter(range(chunks))

    def breaking(path, blob):
        if path.startswith("data/"):
            if next(left, None) is None:
                raise StoreError("the server is away")
            sent.append(path)
        Bucket.add(bucket, path, blob)

    with monkeypatch.context() as patched, opened(bucket) as target:
        patched.setattr("rlbench.store.objects.WRITERS", 1)
        patched.setattr(bucket, "add", breaking)
        with pytest.raises(StoreError, match="the server is away"):
            copying.copy(local, target)
        assert target.runs() == []
    counting = Counting(bucket, monkeypatch)
    with opened(bucket) as target:
        copying.copy(local, target)
        assert [path for path in counting.paths if path in sent] == []
        assert list(checking.check(target)) == []
        assert target.runs() == local.runs()


def test_a_bucket_keeps_no_audit_log_and_the_store_that_is_copied_to_it_enters_so(bucket, local):
    with opened(bucket) as store:
        copying.copy(local, store)
        store.enter("export")
        assert (store.entries(), store.head) == ([], "")
        assert local.entries()[-1].what == "copy-out"


def test_of_two_that_copy_a_run_at_once_one_is_refused(bucket, local, monkeypatch):
    with opened(bucket) as one, opened(bucket) as other:
        commit = one.backend.commit

        def overtaken(*args, **act):
            monkeypatch.undo()
            copying.copy(local, other)
            return commit(*args, **act)

        monkeypatch.setattr(one.backend, "commit", overtaken)
        with pytest.raises(StoreError, match=r"another process is copying run \w+ to s3://somewhere/runs: wait for it"):
            copying.copy(local, one)
        assert one.runs() == local.runs()
        assert list(checking.check(one)) == []
        assert [result.action for result in copying.copy(local, one)] == ["equal"]


def test_space_is_not_freed_while_another_uploads_and_an_upload_waits_for_it(bucket, local, monkeypatch):
    with opened(bucket) as one, opened(bucket) as other:
        with one.backend.as_a_whole("0" * 12):
            one.backend._add("data/000000000000/left-over", b"x")
            with pytest.raises(StoreError, match="another process is uploading to s3://somewhere/runs: try again"):
                other.backend.compact()
        one.close()
        other.backend.compact()
        assert objects(bucket) == objects(bucket, "uploads") == objects(bucket, "collecting") == []
        with other.backend._lease.alone(), opened(bucket) as third:
            with pytest.raises(StoreError, match="another process is freeing space in s3://somewhere/runs: try again"):
                copying.copy(local, third)
            with pytest.raises(StoreError, match="another process is freeing space in s3://somewhere/runs: try again"):
                third.backend.compact()
        copying.copy(local, other)
        assert other.runs() == local.runs()


def test_nobody_waits_for_a_process_that_was_killed(bucket, local):
    dead = stores.a_writer().encode()
    with opened(bucket) as store:
        for path in ("uploads/killed", "collecting"):
            bucket.replace(path, dead)
        copying.copy(local, store)
        store.backend.compact()
        assert objects(bucket, "uploads") == ["uploads/" + store.backend._lease._token]
        assert list(checking.check(store)) == []


def test_a_process_elsewhere_is_waited_for(bucket, local):
    with opened(bucket) as store:
        bucket.replace("uploads/theirs", stores.a_writer(host="elsewhere").encode())
        with pytest.raises(StoreError, match="another process is uploading"):
            store.backend.compact()
        copying.copy(local, store)
        store.delete_run(local.runs()[0].id)
        assert store.runs() == []
        assert objects(bucket)
        bucket.delete(["uploads/theirs"])
        store.backend.compact()
        assert objects(bucket) == []


def test_an_upload_that_paused_for_too_long_begins_again(bucket, local, monkeypatch):
    with opened(bucket) as store:
        with store.backend.as_a_whole("0" * 12):
            store.backend._add("data/000000000000/left-over", b"x")
            store.backend._lease._said -= 4000
            with pytest.raises(StoreError, match="paused for too long: start it again, and it goes on"):
                store.backend._add("data/000000000000/other", b"x")
        copying.copy(local, store)
        assert store.runs() == local.runs()


def test_a_server_that_is_away_is_not_waited_for_again_in_the_end(bucket, local, monkeypatch):
    with opened(bucket) as store:
        copying.copy(local, store)
        asked = []
        monkeypatch.setattr(bucket, "delete", asked.append)
        bucket.is_away = True
    assert asked == []


# ---------------------------------------------------------------- a stranger's bucket


def altered_text(manifest):
    yield "nothing", b""
    yield "no JSON", b"{"
    yield "deep", b"[" * 10_000
    yield "no manifest", b"[1]"
    for name, value in (("chunks", [[1]]), ("chunks", 7), ("states", [["x"] * 8]), ("added", "now"), ("document", [])):
        yield f"{name} {value}", json.dumps({**manifest, name: value}).encode()
    for place, value in ((6, "../../x"), (7, "c0-1.x"), (7, "../secret"), (8, "../x"), (0, "1"), (5, None)):
        row = [*manifest["chunks"][0]]
        row[place] = value
        yield f"chunk {place} {value}", json.dumps({**manifest, "chunks": [row]}).encode()


def test_a_manifest_that_is_none_is_named_and_blocks_nothing_else(bucket, local):
    other = stores.fill(local, seed=1)
    [run] = [run for run in local.runs() if run.id != other.id]
    with opened(bucket) as store:
        copying.copy(local, store)
        path = f"runs/{run.id}"
        before = bucket.get(path).blob
        for what, blob in altered_text(json.loads(before)):
            bucket.replace(path, blob)
            assert [found.id for found in store.runs()] == [other.id], what
            assert run.id in {damage.run for damage in checking.check(store)}, what
            with pytest.raises(StoreError, match=f"run {run.id} is damaged"):
                store.run(run.id)
            with pytest.raises(StoreError, match="nothing is deleted, for it may need it"):
                store.backend.compact()
        bucket.replace(path, before)
        assert list(checking.check(store)) == []


def test_contents_that_are_not_what_their_names_say_are_named(bucket, local):
    [run] = local.runs()
    with opened(bucket) as store:
        copying.copy(local, store)
        for path in objects(bucket):
            blob = bucket.get(path).blob
            for wrong in (stores.flipped(blob, -1), blob[:-1], b"", None):
                bucket.delete([path]) if wrong is None else bucket.replace(path, wrong)
                store.backend._last = ("", 0, b"")
                assert {damage.run for damage in checking.check(store)} == {run.id}
                bucket.replace(path, blob)
        store.backend._last = ("", 0, b"")
        assert list(checking.check(store)) == []


def test_a_prefix_that_holds_something_else_is_left_alone(bucket):
    bucket.replace("notes.txt", b"mine")
    with pytest.raises(StoreError, match="s3://somewhere/runs is not an rlbench store: give another prefix"):
        opened(bucket)
    bucket.replace("rlbench.json", b'{"format":"rlbench objects","version":2}')
    with pytest.raises(StoreError, match="from a newer rlbench"):
        opened(bucket)
    assert objects(bucket, "") == ["notes.txt", "rlbench.json"]


@pytest.mark.parametrize(
    "address",
    ["s3://", "s3://b", "s3://user:hidden@bucket/x", "s3://bucket/../x", "s3://bucket/x?hidden=1", "s3://bu/a//b"],
)
def test_a_malformed_address_is_refused_and_not_repeated(address):
    with pytest.raises(UsageError, match="malformed address of a store, not repeated here") as refused:
        open_store(address)
    assert "hidden" not in str(refused.value)


def test_a_server_elsewhere_is_asked_over_tls_only(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://192.0.2.1:9000")
    with pytest.raises(UsageError, match=r"AWS_ENDPOINT_URL must begin with https://"):
        open_store("s3://bucket/x")


def test_of_a_run_only_what_is_asked_for_is_fetched_and_the_next_pack_ahead(bucket, monkeypatch):
    monkeypatch.setattr("rlbench.store.objects.SMALL", 0)
    with open_store("memory://") as local, opened(bucket) as store:
        run = local.create_run("Taxi-v4", "random", seed=0)
        for number in range(4):
            local.append(run.id, stores.make_chunk(number, [500]))
        local.append(run.id, status="finished")
        copying.copy(local, store)
        fetched, get_range = [], bucket.get_range
        monkeypatch.setattr(bucket, "get_range", lambda *args: fetched.append(args) or get_range(*args))
        packs = [Pack.parse(chunk.name) for chunk in store.backend._manifest(run.id).chunks]
        assert store.figures(run.id, ["length"])["length"].tolist() == [500] * 4
        assert all(size < pack.size for (_, _, size), pack in zip(fetched, packs, strict=False))
        del fetched[:]
        assert len(list(store.chunks(run.id))) == 4
        whole = [pack.size for pack in packs[1:]]
        assert [size for _, start, size in fetched if start == 0][-3:] == whole
        assert len(fetched) == 5  # of the first pack its steps apart
        del fetched[:]
        assert stores.everything(store) == stores.everything(local)


# ---------------------------------------------------------------- a real server


def test_a_run_goes_to_the_server_and_back_record_by_record(s3_url, tmp_path):
    with open_store(tmp_path / "a.db") as source, open_store(s3_url) as target:
        stores.fill(source, tags=["a"])
        source.save_snapshot("buffer", "a", {"x": np.arange(9)})
        copying.copy(source, target)
        assert stores.everything(target) == stores.everything(source)
        assert list(checking.check(target)) == []
    with open_store(s3_url, create=False) as target, open_store(tmp_path / "b.db") as back:
        copying.copy(target, back)
        assert stores.everything(back) == stores.everything(target)
        with pytest.raises(UsageError, match=f"runs are not written straight into {s3_url}: write them into a file"):
            rlbench.train("FrozenLake-v1", episodes=1, store=target)


def test_who_may_only_read_reads_and_copies_nothing(s3_url, local, monkeypatch):
    with open_store(s3_url) as target:
        copying.copy(local, target)
    for name, value in READER.items():
        monkeypatch.setenv(name, value)
    with open_store(s3_url, create=False) as target:
        assert target.runs() == local.runs()
        stores.fill(local, seed=1)
        with pytest.raises(StoreError, match="access is denied") as refused:
            copying.copy(local, target)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "hidden-wrong"},
            r"access is denied \(403 Forbidden, SignatureDoesNotMatch\); set AWS_",
        ),
        ({"AWS_ACCESS_KEY_ID": "hidden"}, "access is denied"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "cannot reach the store s3://lab/"),
    ],
)
def test_a_server_that_refuses_or_is_away_is_told_in_a_line(s3_url, monkeypatch, changes, complaint):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=complaint) as refused:
        open_store(s3_url)
    assert "hidden" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_bucket_that_does_not_exist_is_told(s3_url):
    with pytest.raises(StoreError, match="cannot use the store s3://nowhere/x: its bucket does not exist; make it"):
        open_store("s3://nowhere/x")
