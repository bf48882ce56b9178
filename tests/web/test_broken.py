"""What breaks the store while its pages are looked at: another writer that holds it, and a file that is gone."""

import shutil
import sqlite3
from contextlib import closing

import pytest
from clients import Client

from rlbench.web import app
from rlbench.web.app import dashboard

CHANGES = {"tag": {"tag": "a"}, "note": {"note": "a"}, "delete": {"sure": "yes"}}


@pytest.fixture
def hurried(store, monkeypatch):
    """A client of a dashboard that waits for nobody."""
    monkeypatch.setattr(app, "PATIENCE", 0.01)
    return Client(dashboard(store))


@pytest.fixture
def held(database):
    """A connection that holds the store, as another process does in the middle of a write."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def pages_of(run_id):
    run = f"/runs/{run_id}"
    more = (f"{run}/curve", f"{run}/episodes/0", f"/compare?run={run_id}", "/runs.csv")
    return ("/", "/?group=seeds", run, *more, "/studies", "/models", "/buffers")


def test_while_another_process_writes_pages_are_read_and_a_change_says_that_it_must_wait(hurried, store, held):
    run = store.runs()[0]
    assert store.backend._connection.execute("PRAGMA busy_timeout").fetchone() == (10,)  # ms, not its own patience
    for act, form in CHANGES.items():
        answer = hurried.post(f"/runs/{act}", data={"run": run.id, **form}, page=True)
        assert answer.status_code == 503
        assert "another process has been writing to it for too long; try again later" in answer.text
    assert hurried.get(f"/runs/{run.id}/run.json").status_code == 503  # an export is entered in the audit log
    for page in pages_of(run.id):
        assert (page, hurried.get(page).status_code) == (page, 200)
    assert store.runs()[0] == run
    held.execute("ROLLBACK")
    assert hurried.post("/runs/tag", data={"run": run.id, "tag": "a"}, page=True).status_code == 204


@pytest.mark.parametrize("fate", ["deleted", "replaced"])
def test_a_store_that_is_gone_is_said_on_every_page_until_it_is_back(client, store, database, tmp_path, fate):
    run = store.runs()[0].id
    secret = client.secret
    kept = tmp_path / "kept.db"
    database.rename(kept)
    if fate == "replaced":
        shutil.copy(kept, database)
    for page in pages_of(run):
        answer = client.get(page)
        assert (page, answer.status_code) == (page, 503)
        assert "its file was deleted or replaced while it was open" in answer.text
    for act, form in CHANGES.items():
        answer = client.post(f"/runs/{act}", data={"run": run, **form}, headers={app.guards.PAGE_HEADER: secret})
        assert (answer.status_code, "deleted or replaced" in answer.text) == (503, True)
    kept.replace(database)
    assert {client.get(page).status_code for page in pages_of(run)} == {200}


def test_a_page_that_is_looked_at_says_that_the_store_is_gone(page, server, database, look, axe):
    page.goto(server)
    database.unlink()
    page.locator("#said").get_by_text("was deleted or replaced while it was open").wait_for()
    page.get_by_role("link", name="Studies").click()
    page.get_by_text("was deleted or replaced while it was open").wait_for()
    axe(page)
    look(page, "gone")
