"""Every store passes the contract."""

import contextlib
import json

import pytest
from contracts import stores

from rlbench.store import STORES, open_store


class OverSqlite(stores.StoreContract):
    def alter(self, store, table, where, changes):
        fits = " AND ".join(f"{name} = :was_{name}" for name in where)
        known = {f"was_{name}": value for name, value in where.items()}
        changes = changes and {n: json.dumps(new) if isinstance(new, list) else new for n, new in changes.items()}
        act = f"UPDATE {table} SET " + ", ".join(f"{name} = :{name}" for name in changes or ())  # noqa: S608  ours
        sql = f"DELETE FROM {table} WHERE {fits}" if changes is None else f"{act} WHERE {fits}"  # noqa: S608  ours
        with store.backend._transaction() as connection:
            assert connection.execute(sql, {**known, **(changes or {})}).rowcount == 1

    def rows(self, store, table):
        return store.backend._rows(f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608  ours

    def insert_runs(self, store, documents):
        insert = store.backend.insert_run
        with store.backend._transaction() as connection, pytest.MonkeyPatch.context() as patched:
            patched.setattr(store.backend, "_transaction", lambda: contextlib.nullcontext(connection))
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


def test_every_kind_of_store_is_under_contract():
    assert set(STORES) == {"sqlite", "memory", "mongodb", "mongodb+srv"}  # MongoDB's classes: test_mongodb.py
