"""The MongoDB store, on a real server and on an imitation in memory."""

import contextlib
import functools
import itertools
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import threading
import unittest.mock
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import bson
import mongomock
import numpy as np
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp
from contracts import stores
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient, errors
from waiting import until

import rlbench
from rlbench.errors import StoreAway, StoreError, UsageError
from rlbench.store import (
    Checkpoint,
    EpisodeChunk,
    Store,
    checking,
    copying,
    mongodb,
    mongodb_fields,
    mongodb_layout,
    open_store,
)
from rlbench.store.codec import to_json
from rlbench.store.config import RunConfig
from rlbench.store.documents import chunk_row
from rlbench.store.reading import document_of, spans_of
from rlbench.store.records import CheckpointInfo
from rlbench.studies.journal import Journal

IMITATED = "mongodb://somebody:secret@somewhere/x"
QUICK = "serverSelectionTimeoutMS=300&connectTimeoutMS=300"
NOBODY_LISTENS = "127.0.0.1:1"
OURS_TO_KILL = pytest.mark.skipif("RLBENCH_TEST_MONGODB_URI" in os.environ, reason="the server is not ours to kill")


@pytest.fixture
def imitated(monkeypatch):
    """Replaces the driver by an imitation of a server in memory, and returns its URL."""
    server = mongomock.store.ServerStore()
    monkeypatch.setattr("pymongo.MongoClient", lambda url, **_: mongomock.MongoClient(url, _store=server))
    return IMITATED


@pytest.fixture(params=["imitated", "emptied_url"])
def url(request):
    """The URL of an empty store, on the imitation and on the real server."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def store(url):
    with open_store(url) as store:
        yield store


def with_options(url, options):
    return f"{url}{'&' if '?' in url else '?'}{options}"


def noise(size, seed=0):
    """Numbers that take `size` bytes, packed or not."""
    return np.random.default_rng(seed).random(size // 8)


def rows_of(store):
    """How many documents the collections of rows hold."""
    there = store.backend._collections
    return {name: getattr(there, name).count_documents({}) for name in ("chunks", "checkpoints", "parts")}


def lengths(store, run_id):
    return [len(episode) for episode in store.episodes(run_id)]


def test_two_processes_do_a_study_on_a_server_and_come_to_the_same_hash(emptied_url):
    asked = {"over": {"learning_rate": "0.1..1:2"}, "seeds": range(3), "episodes": 10, "name": "lake"}
    study = rlbench.sweep("FrozenLake-v1", **asked, store=emptied_url, workers=2)
    with study.store:
        assert study.hash == rlbench.sweep("FrozenLake-v1", **asked).hash
        assert (len(study.runs()), study.store.runs()) == (6, [])
        assert sorted(entry.record for entry in study.store.entries()) == sorted(run.id for run in study.runs())
        assert list(checking.check(study.store)) == []


# ---------------------------------------------------------------- the contract


class OverMongo(stores.StoreContract, stores.LogContract):
    table_key = entry_key = "_id"

    def alter(self, store, table, where, changes):
        there = store.backend._collections
        if table == "checkpoints":
            self.alter_checkpoint(there, where, changes)
            return
        if table == "snapshots":
            row = there.snapshots.find_one(where)["row"]
            table, where, changes = "parts", {"row": row}, {"data": changes["blob"]}
        collection = getattr(there, table)
        where = {("_id" if (table, name) == ("runs", "id") else name): value for name, value in where.items()}
        if changes is None:
            assert collection.delete_one(where).deleted_count == 1
        else:
            assert collection.update_one(where, {"$set": changes}).matched_count == 1

    def alter_checkpoint(self, there, where, changes):
        run = there.runs.find_one({"_id": where["run"]})
        [row] = [row for row in run["rows"]["checkpoints"] if row[1] == where["timesteps"]]
        if "state_blob" in changes:
            assert there.checkpoints.update_one({"_id": row[-1]}, {"$set": changes}).matched_count == 1
            return
        row[:-1] = CheckpointInfo(*row[:-1])._replace(**changes)
        there.runs.update_one({"_id": run["_id"]}, {"$set": {"rows": run["rows"]}})

    def rows(self, store, table):
        return getattr(store.backend._collections, table).count_documents({})

    def insert_runs(self, store, documents):
        found = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(mongodb, "insert", lambda _, document: found.append(document) or True)
            assert all(map(store.backend.insert_run, documents))
        store.backend._collections.runs.insert_many(found)


class TestImitated(OverMongo):
    @pytest.fixture
    def store(self, imitated):
        with open_store(imitated) as store:
            yield store


class TestRealServer(OverMongo):
    @pytest.fixture
    def store(self, emptied_url):
        with open_store(emptied_url) as store:
            yield store


# ---------------------------------------------------------------- opening


def test_the_database_is_the_one_that_the_path_names(imitated):
    for url, name in (("mongodb://h/mine", "mine"), ("mongodb://h", "rlbench"), ("mongodb://h/?w=1", "rlbench")):
        with open_store(url) as store:
            assert store.backend._database.name == name


@pytest.mark.parametrize("options", [{"create": False}, {"read_only": True}])
def test_a_database_without_a_store_becomes_none_when_it_must_not(imitated, options):
    with pytest.raises(StoreError, match=r"there is no store at mongodb://somebody:\*\*\*@somewhere/x: check the name"):
        open_store(imitated, **options)
    assert mongomock.store.ServerStore().list_created_database_names() == []
    open_store(imitated).close()
    open_store(imitated, **options).close()


def test_a_store_opened_read_only_reads_and_does_not_write(url):
    with open_store(url) as store:
        run = stores.fill(store)
        store.save_snapshot("buffer", "a", {"x": np.arange(3)})
    with open_store(url, read_only=True) as store:
        before = stores.everything(store)
        for attempt in (
            lambda: store.create_run("Taxi-v4", "random", seed=0),
            lambda: store.update_run(run.id, tags=["x"]),
            lambda: store.update_run(run.id),
            lambda: store.delete_run(run.id),
            lambda: store.save_snapshot("buffer", "a", {}),
            lambda: store.delete_snapshot("buffer", "a"),
            store.backend.compact,
        ):
            with pytest.raises(StoreError, match="it can only be read; open it without read_only"):
                attempt()
        assert stores.everything(store) == before


def test_a_store_may_live_beside_the_collections_of_others(imitated):
    with open_store(imitated) as store:
        store.backend._database["customers"].insert_one({"name": "x"})
        store.backend._client.drop_database("y")
        store.backend._client["y"]["customers"].insert_one({"name": "x"})
    with open_store(imitated.replace("/x", "/y")) as store:
        stores.fill(store)
        assert store.backend._database["customers"].count_documents({}) == 1


@pytest.mark.parametrize(
    ("collection", "document", "complaint"),
    [
        ("rlbench_runs", {"_id": "x"}, "is not an rlbench store: give another database, it was left unchanged"),
        ("rlbench_meta", {"_id": "schema"}, "is not an rlbench store: give another database"),
        ("rlbench_meta", {"_id": "schema", "version": "1"}, "is not an rlbench store: give another database"),
        ("rlbench_meta", {"_id": "schema", "version": 99}, r"is from a newer rlbench \(schema 99\): upgrade rlbench"),
    ],
)
def test_what_is_no_store_of_ours_is_refused_and_left_as_it_is(imitated, collection, document, complaint):
    import pymongo

    database = pymongo.MongoClient(imitated)["x"]
    database[collection].insert_one(document)
    for options in ({}, {"read_only": True}, {"create": False}):
        with pytest.raises(StoreError, match=complaint):
            open_store(imitated, **options)
    assert database.list_collection_names() == [collection]
    assert list(database[collection].find()) == [document]


def test_two_may_make_a_store_at_once(imitated, monkeypatch):
    made, listed = [], mongomock.Database.list_collection_names

    def overtaken(database):
        if not made:
            made.append(imitated)
            open_store(imitated).close()
        return listed(database)

    monkeypatch.setattr(mongomock.Database, "list_collection_names", overtaken)
    open_store(imitated).close()
    assert made


def test_of_many_who_write_a_journal_each_gets_numbers_of_its_own(mongo_url):
    with open_store(mongo_url) as store, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Journal(store, "mine").append_logs([{"n": n}, {"n": n}]), range(16)))
        notes = [note["n"] for note in Journal(store, "mine").read_logs(0)]
    assert notes[::2] == notes[1::2]
    assert sorted(notes[::2]) == list(range(16))


def test_a_store_whose_maker_was_killed_is_finished_by_the_next(mongo_url, monkeypatch):
    monkeypatch.setattr(mongodb_layout, "_make_indexes", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        open_store(mongo_url)
    monkeypatch.undo()
    with open_store(mongo_url) as store:
        assert len(store.backend._collections.runs.index_information()) == 9  # the one of _id among them


def made_older(store, version):
    """Rewrites a store as an older version of the layout; returns its collections."""
    there = store.backend._collections
    for run in list(there.runs.find({})):
        texts = {name: document_of(store.backend, run["_id"])[name] for name in mongodb_fields.JSON}
        gone = ()
        if version == 1:
            gone = ("owners", "note", "cache", "record_sum", "notes_sum", "number", "checkpoints")
            config = {**json.loads(texts["config"]), "cache": {"hit": 2}}
            last = [json.dumps(one) for one in json.loads(texts["evaluation"])][-1:]
            texts = {"config": json.dumps(config), "evaluation": last[0] if last else None}
            texts["rows.checkpoints"] = [[*row[:-2], row[-1]] for row in run["rows"]["checkpoints"]]
        change = {"$set": texts, **({"$unset": dict.fromkeys(gone, "")} if gone else {})}
        assert there.runs.update_one({"_id": run["_id"]}, change).matched_count == 1
    there.meta.update_one({"_id": "schema"}, {"$set": {"version": version}})
    return there


def test_a_store_of_the_first_version_is_upgraded(url):
    with open_store(url) as store:
        runs = [stores.fill(store, seed=seed, tags=["a"]) for seed in range(3)]
        store.append(store.create_run("Taxi-v4", "random", seed=9).id, stores.make_chunk(0, [2]))
        before, there = stores.everything(store), made_older(store, 1)
        with pytest.raises(StoreError, match="from an older rlbench: open it once for writing"):
            open_store(url, read_only=True)
        with open_store(url) as upgraded:
            assert [run.cache.hit for run in upgraded.runs()] == [2] * 4
            assert list(checking.check(upgraded)) == []
            assert stores.everything(upgraded)[0].keys() == before[0].keys()
            assert [run.seed for run in upgraded.runs()] == [9, 2, 1, 0]
            assert upgraded.run(runs[0].id).evaluation == {"mean_return": 1.5}
            assert there.runs.count_documents({"evaluation.mean_return": 1.5}) == 3


def test_the_json_texts_of_the_second_version_are_read_as_they_are_and_turned_into_documents_by_a_writer(url):
    config = RunConfig.of({"agent": {"parameters": {"gamma": 0.9, "big": 2**70}}})  # no document holds it exactly
    with open_store(url) as store:
        run, other = stores.fill(store), store.create_run("Taxi-v4", "random", seed=0, config=config)
        before, there = stores.everything(store), made_older(store, 2)
        with open_store(url, read_only=True) as reader:
            assert stores.everything(reader) == before
            assert there.runs.count_documents({"config.gamma": 0.9}) == 0
        for _ in range(2):  # the second finds nothing to do
            with open_store(url) as writer:
                assert stores.everything(writer) == before
        assert there.meta.find_one({"_id": "schema"})["version"] == mongodb_layout.SCHEMA
        assert [found["_id"] for found in there.runs.find({"config.gamma": 0.9})] == [run.id]
        assert [type(there.runs.find_one({"_id": other.id})[name]) for name in ("config", "cache")] == [str, dict]


def test_a_run_whose_settings_fill_half_a_document_is_upgraded(emptied_url):
    with open_store(emptied_url) as store:
        run = store.create_run("Taxi-v4", "random", seed=0, config=RunConfig.of({"x": 9 * 2**20 * "x"}))
        there = made_older(store, 2)
        open_store(emptied_url).close()
        assert [type(there.runs.find_one({"_id": run.id})[name]) for name in ("config", "cache")] == [str, dict]


@pytest.mark.parametrize("options", ["w=0", "w=1&journal=false", "readPreference=secondaryPreferred"])
def test_writes_are_kept_by_a_majority_and_its_journals_whatever_the_url_says(emptied_url, options):
    with open_store(with_options(emptied_url, options)) as store:
        concern = store.backend._collections.runs.write_concern.document
        assert (concern["w"], concern["j"]) == ("majority", True)
        assert store.backend._collections.runs.read_preference.name == "Primary"


def test_rows_are_not_waited_for_on_a_server_without_others_alone(emptied_url, monkeypatch):
    with open_store(emptied_url) as store:
        assert store.backend._rows_first.chunks.write_concern.document == {"w": 1}
    monkeypatch.setattr(mongodb, "is_standalone", lambda _: False)
    with open_store(emptied_url) as store:
        assert store.backend._rows_first.chunks.write_concern.document["w"] == "majority"


def test_a_missing_driver_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymongo", None)
    with pytest.raises(UsageError, match=r'a MongoDB store needs pymongo, .*: pip install "rlbench\[mongo\]"'):
        open_store("mongodb://somewhere/x")


# ---------------------------------------------------------------- clients that are given


@pytest.fixture(params=["mongomock", "pymongo"])
def client(request):
    """A client of the user's own, with settings that would change what is read and written."""
    if request.param == "mongomock":
        yield mongomock.MongoClient("mongodb://h:3/x", tz_aware=True)
        return
    url = request.getfixturevalue("emptied_url")
    with MongoClient(url, tz_aware=True, document_class=bson.SON, w=0, readPreference="secondaryPreferred") as client:
        yield client


def test_a_client_or_a_database_of_it_is_opened_and_stays_open(client):
    database = client.get_default_database()
    with open_store(client) as store, open_store(database, create=False) as other:
        run = stores.fill(store)
        assert stores.everything(other) == stores.everything(store)
        assert store.url == other.url == f"mongodb://{':'.join(map(str, client.address))}/{database.name}"
        if isinstance(client, MongoClient):  # the imitation keeps no write concern
            assert store.backend._collections.runs.write_concern.document["w"] == "majority"
        assert list(checking.check(store)) == []
    with pytest.raises(StoreError, match="it is closed, open it again"):
        store.runs()
    assert [found["_id"] for found in database["rlbench_runs"].find()] == [run.id]
    with open_store(database, read_only=True) as store, pytest.raises(StoreError, match="can only be read"):
        store.delete_run(run.id)


def test_the_database_of_a_client_is_its_default_one_or_rlbench():
    client = mongomock.MongoClient()
    mine = mongomock.MongoClient("mongodb://h/mine")
    for place, name in ((client, "rlbench"), (mine, "mine"), (client["lab"], "lab")):
        with open_store(place) as store:
            assert store.url.endswith(f"/{name}")
    assert sorted(client.list_database_names()) == ["lab", "rlbench"]
    with pytest.raises(StoreError, match=r"there is no store at mongodb://localhost:27017/other: check the name"):
        open_store(client["other"], create=False)


def test_a_given_client_is_named_by_its_servers_without_its_password(monkeypatch):
    monkeypatch.setattr(mongodb.MongoBackend, "take_over", lambda *_, **__: None)
    for servers, hosts in (("h2:3,[::1]:4", "[::1]:4,h2:3"), ("%2Ftmp%2Fm.sock", "%2Ftmp%2Fm.sock")):
        with MongoClient(f"mongodb://u:s3cr3t@{servers}/lab", connect=False) as client:
            opened = mongodb.open_given(client, create=True, read_only=False)
            assert opened.url == f"mongodb://{hosts}/lab"


def test_a_store_on_a_given_client_is_not_copied(client):
    with open_store(client) as store, pytest.raises(StoreError, match="is not copied, since its client cannot be"):
        pickle.dumps(store)


class MongoClientOfAnother:
    """A class of another package with the same name."""


MongoClientOfAnother.__name__ = "MongoClient"


@pytest.mark.parametrize("given", [None, 7, MongoClientOfAnother(), AsyncMongoClient, mongomock.MongoClient().x.y])
def test_what_is_no_address_and_no_client_is_refused(given):
    with pytest.raises(
        UsageError, match=r"a store is opened by a path, a URL, or a MongoClient or Database of .*, got"
    ):
        open_store(given)


# ---------------------------------------------------------------- addresses and secrets


def told(error):
    """All that a user could get to see of an error and what it came from."""
    error = error.value
    seen = []
    while error is not None:
        seen += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(seen)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://somebody:p:s3cr3t@h/x",
        "mongodb://somebody:p/s3cr3t@h/x",
        "mongodb://somebody:p@s3cr3t@h/x",
        "mongodb://somebody:s3cr3t@h:99999999/x",
        "mongodb://somebody:s3cr3t@h/x y",
        "mongodb://somebody:s3cr3t@h/x.y",
        "mongodb://somebody:s3cr3t@h/x?colour=red",
        "mongodb://somebody:s3cr3t@h/x?tls=maybe",
        "mongodb://somebody:s3cr3t@",
        "mongodb://h/x?tlsCertificateKeyFilePassword=s3cr3t&tls=maybe",
        "mongodb://somebody:s3cr3t@h/x?w=0&journal=true",
        "mongodb://somebody:s3cr3t@h/x?authMechanism=s3cr3t",
        "mongodb+srv://somebody:s3cr3t@h/x",
    ],
)
def test_a_malformed_address_is_an_error_without_what_is_secret_in_it(url):
    with pytest.raises(
        StoreError, match="its address is malformed; write mongodb://user:password@host:port/name"
    ) as error:
        open_store(url)
    assert "\n" not in str(error.value)
    assert "s3cr3t" not in told(error).replace("authMechanism=s3cr3t", "")


def test_an_address_without_secrets_is_told_what_is_wrong_with_it():
    with pytest.raises(StoreError, match=r"malformed \(Unknown option: colour"):
        open_store("mongodb://h/x?colour=red")


def test_a_wrong_password_is_an_error_that_does_not_tell_it(mongo_url):
    url = mongo_url.replace("mongodb://", "mongodb://somebody:s3cr3t@", 1)
    with pytest.raises(StoreError, match="authentication failed; check user, password and authSource") as error:
        open_store(url)
    assert "somebody:***@" in str(error.value)
    assert "s3cr3t" not in told(error)


def test_a_copy_opens_the_address_again_but_is_not_made_of_one_with_a_password():
    for url in ("mongodb://somebody:s3cr3t@h/x", "mongodb://h/x?tlsCertificateKeyFilePassword=s3cr3t", "mongodb://h/x"):
        with MongoClient("mongodb://h/x", connect=False) as client:
            store = Store(mongodb.MongoBackend(url, client, "x"))
            if "s3cr3t" not in url:
                assert store.backend.__reduce__()[1] == (url, "")
                continue
            with pytest.raises(StoreError, match=r"is not copied, since its password would be") as error:
                pickle.dumps(store)
            assert "s3cr3t" not in told(error)


def test_a_server_that_is_away_is_named_without_the_password():
    address = rf"somebody:\*\*\*@{NOBODY_LISTENS}/x"
    with pytest.raises(StoreAway, match=rf"cannot reach the store \S*{address}\S*: .*start its server") as error:
        open_store(f"mongodb://somebody:s3cr3t@{NOBODY_LISTENS}/x?{QUICK}")
    assert "\n" not in str(error.value)
    assert "s3cr3t" not in told(error)


@pytest.mark.parametrize(
    ("given", "selection", "socket"),
    [("", 3000, 30_000), ("?serverSelectionTimeoutMS=7000", None, 30_000), ("?sockettimeoutms=7000", 3000, None)],
)
def test_a_server_is_waited_for_less_than_five_seconds_unless_the_url_says_how_long(
    monkeypatch, given, selection, socket
):
    seen = {}
    monkeypatch.setattr(
        "pymongo.MongoClient", lambda url, **options: seen.update(options) or mongomock.MongoClient(url)
    )
    open_store("mongodb://h/x" + given).close()
    assert seen.get("connectTimeoutMS") == 3000
    assert (seen.get("serverSelectionTimeoutMS"), seen.get("socketTimeoutMS")) == (selection, socket)


@pytest.mark.parametrize(
    ("error", "kind", "complaint"),
    [
        (errors.NotPrimaryError("not primary"), StoreAway, "cannot reach the store h: not primary; start its server"),
        (errors.NetworkTimeout("timed out"), StoreAway, "cannot reach the store h: timed out"),
        (
            errors.WTimeoutError("waiting for replication timed out"),
            StoreAway,
            "cannot reach the store h: waiting for replication",
        ),
        (errors.OperationFailure("not authorized", 13), StoreError, "lacks permission; ask for the role readWrite"),
        (errors.OperationFailure("no room", 14031), StoreError, "cannot use the store h: no room"),
        (errors.DocumentTooLarge("x"), StoreError, "a record is larger than MongoDB allows"),
        (errors.InvalidOperation("one\n two"), StoreError, "cannot use the store h: one two"),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), StoreError, "surrogates not allowed"),
    ],
)
def test_what_the_driver_complains_about_is_one_line(error, kind, complaint):
    with pytest.raises(StoreError, match=complaint) as found, mongodb.explained("h"):
        raise error
    assert type(found.value) is kind
    assert "\n" not in str(found.value)


def test_a_user_who_may_only_read_opens_a_store_of_the_second_version_and_no_older_one(imitated, monkeypatch):
    with open_store(imitated) as store:
        stores.fill(store)
        before, there = stores.everything(store), store.backend._collections
        unauthorized, full = errors.OperationFailure("not authorized", 13), errors.OperationFailure("no room", 14031)
        for version, refusal, told in (
            (2, unauthorized, None),
            (1, unauthorized, "this user lacks permission"),
            (2, full, "no room"),
        ):
            there.meta.update_one({"_id": "schema"}, {"$set": {"version": version}})
            with monkeypatch.context() as patched:
                for name in ("update_one", "create_indexes"):
                    patched.setattr(mongomock.Collection, name, unittest.mock.Mock(side_effect=refusal))
                expected = contextlib.nullcontext() if told is None else pytest.raises(StoreError, match=told)
                with expected, open_store(imitated) as reader:
                    assert stores.everything(reader) == before


# ---------------------------------------------------------------- what users of MongoDB query

ODD = {  # what documents and JSON do not agree on
    "env": {"id": "E", "$where": 1, "a.b": {"": [], "%2E": None, "c\0": {}}, "$ref": "x", "$id": 1},
    "agent": {"name": "é \u202e", "parameters": {"learning_rate": 0.1, "whole": 1, "float": 1.0, "long": -(2**63)}},
    "z": [float("inf"), -0.0, 1e-320, True, [[{"deep": [None]}]]],
    "a": 2**40,
}


def test_settings_and_evaluations_are_queried_by_their_paths(store):
    run = store.create_run("E", "q", seed=0, config=RunConfig.of(ODD))
    store.create_run("E", "q", seed=0, config=RunConfig.of({"agent": {"parameters": {"learning_rate": 0.2}}}))
    store.append(run.id, status="finished")
    store.update_run(run.id, evaluation={"mean_return": 1.5, "a.b": 1})
    for query in (
        {"config.agent.parameters.learning_rate": 0.1},
        {"config.agent.parameters.learning_rate": {"$lt": 0.15}},
        {"config.env.a%2Eb": {"$exists": True}},
        {"evaluation.mean_return": {"$gt": 1}},
    ):
        assert [found["_id"] for found in store.backend._collections.runs.find(query)] == [run.id]


def test_what_documents_hold_reads_back_as_it_was_given_to_the_letter(store):
    run = store.create_run("E", "q", seed=0, config=RunConfig.of(ODD))
    assert document_of(store.backend, run.id)["config"] == to_json(ODD)
    assert isinstance(store.backend._collections.runs.find_one({"_id": run.id})["config"], dict)
    assert store.run(run.id).config.document() == ODD
    assert list(store.run(run.id).config.document()) == list(ODD)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**66), 2**66), st.floats(), st.text())
TREES = st.recursive(
    SCALARS, lambda parts: st.one_of(st.lists(parts), st.dictionaries(st.text("a.$%0\0é"), parts)), max_leaves=10
)


@settings(max_examples=100)
@given(tree=TREES, separators=st.sampled_from([(",", ":"), (", ", ": ")]), ascii_only=st.booleans())
def test_any_json_is_kept_in_a_document_that_gives_the_same_text(tree, separators, ascii_only):
    text = json.dumps(tree, separators=separators, ensure_ascii=ascii_only)
    kept = mongodb_fields.to_fields({"config": text})
    assert mongodb_fields.from_field(bson.decode(bson.encode(kept))["config"]) == text
    is_ours = separators == (",", ":") and ascii_only and isinstance(tree, dict)
    if is_ours and not re.search(r"\d{19}|\\ud[89a-f]", text):
        assert isinstance(kept["config"], dict)


@pytest.mark.parametrize("text", ["[" * 90 + "]" * 90, "[" * 9000, '"x"', "7", '{"a":1,"a":1}', '{"a":1e5}', "{", ""])
def test_json_that_no_document_gives_back_stays_text(text):
    assert mongodb_fields.to_fields({"cache": text}) == {"cache": text}


def test_a_large_field_stays_text_since_a_document_may_take_more_room():
    text = json.dumps([0] * 200_000, separators=(",", ":"))
    assert len(bson.encode({"": json.loads(text)})) > 5 * len(text)
    assert mongodb_fields.to_fields({"config": text}) == {"config": text}


# ---------------------------------------------------------------- what is too large for a document


def test_what_is_larger_than_a_document_may_be_comes_back_whole(emptied_url):
    rewards = noise(20 * 2**20)
    n = len(rewards)
    chunk = EpisodeChunk(0, 0, np.array([n]), np.array([1], np.uint8), {"return": np.zeros(1)}, {"rewards": rewards})
    with open_store(emptied_url) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, chunk, Checkpoint(1, n, {"q": rewards}))
        store.save_snapshot("buffer", "a", {"q": rewards})
    with open_store(emptied_url) as store:
        assert np.array_equal(store.episodes(run.id)[0].rewards, rewards)
        assert np.array_equal(store.checkpoint(run.id).arrays["q"], rewards)
        assert np.array_equal(store.load_snapshot("buffer", "a")[0]["q"], rewards)
        assert list(checking.check(store)) == []
        store.delete_run(run.id)
        store.delete_snapshot("buffer", "a")
        assert rows_of(store) == {"chunks": 0, "checkpoints": 0, "parts": 0}


@pytest.mark.parametrize("part", [40, 100, 1000])
def test_blobs_may_be_cut_anywhere(store, monkeypatch, part):
    monkeypatch.setattr(mongodb, "PART", part)
    stores.fill(store)
    store.save_snapshot("buffer", "a", {"x": np.arange(3)})
    whole = stores.everything(store)
    assert list(checking.check(store)) == []
    monkeypatch.setattr(mongodb, "PART", 2**20)  # what was cut is read, whatever is cut now
    assert stores.everything(store) == whole
    with open_store("memory://") as other:
        copying.copy(store, other)
        assert stores.everything(other) == whole


@pytest.mark.parametrize("damage", ["gone", "no bytes"])
def test_a_missing_part_is_damage_that_is_named(store, monkeypatch, damage):
    monkeypatch.setattr(mongodb, "PART", 16)
    run = stores.fill(store)
    part = {"_id": {"$regex": f"^{run.id}/1/.*/steps_blob/1$"}}
    if damage == "gone":
        assert store.backend._collections.parts.delete_one(part).deleted_count == 1
    else:
        assert store.backend._collections.parts.update_one(part, {"$set": {"data": 7}}).matched_count == 1
    assert [found[:2] for found in checking.check(store)] == [(run.id, "chunk 1, steps")]


def test_a_config_that_no_document_can_hold_is_a_clear_error(emptied_url):
    with open_store(emptied_url) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        for attempt in (
            lambda: store.create_run("Taxi-v4", "random", seed=0, config=RunConfig.of({"x": "y" * 17 * 2**20})),
            lambda: store.append(run.id, config=RunConfig.of({"x": "y" * 17 * 2**20})),
        ):
            with pytest.raises(StoreError, match="a record is larger than MongoDB allows"):
                attempt()
        assert store.runs() == [run]


def test_a_number_of_more_than_64_bits_is_a_clear_error(emptied_url):
    with open_store(emptied_url) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, timesteps=2**63 - 1)
        assert store.run(run.id).timesteps == 2**63 - 1
        with pytest.raises(StoreError, match="8-byte ints"):
            store.append(run.id, timesteps=2**63)


# ---------------------------------------------------------------- commits


def commits(store, run_id, number, action=lambda: None):
    """Appends a chunk of one episode with a checkpoint; `action` happens between the rows and the commit."""
    exchange = store.backend._exchange

    def interrupted(*args):
        store.backend._exchange = exchange
        action()
        return exchange(*args)

    store.backend._exchange = interrupted
    checkpoint = Checkpoint(number + 1, 10 * (number + 1), {"q": np.full(3, number)})
    store.append(run_id, stores.make_chunk(number, [number + 1]), checkpoint)


def dies():
    raise KeyboardInterrupt


@pytest.fixture
def run(store):
    run = store.create_run("Taxi-v4", "random", seed=0)
    commits(store, run.id, 0)
    commits(store, run.id, 1)
    return run


def test_rows_whose_writer_died_do_not_count_and_are_swept(store, run):
    with pytest.raises(KeyboardInterrupt):
        commits(store, run.id, 2, dies)
    assert rows_of(store) == {"chunks": 3, "checkpoints": 2, "parts": 0}
    assert lengths(store, run.id) == [1, 2]
    assert store.checkpoint(run.id).episodes == 2
    assert list(checking.check(store)) == []
    store.backend.compact()
    assert rows_of(store) == {"chunks": 2, "checkpoints": 1, "parts": 0}
    assert lengths(store, run.id) == [1, 2]


def test_what_is_written_after_rows_that_do_not_count_is_what_is_read(store, run):
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            commits(store, run.id, 2, dies)
    store.append(run.id, stores.make_chunk(2, [9]))
    store.append(run.id, stores.make_chunk(3, [8]))
    assert rows_of(store)["chunks"] == 6
    assert lengths(store, run.id) == [1, 2, 9, 8]
    assert store.figures(run.id)["length"].tolist() == [1, 2, 9, 8]
    assert list(checking.check(store)) == []


def test_of_two_that_write_the_same_chunk_one_commits_and_the_other_overwrites_nothing(url, store, run):
    with open_store(url) as other:
        other.writer = store.writer  # as if it had been claimed from under it
        with pytest.raises(StoreError, match="is being written by another process"):
            commits(store, run.id, 2, lambda: other.append(run.id, stores.make_chunk(2, [9])))
    assert lengths(store, run.id) == [1, 2, 9]
    assert rows_of(store) == {"chunks": 3, "checkpoints": 1, "parts": 0}
    commits(store, run.id, 3)
    assert lengths(store, run.id) == [1, 2, 9, 4]


@pytest.mark.parametrize("url", ["emptied_url"], indirect=True)  # the imitation updates without a lock
def test_threads_may_share_a_store_and_what_is_acknowledged_is_there(store):
    run = store.create_run("Taxi-v4", "random", seed=0)
    acknowledged = []

    def write(length):
        for _ in range(20):
            with contextlib.suppress(StoreError, UsageError):  # another was faster
                number = store.run(run.id).episodes
                store.append(run.id, stores.make_chunk(number, [length]))
                acknowledged.append((number, length))

    threads = [threading.Thread(target=write, args=(length,)) for length in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [length for _, length in sorted(acknowledged)] == lengths(store, run.id)
    assert rows_of(store)["chunks"] == len(acknowledged)


def dies_and_sweeps(other, run_id):
    with contextlib.suppress(KeyboardInterrupt, UsageError):  # UsageError if it comes too late
        commits(other, run_id, 2, dies)
    other.backend.compact()


def appends(other, run_id):
    with contextlib.suppress(UsageError):  # it comes too late
        other.append(run_id, stores.make_chunk(2, [9]), Checkpoint(3, 30, {}))


ACTIONS = {  # what another process does, and the lengths of the run's episodes then, by whether our commit succeeded
    "sweeps": (lambda other, run_id: other.backend.compact(), {True: [1, 2, 3]}),
    "tags": (lambda other, run_id: other.update_run(run_id, tags=["x"]), {True: [1, 2, 3]}),
    "dies and sweeps": (dies_and_sweeps, {True: [1, 2, 3]}),
    "appends": (appends, {False: [1, 2, 9], True: [1, 2, 3]}),
    "deletes": (lambda other, run_id: other.delete_run(run_id), {False: None, True: None}),
}


@pytest.fixture
def interleaved(monkeypatch):
    """Runs an action before the n-th request to the imitated server; returns whether it is still due."""
    due = {}

    def wrapped(request):
        def requested(*args, **options):
            if due and next(due["requests"]) == due["number"]:
                due.pop("action")(due.clear())
            return request(*args, **options)

        return requested

    for name in ("find", "find_one", "insert_one", "update_one", "delete_one", "delete_many"):
        monkeypatch.setattr(mongomock.Collection, name, wrapped(getattr(mongomock.Collection, name)))
    return due


MEANWHILE = {  # what happens during an upgrade
    "breaks off": lambda _store, _evaluation: dies(),
    "another upgrades": lambda store, _evaluation: mongodb_layout.take_over(
        store.backend._database, store.url, create=False, read_only=False
    ),
    "another evaluates": lambda store, evaluation: store.update_run(store.runs()[0].id, evaluation=evaluation),
}


@pytest.mark.parametrize(
    ("version", "act"), [(1, "breaks off"), (1, "another upgrades"), *((2, act) for act in MEANWHILE)]
)
def test_whatever_happens_between_any_two_requests_of_an_upgrade_nothing_is_lost(imitated, interleaved, version, act):
    with open_store(imitated) as store:
        for seed in range(2):
            stores.fill(store, seed=seed)
        for number in range(100):
            before, there = list(stores.everything(store)[0]), made_older(store, version)
            evaluation = {"mean_return": float(number)}
            interleaved.update(
                number=number, requests=itertools.count(), action=lambda _, new=evaluation: MEANWHILE[act](store, new)
            )
            with contextlib.suppress(KeyboardInterrupt):
                open_store(imitated).close()
            if interleaved:
                break
            open_store(imitated).close()
            assert list(checking.check(store)) == []
            assert list(stores.everything(store)[0]) == before  # in this order
            assert act != "another evaluates" or store.runs()[0].evaluation == evaluation
            assert {type(run["cache"]) for run in there.runs.find()} == {dict}
            assert there.meta.find_one({"_id": "schema"})["version"] == mongodb_layout.SCHEMA
        interleaved.clear()
    assert number > 5


@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_another_does_between_any_two_requests_nothing_is_damaged_or_lost(imitated, interleaved, action):
    act, outcomes = ACTIONS[action]
    for number in range(100):
        with open_store(imitated) as store, open_store(imitated) as other:
            run = store.create_run("Taxi-v4", "random", seed=0)
            commits(store, run.id, 0)
            commits(store, run.id, 1)
            other.writer = store.writer  # as if it had been claimed from under the first
            interleaved.update(
                number=number, requests=itertools.count(), action=lambda _, other=other, run=run: act(other, run.id)
            )
            added = True
            try:
                commits(store, run.id, 2)
            except (StoreError, UsageError):
                added = False
            if interleaved:
                interleaved.clear()
                break
            assert list(checking.check(store)) == []
            there = lengths(store, run.id) if store.runs() else None
            assert (number, there) == (number, outcomes[added])
            if store.runs():
                store.delete_run(run.id)
            store.backend.compact()
            assert rows_of(store) == {"chunks": 0, "checkpoints": 0, "parts": 0}
    assert number > 5


def test_a_checkpoint_that_is_replaced_leaves_nothing(store, run, monkeypatch):
    monkeypatch.setattr(mongodb, "PART", 50)
    for number in range(2, 6):
        commits(store, run.id, number)
    assert rows_of(store)["checkpoints"] == 1
    [row] = store.backend._collections.checkpoints.distinct("_id")
    chunks = store.backend._collections.parts.count_documents({"row": {"$regex": "/"}})
    assert rows_of(store)["parts"] == chunks + store.backend._collections.parts.count_documents({"row": row})


def test_what_a_deletion_that_broke_off_has_left_is_swept(store, run, monkeypatch):
    monkeypatch.setattr(mongodb, "PART", 50)
    commits(store, run.id, 2)
    store.save_snapshot("buffer", "a", {"x": np.arange(3)})
    before = store.load_snapshot("buffer", "a")[0]["x"].tolist()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store.backend, "_discard", lambda _: None)
        store.delete_run(run.id)
        store.save_snapshot("buffer", "a", {"x": np.arange(3)})
    assert rows_of(store)["chunks"] == 3
    store.backend.compact()
    left = rows_of(store)
    assert (left["chunks"], left["checkpoints"]) == (0, 0)
    assert left["parts"] == store.backend._collections.snapshots.find_one({})["parts"]
    assert store.load_snapshot("buffer", "a")[0]["x"].tolist() == before


@pytest.mark.parametrize(
    "rows", [None, 7, {}, {"revision": 1, "attempts": [], "checkpoints": []}, {"revision": "x", "attempts": [[0]]}]
)
def test_a_run_that_does_not_say_which_rows_count_is_damaged(store, run, rows):
    store.backend._collections.runs.update_one({"_id": run.id}, {"$set": {"rows": rows}})
    assert {damage[0] for damage in checking.check(store)} == {run.id}
    for attempt in (
        lambda: lengths(store, run.id),
        lambda: store.checkpoint(run.id),
        lambda: [commits(store, run.id, 2) for _ in range(2)],
    ):
        with pytest.raises(StoreError, match=f"run {run.id} is damaged: it does not say which of its rows count"):
            attempt()


# ---------------------------------------------------------------- snapshots


def put_while(store, name, value, action):
    """Saves a snapshot; `action` happens between its parts and the commit."""
    add = store.backend._add_parts

    def interrupted(*args):
        store.backend._add_parts = add
        found = add(*args)
        action()
        return found

    store.backend._add_parts = interrupted
    store.save_snapshot("buffer", name, {"x": np.array([value])})


def saved(store, name="a"):
    return store.load_snapshot("buffer", name)[0]["x"].tolist()


def test_a_snapshot_is_the_old_one_until_the_new_one_is_whole(store):
    put_while(store, "a", 1, lambda: None)
    put_while(store, "a", 2, lambda: [saved(store) == [1] or dies()])
    assert saved(store) == [2]
    assert rows_of(store)["parts"] == 1


def test_of_two_that_save_a_snapshot_at_once_the_last_remains(url, store):
    with open_store(url) as other:
        put_while(store, "a", 1, lambda: put_while(other, "a", 2, lambda: None))
    assert saved(store) == [1]
    assert [info.name for info in store.snapshots()] == ["a"]
    assert rows_of(store)["parts"] == 1


def test_a_snapshot_whose_writer_died_is_not_there_and_is_swept(store):
    for number in range(2):
        with pytest.raises(KeyboardInterrupt):
            put_while(store, "a", number, dies)
    assert store.snapshots() == []
    assert rows_of(store)["parts"] == 2
    with pytest.raises(StoreError, match="there is no snapshot of kind 'buffer'"):
        saved(store)
    with pytest.raises(StoreError, match="there is no snapshot of kind 'buffer'"):
        store.delete_snapshot("buffer", "a")
    store.backend.compact()
    assert rows_of(store)["parts"] == store.backend._collections.snapshots.count_documents({}) == 0


@pytest.mark.parametrize("action", ["sweep", "delete"])
def test_a_snapshot_that_is_swept_before_it_is_whole_is_saved_again(store, action):
    put_while(store, "a", 1, lambda: None)
    act = {"sweep": store.backend.compact, "delete": lambda: store.delete_snapshot("buffer", "a")}[action]
    put_while(store, "a", 2, act)
    assert saved(store) == [2]
    store.backend.compact()
    assert saved(store) == [2]
    assert rows_of(store)["parts"] == 1


# ---------------------------------------------------------------- indexes


def test_every_query_is_answered_from_an_index(mongo_url, monkeypatch):
    with open_store(mongo_url) as store:
        store.backend._database.command("profile", 2)
        for number in range(3):
            run = stores.fill(store, seed=number, tags=["x"], cache_key="k")
        store.save_snapshot("buffer", "a", {"x": np.arange(3)})
        for wanted in ({}, {"env_id": "Taxi-v4"}, {"agent_name": "q"}, {"tag": "x"}, {"cache_key": "k"}):
            assert len(store.runs(**wanted)) == (0 if "agent_name" in wanted else 3)
            store.runs(**wanted, status="finished", limit=1)
        store.run(run.id[:6])
        store.run("latest")
        stores.everything(store)
        store.load_snapshot("buffer", "a")
        [info] = [info for info in store.checkpoints(run.id) if info.kept]
        store.create_run("Taxi-v4", "random", seed=0, base=run.id, checkpoint=info)
        store.backend.compact()
        store.delete_snapshot("buffer", "a")
        store.delete_run(run.id)
        store.backend._database.command("profile", 0)
        seen = list(store.backend._database["system.profile"].find({"planSummary": {"$exists": True}}))
    asked = [(query["op"], query["ns"].partition(".rlbench_")[2], query["planSummary"]) for query in seen]
    assert {name for _, name, _ in asked} >= {"runs", "chunks", "checkpoints", "snapshots", "parts"}
    assert [query for query in asked if "COLLSCAN" in query[2] and query[1]] == []
    sorted_by_hand = [query["command"] for query in seen if query.get("hasSortStage")]
    assert all("_id" in query["filter"] for query in sorted_by_hand)  # the two that a beginning of an id can mean


def test_spans_are_read_without_the_chunks(emptied_url):
    with open_store(emptied_url) as store:
        run = stores.fill(store)
        shown = {"_id": 0, "token": 1, **dict.fromkeys(mongodb_layout.SPAN, 1)}
        told = store.backend._collections.chunks.find({"run": run.id}, shown, sort=[("number", 1)]).explain()
        assert told["executionStats"]["nReturned"] == 4
        assert told["executionStats"]["totalDocsExamined"] == 0
        assert len(spans_of(store.backend, document_of(store.backend, run.id))) == 4


# ---------------------------------------------------------------- crashes

WRITER = f"""
import os, sys
sys.path.insert(0, {str(Path(stores.__file__).parents[1])!r})
import numpy, pymongo; from contracts import stores
from rlbench.store import Checkpoint, mongodb, open_store
url = sys.argv[1]
def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def write():
    with open_store(url) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        tell(run.id)
        for i in range(10**6):
            checkpoint = Checkpoint(i + 1, 3 * (i + 1), {{"q": numpy.full(50, i)}}) if i % 2 else None
            store.append(run.id, stores.make_chunk(i, [3]), checkpoint)
            tell(i)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        write()
    tell("pid", pid)
    os.waitpid(pid, 0)
    tell("ended")
"""


@contextlib.contextmanager
def writers(url):
    """Yields a function that starts a process that writes a run to the store, one after another."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def start():
            process.stdin.write("go\n")
            process.stdin.flush()
            return iter(process.stdout.readline, "ended\n")

        yield start


def killed_at_random(lines, dice):
    """Kills a writer some time after some chunks; returns its run and how many chunks were acknowledged."""
    told, pid, wanted = [], None, dice.randint(1, 9)
    for line in lines:
        if line.startswith("pid"):
            pid = int(line.split()[1])
        else:
            told.append(line.strip())
        if pid is not None and len(told) == wanted:
            threading.Event().wait(dice.random() * 0.004)
            os.kill(pid, signal.SIGKILL)
    return told[0], len(told) - 1


@pytest.mark.parametrize("kills", [10, pytest.param(60, marks=pytest.mark.long)])
def test_what_was_acknowledged_survives_the_death_of_the_writer_at_any_moment(emptied_url, kills):
    dice = random.Random(kills)  # noqa: S311  not for secrets
    with open_store(emptied_url) as store, writers(emptied_url) as start:
        for _ in range(kills):
            run_id, acknowledged = killed_at_random(start(), dice)
            assert list(checking.check(store, run_id)) == []
            run = store.run(run_id)
            assert run.status == "interrupted"
            assert run.episodes - acknowledged in (0, 1)
            assert lengths(store, run_id) == [3] * run.episodes
            assert [info.episodes for info in store.checkpoints(run_id)] == [run.episodes // 2 * 2][: run.episodes // 2]
            store.claim(run_id)
            store.append(run_id, stores.make_chunk(run.episodes, [5]), status="finished")
            assert lengths(store, run_id) == [3] * run.episodes + [5]
        store.backend.compact()
        assert list(checking.check(store)) == []
        assert rows_of(store)["chunks"] == sum(run.episodes for run in store.runs())


def eventually(act):
    """Returns the result of a call once the server, busy or just back, answers within its short time limit."""

    def answered():
        with contextlib.suppress(StoreAway):
            return (act(),)
        return None

    (answer,) = until(answered)
    return answer


def finish(store, run_id, chunk):
    """Ends a run with a chunk, unless an earlier attempt succeeded without an answer."""
    if store.run(run_id).status != "finished":
        store.append(run_id, chunk, status="finished")


def write_one(store, run_id, number):
    """Appends a chunk of one episode and a checkpoint; returns whether the server was there."""
    try:
        checkpoint = Checkpoint(number + 1, 3 * (number + 1), {"q": np.arange(9)})
        store.append(run_id, stores.make_chunk(number, [3]), checkpoint)
    except StoreAway as error:
        assert "start its server" in str(error)  # noqa: PT017  the rest is not raised
        return False
    return True


@pytest.fixture
def impatient(monkeypatch):
    """Lets the driver look more often whether a server is back."""
    monkeypatch.setattr("pymongo.common.MIN_HEARTBEAT_INTERVAL", 0.05)


@OURS_TO_KILL
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.long)])
def test_what_was_acknowledged_survives_the_death_of_the_server_at_any_moment(mongod, emptied_url, kills):
    dice = random.Random(kills)  # noqa: S311  not for secrets
    with open_store(emptied_url) as seen, eventually(lambda: open_store(with_options(emptied_url, QUICK))) as store:
        for kill in range(kills):
            run_id, acknowledged = eventually(lambda: store.create_run("Taxi-v4", "random", seed=kill)).id, 0  # noqa: B023
            killer = threading.Timer(dice.random() * 0.05, mongod.kill9)
            killer.start()
            while write_one(store, run_id, acknowledged):
                acknowledged += 1
            killer.join()
            mongod.start()
            assert list(checking.check(seen)) == []
            run = seen.run(run_id)
            assert run.episodes - acknowledged in (0, 1)
            assert lengths(seen, run_id) == [3] * run.episodes
            chunk = stores.make_chunk(run.episodes, [5])
            eventually(lambda: finish(store, run_id, chunk))  # noqa: B023  the same store goes on
        seen.backend.compact()
        assert rows_of(seen)["chunks"] == sum(run.episodes for run in seen.runs())


@OURS_TO_KILL
@pytest.mark.usefixtures("impatient")
def test_a_server_that_hangs_is_away_and_may_come_back(mongod, emptied_url):
    options, chunk = f"{QUICK}&socketTimeoutMS=300", stores.make_chunk(0, [3])
    with eventually(lambda: open_store(with_options(emptied_url, options))) as store:
        run = eventually(lambda: store.create_run("Taxi-v4", "random", seed=0))
        mongod.signal(signal.SIGSTOP)
        try:
            with pytest.raises(StoreAway, match="cannot reach"):
                store.append(run.id, chunk)
        finally:
            mongod.signal(signal.SIGCONT)
        eventually(lambda: finish(store, run.id, chunk))
    with open_store(emptied_url) as seen:
        assert lengths(seen, run.id) == [3]
        assert list(checking.check(seen)) == []


@OURS_TO_KILL
@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_gone_between_the_rows_and_the_commit_adds_nothing(mongod, emptied_url):
    with open_store(emptied_url) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        commits(store, run.id, 0)
        with pytest.raises(StoreAway):
            commits(store, run.id, 1, mongod.kill9)
        mongod.start()
        assert lengths(store, run.id) == [1]
        commits(store, run.id, 1)
        assert lengths(store, run.id) == [1, 2]
        assert list(checking.check(store)) == []


# One process imports and forks the writers: eight that import take ten seconds.
MANY = f"""
import os, sys
sys.path.insert(0, {str(Path(stores.__file__).parents[1])!r})
import numpy, pymongo; from contracts import stores
from rlbench.store import Checkpoint, open_store
def write():
    with open_store(sys.argv[1]) as store:
        for seed in range(2):
            run = store.create_run("Taxi-v4", "random", seed=seed)
            os.write(1, f"{{run.id}}\\n".encode())  # whole, however many write
            for i in range(10):
                checkpoint = Checkpoint(i + 1, 10 * (i + 1), {{}})
                store.append(run.id, stores.make_chunk(i, [i + 1]), checkpoint, keep=i % 3 == 0)
                store.save_snapshot("buffer", "shared", {{"x": numpy.arange(i)}})
            store.append(run.id, status="finished")
children = []
for _ in range(int(sys.argv[2])):
    children.append(os.fork())
    if not children[-1]:
        write()
        os._exit(0)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


@pytest.mark.parametrize("count", [3, pytest.param(8, marks=pytest.mark.long)])  # eight take turns for 14 seconds
def test_processes_that_write_at_once_lose_nothing_and_double_nothing(mongo_url, count):
    command = [sys.executable, "-c", MANY, mongo_url, str(count)]
    written = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert written.returncode == 0
    made = written.stdout.split()
    with open_store(mongo_url) as store:
        assert sorted(run.id for run in store.runs(status="finished")) == sorted(made)
        assert len(made) == 2 * count
        for run_id in made:
            assert lengths(store, run_id) == list(range(1, 11))
            assert [info.episodes for info in store.checkpoints(run_id)] == [1, 4, 7, 10]
        assert list(checking.check(store)) == []
        assert rows_of(store) == {"chunks": 20 * count, "checkpoints": 8 * count, "parts": 1}
        assert saved(store, "shared") == list(range(9))


# ---------------------------------------------------------------- between backends


def test_runs_move_to_a_file_and_back_unchanged(emptied_url, mongo_url, tmp_path):
    with open_store(emptied_url) as first, open_store(tmp_path / "x.db") as file, open_store(mongo_url) as second:
        for seed in range(3):
            stores.fill(first, seed=seed, tags=["a", "$b"])
        first.save_snapshot("buffer", "a", {"x": noise(9 * 2**20)})
        copying.copy(first, file)
        copying.copy(file, second)
        assert stores.everything(second) == stores.everything(file) == stores.everything(first)
        assert {result.action for result in copying.copy(file, second)} == {"equal"}


# ---------------------------------------------------------------- what only a stranger's server holds

FOREIGN = (  # values of BSON that no SQLite file can hold, and that nothing here writes
    *(Code("while (true) {}"), Regex("(a+)+$"), DBRef("runs", "x"), ObjectId(b"twelve bytes"), Decimal128("NaN")),
    *(Timestamp(1, 1), datetime(1, 1, 1, tzinfo=UTC), {"$where": "sleep(10000)"}, {"$ref": {"$id": [{}]}}),
    *([[[]]], Binary(b"\x00" * 8, 128), Binary(b"RLB1" + b"\xff" * 60, 4), Int64(2**63 - 1)),
)


def _looked_at(store, run_id):
    """Reads all that a store holds; returns the errors that are not one line of ours."""
    found = []

    def look(read):
        try:
            read()
        except (StoreError, UsageError) as error:
            found.extend([str(error)] if "\n" in str(error) or len(str(error)) > 500 else [])
        except NotImplementedError as error:  # the imitation cannot sort all that a server can
            assert "Mongomock" in str(error)  # noqa: PT017
        except Exception as error:  # noqa: BLE001  (what is looked for)
            found.append(repr(error))

    look(store.runs)
    look(lambda: store.head)
    look(lambda: list(checking.check(store)))
    look(lambda: [store.load_snapshot(info.kind, info.name) for info in store.snapshots()])
    look(lambda: list(store.chunks(run_id)))
    look(lambda: list(store.episodes(run_id)))
    for read in (store.run, store.figures, store.checkpoints, store.checkpoint):
        look(functools.partial(read, run_id))
    return found


@pytest.mark.parametrize("url", ["imitated", pytest.param("emptied_url", marks=pytest.mark.long)], indirect=True)
def test_values_that_only_a_foreign_program_writes_are_told_of_in_a_line(store):
    run_id = stores.fill(store, tags=["a"]).id
    store.save_snapshot("buffer", "a", {"x": np.arange(9)}, {"n": 1})
    assert _looked_at(store, run_id) == []
    for collection in store.backend._collections:
        values = itertools.cycle(FOREIGN)
        for whole in list(collection.find()):
            for name in [name for name in whole if name != "_id"] * 2:
                foreign = next(values)
                if name in ("kind", "name") and isinstance(foreign, dict):
                    continue  # the imitation takes what should be unique for a query
                collection.update_one({"_id": whole["_id"]}, {"$set": {name: foreign}})
                store.backend._known.clear()
                assert _looked_at(store, run_id) == [], (collection.name, name, foreign)
                collection.replace_one({"_id": whole["_id"]}, whole)
    assert _looked_at(store, run_id) == []


def test_a_table_that_a_chunk_begins_to_need_while_it_is_swept_is_not_lost(imitated, monkeypatch):
    with open_store(imitated) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, stores.make_walk(0, [2]), status="finished")
        other = store.create_run("Taxi-v4", "random", seed=1)
        backend, chunks = store.backend, store.backend._collections.chunks
        find_one, left = type(chunks).find_one, iter([1])

        def late(self, *args, **kwargs):
            found = find_one(self, *args, **kwargs)
            if "table" in args[0] and next(left, None):
                assert found is None
                store.append(other.id, stores.make_walk(0, [2]), status="finished")
            return found

        monkeypatch.setattr(type(chunks), "find_one", late)
        store.delete_run(run.id)
        assert next(left, None) is None
        assert backend.select_table(stores.make_walk(0, [2]).steps.table.digest) is not None
        assert list(checking.check(store)) == []


@pytest.fixture
def exchange(imitated):
    """A store, a run whose only chunk is in full, and both forms of that chunk."""
    with open_store(imitated) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, stores.in_full(stores.make_walk(0, [2, 5])), status="finished")
        counts = {"id": run.id, "chunks": 0, "next_episode": 0, "next_step": 0, "timesteps": 0}
        yield store, run, stores.row_of(store, run.id, 0), chunk_row(counts, stores.make_walk(0, [2, 5]))


@pytest.mark.parametrize("written", [False, True])
def test_an_exchange_that_breaks_off_before_its_last_update_changes_nothing(exchange, monkeypatch, written):
    store, run, before, after = exchange
    put = store.backend._put_table

    def breaking(table):
        if written:
            put(table)
        raise KeyboardInterrupt

    monkeypatch.setattr(store.backend, "_put_table", breaking)
    with pytest.raises(KeyboardInterrupt):
        store.backend.exchange_chunk(run.id, before, after)
    monkeypatch.setattr(store.backend, "_put_table", put)
    store.backend.compact()
    assert stores.row_of(store, run.id, 0) == before
    assert list(checking.check(store)) == []
    assert (store.backend.select_table(after.table.digest) is not None) == written
    assert store.backend.exchange_chunk(run.id, before, after)
    assert stores.row_of(store, run.id, 0) == after._replace(table=None)
    assert list(checking.check(store)) == []


def test_a_table_that_an_exchanged_chunk_begins_to_need_while_it_is_swept_is_not_lost(exchange, monkeypatch):
    store, run, before, after = exchange
    other = store.create_run("Taxi-v4", "random", seed=1)
    store.append(other.id, stores.make_walk(0, [2, 5]), status="finished")
    chunks, left = store.backend._collections.chunks, iter([1])
    find_one = type(chunks).find_one

    def late(self, *args, **kwargs):
        found = find_one(self, *args, **kwargs)
        if "table" in args[0] and next(left, None):
            assert found is None
            assert store.backend.exchange_chunk(run.id, before, after)
        return found

    monkeypatch.setattr(type(chunks), "find_one", late)
    store.delete_run(other.id)
    assert next(left, None) is None
    assert store.backend.select_table(after.table.digest) is not None
    assert list(checking.check(store)) == []
