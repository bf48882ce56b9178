"""A study that is copied: with its runs and its journal, and never over one that knows more."""

from contextlib import closing, contextmanager

import mongomock
import needs
import numpy as np
import pytest

from rlbench.errors import StoreError
from rlbench.store import checking, open_store
from rlbench.studies import delete_study, keeping, load_study, resume_study, sweep, tune, working
from rlbench.studies.copying import copy_all, copy_study

LAKE = {"env": "FrozenLake-v1", "seeds": range(2), "episodes": 10, "objective": "area", "name": "mine"}
SWEEP = (sweep, {**LAKE, "over": {"learning_rate": [0.1, 0.5, 1]}})
TUNE = (tune, {**LAKE, "search": {"learning_rate": "0.1..1"}, "trials": 6, "round": 2, "test_seeds": [7]})


@pytest.fixture(params=[SWEEP, TUNE], ids=["sweep", "tune"])
def kind(request):
    """What makes a study, and the arguments that it takes."""
    if request.param is TUNE:
        needs.package("optuna", "tune")
    return request.param


@pytest.fixture(params=["sqlite", "mongomock"])
def target(request, tmp_path):
    """An empty store to copy to."""
    with open_store(tmp_path / "target.db" if request.param == "sqlite" else mongomock.MongoClient().lab) as opened:
        yield opened


@pytest.fixture
def source():
    """A store in memory to copy from."""
    with open_store("memory://") as opened:
        yield opened


@contextmanager
def stopped_after(batches):
    """Has a signal come after a number of batches of a single seed."""

    def counted(*args):
        calls.append(args)
        if len(calls) > batches:
            raise KeyboardInterrupt
        return try_batch(*args)

    calls, try_batch = [], working.try_batch
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(working, "try_batch", counted)
        patched.setattr(working, "MOST_SEEDS", 1)
        yield


def ids(store, study="mine"):
    return {run.id for run in store.runs(study=study)}


def test_a_whole_one_arrives_with_its_runs_and_is_equal_the_next_time(kind, source, target):
    do, asked = kind
    study = do(**asked, store=source)
    runs, copied = copy_study(source, target, "mine")
    assert (len(runs), copied) == (len(study.runs()), ("mine", "copied", ""))
    there = load_study(target, "mine")
    assert (there.hash, there.table, ids(target), target.runs()) == (study.hash, study.table, ids(source), [])
    assert [one.label for one, *_ in there.compare()] == [one.label for one, *_ in study.compare()]
    assert there.plot().axes
    assert resume_study(target, "mine").hash == study.hash
    assert len(target.runs(study="all")) == len(source.runs(study="all"))
    runs, copied = copy_study(source, target, "mine")
    assert ({run.action for run in runs}, copied.action) == ({"equal"}, "equal")
    assert list(checking.check(target)) == []


def test_one_that_was_stopped_goes_on_there_to_the_same_hash(kind, source, target):
    do, asked = kind
    with stopped_after(3):
        part = do(**asked, store=source)
    assert not part.is_done
    copy_all(source, target)
    assert load_study(target, "mine").done == part.done
    whole = do(**asked)
    with closing(whole.store):
        assert resume_study(target, "mine").hash == whole.hash
        assert len(ids(target)) == len(whole.runs())
    _, [copied] = copy_all(source, target)
    assert copied.action == "equal"  # what the target found itself stays
    assert load_study(target, "mine").hash == whole.hash
    _, copied = copy_study(target, source, "mine")
    assert copied.action == "completed"
    assert load_study(source, "mine").hash == resume_study(source, "mine").hash == whole.hash


def test_what_each_of_two_stores_found_of_a_sweep_is_put_together(source, target):
    do, asked = SWEEP
    with stopped_after(2):
        do(**asked, store=source)
    study = do(**asked, store=target)
    study.values[:2] = np.nan  # it knows the last combination only
    keeping.save(study)
    copy_study(source, target, "mine")
    assert np.isfinite(load_study(target, "mine").values).all(axis=1).tolist() == [True, False, True]


def test_of_a_tuning_that_went_on_in_both_neither_is_spoilt(source, target):
    needs.package("optuna", "tune")
    do, asked = TUNE
    for store, batches in ((source, 5), (target, 3)):
        with stopped_after(batches):
            do(**asked, store=store)
    _, [copied] = copy_all(source, target)
    assert (copied.action, "has trials of its own of the study mine: finish it there" in copied.problem) == (
        "left out",
        True,
    )
    assert resume_study(source, "mine").hash == resume_study(target, "mine").hash
    _, [copied] = copy_all(source, target)
    assert copied.action == "equal"


def test_another_of_its_name_is_left_alone_and_so_is_its_copy(kind, source, target):
    do, asked = kind
    do(**asked, store=source)
    theirs = do(**{**asked, "episodes": 11}, store=target)
    before = target.snapshots()
    with pytest.raises(StoreError, match="has another study mine: it was left unchanged, delete one of the two"):
        copy_study(source, target, "mine")
    assert len(target.runs(study="all")) == len(theirs.runs())
    _, [copied] = copy_all(source, target)
    assert (copied.action, "has another study mine" in copied.problem) == ("left out", True)
    assert target.snapshots() == before


def test_a_damaged_one_is_left_out_and_the_others_arrive(source, target):
    do, asked = SWEEP
    study = do(**asked, store=source)
    source.save_snapshot("study", "broken", {}, {"settings": {}})
    source.save_snapshot("buffer", "other", {"x": np.arange(3)})
    runs, copied = copy_all(source, target)
    assert [one[:2] for one in copied] == [("mine", "copied"), ("broken", "left out")]
    assert "the study broken is damaged" in copied[1].problem
    assert (len(runs), load_study(target, "mine").hash) == (6, study.hash)
    assert target.snapshots("buffer") == source.snapshots("buffer")
    with pytest.raises(StoreError, match="unknown study 'mone'; did you mean mine"):
        copy_study(source, target, "mone")


def test_studies_of_the_target_keep_the_runs_that_both_have(source, target):
    do, asked = SWEEP
    do(**asked, store=source)
    copy_study(source, target, "mine")
    larger = do(**{**asked, "name": "larger", "seeds": range(3)}, store=target)
    person = target.runs(study="mine")[0].id
    target.list_run(person)
    actions = [{run.action for run in copy_study(source, target, "mine")[0]} for _ in range(2)]
    assert actions == [{"updated"}, {"equal"}]  # the larger one found them in the cache, which the copy forgets
    assert (len(ids(target, "larger")), [run.id for run in target.runs()]) == (len(larger.runs()), [person])
    assert list(checking.check(target)) == []
    delete_study(target, "mine")
    assert len(ids(target, "larger")) == 9
