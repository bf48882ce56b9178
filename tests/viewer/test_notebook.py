"""What a notebook shows of episodes and runs."""

import base64
import io
import re
import sys
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import rlbench
from rlbench.viewer.notebook import MOST_FRAMES, TABLE_ROWS, episode_html

CAB = gym.spec("rlbench/SafeCab-v0").to_json()


@pytest.fixture
def known(trip):
    """The trip, with the env it was recorded in."""
    return replace(trip, env_spec=CAB)


def sheet_of(html):
    data = re.search(r"data:image/png;base64,([\w+/=]+)", html).group(1)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_an_episode_is_a_player_with_a_frame_for_each_step(known):
    html = known._repr_html_()
    assert f'max="{len(known)}"' in html
    width, height = map(int, re.search(r"width:(\d+)px;height:(\d+)px", html).groups())
    assert sheet_of(html).size == (3 * width, 3 * height)  # 8 frames
    assert "http" not in html
    assert len(html) < 150_000


def test_the_frames_are_those_of_the_files(known, dummy):
    from rlbench.viewer.notebook import PLAYER_SIDE
    from rlbench.viewer.stages import CityStage, captions, frames

    env = rlbench.envs.SafeCabEnv()
    wanted = list(frames(CityStage(env, known), captions(env, known), PLAYER_SIDE))
    sheet = np.asarray(sheet_of(episode_html(known)).convert("RGB")).astype(int)
    height, width, _ = wanted[0].shape
    for k, frame in enumerate(wanted):
        found = sheet[k // 3 * height :, k % 3 * width :][:height, :width]
        assert np.abs(found - frame).mean() < 6  # few colours


def test_of_a_long_episode_some_frames_are_left_out_but_never_the_ends(known):
    steps = 400
    there_and_back = replace(
        known,
        observations=np.resize(known.observations[:2], steps + 1),
        actions=np.zeros(steps, int),
        rewards=np.full(steps, -1.0),
        terminated=False,
        truncated=True,
        explored=None,
    )
    html = episode_html(there_and_back)
    assert f'max="{MOST_FRAMES - 1}"' in html


def test_an_episode_whose_env_nobody_knows_is_a_table(trip):
    html = episode_html(trip)
    assert "<img" not in html
    assert html.count("<tr>") == len(trip) + 2
    assert "return 994, terminated" in html
    assert html.count("(exploring)") == 1
    assert "the env of this episode is unknown" in html


def test_a_long_table_says_what_it_leaves_out(trip):
    steps = TABLE_ROWS + 7
    long = replace(
        trip, observations=np.arange(steps + 1), actions=np.zeros(steps), rewards=np.zeros(steps), explored=None
    )
    assert "7 more steps" in episode_html(long)


@pytest.mark.parametrize("spec", ["{}", CAB.replace("rlbench.envs.safecab", "elsewhere")])
def test_an_env_that_cannot_be_made_leaves_a_table_with_the_reason(trip, spec):
    assert re.search(r"stored spec (is unreadable|names the entry_point)", episode_html(replace(trip, env_spec=spec)))


def test_without_the_extra_an_episode_is_a_table_that_names_it(known, monkeypatch):
    for name in ("rlbench.envs.drawing", "rlbench.envs._pygame"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "pygame", None)
    assert "pip install &quot;rlbench[viewer]&quot;" in known._repr_html_()


def test_what_an_observation_says_is_not_markup(trip):
    text = np.array(["<script>"] * len(trip.observations))
    assert "<script>" not in episode_html(replace(trip, observations=text))


def test_a_run_shows_its_learning_curve(cab_run):
    html = cab_run._repr_html_()
    assert cab_run.id in html
    assert "<img" in html


def test_an_episode_read_from_a_store_knows_the_env_it_is_drawn_in(cab_run):
    every = cab_run.store.episodes(cab_run.id)
    for episode in (every[0], every[:3][1], cab_run.store.episodes(cab_run.id, [5])[0]):
        assert episode.env_spec == cab_run.record.config.env.spec
        assert "SafeCab-v0" in episode.env_spec
