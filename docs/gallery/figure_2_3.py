"""Figure 2.3: optimistic initial values.

A greedy agent that believes every arm to be worth 5 is disappointed by each and so tries them all. At first it does
worse than a realistic epsilon-greedy agent, then better; and the exploring ends by itself.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "in the end the best arm in about 85 % of the pulls, a realistic agent in 80 %"
FALSE_ALARMS = 1e-3
RUNS, PULLS = 500, 1000
AGENTS = {
    "optimistic, greedy": {"initial_value": 5.0, "exploration_initial_eps": 0.0},
    "realistic, epsilon 0.1": {"exploration_initial_eps": 0.1},
}

(figure, axes), last = plt.subplots(), {}
for name, how in AGENTS.items():
    how["ties"], rewards, best = "random", np.zeros(PULLS), np.zeros(PULLS)
    for seed in range(RUNS):
        env = gym.make("rlbench/Bandit-v0")
        run = rlbench.train(env, "bandit", seed=seed, episodes=PULLS, record="none", agent_kwargs=how)
        rewards += run.returns / RUNS
        best += run.figures["action_counts"][:, env.unwrapped.values.argmax()] / RUNS
    axes.plot(100 * best, label=name)
    last[name] = 100 * best[-200:].mean(), 100 * best[20:60].mean()

(optimistic, early), (realistic, first) = last.values()
ours = f"{optimistic:.0f} % and {realistic:.0f} %"
holds = optimistic > realistic + 2
axes.set(xlabel="pull", ylabel=f"best arm, % of {RUNS} runs", ylim=(0, 100))
axes.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
