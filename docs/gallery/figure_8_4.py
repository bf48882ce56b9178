"""Figure 8.4: a maze whose short way is blocked, Dyna-Q+ against Dyna-Q.

After 1,000 steps the gap at the right is closed and one at the left opened. Both have to find it; the bonus of Dyna-Q+
for what was not tried for long makes it explore sooner, before and after the change.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "Dyna-Q+ ahead of Dyna-Q all the time, both flat after the change and then rising again"
FALSE_ALARMS = 1e-4
RUNS, STEPS, CHANGE = 30, 3000, 1000
ALWAYS = {"learning_rate": 1.0, "gamma": 0.95, "ties": "random", "planning_steps": 10}
EXPLORING = {"exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, ax = plt.subplots()
reward = {}
for agent, extra in (("dyna-q-plus", {"kappa": 1e-4}), ("dyna-q", {})):
    how = {"env_kwargs": {"maze": "blocking", "changes_after": CHANGE}, "total_timesteps": STEPS}
    runs = rlbench.train_many("maze", agent, seeds=range(RUNS), agent_kwargs={**ALWAYS, **EXPLORING, **extra}, **how)
    arrived = [np.searchsorted(np.cumsum(run.lengths), np.arange(STEPS), side="right") for run in runs]
    reward[agent] = np.array(arrived)
    ax.plot(np.arange(STEPS), reward[agent].mean(axis=0), label=agent)
ax.axvline(CHANGE, color="0.5", linestyle="--", label="the maze changes")

plus, plain = (reward[agent][:, -1].mean() for agent in ("dyna-q-plus", "dyna-q"))
ours = f"{plus:.0f} against {plain:.0f} after {STEPS:,} steps"
holds = plus > plain and all(values[:, -1].mean() > values[:, CHANGE + 500].mean() for values in reward.values())

ax.set(xlabel="steps", ylabel=f"cumulative reward, mean of {RUNS} runs")
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
