"""Damaged inputs of every kind, each judged by what the public functions make of it.

A kind prepares a whole input once, and returns the judge of one damage, drawn from dice: "refused" in a line, "noticed"
by `check`, "harmless" (the values are the original's), "sound" (forged behind right checksums, and used as any other
without harm), or "wrong": believed although it differs. Whatever else is raised, or a crash, is a fault too.
"""

import contextlib
import io
import json
import random
import sqlite3
import warnings
import zlib
from dataclasses import replace
from types import SimpleNamespace

import mongomock
import numpy as np
import pytest
from contracts import stores
from contracts.agents import going_on
from hostile import mutations

import rlbench
from rlbench import presets
from rlbench.agents import AGENTS
from rlbench.cli import main
from rlbench.errors import RlbenchError
from rlbench.exchange import export, import_run
from rlbench.modelling import load_built_in, load_model, models, save_model, train_model
from rlbench.store import Store, checking, codec, copying, documents, open_store, spool
from rlbench.store.sqlite import SqliteBackend
from rlbench.training.checkpoints import load

ODD = (
    *(None, 0, -1, 1, 2**62, -(2**63), 0.5, float("inf"), "", "x", "0", "null", "[]", "{}", "[1]", '{"a": [{}]}'),
    *("\x1b[2J", "[" * 5000, "9" * 400, "1999-01-01T00:00:00+00:00", b"", b"x", b"\xff" * 64, b"RLB1" + bytes(60)),
)
LONGEST = 2000  # characters of a line
PLAIN = (None, True, -1, 0, 1, 7, 2**31, 2**62, 2**70, 0.5, float("nan"), 1e308, "", "x", "1", [], [[]], {}, {"a": 1})


# ---------------------------------------------------------------- damages


def other(value, dice):
    """A value to replace another: an odd one, or one of its type that differs a little."""
    if dice.random() < 0.4:
        return dice.choice(ODD)
    if isinstance(value, bytes):
        return bytes(of_bytes(value, dice)) if value else b"x"
    if isinstance(value, str):
        at = dice.randrange(len(value) + 1)
        return value[:at] + dice.choice(("", "0", "x", "é", value[:at])) + value[at + dice.randrange(3) :]
    return value + dice.choice((-1, 1, 2, 256)) if isinstance(value, int | float) else dice.choice(ODD)


def of_bytes(blob, dice):
    """Bytes with a few changed, duplicated or removed, or cut off."""
    changed = bytearray(blob)
    at, act = dice.randrange(len(changed)), dice.random()
    if act < 0.1:
        del changed[at:]
    elif act < 0.2:
        del changed[at : at + dice.choice((1, 2, 16))]
    elif act < 0.3:
        changed[at:at] = changed[at : at + dice.choice((1, 2, 16))]
    else:
        for place in (at, *(dice.randrange(len(changed)) for _ in range(dice.choice((0, 0, 1, 15))))):
            changed[place] ^= dice.randrange(1, 256)
    return changed


def of_json(value, dice):
    """A JSON value of which one part is replaced, missing or duplicated."""
    value = json.loads(json.dumps(value))
    holder, key = dice.choice(list(_places(value)))
    act = dice.random()
    if act < 0.2:
        del holder[key]
    elif act < 0.4:
        source, name = dice.choice(list(_places(value)))
        holder[key] = json.loads(json.dumps(source[name]))
    else:
        holder[key] = dice.choice(PLAIN)
    return value


def _places(value):
    """Yields each container inside a JSON value, with each key or index in it."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def mutated(value, dice):
    """A mutated entry of a state."""
    return dice.choice(list(mutations(value, np.random.default_rng(dice.randrange(2**32)))))


# ---------------------------------------------------------------- stores


def _whole_store(store):
    with pytest.MonkeyPatch.context() as patched:  # the same ids each time: the dice see the same bytes
        ids = random.Random(0)  # noqa: S311  no secrets
        patched.setattr("secrets.token_hex", lambda size: ids.randbytes(size).hex())
        _fill(store)


def _fill(store):
    stores.fill(store, tags=["a"], chunks=3)
    short = stores.fill(store, chunks=2, seed=1)
    at = store.checkpoints(short.id)[0]
    long = store.create_run("Taxi-v4", "q-learning", seed=1, parents=[short.id], base=short.id, checkpoint=at)
    store.append(long.id, stores.make_chunk(3, [2]), status="interrupted")
    store.save_snapshot("buffer", "a", {"x": np.arange(9)}, {"n": 1})
    store.reserve("model", "tree@1")


@contextlib.contextmanager
def allowed():
    """Lets an error of ours pass, if it is one line."""
    try:
        yield
    except RlbenchError as error:
        if not is_line(error):
            raise TypeError(f"not one line: {error}") from error


def is_line(error):
    """Whether an error says what is wrong in one line of some length."""
    return "\n" not in str(error) and len(str(error)) < LONGEST


def copied(store):
    """Copies a store into memory."""
    with open_store("memory://") as target:
        copying.copy(store, target)


READERS = (
    lambda store: store.runs(limit=1),
    lambda store: store.runs(status="interrupted", on_damaged=lambda *_: None),
    checking.info,
    models,
    lambda store: store.reserved("model"),
    lambda store: store.load_snapshot("buffer", "a"),
    copied,
)
OF_A_RUN = (
    Store.run,
    Store.figures,
    lambda store, run: list(store.chunks(run)),
    lambda store, run: list(store.episodes(run)),
    lambda store, run: store.episodes(run, slice(-1, None))[:],
    Store.checkpoint,
    lambda store, run: [store.counts_at(run, info) for info in store.checkpoints(run)],
    rlbench.load_run,
    lambda store, run: list(checking.check(store, run)),
)
WRITERS = (
    lambda store, run: store.update_run(run, note="n"),
    Store.delete_run,
    Store.claim,
    lambda store, run: [
        store.create_run("x", "y", seed=0, base=run, checkpoint=info) for info in store.checkpoints(run)[:1]
    ],
    lambda store, run: store.save_snapshot("buffer", "a", {}),
    lambda store, run: store.sweep("import"),
    lambda store, run: store.backend.compact(),
)


def judged(store, kept, dice, *, writes=True):
    """What becomes of a damaged store at some of its doors, and whether its damage is noticed."""
    ids = [str(document.get("id")) for document in store.backend.select_runs({}, None)] or ["latest"]
    with allowed():
        dice.choice(READERS)(store)
    with allowed():
        dice.choice(OF_A_RUN)(store, dice.choice(ids))
    found = list(checking.check(store))
    verdict = "noticed" if found else "harmless" if stores.everything(store) == kept else "wrong"
    if writes:
        with allowed():
            dice.choice(WRITERS)(store, dice.choice(ids))
    return verdict


def _image(folder):
    with open_store(folder / "whole.db") as store:
        _whole_store(store)
        copying.backup(store, folder / "image.db")
    with open_store(folder / "image.db", read_only=True) as store:
        return (folder / "image.db").read_bytes(), stores.everything(store)


def columns(folder):
    """Columns, rows and blobs of a SQLite file."""
    image, kept = _image(folder)

    def judge(dice):
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.deserialize(image)
            for _ in range(dice.choice((1, 1, 1, 2))):
                _damage_table(database, dice)
            return judged(Store(SqliteBackend("memory://", database)), kept, dice)

    return judge


def _damage_table(database, dice):
    table = dice.choice(("runs",) * 4 + ("chunks",) * 3 + ("checkpoints",) * 2 + ("snapshots", "owners"))
    rows = [row for (row,) in database.execute(f"SELECT rowid FROM {table}")]  # noqa: S608  ours
    if not rows:
        return
    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    column, row, another = dice.choice(names), dice.choice(rows), dice.choice(rows)
    act = dice.random()
    with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):
        if act < 0.05 and table in ("chunks", "checkpoints", "owners"):  # else it would be deleted, as by its user
            database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))  # noqa: S608  ours
            return
        asked = row if act < 0.9 else another
        (value,) = database.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (asked,)).fetchone()  # noqa: S608
        value = other(value, dice) if asked == row else value
        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))  # noqa: S608  ours


def files(folder):
    """The bytes of a SQLite file."""
    image, kept = _image(folder)

    def judge(dice):
        for left in folder.glob("x.db*"):
            left.unlink()
        (folder / "x.db").write_bytes(of_bytes(image, dice))
        with open_store(folder / "x.db", read_only=dice.random() < 0.5) as store:
            return judged(store, kept, dice)

    return judge


def mongodb(folder):
    """The documents of a MongoDB database."""
    server = mongomock.store.ServerStore()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pymongo.MongoClient", lambda url, **_: mongomock.MongoClient(url, _store=server))
        store = open_store("mongodb://h/x")
    _whole_store(store)
    for run in store.runs(status="running"):
        store.append(run.id, status="interrupted")
    kept, there = stores.everything(store), store.backend._collections

    def judge(dice):
        held = (*[there.runs] * 4, *[there.chunks] * 3, *(other for other in there[3:] if other.find_one()))
        collection = dice.choice(held)
        whole = dice.choice(list(collection.find()))
        damaged = _damaged_document(whole, dice, may_go=collection not in (there.runs, there.snapshots))
        try:
            collection.delete_one({"_id": whole["_id"]})
            if damaged is not None:
                collection.insert_one(damaged)
            store.backend._known.clear()
            return judged(store, kept, dice, writes=False)
        finally:
            if damaged is not None:
                collection.delete_one({"_id": damaged["_id"]})
            collection.insert_one(whole)

    return judge


def _damaged_document(whole, dice, *, may_go):
    """A document with a changed field, or, if it `may_go`, None: deleted, as its user might have done with others."""
    damaged, name = dict(whole), dice.choice([name for name in whole if name != "_id"])
    act = dice.random()
    if act < 0.05 and may_go:
        return None
    if act < 0.15:
        del damaged[name]
    elif isinstance(whole[name], dict | list):
        damaged[name] = of_json({name: whole[name]}, dice).get(name) if dice.random() < 0.7 else dice.choice(ODD)
    else:
        damaged[name] = other(whole[name], dice)
    if isinstance(damaged.get(name), int) and not -(2**63) <= damaged[name] < 2**63:
        damaged[name] = 2**63 - 1  # a larger one cannot be stored
    return damaged


def records(folder):
    """Records forged behind right checksums, as the command line shows them."""
    run = rlbench.train("FrozenLake-v1", episodes=3, seed=0, store=folder / "records.db", engine="python")
    run.store.update_run(run.id, evaluation={"mean_return": 1.0})
    document = run.store.backend.select_runs({"id": run.id}, 1)[0]
    run.store.close()
    of_run = (("lineage", run.id), ("show", run.id), ("show", run.id, "--json"))
    shown = (("runs",), ("runs", "--json"), ("runs", "--cache"), ("store", "info"), *(("runs", *one) for one in of_run))

    def judge(dice):
        name = dice.choice(("config", "config", "evaluation", "cache", "owners", "tags", "parents", "seed", "seconds"))
        forged = {**document, name: _forged(document[name], name, dice)}
        with contextlib.closing(sqlite3.connect(folder / "records.db")) as database, database:
            forged |= _sums(forged)
            values = {key: json.dumps(value) if isinstance(value, list) else value for key, value in forged.items()}
            sets = ", ".join(f"{key} = :{key}" for key in (name, "record_sum", "notes_sum"))
            try:
                database.execute(f"UPDATE runs SET {sets}", values)  # noqa: S608  ours
            except (sqlite3.Error, OverflowError):
                return "refused"
            database.execute(f"UPDATE runs SET {sets}", values)  # noqa: S608  ours
        asked = dice.choice(shown)
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as exited:
            main([*asked, "--store", str(folder / "records.db")])
        assert "RLBENCH_DEBUG=1 shows where" not in said.getvalue(), f"{asked}: {said.getvalue()[-300:]}"
        with allowed(), open_store(folder / "records.db", read_only=True) as store:
            dice.choice(OF_A_RUN)(store, run.id)
        return "refused" if exited.value.code else "sound"

    return judge


def _forged(value, name, dice):
    if name in ("tags", "parents"):
        return of_json(["a", "b"], dice)
    if name in ("seed", "seconds"):
        return other(value, dice)
    found = json.loads(value)
    return json.dumps(of_json(found, dice) if found else dice.choice(PLAIN))


def _sums(document):
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        return documents.sums(document)
    return {}


# ---------------------------------------------------------------- blocks, states, models


def blocks(folder):
    """Packed blocks: their bytes, and headers forged behind right checksums."""
    dtypes = ("f8", "f4", "i8", "u2", "?", "c16")
    arrays = {dtype: np.arange(24).reshape(4, 6).astype(dtype) for dtype in dtypes} | {"e": np.empty((0, 3))}
    about = {"run": "a", "n": [1, {"x": None}]}
    whole = codec.pack(arrays, about)
    size = codec.PREFIX.unpack_from(whole)[1]
    header, body = json.loads(whole[codec.PREFIX.size :][:size]), whole[codec.PREFIX.size + size :]

    def judge(dice):
        is_forged = dice.random() < 0.6
        if is_forged:
            forged = json.dumps(of_json(header, dice)).encode()
            blob = codec.PREFIX.pack(codec.MAGIC, len(forged), zlib.crc32(forged)) + forged + body
        else:
            blob = bytes(of_bytes(whole, dice))
        codec.verify(blob)
        found, told = codec.unpack(blob)
        is_same = told == about and _bits(found) == _bits(arrays)
        return "harmless" if is_same else "sound" if is_forged else "wrong"

    return judge


def _bits(arrays):
    return {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


SMALL = {"learning_starts": 5, "batch_size": 4, "buffer_size": 30}
VARIANTS = (
    *((name, SMALL if name == "replay-q" else {}) for name in AGENTS),
    ("td0", {"values": "q", "policy": [1, 0, 1]}),
    ("dyna-q", {"outcomes": 3}),
    ("bandit", {"method": "gradient"}),
    ("q-learning", {"exploration": "ucb"}),
    ("expected-sarsa", {"exploration": "softmax"}),
    ("dyna-q", {"planning": "prioritized"}),
    ("replay-q", {"replay": "prioritized", "n_step": 2, **SMALL}),
)


def states(folder):
    """Checkpoints of every agent, forged behind right checksums."""
    made = [going_on(AGENTS[name](3, 2, seed=1, **parameters)) for name, parameters in VARIANTS]
    whole = [agent.state_dict() for agent in made]

    def judge(dice):
        number = dice.randrange(len(VARIANTS))
        name, parameters = VARIANTS[number]
        entry = dice.choice(list(whole[number]))
        state = {**whole[number], entry: mutated(whole[number][entry], dice)}
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        numbers = {"agent": {key: value for key, value in state.items() if key not in arrays}}
        agent = AGENTS[name](3, 2, seed=1, **parameters)
        load(agent, SimpleNamespace(arrays=arrays, numbers=numbers, timesteps=1), "run x")
        going_on(agent)
        return "sound"

    return judge


def steps(folder):
    """Plain steps forged behind right checksums, as they are played again and learnt from."""
    store = open_store("memory://")
    made = [rlbench.train("Blackjack-v1", episodes=6, seed=0, store=store)]
    made += [rlbench.record(env, episodes=3, seed=0, store=store) for env in ("Blackjack-v1", "CartPole-v1")]
    spans = [store.backend.select_spans(run.id)[0] for run in made]
    blobs = [store.backend.select_part(run.id, span, "steps")[1] for run, span in zip(made, spans, strict=True)]
    doors = (
        rlbench.verify,
        lambda run: rlbench.verify(run, engine="python"),
        lambda run: rlbench.retrain(run, bins=[3] * 4 if run.env_id == "CartPole-v1" else None, store=store),
        lambda run: list(store.episodes(run.id)),
    )

    def judge(dice):
        number = dice.randrange(len(made))
        run, (arrays, about) = made[number], codec.unpack(blobs[number])
        name = dice.choice(list(arrays))
        forged = {**arrays, name: of_another_kind(arrays[name], dice)}
        update = "UPDATE chunks SET steps_blob = ? WHERE run = ?"
        try:
            with store.backend._transaction() as connection:
                connection.execute(update, (codec.pack(forged, about), run.id))
            dice.choice(doors)(run)
        finally:
            with store.backend._transaction() as connection:
                connection.execute(update, (blobs[number], run.id))
        return "sound"

    return judge


def of_another_kind(array, dice):
    """An array of another dtype or shape, or with a value that may not be in its space."""
    act = dice.random()
    if act < 0.4:
        with np.errstate(all="ignore"):
            return array.astype(dice.choice(("?", "<c16", "<f2", "<f4", ">f8", "<i1", "<u8", ">i8", "<u2")))
    if act < 0.6:
        return dice.choice((array[..., None], np.stack([array, array], -1), array.reshape(len(array), -1)[:, :0]))
    value = dice.choice((np.nan, np.inf, -1, 2**31, 1e300, 0.5, 255))
    changed = array.astype(np.result_type(array.dtype, np.float64 if isinstance(value, float) else np.int64))
    changed.reshape(-1)[dice.randrange(changed.size)] = value
    return changed


SMALL_MODELS = {"tree": {}, "k-means": {"n_clusters": 2}, "naive-bayes": {}, "pca": {}}


def stored_models(folder):
    """Stored models, forged behind right checksums."""
    store, rows = open_store("memory://"), load_built_in("iris").rows[:5]
    saved = [save_model(store, train_model(kind, "iris", settings=given)) for kind, given in SMALL_MODELS.items()]
    whole = [(model.id, *store.load_snapshot("model", model.id)) for model in saved]

    def judge(dice):
        model_id, arrays, numbers = dice.choice(whole)
        if dice.random() < 0.4:
            entry = dice.choice(list(arrays))
            arrays = {**arrays, entry: mutated(arrays[entry], dice)}
        elif dice.random() < 0.5:
            numbers = of_json(numbers, dice)
        else:
            document = of_json(json.loads(arrays["document"].tobytes()), dice)
            arrays = {**arrays, "document": np.frombuffer(json.dumps(document).encode(), np.uint8)}
        arrays = {key: array for key, array in arrays.items() if isinstance(array, np.ndarray) and array.nbytes < 2**20}
        store.save_snapshot("model", model_id, arrays, numbers)
        models(store)
        model = load_model(store, model_id)
        model.predict(rows)
        return "sound"

    return judge


# ---------------------------------------------------------------- files


def exchange(kind):
    """The kind of an exported file: its bytes, and the values of a text."""

    def prepare(folder):
        run = rlbench.train("FrozenLake-v1", episodes=4, seed=0, engine="python")
        path = folder / ("run-v0" if kind == "minari" else f"run.{kind}")
        export(run, path, kind)
        parts = [path] if path.is_file() else sorted(part for part in path.rglob("*") if part.is_file())
        whole = {part: part.read_bytes() for part in parts}
        target = open_store("memory://")
        expected = _imported(target, path)

        def judge(dice):
            part = dice.choice(parts)
            part.write_bytes(of_bytes(whole[part], dice))
            try:
                return "harmless" if _imported(target, path) == expected else "wrong"
            finally:
                part.write_bytes(whole[part])
                assert target.runs() == []

        return judge

    return prepare


def _imported(store, path):
    """What an import added, without its id and time, which are new each time; the run is deleted again."""
    record = import_run(path, store)
    fields = replace(record, id="", created_at="")
    chunks = [
        (
            *(chunk.first_episode, chunk.first_step, chunk.env_rng, chunk.lengths.tolist(), chunk.ends.tolist()),
            *(_bits(chunk.steps), _bits(chunk.figures)),
        )
        for chunk in store.chunks(record.id)
    ]
    checkpoint = store.checkpoint(record.id)
    store.delete_run(record.id)
    return fields, chunks, checkpoint and (_bits(checkpoint.arrays), checkpoint.numbers)


def spools(folder):
    """The spool of a training whose store became unreachable."""
    target = open_store("memory://")
    run = target.create_run("Taxi-v4", "q-learning", seed=0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(folder))
        one = spool.Spool(run.id, target.url)
    one.put(run.id, stores.make_chunk(0, [2, 3]), None, keep=False)
    checkpoint = rlbench.store.Checkpoint(1, 2, {"q": np.arange(3.0)}, {"a": 1})
    one.put(run.id, stores.make_chunk(2, [2]), checkpoint, keep=True, status="finished", seconds=1.0)
    copying.backup(one._store, folder / "spool.db")
    one.close()
    image = (folder / "spool.db").read_bytes()
    begun = target.backend.select_runs({"id": run.id}, 1)[0]

    def uploaded(damage):
        target.delete_run(run.id)
        assert target.backend.insert_run(begun)
        with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.deserialize(image)
            left = Store(SqliteBackend("memory://", database))
            damage(left, database)
            spool.upload(left, target)
        return [(replace(record, seconds=0), *more) for record, *more in stores.everything(target)[0].values()]

    expected = repr(uploaded(lambda *_: None))

    def judge(dice):
        found = uploaded(lambda left, database: _damage_spool(left, database, dice))
        return "harmless" if repr(found) == expected else "sound"

    return judge


def _damage_spool(store, database, dice):
    if dice.random() < 0.5:
        row = dice.choice([row for (row,) in database.execute("SELECT rowid FROM snapshots")])
        column = dice.choice(("kind", "name", "created_at", "size", "blob", "blob"))
        sql = f"SELECT {column} FROM snapshots WHERE rowid = ?"  # noqa: S608  ours
        (value,) = database.execute(sql, (row,)).fetchone()
        with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):
            database.execute(f"UPDATE snapshots SET {column} = ? WHERE rowid = ?", (other(value, dice), row))  # noqa: S608
        return
    info = dice.choice(store.snapshots("spool"))
    arrays, numbers = store.load_snapshot("spool", info.name)
    if dice.random() < 0.5:
        entry = dice.choice(list(arrays))
        arrays = {**arrays, entry: mutated(arrays[entry], dice)}
        arrays = {key: array for key, array in arrays.items() if isinstance(array, np.ndarray) and array.nbytes < 2**20}
    else:
        numbers = of_json(numbers, dice)
    store.save_snapshot("spool", info.name, arrays, numbers)


def tuned(folder):
    """Presets."""
    whole = (presets.files(presets.__name__) / "safecab.toml").read_bytes()

    def judge(dice):
        (folder / "safecab.toml").write_bytes(of_bytes(whole, dice))
        presets._all_presets.cache_clear()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(presets, "files", lambda _: folder)
            for name in presets.preset_names("rlbench/SafeCab-v0"):
                presets.load_preset("rlbench/SafeCab-v0", name)
        return "sound"

    return judge


KINDS = {
    "columns": (columns, 2500),
    "files": (files, 3000),
    "mongodb": (mongodb, 900),
    "records": (records, 1200),
    "blocks": (blocks, 3000),
    "states": (states, 3000),
    "steps": (steps, 1000),
    "models": (stored_models, 2000),
    "json": (exchange("json"), 1000),
    "csv": (exchange("csv"), 1000),
    "parquet": (exchange("parquet"), 500),
    "hdf5": (exchange("hdf5"), 500),
    "minari": (exchange("minari"), 300),
    "spools": (spools, 700),
    "presets": (tuned, 400),
}


def verdict(judge, kind, number):
    """Judges one damage; returns the verdict and, for a fault, what happened."""
    dice = random.Random(f"{kind} {number}")  # noqa: S311  no secrets
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = judge(dice)
    except RlbenchError as error:
        return ("refused", "") if is_line(error) else ("error", f"{kind} {number}: {error}"[:400])
    except Exception as error:  # noqa: BLE001  what is looked for
        return "error", f"{kind} {number}: {type(error).__name__}: {error}"[:400]
    return found, f"{kind} {number}" if found == "wrong" else ""
