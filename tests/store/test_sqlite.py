"""The SQLite store: what it refuses to open, what it survives, and how little it reads."""

import contextlib
import dataclasses
import gc
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from contracts import stores
from stages import killed_at_each_stage
from waiting import HANG

from rlbench.errors import StoreError
from rlbench.store import (
    TERMINATED,
    Checkpoint,
    EpisodeChunk,
    checking,
    codec,
    copying,
    documents,
    migrations,
    open_store,
    reading,
    sqlite,
)

NOBODY = 65534  # a user id without rights
REFUSING = "CREATE TRIGGER t BEFORE INSERT ON checkpoints BEGIN SELECT RAISE(ABORT, 'no room'); END"


def a_store(path, *, lengths=(3, 4)):
    """Makes a store with one run and returns the run's id."""
    with open_store(path) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, stores.make_chunk(0, list(lengths)), Checkpoint(2, 7, {"q": np.arange(3.0)}))
    return run.id


def change(path, sql, *values):
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql, values)


# ---------------------------------------------------------------- what it refuses


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.mkdir(), "is a folder, a store is a file: give .*/rlbench.db instead"),
        (lambda path: path.write_text("episode,reward\n1,2\n" * 100), "not an SQLite database"),
        (lambda path: path.write_bytes(b"\x80\x04\x95"), "not an SQLite database"),
        (lambda path: change(path, "CREATE TABLE customers (name TEXT)"), "is not an rlbench store"),
        (lambda path: change(path, "PRAGMA user_version = 3"), "is not an rlbench store"),
        (lambda path: change(path, "PRAGMA application_id = 7"), "is not an rlbench store"),
        (
            lambda path: (a_store(path), change(path, "PRAGMA user_version = 99")),
            r"newer rlbench \(schema 99\): upgrade",
        ),
        (os.mkfifo, "is not a regular file"),
    ],
)
def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path, make, complaint):
    path = tmp_path / "x"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    for options in ({}, {"read_only": True}, {"create": False}):
        with pytest.raises(StoreError, match=complaint) as error:
            open_store(path, **options)
        assert "\n" not in str(error.value)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("options", [{"create": False}, {"read_only": True}])
def test_a_missing_store_is_not_made_when_it_must_not_be(tmp_path, options):
    with pytest.raises(StoreError, match="there is no store at"):
        open_store(tmp_path / "x.db", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"the folder .*/nowhere does not exist: make it"):
        open_store(tmp_path / "nowhere" / "x.db")


@pytest.mark.parametrize("name", ["x" * 300, "\ud800.db"])
def test_an_impossible_name_is_a_clear_error(tmp_path, name):
    with pytest.raises(StoreError, match="cannot use the store"):
        open_store(f"{tmp_path}/{name}")


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "x.db").touch()
    a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db") as store:
        assert len(store.runs()) == 1


# ---------------------------------------------------------------- reading only


def test_a_store_opened_read_only_reads_and_does_not_write(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db", read_only=True) as store:
        assert len(store.episodes(run_id)[1]) == 4
        with pytest.raises(StoreError, match="it can only be read"):
            store.update_run(run_id, tags=["x"])
    assert [file.name for file in tmp_path.iterdir()] == ["x.db"]


@pytest.fixture
def public_folder():
    """A folder that everybody may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def without_rights():
    """Runs as a user who may write nothing here: root ignores file modes."""
    user = os.geteuid()
    if not hasattr(os, "seteuid") or (user != 0 and os.access not in os.supports_effective_ids):
        pytest.skip("this system cannot take rights away from a process")
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_a_file_that_may_not_be_written_can_be_read(public_folder, folder_mode):
    path = public_folder / "x.db"
    run_id = a_store(path)
    path.chmod(0o444)
    public_folder.chmod(folder_mode)
    with without_rights(), open_store(path) as store:
        assert len(store.episodes(run_id)) == 2
        with pytest.raises(StoreError, match="it can only be read"):
            store.create_run("Taxi-v4", "random", seed=0)
    public_folder.chmod(0o755)
    assert [file.name for file in public_folder.iterdir()] == ["x.db"]


def test_a_folder_that_may_not_be_written_takes_no_new_store(public_folder):
    public_folder.chmod(0o555)
    with without_rights(), pytest.raises(StoreError, match="its folder is not writable"):
        open_store(public_folder / "x.db")
    public_folder.chmod(0o755)
    assert list(public_folder.iterdir()) == []


def test_a_file_that_may_not_be_read_says_so(public_folder):
    path = public_folder / "x.db"
    a_store(path)
    path.chmod(0)
    with without_rights(), pytest.raises(StoreError, match="cannot be opened; check that you may"):
        open_store(path)


def test_a_store_that_another_user_is_writing_can_be_read(public_folder):
    path = public_folder / "x.db"
    with open_store(path) as writer:
        run = writer.create_run("Taxi-v4", "random", seed=0)
        writer.append(run.id, stores.make_chunk(0, [3]))
        for file in public_folder.iterdir():
            file.chmod(0o644)
        with without_rights(), open_store(path) as reader:
            assert len(reader.episodes(run.id)[0]) == 3
            with pytest.raises(StoreError, match="it can only be read"):
                reader.delete_run(run.id)


# ---------------------------------------------------------------- modes


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_store_is_its_owners_alone_and_so_are_the_files_beside_it(tmp_path):
    before = os.umask(0)
    try:
        with open_store(tmp_path / "x.db") as store:
            store.create_run("Taxi-v4", "random", seed=0)
            assert {file.name: mode_of(file) for file in tmp_path.iterdir()} == dict.fromkeys(
                ("x.db", "x.db-wal", "x.db-shm"), 0o600
            )
            assert mode_of(copying.backup(store, tmp_path / "backup.db")) == 0o600
            with open_store(tmp_path / "copy.db") as target:
                copying.copy(store, target)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "copy.db") == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o664])
def test_a_store_keeps_the_mode_it_is_given_and_its_backup_has_it_too(tmp_path, mode):
    path = tmp_path / "x.db"
    run_id = a_store(path)
    path.chmod(mode)
    before = os.umask(0o077)
    try:
        with open_store(path) as store:
            store.delete_run(run_id)
            store.backend.compact()
            copying.backup(store, tmp_path / "backup.db")
    finally:
        os.umask(before)
    assert (mode_of(path), mode_of(tmp_path / "backup.db")) == (mode, mode)


# ---------------------------------------------------------------- lost files


@pytest.mark.parametrize("fate", ["deleted", "moved", "replaced by another store", "replaced by its backup"])
def test_nothing_is_written_to_an_open_store_whose_file_is_gone(tmp_path, fate):
    path, other = tmp_path / "x.db", tmp_path / "y.db"
    with open_store(path) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, stores.make_chunk(0, [3]))
        if fate == "replaced by another store":
            a_store(other)
        elif fate == "replaced by its backup":
            copying.backup(store, other)
        if other.exists():
            other.replace(path)
        elif fate == "moved":
            path.replace(other)
        else:
            path.unlink()
        kept = path.read_bytes() if path.exists() else None
        for write in (
            lambda: store.append(run.id, stores.make_chunk(1, [3])),
            lambda: store.create_run("Taxi-v4", "random", seed=0),
            lambda: store.save_snapshot("buffer", "a", {}),
            lambda: store.delete_run(run.id),
        ):
            with pytest.raises(StoreError, match=r"x.db: its file was deleted or replaced while it was open"):
                write()
        assert len(store.episodes(run.id)) == 1  # what it holds can still be read
        assert (path.read_bytes() if path.exists() else None) == kept
    if fate == "moved":
        path = other
        other.replace(tmp_path / "x.db")
    if fate != "deleted":
        with open_store(tmp_path / "x.db") as again:
            assert list(checking.check(again)) == []


def test_a_store_behind_a_link_is_the_file_that_the_link_leads_to(tmp_path):
    a_store(tmp_path / "x.db")
    (tmp_path / "link.db").symlink_to("x.db")
    with open_store(tmp_path / "link.db") as store:
        store.create_run("Taxi-v4", "random", seed=0)
        (tmp_path / "link.db").unlink()
        with pytest.raises(StoreError, match="deleted or replaced"):
            store.create_run("Taxi-v4", "random", seed=1)


# ---------------------------------------------------------------- killed backups


def test_a_backup_killed_anywhere_leaves_nothing_that_the_next_does_not_sweep(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    backup = """
        with open_store("x.db", create=False) as store:
            copying.backup(store, Path.cwd() / "backup.db")
    """
    stages = 0
    for number in killed_at_each_stage(tmp_path, backup, "from rlbench.store import copying, open_store"):
        stages = number
        if (tmp_path / "backup.db").exists():  # then it is whole
            with open_store(tmp_path / "backup.db") as whole:
                assert list(checking.check(whole)) == []
            (tmp_path / "backup.db").unlink()
        with open_store(tmp_path / "x.db") as store:
            assert store.run("latest").id == run_id
            copying.backup(store, tmp_path / "backup.db")
        (tmp_path / "backup.db").unlink()
        assert [file.name for file in tmp_path.iterdir()] == ["x.db"]
    assert stages > 4


# ---------------------------------------------------------------- writers


def alike(chunks, rows):
    """A finished run in memory of very many equal episodes, with figures only."""
    store = open_store("memory://")
    run = store.create_run("Taxi-v4", "random", seed=0)
    ones = np.ones(rows, np.int64)
    for number in range(chunks):
        figures = {"return": ones.astype(float), "length": ones}
        store.append(run.id, EpisodeChunk(number * rows, 0, ones, np.full(rows, TERMINATED, np.uint8), figures))
    return store


def test_figures_may_be_small_on_disk_but_claim_no_more_than_a_run_can_hold(monkeypatch):
    monkeypatch.setattr(reading, "MOST_FIGURES", 2**18)
    with alike(chunks=8, rows=2**13) as store:
        assert len(store.figures("latest")["return"]) == 2**16
    pack = codec.pack
    monkeypatch.setattr(documents.codec, "pack", lambda columns, about, **_: pack(columns, about))
    with alike(chunks=8, rows=2**13) as store:
        with pytest.raises(StoreError, match=r"is damaged: [\d,]+ bytes of figures claim to hold 393,216"):
            store.figures("latest")
        assert store.run("latest").episodes == 2**16


def test_a_failed_append_leaves_nothing_behind(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db") as store:
        before = store.claim(run_id)
        change(tmp_path / "x.db", REFUSING)
        with pytest.raises(StoreError, match=r"cannot use the store .*x\.db: no room"):
            store.append(run_id, stores.make_chunk(2, [5]), Checkpoint(3, 12, {}), status="finished")
        assert store.run(run_id) == before
        assert len(list(store.chunks(run_id))) == 1
        assert [info.episodes for info in store.checkpoints(run_id)] == [2]


def test_a_full_disk_is_a_clear_error_and_loses_nothing(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db") as store:
        store.claim(run_id)
        store.backend._connection.execute("PRAGMA max_page_count = 25")
        noise = np.random.default_rng(0).random(100_000)
        before = stores.everything(store)
        for attempt in (
            lambda: store.append(run_id, stores.make_chunk(2, [5]), Checkpoint(9, 99, {"noise": noise})),
            lambda: store.save_snapshot("buffer", "a", {"noise": noise}),
            lambda: store.create_run("x" * 100_000, "random", seed=0),
        ):
            with pytest.raises(StoreError, match="the disk is full; make room"):
                attempt()
        assert stores.everything(store) == before
        assert list(checking.check(store)) == []


def test_a_second_writer_of_the_same_run_is_refused_until_the_first_has_closed(tmp_path):
    with open_store(tmp_path / "x.db") as other:
        with open_store(tmp_path / "x.db") as one:
            run = one.create_run("Taxi-v4", "random", seed=0)
            one.append(run.id, stores.make_chunk(0, [1]))
            for attempt in (lambda: other.append(run.id, stores.make_chunk(1, [9])), lambda: other.claim(run.id)):
                with pytest.raises(StoreError, match=f"is being written by another process .pid {os.getpid()} on"):
                    attempt()
            assert other.run(run.id).status == "running"
        assert other.run(run.id).status == "interrupted"
        other.claim(run.id)
        other.append(run.id, stores.make_chunk(1, [2]))
        assert [len(episode) for episode in other.episodes(run.id)] == [1, 2]


def test_a_store_that_was_forgotten_writes_nothing_any_more(tmp_path):
    store = open_store(tmp_path / "x.db")
    run_id = store.create_run("Taxi-v4", "random", seed=0).id
    store.backend._connection.close()
    del store
    gc.collect()
    with open_store(tmp_path / "x.db") as other:
        assert other.run(run_id).status == "interrupted"


def test_another_processes_transaction_is_waited_for_and_then_named(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db") as one, open_store(tmp_path / "x.db") as other:
        other.backend.wait_at_most(0.02)
        with one.backend._transaction():
            assert other.run(run_id).episodes == 2  # readers never wait
            with pytest.raises(StoreError, match="another process has been writing to it for too long"):
                other.update_run(run_id, tags=["x"])
        assert other.update_run(run_id, tags=["x"]).tags == ("x",)


def test_many_processes_may_make_and_fill_one_file_at_once(tmp_path):
    code = f"""
from rlbench.store import open_store
for i in range(20):
    with open_store({str(tmp_path / "x.db")!r}) as store:
        store.create_run("Taxi-v4", "random", seed=i)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(HANG) for process in processes] == [0] * 4
    with open_store(tmp_path / "x.db") as store:
        assert len(store.runs()) == 80


def test_a_store_that_nobody_closes_leaves_one_file_even_if_its_process_ends_without_looking_for_garbage(tmp_path):
    code = f"""
import gc
from rlbench.store import open_store
store = open_store({str(tmp_path / "x.db")!r})
store.create_run("Taxi-v4", "random", seed=0)
store.itself = store
del store
gc.freeze()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.db"]


def test_a_store_may_be_used_from_another_thread(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db") as store:
        found = []
        thread = threading.Thread(target=lambda: found.append(store.run(run_id)))
        thread.start()
        thread.join()
        assert found == [store.run(run_id)]


def test_a_store_whose_writer_was_killed_opens_with_all_that_was_acknowledged(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(Path(stores.__file__).parents[1])!r})
from contracts import stores
from rlbench.store import open_store
store = open_store({str(tmp_path / "x.db")!r})
run = store.create_run("Taxi-v4", "random", seed=0)
for i in range(10**6):
    store.append(run.id, stores.make_chunk(i, [3]))
    print(i, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for line in writer.stdout:
        if int(line) >= 25:
            writer.send_signal(signal.SIGKILL)
            break
    acknowledged = [int(line), *map(int, writer.stdout.read().split())][-1] + 1
    writer.stdout.close()
    writer.wait()
    assert (tmp_path / "x.db-wal").stat().st_size > 0
    with open_store(tmp_path / "x.db", read_only=True) as store:
        assert store.run("latest").episodes in (acknowledged, acknowledged + 1)
        assert store.run("latest").status == "interrupted"
        assert all(len(episode) == 3 for episode in store.episodes("latest"))


# ---------------------------------------------------------------- schema


def test_a_migration_that_fails_leaves_the_version_before(tmp_path, monkeypatch):
    run_id = a_store(tmp_path / "x.db")

    def fails(connection):
        connection.execute("ALTER TABLE runs ADD COLUMN mood TEXT")
        connection.execute("ALTER TABLE nowhere ADD COLUMN mood TEXT")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, fails))
    with pytest.raises(StoreError, match="no such table: nowhere"):
        open_store(tmp_path / "x.db")
    monkeypatch.undo()
    with open_store(tmp_path / "x.db") as store:
        assert store.run(run_id).episodes == 2


# ---------------------------------------------------------------- damage


def test_a_flipped_byte_in_a_blob_is_an_error_that_says_where(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    with open_store(tmp_path / "x.db") as store:
        for column, part in (
            ("segments_blob", "segments"),
            ("steps_blob", "steps"),
            ("figures_blob", "figures"),
        ):
            [(blob,)] = store.backend._rows(f"SELECT {column} FROM chunks")  # noqa: S608  from the line above
            for position in range(0, len(blob), 7):
                damaged = bytearray(blob)
                damaged[position] ^= 0x10
                store.backend._connection.execute(f"UPDATE chunks SET {column} = ?", (bytes(damaged),))  # noqa: S608
                with pytest.raises(StoreError, match=f"run {run_id}, chunk 0, {part}.* is damaged"):
                    list(store.chunks(run_id))
            store.backend._connection.execute(f"UPDATE chunks SET {column} = ?", (blob,))  # noqa: S608
        assert len(list(store.chunks(run_id))) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE chunks SET first_episode = 1",
        "UPDATE chunks SET first_step = 1",
        "UPDATE chunks SET number = 1",
        "UPDATE chunks SET segments = 3",
        "UPDATE chunks SET steps = 2",
        "UPDATE chunks SET steps = 'many'",
        "UPDATE chunks SET steps_blob = figures_blob",
        "UPDATE chunks SET steps_blob = 'text'",
        "UPDATE chunks SET segments_blob = x''",
        "UPDATE runs SET chunks = 2",
        "UPDATE runs SET chunks = 'x'",
        "UPDATE runs SET config = '{'",
        "UPDATE runs SET tags = '{'",
        "UPDATE runs SET seed = 'x'",
        "UPDATE checkpoints SET episodes = 3",
        "UPDATE checkpoints SET state_blob = x'00'",
        "DELETE FROM chunks",
    ],
)
def test_a_record_that_was_tampered_with_is_found(tmp_path, sql):
    run_id = a_store(tmp_path / "x.db")
    change(tmp_path / "x.db", sql)

    def read_all(store):
        store.run(run_id)
        store.checkpoint(run_id)
        return [*store.chunks(run_id), *store.episodes(run_id)]

    with open_store(tmp_path / "x.db") as store, pytest.raises(StoreError, match=r"damaged|missing"):
        read_all(store)


def use_all(path, *, read_only):
    """Reads, checks, copies and changes what can be read; lets any error but a StoreError through."""
    with contextlib.suppress(StoreError), open_store(path, read_only=read_only) as store:
        for run in store.runs():
            with contextlib.suppress(StoreError):
                store.checkpoint(run.id)
                store.figures(run.id)
                list(store.episodes(run.id))
        with contextlib.suppress(StoreError), open_store("memory://") as other:
            copying.copy(store, other)
        with contextlib.suppress(StoreError):
            checking.info(store)
        assert all(isinstance(damage.problem, str) for damage in checking.check(store))
        if not read_only:
            run_id = store.claim("latest" if not store.runs() else store.runs()[0].id).id
            store.append(run_id, checkpoint=Checkpoint(1, 3, {}))
            store.append(run_id, stores.make_chunk(0, [3]))
            store.backend.compact()


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    """The bytes of a store with something of everything."""
    path = tmp_path_factory.mktemp("small") / "x.db"
    with open_store(path) as store:
        stores.fill(store, tags=["a"])
        store.save_snapshot("buffer", "a", {"x": np.arange(9)}, {"n": 1})
        copying.backup(store, path.with_name("y.db"))
    return path.with_name("y.db").read_bytes()


def test_a_byte_flipped_anywhere_in_the_file_raises_nothing_but_store_errors(tmp_path, small_file):
    used = [position for position, byte in enumerate(small_file) if byte]
    for position in used[:: len(used) // 250]:
        (tmp_path / "x.db").write_bytes(stores.flipped(small_file, position, 0x15))
        use_all(tmp_path / "x.db", read_only=True)


def test_many_bytes_flipped_at_random_raise_nothing_but_store_errors(tmp_path, small_file):
    dice = np.random.default_rng(0)
    for i in range(150):
        damaged = np.frombuffer(small_file, np.uint8).copy()
        where = dice.integers(0, len(damaged), int(dice.integers(1, 30)))
        damaged[where] = dice.integers(0, 256, len(where))
        (tmp_path / f"{i}.db").write_bytes(damaged)
        use_all(tmp_path / f"{i}.db", read_only=bool(i % 2))


def test_a_file_cut_short_anywhere_raises_nothing_but_store_errors(tmp_path, small_file):
    for i, size in enumerate(np.random.default_rng(1).integers(1, len(small_file), 60)):
        (tmp_path / f"{i}.db").write_bytes(small_file[:size])
        use_all(tmp_path / f"{i}.db", read_only=bool(i % 2))


def test_a_file_whose_records_belong_to_no_run_is_damaged(tmp_path):
    run_id = a_store(tmp_path / "x.db")
    change(tmp_path / "x.db", "UPDATE chunks SET run = 'nobody'")
    with open_store(tmp_path / "x.db") as store:
        found = list(checking.check(store))
    assert ("", "store", "a row of chunks belongs to no run") in found
    assert (run_id, "chunk 0", "missing") in found


def test_compacting_gives_back_the_room_of_what_was_deleted(tmp_path):
    with open_store(tmp_path / "x.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, checkpoint=Checkpoint(0, 0, {"q": np.random.default_rng(0).random(10**6)}))
        full = checking.info(store)["bytes"]
        store.delete_run(run.id)
        store.backend.compact()
        assert checking.info(store)["bytes"] < full / 20
        assert checking.info(store)["bytes"] == (tmp_path / "x.db").stat().st_size
    with open_store(tmp_path / "x.db", read_only=True) as store, pytest.raises(StoreError, match="can only be read"):
        store.backend.compact()


# ---------------------------------------------------------------- how little is read


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """A run of 100,000 episodes of 2 steps in 20 chunks."""
    path = tmp_path_factory.mktemp("long") / "x.db"
    n = 5000
    steps = {
        "observations": np.zeros(3 * n, int),
        "actions": np.zeros(2 * n, int),
        "rewards": np.zeros(2 * n),
    }
    with open_store(path) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        for first in range(0, 20 * n, n):
            numbered = {**steps, "observations": np.repeat(first + np.arange(n), 3)}
            figures = {"return": np.arange(first, first + n)}
            store.append(run.id, EpisodeChunk(first, 0, np.full(n, 2), np.ones(n, np.uint8), figures, numbered))
    return path


@pytest.fixture
def unpacked(monkeypatch):
    """Which blobs were unpacked, in order."""
    seen, unpack = [], codec.unpack

    def noted(blob, where, names=None):
        seen.append(where.split(", ")[1:])
        return unpack(blob, where, names)

    monkeypatch.setattr(codec, "unpack", noted)
    return seen


@pytest.mark.parametrize("index", [0, 4999, 5000, 77_777, 99_999])
def test_finding_one_episode_of_many_decodes_one_chunk(long_run, unpacked, index):
    with open_store(long_run) as store:
        episode = store.episodes("latest")[index]
    assert (episode.index, episode.observations.tolist()) == (index, [index] * 3)
    assert unpacked == [[f"chunk {index // 5000}", "segments"], [f"chunk {index // 5000}", "steps"]]


def test_going_through_all_episodes_decodes_each_chunk_once(long_run, unpacked):
    with open_store(long_run) as store:
        assert sum(1 for _ in store.episodes("latest")) == 100_000
    assert [chunk for chunk, part in unpacked if part == "steps"] == [f"chunk {i}" for i in range(20)]


def test_figures_that_do_not_follow_from_the_steps_are_read_without_them(long_run, unpacked):
    with open_store(long_run) as store:
        assert np.array_equal(store.figures("latest")["return"], np.arange(100_000))
    assert {part for _, part in unpacked} == {"segments", "figures"}


def test_a_long_episode_costs_each_of_its_chunks_once(tmp_path, unpacked):
    chunk = stores.make_chunk(0, [5], last_end=stores.OPEN)
    with open_store(tmp_path / "x.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, chunk)
        store.append(run.id, dataclasses.replace(chunk, first_step=5))
        store.append(run.id, stores.make_chunk(0, [5, 5], first_step=10))
        assert [len(episode) for episode in store.episodes(run.id)] == [15, 5]
    assert [name for name, part in unpacked if part == "steps"] == ["chunk 0", "chunk 1", "chunk 2"]


def test_runs_are_listed_and_sorted_from_an_index(tmp_path):
    with open_store(tmp_path / "x.db") as store:
        for column in ("env_id", "agent_name", "status", "cache_key"):
            sql = f"SELECT * FROM runs WHERE {column} = 'x' ORDER BY rowid DESC"  # noqa: S608  from the tuple
            plan = store.backend._rows("EXPLAIN QUERY PLAN " + sql)
            assert f"runs_by_{column}" in plan[0][3]
            assert "TEMP B-TREE" not in str(plan)


def test_what_is_larger_than_a_row_may_be_is_kept_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "PART", 1000)
    noise = np.random.default_rng(0).random(1000)
    parts = "SELECT count(DISTINCT row), sum(length(data)) FROM parts"
    with open_store(tmp_path / "x.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        for steps in (3, 4):  # the second takes the place of the first
            store.append(run.id, checkpoint=Checkpoint(1, steps, {"noise": noise * steps}))
            store.save_snapshot("buffer", "a/b", {"noise": noise + steps})
        store.append(run.id, status="finished")
        assert store.checkpoint(run.id).arrays["noise"].tolist() == (noise * 4).tolist()
        assert store.load_snapshot("buffer", "a/b")[0]["noise"].tolist() == (noise + 4).tolist()
        [(rows, size)] = store.backend._rows(parts)
        assert (rows, size > 10_000) == (2, True)
        assert list(checking.check(store)) == []
        with open_store("memory://") as other:
            copying.copy(store, other)
            assert stores.everything(other) == stores.everything(store)
        store.backend._connection.execute("DELETE FROM parts WHERE number = 3")
        assert {damage.where for damage in checking.check(store)} == {"checkpoint at step 4", "snapshot buffer/a/b"}
        store.delete_run(run.id)
        store.delete_snapshot("buffer", "a/b")
        assert store.backend._rows(parts) == [(0, None)]
