"""Figure 4.1: iterative policy evaluation on a small gridworld.

The random policy's values, sweep by sweep: every step costs 1 until a terminal corner is reached. Long before they
settle, the policy that is greedy in them is optimal, and does not change any more.
"""

from itertools import islice
from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib import pyplot as plt

import rlbench
from rlbench.planning import value_sweeps

BOOK = "in the end -14, -20 and -22 in the first row; the greedy policy is optimal from the third sweep on"
FALSE_ALARMS = 0

env = gym.make("rlbench/Gridworld-v0", grid="corners")
sweeps = list(islice(value_sweeps(env, "uniform"), 11))
limit = rlbench.policy_evaluation(env, "uniform").values
best = rlbench.plan(env).q_values
model = rlbench.envs.TabularModel.from_env(env)
steps = np.array([[model.P[s][a][0][1] for a in range(4)] for s in range(16)])
greedy = [np.where(np.arange(16)[:, None] % 15, values[steps], 0).argmax(axis=1) for values in (*sweeps, limit)]
good = [best[range(1, 15), policy[1:15]] == best[1:15].max(axis=1) for policy in greedy]
first = next(k for k in range(12) if all(map(np.all, good[k:])))
ours = f"in the end {limit[1]:.0f}, {limit[2]:.0f} and {limit[3]:.0f}; optimal from sweep {first} on"
holds = limit[1:4].round(6).tolist() == [-14, -20, -22] and first in range(4)

figure, axes = plt.subplots(2, 3, figsize=(6.4, 4.6))
for ax, k in zip(axes.flat, (0, 1, 2, 3, 10, None), strict=True):
    values = limit if k is None else sweeps[k]
    ax.imshow(values.reshape(4, 4), cmap="Blues_r", vmin=-30, vmax=0)
    for state, value in enumerate(values):
        ax.text(state % 4, state // 4, f"{value:.1f}", ha="center", va="center", fontsize=8)
    ax.set(xticks=[], yticks=[], title="k = \u221e" if k is None else f"k = {k}")
figure.savefig(Path(__file__).with_suffix(".png"))
