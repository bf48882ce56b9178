"""The pages of studies, models and buffers: what is stored, told as it is; what is damaged, in a line."""

import json
import re
import shutil
from xml.etree import ElementTree as ET

import needs
import numpy as np
import pytest
from clients import Client, serving

import rlbench
from rlbench.buffers import PrioritizedReplayBuffer, make_buffer
from rlbench.modelling import save_model, train_model
from rlbench.modelling import stored as stored_models
from rlbench.training.stored import fill
from rlbench.web.app import dashboard
from rlbench.web.buffers import histogram
from rlbench.web.guards import Grant
from rlbench.web.parallel import HEIGHT, MOST, TOP, parallel_of

NASTY = "<script>alert(1)</script>"
PAGES = ("/studies", "/studies/grid", "/models", "/models/tree-iris", "/buffers", "/buffers/trips")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """The path of a store with a study, models and a buffer. Tests copy it before they change it."""
    path = tmp_path_factory.mktemp("records") / "records.db"
    with rlbench.open_store(path) as store:
        over = {"learning_rate": [0.1, 0.5, 1.0], "gamma": [0.9, 0.99]}
        rlbench.sweep("safecab", over=over, seeds=range(3), episodes=100, store=store, name="grid")
        for depth in (1, 3):
            save_model(store, train_model("tree", "iris", settings={"max_depth": depth}, seed=0))
        save_model(store, train_model("k-means", "iris", settings={"n_clusters": 3}, seed=0))
        run = rlbench.train("safecab", seed=0, episodes=20, store=store)
        env = run.make_env()
        buffer = make_buffer("prioritized", 1000, env.observation_space, env.action_space, seed=0)
        fill(buffer, run)
        buffer.update_priorities(np.arange(len(buffer)), np.linspace(1, 2, len(buffer)))
        buffer.save(store, "trips")
    return path


@pytest.fixture
def records(recorded, tmp_path):
    """A copy of this store, opened."""
    with rlbench.open_store(shutil.copy(recorded, tmp_path / "records.db")) as opened:
        yield opened


@pytest.fixture
def pages(records):
    """A client of the dashboard over it."""
    return Client(dashboard(records))


@pytest.mark.parametrize("places", [["/studies/grid"], pytest.param(PAGES, marks=pytest.mark.long)])
def test_every_page_is_readable_and_anybody_can_use_it(recorded, tmp_path, page, look, axe, places):
    path = shutil.copy(recorded, tmp_path / "records.db")
    with serving("ui", "--store", path, "--port", 0, "--no-browser") as (address, _):
        for place in places:
            page.goto(address + place)
            page.wait_for_load_state("networkidle")
            look(page, place.strip("/").replace("/", "-"))
            axe(page)


# ---------------------------------------------------------------- studies


def test_a_study_shows_its_combinations_the_best_first(pages, records):
    study = rlbench.load_study(records, "grid")
    html = pages.get("/studies/grid").text
    values = re.findall(
        r'<td class="number">\d+</td><td class="number">([\d.]+)</td><td class="number">[\d.]+</td>', html
    )
    assert [float(value) for value in values] == [row.parameters["learning_rate"] for row in study.table]
    assert study.hash[:12] in html


def test_a_trial_that_was_given_up_shows_what_was_known_of_it(records):
    needs.package("optuna", "tune")
    asked = {"seeds": range(3), "test_seeds": [], "episodes": 100, "sampler": "grid"}
    search = {"learning_rate": [0.1, 0.5, 1.0], "gamma": [0.5, 0.9]}
    study = rlbench.tune("safecab", search=search, **asked, prune="halving:2:2", store=records, name="halved")
    html = Client(dashboard(records)).get("/studies/halved").text
    pruned = [row.pruned for row in study.table if row.pruned is not None]
    assert pruned
    assert all(f"pruned: {one}</td>" in html for one in pruned)
    assert "nan" not in html


def test_its_figure_is_a_picture_that_keeps_its_heat_on_a_dark_page(pages):
    answer = pages.get("/studies/grid/figure.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert ET.fromstring(answer.content).tag.endswith("svg")  # noqa: S314  (our own)
    assert b"prefers-color-scheme: dark" in answer.content


def test_parallel_coordinates_have_a_line_for_each_combination_from_axis_to_axis(records):
    study = rlbench.load_study(records, "grid")
    found = parallel_of(study)
    assert [scale.name for scale in found.scales] == ["learning_rate", "gamma", "regret"]
    assert len(found.lines) == 6
    best = [tuple(map(float, point.split(","))) for point in found.lines[-1].points.split()]
    assert [x for x, _ in best] == [scale.x for scale in found.scales]
    assert best[-1][1] == TOP  # less regret is better, and the best is on top
    study.values[:] = np.inf
    study.values[0] = 1.0
    del study.scores
    lines = parallel_of(study).lines
    ends = sorted(float(line.points.rpartition(",")[2]) for line in lines)
    assert ends[0] < ends[1] == ends[-1] == TOP + HEIGHT  # what is infinite lies beyond the rest


def test_of_very_many_combinations_some_are_drawn(records):
    study = rlbench.load_study(records, "grid")
    many = rlbench.studies.Study.new("many", study.settings, records)
    assert parallel_of(many) is None  # none has a value yet
    assert len(parallel_of(study).lines) <= MOST


# ---------------------------------------------------------------- models


def test_a_model_shows_what_it_confuses_and_its_versions_side_by_side(pages, records):
    html = pages.get("/models/tree-iris").text
    entry = stored_models.find_model(records, "tree-iris")
    counts = [int(count) for count in re.findall(r'<td class="number h\d(?: right)?">(\d+)</td>', html)]
    assert counts == np.ravel(entry.about["metrics"]["test"]["confusion"]).tolist()
    assert re.search(r"<h1>tree-iris@2</h1>", html)
    assert re.search(r'max depth</th><td class="number">3</td><td class="number">1</td>', html)
    assert "<h1>tree-iris@1</h1>" in pages.get("/models/tree-iris@1").text
    assert "group 2" in pages.get("/models/k-means-iris").text


@pytest.mark.parametrize(
    "metrics",
    [
        {"train": {"confusion": [[1, 2]], "classes": ["a", "b"]}, "test": None},
        {"train": {"confusion": "abc", "classes": []}, "test": None},
        {"train": {"accuracy": "x"}, "test": None},
        {"train": {"rows": 1, "sizes": 5}, "test": None},
        {"train": {"rows": 1, "confusion": [[1e400]], "classes": ["a"], "report": {}}, "test": None},
    ],
)
def test_a_damaged_record_of_a_model_is_told_in_a_line(pages, records, metrics):
    entry = stored_models.find_model(records, "tree-iris")
    arrays, numbers = records.load_snapshot("model", entry.id)
    numbers["about"]["metrics"] = {**metrics, "train": {"rows": 1, **metrics["train"]}}
    records.save_snapshot("model", entry.id, arrays, json.loads(json.dumps(numbers)))
    answer = pages.get("/models/tree-iris@2")
    assert answer.status_code == 503
    assert "damaged" in answer.text
    assert pages.get("/models").status_code == 200


# ---------------------------------------------------------------- buffers


def test_a_buffer_shows_what_is_in_it(pages, records):
    buffer = PrioritizedReplayBuffer.load(records, "trips")
    html, stats = pages.get("/buffers/trips").text, buffer.stats()
    assert f"{stats.size:,}" in html
    assert f"{stats.pairs:,} different pairs" in html
    assert f"{stats.priorities[4]:.4g}" in html


def test_few_values_have_a_bar_each_and_many_share():
    assert histogram(np.array([1.0, -1.0, 1.0])) == [("-1", 0.5, 1), ("1", 1.0, 2)]
    bars = histogram(np.arange(120))
    assert [bar.times for bar in bars] == [10] * 12
    assert histogram(np.array([0.1 + 0.2, 0.3])) == [("0.3", 1.0, 2)]
    assert histogram(np.array([])) == []


def test_a_buffer_of_an_unknown_kind_or_a_damaged_one_is_told_in_a_line(pages, records):
    arrays, numbers = records.load_snapshot("buffer", "trips")
    records.save_snapshot("buffer", NASTY, arrays, {**numbers, "kind": NASTY})
    records.save_snapshot("buffer", "less", arrays, {**numbers, "capacity": 2**60})
    records.save_snapshot("buffer", "none", {}, {})
    assert NASTY not in pages.get("/buffers").text
    for name, status in ((NASTY, 503), ("less", 400), ("none", 503), ("nothing", 404)):
        answer = pages.get(f"/buffers/{name}")
        assert answer.status_code == status, (name, answer.text)
        assert NASTY not in answer.text


# ---------------------------------------------------------------- what is not there, and who may see it


@pytest.mark.parametrize("kind", ["studies", "models", "buffers"])
def test_what_does_not_exist_is_told_in_a_line(pages, client, kind):
    assert pages.get(f"/{kind}/nothing").status_code == 404
    assert pages.get(f"/{kind}?from=x").status_code == 400
    assert pages.get(f"/{kind}?from=10000").status_code == 200
    assert '<p class="empty">No' in client.get(f"/{kind}").text  # a store without any


def test_a_token_for_some_runs_opens_no_studies_models_and_buffers(records):
    pages = Client(dashboard(records, grant_of={"some": Grant(env_id="FrozenLake-v1"), "all": Grant()}.get))
    for place in (*PAGES, "/studies/grid/figure.svg"):
        assert pages.get(place, headers={"authorization": "Bearer some"}).status_code == 403
        assert pages.get(place, headers={"authorization": "Bearer all"}).status_code == 200


def test_a_damaged_study_stands_in_the_list_with_its_problem(pages, records):
    records.save_snapshot("study", "broken", {}, {})
    html = pages.get("/studies").text
    assert "broken" in html
    assert "damaged" in html
    assert pages.get("/studies/broken").status_code == 503
