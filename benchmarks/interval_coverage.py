"""How often the 95 % intervals hold the truth, where there are few values: interval_coverage.md.

    python benchmarks/interval_coverage.py [--samples 1000]

From each of several distributions, samples of 3 to 50 values are drawn, and counted is in how many the interval holds
the truth, which is known. "before" is the percentile bootstrap, which is what most papers print. Success is 1 with a
probability of 0.8; a disaster of -20 +- 3 strikes one in ten, the others are 10 +- 1. The two sides of an
improvement are samples of the same size, one with 1 (success: with 0.1) added.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rlbench.intervals import (
    bootstrap_interval,
    improvement_interval,
    interquartile_interval,
    interquartile_mean,
    mean_band,
    mean_interval,
    probability_of_improvement,
)

SIZES = (3, 5, 10, 20, 50)
DRAWS = {
    "normal": lambda dice, shape: dice.normal(size=shape),
    "uniform": lambda dice, shape: dice.random(shape),
    "exponential": lambda dice, shape: dice.exponential(size=shape),
    "lognormal": lambda dice, shape: dice.lognormal(size=shape),
    "t with 3 degrees": lambda dice, shape: dice.standard_t(3, size=shape),
    "success": lambda dice, shape: (dice.random(shape) < 0.8).astype(float),
    "disasters": lambda dice, shape: np.where(
        dice.random(shape) < 0.1, dice.normal(-20, 3, shape), dice.normal(10, 1, shape)
    ),
}
RESAMPLES = 1_000


def mean_of(values):
    return values.mean(axis=-1)


def band_of(sample, seed):
    low, high = mean_band(sample[:, None], seed=seed, resamples=RESAMPLES)
    return low[0], high[0]


# what the interval is of, its statistic, and it before and now
OF_ONE = {
    "mean": (
        mean_of,
        lambda x, seed: bootstrap_interval(x, mean_of, seed=seed, resamples=RESAMPLES),
        lambda x, seed: mean_interval(x, seed, resamples=RESAMPLES),
    ),
    "interquartile mean": (
        interquartile_mean,
        lambda x, seed: bootstrap_interval(x, seed=seed, resamples=RESAMPLES),
        lambda x, seed: interquartile_interval(x, seed=seed, resamples=RESAMPLES),
    ),
    "mean, as the band of a curve": (mean_of, None, band_of),
}


def coverage(samples, truth, interval):
    """Returns the percentage of samples whose interval holds the truth, up to rounding."""
    ends = np.array([interval(sample, seed) for seed, sample in enumerate(samples)])
    return 100 * ((ends[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[:, 1])).mean()


def rows(count):
    """Yields the rows of the table."""
    dice = np.random.default_rng(0)
    for what, (statistic, before, now) in OF_ONE.items():
        for name, draw in DRAWS.items():
            truth = statistic(draw(dice, 4_000_000))
            samples = {n: draw(dice, (count, n)) for n in SIZES}
            cells = [
                f"{coverage(samples[n], truth, now):.0f}"
                + (f" ({coverage(samples[n], truth, before):.0f})" if before else "")
                for n in SIZES
            ]
            yield f"| {what} | {name} | " + " | ".join(cells) + " |"
    for name, draw in DRAWS.items():
        shift = 0.1 if name == "success" else 1.0
        truth = probability_of_improvement(draw(dice, 1_000_000) + shift, draw(dice, 1_000_000))
        cells = []
        for n in SIZES:
            pairs = draw(dice, (count, 2, n)) + np.array([[shift], [0.0]])
            cells.append(f"{coverage(pairs, truth, of_pair):.0f}")
        yield f"| probability of improvement | {name} | " + " | ".join(cells) + " |"


def of_pair(pair, seed):
    return improvement_interval(*pair, seed=seed, resamples=RESAMPLES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000, help="of each distribution and size")
    count = parser.parse_args().samples
    head = f"| interval of | distribution | {' | '.join(f'n = {n}' for n in SIZES)} |\n|---|---|" + "---:|" * len(SIZES)
    table = "\n".join([head, *rows(count)])
    page = Path(__file__).with_suffix(".md")
    said = (
        page.read_text().partition("\n| interval of")[0].rstrip("\n") + "\n"
        if page.exists()
        else "# Coverage of intervals\n"
    )
    page.write_text(f"{said}\n{table}\n")
    print(table)


if __name__ == "__main__":
    main()
