"""The books' walk, typed: record, retrain in bins, go on from it, watch, replay, lineage."""

import json

import pytest

import rlbench as library


@pytest.fixture
def walked(rlbench):
    """The documents of the first three commands."""
    lines = (
        "record CartPole-v1 --policy random --episodes 60 --json",
        "retrain latest --bins 6,6,12,12 --json",
        "train CartPole-v1 --bins 6,6,12,12 --from latest --episodes 50 --json",
    )
    outcomes = [rlbench(*line.split()) for line in lines]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0], [outcome.err for outcome in outcomes]
    return [outcome.document for outcome in outcomes]


def test_the_walk_names_its_parents(rlbench, walked):
    recorded, learnt, trained = walked
    assert set(recorded) == {"run", "env_id", "episodes", "steps", "mean_return"}
    assert (learnt["parents"], learnt["transitions"]) == ([recorded["run"]], recorded["steps"])
    assert (trained["engine"], trained["episodes"]) == ("compiled", 50)
    lineage = rlbench("runs", "lineage", "latest").out.splitlines()
    named = [line.strip().removeprefix("from ").split()[0] for line in lineage]
    assert named == [trained["run"], learnt["run"], recorded["run"]]


@pytest.mark.parametrize("command", ["watch", "replay", "verify", "evaluate"])
def test_every_look_takes_the_latest_run_that_has_what_it_needs(rlbench, walked, command):
    recorded, learnt, trained = (document["run"] for document in walked)
    rlbench("runs", "delete", trained, "--yes")
    outcome = rlbench(command, "latest", "--json")
    wanted = learnt if command in {"watch", "evaluate"} else recorded
    assert (outcome.code, outcome.document["run"]) == (0, wanted)
    skipped = "" if wanted == learnt else f"latest with stored steps: run {recorded}\n"
    assert outcome.err == skipped


@pytest.mark.parametrize("command", [("plot", "latest", "--out", "x.png"), ("export", "latest", "--out", "x.json")])
def test_pictures_and_files_of_the_latest_run_with_episodes(rlbench, walked, command):
    recorded, _, trained = (document["run"] for document in walked)
    rlbench("runs", "delete", trained, "--yes")
    outcome = rlbench(*command, "--json")
    assert outcome.code == 0
    assert recorded in json.dumps(outcome.document)


def test_a_recording_says_what_it_came_to(rlbench):
    outcome = rlbench("record", "CartPole-v1", "--episodes", 5)
    lines = outcome.out.splitlines()
    assert lines[0].startswith("random on CartPole-v1, seed 0: 5 episodes, ")
    assert lines[2].startswith("  stored    run ")


def test_a_trained_run_is_a_policy(rlbench, walked):
    trained = walked[-1]["run"]
    outcome = rlbench("record", "CartPole-v1", "--policy", trained, "--episodes", 4, "--seed", 9, "--json")
    evaluated = rlbench("evaluate", trained, "--episodes", 4, "--seed", 9, "--json")
    assert outcome.document["mean_return"] == evaluated.document["mean_return"]


def test_a_function_of_the_working_folder_is_a_policy(rlbench, tmp_path):
    (tmp_path / "leaning.py").write_text("def lean(observation):\n    return int(observation[2] > 0)\n")
    outcome = rlbench("record", "CartPole-v1", "--policy", "leaning:lean", "--episodes", 3)
    assert outcome.out.startswith("lean on CartPole-v1, seed 0: 3 episodes")


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ("leaning:fall", "'leaning:fall' cannot be imported"),
        (":", "':' cannot be imported"),
        ("latest", "there is no store at rlbench.db"),
    ],
)
def test_a_policy_that_is_none_is_refused_in_a_line_and_nothing_is_written(rlbench, policy, complaint, tmp_path):
    outcome = rlbench("record", "CartPole-v1", "--policy", policy)
    assert outcome.code != 0
    assert complaint in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert rlbench("record", "CartPoll-v1").code == 2
    assert list(tmp_path.iterdir()) == []


def test_train_takes_wrappers_and_says_so_in_the_command_that_makes_the_run_again(rlbench):
    arguments = ("--wrapper", "ClipReward:min_reward=0,max_reward=0.5", "--bins", "quantile:3", "--episodes", 5)
    found = rlbench("train", "CartPole-v1", *arguments, "--json").document
    run = library.load_run("rlbench.db", found["run"])
    with run.store:
        assert run.returns.tolist() == (run.lengths / 2).tolist()


def test_a_run_is_judged_in_more_wrappers_when_asked(rlbench, walked):
    plain = rlbench("evaluate", "latest", "--json").document["mean_return"]
    halved = rlbench("evaluate", "latest", "--wrapper", "ClipReward:min_reward=0,max_reward=0.5", "--json")
    assert halved.document["mean_return"] == plain / 2
    refused = rlbench("evaluate", "latest", "--bins", "3,3,3,3")
    assert (refused.code, "learnt in 5,184 other bins" in refused.err) == (2, True)


def test_a_run_is_watched_in_more_wrappers_when_asked(rlbench, walked):
    halved = rlbench("watch", "latest", "--wrapper", "ClipReward:min_reward=0,max_reward=0.5", "--json").document
    plain = rlbench("watch", "latest", "--json").document
    assert halved["actions"] == plain["actions"]
    assert halved["total_return"] == plain["total_return"] / 2
    refused = rlbench("watch", "latest", "--bins", "3,3,3,3")
    assert (refused.code, "learnt in 5,184 other bins" in refused.err) == (2, True)


def test_stored_steps_are_seen_through_wrappers_when_asked(rlbench, walked):
    recorded = walked[0]["run"]
    halved = "ClipReward:min_reward=0,max_reward=0.5"
    learnt = rlbench("retrain", recorded, "--bins", "3,3,3,3", "--wrapper", halved, "--json").document
    assert learnt["run"] != recorded
    refused = rlbench("retrain", recorded, "--bins", "3,3,3,3", "--wrapper", "NormalizeObservation")
    assert (refused.code, len(refused.err.splitlines())) == (2, 1)
    assert "NormalizeObservation cannot be put around stored steps" in refused.err


def test_plain_cart_pole_learns_with_no_option_at_all(rlbench):
    found = rlbench("train", "CartPole-v1", "--record", "none", "--json").document
    assert (found["engine"], found["evaluation"]["mean_return"]) == ("compiled", 500.0)


def test_a_box_without_usual_bins_says_which_option_helps(rlbench):
    outcome = rlbench("train", "Pendulum-v1", "--episodes", 1)
    assert outcome.code == 2
    assert "give --bins, a number for each dimension" in outcome.err
