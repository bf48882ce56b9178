"""Figure 2.5: the gradient bandit, with and without a baseline.

The agent learns preferences, not values. Rewards around 4 instead of 0 make no difference if each is compared with the
average of those before; without that baseline all rewards seem good, and learning is slow.
"""

from pathlib import Path

import gymnasium as gym
import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "with the baseline the best arm in about 80 % of the pulls, without in about 50 %"
FALSE_ALARMS = 1e-6
RUNS, PULLS = 500, 1000
AGENTS = {
    f"{'with' if baseline == 'average' else 'without'} baseline, {rate}": {"learning_rate": rate, "baseline": baseline}
    for baseline in ("average", "none")
    for rate in (0.1, 0.4)
}

(figure, axes), last = plt.subplots(), {}
for name, how in AGENTS.items():
    how["method"], best = "gradient", np.zeros(PULLS)
    for seed in range(RUNS):
        env = gym.make("rlbench/Bandit-v0", mean=4.0)
        run = rlbench.train(env, "bandit", seed=seed, episodes=PULLS, record="none", agent_kwargs=how)
        best += run.figures["action_counts"][:, env.unwrapped.values.argmax()] / RUNS
    axes.plot(100 * best, label=name)
    last[name] = 100 * best[-200:].mean()

ours = "; ".join(f"{name}: {share:.0f} %" for name, share in last.items())
holds = last["with baseline, 0.1"] > last["without baseline, 0.1"] + 10
axes.set(xlabel="pull", ylabel=f"best arm, % of {RUNS} runs", ylim=(0, 100))
axes.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
