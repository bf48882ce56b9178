"""Telling two samples apart by their means: Student's t-test, and how often it does so, by simulation.

NumPy only. After Colas, Sigaud and Oudeyer, "How many random seeds?" (2018), which recommends Welch's test.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlbench.intervals import student_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MOST = 1_000  # seeds
SIMULATIONS, AT_ONCE = 5_000, 250
DEGREES = np.geomspace(1, 10**5, 300)  # of freedom, between which critical values are interpolated
ROUNDING = 1e-12  # a variance of numbers around 1 below this is none


class Moments(NamedTuple):
    """The mean of the first n values of each of some samples, and the variance of that mean: (samples, n from 2)."""

    mean: Array
    variance: Array

    @classmethod
    def of(cls, values: Array) -> Moments:
        """Returns those of samples (samples, most)."""
        n = np.arange(1.0, values.shape[1] + 1)
        means = np.cumsum(values, axis=1) / n
        squares = np.cumsum(values**2, axis=1) - n * means**2
        return cls(means[:, 1:], np.maximum(squares[:, 1:], 0) / (n * (n - 1))[1:])


class Rates(NamedTuple):
    """How many of the simulated comparisons told two settings apart, with n = 2, 3 ... seeds each (n,)."""

    told: NDArray[np.int64]  # where the difference is the measured one
    false: NDArray[np.int64]  # where there is none


def critical_value(degrees: Array | float, alpha: float) -> Array:
    """Returns what |t| exceeds with a probability of alpha where there is no difference; degrees of freedom from 1."""
    found: Array = np.exp(np.interp(np.log(degrees), np.log(DEGREES), _logarithms(alpha)))
    return found


@cache
def _logarithms(alpha: float) -> Array:
    return np.log([student_limit(degrees, alpha) for degrees in DEGREES])


def paired_interval(differences: Array, alpha: float) -> tuple[float, float, float]:
    """Returns the mean of differences, and the ends of its interval, which is Student's."""
    one = Moments.of(differences[None])
    half = critical_value(len(differences) - 1, alpha) * np.sqrt(one.variance[0, -1])
    return _around(one.mean[0, -1], half)


def welch_interval(x: Array, y: Array, alpha: float) -> tuple[float, float, float]:
    """Returns the difference of the means of two samples, and the ends of its interval, which is Welch's."""
    ours, theirs = Moments.of(x[None]), Moments.of(y[None])
    a, b = ours.variance[0, -1], theirs.variance[0, -1]
    half = critical_value(_welch(a, b, len(x), len(y)), alpha) * np.sqrt(a + b)
    return _around(ours.mean[0, -1] - theirs.mean[0, -1], half)


def _around(middle: float, half: float) -> tuple[float, float, float]:
    return float(middle), float(middle - half), float(middle + half)


def _welch(a: Array | float, b: Array | float, n: Array | int, m: Array | int) -> Array:
    """Returns the degrees of freedom of Welch's test (Welch, 1947), for the variances of two means."""
    total = np.maximum(a + b, np.finfo(float).tiny)
    x, y = a / total, b / total
    found: Array = np.maximum(1, 1 / np.maximum(x**2 / (n - 1) + y**2 / (m - 1), ROUNDING))
    return found


def rates(samples: tuple[Array, ...], difference: float, alpha: float, seed: int) -> Rates:
    """Simulates comparisons of two settings with 2 to 1,000 seeds each.

    Args:
        samples: what was measured: (seeds,) the differences of pairs, or the values of each of the two. Values are
            drawn from it with replacement, scaled up so that their variance is that of the seeds that one might try.
        difference: of the two means.
        alpha: the error rate of the test, which is two-sided.
        seed: of the draws.
    """
    centred = [sample - sample.mean() for sample in samples]
    scale = max(float(np.abs(one).max()) for one in centred) or 1.0
    drawn_from = [one / scale * np.sqrt(len(one) / (len(one) - 1)) for one in centred]
    told, false = np.zeros((2, MOST - 1), np.int64)
    for error, variance, degrees in _simulated(drawn_from, np.random.default_rng(seed)):
        limit = critical_value(degrees, alpha) * np.sqrt(variance)
        can_tell = variance > ROUNDING  # values that are all the same tell nothing of their spread
        told += (can_tell & (np.abs(error + difference / scale) > limit)).sum(axis=0)
        false += (can_tell & (np.abs(error) > limit)).sum(axis=0)
    return Rates(told, false)


def _simulated(samples: list[Array], rng: np.random.Generator) -> Iterator[tuple[Array, Array, Array]]:
    """Yields the error of the difference, its variance and the degrees of freedom of some simulations at a time."""
    n = np.arange(2.0, MOST + 1)
    for _ in range(0, SIMULATIONS, AT_ONCE):
        drawn = [Moments.of(one[rng.integers(len(one), size=(AT_ONCE, MOST))]) for one in samples]
        if len(drawn) == 1:
            yield *drawn[0], n - 1
            continue
        ours, theirs = drawn
        degrees = _welch(ours.variance, theirs.variance, n, n)
        yield ours.mean - theirs.mean, ours.variance + theirs.variance, degrees


def first_above(shares: Array, share: float) -> int | None:
    """Returns from how many seeds on, the first share being that of 2, all are at least this; None if not the last."""
    below = np.flatnonzero(shares < share)
    first = int(below[-1]) + 3 if len(below) else 2
    return first if first <= MOST else None


def rough_number(difference: float, spread: float, alpha: float, power: float) -> float:
    """Returns about how many seeds a difference takes, by the normal distribution."""
    normal = NormalDist()
    return float(((normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * spread / difference) ** 2)
