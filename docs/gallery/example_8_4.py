"""Example 8.4: prioritized sweeping against Dyna-Q, on mazes of growing size.

Dyna-Q repeats any step that it has seen; prioritized sweeping works backwards from where a value has just changed.
"""

from pathlib import Path

import gymnasium as gym
from matplotlib import pyplot as plt

import rlbench

BOOK = "prioritized sweeping needs 5 to 10 times fewer updates until the way is optimal"
FALSE_ALARMS, SIZES = 1e-3, (1, 2, 3, 4, 5, 6)
EXPLORING = {"ties": "random", "exploration_schedule": "constant", "exploration_initial_eps": 0.1}


class UntilOptimal(rlbench.Callback):  # noqa: D101
    every = 1

    def on_checkpoint(self, progress):
        return rlbench.planning.score_policy(model, progress.agent.greedy_policy()).regret > 0


(figure, ax), ratios = plt.subplots(), []
for scale in SIZES:
    model, updates = rlbench.envs.TabularModel.from_env(gym.make("rlbench/DynaMaze-v0", scale=scale)), []
    how = {"env_kwargs": {"scale": scale}, "episodes": 10_000, "callbacks": [UntilOptimal()]}
    for planning, colour in (("random", "C0"), ("prioritized", "C1")):
        agent = {"gamma": 0.95, "learning_rate": 1.0, "planning": planning, **EXPLORING}
        runs = rlbench.train_many("maze", "dyna-q", seeds=range(5), agent_kwargs=agent, **how)
        updates.append(sum(run.agent.updates for run in runs) / 5)
        ax.plot(model.n_states, updates[-1], "o", color=colour, label=f"{planning} planning" if scale == 1 else None)
    ratios.append(updates[0] / updates[1])

ours, holds = f"{min(ratios):.0f} to {max(ratios):.0f} times fewer", min(ratios) > 5
ax.set(xlabel="squares of the maze", ylabel="updates until optimal, mean of 5", xscale="log", yscale="log")
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
