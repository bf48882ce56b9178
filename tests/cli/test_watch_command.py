"""`rlbench replay` and `rlbench watch`: episodes as pictures, as tables, as JSON."""

import json
import math
import re
from dataclasses import replace

import click
import gymnasium as gym
import numpy as np
import pytest
from contracts import stores

from rlbench import RecordEpisodes, train
from rlbench.cli import output
from rlbench.store import open_store
from rlbench.viewer.texts import TRACK_COLUMNS, draw_cart

YELLOW, GREEN = "\x1b[43m", "\x1b[42m"  # the grounds of a taxi without and with its passenger


@pytest.fixture
def cab(rlbench):
    """The id of a SafeCab run that drives well."""
    return rlbench("train", "safecab", "--json").document["run"]


@pytest.fixture
def cart(rlbench):
    """The id of a CartPole run that has hardly learnt anything."""
    return rlbench("train", "cartpole", "--episodes", 20, "--json").document["run"]


def _pictures(text):
    return text.split("\n", 1)[1].rstrip("\n").split("\n\n")  # without the title


# ------------------------------------------------------------------ replay


def test_a_replayed_episode_is_the_stored_one(rlbench, cab):
    document = rlbench("replay", cab, "--episode", 17, "--json").document
    with open_store("rlbench.db") as store:
        episode = store.episodes(cab)[17]
    assert (document["run"], document["episode"]) == (cab, 17)
    assert document["observations"] == episode.observations.tolist()
    assert document["actions"] == episode.actions.tolist()
    assert document["rewards"] == episode.rewards.tolist()
    assert (document["terminated"], document["truncated"]) == (episode.terminated, episode.truncated)
    assert document["total_return"] == episode.total_return == sum(document["rewards"])


def test_every_step_of_a_replay_is_drawn_with_its_action_reward_and_return(rlbench, cab):
    document = rlbench("replay", cab, "--episode", "best", "--json").document
    text = rlbench("replay", cab, "--episode", "best").out
    title, pictures = text.splitlines()[0], _pictures(text)
    steps, total = len(document["actions"]), document["total_return"]
    assert title == f"run {cab}, episode {document['episode']}: {steps} steps, return {total:g}, terminated"
    assert len(pictures) == steps + 1
    assert pictures[0].endswith("\nstep 0")
    assert pictures[-1].endswith(f"\n  (Dropoff)\nstep {steps}  reward 1000  return {total:g}  terminated")
    for picture, action in zip(pictures[1:], document["actions"], strict=True):
        assert f"({('South', 'North', 'East', 'West', 'Pickup', 'Dropoff')[action]})" in picture


def test_the_taxi_is_drawn_where_the_stored_observation_says(rlbench, cab, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    observations = rlbench("replay", cab, "--json").document["observations"]
    pictures = _pictures(rlbench("replay", cab).out)
    assert len(pictures) == len(observations)
    for picture, observation in zip(pictures, observations, strict=True):
        square, passenger = observation // 20, observation // 4 % 5
        line = picture.splitlines()[1 + square // 5]
        ground = GREEN if passenger == 4 else YELLOW
        assert ground in line
        assert len(click.unstyle(line.split(ground)[0])) == 1 + 2 * (square % 5)


def test_exploratory_actions_are_marked(rlbench, cab):
    with open_store("rlbench.db") as store:
        explored = store.episodes(cab)[0].explored
    pictures = _pictures(rlbench("replay", cab, "--episode", 0).out)
    assert [" (exploring)" in picture for picture in pictures[1:]] == explored.tolist()


def test_best_worst_and_latest_are_the_episodes_with_these_returns(rlbench, cab):
    with open_store("rlbench.db") as store:
        returns = store.figures(cab)["return"]
    found = {word: rlbench("replay", cab, "--episode", word, "--json").document for word in ("best", "worst", "latest")}
    assert found["best"]["episode"] == np.argmax(returns)
    assert found["worst"]["total_return"] == returns.min()
    assert found["latest"]["episode"] == len(returns) - 1
    assert 0 <= rlbench("replay", cab, "--episode", "random", "--json").document["episode"] < len(returns)


@pytest.mark.parametrize("word", ["60000", "-1", "1.5", "first", "", "²", "9" * 40])
def test_an_episode_that_is_not_there_is_refused_with_those_that_are(rlbench, cab, word):
    outcome = rlbench("replay", cab, f"--episode={word}")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == f"Error: --episode takes 0 to 59999, best, worst, latest or random, got {word!r}\n"


def test_a_run_that_kept_no_steps_says_what_to_do(rlbench):
    run = rlbench("train", "safecab", "--episodes", 5, "--record", "none", "--json").document["run"]
    outcome = rlbench("replay", run)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == (
        f"Error: run {run} kept no steps (it was trained with --record none): train with --record all to replay\n"
    )
    assert rlbench("watch", run).code == 0


def test_an_episode_that_cannot_be_drawn_is_a_table_of_its_steps(rlbench, cart):
    document = rlbench("replay", cart, "--episode", "best", "--json").document
    title, header, start, *steps = rlbench("replay", cart, "--episode", "best").out.splitlines()
    assert title.startswith(f"run {cart}, episode {document['episode']}: {len(steps)} steps, return ")
    assert header.split() == ["step", "action", "reward", "return", "observation"]
    assert start.split() == ["0", str(document["observations"][0])]
    assert [int(line.split()[1]) for line in steps] == document["actions"]
    assert [int(line.split()[4]) for line in steps] == document["observations"][1:]
    assert steps[-1].endswith("terminated")


@pytest.mark.filterwarnings("default")
def test_what_is_stored_of_an_env_that_cannot_be_made_here_is_still_shown_with_a_warning(rlbench, cab):
    with open_store("rlbench.db") as store:
        config = store.run(cab).config
        spec = config.env.spec.replace("rlbench.envs.safecab", "elsewhere.envs")
        stores.rewrite(store, cab, config=json.dumps(replace(config, env=replace(config.env, spec=spec)).document()))
    outcome = rlbench("replay", cab, "--episode", "best")
    assert outcome.code == 0
    assert "terminated" in outcome.out.splitlines()[-1]
    shown = f"the stored steps of run {cab} are shown as text"
    assert re.fullmatch(rf"Warning: the env is not made, for its stored spec .*elsewhere.*: {shown}\n", outcome.err)


@pytest.fixture
def older(rlbench, cab):
    """A run of a version of SafeCab that is not installed."""
    with open_store("rlbench.db") as store:
        made = store.create_run("rlbench/SafeCab-v9", "human", seed=0, config=store.run(cab).config)
        store.append(made.id, next(iter(store.chunks(cab))), status="finished")
    return made.id


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("arguments", [(), ("--out", "sheet.png"), ("--out", "trip.gif")])
def test_a_run_of_another_version_of_its_env_is_shown_as_it_is_stored_with_a_warning(rlbench, older, arguments):
    outcome = rlbench("replay", older, "--episode", 3, *arguments)
    assert outcome.code == 0
    assert outcome.err.startswith(
        "Warning: rlbench/SafeCab-v9 is not installed, but its version 0 is: "
        f"the stored steps of run {older} are shown as text\n"
    )
    assert ("observation" in outcome.out) is not bool(arguments)


@pytest.mark.parametrize("env", ["FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"])
def test_any_toy_text_env_is_drawn(rlbench, env):
    train(env, episodes=30, seed=0, store="rlbench.db").store.close()
    document = rlbench("replay", "latest", "--json").document
    pictures = _pictures(rlbench("replay", "latest").out)
    assert len(pictures) == len(document["observations"])
    assert len({picture.split("step ")[0] for picture in pictures}) > 1


# ------------------------------------------------------------------ replay --verify


def test_a_verified_episode_is_played_again_and_said_to_be_identical(rlbench, cab):
    outcome = rlbench("replay", cab, "--episode", 17, "--verify")
    steps = len(rlbench("replay", cab, "--episode", 17, "--json").document["actions"])
    assert outcome.code == 0
    assert outcome.out.splitlines()[1] == (
        f"identical when played again: every observation and reward of {steps} steps, and the end"
    )
    assert rlbench("replay", cab, "--verify", "--json").document["verified"] is True


def test_an_episode_that_differs_when_played_again_is_told_and_the_exit_code_is_1(rlbench, cab):
    with open_store("rlbench.db") as store:
        chunk = next(iter(store.chunks(cab)))
        made = store.create_run("rlbench/SafeCab-v0", "q-learning", seed=0, config=store.run(cab).config)
        rewards = chunk.steps["rewards"].copy()
        rewards[0] = -7
        store.append(made.id, replace(chunk, steps={**chunk.steps, "rewards": rewards}), status="finished")
    outcome = rlbench("replay", made.id, "--episode", 0, "--verify")
    assert outcome.code == 1
    assert outcome.out.splitlines()[1].startswith("not identical when played again: episode 0, step 1: reward is -")
    assert outcome.out.splitlines()[1].endswith(", stored -7.0")
    assert rlbench("replay", made.id, "--episode", 0, "--verify", "--json").document["verified"] is False
    assert rlbench("replay", made.id, "--episode", 1, "--verify").code == 0


def test_an_episode_whose_generator_is_not_known_is_not_called_identical(rlbench):
    env = RecordEpisodes(gym.make("rlbench/SafeCab-v0"), "rlbench.db")
    env.reset(options={"state": 20})
    env.step(0)
    env.close()
    outcome = rlbench("replay", "latest", "--verify")
    assert outcome.code == 1
    assert "cannot be played again" in outcome.out.splitlines()[1]


# ------------------------------------------------------------------ watch


def test_watching_shows_a_greedy_episode_from_a_seed(rlbench, cab):
    document = rlbench("watch", cab, "--seed", 3, "--json").document
    text = rlbench("watch", cab, "--seed", 3).out
    assert text.splitlines()[0] == f"run {cab}: q-learning on rlbench/SafeCab-v0, driving greedily from seed 3"
    assert len(_pictures(text)) == len(document["actions"]) + 1
    assert (document["run"], document["seed"], document["terminated"]) == (cab, 3, True)
    assert document["rewards"][-1] == 1000
    assert document != rlbench("watch", cab, "--seed", 4, "--json").document


@pytest.mark.parametrize("arguments", [("safecab",), ("SafeCab-v0", "--agent", "random"), ("FrozenLake-v1",)])
def test_in_an_env_the_random_agent_drives_without_any_store(rlbench, tmp_path, arguments):
    name = {"SafeCab-v0": "rlbench/SafeCab-v0"}.get(arguments[0], arguments[0])
    outcome = rlbench("watch", name, *arguments[1:], "--seed", 3)
    assert outcome.code == 0
    assert re.match(r"random on (rlbench/SafeCab-v0|FrozenLake-v1) from seed 3\n", outcome.out)
    assert rlbench("watch", name, "--seed", 3).out == outcome.out
    assert not list(tmp_path.iterdir())


def test_an_env_to_watch_takes_settings(rlbench):
    observations = rlbench("watch", "safecab", "--env-set", "city=30x30", "--json").document["observations"]
    assert max(observations) >= 500  # the book's city has no such state


def test_only_the_random_agent_drives_in_an_env(rlbench):
    outcome = rlbench("watch", "safecab", "--agent", "q-learning")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == (
        "Error: --agent takes random, got 'q-learning': other agents have to learn first, so name a RUN of theirs\n"
    )


@pytest.mark.parametrize("name", ["SafeCap-v0", "nowhere:X-v0"])
def test_an_env_that_is_not_there_is_refused(rlbench, name):
    outcome = rlbench("watch", name)
    assert outcome.code == 2
    assert outcome.err.startswith(f"Error: unknown env '{name}'")


def test_values_are_laid_over_a_film_or_it_says_why_not(rlbench, cab, cart, tmp_path):
    plain, valued = tmp_path / "plain.png", tmp_path / "valued.png"
    rlbench("watch", cab, "--out", plain, "--frame", 0)
    rlbench("watch", cab, "--out", valued, "--frame", 0, "--values")
    assert plain.read_bytes() != valued.read_bytes()
    refused = {
        (cab,): "Error: --values needs a picture: give --out FILE or --render human with it\n",
        (cart, "--out", plain): "Error: --values: the picture is no map: `rlbench plot --kind values` draws one\n",
        ("safecab", "--out", plain): "Error: --values: this run has learnt no values\n",
    }
    for arguments, said in refused.items():
        assert rlbench("watch", *arguments, "--values").err == said


def test_a_cart_and_its_pole_are_drawn(rlbench, cart):
    text = rlbench("watch", cart, "--max-steps", 3).out
    pictures = _pictures(text)
    assert len(pictures) == 4
    assert all("[=o=]" in picture and "-" * TRACK_COLUMNS in picture for picture in pictures)
    assert pictures[-1].endswith("step 3  reward 1  return 3  left there: --max-steps shows more")


def test_an_env_without_a_picture_is_watched_as_a_table(rlbench, cart, monkeypatch):
    monkeypatch.setattr("rlbench.viewer.texts.is_cart_pole", lambda _: False)
    _, header, start, *steps = rlbench("watch", cart, "--max-steps", 5).out.splitlines()
    assert header.split() == ["step", "action", "reward", "return", "observation"]
    assert start.split()[0] == "0"
    assert len(steps) == 5


def test_no_color_marks_the_taxi_without_colours(rlbench, cab, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = rlbench("watch", cab).out
    assert "\x1b" not in text
    assert all(picture.count("@") == 1 for picture in _pictures(text))


def test_on_a_terminal_one_picture_takes_the_place_of_the_other(rlbench, cab, monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    slept = []
    monkeypatch.setattr(output.time, "sleep", slept.append)
    text = rlbench("watch", cab).out
    steps = len(rlbench("watch", cab, "--json").document["actions"])
    assert re.findall(r"\x1b\[(\d+)A\x1b\[J", text) == ["8"] + ["9"] * (steps - 1)  # the start has no action
    assert slept == [0.25] * (steps + 1)  # SafeCab's render_fps is 4
    slept.clear()
    rlbench("watch", cab, "--delay", 0.5)
    assert set(slept) == {0.5}


# ------------------------------------------------------------------ the cart


def test_the_cart_stands_where_its_state_says():
    lines = {x: draw_cart((x, 0.0, 0.0, 0.0)).splitlines() for x in (-2.4, 0.0, 2.4)}
    assert [lines[x][5].index("|") for x in (-2.4, 0.0, 2.4)] == [0, 30, 60]
    assert lines[0.0][6].index("[=o=]") == 28
    assert lines[0.0][8] == "x +0.00 m, pole +0.0 degrees"


@pytest.mark.parametrize(("angle", "sign", "shift"), [(0.2, "/", 2), (-0.2, "\\", -2), (0.01, "|", 0)])
def test_the_pole_leans_to_the_side_it_falls_to(angle, sign, shift):
    pole = draw_cart((0.0, 0.0, angle, 0.0)).splitlines()[:6]
    assert all(line.strip() == sign for line in pole)
    assert pole[0].index(sign) - pole[5].index(sign) == shift


@pytest.mark.parametrize("x", [-2.5, 2.5])
def test_a_cart_beyond_the_track_can_be_drawn(x):
    assert len(draw_cart((x, 0.0, math.copysign(0.3, x), 0.0)).splitlines()) == 9
