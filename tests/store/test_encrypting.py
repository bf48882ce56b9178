"""Encrypted stores: what they hold is neither readable nor altered unnoticed, and nothing is lost on the way."""

import copy
import itertools
import multiprocessing
import os
import pickle
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import mongomock
import numpy as np
import pytest
from contracts import stores
from nursery import Nursery

import rlbench
from rlbench import keys
from rlbench.errors import StoreError, UsageError
from rlbench.keys import KEY, KEY_COMMAND, KEY_FILE, Key, given_key, read_key
from rlbench.store import Checkpoint, checking, copying, encrypting, mongodb, open_store
from rlbench.store.sealed import SealedBackend
from rlbench.store.sealing import HEAD, KIND, is_sealed
from rlbench.store.spool import Spool, upload

ONE, TWO = Key(bytes([1] * 32)), Key(bytes([2] * 32))
MARKER = "a marker that nothing but this test writes"


@pytest.fixture
def with_key(monkeypatch):
    """Gives the first key."""
    monkeypatch.setenv(KEY, ONE.text())


@pytest.fixture
def with_other_key(monkeypatch, request):
    """A function that gives another key, or none, from then on."""

    def give(key):
        if key is None:
            monkeypatch.delenv(KEY, raising=False)
        else:
            monkeypatch.setenv(KEY, key.text())

    return give


@pytest.fixture(params=["file", "imitated server", "server"])
def place(request, tmp_path, monkeypatch):
    """What `open_store` takes to open an empty store, on any backend; on servers blobs of 300 bytes are large."""
    if request.param == "file":
        return str(tmp_path / "runs.db")
    monkeypatch.setattr(mongodb, "PART", 300)
    return mongomock.MongoClient() if request.param == "imitated server" else request.getfixturevalue("emptied_url")


def inner(store):
    return getattr(store.backend, "inner", store.backend)


def filled(place):
    """Fills a store with all that stores hold; returns what it reads as."""
    with open_store(place) as store:
        run = stores.fill(store, tags=["x"], note="why")
        [kept] = [info for info in store.checkpoints(run) if info.kept]
        child = store.create_run("Taxi-v4", "sarsa", seed=4, base=run.id, checkpoint=kept)
        store.append(child.id, stores.make_chunk(3, [40]), Checkpoint(4, 50, {"q": np.arange(99.0)}), status="finished")
        other = store.create_run("Taxi-v4", "q-learning", seed=1)
        store.append(other.id, stores.make_walk(0, [2, 5]), status="finished")
        store.save_snapshot("buffer", "b", {"x": np.random.default_rng(0).random(100)})
        store.save_snapshot("buffer", "a", {"x": np.arange(5)}, {"text": "y"})
        return read(store)


def read(store):
    return stores.everything(store), [store.backend.select_table(digest) for digest in store.backend.select_tables()]


def blobs(store):
    """All blobs of a store as they are stored, by place."""
    backend = inner(store)
    for document in backend.select_runs({}, None):
        for span, part in itertools.product(backend.select_spans(document["id"]), stores.PARTS):
            yield (document["id"], span, part), backend.select_part(document["id"], span, part)[1]
        for info in backend.select_checkpoints(document["id"]):
            yield info, backend.select_state(document["id"], info)
    for digest in backend.select_tables():
        yield digest, backend.select_table(digest)
    for info in backend.select_snapshots(None):
        if info.kind != KIND:
            yield info, backend.select_snapshot(info.kind, info.name)


def stored(store):
    return [blob for _, blob in blobs(store) if blob is not None]


# ---------------------------------------------------------------- there and back


@pytest.mark.parametrize("figures", [False, True])
def test_a_store_is_encrypted_read_and_decrypted(place, figures, with_other_key):
    before = filled(place)
    with_other_key(ONE)
    with open_store(place) as store:
        plain = stored(store)
        assert not any(map(is_sealed, plain))
        assert encrypting.encrypt(store, figures=figures) > 0
        assert all(map(is_sealed, stored(store)))
        assert read(store) == before
        assert list(checking.check(store)) == []
        assert checking.info(store)["encrypted"]
        assert encrypting.encrypt(store, figures=figures) == 0
    with open_store(place) as store:
        assert [run.seed for run in store.runs(agent_name="sarsa")] == [4]
        assert [run.seed for run in store.runs(tag="x")] == [0]
        assert read(store) == before
        assert encrypting.decrypt(store) > 0
    with_other_key(None)
    with open_store(place) as store:
        assert not isinstance(store.backend, SealedBackend)
        assert read(store) == before
        assert stored(store) == plain
        assert list(checking.check(store)) == []
        assert not checking.info(store)["encrypted"]


def test_parts_of_what_was_exchanged_are_not_left_behind(with_other_key):
    client = mongomock.MongoClient()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(mongodb, "PART", 300)
        filled(client)
        with_other_key(ONE)
        with open_store(client) as store:
            parts = store.backend.inner._collections.parts
            count = parts.count_documents({})
            with pytest.MonkeyPatch.context() as without:
                without.setattr(store.backend.inner, "compact", lambda: None)  # which would delete them too
                encrypting.encrypt(store)
            assert count <= parts.count_documents({}) < 1.5 * count  # some have become larger than a part
            snapshots = store.backend.inner._collections.snapshots
            data_keys = {found["row"] for found in snapshots.find({"kind": KIND})}
            assert not any(part["data"].startswith(b"RLB1") for part in parts.find() if part["row"] not in data_keys)
            for run in store.runs():
                store.delete_run(run.id)
            store.backend.compact()
            assert {part["row"] for part in parts.find()} == {found["row"] for found in snapshots.find()}


@pytest.mark.parametrize("figures", [False, True])
def test_a_new_key_opens_what_the_old_one_did_and_the_old_one_nothing(place, figures, with_other_key):
    before = filled(place)
    with_other_key(ONE)
    with open_store(place) as store:
        encrypting.encrypt(store, figures=figures)
        written = stored(store)
        keys_before = len(store.backend.keyring.wrapped)
        assert encrypting.rotate(store, TWO) == keys_before
        assert encrypting.rotate(store, TWO) == 0
        assert stored(store) == written
        with pytest.raises(UsageError, match="the new key is the old one"):
            encrypting.rotate(store, ONE)
    complaint = f"the store is encrypted with the key {TWO.id}, not with {ONE.id}: give its key by --key-file"
    with open_store(place) as store:
        for attempt in (lambda: read(store), lambda: store.create_run("Taxi-v4", "random", seed=0)):
            with pytest.raises(StoreError, match=complaint):
                attempt()
    with_other_key(TWO)
    with open_store(place) as store:
        assert read(store) == before
        assert len(store.backend.keyring.wrapped) == keys_before, "who only reads makes no key"


@pytest.mark.parametrize("figures", [False, True])
def test_without_the_key_a_store_says_what_is_missing_and_is_not_written(tmp_path, figures, with_other_key):
    place = str(tmp_path / "runs.db")
    filled(place)
    with_other_key(ONE)
    with open_store(place) as store:
        encrypting.encrypt(store, figures=figures)
        [run] = [run.id for run in store.runs(tag="x")]
        before = read(store)
    with_other_key(None)
    with open_store(place) as store:
        if figures:
            with pytest.raises(
                StoreError, match=r"the list of runs in .* is encrypted: give its key by --key-file FILE"
            ):
                store.runs()
        else:
            assert len(store.runs()) == 3
            for attempt in (lambda: list(store.chunks(run)), lambda: store.checkpoint(run), lambda: store.figures(run)):
                with pytest.raises(
                    StoreError, match=f"run {run}, .* is encrypted: give its key by --key-file FILE or "
                ):
                    attempt()
            with pytest.raises(StoreError, match="snapshot buffer/a is encrypted: give its key"):
                store.load_snapshot("buffer", "a")
        for attempt in (
            lambda: store.create_run("Taxi-v4", "random", seed=0),
            lambda: store.save_snapshot("buffer", "c", {}),
        ):
            with pytest.raises(StoreError, match="is encrypted: give its key"):
                attempt()
        for work in (encrypting.encrypt, encrypting.decrypt, lambda store: encrypting.rotate(store, TWO)):
            with pytest.raises(UsageError, match="was opened without a key"):
                work(store)
    with_other_key(ONE)
    with open_store(place) as store:
        assert read(store) == before


def test_a_store_that_was_opened_before_it_was_encrypted_says_so(tmp_path, with_other_key):
    place = str(tmp_path / "runs.db")
    filled(place)
    with open_store(place) as early:
        with_other_key(ONE)
        with open_store(place) as store:
            encrypting.encrypt(store)
        with pytest.raises(StoreError, match="has been encrypted: open the store again, with its key"):
            list(early.chunks("latest"))


def test_a_store_is_not_encrypted_while_a_run_is_written(tmp_path, with_key):
    with open_store(tmp_path / "runs.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        for work in (encrypting.encrypt, encrypting.decrypt):
            with pytest.raises(StoreError, match=f"run {run.id} is being written: wait until it has ended"):
                work(store)


def test_a_training_with_a_key_learns_the_same_and_goes_on_from_what_is_stored(tmp_path, with_other_key):
    def train(name, episodes):
        with open_store(tmp_path / name) as store:
            run = rlbench.train("FrozenLake-v1", "q-learning", episodes=episodes, seed=3, store=store)
            return run.cached_episodes, run.agent.q_table, store.figures(run)

    plain = [train("plain.db", episodes) for episodes in (20, 50)]
    with_other_key(ONE)
    sealed = [train("sealed.db", episodes) for episodes in (20, 50)]
    assert [cached for cached, _, _ in sealed] == [cached for cached, _, _ in plain] == [0, 20]
    for (_, table, figures), (_, other, others) in zip(plain, sealed, strict=True):
        assert np.array_equal(table, other)
        assert all(np.array_equal(figures[name], others[name]) for name in figures)
    with open_store(tmp_path / "sealed.db") as store:
        assert store.backend.keyring.is_strict
        assert all(map(is_sealed, stored(store)))


# ---------------------------------------------------------------- what is readable


def test_no_marker_is_in_the_files_of_an_encrypted_store(tmp_path, with_key, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    markers = [f"{MARKER} {number:03}" for number in range(1000)]
    numbers = np.frombuffer(b"".join(text.encode().ljust(48) for text in markers), np.uint8)
    place = tmp_path / "runs.db"
    with open_store(place) as store:
        encrypting.encrypt(store, figures=True)
        run = store.create_run(markers[0], markers[1], seed=0, tags=markers[2:500], note=markers[500])
        chunk = stores.make_chunk(0, [3, 2])
        chunk.steps["bytes"] = numbers[: 5 * 48].reshape(5, 48)
        store.append(run.id, chunk, Checkpoint(2, 5, {"bytes": numbers}, {"text": markers}))
        store.save_snapshot("buffer", markers[501], {"bytes": numbers}, {"text": markers[502]})
        spool = Spool(run.id, store.url)
        spool.put(run.id, None, Checkpoint(2, 5, {"bytes": numbers}, {"text": markers}), keep=False)
        spool.close()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.name for path in files} > {"runs.db", "runs.db-wal"}
        assert any(path.name.startswith("rlbench-spool-") for path in files)
        for path in files:
            assert MARKER.encode() not in path.read_bytes(), path
        copying.backup(store, tmp_path / "kept.db")
        assert MARKER.encode() not in (tmp_path / "kept.db").read_bytes()
        with open_store(spool.path) as left:
            assert upload(left, store) == {run.id: 1}
        assert store.checkpoint(run.id).numbers == {"text": markers}
    with open_store(tmp_path / "kept.db") as kept:
        assert kept.run(run.id).tags == tuple(markers[2:500])


def test_a_file_that_is_encrypted_keeps_nothing_of_what_was_plain(tmp_path, with_other_key):
    place = tmp_path / "runs.db"
    numbers = np.random.default_rng(0).integers(0, 255, 500_000, np.uint8)  # what packs to itself
    with open_store(place) as store:
        kept, deleted = (store.create_run("Taxi-v4", "random", seed=seed, note=MARKER) for seed in (0, 1))
        for run, size in ((kept, 5_000), (deleted, len(numbers))):  # more than what is encrypted will overwrite
            store.append(run.id, None, Checkpoint(0, 0, {"x": numbers[:size]}), status="finished")
        pieces = [blob[-200:-100] for blob in stored(store)]
        inner(store)._connection.execute("PRAGMA secure_delete = OFF")  # as SQLite is built in most places
        store.delete_run(deleted.id)
    assert len(pieces) == 2
    assert all(piece in place.read_bytes() for piece in pieces), "of what was deleted, too"
    with_other_key(ONE)
    with open_store(place) as store:
        encrypting.encrypt(store, figures=True)
    found = place.read_bytes()
    assert not any(piece in found for piece in pieces)
    assert MARKER.encode() not in found
    assert list(tmp_path.iterdir()) == [place]


# ---------------------------------------------------------------- what is altered


def test_what_was_altered_moved_or_replayed_is_refused_with_its_place(with_key, tmp_path):
    dice = random.Random(0)  # noqa: S311  not for secrets
    with open_store(tmp_path / "a.db") as store, open_store(tmp_path / "b.db") as other:
        for each in (store, other):
            stores.fill(each)
            stores.fill(each, seed=1)
            each.save_snapshot("buffer", "a", {"x": np.arange(50)})
        found = [(place, blob) for place, blob in blobs(store) if blob is not None]
        foreign = [blob for _, blob in blobs(other) if blob is not None]
        plain = [store.backend.select_part(*place)[1] for place, _ in found if len(place) == 3]
        for _ in range(10_000):
            place, blob = dice.choice(found)
            way = dice.choice(("flip", "cut", "swap", "foreign", "plain", "longer"))
            altered = {
                "flip": lambda b=blob: stores.flipped(b, dice.randrange(len(b)), 1 << dice.randrange(8)),
                "cut": lambda b=blob: b[: dice.randrange(len(b))],
                "swap": lambda p=place: dice.choice([b for q, b in found if q != p]),
                "foreign": lambda: dice.choice(foreign),
                "plain": lambda: dice.choice(plain),
                "longer": lambda b=blob: b + b"\0",
            }[way]()
            name = named(place)
            with pytest.raises(StoreError, match=name):
                store.backend.keyring.unseal(altered, name)


def named(place):
    """The place of a blob as errors name it."""
    if isinstance(place, str):
        return f"table {place}"
    if len(place) == 3:
        return f"run {place[1].run}, chunk {place[1].number}, {place[2]}"
    if hasattr(place, "timesteps"):
        return f"run {place.run}, checkpoint at step {place.timesteps}"
    return f"snapshot {place.kind}/{place.name}"


def test_what_is_altered_in_the_file_is_named_by_the_check(tmp_path, with_key):
    with open_store(tmp_path / "runs.db") as store:
        run = stores.fill(store)
        with inner(store)._transaction() as connection:
            sql = "SELECT steps_blob FROM chunks WHERE number = 0"
            blob = connection.execute(sql).fetchone()[0]
            connection.execute("UPDATE chunks SET steps_blob = ? WHERE number = 1", (blob,))
        assert [damage[:2] for damage in checking.check(store)] == [(run.id, "chunk 1, steps")]


@pytest.mark.parametrize("field", ["env_id", "note", "tags", "evaluation", "config"])
def test_a_text_that_was_altered_in_an_encrypted_list_is_damage(tmp_path, with_key, field):
    with open_store(tmp_path / "runs.db") as store:
        encrypting.encrypt(store, figures=True)
        run, other = (stores.fill(store, seed=seed, tags=["x"], note="y") for seed in (0, 1))
        get = f"SELECT {field}, agent_name FROM runs WHERE id = ?"  # noqa: S608  ours
        value, agent = inner(store)._rows(get, (run.id,))[0]
        for new in ("q-learning", agent, value[:-8] + "AAAA" + value[-4:]):
            with inner(store)._transaction() as connection:
                connection.execute(f"UPDATE runs SET {field} = ? WHERE id = ?", (new, run.id))  # noqa: S608  ours
            assert [each.id for each in store.runs()] == [other.id]
            assert [name for name, _ in store.damaged_runs()] == [run.id]


# ---------------------------------------------------------------- keys and counters


def counters(store):
    return [HEAD.unpack_from(blob)[1:] for blob in stored(store)]


def _write(place):
    with open_store(place) as store:
        stores.fill(store)


def _fork_and_write(store, seed):
    store.save_snapshot("buffer", f"fork {seed}", {"x": np.arange(seed)})
    os._exit(0)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_no_data_key_seals_twice_with_a_counter(tmp_path, with_key):
    place = str(tmp_path / "runs.db")
    with open_store(place) as store:
        stores.fill(store)
        for again in (pickle.loads(pickle.dumps(store)), copy.copy(store)):  # noqa: S301  our own
            stores.fill(again)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: store.save_snapshot("buffer", str(n), {"x": np.arange(n)}), range(40)))
        for seed in range(3):
            child = multiprocessing.get_context("fork").Process(target=_fork_and_write, args=(store, seed))
            child.start()
            child.join()
        _write(place)
        stores.fill(store)
        used = counters(store)
        assert len(set(used)) == len(used) > 60
        assert len({name for name, _ in used}) == 6, "this process, what was pickled, three forks, another opening"


def test_a_pickled_store_holds_no_key(tmp_path, with_key):
    with open_store(tmp_path / "runs.db") as store:
        stores.fill(store)
        secrets = [ONE.secret, *(wrapped.unwrap(ONE) for wrapped in store.backend.keyring.wrapped.values())]
        assert not any(secret in pickle.dumps(store) for secret in secrets)
        assert ONE.text() not in repr(store.backend.keyring.key)


def test_a_data_key_that_was_altered_is_damage(tmp_path, with_key):
    with open_store(tmp_path / "runs.db") as store:
        stores.fill(store)
        [wrapped] = store.backend.keyring.wrapped.values()
        for new in (wrapped._replace(sealed=wrapped.sealed[:-2] + "00"), wrapped._replace(strict=False)):
            store.backend.keyring.put(new)
            with (
                open_store(tmp_path / "runs.db") as again,
                pytest.raises(StoreError, match=f"the data key {wrapped.name} is damaged: restore"),
            ):
                list(again.chunks("latest"))


@pytest.mark.parametrize("text", ["01" * 32, "AQEB" * 10 + "AQE=", "AQEB" * 10 + "AQE=\n", " 01 01" + "01" * 30 + "\n"])
def test_a_key_is_read_from_hex_and_base64(tmp_path, text):
    (tmp_path / "key").write_text(text)
    assert read_key(tmp_path / "key").secret == ONE.secret


@pytest.mark.parametrize("text", ["", "01" * 31, "01" * 33, "zz" * 32, "AQEB", "\0" * 64, "é" * 40])
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path, text, monkeypatch):
    (tmp_path / "key").write_text(text)
    with pytest.raises(
        UsageError, match="must hold 32 bytes as hex or base64: `rlbench store key --out FILE` makes one"
    ) as e:
        read_key(tmp_path / "key")
    assert len(text) < 5 or text not in str(e.value)


def test_a_key_comes_from_one_place(tmp_path, monkeypatch):
    (tmp_path / "key").write_text(TWO.text())
    assert given_key() is None
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key"))
    assert given_key().id == TWO.id
    monkeypatch.setenv(KEY, ONE.text())
    with pytest.raises(UsageError, match=f"{KEY_FILE} and {KEY} both give a key: set one of them"):
        given_key()
    with keys.using(str(tmp_path / "key")):
        assert given_key().id == TWO.id
    monkeypatch.delenv(KEY_FILE)
    assert given_key().id == ONE.id
    monkeypatch.delenv(KEY)
    monkeypatch.setenv(KEY_COMMAND, f'"{sys.executable}" -c "print({TWO.text()!r})"')
    assert given_key().id == TWO.id
    for command in ("no-command-of-this-name", f"{sys.executable} -c 1/0", "'"):
        monkeypatch.setenv(KEY_COMMAND, command)
        with pytest.raises(UsageError, match=f"the command in {KEY_COMMAND} failed .*: it must print a key"):
            given_key()
    monkeypatch.setenv(KEY_COMMAND, f"{sys.executable} -c 0")
    with pytest.raises(UsageError, match=f"what the command in {KEY_COMMAND} prints must hold 32 bytes"):
        given_key()


def test_a_key_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"the key file .*gone cannot be read .*No such file"):
        read_key(tmp_path / "gone")


# ---------------------------------------------------------------- kills

WORKS = ("encrypt", "encrypt-figures", "rotate", "decrypt")


def assert_nothing_is_lost(nursery, new, kills, with_other_key):
    """Does the works in turn to stores, killed at random moments: each is finished by the next call."""
    dice = random.Random(kills)  # noqa: S311  not for secrets
    for work in WORKS:
        begins, ends = (ONE if work in ("rotate", "decrypt") else None), (TWO if work == "rotate" else ONE)
        steps, is_finished = nursery.do(work, new(begins)[0])
        assert is_finished
        killed, (url, before) = 0, new(begins)
        while killed < kills or not is_finished:
            most = None if killed == kills else dice.randint(1, max(2, steps // 3))
            _, is_finished = nursery.do(work, url, most)
            killed += not is_finished
            if is_finished or work != "rotate":  # which needs both keys on its way
                assert_reads(url, before, ends if is_finished else ONE, with_other_key)
            if is_finished and killed < kills:
                url, before = new(begins)


def assert_reads(url, before, key, with_other_key):
    with_other_key(key)
    with open_store(url) as store:
        assert read(store) == before
        assert list(checking.check(store)) == []


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery({**os.environ, KEY: ONE.text()})
    yield nursery
    nursery.close()


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.long)])
def test_works_on_a_file_may_be_killed_at_any_moment(tmp_path, nursery, kills, with_other_key):
    numbers = itertools.count()

    def new(key):
        path = str(tmp_path / f"{next(numbers)}.db")
        with_other_key(None)
        before = filled(path)
        if key is not None:
            with_other_key(key)
            with open_store(path) as store:
                encrypting.encrypt(store, figures=True)
        return path, before

    assert_nothing_is_lost(nursery, new, kills, with_other_key)


@pytest.mark.long
def test_works_on_a_server_may_be_killed_at_any_moment(emptied_url, nursery, with_other_key):
    def new(key):
        with_other_key(None)
        empty(emptied_url)
        before = filled(emptied_url)
        if key is not None:
            with_other_key(key)
            with open_store(emptied_url) as store:
                encrypting.encrypt(store, figures=True)
        return emptied_url, before

    assert_nothing_is_lost(nursery, new, 10, with_other_key)


def empty(url):
    """Empties a store on a server, its data keys too."""
    with open_store(url) as store:
        for collection in inner(store)._collections:
            if collection.name != "rlbench_meta":
                collection.delete_many({})
