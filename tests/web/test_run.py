"""The page of a run, its curve, and the comparison of several."""

import json
import re
from unittest.mock import Mock

import numpy as np
import pytest
from clients import Client
from hypothesis import given
from hypothesis import strategies as st

import rlbench
from rlbench.plots.smoothing import Smoothing, smoothing
from rlbench.store import RunConfig, audit
from rlbench.web import curves
from rlbench.web.app import dashboard
from rlbench.web.curves import Whole, of_groups, of_run
from rlbench.web.guards import Grant

HOSTILE = "\"'><script>alert(1)</script>{{ 1234567 * 9 }}"


# ---------------------------------------------------------------------- curves

values = st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=60)


@given(values, st.integers(1, 80), st.integers(1, 9))
def test_every_column_shows_the_extremes_of_its_values_and_none_is_lost(returns, pixels, seed):
    y = np.array(returns)
    x = np.cumsum(np.random.default_rng(seed).integers(1, 5, len(y))).astype(float)
    drawn = of_run(Whole(x, y), pixels)
    assert len(drawn["x"]) <= pixels
    known = y[~np.isnan(y)]
    for name, extreme in (("low", min), ("high", max)):
        shown = [value for value in drawn[name] if value is not None]
        assert set(shown) <= set(known)
        assert len(known) == 0 or extreme(shown) == extreme(known)
    if pixels >= 4 * len(y):  # a column for each
        assert (
            [value for value in drawn["low"] if value is not None]
            == known.tolist()
            == [value for value in drawn["high"] if value is not None]
        )


def test_a_spike_among_sixty_thousand_episodes_is_drawn():
    y = np.zeros(60_000)
    y[41_234] = 7.25
    drawn = of_run(Whole(np.arange(60_000.0), y), 900)
    column = drawn["high"].index(7.25)
    assert abs(drawn["x"][column] - 41_234) < 60_000 / 900
    assert (max(drawn["high"]), len(drawn["x"])) == (7.25, 900)


def test_a_part_of_a_curve_shows_its_own_episodes_with_the_smoothing_of_the_whole():
    y = np.random.default_rng(0).normal(size=2_000)
    part = of_run(Whole(np.arange(2_000.0), y), 900, 100, 149)
    assert part["x"] == list(range(100, 150))
    assert part["low"] == part["high"] == y[100:150].tolist()
    assert np.allclose(part["line"], smoothing("bell")(y)[100:150], atol=1e-4)
    assert of_run(Whole(np.arange(5.0), np.zeros(5)), 9, 7, 8) == {"x": [], "low": [], "high": [], "line": []}


@pytest.mark.parametrize("how", ["bell", "mean:7", "savgol", "none"])
@pytest.mark.parametrize("count", [1, 9, 30, 1_000])
def test_smoothing_at_some_places_is_that_of_the_whole(how, count):
    values, at = np.random.default_rng(1).normal(size=count), np.unique(np.linspace(0, count - 1, 7).astype(int))
    assert np.allclose(smoothing(how).at(values, at), smoothing(how)(values)[at])
    assert Smoothing() == curves.SMOOTH


def test_curves_of_groups_lie_over_each_other_with_the_extremes_of_a_single_run(store):
    from rlbench.evaluation.comparison import group_runs

    runs = [rlbench.load_run(store, record.id) for record in store.runs(env_id="rlbench/SafeCab-v0")][:3]
    drawn = of_groups(group_runs(runs), 100)
    both, alone = drawn["lines"]
    assert (both["runs"], alone["runs"], len(drawn["x"])) == (2, 1, 100)
    assert max(alone["high"]) == runs[2].returns.max()
    assert min(alone["low"]) == runs[2].returns.min()
    assert all(
        low - 0.01 <= line <= high + 0.01
        for low, line, high in zip(both["low"], both["line"], both["high"], strict=True)
    )
    assert json.dumps(drawn, allow_nan=False)


def test_a_curve_of_a_run_is_its_returns_and_over_steps_it_lies_at_their_ends(client, store):
    run = rlbench.load_run(store, "latest")
    drawn = client.get(f"/runs/{run.id}/curve?pixels=4000").json()
    assert drawn["low"] == drawn["high"] == run.returns.tolist()
    assert (drawn["episodes"], drawn["running"]) == (50, False)
    over_steps = client.get(f"/runs/{run.id}/curve?pixels=4000&x=steps&figure=length").json()
    assert over_steps["x"] == np.cumsum(run.lengths).tolist()


def test_the_curve_of_a_run_that_still_grows_is_not_kept(client, store, monkeypatch):
    known = rlbench.load_run(store, "latest")
    (chunk,) = store.chunks(known)
    run = store.create_run(known.env_id, known.agent_name, seed=9, config=known.record.config)
    asked = Mock(wraps=curves.CURVES)
    monkeypatch.setattr(curves, "CURVES", asked)
    assert client.get(f"/runs/{run.id}/curve").json()["episodes"] == 0
    store.append(run.id, chunk)
    assert client.get(f"/runs/{run.id}/curve").json()["episodes"] == 50
    asked.get.assert_not_called()
    store.append(run.id, status="finished")
    assert client.get(f"/runs/{run.id}/curve").json()["episodes"] == 50
    asked.get.assert_called_once()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("figure=secret", 400),
        ("x=time", 400),
        ("pixels=0", 400),
        ("pixels=1e9", 400),
        ("from=a", 400),
        ("from=nan", 200),
    ],
)
def test_a_curve_that_cannot_be_is_refused_in_one_line(client, store, query, status):
    answer = client.get(f"/runs/{store.runs()[0].id}/curve?{query}", headers={"accept": "application/json"})
    assert answer.status_code == status
    assert "\n" not in answer.json().get("error", "")


# ---------------------------------------------------------------------- the page


def test_the_page_of_a_run_tells_what_the_record_tells(client, store):
    run = store.runs(agent_name="sarsa")[0]
    text = client.get(f"/runs/{run.id}").text
    for told in (
        run.id,
        "300",
        "rlbench train rlbench/SafeCab-v0 --agent sarsa --episodes 300 --seed 1",
        "learning_rate",
    ):
        assert told in text
    assert f"{run.evaluation['regret']:.4g}" in text


def test_a_run_that_is_unknown_or_gone_is_said_so(client, store):
    run = store.runs()[0]
    store.delete_run(run.id)
    for address in (
        f"/runs/{run.id}",
        f"/runs/{run.id}/curve",
        "/runs/..%2f..%2fetc",
        "/runs/%00",
        f"/compare?run={run.id}",
    ):
        assert client.get(address).status_code == 404, address


def test_hostile_texts_of_a_run_are_shown_as_they_are(client, store):
    config = {"agent": {"name": HOSTILE, "parameters": {HOSTILE: HOSTILE}}, "preset": HOSTILE, "stopped": HOSTILE}
    texts = {"tags": [HOSTILE], "note": HOSTILE * 200, "parents": [HOSTILE]}
    run = store.create_run(HOSTILE, HOSTILE, seed=0, config=RunConfig.of(config), **texts)
    for address in (f"/runs/{run.id}", f"/compare?run={run.id}", f"/compare/scores?run={run.id}"):
        answer = client.get(address)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "11111103" not in answer.text


def test_a_page_that_shows_the_run_already_is_told_nothing_until_it_changes(client, store):
    run = store.create_run("Taxi-v4", "sarsa", seed=0)
    text = client.get(f"/runs/{run.id}").text
    seen = re.search(r'"seen": "(\w+)"', text)[1]
    assert client.get(f"/runs/{run.id}?seen={seen}").status_code == 204
    store.append(run.id, status="finished")
    assert (
        "hx-trigger"
        not in client.get(f"/runs/{run.id}?seen={seen}").text.partition('class="title"')[0].partition("<main")[2]
    )


def test_the_best_and_the_worst_episode_are_a_link_away(client, store):
    run = rlbench.load_run(store, "latest")
    for asked, index in (("best", run.returns.argmax()), ("worst", run.returns.argmin()), ("7", 7)):
        answer = client.get(f"/runs/{run.id}/episode?number={asked}")
        assert answer.headers["location"] == f"/runs/{run.id}/episodes/{index}"
    assert client.get(f"/runs/{run.id}/episode?number=-1").status_code == 400


@pytest.mark.parametrize("name", ["curve.csv", "run.json", "episodes.csv"])
def test_a_run_is_downloaded_as_it_is_exported(client, store, name, tmp_path):
    run = rlbench.load_run(store, "latest")
    answer = client.get(f"/runs/{run.id}/{name}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{run.id}-{name}"'
    path = tmp_path / f"here{name[name.index('.') :]}"
    rlbench.exchange.export(run, path, what="results" if name == "curve.csv" else "episodes")
    assert answer.text == path.read_text()
    assert client.get(f"/runs/{run.id}/secrets.txt").status_code == 404


def test_a_note_is_kept(client, store):
    run = store.runs()[0]
    assert client.post("/runs/note", data={"run": run.id, "note": "too slow"}, page=True).status_code == 204
    assert store.run(run.id).note == "too slow"


def test_a_token_for_one_env_or_tag_opens_no_other_run_and_lists_none(store):
    grants = {"cart": Grant("admin", env_id="CartPole-v1"), "good": Grant("admin", tag="good")}
    client = Client(dashboard(store, grant_of=grants.get))
    for token, allowed in (("cart", store.runs(env_id="CartPole-v1")), ("good", store.runs(tag="good"))):
        headers = {"authorization": f"Bearer {token}"}
        other = next(run for run in store.runs() if run not in allowed)
        for address in ("/", "/?env=rlbench/SafeCab-v0", "/?tag=best", "/?group=seeds", "/runs.csv"):
            text = client.get(address, headers=headers).text
            assert other.id not in text, address
        assert allowed[0].id in client.get("/", headers=headers).text
        for address in (f"/runs/{other.id}", f"/runs/{other.id}/curve", f"/compare?run={allowed[0].id},{other.id}"):
            assert client.get(address, headers=headers).status_code == 403
        data = {"run": other.id, "tag": "good", "sure": "yes"}
        for act in ("tag", "note", "delete"):
            assert client.post(f"/runs/{act}", data=data, headers=headers).status_code == 403
    assert store.count_runs() == 6


def test_the_audit_log_names_the_token_by_which_a_run_was_exported_and_deleted(store):
    grants = {"some": Grant("admin", token="3f2a")}  # noqa: S106  its id
    client, headers = Client(dashboard(store, grant_of=grants.get)), {"authorization": "Bearer some"}
    run = store.runs()[-1].id
    assert client.get(f"/runs/{run}/run.json", headers=headers).status_code == 200
    assert client.post("/runs/delete", data={"run": run, "sure": "yes"}, headers=headers).status_code == 204
    entries = store.entries()[-2:]
    assert [(entry.what, entry.record) for entry in entries] == [("export", run), ("delete", run)]
    assert {entry.who for entry in entries} == {f"{audit.who()}, token 3f2a"}


# ---------------------------------------------------------------------- comparison


def test_a_comparison_shows_what_differs_and_how_probable_it_is_that_one_beats_another(client, store):
    ids = [run.id for run in store.runs(env_id="rlbench/SafeCab-v0")]
    text = client.get(f"/compare?run={','.join(ids)}").text
    assert [one in text for one in ("exploration", "temperature", "learning_rate")] == [True] * 3
    assert text.count("data-line=") == 2
    scores = client.get(f"/compare/scores?run={','.join(ids)}").text
    found = rlbench.compare([rlbench.load_run(store, one) for one in ids], metric="training")
    assert f"{found.candidates[0].iqm:,.2f}" in scores
    assert f"{found.improvement(0, 1).probability:.2f}" in scores


def test_runs_of_two_envs_are_not_compared_but_said_so(client, store):
    ids = ",".join(run.id for run in store.runs())
    answer = client.get(f"/compare?run={ids}")
    assert "returns of different envs cannot be compared" in answer.text
    assert client.get(f"/compare/curves?run={ids}", headers={"accept": "application/json"}).status_code == 400
    assert client.get("/compare").status_code == 400
    assert client.get(f"/compare/scores?run={ids}&metric=luck").status_code == 400


def test_a_parameter_that_is_not_set_is_a_muted_dash(client, store):
    run = store.runs(agent_name="q-learning")[0]
    text = client.get(f"/runs/{run.id}").text
    unset = [name for name, value in run.config.agent.parameters.items() if value is None]
    assert unset
    assert re.findall(r'class="unset"><th scope="row">(\w+)</th><td>-</td>', text) == unset
    assert ">None<" not in text


# ---------------------------------------------------------------------- in a browser


def test_a_run_is_looked_at_and_a_part_of_its_curve_looked_at_closer(page, window, store, look, axe):
    run = store.runs(agent_name="sarsa")[0]
    page.goto(f"{window}/runs/{run.id}")
    page.locator("[data-drawn]").wait_for()
    axe(page)
    look(page, "run")
    box = page.locator(".u-over").bounding_box()
    with page.expect_response("**/curve?*from=*") as answer:
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 120, steps=4)
        page.mouse.up()
    drawn = answer.value.json()
    assert 0 < len(drawn["x"]) < 300
    page.get_by_role("button", name="Whole").click()
    page.get_by_role("button", name="Whole").wait_for(state="hidden")
    page.get_by_label("Figure").select_option("length")
    page.get_by_role("img", name=re.compile("steps of an episode from .* over")).wait_for()


def test_a_run_that_trains_in_another_process_grows_by_itself(page, server, database):
    with rlbench.open_store(database) as store:
        known = rlbench.load_run(store, "latest")
        (chunk,) = store.chunks(known)
        run = store.create_run(known.env_id, known.agent_name, seed=9, config=known.record.config)
        page.goto(f"{server}/runs/{run.id}")
        page.get_by_text("No episode has ended yet").wait_for()
        store.append(run.id, chunk)
        page.get_by_role("img", name=re.compile("return from")).wait_for()
        page.locator(".tiles").get_by_text("50", exact=True).wait_for()
        store.append(run.id, status="finished")
        page.locator(".status.finished").wait_for()
        store.delete_run(run.id)
        page.reload()
        page.get_by_text(f"there is no run '{run.id}'").wait_for()


def test_a_run_that_is_deleted_while_it_is_looked_at_is_said_to_be_gone(page, server, database):
    with rlbench.open_store(database) as store:
        run = store.create_run("Taxi-v4", "sarsa", seed=9)
        page.goto(f"{server}/runs/{run.id}")
        store.delete_run(run.id)
        page.get_by_text(f"there is no run '{run.id}'").first.wait_for()


def test_ticked_runs_are_compared(page, window, look, axe):
    page.goto(f"{window}/?env=rlbench/SafeCab-v0")
    page.get_by_label("Choose all rows of this page").check()
    page.get_by_role("button", name="Compare").click()
    page.locator("[data-drawn]").wait_for()
    page.get_by_text("Probability that the row beats the column").wait_for()
    assert page.locator("[data-line]").count() == 2
    axe(page)
    look(page, "compare")


def test_the_first_visit_weighs_little_and_asks_nobody_else(page, window, store):
    sizes = {}
    page.on("response", lambda answer: sizes.__setitem__(answer.url, len(answer.body())))
    page.goto(f"{window}/runs/{store.runs()[0].id}")
    page.locator("[data-drawn]").wait_for()
    assert all(url.startswith(window) for url in sizes)
    assert 100_000 < sum(sizes.values()) <= 250_000
