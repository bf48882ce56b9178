"""`rlbench sweep`, `studies`, and what other commands make of a study."""

import json
import math
import os
import signal
import subprocess
import sys

import pytest
from waiting import until

import rlbench as library
from rlbench.errors import StoreError
from rlbench.studies import keeping, sweep

SWEEP = (
    "sweep",
    "FrozenLake-v1",
    "--over",
    "learning_rate=0.1..1:2",
    "--seeds",
    "0:3",
    "--episodes",
    "20",
    "--workers",
    1,
)
SAME = {"over": {"learning_rate": "0.1..1:2"}, "seeds": range(3), "episodes": 20}


@pytest.fixture
def study(rlbench):
    """The document of a study called lake."""
    return rlbench(*SWEEP, "--name", "lake", "--json").document


def test_a_sweep_tells_the_table_the_hash_and_the_number_of_runs(rlbench, study):
    alone = sweep("FrozenLake-v1", **SAME)
    assert study["hash"] == alone.hash
    assert (study["study"], study["runs"], study["of"], study["failed"], study["failures"]) == ("lake", 6, 6, 0, [])
    assert (study["objective"], study["aggregate"]) == ("regret", "mean")
    for row, other in zip(study["table"], alone.table, strict=True):
        assert row == {**other._asdict(), "interval": list(other.interval)}
    printed = rlbench(*SWEEP, "--name", "lake")
    assert (printed.code, printed.err) == (0, "")
    lines = printed.out.splitlines()
    assert lines[0] == "study lake: q-learning on FrozenLake-v1, 6 of 6 runs"
    assert lines[1].split() == ["learning_rate", "seeds", "mean", "regret", "95%", "interval"]
    assert len(lines) == 5
    assert lines[4] == f"  hash      {alone.hash}"


def test_studies_lists_shows_and_deletes(rlbench, study):
    listed = rlbench("studies").out.splitlines()
    assert listed[0].split() == ["study", "env", "agents", "objective", "combinations", "seeds", "done", "best", "hash"]
    assert listed[1].split()[:2] == ["lake", "FrozenLake-v1"]
    assert "6 of 6" in listed[1]
    [told] = rlbench("studies", "--json").document["studies"]
    assert (told["study"], told["hash"], told["runs"]) == ("lake", study["hash"], 6)
    assert told["best"] == {name: study["table"][0][name] for name in ("agent", "parameters", "value")}
    assert rlbench("studies", "show", "lake", "--json").document == study
    assert "the best 1 of 2, more with" in rlbench("studies", "show", "lake", "--limit", 1).out
    assert rlbench("studies", "show", "lik").err.startswith("Error: unknown study 'lik'; did you mean lake? in ")
    assert rlbench("studies", "delete", "lake", "--yes", "--json").document == {"deleted": "lake", "runs": 6}
    assert rlbench("studies").out.startswith("no studies yet: begin one with `rlbench sweep")
    assert rlbench("runs", "--study", "all").out.startswith("no runs fit")


def test_the_runs_of_a_study_are_listed_with_what_it_measured(rlbench, study):
    values = sorted(value for row in sweep("FrozenLake-v1", **SAME).values.tolist() for value in row)
    document = rlbench("runs", "--study", "lake", "--sort", "regret", "--json").document
    assert [run["measured"]["regret"] for run in document["runs"]] == pytest.approx(values)
    lines = rlbench("runs", "--study", "lake", "--sort", "-regret", "--limit", 2).out.splitlines()
    place = lines[0].split().index("regret")
    assert [float(line.split()[place]) for line in lines[1:3]] == pytest.approx(values[:-3:-1], rel=1e-3)
    assert lines[-1] == "2 of 6 runs, the rest with --limit 6"
    assert "regret" not in rlbench("runs", "--study", "all").out
    rlbench(*SWEEP, "--name", "far", "--objective", "steps-to:9")
    assert rlbench("runs", "--study", "far").out.splitlines()[0].split()[-3:] == ["seconds", "steps-to", "started"]
    with library.open_store("rlbench.db") as store:
        store.save_snapshot("study", "lake", {}, {})
    listed = rlbench("runs", "--study", "lake")
    assert (listed.code, "the study lake is damaged" in listed.err, "regret" in listed.out) == (0, True, False)


def test_a_copied_study_is_the_same_there(rlbench, study):
    rlbench("train", "FrozenLake-v1", "--episodes", 5)
    copied = rlbench("store", "copy", "rlbench.db", "copy.db", "--study", "lake")
    assert (copied.code, copied.out.count(": copied (1 chunks, "), copied.err) == (0, 6, "")
    assert copied.out.splitlines()[-1] == "study lake: copied"
    for line in (("studies",), ("studies", "show", "lake"), ("runs", "--study", "lake")):
        assert rlbench(*line, "--store", "copy.db").out == rlbench(*line).out
    assert len(rlbench("runs", "--study", "all", "--store", "copy.db", "--json").document["runs"]) == 6
    again = rlbench("store", "copy", "rlbench.db", "copy.db", "--json").document
    assert (len(again["runs"]), again["studies"]) == (7, [{"study": "lake", "action": "equal", "problem": ""}])
    assert rlbench("resume", "lake", "--store", "copy.db", "--json").document["hash"] == study["hash"]
    for line, told in (
        (("--study", "lak"), "unknown study 'lak'; did you mean lake?"),
        (("latest", "--study", "lake"), "RUNS and --study are two things to copy: give one of the two"),
    ):
        assert told in rlbench("store", "copy", "rlbench.db", "copy.db", *line).err


def test_the_runs_of_a_study_are_listed_if_asked_for(rlbench, study):
    assert rlbench("runs").out == (
        "no runs but those of studies: --study NAME lists those of one, --study all those of any\n"
    )
    document = rlbench("runs", "--study", "lake", "--json").document
    assert (len(document["runs"]), document["total"]) == (6, 6)
    assert {tuple(run["studies"]) for run in document["runs"]} == {("lake",)}
    for line in (("runs",), ("runs", "--json"), ("compare", "latest"), ("plot",), ("report", "all")):
        result = rlbench(*line, "--study", "lak")
        assert (result.code, "unknown study 'lak'; did you mean lake? in " in result.err) == (1, True)
    assert rlbench("evaluate", "latest").code == 1
    rlbench("train", "FrozenLake-v1", "--episodes", 5)
    assert len(rlbench("runs", "--json").document["runs"]) == 1
    shown = rlbench("runs", "show", document["runs"][0]["run"]).out
    assert "lake" in shown


def test_resume_finishes_a_study(rlbench, study, tmp_path):
    with library.open_store(tmp_path / "rlbench.db") as store:
        found = library.load_study(store, "lake")
        found.values[1, 1] = float("nan")
        keeping.save(found)
    listed = rlbench("studies", "--json").document["studies"][0]
    assert (listed["runs"], listed["hash"]) == (5, None)
    resumed = rlbench("resume", "lake", "--workers", 1, "--json").document
    assert (resumed["hash"], resumed["table"]) == (study["hash"], study["table"])
    assert rlbench("resume", "lake", "--episodes", 9).err == (
        "Error: a study keeps its budget: begin another with `rlbench sweep`\n"
    )


def test_a_damaged_study_is_told_beside_the_others_and_can_be_deleted(rlbench, study, tmp_path):
    with library.open_store(tmp_path / "rlbench.db") as store:
        store.save_snapshot("study", "broken", {}, {"settings": {}})
    listed = rlbench("studies", "--json")
    assert [one["study"] for one in listed.document["studies"]] == ["lake"]
    assert listed.err.startswith("the study broken is damaged: ")
    assert listed.err.endswith(": restore a backup, or `rlbench studies delete broken`\n")
    assert rlbench("studies", "delete", "broken", "--yes").out == "deleted broken and 0 runs\n"


def test_plot_and_compare_take_the_name_of_a_study(rlbench, study, tmp_path):
    assert rlbench("plot", "lake", "--title", "mine").out == "wrote lake.png\n"
    assert (tmp_path / "lake.png").stat().st_size > 5_000
    drawn = rlbench("plot", "lake", "--kind", "iqm", "--out", "iqm.png", "--json").document
    assert len(drawn["runs"]) == 6
    assert rlbench("plot", "lak").err.startswith("Error: unknown study 'lak'; did you mean lake?")
    compared = rlbench("compare", "lake", "--json").document
    assert compared["study"] == "lake"
    assert [one["parameters"] for one in compared["candidates"]] == [row["parameters"] for row in study["table"]]
    assert compared["candidates"][0]["beats_first"] is None
    assert 0 <= compared["candidates"][1]["beats_first"] <= 1
    printed = rlbench("compare", "lake").out.splitlines()
    assert printed[1].startswith("A  q-learning learning_rate=")
    assert printed[-1] == "FrozenLake-v1; mean regret, less is better"
    assert "`rlbench plot lake` draws a study" in rlbench("compare", "lake", "--out", "x.png").err
    assert len(rlbench("report", "lake", "--json").document["runs"]) == 6


def test_failures_are_told_and_the_exit_code_says_so(rlbench, tmp_path, monkeypatch):
    found = rlbench(
        *("sweep", "hazards:Hazard-v0", "--over", "env.reward=1,3", "--seeds", "0:2", "--episodes", 2),
        *("--objective", "area", "--workers", 1, "--name", "risky"),
    )
    assert found.code == 1
    assert found.err == (
        "Error: 2 of 4 runs failed, such as q-learning env.reward=3 with seed 0: "
        "RuntimeError: too much of a good thing\n"
    )
    document = rlbench("studies", "show", "risky", "--json").document
    assert document["failed"] == 2
    assert document["failures"][0] == {
        "agent": "q-learning",
        "parameters": {"env.reward": 3},
        "seed": 0,
        "error": "RuntimeError: too much of a good thing",
    }
    assert document["table"][1]["value"] is None
    assert rlbench("resume", "risky").err.startswith("Error: the study's env hazards:Hazard-v0 would import a module")
    with library.open_store(tmp_path / "rlbench.db") as store:
        stopped = library.load_study(store, "risky")
        stopped.values[:] = math.nan
        keeping.save(stopped)
    assert rlbench("studies", "show", "risky").out.endswith("  stopped   the same command goes on\n")


def test_the_options_of_train_and_the_objective_reach_the_runs(rlbench):
    document = rlbench(
        *(
            "sweep",
            "CartPole-v1",
            "--agent",
            "q-learning,sarsa",
            "--over",
            "gamma=0.9",
            "--over",
            "env.sutton_barto_reward=true",
        ),
        *("--seeds", "4", "--timesteps", 50, "--bins", "3,3,3,3", "--set", "learning_rate=0.5", "--record", "all"),
        *("--objective", "steps-to:5", "--aggregate", "q50", "--workers", 1, "--name", "pole", "--json"),
    ).document
    assert [row["agent"] for row in document["table"]] == ["q-learning", "sarsa"]
    assert document["table"][0]["parameters"] == {"gamma": 0.9, "env.sutton_barto_reward": True}
    assert (document["table"][0]["seeds"], document["table"][0]["interval"]) == (1, None)
    assert (document["objective"], document["aggregate"]) == ("steps-to:5", "q50")
    [run, _] = rlbench("runs", "--study", "pole", "--json").document["runs"]
    expected = {"gamma": 0.9, "learning_rate": 0.5, "sutton_barto_reward": True, "record": "all"}
    assert {name: run["settings"][name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--over", "alpha=1"], "unknown parameter of q-learning 'alpha'; did you mean learning_rate?"),
        (["--over", "gamma=1..0:3"], "a range goes from the lower end to the higher, got gamma=1..0:3"),
        (["--over", "gamma=0.1,0.2", "--seeds", "4:4"], "seeds must be at least one, got none"),
        (
            ["--over", "gamma=0.1..1:500", "--over", "learning_rate=0.1..1:500"],
            "these are 250,000 combinations: --yes if",
        ),
        (["--over", "gamma=0.9", "--agent", "random", "--objective", "regret"], "unknown parameter of random 'gamma'"),
        (["--over", "gamma=0.9", "--workers", 2, "--store", "memory://"], "a store in memory belongs to one process"),
        (["--over", "gamma=0.9", "--name", "best"], "'best' would be taken for a run"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(rlbench, tmp_path, arguments, message):
    found = rlbench("sweep", "FrozenLake-v1", *arguments)
    assert (found.code, found.out, len(found.err.splitlines())) == (2, "", 1)
    assert found.err.startswith(f"Error: {message}")
    assert not list(tmp_path.iterdir())


def test_a_driver_that_is_killed_is_resumed_to_the_same_hash(rlbench, tmp_path):
    whole = sweep("FrozenLake-v1", over={"learning_rate": "0.1..1:10"}, seeds=range(8), episodes=50)
    line = [*SWEEP[:2], "--over", "learning_rate=0.1..1:10", "--seeds", "0:8", "--episodes", "50", "--name", "mine"]
    command = [sys.executable, "-m", "rlbench", *line, "--workers", "2", "--store", tmp_path / "runs.db"]
    with subprocess.Popen(command, start_new_session=True, env={**os.environ, "PYTHONWARNINGS": "error"}) as process:
        until(lambda: process.poll() is not None or _finished(tmp_path / "runs.db"))
        process.send_signal(signal.SIGKILL)
    resumed = rlbench("resume", "mine", "--store", tmp_path / "runs.db", "--workers", 1, "--json").document
    assert (resumed["hash"], resumed["runs"]) == (whole.hash, 80)
    with library.open_store(tmp_path / "runs.db") as store:
        assert store.broken_off("mine") == []


def _finished(path):
    try:
        with library.open_store(path, create=False) as store:
            return store.runs(study="mine", status="finished", limit=1)
    except StoreError:
        return []


def test_ctrl_c_ends_a_sweep_that_the_same_command_finishes(rlbench, tmp_path):
    whole = sweep("FrozenLake-v1", over={"learning_rate": "0.1..1:10"}, seeds=range(8), episodes=50)
    line = [*SWEEP[:2], "--over", "learning_rate=0.1..1:10", "--seeds", "0:8", "--episodes", "50", "--name", "mine"]
    line += ["--store", str(tmp_path / "runs.db"), "--json"]
    with subprocess.Popen([sys.executable, "-m", "rlbench", *line], stdout=subprocess.PIPE) as process:
        until(lambda: process.poll() is not None or _finished(tmp_path / "runs.db"))
        process.send_signal(signal.SIGINT)
        document = json.loads(process.communicate()[0])
    if process.returncode != 0:  # else it was faster than the signal
        assert (process.returncode, document["hash"]) == (130, None)
    assert rlbench(*line, "--workers", 1).document["hash"] == whole.hash
