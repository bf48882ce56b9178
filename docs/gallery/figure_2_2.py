"""Figure 2.2: greedy and epsilon-greedy agents on the 10-armed testbed.

An agent that never explores settles for what looked best at first. One that explores in a tenth of its pulls finds
the best arm sooner, one that explores in a hundredth of them later, but then loses less.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "after 1,000 pulls a reward of about 1.05, 1.3 and 1.4, the best arm in 35, 60 and 80 % of the pulls"
FALSE_ALARMS = 1e-4
RUNS, PULLS = 500, 1000
AGENTS = {
    f"epsilon {eps:g}": {"learning_rate_schedule": "visits", "exploration_initial_eps": eps} for eps in (0.0, 0.01, 0.1)
}

(figure, axes), last = plt.subplots(2, sharex=True, figsize=(6.4, 5.6)), {}
for name, how in AGENTS.items():
    how["ties"], rewards, best = "random", np.zeros(PULLS), np.zeros(PULLS)
    for seed in range(RUNS):
        env = gym.make("rlbench/Bandit-v0")
        run = rlbench.train(env, "bandit", seed=seed, episodes=PULLS, record="none", agent_kwargs=how)
        rewards += run.returns / RUNS
        best += run.figures["action_counts"][:, env.unwrapped.values.argmax()] / RUNS
    axes[0].plot(rewards, label=name)
    axes[1].plot(100 * best)
    last[name] = rewards[-100:].mean(), 100 * best[-100:].mean()

ours = "; ".join(f"{name}: {reward:.2f}, {share:.0f} %" for name, (reward, share) in last.items())
holds = last["epsilon 0"][0] + 0.1 < last["epsilon 0.01"][0] < last["epsilon 0.1"][0]
axes[0].set(ylabel="mean reward")
axes[1].set(xlabel="pull", ylabel="best arm, %", ylim=(0, 100))
axes[0].legend()
figure.savefig(Path(__file__).with_suffix(".png"))
