"""The viewer in a terminal: keys in, text out, in any size."""

import doctest
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from fcntl import ioctl

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from waiting import HANG, until

import rlbench
from rlbench.viewer import keyboard
from rlbench.viewer.keyboard import keys_in
from rlbench.viewer.terminal import TERMINAL_HELP, TERMINAL_KEYS, TerminalViewer, cropped, timeline
from rlbench.viewer.texts import stored_texts

UP = struct.Struct("HHHH")


def drawn(viewer):
    """What is on the screen now, as lines."""
    viewer.console.file = io.StringIO()
    viewer.console.print(viewer.picture())
    return viewer.console.file.getvalue().splitlines()


def opened(run, index=0, width=100, height=30):
    console = Console(file=io.StringIO(), width=width, height=height, highlight=False)
    clips = stored_texts(run, run.make_env())
    made = TerminalViewer(clips, index, 4.0, console)
    made.press("space")  # paused
    return made


# ------------------------------------------------------------------ keys


def test_the_example_of_keys_holds():
    assert doctest.testmod(keyboard).failed == 0
    assert doctest.testmod(keyboard).attempted == 1


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1b[A\x1b[B", ["up", "down"]),
        ("\x1bOA", ["up"]),
        ("\x1b[1~\x1b[4~\x1b[5~\x1b[6~", ["home", "end", "page up", "page down"]),
        ("q", ["q"]),
        ("\x1b", ["escape"]),
        ("\x1bq", ["escape", "q"]),
        ("\x1b[200~x", ["x"]),  # what is not known is left out
        ("\x1b[1;5C", []),
        ("+=-?", ["+", "=", "-", "?"]),
        ("", []),
    ],
)
def test_what_a_terminal_sends_becomes_keys(sent, keys):
    assert keys_in(sent) == keys


@given(st.text(max_size=30))
def test_whatever_is_typed_becomes_keys(text):
    assert all(keys_in(text))


# ------------------------------------------------------------------ the picture


def test_each_step_is_drawn_and_said(cab_run):
    viewer = opened(cab_run, 397)
    lines = drawn(viewer)
    assert lines[0].rstrip() == f"run {cab_run.id}, episode 397 of 59999: q-learning on rlbench/SafeCab-v0"
    assert "+---------+" in lines[1]
    viewer.press("right")
    viewer.playback.advance(1.0)
    assert any(line.startswith("step 1") for line in drawn(viewer))
    viewer.press("left")
    assert any(line.startswith("step 0") for line in drawn(viewer))


def test_the_arrows_up_and_down_scrub(cab_run):
    viewer = opened(cab_run, 397)
    length = viewer.playback.length
    viewer.press("down")
    assert viewer.playback.step == round(length / 10)
    viewer.press("end")
    viewer.press("up")
    assert viewer.playback.step == length - round(length / 10)


def test_action_values_stand_beside_the_city_and_can_be_put_away(cab_run):
    viewer = opened(cab_run, 397)
    assert any("Pickup" in line for line in drawn(viewer))
    viewer.press("a")
    assert not any("Pickup" in line for line in drawn(viewer))


def test_help_names_the_keys(cab_run):
    viewer = opened(cab_run)
    viewer.press("?")
    text = "\n".join(drawn(viewer))
    assert all(what in text for _, what in TERMINAL_HELP)
    viewer.press("x")  # means nothing
    assert viewer.playback.shows_help


@pytest.mark.parametrize("width", [1, 3, 20, 49, 50, 80, 300])
@pytest.mark.parametrize("height", [1, 6, 12, 60])
def test_it_fits_into_any_terminal(cab_run, cart_run, width, height):
    for run in (cab_run, cart_run):
        viewer = opened(run, 3, width, height)
        viewer.press("end")
        lines = drawn(viewer)
        assert len(lines) <= max(height, 12)
        assert max(map(len, lines)) <= width


def test_a_cart_is_drawn_from_its_bins_by_playing_it_again(cart_run):
    lines = drawn(opened(cart_run, 3))
    assert any("[=o=]" in line for line in lines)


def test_the_part_of_a_large_city_that_is_shown_has_the_cab_in_it():
    env = rlbench.envs.SafeCabEnv(city="40x60", render_mode="ansi")
    for row, col in ((0, 0), (39, 59), (20, 30), (39, 0)):
        env.reset(seed=0)
        env.s = env.encode(row, col, 0, 1)
        shown = cropped(env.render(), 31, 9, colors=False)
        lines = shown.plain.split("\n")
        assert len(lines) == 9
        assert max(map(len, lines)) <= 31
        assert shown.plain.count("@") == 1
        colored = cropped(env.render(), 31, 9)
        assert colored.plain.replace("@", " ") == shown.plain.replace("@", " ") or colored.spans


def test_no_color_is_heeded(cab_run, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\n".join(drawn(opened(cab_run, 397))).count("@") == 1


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 90))
@settings(max_examples=60)
def test_the_timeline_is_as_wide_as_the_terminal_and_marks_where_it_stands(length, step, width):
    class Stub:
        rewards = np.array([-1.0] * (length - 1) + [10.0] * bool(length))
        decision = min(step, length)

    Stub.length = length
    line = timeline(Stub(), width).plain
    assert len(line) == width
    assert line.index("O") == (round(Stub.decision / length * (width - 1)) if length else 0)
    if Stub.decision < length and line[-1] != "O":
        assert line[-1] == "+"


def test_every_key_has_its_meaning():
    from rlbench.viewer.playback import PLAYBACK_COMMANDS

    assert set(TERMINAL_KEYS.values()) <= set(PLAYBACK_COMMANDS)


# ------------------------------------------------------------------ a real terminal


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder, *arguments, size=(30, 100)):
        self._main, side = pty.openpty()
        self.resize(*size)
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONWARNINGS": "error"}
        for name in ("COLUMNS", "LINES", "NO_COLOR"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "rlbench", *arguments]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)
        self.text = ""

    def kill(self):
        """Ends what a failed test left running."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def resize(self, rows, columns):
        ioctl(self._main, termios.TIOCSWINSZ, UP.pack(rows, columns, 0, 0))

    def until(self, pattern):
        """Reads until something has been printed since the last time."""
        start = len(self.text)

        def printed():
            if select.select([self._main], [], [], 0.0)[0]:
                self.text += os.read(self._main, 65536).decode(errors="replace")
            return re.search(pattern, self.text[start:])

        until(printed, lambda: self.text[-3000:])

    def press(self, keys):
        os.write(self._main, keys.encode())

    def end(self):
        """Reads to the end; returns the exit code."""
        try:
            while True:
                self.text += os.read(self._main, 65536).decode(errors="replace")
        except OSError:  # the other side is closed
            pass
        os.close(self._main)
        return self.process.wait(timeout=HANG)


@pytest.fixture
def terminal():
    """A function that opens a Terminal."""
    made = []
    yield lambda *arguments: made.append(Terminal(*arguments)) or made[-1]
    for one in made:
        one.kill()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    rlbench.train("safecab", episodes=300, seed=0, store=path / "rlbench.db").store.close()
    return path


def test_on_a_real_terminal_the_arrows_step_and_q_leaves_it_as_it_was(terminal, folder):
    terminal = terminal(folder, "replay", "latest", "--episode", "worst")
    terminal.until("step 0")
    terminal.press(" ")
    terminal.until("paused")
    terminal.press("\x1b[H")
    terminal.until("step 0")
    terminal.press("\x1b[C\x1b[C")
    terminal.until("step 2")
    terminal.press("\x1b[D")
    terminal.until("step 1 ")
    terminal.resize(15, 60)
    terminal.until("step 1 ")
    terminal.press("n")
    terminal.until("this is the last episode|episode")
    terminal.press("q")
    assert terminal.end() == 0
    assert "\x1b[?1049h" in terminal.text  # a screen of its own, and back
    assert "\x1b[?1049l" in terminal.text
    assert "Traceback" not in terminal.text


def test_on_a_real_terminal_an_agent_is_watched_and_the_next_seed_follows(terminal, folder):
    terminal = terminal(folder, "watch", "safecab", "--seed", "4")
    terminal.until("seed 4")
    terminal.press("n")
    terminal.until("seed 5")
    terminal.press("\x1b[F")
    terminal.until("terminated|truncated")
    terminal.press("q")
    assert terminal.end() == 0


def test_on_a_real_terminal_a_person_drives_with_the_arrows(terminal, tmp_path):
    terminal = terminal(tmp_path, "play", "safecab", "--render", "ansi", "--seed", "0")
    terminal.until("step 0")
    terminal.press("\x1b[A\x1b[B")  # typed faster than it is drawn
    terminal.until("step 2")
    terminal.press("q")
    assert terminal.end() == 0
    with rlbench.open_store(tmp_path / "rlbench.db") as store:
        (episode,) = store.episodes("latest")
        assert episode.actions.tolist() == [1, 0]
