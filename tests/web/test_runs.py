"""The table of all runs: what is asked for in the address is what it shows, and what changes shows by itself."""

import re

import pytest
from clients import Client, serving

import rlbench
from rlbench.store import RunConfig
from rlbench.web.app import dashboard

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 1234567 * 9 }}",
    "x" * 10_000,
    "a&amp;b",
    "\u202eabc",
)


def ids(answer):
    return re.findall(r'id="run-([0-9a-f]{12})"', answer.text)


def test_the_newest_run_comes_first_and_every_run_is_there(client, store):
    assert ids(client.get("/")) == [run.id for run in store.runs()]


@pytest.mark.parametrize(
    ("address", "query"),
    [
        ("/?env=CartPole-v1", {"env_id": "CartPole-v1"}),
        ("/?agent=sarsa&sort=seed", {"agent_name": "sarsa", "sort": "seed"}),
        ("/?tag=good", {"tag": "good"}),
        ("/?status=running", {"status": "running"}),
        ("/?where=learning_rate%3E0.1+return%3C-600", {"where": ["learning_rate>0.1", "return<-600"]}),
        ("/?sort=-return", {"sort": "-return"}),
        ("/?page=2", {"offset": 50}),
    ],
)
def test_an_address_asks_for_what_the_store_answers(client, store, address, query):
    assert ids(client.get(address)) == [run.id for run in store.page(**query).runs]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/?where=gama%3D1", "unknown column or setting &#39;gama&#39;; did you mean gamma?"),
        ("/?where=gamma", "a condition is NAME=VALUE"),
        ("/?sort=gama", "unknown column or setting"),
        ("/?status=broken", "a run is running, finished, interrupted"),
        ("/?page=0", "a page is a number from 1 on"),
        ("/?page=two", "a page is a number from 1 on"),
    ],
)
def test_what_cannot_be_asked_is_said_above_the_table(client, address, said):
    answer = client.get(address)
    assert answer.status_code == 200
    assert said in answer.text


def test_a_page_that_shows_the_table_already_is_told_nothing_until_it_changes(client, store):
    seen = re.search(r'"seen": "(\w+)"', client.get("/").text)[1]
    assert client.get(f"/?seen={seen}").status_code == 204
    store.update_run(store.runs()[0].id, tags=["new"])
    answer = client.get(f"/?seen={seen}")
    assert answer.status_code == 200
    assert "new</span>" in answer.text
    assert "seen=" not in answer.text


def test_runs_that_were_made_for_a_study_show_where_they_are_asked_for(client, store):
    plain = [run.id for run in store.runs()]
    with store.working_for("grid"):
        made = store.create_run("Taxi-v4", "sarsa", seed=0).id
    answer = client.get("/")
    assert ids(answer) == plain
    assert re.findall(
        r"<option value=\"([^\"]*)\"( selected)?>(none|any|grid)<", answer.text.partition("Study")[2]
    ) == [
        ("", " selected", "none"),
        ("all", "", "any"),
        ("grid", "", "grid"),
        ("", " selected", "any"),  # of the status
    ]
    assert ids(client.get("/?study=grid")) == [made]
    assert ids(client.get("/?study=all")) == [made, *plain]
    assert f"\n{made}," in client.get("/runs.csv?study=all").text
    assert made not in client.get("/runs.csv").text
    alone = client.get("/?env=Taxi-v4").text
    assert "No run fits except one that was made for a study" in alone
    assert ids(client.get(re.search(r'<a href="([^"]*)">Show it', alone)[1].replace("&amp;", "&"))) == [made]


def test_a_store_of_studies_alone_is_not_empty(tmp_path):
    with rlbench.open_store(tmp_path / "studies.db") as store:
        client = Client(dashboard(store))
        seen = re.search(r'"seen": "(\w+)"', client.get("/").text)[1]
        with store.working_for("grid"):
            made = [store.create_run("Taxi-v4", "sarsa", seed=seed).id for seed in (0, 1)]
        answer = client.get(f"/?seen={seen}")
        assert "No run fits except 2 that were made for a study" in answer.text
        assert "rlbench train" not in answer.text
        assert set(ids(client.get("/?study=all"))) == set(made)


def test_groups_show_their_means_and_stand_for_all_their_runs(client, store):
    answer = client.get("/?group=seeds&env=rlbench/SafeCab-v0")
    assert len(ids(answer)) == 2
    sarsa = [run.id for run in store.runs(agent_name="sarsa")]
    assert f'value="{",".join(sarsa)}"' in answer.text
    mean = sum(run.evaluation["mean_return"] for run in store.runs(agent_name="sarsa")) / 2
    assert f"{mean:.2f}" in answer.text


def test_columns_are_those_that_differ_or_those_that_are_chosen(client):
    def columns(address):
        return re.findall(r'hx-swap="outerHTML" id="sort-\d+">(\w+)', client.get(address).text)

    assert columns("/?env=rlbench/SafeCab-v0&agent=sarsa")[:4] == ["env", "agent", "seed", "mean"]
    assert columns("/?env=rlbench/SafeCab-v0")[3:5] == ["exploration", "temperature"]
    assert columns("/?column=gamma&column=ties")[3:5] == ["gamma", "ties"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_it_is_and_does_nothing(client, store, name):
    plain = name.replace("\u202e", "")  # the store refuses what turns text round
    config = {"agent": {"parameters": {"rate": name, name: 1}}, "preset": name}
    run = store.create_run(plain, plain, seed=0, config=RunConfig.of(config), tags=[plain], note=plain)
    for address in ("/", "/?group=seeds", "/?column=rate"):
        text = client.get(address).text
        assert run.id in text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "11111103" not in text
        assert "\u202e" not in text
    text = client.get("/", params={"where": f'env="{name}"', "env": name, "sort": name, "column": name}).text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_a_setting_that_is_no_text_is_shown_as_it_is_written(client, store):
    known = rlbench.load_run(store, "latest")
    (chunk,) = store.chunks(known)
    made = []
    for rate in ("a\ud800b", "c"):
        config = RunConfig.of({"agent": {"name": "sarsa", "parameters": {"rate": rate}}})
        run = store.create_run(known.env_id, "sarsa", seed=0, config=config)
        store.append(run.id, chunk, status="finished")
        made.append(run.id)
    both = ",".join(made)
    for address in ("/?column=rate", "/runs.csv?column=rate", f"/compare?run={both}", f"/compare/curves?run={both}"):
        answer = client.get(address)
        assert (address, answer.status_code) == (address, 200)
        assert r"a\ud800b" in answer.text.replace(r"\\", "\\")


def test_chosen_runs_are_tagged_untagged_and_deleted_by_a_page_alone(client, store):
    first, second = (run.id for run in store.runs()[:2])
    assert client.post("/runs/tag", data={"run": first, "tag": "best"}).status_code == 403
    both = {"run": f"{first},{second}", "tag": "best"}
    assert client.post("/runs/tag", data=both, page=True).headers["hx-refresh"] == "true"
    assert {run.id for run in store.runs(tag="best")} == {first, second}
    client.post("/runs/tag", data={**both, "run": first, "remove": "yes"}, page=True)
    assert [run.id for run in store.runs(tag="best")] == [second]
    unsure = client.post("/runs/delete", data={"run": first}, page=True)
    assert (unsure.status_code, "tick that you are sure" in unsure.text) == (400, True)
    assert client.post("/runs/delete", data={"run": first, "sure": "yes"}, page=True).status_code == 204
    assert first not in {run.id for run in store.runs()}
    assert client.post("/runs/delete", data={"run": first, "sure": "yes"}, page=True).status_code == 404
    assert client.post("/runs/tag", data={"tag": "a"}, page=True).status_code == 400
    assert client.post("/runs/burn", data={"run": second}, page=True).status_code == 404


def test_the_table_is_downloaded_as_it_is_filtered_and_no_spreadsheet_computes_it(client, store):
    run = store.create_run("=1+1", "@sarsa", seed=0)
    lines = client.get("/runs.csv?sort=-return").text.splitlines()
    assert len(lines) == 1 + len(store.runs())
    assert lines[0].startswith("run,status,tags,env,agent,seed,")
    assert f"{run.id},running,,'=1+1,'@sarsa,0" in "\n".join(lines)


def test_an_empty_store_says_how_to_begin(tmp_path):
    with rlbench.open_store(tmp_path / "empty.db") as store:
        answer = Client(dashboard(store)).get("/")
        assert "rlbench train safecab" in answer.text
        assert "<table" not in answer.text


# ---------------------------------------------------------------------- in a browser


def test_the_table_is_filtered_sorted_and_grouped_by_hand(page, window, look, axe):
    page.goto(window)
    page.get_by_label("Where").fill("learning_rate>0.2")
    page.get_by_label("Where").press("Enter")
    page.wait_for_url("**/?where=learning_rate*")
    assert page.get_by_role("row").count() == 4
    page.get_by_role("link", name="mean return").click()
    page.wait_for_url("**sort=-return*")
    assert page.get_by_role("columnheader", name="mean return").get_attribute("aria-sort") == "descending"
    page.get_by_label("Group over seeds").check()
    page.wait_for_url("**group=seeds*")
    assert page.get_by_role("row").count() == 3
    axe(page)
    look(page, "groups")


def test_a_run_that_another_process_begins_shows_by_itself_and_what_is_ticked_stays_so(page, server, database):
    page.goto(server)
    row = page.get_by_role("checkbox", name=re.compile("Choose [0-9a-f]{12}")).first
    chosen = row.get_attribute("value")
    row.check()
    with rlbench.open_store(database) as store:
        new = store.create_run("Taxi-v4", "sarsa", seed=0)
        page.get_by_role("link", name=new.id).wait_for()
        assert page.locator("#table input[name=run]:checked").get_attribute("value") == chosen
        assert page.locator(".status.running").count() == 1


def test_to_delete_asks_twice_and_escape_keeps_everything(page, server, database):
    page.goto(server)
    assert page.get_by_role("button", name="Delete").is_disabled()
    page.get_by_role("checkbox", name=re.compile("Choose [0-9a-f]{12}")).first.check()
    page.get_by_role("button", name="Delete").click()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete 1 run?")
    dialog.get_by_role("button", name="Delete").click()  # not ticked: the browser asks for it
    assert dialog.is_visible()
    dialog.get_by_label("Delete them for good").check()
    dialog.get_by_role("button", name="Delete").click()
    page.get_by_text("5 runs").wait_for()
    with rlbench.open_store(database) as store:
        assert store.count_runs() == 5


def test_a_tag_is_given_in_a_dialog(page, server, look, axe):
    page.goto(server)
    page.get_by_label("Choose all rows of this page").check()
    page.get_by_role("button", name="Tag").click()
    axe(page)
    look(page, "tagging")
    page.get_by_role("dialog", name="Tag 6 runs").get_by_label("Tag").fill("all of them")
    page.keyboard.press("Enter")
    page.locator(".tag", has_text="all of them").first.wait_for()
    assert page.locator(".tag", has_text="all of them").count() == 6


def test_hostile_names_neither_run_nor_break_the_page(page, database, look, axe):
    with rlbench.open_store(database) as store:
        for name in HOSTILE[:4]:
            store.create_run(
                name, name, seed=0, tags=[name], config=RunConfig.of({"agent": {"parameters": {name: name}}})
            )
    with serving("ui", "--store", database, "--port", 0, "--no-browser") as (address, _):
        page.on("dialog", lambda dialog: pytest.fail(dialog.message))
        page.goto(address)
        look(page, "hostile")
        axe(page)


def test_a_server_that_is_killed_is_told_and_when_it_is_back_the_page_goes_on(page, database):
    with serving("ui", "--store", database, "--port", 0, "--no-browser") as (address, process):
        page.goto(address)
        process.kill()
        page.get_by_text("The server does not answer").wait_for()
    port = address.rpartition(":")[2]
    with serving("ui", "--store", database, "--port", port, "--no-browser"), rlbench.open_store(database) as store:
        new = store.create_run("Taxi-v4", "sarsa", seed=0)
        page.get_by_role("link", name=new.id).wait_for()
        assert not page.get_by_text("The server does not answer").is_visible()
