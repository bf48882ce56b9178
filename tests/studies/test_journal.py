"""What Optuna notes of a tuning: numbered without gaps, each number once, in any store and by any number of writers."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import mongomock
import needs
import pytest

from rlbench.errors import StoreError
from rlbench.store import copying, open_store
from rlbench.studies.journal import Journal, delete_journal

optuna = needs.package("optuna", "tune")
JournalStorage = optuna.storages.JournalStorage


@pytest.fixture(params=["memory", "sqlite", "mongomock"])
def store(request, tmp_path):
    places = {"memory": "memory://", "sqlite": tmp_path / "runs.db", "mongomock": mongomock.MongoClient().lab}
    with open_store(places[request.param]) as opened:
        yield opened


def test_notes_are_read_from_any_number_on_and_those_of_other_studies_are_not(store):
    journal = Journal(store, "mine")
    journal.append_logs([{"n": 0}, {"n": 1}])
    journal.append_logs([{"n": 2, "value": float("inf")}])
    Journal(store, "mine too").append_logs([{"n": "theirs"}])
    for one in (journal, Journal(store, "mine")):
        assert [note["n"] for note in one.read_logs(0)] == [0, 1, 2]
        assert one.read_logs(2) == [{"n": 2, "value": float("inf")}]
        assert one.read_logs(3) == []
    delete_journal(store, "mine")
    assert Journal(store, "mine").read_logs(0) == []
    assert len(Journal(store, "mine too").read_logs(0)) == 1


def test_of_many_writers_each_gets_numbers_of_its_own(store):
    with ThreadPoolExecutor(1 if "mongodb" in store.url else 8) as pool:  # mongomock is not made for threads
        list(pool.map(lambda n: Journal(store, "mine").append_logs([{"n": n}, {"n": n}]), range(16)))
    notes = [note["n"] for note in Journal(store, "mine").read_logs(0)]
    assert notes[::2] == notes[1::2]
    assert sorted(notes[::2]) == list(range(16))


def test_what_is_noted_at_once_is_there_at_once_or_not_at_all(store):
    one, other = Journal(store, "mine"), Journal(store, "mine")
    with suppress(ZeroDivisionError), one.at_once():
        one.append_logs([{"n": 0}])
        assert one.read_logs(0) == [{"n": 0}]
        1 / 0  # noqa: B018
    with one.at_once():
        one.append_logs([{"n": 1}])
        assert other.read_logs(0) == []
        one.append_logs([{"n": 2}])
        assert one.read_logs(1) == [{"n": 2}]
    assert other.read_logs(0) == [{"n": 1}, {"n": 2}]
    with pytest.raises(StoreError, match="another process is working on the study mine: wait until"):
        _overtaken(one, other)
    assert one.read_logs(2) == [{"n": 4}]


def _overtaken(one, other):
    with one.at_once():
        one.append_logs([{"n": 3}])
        other.append_logs([{"n": 4}])


def test_a_copy_holds_it_and_a_gap_is_damage(store, tmp_path):
    for n in range(3):
        Journal(store, "mine").append_logs([{"n": n}])
    with open_store(tmp_path / "copy.db") as target:
        copying.copy(store, target)
        assert len(Journal(target, "mine").read_logs(0)) == 3
        target.delete_snapshot("journal of mine", f"{1:012}")
        with pytest.raises(StoreError, match="the journal of mine is damaged: note 1 is missing"):
            Journal(target, "mine").read_logs(0)


def test_optuna_itself_keeps_a_study_in_it(store):
    study = optuna.create_study(storage=JournalStorage(Journal(store, "mine")), study_name="mine")
    study.tell(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), 0.5)
    read = optuna.load_study(storage=JournalStorage(Journal(store, "mine")), study_name="mine")
    assert read.best_params == study.best_params
