"""`rlbench drift`: what it prints, its JSON, and its mistakes in a line."""

import numpy as np
import pytest

import rlbench as library
from rlbench.modelling import load_built_in, save_model, train_model
from rlbench.store import open_store

pytest.importorskip("sklearn", reason="the extra models is not installed")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The path of a store with a run, episodes of its agent in a drier lake, and a model; and the ids of the runs."""
    path = tmp_path_factory.mktemp("served") / "rlbench.db"
    with open_store(path) as store:
        run = library.train("FrozenLake-v1", episodes=20_000, seed=0, store=store)
        same = library.record("FrozenLake-v1", run, episodes=100, seed=1, store=store)
        drier = library.record("FrozenLake-v1", run, seed=1, store=store, env_kwargs={"success_rate": 0.6})
        save_model(store, train_model("tree", "iris"))
    return path, run.id, same.id, drier.id


@pytest.fixture
def command(rlbench, served, monkeypatch):
    monkeypatch.setenv("RLBENCH_STORE", str(served[0]))
    return rlbench


def test_the_command_prints_columns_first_and_what_it_costs(command, served):
    _, run, _, drier = served
    found = command("drift", run, "--data", drier, "--out", "drift.html")
    assert found.code == 0, found.err
    assert "observation  Cramer's V" in found.out
    assert "lost return  " in found.out
    assert "verdict      drifted" in found.out
    assert found.out.endswith("wrote drift.html\n")


def test_the_json_has_what_others_read(command, served):
    _, run, same, _ = served
    found = command("drift", run, "--data", same, "--json")
    assert found.code == 0, found.err
    document = found.document
    assert {"name", "effect", "interval", "p", "drifted"} <= document["columns"][0].keys()
    assert (document["drifted"], document["lost_return"]) == (False, 0)
    assert document["transitions"]["impossible"] == []
    assert document["out"] is None


def test_a_model_is_found_by_its_name(command, tmp_path):
    iris = load_built_in("iris")
    np.savetxt(tmp_path / "flowers.csv", iris.rows, delimiter=",", header=",".join(iris.features), comments="")
    found = command("drift", "tree-iris", "--data", "flowers.csv", "--json")
    assert found.code == 0, found.err
    assert found.document["drifted"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nobody", "--data", "x.csv"], 1, "there is no run 'nobody'"),
        (["tree-iris", "--data", "x.csv"], 2, "cannot read x.csv"),
        (["tree-iris", "--data", "abcdef"], 1, "there is no run 'abcdef'"),
        (["tree-iris"], 2, "Missing option '--data'"),
        (["tree-iris", "--data", "x.csv", "--out", "x.pdf"], 2, "a report must end in .html, got 'x.pdf'"),
    ],
)
def test_mistakes_are_answered_in_a_line(command, arguments, code, said):
    found = command("drift", *arguments)
    assert found.code == code
    assert said in found.err
    assert found.err.count("\n") == 1
    assert "Traceback" not in found.err
