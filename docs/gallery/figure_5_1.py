"""Figure 5.1: the value of sticking on 20 or 21 alone, in blackjack.

Monte Carlo prediction averages the returns that followed each state. Without a usable ace the estimates settle
sooner, for such hands are more common.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "high at 20 and 21, below 0 elsewhere; after 10,000 games rough, after 500,000 smooth"
FALSE_ALARMS = 1e-6
STICK_ON_20 = (np.arange(704) // 22 < 20).astype(int)  # states: sum 0..31, dealer 0..10, usable ace or not

figure, axes = plt.subplots(2, 2, figsize=(6.4, 6), sharex=True, sharey=True)
rough = {}
for column, episodes in enumerate((10_000, 500_000)):
    how = {"episodes": episodes, "record": "none", "agent_kwargs": {"gamma": 1.0, "policy": STICK_ON_20}}
    values = rlbench.train("Blackjack-v1", "mc-prediction", seed=0, **how).agent.state_values.reshape(32, 11, 2)
    for row, name in enumerate(("no usable ace", "usable ace")):
        shown = values[12:22, 1:, row]
        image = axes[row, column].pcolormesh(range(1, 11), range(12, 22), shown, vmin=-1, vmax=1, cmap="RdBu")
        axes[row, column].set_title(f"{name}, {episodes:,} games", fontsize="medium")
    rough[episodes] = np.abs(np.diff(values[12:20, 2:, 1], axis=0)).mean()

ours = f"20 and 21: {values[20:22, 1:].mean():.2f} on average, below: {values[12:20, 1:].mean():.2f}"
holds = values[20:22, 1:].min() > 0 > values[12:20, 1:].max() and rough[10_000] > 2 * rough[500_000]

figure.colorbar(image, ax=axes, label="value")
figure.supxlabel("dealer's card (1: ace)")
figure.supylabel("player's sum")
figure.savefig(Path(__file__).with_suffix(".png"))
