"""Pruning and pseudonymising are killed at random moments: nothing that is kept is lost, and the next call finishes."""

import itertools
import random
import shutil

import pytest
from contracts import stores
from earlier import contents
from nursery import Nursery

from rlbench.keys import Key
from rlbench.store import Checkpoint, checking, copying, open_store
from rlbench.store.pseudonyms import Pseudonyms

NAMES = Pseudonyms(Key(bytes([2] * 32)))
RUNS = 5


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """The path of a store: runs without marks, one that shares what the first stored, and tagged ones."""
    path = tmp_path_factory.mktemp("filled") / "runs.db"
    with open_store(path) as store:
        first, *_ = [stores.fill(store, seed=seed) for seed in range(RUNS)]
        [kept] = [info for info in store.checkpoints(first) if info.kept]
        child = store.create_run("Taxi-v4", "sarsa", seed=4, base=first.id, checkpoint=kept)
        store.append(child.id, stores.make_chunk(3, [40]), Checkpoint(4, 50, {}), status="finished")
        for seed in range(RUNS):
            stores.fill(store, seed=seed, tags=[f"person:Ada {seed}", "paper"])
    return path


def done(work, before):
    """What a store holds once a work is done."""
    if work == "pseudonymise":
        tags = {run_id: tuple(map(NAMES.in_tag, run.tags)) for run_id, (run, _) in before.items()}
        return {run_id: (tags[run_id], chunks) for run_id, (_, chunks) in before.items()}
    newest = {run.agent_name: run_id for run_id, (run, _) in reversed(before.items())}  # listed from the newest
    kept = [run_id for run_id, (run, _) in before.items() if run.tags or newest[run.agent_name] == run_id]
    return {run_id: (before[run_id][0].tags, before[run_id][1]) for run_id in kept}


def held(store):
    return {run_id: (run.tags, chunks) for run_id, (run, chunks) in contents(store).items()}


def assert_nothing_is_lost(nursery, new, work, kills, share):
    """Kills a work on stores, `new()` giving the URL of one, each time within a share of its steps, and ends it."""
    dice, url = random.Random(kills), new()  # noqa: S311  not for secrets
    with open_store(url) as store:
        before = contents(store)
    untouched = {run_id: (run.tags, chunks) for run_id, (run, chunks) in before.items()}
    expected = done(work, before)
    steps, is_finished = nursery.do(work, url)
    assert is_finished
    url, killed, on_the_way = new(), 0, 0
    while killed < kills or not is_finished:
        _, is_finished = nursery.do(work, url, None if killed == kills else dice.randint(1, max(2, int(steps * share))))
        with open_store(url) as store:
            found = held(store)
            assert list(checking.check(store)) == []
        assert found.keys() >= expected.keys()
        assert all(entry in (untouched[run_id], expected.get(run_id)) for run_id, entry in found.items())
        assert found == expected or not is_finished
        killed += not is_finished
        on_the_way += found not in (expected, untouched)
        if is_finished and killed < kills:
            url = new()
    assert on_the_way >= kills // 5, "some must be killed in the midst"


@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.long)])
@pytest.mark.parametrize("work", ["prune", "pseudonymise"])
def test_a_change_of_a_file_may_be_killed_at_any_moment(filled, tmp_path, nursery, work, kills):
    numbers = itertools.count()
    assert_nothing_is_lost(
        nursery, lambda: str(shutil.copy(filled, tmp_path / f"{next(numbers)}.db")), work, kills, 1 / 2
    )


@pytest.mark.long
@pytest.mark.parametrize("work", ["prune", "pseudonymise"])
def test_a_change_on_a_server_may_be_killed_at_any_moment(filled, emptied_url, nursery, work):
    def new():
        with open_store(filled, read_only=True) as source, open_store(emptied_url) as target:
            for run in target.runs(study="all"):
                target.delete_run(run.id)
            copying.copy(source, target)
        return emptied_url

    assert_nothing_is_lost(nursery, new, work, 12, 1 / 6)  # the rest frees the space
