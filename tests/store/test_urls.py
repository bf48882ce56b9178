"""A store's address: which store it means, what is wrong with it, and that no password ever shows."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import StoreError, UnknownNameError, UsageError
from rlbench.store import open_store, redact


def test_a_path_a_relative_and_an_absolute_url_mean_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store("runs.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        run = store.update_run(run.id, status="finished")
    for url in ("sqlite:///runs.db", f"sqlite:///{tmp_path}/runs.db", tmp_path / "runs.db"):
        with open_store(url, create=False) as store:
            assert store.runs() == [run]


@pytest.mark.parametrize("name", ["with space.db", "100%25.db", "what?mode=ro.db", "ünï#1.db", "a:b@c.db", "-x.db"])
def test_a_file_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    open_store(f"sqlite:///{name}").close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_two_memory_stores_share_nothing():
    with open_store("memory://") as one, open_store("memory://") as other:
        one.create_run("Taxi-v4", "random", seed=0)
        assert other.runs() == []


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "needs a path or URL"),
        ("sqlite:///", "needs a path or URL"),
        ("a\0b", "needs a path or URL"),
        (":memory:", "write memory://"),
        ("sqlite:runs.db", "is not a path"),
        ("sqlite://runs.db", r"write sqlite:///runs.db \(relative path\) or sqlite:////runs.db"),
        ("memory://name", "takes no name, got 'name'"),
    ],
)
def test_a_malformed_url_says_how_to_write_it(url, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=complaint):
        open_store(url)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_scheme_suggests_a_known_one():
    with pytest.raises(UnknownNameError, match="unknown kind of store 'mongo://'; did you mean mongodb://") as error:
        open_store("mongo://me:secret@host/db")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://me:secret@host:27017/db", "mongodb://me:***@host:27017/db"),
        ("mongodb+srv://me:sec/ret@x@host/db?w=1", "mongodb+srv://me:***@host/db?w=1"),
        (
            "mongodb://host/db?tlsCertificateKeyFilePassword=secret&w=1",
            "mongodb://host/db?tlsCertificateKeyFilePassword=***&w=1",
        ),
        ("mongodb://me@host/db", "mongodb://me@host/db"),
        ("runs.db", "runs.db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_redact_hides_what_is_secret_and_nothing_else(url, shown):
    assert redact(url) == shown


@given(st.text(min_size=1).filter(lambda text: text not in "mongodb://me:***@host/db"))
def test_no_password_survives_redaction(password):
    assert redact(f"mongodb://me:{password}@host/db") == "mongodb://me:***@host/db"


def test_a_store_that_cannot_be_opened_does_not_show_its_password():
    with pytest.raises(StoreError, match=r"me:\*\*\*@127.0.0.1") as error:
        open_store("mongodb://me:secret@127.0.0.1:1/db?serverSelectionTimeoutMS=50")
    assert "secret" not in str(error.value)


def test_the_environment_supports_what_the_store_needs():
    assert sqlite3.threadsafety > 0
