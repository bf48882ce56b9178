"""Example 6.6: cliff walking, Sarsa against Q-learning.

Q-learning learns the values of the shortest path, along the edge of the cliff; since it explores, it falls off now and
then. Sarsa takes the exploration into account and learns the longer, safe path, so its returns *while learning* are
better.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "Sarsa about -25, Q-learning about -50 in the end"
FALSE_ALARMS = 1e-9  # the difference is about 30 standard errors
RUNS = 500

figure, ax = plt.subplots()
settled = {}
always = {"learning_rate": 0.5, "gamma": 1.0, "exploration_schedule": "constant", "exploration_initial_eps": 0.1}
for agent in ("sarsa", "q-learning"):
    runs = rlbench.train_many("CliffWalking-v1", agent, seeds=range(RUNS), episodes=500, agent_kwargs=always)
    returns = np.array([run.returns for run in runs])
    ax.plot(np.arange(1, 501), returns.mean(axis=0), label=agent)
    settled[agent] = returns[:, 400:].mean(axis=1)

sarsa, q = settled["sarsa"], settled["q-learning"]
difference, error = (sarsa - q).mean(), (sarsa - q).std(ddof=1) / np.sqrt(RUNS)
ours = f"Sarsa {sarsa.mean():.0f}, Q-learning {q.mean():.0f} in episodes 401 to 500"
holds = difference > 6 * error

ax.set(xlabel="episode", ylabel=f"mean return of {RUNS} runs", xlim=(1, 500), ylim=(-100, 0))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
