"""What the viewer shows when, without any window."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.viewer.playback import NORMAL, PLAYBACK_COMMANDS, SPEEDS, WINDOW_HELP, ZOOM, Bar, Playback

TABLE = np.array([[1.0, 5.0, 5.0], [0.0, -2.0, -3.0], [7.0, 8.0, 9.0], [0.0, 0.0, 0.0]])


class Clips(list):
    """Episodes of given lengths; their states go round the rows of the table."""

    def __init__(self, *lengths, table=TABLE, terminated=True, **other):
        super().__init__(clip(length, terminated=terminated, **other) for length in lengths)
        self.action_values = table
        self.no_values = "" if table is not None else "this run has learnt no values"


def clip(length, *, terminated, **other):
    episode = {
        "observations": np.arange(length + 1) % len(TABLE),
        "actions": np.arange(length) % 3,
        "rewards": np.arange(length, dtype=float),
        "terminated": terminated,
        "explored": np.arange(length) % 2 == 0,
    }
    return SimpleNamespace(
        title=f"{length} steps",
        episode=SimpleNamespace(**{**episode, **other}),
        captions=list(range(length + 1)),
        stage=SimpleNamespace(closest=2.0),
    )


def playback(*lengths, index=0, paused=True, **other):
    made = Playback(Clips(*(lengths or (10,)), **other), index, pace=4.0)
    if paused:
        made.toggle()
    return made


# ------------------------------------------------------------------ time


def test_it_plays_at_the_pace_of_the_env_from_the_start():
    shown = playback(10, paused=False)
    assert (shown.step, shown.is_playing) == (0, True)
    shown.advance(0.125)
    assert (shown.position, shown.step, shown.way, shown.decision) == (0.5, 1, 0.5, 0)
    shown.advance(0.125)
    assert (shown.position, shown.step, shown.way, shown.decision) == (1.0, 1, 1.0, 1)


def test_it_stops_at_the_end_and_begins_again_when_played():
    shown = playback(2, paused=False)
    shown.advance(60)
    assert (shown.step, shown.is_playing) == (2, False)
    shown.do("toggle")
    assert (shown.step, shown.is_playing) == (0, True)


def test_a_pause_ends_on_a_whole_step():
    shown = playback(10, paused=False)
    shown.advance(0.3)  # 1.2 steps
    shown.do("toggle")
    shown.advance(60)
    assert (shown.position, shown.is_playing) == (2.0, False)


@pytest.mark.parametrize(("presses", "speed"), [(1, 2), (2, 4), (-1, 0.5), (99, SPEEDS[-1]), (-99, SPEEDS[0])])
def test_speed_changes_by_halves_and_doubles_within_limits(presses, speed):
    shown = playback(1000, paused=False)
    for _ in range(abs(presses)):
        shown.do("faster" if presses > 0 else "slower")
    shown.advance(1.0)
    assert (shown.speed, shown.position) == (speed, 4 * speed)
    assert shown.notice == f"speed {speed:g}"
    shown.advance(10)
    assert not shown.notice


def test_an_episode_without_steps_is_at_its_end():
    shown = playback(0, paused=False)
    shown.advance(1.0)
    shown.do("forward")
    assert (shown.step, shown.length, shown.is_playing) == (0, 0, False)


# ------------------------------------------------------------------ steps


def test_a_step_forward_is_shown_as_motion_and_a_step_back_at_once():
    shown = playback()
    shown.do("forward")
    shown.advance(0.1)
    assert 0 < shown.position < 1
    shown.advance(10)
    assert shown.position == 1
    shown.do("back")
    assert shown.position == 0


def test_steps_that_are_asked_for_faster_than_they_are_shown_are_all_taken():
    shown = playback()
    for _ in range(4):
        shown.do("forward")
    shown.advance(10)
    assert shown.position == 4


@pytest.mark.parametrize("passed", [0.0, 0.1, 10.0])
def test_back_undoes_forward_whatever_is_shown_of_it(passed):
    shown = playback()
    shown.do("forward")
    shown.advance(10)
    shown.do("forward")
    shown.advance(passed)
    shown.do("back")
    shown.advance(10)
    assert shown.position == 1


@given(
    st.lists(st.sampled_from([*PLAYBACK_COMMANDS, "time", "seek"]), max_size=40), st.integers(0, 7), st.integers(0, 3)
)
@settings(max_examples=200)
def test_whatever_is_pressed_what_is_shown_exists(commands, length, seed):
    rng = np.random.default_rng(seed)
    shown = playback(length, 3, paused=False)
    for command in commands:
        if command == "time":
            shown.advance(float(rng.random()))
        elif command == "seek":
            shown.seek(float(rng.random() * 3 - 1))
        else:
            shown.do(command)
        assert 0 <= shown.position <= shown.length
        assert 0 <= shown.decision <= shown.step <= shown.length
        assert 0 < shown.way <= 1
        assert shown.caption == shown.step
        assert shown.bars() or shown.no_bars


@pytest.mark.parametrize(
    ("command", "step"), [("start", 0), ("end", 20), ("skip forward", 7), ("skip back", 3), ("back", 4)]
)
def test_jumps_are_at_once_and_pause(command, step):
    shown = playback(20, paused=False)
    shown.advance(1.25)  # 5 steps
    shown.do(command)
    assert (shown.position, shown.is_playing) == (step, False)


@pytest.mark.parametrize(("share", "step"), [(-1, 0), (0, 0), (0.26, 3), (0.5, 5), (1, 10), (7, 10)])
def test_scrubbing_goes_to_the_nearest_step(share, step):
    shown = playback(10, paused=False)
    shown.seek(share)
    assert (shown.position, shown.is_playing) == (step, False)


# ------------------------------------------------------------------ episodes


def test_next_and_previous_begin_another_episode_and_stop_at_the_first_and_last():
    shown = playback(3, 5, index=0)
    shown.do("next")
    assert (shown.index, shown.length, shown.step, shown.is_playing) == (1, 5, 0, True)
    shown.do("next")
    assert (shown.index, shown.notice) == (1, "this is the last episode")
    shown.do("previous")
    shown.do("previous")
    assert (shown.index, shown.notice) == (0, "this is the first episode")


# ------------------------------------------------------------------ action values


def test_bars_name_the_best_the_taken_and_the_explored():
    shown = playback()
    assert shown.bars() == [  # state 0, action 0, drawn
        Bar(0, 1.0, is_greedy=False, is_taken=True, is_explored=True),
        Bar(1, 5.0, is_greedy=True, is_taken=False, is_explored=False),  # of equals the first
        Bar(2, 5.0, is_greedy=False, is_taken=False, is_explored=False),
    ]
    shown.seek(0.1)
    assert [bar.is_taken for bar in shown.bars()] == [False, True, False]
    assert not any(bar.is_explored for bar in shown.bars())


def test_on_the_way_the_bars_are_of_the_state_where_the_action_was_chosen():
    shown = playback(paused=False)
    shown.advance(0.4)  # 1.6 steps
    assert shown.state == 1
    assert [bar.value for bar in shown.bars()] == TABLE[1].tolist()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"table": None}, "this run has learnt none"),
        ({"table": TABLE[:0]}, "none for this observation"),
        ({"observations": np.zeros((11, 4))}, "none for this observation"),
        ({"observations": {"a": np.zeros(11)}}, "none for this observation"),
    ],
)
def test_where_there_are_no_action_values_it_says_why(other, said):
    shown = playback(10, **other)
    assert (shown.bars(), shown.no_bars) == ([], said)


@pytest.mark.parametrize(("terminated", "said"), [(True, "the episode has ended"), (False, "")])
def test_where_nobody_acts_any_more_there_are_no_action_values(terminated, said):
    shown = playback(10, terminated=terminated)
    shown.do("end")
    assert (shown.no_bars, bool(shown.bars())) == (said, not terminated)


def test_an_episode_that_does_not_say_what_was_explored_explored_nothing():
    shown = playback(10, explored=None)
    assert not shown.explored.any()


# ------------------------------------------------------------------ switches


def test_switches_switch_on_and_off():
    shown = playback()
    for command, name in (("help", "help"), ("actions", "actions"), ("values", "values"), ("graphs", "graphs")):
        before = getattr(shown, f"shows_{name}")
        shown.do(command)
        assert getattr(shown, f"shows_{name}") is not before
        shown.do(command)
        assert getattr(shown, f"shows_{name}") is before


def test_values_that_are_not_there_are_said_to_be_missing():
    shown = playback(10, table=None)
    shown.do("values")
    assert shown.notice == "this run has learnt no values"


def test_a_zoom_goes_as_close_as_the_picture_and_no_further_out_than_all_of_it():
    shown = playback()
    seen = []
    for command in ("zoom in", "zoom in", "zoom out", "zoom out"):
        shown.do(command)
        seen.append(shown.zoom)
    assert seen == [ZOOM, 2.0, 2.0 / ZOOM, 1.0]
    shown.clip.stage.closest = 1.0
    shown.do("zoom in")
    assert (shown.zoom, shown.notice) == (1.0, "this picture has no more to show")


def test_quit_closes_help_first():
    shown = playback()
    shown.do("help")
    shown.do("quit")
    assert (shown.shows_help, shown.is_over) == (False, False)
    shown.do("quit")
    assert shown.is_over


def test_help_tells_every_command():
    assert SPEEDS[NORMAL] == 1.0
    assert len(WINDOW_HELP) == len({key for key, _ in WINDOW_HELP})
    told = " ".join(what for _, what in WINDOW_HELP)
    words = "play forward back start end faster slower next previous zoom graphs quit"
    assert [word for word in words.split() if word not in told] == []
