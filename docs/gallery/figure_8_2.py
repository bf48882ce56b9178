"""Figure 8.2: Dyna-Q in a maze, with 0, 5 and 50 planning steps.

After each real step the agent repeats steps of a model that it has learnt. With fifty of them it needs three episodes
for what takes five with five, and twenty-five without a model.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "about 25 episodes to reach about 14 steps without planning, 5 with 5 steps of it, 3 with 50"
FALSE_ALARMS = 1e-6
PLANNING, RUNS, EPISODES = (0, 5, 50), 30, 50
ALWAYS = {"learning_rate": 0.1, "gamma": 0.95, "ties": "random"}
EXPLORING = {"exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, ax = plt.subplots()
needed = {}
for steps in PLANNING:
    how = {"agent_kwargs": {**ALWAYS, **EXPLORING, "planning_steps": steps}, "episodes": EPISODES, "record": "none"}
    runs = rlbench.train_many("maze", "dyna-q", seeds=range(RUNS), **how)
    lengths = np.mean([run.lengths for run in runs], axis=0)
    ax.plot(np.arange(2, EPISODES + 1), lengths[1:], label=f"{steps} planning steps")
    needed[steps] = int(np.argmax(lengths < 20)) + 1

ours = ", ".join(f"{needed[n]} episodes with {n}" for n in PLANNING) + " to fewer than 20 steps on average"
holds = needed[50] < needed[5] < needed[0] and needed[50] <= 4

ax.set(xlabel="episode", ylabel=f"steps an episode, mean of {RUNS} runs", ylim=(0, 800))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
