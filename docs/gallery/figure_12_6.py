"""Figure 12.6: TD(lambda) on the random walk with 19 states.

Traces do nearly what the off-line lambda-return algorithm does (figure 12.3), but during the episode. At small step
sizes the two are alike; at large ones TD(lambda), which only approximates it, becomes unstable, the more so the
larger lambda is.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = (
    "the least error, about 0.27, with lambda about 0.8; with lambda of 0.9 and more unstable beyond small step sizes"
)
FALSE_ALARMS = 1e-3
RUNS, RATES = 100, np.linspace(0, 1, 11)[1:]
WALK = {"states": 19, "left_reward": -1.0}

figure, ax = plt.subplots()
errors = {}
for number, decay in enumerate((0.0, 0.4, 0.8, 0.9, 0.95, 0.975, 0.99)):
    traces = {"trace_decay": decay, "traces": "accumulating", "gamma": 1.0}
    errors[decay] = []
    for rate in RATES:
        how = {"agent_kwargs": {**traces, "learning_rate": rate}, "env_kwargs": WALK, "record": "none"}
        runs = rlbench.train_many("random-walk", "td-lambda", seeds=range(RUNS), episodes=10, **how)
        errors[decay].append(np.mean([run.figures["value_error"].mean() for run in runs]))
    ax.plot(RATES, errors[decay], color=plt.get_cmap("viridis")(number / 7), label=f"lambda = {decay}")

error, decay = min((min(values), decay) for decay, values in errors.items())
ours = f"{error:.3f} with lambda = {decay}; at 0.9 and a step size of 0.5 {errors[0.9][4]:.2f}"
holds = decay in (0.4, 0.8, 0.9) and error < 0.3 and errors[0.9][4] > 0.4

ax.set(xlabel="step size", ylabel="RMS error, mean of 10 episodes", xlim=(0, 1), ylim=(0.24, 0.56))
ax.legend(fontsize="small", ncols=2)
figure.savefig(Path(__file__).with_suffix(".png"))
