"""Tests a program that stores in MongoDB without a server: mongomock imitates one.

python -m pytest scripts/test_with_mongomock.py
"""

from typing import Any

import mongomock
import pytest

import rlbench


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a database that lives in memory, for the time of a test."""
    server = mongomock.store.ServerStore()

    def client(address: str, **_: Any) -> mongomock.MongoClient:
        return mongomock.MongoClient(address, _store=server)

    monkeypatch.setattr("pymongo.MongoClient", client)
    return "mongodb://imitated/runs"


def test_a_run_is_kept(url: str) -> None:
    """What is trained in one place is found in another."""
    with rlbench.open_store(url) as store:
        returns = rlbench.train("FrozenLake-v1", episodes=20, seed=0, store=store).returns
    with rlbench.open_store(url) as store:
        assert rlbench.load_run(store, "latest").returns.tolist() == returns.tolist()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-q", "-p", "no:cacheprovider"]))
