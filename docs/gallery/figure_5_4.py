"""Figure 5.4: ordinary importance sampling whose variance is infinite.

One state between a hole, worth 0, and a goal, worth 1, on ice so slippery that a move succeeds once in ten times. The
target policy goes right, so its value is 1; the behaviour goes either way. A return counts for as often as the target
would have gone so: 2 to the power of the steps, or not at all. Ordinary importance sampling never settles.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "even after millions of episodes far from 1, with sudden jumps upwards"
FALSE_ALARMS, EPISODES = 0.01, 1_000_000
ICE = {"desc": ["HSG"], "success_rate": 0.1, "max_episode_steps": 10_000}
GIVEN = {"policy": 2, "behaviour": [[0.5, 0.0, 0.5, 0.0]] * 3, "gamma": 1.0}  # right, and left or right
HOW = {"seeds": range(10), "episodes": EPISODES, "env_kwargs": ICE, "record": "none"}

figure, ax = plt.subplots()
last, shown = {}, np.unique(np.logspace(2, 6, 400).astype(int)) - 1
for sampling, colour in (("ordinary", "C0"), ("weighted", "C1")):
    runs = rlbench.train_many("FrozenLake-v1", "off-policy-mc", agent_kwargs={**GIVEN, "sampling": sampling}, **HOW)
    estimates = np.array([run.figures["start_value"] for run in runs])
    lines = ax.plot(shown + 1, estimates[:, shown].T, color=colour, linewidth=1)
    lines[0].set_label(sampling)
    last[sampling] = estimates[:, -1]

ours = (
    f"after 1,000,000 episodes ten runs from {min(last['ordinary']):.2f} to {max(last['ordinary']):.2f}; weighted 1.00"
)
holds = np.std(last["ordinary"]) > 0.02 and np.allclose(last["weighted"], 1, atol=0.01)

ax.set(xlabel="episodes", ylabel="estimate of the value, 1", xscale="log", ylim=(0, 3))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
