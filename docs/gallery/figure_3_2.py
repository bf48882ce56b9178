"""Figure 3.2: the values of the random policy in a gridworld with two prizes.

From A every action pays 10 and leads far down, from B it pays 5 and leads down a little; a step off the grid costs 1.
The random policy values A at less than 10, because it often leaves the grid from where A leads, and B at more than 5.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "A 8.8, B 5.3; from -2.0 to 8.8"
FALSE_ALARMS = 0
PRINTED = """
3.3 8.8 4.4 5.3 1.5
1.5 3.0 2.3 1.9 0.5
0.1 0.7 0.7 0.4 -0.4
-1.0 -0.4 -0.4 -0.6 -1.2
-1.9 -1.3 -1.2 -1.4 -2.0
"""

values = rlbench.policy_evaluation("gridworld", "uniform", gamma=0.9).values.reshape(5, 5)
ours = f"A {values[0, 1]:.1f}, B {values[0, 3]:.1f}; from {values.min():.1f} to {values.max():.1f}"
holds = np.array_equal(values.round(1), np.fromstring(PRINTED, sep=" ").reshape(5, 5))

figure, ax = plt.subplots(figsize=(3.6, 3.6))
ax.imshow(values, cmap="RdBu", vmin=-10, vmax=10)
for (row, column), value in np.ndenumerate(values):
    ax.text(column, row, f"{value:.1f}", ha="center", va="center")
ax.set(xticks=[], yticks=[])
figure.savefig(Path(__file__).with_suffix(".png"))
