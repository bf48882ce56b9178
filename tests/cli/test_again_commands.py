"""`rlbench resume`, `retrain`, `verify`, `diff`, `store` and what `runs` does to runs."""

import hashlib
import json
import sqlite3
from dataclasses import replace

import gymnasium as gym
import pytest
from contracts import stores

import rlbench as library


def trained(rlbench, *arguments):
    return rlbench("train", "safecab", "--episodes", 40, "--json", *arguments).document


def q_table_sha256(**arguments):
    return hashlib.sha256(library.train("safecab", **arguments).agent.q_table.tobytes()).hexdigest()


# ------------------------------------------------------------------------------------------------- resume


def test_resume_goes_on_as_if_the_run_had_never_stopped(rlbench):
    run = trained(rlbench)["run"]
    outcome = rlbench("resume", "latest", "--episodes", 90, "--json")
    assert outcome.code == 0
    assert (outcome.document["episodes"], outcome.document["cached_episodes"]) == (90, 40)
    new, old = rlbench("runs", "--json").document["runs"]
    assert (new["run"], new["parents"], old["run"], old["episodes"]) == (outcome.document["run"], [run], run, 40)
    assert outcome.document["q_table_sha256"] == q_table_sha256(episodes=90, seed=0)
    assert (
        rlbench("runs", "--json").document["runs"][0]["evaluation"]["regret"]
        == outcome.document["evaluation"]["regret"]
    )


def test_resume_says_where_it_went_on_from(rlbench):
    trained(rlbench)
    outcome = rlbench("resume", "latest", "--timesteps", 2000)
    assert "went on from 40 episodes" in outcome.out.splitlines()[0]


def test_a_finished_run_wants_a_larger_budget(rlbench):
    run = trained(rlbench)["run"]
    outcome = rlbench("resume", run)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: run {run} has come to 40 episodes")
    assert outcome.err.count("\n") == 1


# ------------------------------------------------------------------------------------------------ retrain


def test_retrain_learns_from_stored_steps_and_compares(rlbench):
    run = rlbench("train", "safecab", "--agent", "random", "--episodes", 20000, "--json").document["run"]
    found = rlbench("retrain", run, "--json").document
    assert (found["parents"], found["env_steps"], found["converged"]) == ([run], 0, True)
    assert found["evaluation"]["regret"] == 0.0
    assert found["parent_evaluation"]["mean_return"] < 0
    assert found["passes"] >= 1
    outcome = rlbench("retrain", run, "--agent", "replay-q", "--passes", 2, "--set", "gamma=0.5", "--seed", 3)
    assert outcome.code == 0
    assert f"transitions of {run}, 2 passes" in outcome.out
    assert rlbench("runs", "lineage", "latest", "--json").document["parents"][0]["run"] == run


def test_retraining_a_table_says_in_how_many_states_the_action_changed(rlbench):
    trained(rlbench)
    assert 0 < rlbench("retrain", "latest", "--json").document["changed_states"] < 500
    outcome = rlbench("retrain", "latest", "--warm-start")
    assert outcome.code == 2 or "the greedy action in" in outcome.out


def test_what_a_person_drove_can_be_learnt_from(rlbench):
    with library.RecordEpisodes(gym.make("FrozenLake-v1"), "rlbench.db", agent_name="human") as env:
        env.reset(seed=0)
        while not any(env.step(2)[2:4]):
            pass
    found = rlbench("retrain", "latest", "--json").document
    assert found["agent"] == "q-learning"
    assert found["parent_evaluation"] is None
    assert found["changed_states"] is None
    assert "before" not in rlbench("retrain", found["parents"][0]).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "random"], "random cannot learn from what others did"),
        (["--passes", 0], "passes must be"),
        (["--tolerance", "nan"], "tolerance must be"),
        (["--set", "gama=1"], "did you mean gamma"),
        (["nosuchrun"], "there is no run 'nosuchrun'"),
    ],
)
def test_a_mistake_in_retraining_is_one_line(rlbench, arguments, message):
    trained(rlbench)
    outcome = rlbench("retrain", "latest", *arguments)
    assert outcome.code in (1, 2)
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


# ------------------------------------------------------------------------------------------------- verify


def test_verify_plays_a_run_again(rlbench):
    document = trained(rlbench)
    found = rlbench("verify", "latest", "--json")
    assert found.code == 0
    assert {name: found.document[name] for name in ("run", "episodes", "steps", "mismatches")} == {
        "run": document["run"],
        "episodes": 40,
        "steps": document["timesteps"],
        "mismatches": 0,
    }
    assert rlbench("verify", "latest", "--episode", 3, "--episode", 5, "--json").document["episodes"] == 2
    assert "all as stored" in rlbench("verify", "latest", "--engine", "python").out


def test_verify_all_leaves_out_what_kept_no_steps(rlbench):
    trained(rlbench)
    trained(rlbench, "--record", "none", "--seed", 1)
    trained(rlbench, "--seed", 2)
    found = rlbench("verify", "--all", "--json").document
    assert [run["mismatches"] for run in found["runs"]] == [0, 0]
    assert rlbench("verify", "--all", "--env", "cartpole", "--json").document == {"runs": []}


def test_what_differs_is_named_and_fails(rlbench, tmp_path):
    trained(rlbench)
    with library.open_store(tmp_path / "rlbench.db") as store:  # as if it had been trained with another reward
        record = store.run("latest")
        env = record.config.env
        spec = {**json.loads(env.spec), "kwargs": {"step_reward": -2.0}}
        config = replace(record.config, env=replace(env, spec=json.dumps(spec)))
        stores.rewrite(store, record.id, config=json.dumps(config.document()))
    outcome = rlbench("verify", "latest")
    assert outcome.code == 1
    assert "episodes differ" in outcome.out
    assert "reward is -2.0, stored -1.0" in outcome.out
    assert rlbench("verify", "latest", "--json").document["first"]["field"] == "reward"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a run, or give --all"),
        (["latest", "--all"], "name a run, or give --all"),
        (["latest", "--episode", 40], "has the episodes 0 to 39, not 40"),
        (["latest", "--engine", "fast"], "unknown engine 'fast'"),
    ],
)
def test_a_mistake_in_verifying_is_one_line(rlbench, arguments, message):
    trained(rlbench)
    outcome = rlbench("verify", *arguments)
    assert outcome.code == 2
    assert message in outcome.err


def test_diff_says_where_two_runs_part(rlbench):
    a, b = trained(rlbench)["run"], trained(rlbench, "--seed", 1)["run"]
    found = rlbench("diff", a, b, "--json").document
    assert (found["run_a"], found["run_b"], found["settings"]) == (a, b, {"seed": [0, 1]})
    assert (found["episode"], found["step"], found["cause"]) == (0, 0, "draw")
    assert "seed: 0 and 1" in rlbench("diff", a, b).out
    assert "the same for 40 episodes" in rlbench("diff", a, a).out


def test_latest_and_best_are_narrowed_to_an_env_wherever_a_run_is_named(rlbench):
    run = trained(rlbench)["run"]
    rlbench("train", "FrozenLake-v1", "--episodes", 3)
    assert rlbench("diff", "latest", "best", "--env", "safecab", "--json").document["run_b"] == run
    assert rlbench("runs", "lineage", "latest", "--env", "safecab", "--json").document["run"] == run
    assert rlbench("runs", "tag", "latest", "x", "--env", "safecab").out == f"run {run}: x\n"


# -------------------------------------------------------------------------------------------------- store


def test_the_store_is_counted_checked_copied_backed_up_and_compacted(rlbench, tmp_path):
    run = trained(rlbench)["run"]
    found = rlbench("store", "info", "--json").document
    assert (found["runs"], found["episodes"]) == (1, 40)
    assert "episodes                  40" in rlbench("store", "info").out
    assert rlbench("store", "check", "--json").document["damages"] == []
    assert "1 runs checked, nothing damaged" in rlbench("store", "check").out
    assert rlbench("store", "copy", "rlbench.db", "b.db", "--json").document["runs"][0]["action"] == "copied"
    assert f"run {run}: equal" in rlbench("store", "copy", "rlbench.db", "b.db", run[:6]).out
    assert rlbench("store", "backup", "c.db").code == 0
    assert rlbench("store", "compact", "--json").document["bytes"] > 0
    for name in ("b.db", "c.db"):
        assert rlbench("runs", "--store", name, "--json").document == rlbench("runs", "--json").document
    assert rlbench("store", "backup", "c.db").code == 1
    assert rlbench("store", "info", "--store", "none.db").code == 1


def test_a_damaged_store_is_named_and_fails(rlbench, tmp_path):
    trained(rlbench)
    with sqlite3.connect(tmp_path / "rlbench.db") as connection:
        connection.execute("UPDATE chunks SET figures_blob = zeroblob(40)")
    outcome = rlbench("store", "check")
    assert outcome.code == 1
    assert "chunk 0, figures" in outcome.out
    assert len(rlbench("store", "check", "--json").document["damages"]) == 1


# --------------------------------------------------------------------------------------------------- runs


def test_runs_are_tagged_and_found_by_their_tags(rlbench):
    first, second = trained(rlbench)["run"], trained(rlbench, "--seed", 1)["run"]
    assert rlbench("runs", "tag", first, "good", "old", "--json").document["tags"] == ["good", "old"]
    assert rlbench("runs", "tag", second[:6], "good").out == f"run {second}: good\n"
    assert rlbench("runs", "tag", first, "good", "--remove").out == f"run {first}: old\n"
    assert [run["run"] for run in rlbench("runs", "--tag", "good", "--json").document["runs"]] == [second]
    assert rlbench("runs", "--tag", "$where").out == "no runs fit\n"


def test_a_run_is_deleted_only_once_one_has_said_yes(rlbench, monkeypatch):
    run = trained(rlbench)["run"]
    answers = iter([False, True])
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: "y" if next(answers) else "n")
    assert rlbench("runs", "delete", run).code == 130
    assert len(rlbench("runs", "--json").document["runs"]) == 1
    assert rlbench("runs", "delete", run).out.endswith(f"deleted {run}\n")
    other = trained(rlbench, "--seed", 1)["run"]
    assert rlbench("runs", "delete", other, other[:5], "--yes", "--json").document == {"deleted": [other]}
    assert rlbench("runs", "--json").document["runs"] == []


def test_the_cache_is_counted(rlbench):
    run = trained(rlbench)["run"]
    for episodes in (40, 60, 40):
        rlbench("train", "safecab", "--episodes", episodes)
    longer, found = rlbench("runs", "--json").document["runs"]
    assert (found["run"], found["episodes"], longer["parents"]) == (run, 40, [run])
    assert {name: found["cache"][name] for name in ("hit", "prefix")} == {"hit": 2, "prefix": 1}
    assert found["cache"]["seconds_saved"] > 0
    assert "s of training saved" in rlbench("runs", "--cache").out


def test_a_deleted_parent_is_said_to_be_deleted(rlbench):
    run = trained(rlbench)["run"]
    rlbench("retrain", run)
    rlbench("runs", "delete", run, "--yes")
    assert f"from {run}  deleted" in rlbench("runs", "lineage", "latest").out


def test_the_store_may_be_named_before_or_after_what_is_done_to_runs(rlbench):
    trained(rlbench, "--store", "other.db")
    assert rlbench("runs", "--store", "other.db", "tag", "latest", "a").code == 0
    assert rlbench("runs", "tag", "latest", "b", "--store", "other.db").out.endswith(": a, b\n")
