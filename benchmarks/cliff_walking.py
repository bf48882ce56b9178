"""Interim and asymptotic performance on the cliff walk, by learning rate: figure 6.3 of Sutton & Barto (2018).

    python benchmarks/cliff_walking.py [--runs 5000] [--workers 2] [--out docs/images/cliff_walking.png]

Example 6.6: SARSA, expected SARSA and Q-learning, epsilon-greedy with 0.1, undiscounted, at ten learning rates. The
interim performance is the mean return of the first 100 episodes, the asymptotic one that of the episodes 501 to 600,
each of 5,000 runs a point. (The book takes 50,000 runs for the former, and for the latter all of 100,000 episodes of
ten.) Both are plain sweeps, into a store that is deleted again. Prints both tables, with the largest standard error.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

import rlbench

AGENTS = {  # their colours differ for any eye (Okabe & Ito, 2008), and so do the markers; where the names are written
    "expected-sarsa": ("expected SARSA", "#009E73", "o", (0.5, -13)),
    "sarsa": ("SARSA", "#D55E00", "^", (0.68, -28)),
    "q-learning": ("Q-learning", "#0072B2", "s", (0.3, -43)),
}
MEASURES = {  # how many episodes are trained, what of them is measured, and how it is drawn
    "asymptotic": (600, "area:500", "asymptotic: episodes 501 to 600", {"linestyle": "-"}),
    "interim": (100, "area", "interim: the first 100 episodes", {"linestyle": (0, (4, 2)), "mfc": "white"}),
}
RATES = np.linspace(0.1, 1, 10).round(1)
FIXED = {"exploration_schedule": "constant", "exploration_initial_eps": 0.1, "gamma": 1.0}


def performance(measure: str, runs: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the means over the runs, and their standard errors: each of shape (agents, learning rates)."""
    episodes, objective, *_ = MEASURES[measure]
    with tempfile.TemporaryDirectory() as folder:
        study = rlbench.sweep(
            "CliffWalking-v1",
            list(AGENTS),
            over={"learning_rate": RATES},
            agent_kwargs=FIXED,
            seeds=range(runs),
            episodes=episodes,
            objective=objective,
            workers=workers,
            store=Path(folder) / "runs.db",
            progress=True,
        )
        study.store.close()
    values = study.values.reshape(len(AGENTS), len(RATES), runs)
    return values.mean(axis=2), values.std(axis=2, ddof=1) / np.sqrt(runs)


def draw(found: dict[str, tuple[np.ndarray, np.ndarray]], out: str) -> None:
    """Draws the figure."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for measure, (means, errors) in found.items():
        *_, label, style = MEASURES[measure]
        for (name, color, marker, place), mean, error in zip(AGENTS.values(), means, errors, strict=True):
            ax.errorbar(RATES, mean, error, color=color, marker=marker, ms=5, lw=1.4, capsize=2.5, **style)
            ax.text(*place, name, color=color, ha="center", va="center")
        ax.plot([], [], color="0.3", marker="o", ms=5, lw=1.4, label=label, **style)
    ax.legend(loc="lower center", frameon=False, title="bars: one standard error", alignment="left")
    ax.set(xlabel="learning rate", ylabel="mean return of an episode", xticks=RATES, xlim=(0.06, 1.04), ylim=(-160, 0))
    ax.grid(axis="y", color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=150, metadata={"Software": None})


def main() -> None:
    """Measures, prints and draws both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", default=None)
    arguments = parser.parse_args()
    started = time.perf_counter()
    found = {measure: performance(measure, arguments.runs, arguments.workers) for measure in MEASURES}
    print(f"| learning rate | {' | '.join(map(str, RATES))} | error |\n|---|" + "---:|" * (len(RATES) + 1))
    for measure, (means, errors) in found.items():
        for (name, *_), mean, error in zip(AGENTS.values(), means, errors, strict=True):
            print(f"| {name}, {measure} | " + " | ".join(f"{one:.1f}" for one in mean) + f" | {error.max():.2f} |")
    print(f"{arguments.runs:,} runs a point, {time.perf_counter() - started:.0f} s")
    if arguments.out:
        draw(found, arguments.out)


if __name__ == "__main__":
    main()
