"""SafeCab as a picture: what is drawn where, in a file and in a window."""

import copy
import os
import pickle
import subprocess
import sys
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.passive_env_checker import env_render_passive_checker
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.envs import _sprites as sprites
from rlbench.envs import drawing
from rlbench.envs.cities import generate_city, make_city
from rlbench.envs.drawing import Caption, CityPicture, Frame, Scene
from rlbench.errors import UsageError

SOUTH, NORTH, EAST, WEST, PICKUP, DROPOFF = range(6)
R, G, Y, B, TAXI = range(5)


@pytest.fixture
def dummy(monkeypatch):
    """A display that nobody sees."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def cab_env(mode="rgb_array", **arguments):
    return gym.make("rlbench/SafeCab-v0", render_mode=mode, **arguments)


def after(state, *actions, **arguments):
    """The picture after these actions."""
    env = cab_env(**arguments)
    env.reset(options={"state": env.unwrapped.encode(*state)})
    for action in actions:
        env.step(action)
    return env.render()


def square(pixels, row, col, picture):
    x, y = picture._pixel(col, row)
    return pixels[y : y + picture.square, x : x + picture.square]


def painted(city, scene, square=None):
    picture = CityPicture(make_city(city), square)
    frame = Frame(*picture.size)
    picture.paint(frame.picture, scene)
    return picture, frame.pixels()


def share_of(color, pixels):
    """How much of a picture has about this colour."""
    return float((np.abs(pixels.astype(int) - color[:3]).max(axis=-1) < 8).mean())


# ------------------------------------------------------------------ the picture


def test_a_picture_is_bytes_of_red_green_and_blue_with_a_strip_below():
    pixels = after((1, 1, TAXI, B))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (382 + drawing.STRIP, 382, 3)  # 5.3 squares of 72
    assert tuple(pixels[-1, 0]) == drawing.STRIP_GROUND


def test_a_picture_is_a_copy_and_the_same_state_looks_the_same():
    env = cab_env()
    env.reset(seed=0)
    first = env.render()
    second = env.render()
    assert np.array_equal(first, second)
    first[:] = 0
    assert np.array_equal(env.render(), second)


def test_zones_are_drawn_in_their_colours():
    picture, pixels = painted("book", Scene(2, 0, TAXI, B))
    for zone, color in {R: "R", G: "G", Y: "Y"}.items():
        _, row, col = picture.city.zones[zone]
        assert share_of(sprites.ZONES[color], square(pixels, row, col, picture)) > 0.25


def test_every_letter_has_a_colour():
    assert len({sprites.zone_color(letter) for letter in "RGYB"}) == 4
    assert all(len(sprites.zone_color(chr(code))) == 3 for code in range(ord("A"), ord("Z") + 1))


def test_the_cab_is_where_the_state_says_and_only_there():
    for row in range(5):
        picture, pixels = painted("book", Scene(row, 1, TAXI, B))
        found = [share_of(sprites.CAB, square(pixels, other, 1, picture)) > 0.05 for other in range(5)]
        assert found == [other == row for other in range(5)]


def test_the_cab_faces_where_it_drives():
    looks = [painted("book", Scene(2, 3, TAXI, B, heading))[1] for heading in range(4)]
    crops = [look[150:240, 215:320].tobytes() for look in looks]
    assert len(set(crops)) == 4
    east, west = looks[EAST], looks[WEST]
    picture = CityPicture(make_city("book"))
    glass = [share_of(sprites.GLASS, square(look, 2, 3, picture)[:, 36:]) for look in (east, west)]
    assert glass[0] > glass[1]  # the windscreen is larger than the rear window


@pytest.mark.parametrize("action", [SOUTH, NORTH, EAST, WEST])
def test_a_cab_that_was_blocked_faces_where_it_wanted_to_go(action):
    env = cab_env(city="1x2")
    env.reset(seed=0)
    env.step(action)
    assert env.unwrapped._screen._heading == action


def test_pickup_and_dropoff_do_not_turn_the_cab():
    env = cab_env()
    env.reset(options={"state": env.unwrapped.encode(1, 0, R, B)})
    for action in (NORTH, PICKUP, DROPOFF):
        env.step(action)
    assert env.unwrapped._screen._heading == NORTH


def test_a_waiting_passenger_wears_the_colour_of_the_destination_and_so_does_the_one_in_the_cab():
    picture, waiting = painted("book", Scene(2, 4, Y, R))
    assert share_of(sprites.ZONES["R"], square(waiting, 4, 0, picture)) > 0.04
    _, riding = painted("book", Scene(2, 4, TAXI, R))
    assert share_of(sprites.ZONES["R"], square(riding, 4, 0, picture)) == 0
    assert share_of(sprites.ZONES["R"], square(riding, 2, 4, picture)) > 0.01
    assert share_of(sprites.ZONES["R"], square(waiting, 2, 4, picture)) == 0


def test_the_flag_is_at_the_destination():
    without, there = (painted("book", Scene(2, 2, TAXI, destination)) for destination in (R, G))
    picture = there[0]
    for zone, row, col in ((R, 0, 0), (G, 0, 4)):
        a, b = (square(pixels, row, col, picture) for pixels in (without[1], there[1]))
        assert share_of(sprites.INK, a if zone == R else b) > share_of(sprites.INK, b if zone == R else a)


def test_anomalies_pulse_and_streets_do_not():
    picture, dim = painted("book", Scene(2, 4, TAXI, B, pulse=0.0))
    _, bright = painted("book", Scene(2, 4, TAXI, B, pulse=0.5))
    changed = (dim != bright).any(axis=-1)
    for row in range(5):
        for col in range(5):
            assert square(changed, row, col, picture).any() == ((row, col) in picture.city.anomalies)
    _, round_again = painted("book", Scene(2, 4, TAXI, B, pulse=1.0))
    assert np.array_equal(dim, round_again)


def test_walls_are_seen():
    picture, pixels = painted("taxi", Scene(4, 4, TAXI, B))
    x, y = picture._pixel(2, 0)  # the wall east of (0, 1)
    assert share_of(sprites.WARNING, pixels[y + 6 : y + 66, x - 3 : x + 3]) > 0.3


@given(st.integers(1, 60), st.integers(2, 60), st.integers(0, 50))
@settings(max_examples=15)
def test_any_city_is_drawn_with_all_its_zones_in_sight(rows, cols, seed):
    city = generate_city(rows, cols, seed)
    picture = CityPicture(city)
    frame = Frame(*picture.size)
    row, col = next(at for at in np.ndindex(rows, cols) if at not in city.letters) if rows * cols > 4 else (0, 0)
    picture.paint(frame.picture, Scene(row, col, len(city.zones), 0))
    assert max(picture.size) <= drawing.LARGEST_CITY * 1.1
    assert min(picture.size) >= picture.square
    for letter, _, _ in city.zones[1:]:
        assert (np.abs(frame.pixels().astype(int) - sprites.ZONES[letter]).max(axis=-1) < 12).sum() > 20


def test_in_a_large_city_letters_cab_and_flag_do_not_shrink_with_the_squares():
    picture = CityPicture(generate_city(50, 50, 0))
    assert picture.square == 16
    assert [picture._unit(what) for what in ("zone", "cab", "person", "flag")] == [16, 22, 24, 24]


def test_a_huge_city_still_fits():
    assert CityPicture(generate_city(300, 900, 0)).size == (900, 300)


def test_a_city_is_as_large_as_asked_for():
    assert drawing.square_for(make_city("book"), 530, 1000) == 100
    assert drawing.square_for(make_city("book"), 1, 1) == 1
    assert CityPicture(make_city("book"), 100).size == (530, 530)


# ------------------------------------------------------------------ the strip


def strips(*captions):
    frame, found = Frame(400, 10), []
    for caption in captions:
        frame.write(caption)
        found.append(frame.pixels()[10:].tobytes())
    return found


def test_the_strip_changes_with_each_thing_it_says():
    plain = Caption(3, -3.0, "North")
    others = [
        plain._replace(step=4),
        plain._replace(total=-4.0),
        plain._replace(action="South"),
        plain._replace(note="delivered"),
        plain._replace(note="delivered", color=drawing.GOOD),
    ]
    assert len(set(strips(plain, *others))) == 6
    assert strips(plain)[0] == strips(plain)[0]


def test_steps_and_return_are_counted_from_the_reset():
    env = cab_env()
    env.reset(options={"state": env.unwrapped.encode(0, 0, R, Y)})
    for action in (PICKUP, SOUTH, SOUTH, SOUTH, SOUTH, DROPOFF):
        env.step(action)
    assert env.unwrapped._screen._caption == Caption(6, 995.0, "Dropoff", "delivered", drawing.GOOD)
    env.reset(seed=1)
    assert env.unwrapped._screen._caption == Caption()


def test_an_anomaly_is_named():
    env = cab_env()
    env.reset(options={"state": env.unwrapped.encode(0, 1, G, Y)})
    env.step(EAST)
    assert env.unwrapped._screen._caption[3:] == ("anomaly", drawing.BAD)


# ------------------------------------------------------------------ the env


@pytest.mark.filterwarnings("ignore:.*not within the required range.*")
def test_gymnasiums_checks_of_env_and_rendering_pass(dummy):
    env = gym.make("rlbench/SafeCab-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    for mode in env.metadata["render_modes"]:
        made = cab_env(mode)
        made.reset(seed=0)
        env_render_passive_checker(made)
        made.close()


def test_every_frame_of_an_episode_can_be_collected():
    env = cab_env("rgb_array_list")
    env.reset(seed=0)
    for _ in range(3):
        env.step(NORTH)
    frames = env.render()
    assert len(frames) == 4
    assert len({frame.shape for frame in frames}) == 1


def test_record_video_writes_a_file(tmp_path):
    pytest.importorskip("moviepy", reason="RecordVideo needs moviepy")
    env = gym.wrappers.RecordVideo(cab_env(), str(tmp_path / "videos"), name_prefix="cab", disable_logger=True)
    env.reset(seed=0)
    for _ in range(3):
        env.step(NORTH)
    env.close()
    assert (tmp_path / "videos" / "cab-episode-0.mp4").stat().st_size > 1000


def test_human_rendering_shows_it(dummy):
    env = gym.wrappers.HumanRendering(cab_env())
    env.reset(seed=0)
    env.step(NORTH)
    assert env.window.get_size() == (382, 422)
    env.close()  # quits pygame, and with it the fonts that were in use
    assert after((2, 2, TAXI, B)).shape == (422, 382, 3)


def test_rendering_changes_nothing_of_what_the_env_does(dummy):
    lives = []
    for mode in (None, "rgb_array", "human"):
        env = cab_env(mode)
        env.unwrapped.metadata = {**env.unwrapped.metadata, "render_fps": 1000}
        lives.append([env.reset(seed=5)[0], *(env.step(action)[:4] for action in (0, 2, 4, 1))])
        env.close()
    assert lives[0] == lives[1] == lives[2]


def test_an_env_that_draws_can_be_copied_and_pickled():
    env = cab_env().unwrapped
    env.reset(seed=0)
    env.step(NORTH)
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):  # noqa: S301  (our own bytes)
        assert twin.step(SOUTH)[:2] == copy.deepcopy(env).step(SOUTH)[:2]
        assert twin.render().shape == (422, 382, 3)


def test_a_mode_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="render_mode must be None, 'human', 'rgb_array', 'ansi', got 'svg'"):
        gym.make("rlbench/SafeCab-v0").unwrapped.__class__(render_mode="svg")


# ------------------------------------------------------------------ the window


@pytest.fixture
def window(dummy, monkeypatch):
    """A human env, and the cab's place in each frame it showed."""
    env, places = cab_env("human"), []
    paint = CityPicture.paint
    monkeypatch.setattr(drawing.pygame.time, "Clock", Hasty)
    monkeypatch.setattr(
        CityPicture, "paint", lambda self, canvas, scene: places.append(scene) or paint(self, canvas, scene)
    )
    yield env, places
    env.close()


class Hasty:
    """A clock that does not wait."""

    def tick(self, _):
        return 0


def test_in_the_window_the_cab_moves_smoothly_from_square_to_square(window):
    env, places = window
    env.reset(options={"state": env.unwrapped.encode(2, 3, R, B)})
    assert len(places) == 1
    env.step(NORTH)
    rows = [scene.row for scene in places]
    assert len(rows) == 16  # a quarter of a second, 60 times a second
    assert rows == sorted(rows, reverse=True)
    assert (rows[0], rows[-1]) == (2, 1)
    assert max(a - b for a, b in pairwise(rows)) < 0.15
    assert {scene.col for scene in places} == {3}


def test_a_blocked_cab_bumps_and_comes_back(window):
    env, places = window
    env.reset(options={"state": env.unwrapped.encode(0, 3, R, B)})
    env.step(NORTH)
    rows = [scene.row for scene in places]
    assert min(rows) == pytest.approx(-drawing.BUMP, abs=0.01)
    assert rows[-1] == pytest.approx(0, abs=1e-9)


def test_waiting_actions_are_one_frame_and_render_draws_again(window):
    env, places = window
    env.reset(seed=0)
    env.step(PICKUP)
    assert env.render() is None
    assert len(places) == 3


def test_closing_the_window_lets_the_env_go_on(window):
    env, _ = window
    env.reset(seed=0)
    drawing.pygame.event.post(drawing.pygame.event.Event(drawing.pygame.QUIT))
    env.step(NORTH)
    assert not drawing.pygame.display.get_init()
    env.step(NORTH)
    env.close()
    env.close()


def run(program, **environment):
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    }
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, env={**kept, **environment}, capture_output=True, text=True, check=False)


MAKE = "import gymnasium as gym, rlbench; env = gym.make('rlbench/SafeCab-v0', render_mode={!r}); env.reset(seed=0)"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_without_a_display_a_window_is_refused_and_pixels_are_not():
    outcome = run(MAKE.format("human"))
    assert outcome.stderr.splitlines()[-1].startswith(
        "rlbench.envs.drawing.NoDisplayError: cannot open a window because there is no display: use --render ansi, "
    )
    outcome = run(MAKE.format("rgb_array") + "; print(env.render().shape)")
    assert (outcome.stdout, outcome.stderr) == ("(422, 382, 3)\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_a_display_that_does_not_answer_is_no_display():
    assert "NoDisplayError" in run(MAKE.format("human"), DISPLAY=":987").stderr.splitlines()[-1]


def test_without_pygame_the_extra_is_named():
    outcome = run("import sys; sys.modules['pygame'] = None; " + MAKE.format("rgb_array"))
    assert 'pip install "rlbench[viewer]"' in outcome.stderr.splitlines()[-1]


def test_text_needs_no_pygame():
    outcome = run(
        "import sys; sys.modules['pygame'] = None; " + MAKE.format("ansi") + "; print(len(env.render()) > 50)"
    )
    assert (outcome.stdout, outcome.stderr) == ("True\n", "")
