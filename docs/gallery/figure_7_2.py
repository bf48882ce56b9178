"""Figure 7.2: n-step TD on the random walk with 19 states.

Neither one step nor whole episodes are best, but something between: with n = 4 the average error of the first ten
episodes is least, and with the right step size for each n the curves form a bowl.
"""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench

BOOK = "the least error, about 0.26, with n = 4 and a step size of about 0.4"
FALSE_ALARMS = 1e-3
RUNS, RATES = 100, np.linspace(0, 1, 11)[1:]
WALK = {"states": 19, "left_reward": -1.0}

figure, ax = plt.subplots()
best = {}
for number, n in enumerate((1, 2, 4, 8, 16, 32, 64, 128, 256, 512)):
    errors = []
    for rate in RATES:
        how = {"agent_kwargs": {"gamma": 1.0, "learning_rate": rate, "n_steps": n}, "env_kwargs": WALK}
        runs = rlbench.train_many("random-walk", "n-step-td", seeds=range(RUNS), episodes=10, record="none", **how)
        errors.append(np.mean([run.figures["value_error"].mean() for run in runs]))
    best[n] = min(errors), RATES[int(np.argmin(errors))]
    ax.plot(RATES, errors, color=plt.get_cmap("viridis")(number / 10), label=f"n = {n}")

error, n = min((error, n) for n, (error, _) in best.items())
ours = f"{error:.3f} with n = {n} and {best[n][1]:.1f}"
holds = n in (2, 4, 8) and abs(error - 0.26) < 0.02 and best[1][0] > error < best[512][0]

ax.set(xlabel="step size", ylabel="RMS error, mean of 10 episodes", xlim=(0, 1), ylim=(0.24, 0.56))
ax.legend(fontsize="small", ncols=2)
figure.savefig(Path(__file__).with_suffix(".png"))
