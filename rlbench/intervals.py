"""Statistics of a few runs: interquartile means, bootstrap intervals and the probability of improvement.

After Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021). The intervals of
means and interquartile means are chosen by how often they hold the truth where there are few values: see
`benchmarks/interval_coverage.py`. NumPy only.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Interval = tuple[float, float]

RESAMPLES = 2_000
CONFIDENCE = 0.95
NORMAL = 1.959963984540054  # the normal quantile of a 95 % interval
TRIM = 0.25  # of a sample, dropped at each end
FEW = 5  # values: of fewer, no resampling comes near the spread of an interquartile mean
FLAT = 1e-6  # a standard error below this share of the sample's is none: all values drawn are the same
STRETCH = 2.0  # times Student's interval: the most that resampling makes of one
STEPS = 20_000  # of an angle
AT_ONCE = 2**22  # numbers drawn at a time: memory does not grow with the sample
IN_CACHE = 2**15  # likewise of one sample, so that they stay in the processor's cache: a third of the time


def interquartile_mean(sample: ArrayLike) -> Any:
    """Returns the mean of the middle half, along the last axis: floor(n / 4) values are dropped at each end.

    More robust to outliers than a mean, with smaller intervals than a median (Agarwal et al., 2021).
    """
    values = np.sort(np.asarray(sample, dtype=np.float64), axis=-1)
    cut = int(TRIM * values.shape[-1])
    means = values[..., cut : values.shape[-1] - cut].mean(axis=-1)
    return float(means) if np.ndim(means) == 0 else means


def bootstrap_interval(
    sample: ArrayLike,
    statistic: Callable[[Array], Array] = interquartile_mean,
    *,
    seed: int | np.random.SeedSequence = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """Returns the percentile bootstrap interval of any statistic (Efron, 1979): too short where there are few values.

    Args:
        sample: (n,).
        statistic: takes (resamples, n), returns (resamples,).
        seed: of the resampling.
        confidence: the share of the resamples inside the interval.
        resamples: the number of resamples.
    """
    values, rng = np.asarray(sample, dtype=np.float64), np.random.default_rng(seed)
    found = [statistic(values[drawn]) for drawn in _draws(rng, len(values), resamples)]
    return _middle(np.concatenate(found), confidence)


def mean_interval(
    sample: ArrayLike, seed: int = 0, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """Returns the studentised bootstrap interval of a mean (Efron & Tibshirani, 1993, 12.5).

    It may reach beyond the sample, as the truth does, and is longer on the side of the longer tail: up to twice as long
    as Student's, for resamples that miss a few extreme values would stretch it without end. Where so many resamples
    repeat one value that a limit is infinite, with up to three values or hardly any different ones, the interval is
    Student's. Of one value, or equal ones, it is that value. Its draws are independent of every other use of the seed.
    """
    values, rng = np.asarray(sample, dtype=np.float64), np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
    middle = float(values.mean())
    spread = values - middle
    error = float(_mean_and_error(spread)[1]) if len(values) > 1 else 0.0
    if error <= FLAT**2 * abs(middle):  # rounding
        return middle, middle
    found = [_mean_and_error(spread[drawn]) for drawn in _draws(rng, len(values), resamples)]
    means, errors = (np.concatenate(column) for column in zip(*found, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(means / np.where(errors > FLAT * error, errors, 0.0), posinf=np.inf, neginf=-np.inf)
    shares = [(1 + confidence) / 2, (1 - confidence) / 2]
    limits: Array = np.quantile(ratios, shares, method="inverted_cdf")
    student = student_limit(len(values) - 1, 1 - confidence) * np.array([1.0, -1.0])
    limits = np.clip(limits, STRETCH * student[1], STRETCH * student[0]) if np.isfinite(limits).all() else student
    low, high = (middle - limits * error).tolist()
    return low, high


def interquartile_interval(
    sample: ArrayLike, *, seed: int = 0, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """Returns an interval of an interquartile mean: a percentile bootstrap, longer where there are few values.

    The share of the resamples inside is raised as far as Student's distribution with n - 1 degrees of freedom lies
    outside the normal one (compare Hesterberg, 2015, on means). Of fewer than five values the interval is Student's
    around the interquartile mean; of one it is that value.
    """
    values = np.asarray(sample, dtype=np.float64)
    if len(values) >= FEW:
        return bootstrap_interval(values, seed=seed, confidence=_raised(confidence, len(values)), resamples=resamples)
    middle, half = interquartile_mean(values), 0.0
    if len(values) > 1:
        half = student_limit(len(values) - 1, 1 - confidence) * float(values.std(ddof=1)) / len(values) ** 0.5
    return middle - half, middle + half


@cache
def student_limit(degrees: float, alpha: float) -> float:
    """Returns what |t| exceeds with a probability of alpha, with these degrees of freedom, 1 or more (Student, 1908).

    It integrates the density of the angle of which t is the tangent, times the root of the degrees of freedom.
    """
    edges = np.linspace(0, np.pi / 2, STEPS + 1)
    cosine = np.cos((edges[1:] + edges[:-1]) / 2)
    beyond = np.append(np.cumsum((cosine ** (degrees - 1))[::-1])[::-1], 0)
    angle = np.interp(-alpha * beyond[0], -beyond, edges)
    return float(np.sqrt(degrees) * np.tan(angle))


def _raised(confidence: float, size: int, more: float = 1.0) -> float:
    """Returns the share of the normal distribution within Student's limits for a sample, times `more`."""
    limit = student_limit(size - 1, 1 - confidence) * more if size > 1 else np.inf
    return 2 * NormalDist().cdf(limit) - 1


def mean_band(
    series: ArrayLike, *, seed: int = 0, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[Array, Array]:
    """Returns the bootstrap interval, low and high (points,), of the mean of several series (runs, points).

    The percentiles are those that make up for the few runs (Hesterberg, 2015). Of series (tasks, runs, points) the runs
    of each task are resampled on their own: a stratified bootstrap.
    """
    values = np.asarray(series, dtype=np.float64)
    tasks = values.reshape(-1, *values.shape[-2:])
    runs = tasks.shape[1]
    rng, shares, at_once = np.random.default_rng(seed), np.full(runs, 1 / runs), max(1, AT_ONCE // runs)
    # draws per run and resample: one product instead of a copy of all points per resample
    means = [
        sum(rng.multinomial(runs, shares, size=min(at_once, resamples - first)) @ task for task in tasks)
        for first in range(0, resamples, at_once)
    ]
    share = _raised(confidence, runs, (runs / max(runs - 1, 1)) ** 0.5)
    low, high = _limits(np.concatenate(means) / (runs * len(tasks)), share)
    return low, high


def interquartile_band(
    series: ArrayLike, *, seed: int = 0, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[Array, Array]:
    """Returns the bootstrap interval, low and high (points,), of the interquartile mean of series (runs, points)."""
    values, rng = np.asarray(series, dtype=np.float64), np.random.default_rng(seed)
    runs, points = values.shape
    at_once = max(1, AT_ONCE // (runs * points))
    found = []
    for first in range(0, resamples, at_once):
        drawn = rng.integers(runs, size=(min(at_once, resamples - first), runs))
        found.append(interquartile_mean(values[drawn].swapaxes(1, 2)))
    low, high = _limits(np.concatenate(found), _raised(confidence, runs))
    return low, high


def wilson_interval(successes: ArrayLike, trials: ArrayLike) -> tuple[Array, Array]:
    """Returns the 95 % interval, low and high, of the probability of a success (Wilson, 1927), from 0 to 1."""
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    middle = (k + NORMAL**2 / 2) / (n + NORMAL**2)
    half = NORMAL / (n + NORMAL**2) * np.sqrt(k * (n - k) / n + NORMAL**2 / 4)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def probability_of_improvement(x: ArrayLike, y: ArrayLike) -> float:
    """Returns the probability that a value of x exceeds one of y; ties count half (Mann & Whitney, 1947)."""
    ours, theirs = np.asarray(x, dtype=np.float64), np.sort(np.asarray(y, dtype=np.float64))
    below, not_above = np.searchsorted(theirs, ours, "left"), np.searchsorted(theirs, ours, "right")
    return float((below.sum() + not_above.sum()) / (2 * len(ours) * len(theirs)))


def improvement_interval(
    x: ArrayLike, y: ArrayLike, *, seed: int = 0, confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> Interval:
    """Returns the bootstrap interval of the probability of improvement; x and y are resampled independently.

    Of scores (runs, tasks) it is that of the mean over the tasks, in each of which runs are resampled on their own.
    """
    ours, theirs = (np.atleast_2d(np.asarray(scores, dtype=np.float64).T) for scores in (x, y))  # (tasks, runs)
    rng = np.random.default_rng(seed)
    found = [_improvements(rng, one, other, resamples) for one, other in zip(ours, theirs, strict=True)]
    return _middle(np.mean(found, axis=0), confidence)


def stratified_interval(
    scores: ArrayLike,
    statistic: Callable[[Array], Array],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Interval:
    """Returns the percentile interval of a statistic by a stratified bootstrap (Agarwal et al., 2021).

    Args:
        scores: (runs, tasks), of which the runs of each task are resampled on their own.
        statistic: takes (resamples, runs, tasks), returns (resamples,).
        seed: of the resampling.
        confidence: the share of the resamples inside the interval.
        resamples: the number of resamples.
    """
    values, rng = np.asarray(scores, dtype=np.float64), np.random.default_rng(seed)
    runs, tasks = values.shape
    at_once = max(1, AT_ONCE // values.size)
    found = []
    for first in range(0, resamples, at_once):
        drawn = rng.integers(runs, size=(min(at_once, resamples - first), runs, tasks))
        found.append(statistic(values[drawn, np.arange(tasks)]))
    return _middle(np.concatenate(found), confidence)


def _improvements(rng: np.random.Generator, ours: Array, theirs: Array, resamples: int) -> Array:
    """Returns the probabilities of improvement of resamples of two samples."""
    order, n, m = np.argsort(theirs), len(ours), len(theirs)
    ranks = np.argsort(order) + 1
    # how many of theirs, sorted, are below each of ours, and how many are not above it
    places = np.stack([np.searchsorted(theirs[order], ours, side) for side in ("left", "right")], axis=-1)
    found = np.empty(resamples)
    for k in range(resamples):
        drawn = places[rng.integers(n, size=n)]
        found[k] = np.bincount(ranks[rng.integers(m, size=m)], minlength=m + 1).cumsum()[drawn].sum()
    return found / (2 * n * m)


def _mean_and_error(sample: Array) -> tuple[Array, Array]:
    """Returns means along the last axis, of n values, with their standard errors."""
    n = sample.shape[-1]
    means: Array = sample.sum(axis=-1) / n
    variances = np.einsum("...i,...i->...", sample, sample) / n - means**2
    errors: Array = np.sqrt(np.maximum(variances, 0.0) / (n - 1))
    return means, errors


def _draws(rng: np.random.Generator, size: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Yields indices into a sample, (some resamples, size) at a time."""
    rows = max(1, IN_CACHE // max(size, 1))
    for first in range(0, resamples, rows):
        yield rng.integers(size, size=(min(rows, resamples - first), size))


def _middle(values: Array, confidence: float) -> Interval:
    low, high = _limits(values, confidence)
    return float(low), float(high)


def _limits(values: Array, confidence: float) -> Any:
    """Returns what lies between the limits of the middle share, along the first axis."""
    return np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
