"""A store that an older version made is upgraded when it is opened, and loses nothing."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from contracts import stores

import rlbench
from rlbench.errors import StoreError
from rlbench.store import checking, open_store
from rlbench.store.documents import FIXED, NOTES, RUN_FIELDS
from rlbench.store.migrations import MIGRATIONS, schema, schema_after

# made by version 1: two budgets of one key in one run (tagged, evaluated, answered once from the cache), a run of
# figures alone, one that was interrupted, one retrained from the first, and a snapshot
OLD = Path(__file__).parents[1] / "data" / "store_v1.sqlite"


@pytest.fixture
def path(tmp_path):
    return shutil.copy(OLD, tmp_path / "x.db")


def test_the_runs_of_an_old_store_are_as_they_were(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        old = {row["id"]: dict(row) for row in connection.execute("SELECT * FROM runs")}
        chunks = dict(connection.execute("SELECT run || number, steps_blob FROM chunks"))
    with open_store(path) as store:
        assert list(checking.check(store)) == []
        for run in store.runs():
            was = old.pop(run.id)
            for field in (
                "env_id",
                "agent_name",
                "status",
                "created_at",
                "episodes",
                "timesteps",
                "seconds",
                "cache_key",
            ):
                assert getattr(run, field) == was[field]
            assert (run.tags, run.parents) == (tuple(json.loads(was["tags"])), tuple(json.loads(was["parents"])))
            assert run.evaluation == (was["evaluation"] and json.loads(was["evaluation"]))
            assert run.config.document() == json.loads(was["config"])
            assert len(store.figures(run.id)["return"]) == run.episodes
        assert old == {}
        assert [run.agent_name for run in store.runs()] == ["q-learning", "random", "replay-q", "q-learning"]
        assert dict(store.backend._rows("SELECT run || number, steps_blob FROM chunks")) == chunks
        assert store.load_snapshot("buffer", "b")[0]["x"].tolist() == list(range(5))
        [paper] = store.runs(tag="paper")
        assert (paper.cache.hit, paper.cache.prefix) == (1, 1)


@pytest.mark.parametrize(
    ("budget", "cache", "is_new"), [(60, "hit", False), (30, "prefix", True), (90, "prefix", True)]
)
def test_an_old_run_is_still_found_by_the_cache_and_gone_on_from(path, budget, cache, is_new):
    with open_store(path) as store:
        [paper] = store.runs(tag="paper")
        asked = {"agent_kwargs": {**paper.config.agent.parameters, "ties": "first"}, "episodes": budget, "seed": 0}
        run = rlbench.train("FrozenLake-v1", store=store, **asked)  # today's preset has other parameters
        assert (run.cache, run.id != paper.id, run.episodes) == (cache, is_new, budget)
        cold = rlbench.train("FrozenLake-v1", **asked)
        assert np.array_equal(run.agent.q_table, cold.agent.q_table)
        assert np.array_equal(run.returns, cold.returns)
        assert list(checking.check(store)) == []


def test_an_old_run_that_was_interrupted_is_gone_on_with(path):
    with open_store(path) as store:
        [broken] = store.runs(status="interrupted")
        run = rlbench.resume(rlbench.load_run(store, broken.id), episodes=40)
        assert np.array_equal(run.returns, rlbench.train("FrozenLake-v1", "random", episodes=40, seed=2).returns)


def test_an_old_store_is_not_upgraded_when_it_is_only_read(path):
    before = Path(path).read_bytes()
    with pytest.raises(StoreError, match="from an older rlbench: open it once for writing to upgrade it"):
        open_store(path, read_only=True)
    assert Path(path).read_bytes() == before


def test_an_old_record_that_was_damaged_stays_damaged_and_blocks_nothing(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE runs SET config = X'00ff', tags = '{' WHERE agent_name = 'random'")
    with open_store(path) as store:
        assert len(store.runs()) == 3
        assert len(store.damaged_runs()) == 1


def test_a_new_store_and_an_upgraded_one_have_the_same_schema(path):
    with open_store(path) as old, open_store("memory://") as new:
        assert schema(old.backend._connection) == schema(new.backend._connection) == schema_after(len(MIGRATIONS))
        columns = {row[1] for row in old.backend._rows("PRAGMA table_info (runs)")}
        assert columns == set(RUN_FIELDS)
        assert columns - FIXED.keys() - NOTES.keys() == {"record_sum", "notes_sum", "writer", "beat"}


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE VIEW v AS SELECT * FROM runs",
        "CREATE TRIGGER t AFTER INSERT ON chunks BEGIN DELETE FROM runs; END",
        "CREATE TABLE other (x)",
        "CREATE INDEX i ON runs (seed)",
        "DROP INDEX runs_by_status",
        "ALTER TABLE runs ADD COLUMN x",
        "ALTER TABLE runs RENAME TO r; CREATE VIEW runs AS SELECT * FROM r",
    ],
)
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_with_a_foreign_schema_is_refused_and_left_as_it_is(tmp_path, path, version, sql, read_only):
    if version == len(MIGRATIONS):
        path = tmp_path / "new.db"
        with open_store(path) as store:
            stores.fill(store)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    before = Path(path).read_bytes()
    with pytest.raises(StoreError, match="has a schema that rlbench did not make"):
        open_store(path, read_only=read_only)
    assert Path(path).read_bytes() == before
