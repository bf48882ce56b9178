"""Every store passes the contract."""

import contracts
import pytest

from rlbench.store import STORES, open_store


class TestSqlite(contracts.StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        with open_store(tmp_path / "runs.db") as store:
            yield store


class TestMemory(contracts.StoreContract):
    @pytest.fixture
    def store(self):
        with open_store("memory://") as store:
            yield store


def test_every_kind_of_store_is_under_contract():
    assert set(STORES) == {"sqlite", "memory", "mongodb", "mongodb+srv"}
    with pytest.raises(contracts.StoreError, match="comes with a later version"):
        open_store("mongodb://host/name")  # once it opens, it needs a class here
