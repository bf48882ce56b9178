"""Example 6.5: the windy gridworld, solved by Sarsa.

A crosswind pushes upwards in the middle of the grid. Monte Carlo methods cannot be used here, since some policies never
arrive; Sarsa learns during the episode that such a policy is poor. The curve gets steeper as the way gets shorter.
With king's moves, and with a ninth action that lets the wind blow (Exercise 6.9), the way is shorter still.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "15 steps at least, about 17 while exploring; with king's moves 7"
FALSE_ALARMS = 0.01  # that none of ten seeds finds the shortest way, or that most are far from it
ALWAYS = {"learning_rate": 0.5, "gamma": 1.0, "exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, ax = plt.subplots()
found, least, exploring = {}, {}, {}
for moves, name in ((4, "four moves"), (8, "king's moves"), (9, "and staying")):
    env = {"moves": moves}
    runs = rlbench.train_many(
        "windy", "sarsa", seeds=range(10), total_timesteps=50_000, env_kwargs=env, agent_kwargs=ALWAYS
    )
    steps = np.cumsum(runs[0].lengths)
    ax.plot(steps, np.arange(1, len(steps) + 1), label=name)
    found[moves] = [-rlbench.evaluate(run).exact_return for run in runs]
    least[moves] = -rlbench.evaluate(runs[0]).optimal_return
    exploring[moves] = np.mean([run.lengths[-500:].mean() for run in runs])

ours = f"at least {least[4]:.0f}, while exploring {exploring[4]:.1f}; with king's moves {least[8]:.0f}"
holds = all(min(found[m]) == least[m] == book and np.median(found[m]) <= book + 1 for m, book in ((4, 15), (8, 7)))

ax.set(xlabel="steps", ylabel="episodes", xlim=(0, 8000), ylim=(0, 260))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
