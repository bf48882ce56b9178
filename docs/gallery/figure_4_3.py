"""Figure 4.3: value iteration on the gambler's problem.

Heads come with a probability of 0.4. The values after the first sweeps are staircases; the final policy stakes all on
one flip at 50, and else just so much as leads to 25, 50, 75 or 100: the smallest of the stakes that are equally good.
"""

from itertools import islice
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

import rlbench
from rlbench.planning import value_sweeps

BOOK = "the chance from 50 is 0.4; stakes 50 at 50, 25 at 25 and 75, 1 at 51"
FALSE_ALARMS = 0
SHOWN = (1, 2, 3, 32)

sweeps = list(islice(value_sweeps("gambler", in_place=True), 33))
plan = rlbench.plan("gambler")
ties = plan.q_values >= plan.values[:, None] - 1e-9
capital = np.arange(1, 100)
stakes = ties.argmax(axis=1)[capital]
ours = f"the chance from 50 is {plan.values[50]:.1f}; stakes {stakes[49]} at 50, "
ours += f"{stakes[24]} at 25 and {stakes[74]} at 75, {stakes[50]} at 51"
holds = [plan.values[50].round(9), *stakes[[49, 24, 74, 50]]] == [0.4, 50, 25, 25, 1]

figure, axes = plt.subplots(1, 2)
for k in SHOWN:
    axes[0].plot(capital, sweeps[k][capital], label=f"sweep {k}")
axes[0].plot(capital, plan.values[capital], "k", label="final")
axes[0].set(xlabel="capital", ylabel="chance to reach 100")
axes[0].legend()
axes[1].step(capital, stakes, where="mid")
axes[1].set(xlabel="capital", ylabel="stake")
figure.savefig(Path(__file__).with_suffix(".png"))
