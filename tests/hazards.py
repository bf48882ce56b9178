"""An env that fails, or kills the process it is made in, when it is told to; for processes that import it by name."""

import multiprocessing
import os
import signal
from pathlib import Path

import gymnasium as gym
from gymnasium import spaces

ID = "hazards:Hazard-v0"


class Hazard(gym.Env):
    """Three steps, each with a reward of `reward`; `trap` is a file that kills the next process that makes the env."""

    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

    def __init__(self, reward=1.0, trap=""):
        self.reward = reward
        if trap and multiprocessing.parent_process() is not None and Path(trap).exists():
            if Path(trap).read_text() == "once":
                Path(trap).unlink()
            os.kill(os.getpid(), signal.SIGKILL)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return 0, {}

    def step(self, action):
        self.t += 1
        if self.reward > 2:
            raise RuntimeError("too much of a good thing")
        return 1, float(self.reward), self.t == 3, False, {}


gym.register("Hazard-v0", Hazard)
