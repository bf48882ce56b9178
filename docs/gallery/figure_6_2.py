"""Figure 6.2: TD(0) and Monte Carlo under batch training, on the random walk.

After each episode all episodes so far are learnt from again and again, until nothing changes. Monte Carlo then has the
values that fit the returns best, TD those of the most likely Markov chain, and these predict the future better.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "batch TD consistently better than batch Monte Carlo"
FALSE_ALARMS = 1e-9
RUNS, EPISODES, TRUTH = 100, 100, np.arange(1, 6) / 6

errors = {"TD": np.zeros(EPISODES), "Monte Carlo": np.zeros(EPISODES)}
for run in rlbench.train_many("random-walk", "td0", seeds=range(RUNS), episodes=EPISODES):
    moves, won, visits = np.zeros((7, 7)), np.zeros(7), np.zeros(7)
    for number, episode in enumerate(run.store.episodes(run)):
        seen = episode.observations
        np.add.at(moves, (seen[:-1], seen[1:]), 1)  # how often each step was taken
        np.add.at(visits, seen[:-1], 1)
        np.add.at(won, seen[:-1], episode.total_return)  # the return of each visit, for nothing comes before the end
        met = visits[1:6] > 0
        chain = moves[1:6] / np.maximum(visits[1:6, None], 1)
        td = np.linalg.solve(np.eye(5) - chain[:, 1:6], chain[:, 6])
        for name, values in (("TD", td), ("Monte Carlo", won[1:6] / np.maximum(visits[1:6], 1))):
            errors[name][number] += np.sqrt(np.mean((np.where(met, values, 0.5) - TRUTH) ** 2)) / RUNS

figure, ax = plt.subplots()
for name, error in errors.items():
    ax.plot(np.arange(1, EPISODES + 1), error, label=f"batch {name}")
ours = f"in the end TD {errors['TD'][-1]:.3f}, Monte Carlo {errors['Monte Carlo'][-1]:.3f}"
holds = (errors["TD"][10:] < errors["Monte Carlo"][10:]).all()
ax.set(xlabel="episodes", ylabel=f"RMS error, mean of {RUNS} runs", ylim=(0, 0.25))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
