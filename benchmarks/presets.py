"""Whether the default presets of SafeCab and CartPole hold on seeds that they were not tuned with: seed by seed.

    python benchmarks/presets.py [--seeds 100] [--json]

A seed of SafeCab counts if its greedy policy is exactly optimal (regret 0); one of CartPole if its greedy policy stands
for 500 of 500 steps from each of 1,000 fresh starts. The presets are tuned with the seeds 0 to 255 and 0 to 7, by the
commands beside them in rlbench/presets; here the seeds are 1000 and above. The last figures are in
benchmarks/presets.md.
"""

from __future__ import annotations

import argparse
import json

import rlbench
from rlbench.envs import TabularModel
from rlbench.planning import solve

FIRST = 1000  # of the seeds
STARTS, STANDING = 1000, 500.0
BARS = {"SafeCab": 1.0, "CartPole": 0.99}  # the share of the seeds that count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seeds = range(FIRST, FIRST + arguments.seeds)
    figures = {"SafeCab": _safecab(seeds), "CartPole": _cartpole(seeds)}
    print(json.dumps(figures) if arguments.json else _table(figures, len(seeds)))


def _safecab(seeds):
    """Returns how many seeds are exactly optimal, and the largest regret."""
    optimum = solve(TabularModel.from_env("safecab"))
    found = [rlbench.evaluate(run, episodes=1, seed=0, optimum=optimum).regret for run in _trained("safecab", seeds)]
    return sum(regret == 0 for regret in found), max(found)


def _cartpole(seeds):
    """Returns how many seeds stand from every start, and the lowest mean of 1,000 starts."""
    found = [
        rlbench.evaluate(run, episodes=STARTS, seed=10_000 + run.seed).mean_return
        for run in _trained("cartpole", seeds)
    ]
    return sum(mean == STANDING for mean in found), min(found)


def _trained(env, seeds):
    return (rlbench.train(env, seed=seed, record="none") for seed in seeds)


def _table(figures, seeds):
    rows = ["| preset | seeds that count | the worst of all | bar |", "|---|---:|---:|---|"]
    for name, (count, worst) in figures.items():
        told = "met" if count >= BARS[name] * seeds else "MISSED"
        rows.append(f"| {name} | {count} of {seeds} | {worst:g} | {BARS[name] * seeds:g}, {told} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
