"""Names are replaced by pseudonyms: the same by the same, the rest as it was, whoever asks again."""

import json

import pytest
from contracts import stores
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import StoreError
from rlbench.keys import KEY, Key
from rlbench.store import checking, encrypting, open_store
from rlbench.store.pseudonyms import FORM, Pseudonyms, pseudonymise

ONE, TWO = Key(bytes([1] * 32)), Key(bytes([2] * 32))


@given(name=st.text(), other=st.text())
def test_the_same_name_has_the_same_pseudonym_and_another_key_gives_another(name, other):
    first = Pseudonyms(ONE)
    assert FORM.fullmatch(first.of(name))
    assert first.of(first.of(name)) == first.of(name)
    assert (first.of(name) == Pseudonyms(ONE).of(other)) == (name == other)
    assert first.of(name) != Pseudonyms(TWO).of(name) or FORM.fullmatch(name)


def test_a_pseudonym_is_the_same_in_every_version():
    assert Pseudonyms(ONE).of("Ada") == "p-977072bb6bc1d408"


def test_of_a_tag_what_follows_its_label_is_replaced():
    names = Pseudonyms(ONE)
    ada = names.of("Ada")
    tags = ["Ada", "person:Ada", "by = Ada", "person:", "imported", "rlbench:study lake", f"person:{ada}"]
    expected = [ada, f"person:{ada}", f"by = {ada}", names.of("person:"), "imported", "rlbench:study lake"]
    assert list(map(names.in_tag, tags)) == [*expected, f"person:{ada}"]


def test_names_that_are_given_are_replaced_as_words_alone():
    names = Pseudonyms(ONE, ["Ada", "Ada King"])
    text = "Ada, Adam and Ada King saw Ada's (Ada) paper_Ada"
    ada, king = names.of("Ada"), names.of("Ada King")
    assert names.in_note(text) == f"{ada}, Adam and {king} saw {ada}'s ({ada}) paper_Ada"
    assert (names.in_tag("Ada"), names.in_tag("paper")) == (ada, "paper")
    assert Pseudonyms(ONE).in_note(text) == text


@pytest.fixture(params=["plain", "encrypted", "lists too"])
def place(request, tmp_path, monkeypatch):
    """The path of an empty store."""
    if request.param != "plain":
        monkeypatch.setenv(KEY, ONE.text())
        with open_store(tmp_path / "runs.db") as store:
            encrypting.encrypt(store, figures=request.param == "lists too")
    return tmp_path / "runs.db"


def test_a_store_has_no_names_left_and_tells_what_was_done(place):
    with open_store(place) as store:
        run = stores.fill(store, tags=["person:Ada Lovelace", "paper"], note="by Ada Lovelace")
        untouched = stores.fill(store, seed=1)
        chunks = [chunk.figures["return"].tolist() for chunk in store.chunks(run.id)]
        names = Pseudonyms(TWO)
        assert pseudonymise(store, names) == 1
        assert pseudonymise(store, names) == 0
        found = store.run(run.id)
        assert found.tags == (f"person:{names.of('Ada Lovelace')}", names.of("paper"))
        assert (found.note, found.pseudonymised) == ("by Ada Lovelace", (TWO.id,))
        assert pseudonymise(store, Pseudonyms(TWO, ["Ada Lovelace"])) == 1
        assert store.run(run.id).note == f"by {names.of('Ada Lovelace')}"
        assert store.run(run.id).pseudonymised == (TWO.id,)
        assert store.run(untouched.id) == untouched
        assert [chunk.figures["return"].tolist() for chunk in store.chunks(run.id)] == chunks
        assert [each.id for each in store.runs(tag=names.of("paper"))] == [run.id]
        assert list(checking.check(store)) == []
    for path in place.parent.iterdir():
        assert b"Lovelace" not in path.read_bytes()


def test_the_host_of_a_training_that_was_killed_is_replaced(tmp_path):
    with open_store(tmp_path / "runs.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        gone = {"host": "ada-laptop", "pid": 1, "started": "0", "token": "x"}
        changes = {"writer": json.dumps(gone), "beat": "2020-01-01T00:00:00.000000+00:00"}
        with pytest.raises(StoreError, match=f"run {run.id} is being written: wait"):
            pseudonymise(store, Pseudonyms(ONE))
        store.backend.commit(run.id, {}, changes)
        assert pseudonymise(store, Pseudonyms(ONE)) == 1
        [document] = store.backend.select_runs({}, None)
        assert json.loads(document["writer"]) == {**gone, "host": Pseudonyms(ONE).of("ada-laptop")}
        assert store.run(run.id).status == "interrupted"
        assert store.claim(run.id).status == "running"
