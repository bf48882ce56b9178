"""The page of an episode: its numbers are those of the store, whatever it meets it tells in a line."""

import dataclasses
import io
import sqlite3

import numpy as np
import pytest
from clients import Client
from PIL import Image
from playwright.sync_api import expect

import rlbench
from rlbench.envs.layouts import layout_of
from rlbench.plots.retracing import values_then
from rlbench.store.config import RunConfig
from rlbench.store.records import TERMINATED, EpisodeChunk
from rlbench.viewer.value_maps import value_map
from rlbench.web import reels
from rlbench.web.app import dashboard
from rlbench.web.scenes import BARS, SPAN
from rlbench.web.shelf import Shelf

JSON = {"accept": "application/json"}
NASTY = "<script>alert('\"x\"')</script>" + "x" * 10_000


def run_in(store, env_id, agent="q-learning"):
    return rlbench.load_run(store, store.runs(env_id=env_id, agent_name=agent)[0].id)


def address(run, index, path="", **asked):
    query = "&".join(f"{name}={value}" for name, value in asked.items())
    return f"/runs/{run.id}/episodes/{index}{path}{'?' if query else ''}{query}"


def told(client, run, index, path, **asked):
    answer = client.get(address(run, index, path, **asked), headers=JSON)
    assert answer.status_code == 200, answer.text
    return answer.json()


def long_episode(store, length=100_000):
    """Stores a run of one long episode whose rewards are 0 but for two spikes, of an env that nobody has."""
    rewards = np.zeros(length)
    rewards[[12_345, 67_890]] = -7.0, 1e6
    steps = {
        "observations": np.arange(length + 1),
        "actions": np.zeros(length, np.int64),
        "rewards": rewards,
        "explored": np.arange(length) % 2 == 0,
    }
    return stored(store, steps)


def stored(store, steps, env_id="nobody/Has-v0", agent="human", config=None):
    """Stores a run of one episode with these steps."""
    length = len(steps["rewards"])
    figures = {"return": np.array([steps["rewards"].sum()]), "length": np.array([length])}
    chunk = EpisodeChunk(0, 0, np.array([length]), np.array([TERMINATED], np.uint8), figures, steps)
    run = store.create_run(env_id, agent, seed=0, config=config or RunConfig.of({"record": "all"}))
    store.append(run.id, chunk, status="finished")
    return rlbench.load_run(store, run.id)


def forged(store, run, change):
    """Stores a copy of a run whose steps were changed."""
    copy = store.create_run(run.env_id, run.agent_name, seed=run.seed, config=run.record.config)
    for chunk in store.chunks(run.id):
        steps = {name: np.array(column) for name, column in chunk.steps.items()}
        change(steps)
        store.append(copy.id, dataclasses.replace(chunk, steps=steps), store.checkpoint(run.id))
    store.append(copy.id, status="finished")
    return rlbench.load_run(store, copy.id)


# ---------------------------------------------------------------- what it tells


@pytest.mark.parametrize(
    ("env_id", "kind"), [("rlbench/SafeCab-v0", "map"), ("CartPole-v1", "cart"), ("FrozenLake-v1", "map")]
)
def test_the_steps_are_those_of_the_store(client, store, env_id, kind):
    run = run_in(store, env_id)
    index = int(np.argmax(run.lengths))
    episode = run.store.episodes(run)[index]
    found = told(client, run, index, "/scene")
    steps = found["steps"]
    assert (found["kind"], found["length"], found["end"]) == (kind, len(episode), episode.end)
    assert steps["observation"] == episode.observations.tolist()
    assert steps["action"] == [None, *episode.actions.tolist()]
    assert steps["reward"] == [None, *episode.rewards.tolist()]
    assert steps["explored"] == [None, *episode.explored.tolist()]
    assert steps["total"] == [0.0, *np.cumsum(episode.rewards).tolist()]
    np.testing.assert_allclose(steps["values"], run.agent.q_table[episode.observations], rtol=1e-6)


def test_where_the_agent_is_and_what_it_learnt_there_is_told(client, store):
    run = run_in(store, "rlbench/SafeCab-v0")
    layout, table = layout_of(run.make_env()), run.agent.q_table
    state = int(run.store.episodes(run)[299].observations[0])
    place = told(client, run, 299, "/scene")["steps"]["place"][0]
    assert layout.states.ravel()[place] == state
    panel, square = divmod(place, 25)
    found, known = told(client, run, 299, "/values", panel=panel), value_map(table, layout, divmod(panel, 4))
    np.testing.assert_allclose(found["values"], known.values.ravel(), rtol=1e-6)
    assert found["best"] == known.best.ravel().tolist()
    assert found["values"][square] == pytest.approx(table[state].max(), rel=1e-6)


def test_the_values_are_told_by_then_too(client, store):
    run, index = run_in(store, "FrozenLake-v1"), 30
    then = values_then(run, index)
    found = told(client, run, index, "/steps", values="then", **{"from": 0})
    np.testing.assert_allclose(found["values"], then.values, rtol=1e-6)
    found = told(client, run, index, "/values", values="then", panel=0)
    np.testing.assert_allclose(found["values"], then.table.max(axis=1), rtol=1e-6)
    other = run_in(store, "rlbench/SafeCab-v0", "sarsa")
    assert not told(client, other, index, "/scene")["has_then"]
    answer = client.get(address(other, index, "/steps", values="then", **{"from": 0}), headers=JSON)
    assert answer.status_code == 400
    assert "only q-learning" in answer.json()["error"]


def test_the_cart_is_where_gymnasium_puts_it(client, store):
    run = run_in(store, "CartPole-v1")
    cart = told(client, run, 7, "/scene")["steps"]["cart"]
    assert np.abs(cart[0]).max() <= 0.05  # as every episode begins
    lean = np.abs(np.array(cart)[:, 2])
    assert lean[:-1].max() < 0.2095 < lean[-1]


def test_a_long_episode_comes_in_spans_and_its_timeline_keeps_every_spike(client, store):
    run = long_episode(store)
    answer = client.get(address(run, 0, "/scene"), headers=JSON)
    head, timeline = answer.json(), answer.json()["timeline"]
    assert len(answer.content) < 100_000
    assert len(head["steps"]["observation"]) == SPAN
    assert len(timeline["low"]) == BARS
    assert (min(timeline["low"]), max(timeline["high"])) == (-7.0, 1e6)
    assert set(timeline["explored"]) == {0.5}
    last = told(client, run, 0, "/steps", **{"from": 100_000})
    assert (last["observation"], last["total"]) == ([100_000], [999_993.0])


def test_pictures_are_drawn_on_demand_in_any_order_and_few_are_kept(client, store, monkeypatch):
    run = rlbench.train("Blackjack-v1", seed=3, episodes=40, store=store)
    index = int(np.argmax(run.lengths))
    assert told(client, run, index, "/scene")["kind"] == "frames"
    steps = [*range(run.lengths[index] + 1), 0]
    pictures = [client.get(address(run, index, "/frame", step=step)).content for step in steps]
    assert {Image.open(io.BytesIO(picture)).format for picture in pictures} == {"PNG"}
    assert pictures[0] == pictures[-1] != pictures[1]
    monkeypatch.setattr(reels.Reel, "_drawn", lambda self, step: pytest.fail("it was kept"))
    assert client.get(address(run, index, "/frame", step=1)).content == pictures[1]


def test_of_what_is_kept_the_thing_not_used_for_longest_goes():
    shelf, made = Shelf(2), []
    for key in (1, 2, 1, 3, 1, 2):
        assert shelf.get(key, lambda key=key: made.append(key) or key) == key
    assert made == [1, 2, 3, 2]


# ---------------------------------------------------------------- playing again


def test_an_episode_is_played_again_on_demand(client, store):
    run = run_in(store, "FrozenLake-v1")
    found = client.post(address(run, 3, "/verify"), page=True, headers=JSON).json()
    assert found == {"same": True, "step": None, "words": f"The same again, all {run.lengths[3]:,} steps."}
    assert client.post(address(run, 3, "/verify")).status_code == 403


def test_where_it_differs_is_told_and_the_cart_is_not_drawn_where_it_was_not(client, store):
    run = run_in(store, "CartPole-v1")

    def change(steps):
        steps["observations"][4] += 1

    other = forged(store, run, change)
    found = client.post(address(other, 0, "/verify"), page=True, headers=JSON).json()
    assert (found["same"], found["step"]) == (False, 4)
    assert "observation" in found["words"]
    head = told(client, other, 0, "/scene")
    assert (head["kind"], head["why"]) == ("table", "played again, the episode differs from what is stored")


# ---------------------------------------------------------------- what goes wrong


def test_what_does_not_exist_is_told_in_a_line(client, store):
    run = run_in(store, "rlbench/SafeCab-v0")
    for path, status in (
        ("/runs/ffffffffffff/episodes/0", 404),
        (address(run, 300), 404),
        (address(run, 10**30), 404),
        (f"/runs/{run.id}/episodes/-1", 404),
        (address(run, 0, "/steps", **{"from": 1000}), 404),
        (address(run, 0, "/steps", **{"from": "x"}), 400),
        (address(run, 0, "/steps"), 400),
        (address(run, 0, "/values", panel=10**14), 404),
        (address(run, 0, "/frame", step=0), 400),
    ):
        answer = client.get(path, headers=JSON)
        assert answer.status_code == status, path
        assert "\n" not in answer.json()["error"]


def test_a_run_that_is_deleted_meanwhile_is_gone(client, store):
    run = run_in(store, "rlbench/SafeCab-v0")
    told(client, run, 0, "/scene")
    store.delete_run(run.id)
    for path in ("", "/scene", "/steps?from=0"):
        assert client.get(address(run, 0, path), headers=JSON).status_code == 404


def test_a_run_that_kept_no_steps_says_so(client, store):
    run = rlbench.train("safecab", episodes=5, record="none", store=store)
    answer = client.get(address(run, 0))
    assert answer.status_code == 503
    assert "kept figures only" in answer.text


def test_a_damaged_chunk_is_told_in_a_line(database):
    with sqlite3.connect(database) as connection:
        connection.execute("update chunks set steps = zeroblob(200)")
    connection.close()
    with rlbench.open_store(database) as store:
        client = Client(dashboard(store))
        answer = client.get(address(run_in(store, "CartPole-v1"), 0))
        assert answer.status_code == 503
        assert "damaged" in answer.text


def test_an_env_that_a_stranger_names_is_not_made_and_its_steps_are_a_table(client, store, tmp_path):
    spec = run_in(store, "CartPole-v1").record.config.env.spec
    evil = spec.replace("gymnasium.envs.classic_control.cartpole:CartPoleEnv", "os:abort")
    assert evil != spec
    steps = {"observations": np.arange(3), "actions": np.zeros(2, np.int64), "rewards": np.zeros(2)}
    run = stored(store, steps, "CartPole-v1", config=RunConfig.of({"record": "all", "env": {"spec": evil}}))
    head = told(client, run, 0, "/scene")
    assert head["kind"] == "table"
    assert "os:abort" in head["why"]


def test_names_are_shown_as_they_are_and_never_run(client, store, page, server):
    observations = np.array([[np.nan, np.inf], [-np.inf, 1e300], [0.1 + 0.2, 2.0]])
    steps = {"observations": observations, "actions": np.zeros(2, np.int64), "rewards": np.array([np.nan, 1.0])}
    run = stored(store, steps, NASTY, NASTY[:150])
    html = client.get(address(run, 0)).text
    assert "<script>alert" not in html
    head = told(client, run, 0, "/scene")
    assert head["steps"]["reward"] == [None, "nan", 1.0]
    page.goto(server + address(run, 0))
    page.wait_for_selector("[data-ready=table]")
    assert page.get_by_role("row").count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


# ---------------------------------------------------------------- in a browser


def opened(page, server, run, index, step=0):
    page.goto(f"{server}{address(run, index)}#{step}")
    page.wait_for_selector("[data-ready]")


def test_it_is_scrubbed_by_keyboard_and_has_an_address_for_every_step(page, server, store, look, axe):
    run = run_in(store, "rlbench/SafeCab-v0", "q-learning")
    index = int(np.argmax(run.lengths))
    last = int(run.lengths[index])
    opened(page, server, run, index, 7)
    slider = page.get_by_role("slider", name="Step")
    assert slider.input_value() == "7"
    for key, step in (("ArrowRight", 8), ("ArrowLeft", 7), ("Home", 0), ("End", last)):
        page.keyboard.press(key)
        expect(slider).to_have_value(str(step))
    page.wait_for_url(f"**#{last}")
    page.evaluate("location.hash = '#3'")
    expect(page.locator("#step")).to_have_text("Step 3")
    page.keyboard.press("v")
    with page.expect_response("**/steps?from=0&values=then"):
        page.get_by_label("As learnt").select_option("by then")
    page.get_by_text("Verify").click()
    page.get_by_text(f"The same again, all {last:,} steps.").wait_for()
    page.get_by_text("Steps as a table").click()
    assert page.locator("tr[aria-current=step]").inner_text().startswith("3\t")
    look(page, "episode-city")
    axe(page)


def test_it_plays_to_the_end(page, server, store):
    run = run_in(store, "CartPole-v1")
    opened(page, server, run, 0)
    page.keyboard.press("+")
    page.keyboard.press(" ")
    expect(page.get_by_role("slider", name="Step")).to_have_value(str(run.lengths[0]))
    expect(page.locator("#facts")).to_contain_text("terminated")


def test_what_the_env_draws_is_shown_and_what_cannot_be_drawn_is_a_table(page, server, database, look, axe):
    with rlbench.open_store(database) as store:
        card = rlbench.train("Blackjack-v1", seed=3, episodes=3, store=store)
        other = long_episode(store)
    opened(page, server, card, 0)
    expect(page.locator("#picture")).to_have_attribute("data-shown", "0")
    look(page, "episode-frames")
    opened(page, server, other, 0, 67_891)
    page.get_by_role("cell", name="1,000,000", exact=True).first.wait_for()
    look(page, "episode-table")
    axe(page)
