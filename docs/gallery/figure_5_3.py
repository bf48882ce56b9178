"""Figure 5.3: weighted against ordinary importance sampling, for one blackjack state.

With 13, a usable ace and a 2 of the dealer, sticking on 20 or 21 alone is worth -0.27726: learnt from games at random.
"""

from pathlib import Path

import numpy as np
from gymnasium.envs.toy_text.blackjack import BlackjackEnv
from matplotlib import pyplot as plt

import rlbench

BOOK = "the error of weighted importance sampling is much lower at first, and both approach 0"
FALSE_ALARMS, RUNS, GAMES, TRUTH = 1e-3, 40, 3000, -0.27726
STICK_ON_20 = (np.arange(704) // 22 < 20).astype(int)


class Thirteen(BlackjackEnv):  # noqa: D101
    def reset(self, **how):
        super().reset(**how)
        self.player, self.dealer = [1, 2], [2, self.dealer[1]]
        return (13, 2, 1), {}


(figure, ax), errors = plt.subplots(), {}
for sampling in ("ordinary", "weighted"):
    how = {"episodes": GAMES, "agent_kwargs": {"gamma": 1.0, "policy": STICK_ON_20, "sampling": sampling}}
    runs = [rlbench.train(Thirteen(sab=True), "off-policy-mc", seed=seed, **how) for seed in range(RUNS)]
    errors[sampling] = np.mean([(run.figures["start_value"] - TRUTH) ** 2 for run in runs], axis=0)
    ax.plot(np.arange(1, GAMES + 1), errors[sampling], label=f"{sampling} importance sampling")
early, late = ({name: values[part].mean() for name, values in errors.items()} for part in (slice(10), slice(-10, None)))
ours = (
    f"{early['weighted']:.2f} against {early['ordinary']:.2f} in the first 10 games, {late['weighted']:.3f} in the end"
)
holds = early["weighted"] < early["ordinary"] / 1.5 and max(late.values()) < 0.01
ax.set(xlabel="games", ylabel=f"mean square error, {RUNS} runs", xscale="log", ylim=(0, 4))
ax.legend()
figure.savefig(Path(__file__).with_suffix(".png"))
