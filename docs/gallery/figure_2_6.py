"""Figure 2.6: a parameter study of four bandit agents.

Each agent has a best value of its own parameter, and none is very sensitive about it. UCB does best.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "at their best between about 1.35 and 1.5, UCB first"
FALSE_ALARMS, RUNS, PULLS = 1e-3, 500, 1000
GREEDY = {"exploration_initial_eps": 0.0, "ties": "random"}
METHODS = {  # the powers of 2 that its parameter takes, and what it is
    "epsilon": (range(-7, -1), lambda x: {"learning_rate_schedule": "visits", "exploration_initial_eps": x}),
    "gradient: step size": (range(-5, 1), lambda x: {"method": "gradient", "learning_rate": x}),
    "UCB: c": (range(-4, 3), lambda x: {"learning_rate_schedule": "visits", "exploration": "ucb", "ucb_confidence": x}),
    "optimistic: initial value": (range(-2, 3), lambda x: {**GREEDY, "initial_value": x}),
}

figure, ax = plt.subplots()
best = {}
for name, (powers, parameters) in METHODS.items():
    means = []
    for power in powers:
        how = {"agent_kwargs": parameters(2.0**power), "episodes": PULLS, "record": "none"}
        runs = rlbench.train_many("bandit", "bandit", seeds=range(RUNS), **how)
        means.append(np.mean([run.returns.mean() for run in runs]))
    ax.plot(2.0 ** np.array(powers), means, label=name)
    best[name.partition(":")[0]] = max(means)

ours = ", ".join(f"{name} {mean:.2f}" for name, mean in best.items())
holds = best["UCB"] == max(best.values()) and min(best.values()) > 1.25
ax.set(xlabel="parameter", ylabel=f"mean reward of {PULLS:,} pulls")
ax.set_xscale("log", base=2)
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
