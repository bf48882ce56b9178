"""Figure 6.3: interim and asymptotic performance on the cliff walk, by learning rate.

Expected Sarsa is ahead at every learning rate, and may learn at a rate of 1 without losing anything in the long run:
all chance comes from the policy, over which it takes the expectation. Sarsa does well in the long run at small rates
only.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "in the long run at a rate of 1, expected Sarsa about -22, Q-learning -50, Sarsa far below"
FALSE_ALARMS = 1e-6  # each comparison is of means that are 5 standard errors apart or more
RATES, RUNS = np.linspace(0.1, 1, 10).round(1), range(100)
EPISODES = {"asymptotic": (600, slice(500, 600), "-"), "interim": (100, slice(0, 100), "--")}
ALWAYS = {"gamma": 1.0, "exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, ax = plt.subplots()
ends = {}
for number, agent in enumerate(("expected-sarsa", "sarsa", "q-learning")):
    for name, (episodes, counted, style) in EPISODES.items():
        means = []
        for rate in RATES:
            how = {"agent_kwargs": {**ALWAYS, "learning_rate": rate}, "episodes": episodes, "record": "none"}
            runs = rlbench.train_many("CliffWalking-v1", agent, seeds=RUNS, **how)
            means.append(np.mean([run.returns[counted].mean() for run in runs]))
        ax.plot(RATES, means, style, color=f"C{number}", label=f"{agent}, {name}")
        ends[agent, name] = means[-1]

best, sarsa, q = (ends[agent, "asymptotic"] for agent in ("expected-sarsa", "sarsa", "q-learning"))
ours = f"expected Sarsa {best:.0f}, Q-learning {q:.0f}, Sarsa {sarsa:.0f}"
holds = best > q + 10 > sarsa + 10

ax.set(xlabel="learning rate", ylabel="mean return an episode", ylim=(-190, 0))
ax.legend(fontsize="small", ncols=3, loc="lower center")
figure.savefig(Path(__file__).with_suffix(".png"))
