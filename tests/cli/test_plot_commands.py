"""`rlbench plot`, `compare` and `report`."""

import re
import shutil

import pytest

import rlbench as library
from rlbench.names import PLOT_KINDS

pytest.importorskip("matplotlib", reason="the extra plots is not installed")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with three runs of SafeCab, two seeds of one setting and one of another; and their ids."""
    path = tmp_path_factory.mktemp("stored") / "rlbench.db"
    asked = [{"seed": 0}, {"seed": 1}, {"agent_kwargs": {"gamma": 0.5}}]
    with library.open_store(path) as store:
        ids = [library.train("safecab", episodes=40, store=store, **{"seed": 0, **more}).id for more in asked]
    return path, ids


@pytest.fixture
def runs(rlbench, stored, tmp_path):
    """The ids of these runs, in the store of this test."""
    path, ids = stored
    shutil.copy(path, tmp_path)
    return list(ids)


def test_plot_writes_a_picture_named_after_run_and_kind(rlbench, runs, tmp_path):
    outcome = rlbench("plot", runs[0])
    assert (outcome.code, outcome.out, outcome.err) == (0, f"wrote {runs[0]}-curve.png\n", "")
    assert (tmp_path / f"{runs[0]}-curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in {"policy", "profile"} else pytest.mark.long)
        for kind in sorted(set(PLOT_KINDS) - {"curve", "share"})
    ],
)
def test_plot_draws_every_kind(rlbench, runs, tmp_path, kind):
    assert rlbench("plot", "latest", "--kind", kind, "--out", "a.svg").code == 0
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()


def test_plot_and_compare_look_as_asked(rlbench, runs, tmp_path):
    look = ("--title", "Ours", "--label", "low", "--label", "high", "--column", "single", "--out", "a.svg")
    for command in (["plot", *runs, "--x", "steps"], ["compare", *runs, "--episodes", 3]):
        assert rlbench(*command, *look).code == 0
        text = (tmp_path / "a.svg").read_text()
        assert 'width="252pt"' in text
        assert all(re.search(said, text) for said in (">Ours</text>", ">low[ ,]", ">high[< ]"))


def test_plot_draws_several_runs_each_once(rlbench, runs):
    found = rlbench("plot", runs[0], runs[1], runs[0][:8], "--smooth", "mean:5", "--json").document
    assert found == {"runs": runs[:2], "kind": "curve", "out": f"{runs[0]}-and-1-more-curve.png"}


def test_all_names_the_runs_of_an_env_oldest_first(rlbench, runs):
    other = rlbench("train", "FrozenLake-v1", "--episodes", 5, "--json").document["run"]
    assert rlbench("plot", "all", "--json").document["runs"] == [other]
    assert rlbench("plot", "all", "--env", "safecab", "--json").document["runs"] == runs
    found = rlbench("compare", "all", runs[0], "--env", "safecab", "--episodes", 3, "--json").document
    assert [one["runs"] for one in found["candidates"]] == [runs[:2], runs[2:]]


def test_filters_without_a_run_mean_all_that_fit(rlbench, runs):
    rlbench("runs", "tag", runs[0], "good")
    rlbench("runs", "tag", runs[2], "good")
    good = ["--agent", "q-learning", "--tag", "good"]
    assert rlbench("plot", "--tag", "good", "--json").document["runs"] == [runs[0], runs[2]]
    found = rlbench("compare", *good, "--metric", "training", "--episodes", 3, "--json").document
    assert [one["runs"] for one in found["candidates"]] == [runs[:1], runs[2:]]
    document = rlbench("report", *good, "--json").document
    assert (document["runs"], document["out"]) == ([runs[0], runs[2]], f"{runs[0]}-and-1-more.html")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([], "name a RUN, or say which are meant with --env, --agent, --tag or --where"),
        (["--agent", "sarsa"], "there is no run by sarsa"),
        (["--env", "safecab", "--tag", "none"], "there is no run of rlbench/SafeCab-v0 tagged none"),
    ],
)
@pytest.mark.parametrize("command", ["plot", "compare", "report"])
def test_what_fits_no_run_is_one_line(rlbench, runs, command, filters, message):
    outcome = rlbench(command, *filters)
    assert message in outcome.err
    assert (outcome.code > 0, outcome.err.count("\n")) == (True, 1)


def test_all_leaves_out_runs_without_an_episode(rlbench, runs):
    assert rlbench("retrain", runs[0]).code == 0
    assert rlbench("plot", "all", "--json").document["runs"] == runs


def test_plot_draws_the_share_of_an_action_of_several_runs(rlbench, runs, tmp_path):
    asked = ("--kind", "share", "--action", "Pickup", "--optimal", 0.1, "--out", "a.svg")
    assert rlbench("plot", *runs, *asked).code == 0
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    assert "unknown action 'Jump'" in rlbench("plot", *runs, "--kind", "share", "--action", "Jump").err


def test_plot_draws_one_map_of_a_city(rlbench, runs, tmp_path):
    asked = ("--kind", "policy", "--passenger", "cab", "--destination", "R", "--out", "a.pdf")
    assert rlbench("plot", runs[0], *asked).code == 0
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--kind", "curves"], 2, "unknown kind of plot 'curves'; did you mean curve"),
        (["--smooth", "mean:0"], 2, "smooth must be bell, mean:N"),
        (["--out", "a.jpg"], 2, "a picture must end in .png, .svg or .pdf, got 'a.jpg'"),
        (["--out", "none/a.png"], 2, "none is not a folder"),
        (["--kind", "values", "--destination", "Q"], 2, "unknown map going to 'Q'; known: B, G, R, Y"),
        (["--destination", "R"], 2, "curve is not a map"),
        (["--action", "0"], 2, "go with the kind share, got curve"),
        (["--kind", "share"], 2, "name an action"),
        (["--x", "hours"], 2, "unknown x axis 'hours'; known: episodes, steps"),
        (["--size", "big"], 2, "size must be width x height in inches"),
        (["--size", "6x4", "--column", "single"], 2, "choose one"),
        (["--dpi", "5"], 2, "dpi must be a whole number from 20 to 2,400, got 5"),
        (["--size", "50x50", "--dpi", "2400"], 2, "is too large: choose a smaller size or dpi"),
        (["--label", "a", "--label", "b"], 2, "1 label needed, for 'q-learning'; got 2"),
        (["none"], 1, "there is no run 'none'"),
        (["--env", "cartpole"], 1, "there is no run of rlbench/DiscreteCartPole-v1"),
    ],
)
def test_a_mistake_in_plotting_is_one_line_and_leaves_no_file(rlbench, runs, tmp_path, arguments, code, message):
    outcome = rlbench("plot", "latest", *arguments)
    assert outcome.code == code
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix not in (".db", ".db-wal", ".db-shm")] == []


def test_runs_of_different_envs_and_runs_without_steps_are_one_line(rlbench, runs):
    other = rlbench("train", "FrozenLake-v1", "--episodes", 5, "--record", "none", "--json").document["run"]
    outcome = rlbench("plot", runs[0], other)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "returns of different envs cannot be compared" in outcome.err
    for kind in ("states", "td"):
        outcome = rlbench("plot", other, "--kind", kind)
        assert (outcome.code, outcome.err.count("\n")) == (1, 1)
        assert "kept no steps (--record none)" in outcome.err


def test_a_missing_matplotlib_is_one_line(rlbench, runs, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for command in (["plot"], ["report"], ["compare", runs[1], "--out", "a.png"]):
        outcome = rlbench(command[0], runs[0], *command[1:])
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert 'pip install "rlbench[plots]"' in outcome.err
    assert rlbench("compare", runs[0], runs[1]).code == 0  # a table needs none


def test_compare_prints_a_table_and_draws_it(rlbench, runs, tmp_path):
    outcome = rlbench("compare", *runs, "--episodes", 10, "--out", "a.svg")
    assert outcome.code == 0
    header, first, second, note, wrote = outcome.out.splitlines()
    assert header.split()[:4] == ["candidate", "runs", "mean", "IQM"]
    assert first.startswith("A  q-learning, gamma 0.95")
    assert second.startswith("B  q-learning, gamma 0.5")
    assert "10 greedy episodes of each run" in note
    assert wrote == "wrote a.svg"
    assert (tmp_path / "a.svg").is_file()


def test_compare_says_it_in_json(rlbench, runs):
    found = rlbench("compare", *runs[:2], "--metric", "training", "--episodes", 10, "--json").document
    assert (found["unit"], found["metric"], found["env_id"]) == ("episode", "training", "rlbench/SafeCab-v0")
    assert [one["runs"] for one in found["candidates"]] == [[runs[0]], [runs[1]]]
    one, other = found["improvements"]
    assert one["probability"] + other["probability"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs two runs or more"),
        (["latest", "--metric", "luck"], "unknown metric 'luck'"),
        (["latest", "--out", "a.gif"], "a picture must end in .png"),
        (["latest", "--episodes", 0], "episodes must be"),
    ],
)
def test_a_mistake_in_comparing_is_one_line(rlbench, runs, arguments, message):
    outcome = rlbench("compare", runs[0], *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_report_writes_a_page(rlbench, runs, tmp_path, monkeypatch):
    found = rlbench("report", runs[0], "--json").document
    page = tmp_path / f"{runs[0]}.html"
    assert found == {"runs": [runs[0]], "out": page.name, "bytes": page.stat().st_size}
    assert f"run {runs[0]}" in page.read_text(encoding="utf-8")
    monkeypatch.setattr("rlbench.reports.page.page", lambda run: run.id)  # a second one would take as long
    assert rlbench("report", "latest", "--out", "a.html").out == "wrote a.html\n"
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == runs[2]


def test_a_mistake_in_reporting_is_one_line(rlbench, runs):
    for out, message in (("a.txt", "a report must end in .html"), ("none/a.html", "none is not a folder")):
        outcome = rlbench("report", "latest", "--out", out)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert message in outcome.err


def test_compare_several_envs_by_normalized_scores(rlbench, tmp_path):
    for env in ("FrozenLake-v1", "CliffWalking-v1"):
        for agent in ("q-learning", "sarsa"):
            assert (
                rlbench("train", env, "--agent", agent, "--seeds", "0:2", "--episodes", 40, "--tag", "both").code == 0
            )
    asked = ("compare", "--tag", "both", "--episodes", 3, "--normalize", "CliffWalking-v1=-10000:-13")
    document = rlbench(*asked, "--json").document
    assert document["env_id"] == "FrozenLake-v1, CliffWalking-v1"
    assert [one["label"] for one in document["candidates"]] == ["q-learning", "sarsa"]
    assert all(0 <= one["optimality_gap"] <= 1.1 for one in document["candidates"])
    out = rlbench(*asked).out
    assert "optimality gap: A " in out
    assert "CliffWalking-v1 -10000 to -13" in out
    refused = rlbench(*asked[:-1], "CliffWalking-v1")
    assert (refused.code, "--normalize takes ENV=LOW:HIGH" in refused.err) == (2, True)
