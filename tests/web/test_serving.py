"""Serving: what is answered is what `predict` answers, and what is wrong is told in one line."""

import json

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import Counter, outputs, run_of

import rlbench
from rlbench import modelling
from rlbench.envs.discretize import bin_encoder
from rlbench.errors import StoreError, UsageError
from rlbench.store import open_store
from rlbench.training.parents import bins_of_run
from rlbench.web import inference
from rlbench.web.guards import Grant
from rlbench.web.served import Shelf
from rlbench.web.tensors import HEADER

# ---------------------------------------------------------------------- what is answered


def test_the_action_in_every_state_of_safecab_is_what_the_agent_predicts(shop):
    run = run_of(shop, "rlbench/SafeCab-v0")
    states = np.arange(run.agent.n_states)
    answered = outputs(Counter(shop, run.id).ask(run.id, states, path="?values=1"))
    np.testing.assert_array_equal(answered["action"], run.agent.predict(states)[0])
    np.testing.assert_array_equal(answered["values"], run.agent.q_table)


def test_the_action_at_100_000_observations_of_cartpole_is_what_the_agent_predicts(shop):
    run = run_of(shop, "CartPole-v1")
    counter = Counter(shop, run.id)
    observations = np.random.default_rng(0).normal(0, [2.0, 2.0, 0.2, 2.0], (100_000, 4)).astype(np.float32)
    encode = bin_encoder(bins_of_run(run))
    expected = run.agent.predict(np.array([encode(row) for row in observations.astype(np.float64).tolist()]))[0]
    parameters = {"binary_data_size": observations.nbytes}
    tensor = {"name": "observation", "shape": [100_000, 4], "datatype": "FP32", "parameters": parameters}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {HEADER: str(len(head))}
    answer = counter.client.post(f"/v2/models/{run.id}/infer", content=head + observations.tobytes(), headers=headers)
    length = int(answer.headers[HEADER])
    assert json.loads(answer.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 800_000}
    np.testing.assert_array_equal(np.frombuffer(answer.content[length:], "<i8"), expected)
    assert counter.figures()["rlbench_decisions_total"] == 100_000
    assert counter.figures()["rlbench_observations_out_of_range_total"] > 0


def test_a_model_takes_its_columns_or_all_in_one_and_answers_what_it_predicts(shop):
    counter, model = Counter(shop, "tree-iris"), modelling.load_model(shop, "tree-iris")
    rows = np.random.default_rng(0).uniform(0, 8, (50, 4))
    whole = outputs(counter.ask("tree-iris", rows, tensor="features", datatype="FP64", path="?values=1"))
    np.testing.assert_array_equal(whole["prediction"], model.predict(rows))
    np.testing.assert_array_equal(whole["probabilities"], model.estimator.predict_proba(model.prepared(rows)))
    columns = [
        {"name": name, "shape": [50], "datatype": "FP64", "data": column.tolist()}
        for name, column in zip(model.features, rows.T, strict=True)
    ]
    by_column = counter.client.post("/v2/models/tree-iris/infer", content=json.dumps({"inputs": columns}))
    np.testing.assert_array_equal(outputs(by_column)["prediction"], whole["prediction"])


@pytest.mark.parametrize(
    ("kind", "data", "tensor", "values", "datatype"),
    [
        ("text", "spam", "features", ["win money now", "lunch at noon"], "BYTES"),
        ("k-means", "iris", "features", [[5.1, 3.5, 1.4, 0.2]], "FP64"),
        ("pca", "iris", "features", [[5.1, 3.5, 1.4, 0.2]], "FP32"),
        ("linear", "diabetes", "features", [[0.01] * 10], "FP64"),
    ],
)
def test_every_kind_of_model_answers_as_its_metadata_say(tmp_path, kind, data, tensor, values, datatype):
    more = {}
    if kind == "text":
        data, more = tmp_path / "spam.csv", {"target": "label"}
        data.write_text("text,label\n" + "win money,spam\nlunch today,ham\n" * 10)
    with open_store("memory://") as store:
        model = modelling.save_model(store, modelling.train_model(kind, data, **more), "mine")
        counter = Counter(store, "mine")
        told = counter.client.get("/v2/models/mine").json()
        answer = counter.ask("mine", values, tensor=tensor, datatype=datatype, path="?values=1")
        expected = model.predict(
            values if kind == "text" else np.array(values, np.float32 if datatype == "FP32" else None)
        )
        assert outputs(answer)["prediction"].tolist() == expected.tolist()
        for one, promised in zip(answer.json()["outputs"], told["outputs"], strict=True):
            assert (one["name"], one["datatype"]) == (promised["name"], promised["datatype"])
            assert len(one["shape"]) == len(promised["shape"])
            assert one["shape"][1:] == promised["shape"][1:]


def test_outputs_may_be_asked_for_by_name(shop):
    run = run_of(shop, "FrozenLake-v1")
    counter = Counter(shop, run.id)
    assert set(outputs(counter.ask(run.id, [0], outputs=[{"name": "values"}]))) == {"values"}
    answer = counter.ask(run.id, [0], outputs=[{"name": "value"}])
    assert (answer.status_code, answer.json()) == (400, {"error": "unknown output 'value'; did you mean values?"})


def test_an_answer_names_what_decided_and_the_request(shop):
    run = run_of(shop, "FrozenLake-v1")
    answer = Counter(shop, run.id).ask(run.id, [0], id="mine").json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("mine", run.id, "50")


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("values", "more", "said"),
    [
        ([16], {}, "an observation must be a whole number from 0 to 15, got 16"),
        ([0, -1], {}, "from 0 to 15, got -1"),
        ([2**62], {}, "from 0 to 15"),
        ([[0]], {}, "observation must be whole numbers of shape [n]"),
        ([0.5], {"datatype": "FP64"}, "observation must be whole numbers"),
        (["a"], {"datatype": "BYTES"}, "observation must be whole numbers"),
        ([0], {"tensor": "state"}, "the only input must be 'observation'"),
        ([0], {"path": "?values=yes"}, "values must be 0 or 1"),
        ([0, 1], {"parameters": {"sequence_id": 1}}, "a request of a sequence has one observation"),
        ([0], {"parameters": {"sequence_id": 1.5}}, "sequence_id must be"),
        ([0], {"parameters": {"sequence_id": 1, "reward": "1"}}, "reward must be a finite number"),
        ([0], {"parameters": {"sequence_id": 1, "terminated": 1}}, "must be true or false"),
    ],
)
def test_what_a_table_cannot_take_is_refused(shop, values, more, said):
    run = run_of(shop, "FrozenLake-v1")
    answer = Counter(shop, run.id).ask(run.id, values, **more)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0.0, 0.0, 0.0]], "observation must be numbers of shape [n, 4]"),
        ([0.0, 0.0, 0.0, 0.0], "observation must be numbers of shape [n, 4]"),
        ([[0.0, 0.0, 0.0, 1e400]], "must be a JSON object"),
    ],
)
def test_what_bins_cannot_take_is_refused(shop, values, said):
    run = run_of(shop, "CartPole-v1")
    answer = Counter(shop, run.id).ask(run.id, values, datatype="FP64")
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_numbers_that_are_not_finite_are_refused_and_counted(shop):
    run = run_of(shop, "CartPole-v1")
    counter = Counter(shop, run.id)
    body = f'{{"inputs": [{{"name": "observation", "shape": [2, 4], "datatype": "FP64", "data": [{"0, " * 7}1e999]}}]}}'
    answer = counter.client.post(f"/v2/models/{run.id}/infer", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": "an observation must be finite numbers"})
    assert counter.figures()["rlbench_observations_out_of_range_total"] == 1
    assert counter.figures()["rlbench_requests_refused_total"] == 1


@pytest.mark.parametrize(
    ("values", "more", "said"),
    [
        ([[1.0, 2.0]], {}, "features must have the shape [n, 4], got [1, 2]"),
        (np.empty((0, 4)), {}, "one row or more"),
        ([["a"] * 4], {"datatype": "BYTES"}, "must be numbers, got texts"),
        ([1.0], {"tensor": "petal"}, "the inputs must be features, or "),
    ],
)
def test_what_a_model_cannot_take_is_refused(shop, values, more, said):
    answer = Counter(shop, "tree-iris").ask("tree-iris", values, **{"tensor": "features", "datatype": "FP64", **more})
    assert answer.status_code == 400
    assert said in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/other", 404),
        ("/v2/models/tree-iris/versions/7", 404),
        ("/v2/models/tree-iris/versions/../../../etc/passwd", 404),
        ("/v2/models/..%2f..%2fetc%2fpasswd", 404),
        ("/v2/models/tree-iris/infer", 405),
        ("/nowhere", 404),
        ("/", 404),
    ],
)
def test_what_is_not_there_is_told_as_json(shop, path, status):
    answer = Counter(shop, "tree-iris").client.get(path)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}


def test_a_body_that_is_too_large_is_refused(shop, monkeypatch):
    monkeypatch.setattr(inference, "MOST", 1000)
    counter = Counter(shop, "tree-iris")
    assert counter.client.post("/v2/models/tree-iris/infer", content=b"x" * 1001).status_code == 413


@pytest.mark.parametrize("ref", ["nothing", "tree-iris@9", "ffffffffffff"])
def test_what_is_not_in_the_store_is_not_served(shop, ref):
    with pytest.raises(StoreError, match=r"nor is there such a model"):
        Shelf(shop, [ref])


def test_a_run_without_a_policy_and_a_name_with_a_slash_are_not_served(depot):
    run = rlbench.train("FrozenLake-v1", "random", episodes=2, engine="python", store=depot)
    with pytest.raises(UsageError, match="no greedy policy"):
        Shelf(depot, [run.id])
    modelling.save_model(depot, modelling.load_model(depot, "tree-iris"), "a/b")
    with pytest.raises(UsageError, match="holds no slash"):
        Shelf(depot, ["a/b"])


# ---------------------------------------------------------------------- whom for


def test_a_token_is_for_the_runs_in_its_scope(shop):
    lake, cab = run_of(shop, "FrozenLake-v1"), run_of(shop, "rlbench/SafeCab-v0")
    grants = {"all": Grant("read"), "lake": Grant("read", "FrozenLake-v1"), "good": Grant("read", "", "good")}
    counter = Counter(shop, lake.id, cab.id, "tree-iris", grant_of=grants.get)
    allowed = {
        (token, name): counter.client.get(
            f"/v2/models/{name}", headers={"authorization": f"Bearer {token}"}
        ).status_code
        for token in ("all", "lake", "good", "none")
        for name in (lake.id, cab.id, "tree-iris")
    }
    assert [allowed["all", name] for name in (lake.id, cab.id, "tree-iris")] == [200, 200, 200]
    assert [allowed["lake", name] for name in (lake.id, cab.id, "tree-iris")] == [200, 403, 403]
    assert [allowed["good", name] for name in (lake.id, cab.id, "tree-iris")] == [200, 403, 403]
    assert {allowed["none", name] for name in (lake.id, cab.id, "tree-iris")} == {401}
    assert counter.client.get("/health").json() == {"status": "ok", "model": None, "models": []}
    assert counter.client.get("/v2/health/ready").status_code == 200
    assert counter.client.get("/metrics").status_code == 401


# ---------------------------------------------------------------------- what it says of itself


def test_health_metadata_and_metrics(shop):
    run = run_of(shop, "rlbench/SafeCab-v0")
    counter = Counter(shop, run.id, "tree-iris")
    assert counter.client.get("/health").json() == {"status": "ok", "model": run.id, "models": [run.id, "tree-iris"]}
    for path in ("/v2/health/live", "/v2/health/ready", "/v2", f"/v2/models/{run.id}/ready"):
        assert counter.client.get(path).status_code == 200
    told = counter.client.get(f"/v2/models/{run.id}").json()
    assert told["inputs"] == [{"name": "observation", "datatype": "INT64", "shape": [-1]}]
    assert [one["name"] for one in told["outputs"]] == ["action", "values"]
    counter.ask(run.id, np.arange(run.agent.n_states))
    counter.ask(run.id, [-1, -2, 3])
    families = list(text_string_to_metric_families(counter.client.get("/metrics").text))
    samples = {(s.name, s.labels["name"]): s.value for family in families for s in family.samples}
    seen = np.count_nonzero(rlbench.plots.visits_of(run, run.agent.n_states))
    assert samples["rlbench_decisions_total", run.id] == run.agent.n_states
    assert samples["rlbench_decisions_seen_total", run.id] == seen
    assert samples["rlbench_decisions_unseen_total", run.id] == run.agent.n_states - seen > 0
    assert samples["rlbench_observations_out_of_range_total", run.id] == 2
    assert samples["rlbench_requests_refused_total", run.id] == 1
    assert samples["rlbench_request_seconds_count", run.id] == 1
    assert samples["rlbench_decisions_total", "tree-iris"] == 0
    assert all(family.documentation for family in families)


def test_versions_are_served_side_by_side_and_a_newer_one_is_loaded(depot):
    counter = Counter(depot, "tree-iris@1", "tree-iris")
    assert counter.client.get("/v2/models/tree-iris").json()["versions"] == ["1", "2"]
    modelling.save_model(depot, modelling.train_model("tree", "iris", seed=2), "tree-iris")
    rows = np.random.default_rng(0).uniform(0, 8, (20, 4))

    def answer(version):
        path = f"tree-iris/versions/{version}" if version else "tree-iris"
        found = counter.ask(path, rows, tensor="features", datatype="FP64")
        assert found.json()["model_version"] == (version or "3")
        return outputs(found)["prediction"].tolist()

    assert counter.client.get("/v2/models/tree-iris/versions/3").status_code == 404
    counter.desk.reload()
    assert counter.said == ["serving tree-iris, version 3"]
    for version in ("1", "2", "3"):
        expected = modelling.load_model(depot, f"tree-iris@{version}").predict(rows).tolist()
        assert answer(version) == expected
    assert answer("") == answer("3")
    counter.desk.reload()
    assert len(counter.said) == 1


@pytest.mark.parametrize("error", [StoreError("it is damaged"), ZeroDivisionError("it is damaged")])
def test_a_newer_version_that_is_damaged_is_told_and_the_older_goes_on(depot, monkeypatch, error):
    counter = Counter(depot, "tree-iris")
    modelling.save_model(depot, modelling.train_model("tree", "iris", seed=2), "tree-iris")
    with monkeypatch.context() as broken:
        broken.setattr(modelling, "load_model", lambda *_: (_ for _ in ()).throw(error))
        counter.desk.reload()
    assert counter.said == ["no newer version was loaded: it is damaged"]
    assert counter.shelf.find("tree-iris").version == "2"
    counter.desk.reload()
    assert counter.shelf.find("tree-iris").version == "3"


def test_a_run_that_still_trains_is_served_from_its_newest_checkpoint(depot):
    run = run_of(depot, "FrozenLake-v1")
    before = depot.checkpoint(run.id)
    going = depot.create_run("FrozenLake-v1", "q-learning", seed=0, config=run.record.config)
    depot.append(going.id, checkpoint=before)
    counter = Counter(depot, going.id)
    later = type(before)(
        before.episodes + 9, before.timesteps, {**before.arrays, "q_table": -before.arrays["q_table"]}, before.numbers
    )
    later.numbers["agent"]["episodes"] = later.episodes
    depot.append(going.id, checkpoint=later)
    counter.desk.reload()
    assert counter.said == [f"serving {going.id}, version 59"]
    expected = rlbench.load_run(depot, going.id).agent.predict(np.arange(16))[0]
    np.testing.assert_array_equal(outputs(counter.ask(going.id, np.arange(16)))["action"], expected)
    assert counter.shelf.versions(going.id) == ["50", "59"]


def test_what_comes_in_is_watched_for_drift(depot):
    run = run_of(depot, "FrozenLake-v1")
    counter = Counter(depot, run.id, watching=True)
    window = counter.desk.tools_of(counter.shelf.find(run.id)).watch.monitor.window
    counter.ask(run.id, [0] * (window - 1))
    counter.desk.look()
    assert counter.figures()["rlbench_drift_windows_total"] == 0
    counter.ask(run.id, [0] * (window + 1))
    counter.desk.look()
    figures = counter.figures()
    assert (figures["rlbench_drift_windows_total"], figures["rlbench_drift_alarms_total"]) == (2, 2)
    assert figures["rlbench_drift_score"] > 1
    assert "observation of " in counter.said[-1]


def test_what_cannot_be_watched_is_said_and_served_all_the_same(tmp_path):
    data = tmp_path / "spam.csv"
    data.write_text("text,label\n" + "win money,spam\nlunch today,ham\n" * 10)
    with open_store("memory://") as store:
        modelling.save_model(store, modelling.train_model("text", data, target="label"), "mine")
        counter = Counter(store, "mine", watching=True)
        assert "mine, version 1, is not watched" in counter.said[0]
        assert outputs(counter.ask("mine", ["win"], tensor="features", datatype="BYTES"))
