"""What every page has: it is looked at in three sizes and two schemes, and anybody can use it."""

import pytest
from clients import serving

from rlbench.web import tokens


def test_the_first_page_lists_the_runs_and_anybody_can_use_it(page, window, look, axe):
    page.goto(window)
    assert page.get_by_role("row").count() == 7
    look(page, "runs")
    axe(page)


def test_a_page_that_does_not_exist_says_so_in_one_line(client):
    answer = client.get("/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "Not Found" in answer.text


@pytest.mark.parametrize("act", [pytest.param("Note", marks=pytest.mark.long), "Export", "Delete"])
def test_anybody_can_use_the_dialogs_of_a_run(page, window, store, look, axe, act):
    page.goto(f"{window}/runs/{store.runs()[0].id}")
    page.get_by_role("button", name=act).click()
    assert page.get_by_role("dialog").is_visible()
    axe(page)
    look(page, act.lower())


def test_a_change_that_fails_says_so_in_its_dialog_and_can_be_sent_again(page, server, store, database):
    page.goto(f"{server}/runs/{store.runs()[0].id}")
    page.get_by_role("button", name="Note").click()
    page.get_by_role("textbox", name="Note").fill("new")
    away = database.rename(database.with_name("away.db"))
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").get_by_text("was deleted or replaced while it was open").wait_for()
    assert page.get_by_role("dialog").get_by_role("alert").inner_text().startswith("cannot use the store")
    away.rename(database)
    page.get_by_role("button", name="Save").click()
    page.locator(".remark", has_text="new").wait_for()


def test_anybody_can_use_the_page_that_asks_for_a_token_and_that_of_an_error(page, database, store, look, axe):
    secret, _ = tokens.create(store)
    with serving("ui", "--store", database, "--port", 0, "--no-browser", "--host", "0.0.0.0", "--insecure") as (at, _):  # noqa: S104
        here = at.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        page.goto(here)
        page.get_by_label("Token").fill("guess")
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("This token is unknown").wait_for()
        axe(page)
        look(page, "login")
        page.get_by_label("Token").fill(secret)
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("heading", name="Runs").wait_for()
        page.goto(f"{here}/nowhere")
        axe(page)
        look(page, "error")
