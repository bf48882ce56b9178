"""Every store passes the contract."""

import contextlib
import json

import pytest
from contracts import stores

from rlbench.keys import KEY
from rlbench.store import STORES, open_store
from rlbench.store.encrypting import encrypt


def inner(store):
    """The backend that holds the records, beneath the one that encrypts them."""
    return getattr(store.backend, "inner", store.backend)


class OverSqlite(stores.StoreContract, stores.LogContract):
    def alter(self, store, table, where, changes):
        fits = " AND ".join(f"{name} = :was_{name}" for name in where)
        known = {f"was_{name}": value for name, value in where.items()}
        changes = changes and {n: json.dumps(new) if isinstance(new, list) else new for n, new in changes.items()}
        act = f"UPDATE {table} SET " + ", ".join(f"{name} = :{name}" for name in changes or ())  # noqa: S608  ours
        sql = f"DELETE FROM {table} WHERE {fits}" if changes is None else f"{act} WHERE {fits}"  # noqa: S608  ours
        with inner(store)._transaction() as connection:
            assert connection.execute(sql, {**known, **(changes or {})}).rowcount == 1

    def rows(self, store, table):
        return inner(store)._rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608  ours

    def insert_runs(self, store, documents):
        insert = store.backend.insert_run
        with inner(store)._transaction() as connection, pytest.MonkeyPatch.context() as patched:
            patched.setattr(inner(store), "_transaction", lambda: contextlib.nullcontext(connection))
            assert all(map(insert, documents))


class TestSqlite(OverSqlite):
    @pytest.fixture
    def store(self, tmp_path):
        with open_store(tmp_path / "runs.db") as store:
            yield store


class TestMemory(OverSqlite):
    @pytest.fixture
    def store(self):
        with open_store("memory://") as store:
            yield store


class OverEncrypted(OverSqlite):
    figures = False

    @pytest.fixture
    def store(self, tmp_path, monkeypatch):
        monkeypatch.setenv(KEY, "00" * 32)
        with open_store(tmp_path / "runs.db") as store:
            encrypt(store, figures=self.figures)
            yield store

    def alter(self, store, table, where, changes):
        """Changes what is stored as someone does who has the key."""
        super().alter(store, table, where, stores.sealed_changes(store, table, where, changes))


class TestEncrypted(OverEncrypted):
    pass


class TestEncryptedLists(OverEncrypted):
    figures = True

    def alter(self, store, table, where, changes):
        fields = store.backend._fields()
        if table == "snapshots":
            where = {**where, "name": fields.seal_text("name", where["name"])}
        super().alter(store, table, fields.seal(where), changes and fields.seal(changes))


def test_every_kind_of_store_is_under_contract():
    assert set(STORES) == {
        "sqlite",
        "memory",
        "mongodb",
        "mongodb+srv",
        "s3",
        "gs",
        "az",
    }  # test_mongodb.py, test_objects.py
