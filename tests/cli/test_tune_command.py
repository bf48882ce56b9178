"""`rlbench tune`, and what other commands make of a tuning."""

import os
import signal
import subprocess
import sys

import needs
import pytest
from waiting import until

import rlbench as library
from rlbench.errors import StoreError

needs.package("optuna", "tune")
LINE = (
    *("tune", "FrozenLake-v1", "--search", "learning_rate=0.01..1:log", "--search", "ties=first,random"),
    *("--trials", "6", "--round", "3", "--seeds", "0:2", "--test-seeds", "5:7", "--episodes", "20"),
    *("--objective", "area", "--sampler", "random", "--seed", "3"),
)
SAME = {
    "search": {"learning_rate": "0.01..1:log", "ties": ["first", "random"]},
    "trials": 6,
    "round": 3,
    "seeds": range(2),
    "test_seeds": range(5, 7),
    "episodes": 20,
    "objective": "area",
    "sampler": "random",
    "seed": 3,
}


@pytest.fixture(scope="module")
def alone():
    """The same in Python, in memory."""
    return library.tune("FrozenLake-v1", **SAME)


def test_a_tuning_tells_the_best_its_test_and_the_hash(rlbench, alone):
    document = rlbench(*LINE, "--workers", 1, "--name", "lake", "--json").document
    expected = {"study": "lake", "hash": alone.hash, "trials": 6, "seeds": 2, "runs": 12, "of": 12, "failed": 0}
    assert {name: document[name] for name in expected} == expected
    assert document["best"] == {"parameters": alone.best.parameters, "value": alone.best.value}
    value, usual = alone.test.scores.tolist()
    assert document["test"] == {"seeds": 2, "value": value, "default_value": usual}
    assert [row["parameters"] for row in document["table"]] == [row.parameters for row in alone.table]
    assert document["seconds"] > 0
    shown = rlbench("studies", "show", "lake", "--json").document
    assert (shown["hash"], shown["test"]) == (alone.hash, document["test"])
    assert len(rlbench("runs", "--study", "lake", "--limit", 99, "--json").document["runs"]) == 16
    [listed] = rlbench("studies", "--json").document["studies"]
    assert (listed["hash"], listed["trials"]) == (alone.hash, 6)
    again = document["command"].split()
    assert rlbench(*again[1:], "--store", "memory://", "--json").document["hash"] == alone.hash


def test_it_is_printed_with_the_command_that_makes_it_again_and_the_preset(rlbench, alone, tmp_path):
    preset = str(tmp_path / "best.toml")
    line = [*LINE, "--workers", 1, "--save-preset", preset]
    said = rlbench(*line).out
    value, usual = (f"{score:.4g}" for score in alone.test.scores)
    assert f"  test      area {value} on the seeds 5:7, where the default has {usual}\n" in said
    assert "  again     rlbench tune FrozenLake-v1 --agent q-learning --search " in said
    assert f"  hash      {alone.hash}\n" in said
    assert f"for `rlbench train FrozenLake-v1 --agent q-learning --preset {preset}`" in said
    assert "answered from the store" in rlbench("train", "FrozenLake-v1", "--preset", preset, "--record", "none").out
    once = ("--over", "gamma=0.99", "--seeds", "0:2", "--objective", "area")
    [best] = rlbench("sweep", "FrozenLake-v1", "--preset", preset, *once, "--json").document["table"]
    assert best["value"] == pytest.approx(alone.best.value)
    assert rlbench(*line).err == f"Error: {preset} is there already: give --force to replace it\n"
    assert rlbench(*line, "--force").code == 0


def test_trials_that_are_given_up_are_counted_and_shown_with_what_was_known_of_them(rlbench):
    line = [*LINE, "--trials", "12", "--seeds", "0:4", "--episodes", "400", "--workers", 1, "--name", "lake"]
    found = rlbench(*line, "--prune", "halving:2", "--json").document
    pruned = [row for row in found["table"] if row["pruned"] is not None]
    assert 0 < found["pruned"] == len(pruned) < 12
    assert (found["prune"], pruned[0]["value"], pruned[0]["pruned"]["after"]) == ("halving:2", None, "200 episodes")
    shares = [{"100 episodes": 0.25, "200 episodes": 0.5}[row["pruned"]["after"]] for row in pruned]
    assert shares == sorted(shares, reverse=True)
    assert found["effort"] == pytest.approx((sum(shares) + 12 - len(pruned)) / 12)
    shown = rlbench("studies", "show", "lake").out
    assert f" runs, {len(pruned)} of 12 trials pruned: {100 * found['effort']:.0f} % of their training\n" in shown
    assert f"{pruned[0]['pruned']['value']:.4g} after 200 episodes\n" in shown
    assert "nan" not in shown
    assert rlbench(*found["command"].split()[1:], "--store", "memory://", "--json").document["hash"] == found["hash"]
    whole = rlbench(*line, "--name", "whole", "--json").document
    assert (whole["prune"], whole["pruned"], whole["effort"]) == (None, 0, 1.0)
    assert "pruned" not in rlbench("studies", "show", "whole").out


def test_a_trial_that_fails_is_told_and_the_exit_code_says_so(rlbench):
    found = rlbench(
        *("tune", "hazards:Hazard-v0", "--search", "env.reward=1,3", "--sampler", "grid", "--seeds", "0:2"),
        *("--test-seeds", "5", "--episodes", 2, "--objective", "area", "--workers", 1, "--name", "risky", "--json"),
    )
    assert found.code == 1
    assert found.err == (
        "Error: 2 of 4 runs failed, such as q-learning env.reward=3 with seed 0: "
        "RuntimeError: too much of a good thing\n"
    )
    assert found.document["failed"] == 2
    assert found.document["best"] == {"parameters": {"env.reward": 1}, "value": 3.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--search", "gamma"], "--search takes NAME=VALUES, with a range lo..hi or lo..hi:log, or values a,b,c"),
        (["--search", "alpha=0..1"], "unknown parameter of q-learning 'alpha'; did you mean learning_rate?"),
        (["--search", "gamma=0..1:log"], "a range on a logarithmic scale begins above 0"),
        (["--search", "gamma=0..1", "--seeds", "95:105"], "seeds and test seeds must be apart"),
        (["--search", "gamma=0..1", "--test-seeds", "x"], "--test-seeds takes A:B or numbers"),
        (["--search", "gamma=0..1", "--save-preset", "best.json"], "--save-preset takes a TOML file"),
        (["--search", "gamma=0..1", "--save-preset", "none/best.toml"], "the folder of none/best.toml does not exist"),
        (["--search", "gamma=0..1", "--prune", "often"], "prune takes halving, halving:FACTOR, halving:FACTOR:RUNGS, "),
        (["--search", "gamma=0..1", "--prune", "halving"], "a training of 2 episodes is too short for 3 rungs"),
        (["--search", "gamma=0..1", "--name", "best"], "'best' would be taken for a run"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(rlbench, tmp_path, arguments, message):
    found = rlbench("tune", "FrozenLake-v1", *arguments, "--episodes", 2)
    assert (found.code, found.out, len(found.err.splitlines())) == (2, "", 1)
    assert found.err.startswith(f"Error: {message}")
    assert not list(tmp_path.iterdir())


def test_a_driver_that_is_killed_is_resumed_to_the_same_hash(rlbench, tmp_path):
    asked = {**SAME, "trials": 24, "seeds": range(4), "episodes": 50}
    whole = library.tune("FrozenLake-v1", **asked)
    line = [*LINE, "--trials", "24", "--seeds", "0:4", "--episodes", "50", "--name", "mine", "--workers", "2"]
    command = [sys.executable, "-m", "rlbench", *line, "--store", tmp_path / "runs.db"]
    with subprocess.Popen(command, start_new_session=True, env={**os.environ, "PYTHONWARNINGS": "error"}) as process:
        until(lambda: process.poll() is not None or _has_begun(tmp_path / "runs.db"))
        process.send_signal(signal.SIGKILL)
    resumed = rlbench("resume", "mine", "--store", tmp_path / "runs.db", "--workers", 1, "--json")
    assert (resumed.code, resumed.document["hash"]) == (0, whole.hash)
    assert resumed.document["test"]["value"] == whole.test.scores[0]


def _has_begun(path):
    """Whether the second round is under way."""
    try:
        with library.open_store(path, create=False) as store:
            return len(store.runs(study="mine", status="finished", limit=13)) == 13
    except StoreError:
        return False
