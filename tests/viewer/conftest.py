"""Runs and episodes to look at."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from needs import needed
from waiting import HANG, until

import rlbench
from rlbench.store import Episode


@pytest.fixture(scope="session")
def cab_run():
    """A SafeCab run that has learnt to drive."""
    return rlbench.train("safecab", seed=0, store=None)


@pytest.fixture(scope="session")
def cart_run():
    """A CartPole run of a few episodes."""
    return rlbench.train("cartpole", episodes=20, seed=0, store=None)


@pytest.fixture
def trip():
    """A short SafeCab episode: from R to Y, with a bump, and one exploratory action."""
    env = rlbench.envs.SafeCabEnv()
    states = [env.reset(options={"state": env.encode(0, 0, 0, 2)})[0]]
    actions, rewards = [1, 4, 0, 0, 0, 0, 5], []
    for action in actions:
        state, reward, *_ = env.step(action)
        states.append(state)
        rewards.append(reward)
    explored = np.array([True, False, False, False, False, False, False])
    return Episode(0, np.array(states), np.array(actions), np.array(rewards), True, False, explored)


@pytest.fixture
def dummy(monkeypatch):
    """A display in memory."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


# ------------------------------------------------------------------ a screen, and somebody who presses keys


class Screen:
    """A private display in memory, with the keys and the mouse of `xdotool`."""

    def __init__(self, number):
        self.name = f":{number}"
        self.environment = {**os.environ, "DISPLAY": self.name, "SDL_VIDEODRIVER": "x11"}

    def tool(self, *arguments):
        """Runs xdotool; returns what it says."""
        command = ["xdotool", *map(str, arguments)]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=HANG
        ).stdout.strip()

    def window(self, process=None):
        """Waits for the window of a process, else of this one, gives it the keys, and returns its number."""
        return until(lambda: self._focused(process), "no window was opened")

    def _focused(self, process):
        """Returns the number of the window that has the keys now; None while it is opened, or opened anew."""
        assert process is None or process.poll() is None, f"it ended without a window: {process.communicate()}"
        with suppress(subprocess.CalledProcessError):
            pid = os.getpid() if process is None else process.pid
            number = self.tool("search", "--onlyvisible", "--pid", pid).splitlines()[-1]
            self.tool("windowfocus", "--sync", number)
            return number
        return None

    def close(self, number):
        """Asks a window to close, as a click on its cross does."""
        program = [sys.executable, Path(__file__).with_name("close_window.py"), number]
        subprocess.run(program, env=self.environment, check=True, timeout=HANG)

    def press(self, *keys):
        """Presses keys, one after another."""
        self.tool("key", "--delay", 20, *keys)


@pytest.fixture(scope="session")
def _xvfb():
    needed("Xvfb", "xdotool")
    reader, writer = os.pipe()
    # -noreset: else, when its last client leaves, it begins anew and refuses those who come meanwhile
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1400x1000x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as said:
        number = said.readline().strip()
    assert number, "Xvfb did not start"
    yield number
    server.terminate()
    server.wait()


@pytest.fixture
def screen(_xvfb, monkeypatch):
    """A screen on which this process opens its windows."""
    from rlbench.envs._pygame import pygame

    pygame.display.quit()
    monkeypatch.setenv("DISPLAY", f":{_xvfb}")
    monkeypatch.setenv("SDL_VIDEODRIVER", "x11")
    yield Screen(_xvfb)
    pygame.display.quit()
