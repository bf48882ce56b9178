"""The audit log when a process is killed, when another finishes what it left, and when somebody tampers with it."""

import contextlib
import random
from collections import Counter

import mongomock
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nursery import Nursery

from rlbench.store import audit, checking, mongodb_audit, open_store

IMITATED = "mongodb://somewhere/audit"
TEXTS = st.text(max_size=5)
ACTS = st.builds(audit.Act, TEXTS, TEXTS, TEXTS, TEXTS)


def log_of(acts):
    entries, head = [], audit.Head()
    for act in acts:
        entries.append(audit.following(head, act))
        head = audit.Head(entries[-1].number, entries[-1].hash)
    return entries


@given(st.lists(ACTS, min_size=2, max_size=6), st.data())
def test_whatever_is_done_to_entries_is_found_and_named(acts, data):
    log = log_of(acts)
    assert list(audit.problems(log, log[-1].hash)) == []
    place = data.draw(st.integers(0, len(log) - 1))
    number = log[place].number
    cut = list(audit.problems(log[:place], log[-1].hash))
    assert len(cut) == 1
    assert f"cut off after entry {place}," in cut[0]
    if place < len(log) - 1:
        assert list(audit.problems([*log[:place], *log[place + 1 :]])) == [f"entry {number} is missing"]
    field = data.draw(st.sampled_from(audit.Act._fields))
    changed = log[place]._replace(**{field: getattr(log[place], field) + "x"})
    assert [
        problem.startswith(f"entry {number} was changed")
        for problem in audit.problems([*log[:place], changed, *log[place + 1 :]])
    ] == [True]
    forged = audit.following(audit.Head(number - 1, log[place - 1].hash if place else ""), changed.act)
    found = list(audit.problems([*log[:place], forged, *log[place + 1 :]], log[-1].hash))
    assert found, "its own hash fits, that of the next does not"


def test_who_acts_is_the_user_of_the_system_and_the_token_by_which_a_server_was_asked(monkeypatch):
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    me = audit.who()
    assert "@" in me
    assert "somebody-else" not in me
    with audit.asked_by("3f2a"):
        assert audit.who() == f"{me}, token 3f2a"
    assert audit.who() == me


# ---------------------------------------------------------------- killed


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def filled(url):
    """Makes a store with a run and a token, to be deleted."""
    with open_store(url) as store:
        store.create_run("Taxi-v4", "random", seed=0)
        store.add_snapshot("token", "00", {})
        store.close()
    return url


def assert_the_log_tells_what_happened(url):
    """Every record that is there has an entry that made it, and none that deleted it; every other has both."""
    with open_store(url) as store:
        entries = store.entries()
        assert list(audit.problems(entries)) == []
        counts = Counter((entry.what, entry.record) for entry in entries)
        assert set(counts.values()) == {1}
        told = {what: {record for done, record in counts if done == what} for what in ("train", "tag", "delete")}
        assert {run.id for run in store.runs()} == told["train"] - told["delete"]
        assert told["delete"] <= told["train"]
        assert {run.id for run in store.runs(tag="x")} == told["tag"] - told["delete"]
        made, revoked = ({record for done, record in counts if done == what} for what in ("token", "revoke"))
        assert {f"token {info.name}" for info in store.snapshots("token")} == made - revoked
        assert revoked <= made


def assert_kills_do_no_harm(nursery, new, kills):
    dice = random.Random(kills)  # noqa: S311  not for secrets
    steps, is_finished = nursery.do("acts", new())
    assert is_finished
    for _ in range(kills):
        url = new()
        nursery.do("acts", url, dice.randint(1, steps))
        assert_the_log_tells_what_happened(url)


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.long)])
def test_an_entry_in_a_file_survives_a_kill_with_what_it_tells_of_or_not_at_all(tmp_path, nursery, kills):
    numbers = iter(range(kills + 1))
    assert_kills_do_no_harm(nursery, lambda: filled(f"{tmp_path}/{next(numbers)}.db"), kills)


@pytest.mark.parametrize("kills", [4, pytest.param(100, marks=pytest.mark.long)])
def test_an_entry_on_a_server_survives_a_kill_with_what_it_tells_of_or_not_at_all(emptied_url, nursery, kills):
    def new():
        with open_store(emptied_url) as store:
            for collection in store.backend._collections[1:]:
                collection.delete_many({})
        return filled(emptied_url)

    assert_kills_do_no_harm(nursery, new, kills)


# ---------------------------------------------------------------- left by another


@pytest.fixture
def imitated(monkeypatch):
    """The URL of an empty imitation of a server, which several may open."""
    server = mongomock.store.ServerStore()
    monkeypatch.setattr("pymongo.MongoClient", lambda url, **_: mongomock.MongoClient(url, _store=server))
    return IMITATED


def dies(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("dying", ["settle", "enter"])
def test_what_a_process_left_waiting_is_entered_by_the_next_that_opens_the_store(imitated, dying):
    with open_store(imitated) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.add_snapshot("token", "00", {})
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(mongodb_audit.Log, dying, dies)
            for act in (
                lambda: store.create_run("Taxi-v4", "random", seed=1),
                lambda: store.delete_run(run.id),
                lambda: store.delete_snapshot("token", "00"),
            ):
                with contextlib.suppress(KeyboardInterrupt):
                    act()
            assert [one.seed for one in store.runs()] == [1]
            assert (store.count_runs(), store.snapshots("token")) == (1, [])
            told = [entry.what for entry in store.backend._log.entries()]
            assert told == ["train", "token", *(["train"] if dying == "settle" else [])]
    with open_store(imitated) as store:
        assert Counter(entry.what for entry in store.backend._log.entries()) == Counter(
            ["train", "token", "train", "delete", "revoke"]
        )
        assert list(audit.problems(store.entries())) == []
        there = store.backend._collections
        assert (there.runs.count_documents({}), there.snapshots.count_documents({})) == (1, 0)
        assert there.runs.find_one({})["acts"] == []
        store.add_snapshot("token", "00", {})
        assert [info.name for info in store.snapshots("token")] == ["00"]


def test_the_next_change_of_a_new_run_takes_out_the_act_that_is_entered(imitated):
    with open_store(imitated) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        there = store.backend._collections.runs
        assert len(there.find_one({})["acts"]) == 1
        store.update_run(run.id, note="n")
        assert there.find_one({})["acts"] == []
        assert [entry.what for entry in store.entries()] == ["train"]


def test_an_act_that_another_process_enters_meanwhile_is_entered_once(imitated, monkeypatch):
    with open_store(imitated) as store:
        store.enter("export")
        enter = mongodb_audit.Log.enter

        def overtaken(self, *args, **kwargs):
            monkeypatch.setattr(mongodb_audit.Log, "enter", enter)
            with open_store(imitated) as other:
                assert [entry.what for entry in other.entries()] == ["export", "train"]
                other.enter("export")
            enter(self, *args, **kwargs)

        monkeypatch.setattr(mongodb_audit.Log, "enter", overtaken)
        store.create_run("Taxi-v4", "random", seed=0)
        assert [entry.what for entry in store.entries()] == ["export", "train", "export"]
        assert list(audit.problems(store.entries())) == []


@pytest.mark.parametrize("number", [None, "[1]", -1])
def test_a_run_whose_number_is_damaged_is_told_of_and_not_taken_for_a_deleted_one(number):
    with open_store(mongomock.MongoClient()["lab"]) as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, status="finished")
        store.backend._collections.runs.update_one({"_id": run.id}, {"$set": {"number": number}})
        told = [damage.problem for damage in checking.check(store)]
        assert told == [f"run {run.id} is not listed, for it has no number"]
        store.backend.compact()
        store.backend._collections.runs.update_one({"_id": run.id}, {"$set": {"number": 0}})
        assert store.run(run.id).status == "finished"
