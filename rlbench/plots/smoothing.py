"""Smoothing: shows the trend in thousands of noisy episodes, in plain NumPy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]

WINDOW = 1001  # values
ORDER = 2  # of the Savitzky-Golay filter
REACH = 4  # standard deviations from the middle of a bell to its end: as much noise is left as by a parabola
SHARE = 10  # a window spans at most 1/SHARE of the values: a wider one would impose its own shape
SHORTEST = 5  # values: the shortest window that makes sense for a parabola


@dataclass(frozen=True)
class Smoothing:
    """A smoothing method, "bell", "mean", "savgol" or "none", and its window."""

    name: str = "bell"
    window: int = WINDOW

    def window_for(self, count: int) -> int:
        """Returns the window for `count` values; 1 for no smoothing."""
        if self.name == "mean":
            return min(self.window, 2 * count + 1)  # equivalent to any wider one, without overflow
        if self.name == "none" or count < 2 * SHORTEST:
            return 1
        return min(self.window, max(_odd(count // SHARE), SHORTEST))

    def __call__(self, values: ArrayLike) -> Array:
        """Returns smoothed values, of the same shape (n,)."""
        series = np.asarray(values, dtype=np.float64)
        window = self.window_for(len(series))
        if self.name == "savgol" and window > ORDER:
            return savitzky_golay(series, window, ORDER)
        if self.name == "bell" and window > 1:
            return bell_mean(series, window)
        return moving_mean(series, window)

    def at(self, values: ArrayLike, places: NDArray[np.int64]) -> Array:
        """Returns smoothed values at some places only, as the whole would have them but for rounding."""
        series = np.asarray(values, dtype=np.float64)
        window = self.window_for(len(series))
        if self.name == "bell" and window > 1:
            around = sliding_window_view(np.pad(series, window // 2, mode="reflect"), window)
            bell: Array = around[places] @ _bell(window)
            return bell
        return means_at(series, window, places) if self.name == "mean" else self(series)[places]


def smoothing(spec: str | Smoothing) -> Smoothing:
    """Reads "bell", "mean:N", "savgol" or "none".

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(spec, Smoothing):
        return spec
    if spec in ("bell", "savgol", "none"):
        return Smoothing(spec)
    found = re.fullmatch(r"mean:0*([1-9]\d{0,17})", str(spec))
    if found is None:
        known = "bell, mean:N (a mean over N episodes, 1 or more), savgol or none"
        raise UsageError(f"smooth must be {known}, got {spec!r}")
    return Smoothing("mean", int(found[1]))


def bell_mean(values: ArrayLike, window: int) -> Array:
    """Returns, for each value, the mean of the window around it, weighted by a bell curve (Gauss).

    No weight is negative, so the means stay in the range of the values in their window, which a parabola leaves next
    to a bend. The standard deviation is an eighth of the window. Both ends are mirrored.

    Args:
        values: (n,).
        window: the number of values per mean: odd, at most n.

    Raises:
        UsageError: the window does not fit.
    """
    series = _checked(values, window, 0)
    return _convolved(series, _bell(window))


def _bell(window: int) -> Array:
    heights = np.exp(-0.5 * np.linspace(-REACH, REACH, window) ** 2)
    weights: Array = heights / heights.sum()
    return weights


def savitzky_golay(values: ArrayLike, window: int, order: int) -> Array:
    """Returns, for each value, that of the polynomial fitted to the window around it (Savitzky & Golay, 1964).

    Equals `scipy.signal.savgol_filter(values, window, order, mode="mirror")`, without the second it takes to import
    SciPy. Both ends are mirrored: SciPy's default, a polynomial fitted to the outermost window, follows the noise of
    the last few episodes, which matter most.

    Args:
        values: (n,).
        window: the number of values per fit: odd, more than `order`, at most n.
        order: the order of the polynomial, 2 for a parabola.

    Raises:
        UsageError: the window does not fit.
    """
    series, half = _checked(values, window, order), window // 2
    # scaled to [-1, 1]: powers of hundreds would lose digits
    basis = np.vander(np.arange(-half, half + 1) / max(half, 1), order + 1, increasing=True)
    fit = np.linalg.pinv(basis)  # (order + 1, window): from values to coefficients
    return _convolved(series, fit[0][::-1])


def _checked(values: ArrayLike, window: int, order: int) -> Array:
    series = np.asarray(values, dtype=np.float64)
    if window % 2 == 0 or not order < window <= len(series):
        raise UsageError(f"window must be odd, above {order} and at most {len(series)}, got {window}")
    return series


def _convolved(series: Array, weights: Array) -> Array:
    return np.convolve(np.pad(series, len(weights) // 2, mode="reflect"), weights, mode="valid")


def moving_mean(values: ArrayLike, window: int) -> Array:
    """Returns the mean of the `window` values around each; windows shrink near the ends."""
    series = np.asarray(values, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(series)])
    start, stop = windows(np.arange(len(series)), window, len(series))
    means: Array = (sums[stop] - sums[start]) / (stop - start)
    return means


def means_at(values: ArrayLike, window: int, at: NDArray[np.int64]) -> Array:
    """Returns `moving_mean` at some places only, without the rounding errors of large running sums."""
    series = np.asarray(values, dtype=np.float64)
    start, stop = windows(at, window, len(series))
    sums = np.add.reduceat(np.append(series, 0.0), np.stack([start, stop], axis=1).reshape(-1))[::2]
    means: Array = sums / (stop - start)
    return means


def windows(at: NDArray[np.int64], window: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns where the windows around some of `count` values start and stop."""
    return np.maximum(at - window // 2, 0), np.minimum(at + (window - 1) // 2 + 1, count)


def _odd(count: int) -> int:
    return count - 1 + count % 2
