"""Example 6.2: TD(0) against constant-alpha Monte Carlo on the random walk.

From the centre of five states an agent walks left or right at random; only the right end is worth 1. The true values
are 1/6 to 5/6. TD learns each value from the next one, Monte Carlo from how the episode ended, and TD is closer to
the truth.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "TD is better throughout: RMS error down to about 0.05, Monte Carlo to about 0.09"
FALSE_ALARMS = 1e-6
RUNS, EPISODES = 100, 100
RATES = {"td0": (0.15, 0.1, 0.05), "mc-prediction": (0.01, 0.02, 0.03, 0.04)}
MONTE_CARLO = {"average": "exponential", "visits": "every"}

figure, ax = plt.subplots()
least = {}
for agent, style, extra in (("td0", "-", {}), ("mc-prediction", "--", MONTE_CARLO)):
    for number, rate in enumerate(RATES[agent]):
        how = {"gamma": 1.0, "initial_value": 0.5, "learning_rate": rate, **extra}
        runs = rlbench.train_many("random-walk", agent, seeds=range(RUNS), episodes=EPISODES, agent_kwargs=how)
        error = np.mean([run.figures["value_error"] for run in runs], axis=0)
        ax.plot(np.arange(1, EPISODES + 1), error, style, color=f"C{number}", label=f"{agent}, {rate}")
        least[agent] = min(error.min(), least.get(agent, 1.0))

ours = f"TD down to {least['td0']:.3f}, Monte Carlo to {least['mc-prediction']:.3f}"
holds = least["td0"] < 0.06 and least["mc-prediction"] > least["td0"] + 0.02

ax.set(xlabel="episode", ylabel=f"RMS error, mean of {RUNS} runs", xlim=(0, EPISODES), ylim=(0, 0.25))
ax.legend(fontsize="small", ncols=2)
figure.savefig(Path(__file__).with_suffix(".png"))
