"""Effect sizes: how far two distributions over the same bins or categories are apart, for many pairs at once.

Counts are (..., bins), of the reference and of the data; what comes out is (...).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

GHOST = 0.5  # rows added to each bin of a PSI, whose logarithms know no zero


def wasserstein(reference: Array, data: Array, points: Array) -> Array:
    """Returns the 1-Wasserstein distance: how far a row moves on average, in units of the points (bins,), ascending."""
    apart = np.cumsum(shares(data) - shares(reference), axis=-1)[..., :-1]
    return np.asarray(np.abs(apart) @ np.diff(points))


def psi(reference: Array, data: Array) -> Array:
    """Returns the population stability index: sum of (q - p) ln(q / p) over bins, half a row added to each.

    By habit, 0.1 is a small shift and 0.25 a large one.
    """
    p, q = shares(reference + GHOST), shares(data + GHOST)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def mean_square_contingency(reference: Array, data: Array) -> Array:
    """Returns chi-square / n of the table of the two rows of counts: the square of Cramer's V."""
    table = np.stack(np.broadcast_arrays(reference, data), axis=-2)
    expected = table.sum(axis=-1, keepdims=True) * shares(table.sum(axis=-2))[..., None, :]
    terms = np.divide((table - expected) ** 2, expected, out=np.zeros_like(expected), where=expected > 0)
    return np.asarray(terms.sum(axis=(-1, -2)) / table.sum(axis=(-1, -2)))


def cramers_v(reference: Array, data: Array) -> Array:
    """Returns Cramer's V, from 0 to 1, corrected for the categories that differ by chance alone (Bergsma, 2013)."""
    n = (reference + data).sum(axis=-1)
    categories = np.maximum((reference + data > 0).sum(axis=-1), 1)
    by_chance = (categories - 1) / (n - 1)
    square = np.maximum(mean_square_contingency(reference, data) - by_chance, 0.0)
    fewest = np.minimum(categories - (categories - 1) ** 2 / (n - 1), 2 - 1 / (n - 1)) - 1
    return np.asarray(np.sqrt(np.divide(square, fewest, out=np.zeros_like(square), where=fewest > 0)))


def shares(counts: Any) -> Array:
    """Returns counts as shares of their sum."""
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))
