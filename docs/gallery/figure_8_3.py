"""Figure 8.3: what an agent knows early in the Dyna maze, with planning and without.

After two episodes an agent that does not plan has learnt the values of a few squares before the goal. One that
repeats fifty steps of its model after each real one knows where to go from nearly everywhere.
"""

from pathlib import Path

from matplotlib import pyplot as plt

import rlbench

BOOK = "halfway through the second episode one square with an action, against a policy for most of the maze"
FALSE_ALARMS = 1e-6
ALWAYS = {"gamma": 0.95, "ties": "random", "exploration_schedule": "constant", "exploration_initial_eps": 0.1}

figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.2))
known = {}
for ax, steps in zip(axes, (0, 50), strict=True):
    how = {"agent_kwargs": {**ALWAYS, "planning_steps": steps}, "episodes": 2}
    run = rlbench.train("maze", "dyna-q", seed=0, **how)
    values = run.agent.q_table.max(axis=1).reshape(6, 9)
    known[steps] = int((values > 0).sum())
    image = ax.imshow(values > 0, cmap="Greens", vmax=2)
    for row, column in zip(*values.nonzero(), strict=True):
        arrow = "↑→↓←"[run.agent.greedy_policy().reshape(6, 9)[row, column]]
        ax.text(column, row, arrow, ha="center", va="center")
    ax.set(title=f"{steps} planning steps", xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(True)

ours = f"after the second episode {known[0]} squares with an action learnt, against {known[50]}"
holds = known[0] <= 6 and known[50] > 30
figure.savefig(Path(__file__).with_suffix(".png"))
