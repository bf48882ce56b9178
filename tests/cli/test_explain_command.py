"""`rlbench explain`."""

import pytest

from rlbench.cli import COMMANDS

pytest.importorskip("sklearn", reason="the extra models is not installed")


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    if "explain" not in COMMANDS:
        monkeypatch.setitem(COMMANDS, "explain", ("rlbench.cli.explain:explain", ""))


@pytest.fixture
def run(rlbench):
    return rlbench("train", "safecab", "--episodes", 20_000, "--json").document["run"]


@pytest.mark.long  # rules fitted to a run of 20,000 episodes
def test_explain_says_the_rules_how_far_they_are_right_and_what_they_are_worth(rlbench, run):
    outcome = rlbench("explain", "latest")
    assert (outcome.code, outcome.err) == (0, "")
    head, tree, alike, returns, _, *rules = outcome.out.splitlines()
    assert head == f"run {run}: q-learning on rlbench/SafeCab-v0, seed 0"
    assert tree.startswith("  tree      ")
    assert "of the greedy steps, in " in alike
    assert returns.startswith("  returns   agent 9")
    assert any(line.endswith("if carrying and at the destination: Dropoff") for line in rules)


def test_explain_as_json_is_one_object(rlbench, run):
    found = rlbench("explain", run, "--depth", 3, "--json").document
    assert (found["run"], found["depth"], found["out"]) == (run, 3, None)
    assert 0.5 < found["visited_fidelity"] < 1
    assert found["rules"][0].keys() == {"conditions", "action", "share", "fidelity", "text"}


def test_explain_draws_the_tree(rlbench, run, tmp_path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    outcome = rlbench("explain", run, "--depth", 3, "--out", "rules.svg")
    assert outcome.out.endswith("wrote rules.svg\n")
    assert b"<svg" in (tmp_path / "rules.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none"], 1, "there is no run 'none'"),
        (["latest", "--depth", "0"], 2, "depth must be a whole number from 1 to 20, got 0"),
        (["latest", "--episodes", "0"], 2, "episodes must be a whole number from 1"),
        (["latest", "--out", "a.jpg"], 2, "a picture must end in .png, .svg or .pdf"),
        (["latest", "--env", "cartpole"], 1, "there is no run of rlbench/DiscreteCartPole-v1"),
    ],
)
def test_a_mistake_is_one_line(rlbench, run, arguments, code, message):
    outcome = rlbench("explain", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
