"""Figure 5.2: the best policy in blackjack, found by Monte Carlo control.

Each player's sum and dealer's card needs a decision, and ten million games at random are enough to learn all of them.
It is the basic strategy of Thorp (1966): hit below 17, but below 12 or 13 alone against a weak card of the dealer.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "stick from 17, against 4 to 6 from 12, against 2 and 3 from 13; a usable ace: from 18 or 19"
FALSE_ALARMS = 0.01  # that more than two of the closest decisions come out the other way

how = {"gamma": 1.0, "exploration_schedule": "constant", "exploration_initial_eps": 1.0}
run = rlbench.train(
    "Blackjack-v1", "off-policy-mc-control", seed=0, episodes=10_000_000, record="none", agent_kwargs=how
)
hits = run.agent.greedy_policy().reshape(32, 11, 2)[12:22, 1:]  # sums, dealer's cards, usable ace or not

sums, dealer = np.mgrid[12:22, 1:11]
plain = np.where((dealer >= 4) & (dealer <= 6), 12, np.where((dealer == 2) | (dealer == 3), 13, 17))
thorp = np.stack([sums < plain, sums < np.where((dealer >= 2) & (dealer <= 8), 18, 19)], axis=2)
different = int((hits != thorp).sum())
ours = f"{200 - different} of 200 decisions alike"
holds = different <= 2

figure, axes = plt.subplots(1, 2, sharey=True)
for ax, name, column in zip(axes, ("no usable ace", "usable ace"), (0, 1), strict=True):
    ax.pcolormesh(range(1, 11), range(12, 22), hits[:, :, column], cmap="Pastel1", edgecolors="white")
    ax.set(title=name, xlabel="dealer's card (1: ace)", yticks=range(12, 22), xticks=range(1, 11))
    ax.text(5.5, 20, "stick", ha="center", va="center")
    ax.text(8.5, 13, "hit", ha="center", va="center")
axes[0].set(ylabel="player's sum")
figure.savefig(Path(__file__).with_suffix(".png"))
