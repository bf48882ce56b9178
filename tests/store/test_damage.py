"""Stores damaged in every column of every table, and in the bytes of the file: reported in a line, never believed."""

import collections
import contextlib
import io
import itertools
import random
import sqlite3

import numpy as np
import pytest
from contracts import stores

from rlbench.cli import main
from rlbench.errors import RlbenchError
from rlbench.store import checking, copying, open_store

VALUES = (
    *(
        None,
        0,
        -1,
        1,
        2**62,
        -(2**63),
        0.5,
        float("inf"),
        "",
        "x",
        "0",
        "null",
        "[]",
        "{}",
        "[1]",
        '{"a": [{}]}',
        "\x1b[2J",
    ),
    *("[" * 5000, "9" * 400, "1999-01-01T00:00:00+00:00", b"", b"x", b"\xff" * 64, b"RLB1" + bytes(60)),
)
COMMANDS = (  # each reads the whole store or a part of it, and writes nothing to it
    ("store", "check"),
    ("store", "info"),
    ("runs",),
    ("runs", "--json"),
    ("export", "latest", "--out", "out.csv", "--what", "results", "--force"),
    ("export", "latest", "--out", "out.json", "--what", "results", "--force"),
    ("store", "copy", "x.db", "copied.db"),
    ("model", "list"),
)
UNFORESEEN = "RLBENCH_DEBUG=1 shows where"  # what the command line says of an error that nobody wrote a line for
READ_ONLY_TABLES = """SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                      AND name != 'tables'"""  # the contract damages these: they have no rowid


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a store with something of everything, and what it holds."""
    path = tmp_path_factory.mktemp("whole") / "x.db"
    with open_store(path) as store:
        stores.fill(store, tags=["a"])
        stores.fill(store, seed=1)
        store.save_snapshot("buffer", "a", {"x": np.arange(9)}, {"n": 1})
        store.reserve("model", "tree@1")
        copying.backup(store, path.with_name("y.db"))
    with open_store(path.with_name("y.db"), read_only=True) as store:
        return path.with_name("y.db").read_bytes(), stores.everything(store)


def damaged_columns(path):
    """Yields (what, damage): other values for each column of each table; the schema says which there are."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        for (table,) in database.execute(READ_ONLY_TABLES).fetchall():
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            rows = database.execute(f"SELECT rowid FROM {table} LIMIT 1").fetchall()  # noqa: S608  names of the schema
            for column, (rowid,) in itertools.product(columns, rows):
                sql = f"SELECT {column} FROM {table} WHERE rowid = ?"  # noqa: S608  names of the schema
                (value,) = database.execute(sql, (rowid,)).fetchone()
                for other in (*VALUES, *_like(value)):
                    if other != value or type(other) is not type(value):
                        yield f"{table}.{column} = {other!r:.40}", (table, column, rowid, other)


def _like(value):
    """Values of the same kind that differ by little."""
    if isinstance(value, bytes):
        middle = len(value) // 2
        return (value[:middle], value + b"x", *(stores.flipped(value, at) for at in {0, 9, middle, len(value) - 1}))
    if isinstance(value, str):
        return (value[:-1], value + "0", value.swapcase(), value.replace("0", "1", 1))
    return (value + 1, value - 1) if isinstance(value, int) else ()


def put(path, table, column, rowid, value):
    """Damages one value; False if the schema does not let it in."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        try:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, rowid))  # noqa: S608  ours
        except (sqlite3.IntegrityError, UnicodeEncodeError):
            return False
    return True


def judged(path, kept):
    """Returns what is wrong with how a damaged store is read: tracebacks, and damage that is not reported."""
    faults, codes = [], {}
    for command in COMMANDS:
        code, text = _run(*command, *(() if "copy" in command else ("--store", "x.db")))
        codes[command] = code
        if UNFORESEEN in text or "Traceback" in text:
            faults.append(f"traceback of {' '.join(command)}: {text.strip()[-160:]}")
    if codes["store", "check"] == 0 and _holds(path) != kept:
        faults.append("silently wrong")
    for left in path.parent.glob("copied.db*"):
        left.unlink()
    return [*faults, *_faults_of_episodes(path)]


def _faults_of_episodes(path):
    """Reads every episode from Python; yields the errors that are not rlbench's."""
    with contextlib.suppress(RlbenchError), open_store(path, read_only=True) as store:
        for run_id in [document["id"] for document in store.backend.select_runs({}, None)]:
            try:
                assert all(len(episode.rewards) == episode.length for episode in store.episodes(run_id))
            except RlbenchError:
                continue
            except Exception as error:  # noqa: BLE001  what is looked for
                yield f"traceback of an episode: {error!r:.160}"


def _run(*command):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as exited:
        main(list(command))
    return exited.value.code, said.getvalue()


def _holds(path):
    try:
        with open_store(path, read_only=True) as store:
            assert list(checking.check(store)) == []
            return stores.everything(store)
    except RlbenchError:
        return None


def survey(folder, whole, damages):
    """Judges many damaged stores; returns how often each fault was seen."""
    found, (image, kept) = collections.Counter(), whole
    for what, damage in damages:
        path = folder / "x.db"
        for left in folder.glob("x.db*"):
            left.unlink()
        path.write_bytes(image)
        if damage(path):
            found.update(f"{what.partition(' = ')[0]}: {fault}" for fault in judged(path, kept))
    return found


def of_columns(folder, image):
    path = folder / "seen.db"
    path.write_bytes(image)
    return [(what, lambda path, damage=damage: put(path, *damage)) for what, damage in damaged_columns(path)]


def of_bytes(image, count, seed):
    """Damages of the file itself: cut off, or a few of its bytes changed."""
    dice = random.Random(seed)  # noqa: S311  no secrets
    for _ in range(count):
        changed = bytearray(image)
        if dice.random() < 0.1:
            del changed[dice.randrange(len(changed)) :]
        else:
            for at in dice.sample(range(len(changed)), dice.choice((1, 1, 2, 16))):
                changed[at] ^= dice.randrange(1, 256)
        yield "file", lambda path, changed=bytes(changed): bool(path.write_bytes(changed)) or True


def test_a_store_without_damage_is_read_by_every_command(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.db").write_bytes(whole[0])
    outcomes = {command: _run(*command, *(() if "copy" in command else ("--store", "x.db"))) for command in COMMANDS}
    assert {command: outcome for command, outcome in outcomes.items() if outcome[0]} == {}
    assert judged(tmp_path / "x.db", whole[1]) == []


def test_a_sample_of_damages_to_columns_is_told_in_lines(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    damages = random.Random(0).sample(of_columns(tmp_path, whole[0]), 12)  # noqa: S311  no secrets
    assert not survey(tmp_path, whole, damages)


def test_json_too_deep_to_be_gone_through_is_damage_that_blocks_no_other_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deep = "[" * 900 + "]" * 900
    forged = ({"config": f'{{"agent":{{"parameters":{{"x":{deep}}}}}}}'}, {"evaluation": f'[{{"x":{deep}}}]'})
    with open_store("x.db") as store:
        sound, *damaged = (stores.fill(store).id for _ in range(3))
        for run_id, changes in zip(damaged, forged, strict=True):
            stores.rewrite(store, run_id, **changes)
    for command in (("runs", "--json"), ("store", "sql", "SELECT run, config, evaluation FROM runs", "--json")):
        code, text = _run(*command, "--store", "x.db")
        assert (code, [text.count(run_id) for run_id in (sound, *damaged)]) == (0, [1, 1, 1])


@pytest.mark.long
def test_every_damage_to_a_column_is_told_in_lines(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    damages = of_columns(tmp_path, whole[0])
    assert len(damages) > 1000
    assert not survey(tmp_path, whole, damages)


@pytest.mark.long
def test_hundreds_of_files_with_changed_bytes_are_read_without_a_traceback(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    assert not survey(tmp_path, whole, of_bytes(whole[0], 300, seed=0))
