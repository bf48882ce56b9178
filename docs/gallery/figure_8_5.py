"""Figure 8.5: a maze in which a shorter way opens, Dyna-Q+ against Dyna-Q.

After 3,000 steps a gap opens at the right, and the old way stays. Dyna-Q, whose model says that there is a wall, hardly
ever finds it, for that takes many exploring steps one after another; the bonus of Dyna-Q+ leads there.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "Dyna-Q never switches to the shortcut; Dyna-Q+ does, and gets ahead"
FALSE_ALARMS = 1e-4
RUNS, STEPS, CHANGE = 30, 6000, 3000
ALWAYS = {"learning_rate": 1.0, "gamma": 0.95, "ties": "random", "planning_steps": 10}
EXPLORING = {"exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, ax = plt.subplots()
reward = {}
for agent, extra in (("dyna-q-plus", {"kappa": 1e-3}), ("dyna-q", {})):
    how = {"env_kwargs": {"maze": "shortcut", "changes_after": CHANGE}, "total_timesteps": STEPS}
    runs = rlbench.train_many("maze", agent, seeds=range(RUNS), agent_kwargs={**ALWAYS, **EXPLORING, **extra}, **how)
    arrived = [np.searchsorted(np.cumsum(run.lengths), np.arange(STEPS), side="right") for run in runs]
    reward[agent] = np.array(arrived)
    ax.plot(np.arange(STEPS), reward[agent].mean(axis=0), label=agent)
ax.axvline(CHANGE, color="0.5", linestyle="--", label="the maze changes")

plus, plain = (np.diff(reward[agent][:, [4500, -1]]).mean() for agent in ("dyna-q-plus", "dyna-q"))
ours = f"in the last 1,500 steps {plus:.0f} arrivals against {plain:.0f}"
holds = plus > 1.1 * plain

ax.set(xlabel="steps", ylabel=f"cumulative reward, mean of {RUNS} runs")
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
