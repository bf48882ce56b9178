"""Figure 6.5: the maximisation bias of Q-learning, and double Q-learning without it.

From A, right ends the episode with 0; left leads to B, from where each of ten actions ends it with a reward drawn from
N(-0.1, 1). Left is wrong, but the best of ten noisy estimates stays positive for long, and Q-learning believes it.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "at first Q-learning goes left much more often than right, in the end still more than the 5 % of exploration"
FALSE_ALARMS = 1e-9
RUNS, EPISODES = 500, 300
ALWAYS = {"gamma": 1.0, "ties": "random", "exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, ax = plt.subplots()
left = {}
for agent in ("q-learning", "double-q"):
    how = {"episodes": EPISODES, "agent_kwargs": ALWAYS, "record": "none"}
    runs = rlbench.train_many("maximization-bias", agent, seeds=range(RUNS), **how)
    left[agent] = np.mean([run.lengths == 2 for run in runs], axis=0)  # right ends it after one step
    ax.plot(np.arange(1, EPISODES + 1), 100 * left[agent], label=agent)
ax.axhline(5, color="0.5", linestyle="--", label="exploration alone")

q, double = left["q-learning"], left["double-q"]
ours = f"Q-learning up to {q.max():.0%}, in the end {q[-20:].mean():.0%}; double Q-learning {double[-20:].mean():.0%}"
holds = q.max() > 0.7 and q[-20:].mean() > double[-20:].mean() + 0.02

ax.set(xlabel="episode", ylabel="left chosen from A, %", xlim=(1, EPISODES), ylim=(0, 100))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
