"""Figure 3.5: the optimal values and policies of the gridworld with two prizes.

Whoever acts well goes back to A again and again, ten for each round of five steps: A is worth 10 / (1 - 0.9^5), and
every square more than the random policy gets anywhere. Where several arrows stand, they are equally good.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "A 24.4, B 19.4; from 11.7 to 24.4"
FALSE_ALARMS = 0
PRINTED = """
22.0 24.4 22.0 19.4 17.5
19.8 22.0 19.8 17.8 16.0
17.8 19.8 17.8 16.0 14.4
16.0 17.8 16.0 14.4 13.0
14.4 16.0 14.4 13.0 11.7
"""
ARROWS = np.array(["\u2191", "\u2192", "\u2193", "\u2190"])

plan = rlbench.policy_iteration("gridworld", gamma=0.9)
values = plan.values.reshape(5, 5)
best = plan.q_values >= plan.values[:, None] - 1e-9
ours = f"A {values[0, 1]:.1f}, B {values[0, 3]:.1f}; from {values.min():.1f} to {values.max():.1f}"
holds = np.array_equal(values.round(1), np.fromstring(PRINTED, sep=" ").reshape(5, 5))

figure, axes = plt.subplots(1, 2)
for ax, texts in zip(axes, ([f"{v:.1f}" for v in plan.values], ["".join(ARROWS[row]) for row in best]), strict=True):
    ax.imshow(values, cmap="Blues", vmin=5, vmax=40)
    for state, text in enumerate(texts):
        ax.text(state % 5, state // 5, text, ha="center", va="center")
    ax.set(xticks=[], yticks=[])
figure.savefig(Path(__file__).with_suffix(".png"))
