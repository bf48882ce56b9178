"""A store's address: which store it means, what is wrong with it, and that no password ever shows."""

import sqlite3
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import RlbenchError, StoreError, UnknownNameError, UsageError
from rlbench.store import open_store, redact


def test_a_path_a_relative_and_an_absolute_url_mean_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_store("runs.db") as store:
        run = store.create_run("Taxi-v4", "random", seed=0)
        store.append(run.id, status="finished")
        run = store.run(run.id)
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
        ("mongodb:/me:secret@host/db", "mongodb:/me:***@host/db"),
        ("mongodb:me:secret@host/db", "mongodb:***@host/db"),
        ("me:secret@host/db", "me:***@host/db"),
        ("mongodb://me:secrethost/db?w=1", "mongodb://me:***/db?w=1"),
        ("mongodb://host:27017,other:27018/db", "mongodb://host:27017,other:27018/db"),
        ("mongodb://[::1]:27017/db", "mongodb://[::1]:27017/db"),
        ("/data/a:b@c.db", "/data/a:b@c.db"),
        ("runs.db", "runs.db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_redact_hides_what_is_secret_and_nothing_else(url, shown):
    assert redact(url) == shown


@given(st.text(min_size=1).filter(lambda text: text not in "mongodb://me:***@host/db"))
def test_no_password_survives_redaction(password):
    assert redact(f"mongodb://me:{password}@host/db") == "mongodb://me:***@host/db"


@pytest.mark.parametrize(
    "url",
    [
        "mongodb:/me:secret@host/db",
        "mongodb:me:secret@host",
        "mongodb//me:secret@host/db",
        "MongoDB:/host/db",
        " mongodb:/me:secret@host/db",
        "me:secret@host",
        "//me:secret@host/db",
        "/me:secret@host/db",
        "mongodb+srv:/me:secret@host/db",
        Path("mongodb://me:secret@host/db"),
    ],
)
def test_a_malformed_address_is_refused_without_its_password_and_makes_no_file(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="write mongodb://user:password@host/name, or sqlite:///FILE") as error:
        open_store(url)
    assert "secret" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_name_looks_like_an_address_is_opened_by_its_absolute_path(tmp_path):
    open_store(tmp_path / "a:b@c.db").close()
    assert [file.name for file in tmp_path.iterdir()] == ["a:b@c.db"]


LETTERS = st.sampled_from(":/@?#%&=[]. m\n\t-+~")


@st.composite
def malformed(draw):
    """A MongoDB address with a few characters before or after the password changed, dropped or added.

    It still begins as an address does: what begins as a path does is a file, whose name is no secret.
    """
    parts = [list("mongodb://me"), list("@host/db?w=1")]
    for _ in range(draw(st.integers(1, 4))):
        part = draw(st.sampled_from(parts))
        at = draw(st.integers(2 * (part is parts[0]), len(part) - 1))
        part[at : at + draw(st.integers(0, 1))] = draw(st.lists(LETTERS, max_size=1))
        if "@" not in parts[1]:  # without it, what follows the colon is a port, or part of a file's name
            parts[1].insert(0, "@")
    return "".join(parts[0]) + ":s3cr3t" + "".join(parts[1])


@given(malformed())
def test_no_error_over_a_malformed_address_shows_the_password(tmp_path_factory, url):
    pytest.importorskip("pymongo")
    folder = tmp_path_factory.getbasetemp()
    assert "s3cr3t" not in redact(url)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr("pymongo.MongoClient", _unreachable)
        with pytest.raises(RlbenchError) as error:
            open_store(url, create=False)
    assert "s3cr3t" not in "".join(traceback.format_exception(error.value))


def _unreachable(url, **_):
    raise ValueError(f"{url} is not reached")


def test_no_error_of_ours_shows_the_password_of_a_url_in_its_text():
    text = "cannot import mongodb://me:se@cret@host/db: give sqlite:///a:b@c.db or mongodb://me@host"
    shown = "cannot import mongodb://me:***@host/db: give sqlite:///a:b@c.db or mongodb://me@host"
    assert str(UsageError(text)) == shown
    assert str(StoreError(text)) == shown


def test_a_store_that_cannot_be_opened_does_not_show_its_password():
    with pytest.raises(StoreError, match=r"me:\*\*\*@127.0.0.1") as error:
        open_store("mongodb://me:secret@127.0.0.1:1/db?serverSelectionTimeoutMS=50")
    assert "secret" not in str(error.value)


def test_the_environment_supports_what_the_store_needs():
    assert sqlite3.threadsafety > 0
