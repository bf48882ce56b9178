"""Figure 2.1: a bandit of the 10-armed testbed.

The mean of each arm is drawn from N(0, 1), and each pull from N(mean, 1). An agent sees pulls alone.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib import pyplot as plt

import rlbench  # noqa: F401  (registers the env)

BOOK = "ten normal distributions of variance 1, whose means are normal with variance 1"
FALSE_ALARMS = 1e-6

env = gym.make("rlbench/Bandit-v0")
rewards, means = [], []
for seed in range(200):
    env.reset(seed=seed)
    means.extend(env.unwrapped.values)
    env.reset()
    rewards.append(env.step(0)[1] - env.unwrapped.values[0])
env.reset(seed=1)
pulls = [[env.step(arm)[1] for _ in range(500)] for arm in range(10) if env.reset()]

ours = f"the variance of 2,000 means is {np.var(means):.2f}, that of the rewards around them {np.var(rewards):.2f}"
holds = abs(np.var(means) - 1) < 0.16 and abs(np.var(rewards) - 1) < 0.5

figure, ax = plt.subplots()
ax.violinplot(pulls, positions=range(1, 11), showextrema=False)
ax.plot(range(1, 11), env.unwrapped.values, "_", color="C1", markersize=18, label="mean of the arm")
ax.set(xlabel="arm", ylabel="reward", xticks=range(1, 11))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
