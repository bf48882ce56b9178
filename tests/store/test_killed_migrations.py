"""A migration is killed at random moments: nothing is lost, and the next goes on."""

import random
import shutil

import earlier
import pytest
from earlier import contents, walks
from nursery import Nursery

from rlbench.replaying import migration
from rlbench.store import checking, copying, open_store


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def in_full(tmp_path_factory):
    """The path of a store with steps and figures in full."""
    return earlier.written_in_full(tmp_path_factory.mktemp("earlier") / "full.db")


def assert_nothing_is_lost(nursery, new, kills):
    """Kills migrations of stores, `new()` giving the URL of one in full, until all of each is migrated."""
    dice = random.Random(kills)  # noqa: S311  not for secrets
    url = new()
    with open_store(url) as store:
        before, untouched = contents(store), walks(store)
    steps, is_finished = nursery.do("migrate", url)
    assert is_finished
    with open_store(url) as store:
        whole, rows = walks(store), row_counts(store)
    url, on_the_way = new(), 0
    for _ in range(kills):
        _, is_finished = nursery.do("migrate", url, dice.randint(1, steps // 4))
        with open_store(url) as store:
            assert list(checking.check(store)) == []
            assert contents(store) == before
            reached = walks(store)
        assert reached == whole or not is_finished
        on_the_way += reached not in (whole, untouched)
        url = new() if is_finished else url
    assert on_the_way > kills // 4, "most must be killed while they exchange chunks"
    with open_store(url) as store:
        migration.migrate(store)
        assert contents(store) == before
        assert walks(store) == whole
        assert sum(result.migrated for result in migration.migrate(store)) == 0
        store.backend.compact()
        assert row_counts(store) == rows
        assert list(checking.check(store)) == []


def row_counts(store):
    """How many rows or documents hold chunks and tables, and nothing else."""
    if hasattr(store.backend, "_connection"):
        return [store.backend._rows(f"SELECT count(*) FROM {name}")[0][0] for name in ("chunks", "tables", "parts")]  # noqa: S608
    there = store.backend._collections
    return [rows.count_documents({}) for rows in (there.chunks, there.tables, there.parts)]


@pytest.mark.parametrize("kills", [4, pytest.param(80, marks=pytest.mark.long)])
def test_a_migration_of_a_file_may_be_killed_at_any_moment(in_full, tmp_path, nursery, kills):
    numbers = iter(range(kills + 2))
    assert_nothing_is_lost(nursery, lambda: str(shutil.copy(in_full, tmp_path / f"{next(numbers)}.db")), kills)


@pytest.mark.long
def test_a_migration_on_a_server_may_be_killed_at_any_moment(in_full, emptied_url, nursery):
    def new():
        with open_store(in_full, read_only=True) as source, open_store(emptied_url) as target:
            for run in target.runs():
                target.delete_run(run.id)
            copying.copy(source, target)
        return emptied_url

    assert_nothing_is_lost(nursery, new, 40)
