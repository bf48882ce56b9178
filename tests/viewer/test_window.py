"""The viewer's window, on a real screen in memory, with real key presses."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import waiting

import rlbench
from rlbench.envs._pygame import pygame
from rlbench.envs.drawing import SCREEN_SHARE, STRIP, shrunk
from rlbench.envs.making import make_env
from rlbench.store import open_store
from rlbench.viewer import panels, window
from rlbench.viewer.clips import LiveClips, StoredClips
from rlbench.viewer.playing import BAR_HEIGHT, comfortable
from rlbench.viewer.rides import random_ride
from rlbench.viewer.window import GRAPHS, PANEL, TIMELINE, WINDOW_SIZE, Viewer

LONG = 397  # an episode of a hundred steps
NEVER = (10**9, 1)  # when a key that is held down repeats: on a busy machine a key press can take long
PROGRAM = f"""
import sys
from rlbench.cli import main
from rlbench.viewer import playing, window
playing.DRIVING_REPEAT = window.KEY_REPEAT = {NEVER}
main(sys.argv[1:])
"""


@pytest.fixture
def clips(cab_run):
    return StoredClips(cab_run)


@pytest.fixture
def viewer(screen, clips, monkeypatch):
    monkeypatch.setattr(window, "KEY_REPEAT", NEVER)
    made = Viewer(clips, LONG)
    made.playback.toggle()  # paused at the start: time does not pass by itself
    made.turn(0.0)
    screen.window()
    yield made
    made.close()


def until(viewer, holds):
    """Lets the viewer handle events, without time passing, until a condition holds."""
    waiting.until(lambda: viewer.turn(0.0) or holds(), "the keys did not arrive")


def pressed(screen, viewer, *keys):
    """Presses keys, and lets the viewer handle them all."""
    seen = []
    handle = viewer.handle
    viewer.handle = lambda event: seen.append(event.type) or handle(event)
    screen.press(*keys)
    until(viewer, lambda: seen.count(pygame.KEYUP) >= len(keys))
    viewer.handle = handle
    viewer.turn(1.0)


def picture(viewer):
    return pygame.surfarray.array3d(viewer.screen).swapaxes(0, 1)


def colors(viewer):
    """How many colours the picture has."""
    return len(np.unique(picture(viewer).astype(int) @ [65536, 256, 1]))


# ------------------------------------------------------------------ keys


def test_the_arrows_step_forward_and_exactly_back(screen, viewer):
    before = picture(viewer)
    pressed(screen, viewer, "Right", "Right", "Right")
    assert (viewer.playback.position, viewer.playback.is_playing) == (3.0, False)
    third = picture(viewer)
    pressed(screen, viewer, "Right", "Left")
    assert viewer.playback.position == 3.0
    city = np.s_[: WINDOW_SIZE[1] - TIMELINE - STRIP]
    assert np.array_equal(viewer.playback.state, viewer.playback.clip.episode.observations[3])
    assert not np.array_equal(third[city], before[city])


def test_space_plays_and_pauses(screen, viewer):
    pressed(screen, viewer, "space")
    assert viewer.playback.is_playing
    pressed(screen, viewer, "space")
    assert not viewer.playback.is_playing
    assert viewer.playback.position > 0


def test_home_and_end_jump(screen, viewer):
    pressed(screen, viewer, "End")
    assert viewer.playback.step == viewer.playback.length
    pressed(screen, viewer, "Home")
    assert viewer.playback.step == 0
    pressed(screen, viewer, "Next", "Next")
    assert viewer.playback.step == 2 * max(1, round(viewer.playback.length / 10))


def test_n_and_p_change_the_episode(screen, viewer, clips):
    pressed(screen, viewer, "n")
    assert viewer.playback.index == LONG + 1
    assert np.array_equal(viewer.playback.rewards, clips[LONG + 1].episode.rewards)
    pressed(screen, viewer, "p", "p")
    assert viewer.playback.index == LONG - 1


@pytest.mark.parametrize(("key", "speed"), [("plus", 2), ("equal", 2), ("KP_Add", 2), ("minus", 0.5)])
def test_plus_and_minus_change_the_speed(screen, viewer, key, speed):
    pressed(screen, viewer, key)
    assert viewer.playback.speed == speed


def test_the_panels_are_switched(screen, viewer):
    pressed(screen, viewer, "a", "v")
    assert (viewer.playback.shows_actions, viewer.playback.shows_values) == (False, True)
    assert viewer.picture_box().width == WINDOW_SIZE[0]


def test_question_mark_shows_help_and_escape_hides_it_before_it_quits(screen, viewer):
    pressed(screen, viewer, "question")
    assert viewer.playback.shows_help
    pressed(screen, viewer, "Escape")
    assert (viewer.playback.shows_help, viewer.playback.is_over) == (False, False)
    pressed(screen, viewer, "Escape")
    assert viewer.playback.is_over


def test_q_quits(screen, viewer):
    pressed(screen, viewer, "q")
    assert viewer.playback.is_over


def test_closing_the_window_quits(screen, viewer):
    screen.close(screen.window())
    until(viewer, lambda: viewer.playback.is_over)


# ------------------------------------------------------------------ mouse and size


def test_dragging_on_the_timeline_scrubs(screen, viewer):
    number = screen.window()
    box = viewer.timeline_box()
    left, right = panels.timeline_ends(box.width)
    screen.tool("mousemove", "--window", number, left, box.centery, "mousedown", 1)
    screen.tool("mousemove", "--window", number, (left + right) // 2, box.centery)
    half = round(viewer.playback.length / 2)
    until(viewer, lambda: abs(viewer.playback.step - half) <= 1)
    screen.tool("mousemove", "--window", number, right + 200, box.centery, "mouseup", 1)
    until(viewer, lambda: viewer.playback.step == viewer.playback.length)
    screen.tool("mousemove", "--window", number, left, box.centery)
    pressed(screen, viewer, "h")  # comes after the move, which no longer drags
    assert viewer.playback.step == viewer.playback.length


@pytest.mark.parametrize("size", [(700, 500), (300, 200), (1300, 900), (640, 900)])
def test_the_window_can_be_resized(screen, viewer, size):
    screen.tool("windowsize", screen.window(), *size)
    until(viewer, lambda: viewer.screen.get_size() == size)
    viewer.turn(0.0)
    width = max(size[0], window.LEAST[0])
    assert viewer.panel_width() == (PANEL if width >= window.LEAST_WITH_PANEL else 0)
    shown = viewer.playback.clip.stage.size
    assert shown[0] <= viewer.picture_box().width
    assert shown[1] <= viewer.picture_box().height - STRIP
    assert colors(viewer) > 20


@pytest.mark.parametrize(
    ("desktop", "size", "pixel"),
    [
        ((1366, 768), (1040, 691), 1),
        ((1920, 1080), (1040, 800), 1),
        ((2880, 1800), (1733, 1333), 2),
        ((3840, 2160), (2080, 1600), 2),
        ((800, 600), (720, 540), 1),
    ],
)
def test_the_window_is_sized_to_the_screen(desktop, size, pixel):
    room = tuple(int(side * SCREEN_SHARE) for side in desktop)
    assert window.window_size(room) == (size, pixel)
    driven = (comfortable(make_env("safecab", {"city": "60x60"}).unwrapped, room) * 60, room[1])
    assert driven[0] <= room[1] - STRIP - BAR_HEIGHT
    assert shrunk((800, 840), room)[1] <= room[1]


def test_on_a_screen_of_many_pixels_everything_is_drawn_larger(screen, clips, monkeypatch):
    monkeypatch.setattr(window, "SCREEN_HEIGHT", 500)
    made = Viewer(clips, LONG)
    made.playback.toggle()
    made.turn(0.0)
    shown = pygame.display.get_surface()
    assert shown.get_size() == tuple(2 * side for side in made.screen.get_size())
    assert np.array_equal(pygame.surfarray.array3d(shown)[::2, ::2], pygame.surfarray.array3d(made.screen))
    x = 2 * panels.timeline_ends(made.timeline_box().width)[1]
    made.handle(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(x, 2 * made.timeline_box().centery)))
    assert made.playback.step == made.playback.length
    made.close()


def test_a_large_city_is_zoomed_by_the_wheel_and_follows_the_cab(screen):
    made = Viewer(LiveClips(random_ride("safecab", {"city": "60x60"})))
    made.playback.toggle()
    made.turn(0.0)
    stage, whole = made.playback.clip.stage, made.playback.clip.stage.size
    made.handle(pygame.event.Event(pygame.MOUSEWHEEL, y=1))
    made.turn(0.0)
    assert stage.size[1] > 1.4 * whole[1]
    room = made.picture_box().width, made.picture_box().height - STRIP
    view = window.view_of(stage.size, room, stage.focus(0))
    assert view.collidepoint(stage.focus(0))
    assert view.height == room[1]
    made.handle(pygame.event.Event(pygame.MOUSEWHEEL, y=-1))
    made.turn(0.0)
    assert stage.size == whole
    made.close()


# ------------------------------------------------------------------ what is drawn


def test_a_reward_of_zero_is_neither_good_nor_bad_on_the_timeline():
    surface = pygame.Surface((300, 60))
    playback = SimpleNamespace(rewards=np.array([-1.0, 0.0, 1.0]), explored=np.zeros(3, bool), length=3)
    panels._draw_rewards(surface, playback, 0, 300, 30)
    bars = [pygame.surfarray.array3d(surface)[x - 8 : x].reshape(-1, 3) for x in (100, 200, 300)]
    drawn = [{tuple(color) for color in bar[bar.any(axis=1)].tolist()} for bar in bars]
    assert drawn == [{panels.BAD}, {panels.STRIP_NAME}, {panels.GOOD}]


def test_the_state_values_lie_over_the_city_and_their_colours_are_explained(viewer):
    plain = picture(viewer)
    viewer.playback.do("values")
    viewer.turn(0.0)
    veiled = picture(viewer)
    city = viewer.picture_box()
    assert (plain != veiled)[: city.height - STRIP, : city.width].any(axis=-1).mean() > 0.4
    assert (plain != veiled)[-TIMELINE - 80 : -TIMELINE, city.width :].any()


def test_the_title_of_the_window_names_the_run(viewer, cab_run):
    named = f"run {cab_run.id}, episode {LONG} of 59999: q-learning on rlbench/SafeCab-v0 - rlbench"
    assert pygame.display.get_caption()[0] == named


def test_the_strip_says_what_the_agent_did(viewer):
    strip = np.s_[viewer.picture_box().height - STRIP : viewer.picture_box().height, : viewer.picture_box().width]
    first = picture(viewer)[strip]
    viewer.playback.do("forward")
    viewer.turn(1.0)
    assert not np.array_equal(picture(viewer)[strip], first)


def test_a_cart_has_graphs_below_it_that_can_be_put_away(screen, cart_run):
    made = Viewer(StoredClips(cart_run), 3)
    made.playback.toggle()
    made.turn(0.0)
    assert made.graphs_height() == GRAPHS
    with_graphs = made.picture_box().height
    made.playback.do("graphs")
    made.turn(0.0)
    assert made.picture_box().height == with_graphs + GRAPHS
    made.close()


def test_stepping_back_in_a_cart_shows_the_very_same_picture(screen, cart_run):
    made = Viewer(StoredClips(cart_run), 3)
    made.playback.do("start")
    seen = []
    for command in [*["forward"] * 4, *["back"] * 4]:
        made.turn(1.0)
        seen.append(picture(made)[: made.picture_box().bottom].tobytes())
        made.playback.do(command)
    made.turn(1.0)
    seen.append(picture(made)[: made.picture_box().bottom].tobytes())
    assert seen == seen[::-1]
    assert len(set(seen)) == 5
    made.close()


@pytest.mark.filterwarnings("ignore:.*the stored steps of run")
def test_a_run_whose_env_is_not_installed_is_shown_as_text(screen, cab_run):
    store = open_store("memory://")
    made = store.create_run("rlbench/SafeCab-v9", "q-learning", seed=0, config=cab_run.record.config)
    store.append(made.id, next(iter(cab_run.store.chunks(cab_run.id))), status="finished")
    viewer = Viewer(StoredClips(rlbench.load_run(store, made.id)), 0)
    viewer.turn(0.5)
    assert colors(viewer) > 20
    viewer.close()


# ------------------------------------------------------------------ the commands


def started(screen, folder, *arguments):
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=screen.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def folder(tmp_path):
    rlbench.train("safecab", episodes=300, seed=0, store=tmp_path / "rlbench.db").store.close()
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [("replay", "latest", "--render", "human"), ("watch", "safecab", "--render", "human")]
)
def test_a_command_opens_the_window_and_ends_with_it(screen, folder, arguments):
    process = started(screen, folder, *arguments)
    screen.window(process)
    screen.press("Right", "v", "n", "q")
    out, err = process.communicate(timeout=waiting.HANG)
    assert (process.returncode, err) == (0, "")
    assert len(out.splitlines()) == 1


def test_what_was_driven_by_hand_is_stored(screen, tmp_path):
    process = started(screen, tmp_path, "play", "safecab", "--seed", "0")
    screen.window(process)
    screen.press("Up", "Down", "p", "Return", "Left", "q")
    out, err = process.communicate(timeout=waiting.HANG)
    assert (process.returncode, err.count("\n")) == (0, 1)
    assert err.startswith("rlbench.db: audit head ")
    with open_store(tmp_path / "rlbench.db") as store:
        run = rlbench.load_run(store, "latest")
        assert [episode.actions.tolist() for episode in store.episodes(run.id)] == [[1, 0, 4], [3]]
        assert (run.agent_name, run.record.tags, run.status, run.seed) == ("human", ("human",), "finished", 0)
        assert rlbench.verify(run).mismatched == 0
    assert out.splitlines()[0] == f"run {run.id}: 2 episodes, 4 steps, tagged human"


def test_closing_the_window_in_the_middle_of_an_episode_loses_nothing(screen, tmp_path):
    process = started(screen, tmp_path, "play", "safecab", "--seed", "0")
    number = screen.window(process)
    screen.press("Up", "Down", "Down")
    screen.close(number)
    process.communicate(timeout=waiting.HANG)
    with open_store(tmp_path / "rlbench.db") as store:
        (episode,) = store.episodes("latest")
        assert episode.actions.tolist() == [1, 0, 0]
        assert (episode.terminated, episode.truncated) == (False, False)


def test_a_killed_viewer_leaves_the_store_as_it_was(screen, folder):
    with open_store(folder / "rlbench.db") as store:
        before = [episode.rewards.tolist() for episode in store.episodes("latest")]
    process = started(screen, folder, "replay", "latest", "--render", "human")
    screen.window(process)
    process.kill()
    process.communicate(timeout=waiting.HANG)
    with open_store(folder / "rlbench.db") as store:
        assert [episode.rewards.tolist() for episode in store.episodes("latest")] == before


def test_without_a_display_the_other_ways_are_offered(folder):
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")}
    command = [sys.executable, "-m", "rlbench", "replay", "latest", "--render", "human"]
    result = subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, check=False, timeout=waiting.HANG
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no display: use --render ansi, or --out FILE" in result.stderr
