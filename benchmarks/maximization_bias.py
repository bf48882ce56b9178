"""The maximisation bias of Q-learning, and how double Q-learning avoids it: figure 6.5 of Sutton & Barto (2018).

    python benchmarks/maximization_bias.py [--runs 10000] [--out docs/images/maximization_bias.png]

Example 6.7: from A, right ends the episode with reward 0; left leads to B with reward 0, and each of B's ten actions
ends it with a reward drawn from N(-0.1, 1). Left is wrong, but the best of ten noisy estimates stays positive for a
long time. Epsilon 0.1, ties at random, learning rate 0.1, gamma 1, 300 episodes; the rules are the package's own.
Prints the share of episodes in which left was chosen; exploration alone accounts for 5 %.
"""

from __future__ import annotations

import argparse

import matplotlib as mpl
import numpy as np
from numba import njit

from rlbench.agents._rules import EpsilonGreedyRandomTies, double_q_update, new_table, pick_action, q_update

EPISODES = 300
EPSILON, LEARNING_RATE = 0.1, 0.1
A, B, END = 0, 1, 2
LEFT = 0
ACTIONS = 10  # of B; A has two
POLICIES = EpsilonGreedyRandomTies(2), EpsilonGreedyRandomTies(ACTIONS)  # in A, in B
SHOWN = (10, 50, 100, 200, 300)  # episodes


@njit(cache=True)
def episodes(rng, halves, table, is_double, went_left):
    """Plays the episodes of one run and adds its choices of left to `went_left`, (EPISODES,)."""
    for i in range(EPISODES):
        s = A
        while s != END:
            a, _ = pick_action(POLICIES[s], table, s, EPSILON, rng.random())
            r = rng.normal(-0.1, 1.0) if s == B else 0.0
            s_next = B if s == A and a == LEFT else END
            went_left[i] += s_next == B
            coin = rng.random()
            if is_double:
                double_q_update(halves, table, coin, s, a, r, s_next, s_next == END, LEARNING_RATE, 1.0)
            else:
                q_update(table, s, a, r, s_next, s_next == END, LEARNING_RATE, 1.0)
            s = s_next


def share_of_left(*, is_double: bool, runs: int, seed: int = 0) -> np.ndarray:
    """Returns the share of runs that went left in each episode, shape (EPISODES,)."""
    rng = np.random.default_rng(seed)
    went_left = np.zeros(EPISODES, np.int64)
    for _ in range(runs):
        episodes(rng, new_table(2 * END, ACTIONS), new_table(END, ACTIONS), is_double, went_left)
    return went_left / runs


def draw(shares: dict[str, np.ndarray], out: str) -> None:
    """Draws the figure."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for (name, share), colour in zip(shares.items(), ("#D55E00", "#0072B2"), strict=True):
        ax.plot(np.arange(1, EPISODES + 1), 100 * share, color=colour)
        ax.annotate(name, (60, 100 * share[59]), (6, 6), textcoords="offset points", color=colour)
    ax.axhline(100 * EPSILON / 2, color="0.5", linestyle="--", linewidth=1)
    ax.text(3, 100 * EPSILON / 2 - 1, "optimal: exploration alone", fontsize=8, va="top", color="0.4")
    ax.set(xlabel="episode", ylabel="left chosen from A, %", xlim=(1, EPISODES), ylim=(0, 100))
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=150)


def main() -> None:
    """Plays, prints and draws both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--out", default=None)
    arguments = parser.parse_args()
    shares = {
        "Q-learning": share_of_left(is_double=False, runs=arguments.runs),
        "double Q-learning": share_of_left(is_double=True, runs=arguments.runs),
    }
    print("| left chosen in episode | " + " | ".join(map(str, SHOWN)) + " |\n|---|" + "---:|" * len(SHOWN))
    for name, share in shares.items():
        print(f"| {name} | " + " | ".join(f"{share[i - 1]:.1%}" for i in SHOWN) + " |")
    if arguments.out:
        draw(shares, arguments.out)


if __name__ == "__main__":
    main()
