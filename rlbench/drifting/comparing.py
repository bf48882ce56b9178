"""Columns compared: an effect size with an interval first, the p-value of a permutation test second.

Numbers are counted in at most 200 bins with about equally many rows (exact where there are no more values), categories
in at most 1,000 with one for the rest. Units are dealt into at most 500 blocks a side, which are what is permuted and
drawn: memory does not grow with the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.drifting.effects import cramers_v, mean_square_contingency, psi, wasserstein
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.drifting.samples import Sample

    Array = NDArray[Any]
    Floats = NDArray[np.float64]

BINS = 200  # of a column of numbers
CATEGORIES = 1_000  # of any other, the most frequent
PSI_BINS = 10  # with as many reference rows each
BLOCKS = 500  # a side
RESAMPLES = 1_000  # for an interval
PERMUTATIONS = 999  # at first; more for a column whose p may be small
AT_ONCE = 500  # permutations
CONFIDENCE = 0.95
ROUNDING = 1e-12  # below which two effects are equal


class ColumnDrift(NamedTuple):
    """How far a column has drifted.

    Attributes:
        name: of the column.
        measure: of the effect: "Wasserstein", in standard deviations of the reference, or "Cramer's V", 0 to 1.
        effect: its value.
        interval: its 95 % bootstrap interval.
        p: the probability of such an effect without drift, by permutation.
        p_holm: the same, corrected for the number of columns.
        psi: the population stability index.
        drifted: whether p_holm and effect both say so.
    """

    name: str
    measure: str
    effect: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    psi: float
    drifted: bool


@dataclass(frozen=True, eq=False)
class Counted:
    """A column of two samples as counts.

    Attributes:
        reference, data: (blocks, bins) each.
        points: (bins,), where the bins lie, in standard deviations of the reference; None for categories.
    """

    reference: Floats
    data: Floats
    points: Floats | None

    @property
    def measure(self) -> str:
        """The name of its effect size."""
        return "Cramer's V" if self.points is None else "Wasserstein"

    def effect(self, reference: Floats, data: Floats) -> Floats:
        """Returns the effect sizes (...) of counts (..., bins)."""
        return cramers_v(reference, data) if self.points is None else wasserstein(reference, data, self.points)

    def distance(self, reference: Floats, data: Floats) -> Floats:
        """Returns what is compared under permutation: the effect, without corrections."""
        if self.points is None:
            return mean_square_contingency(reference, data)
        return wasserstein(reference, data, self.points)

    def psi(self, reference: Floats, data: Floats) -> Floats:
        """Returns the population stability index in bins with equal shares of the reference, or by category."""
        return psi(reference @ self._in_tenths, data @ self._in_tenths)

    @cached_property
    def _in_tenths(self) -> Floats:
        """Which bin belongs to which of the index's, (bins, at most 10)."""
        counts = self.reference.sum(axis=0)
        if self.points is None:
            return np.eye(len(counts))
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        tenths = np.minimum((middle * PSI_BINS).astype(np.int64), PSI_BINS - 1)
        return np.asarray(np.eye(PSI_BINS)[:, np.unique(tenths)][tenths])


# ------------------------------------------------------------------ counting


def blocks_of(sample: Sample, most: int = BLOCKS) -> NDArray[np.int64]:
    """Returns the block of each row, (rows,): units are dealt out in turn."""
    return sample.units % min(sample.n_units, most)


def counted(reference: Array, data: Array, blocks: tuple[Array, Array]) -> Counted:
    """Counts a column of two samples, whose rows lie in these blocks."""
    ours, theirs, points = (
        _in_categories(reference, data) if _is_of_categories(reference) else _in_bins(reference, data)
    )
    n = 1 + max(int(ours.max()), int(theirs.max()))
    tables = [
        np.bincount(block * n + places, minlength=(int(block.max()) + 1) * n).reshape(-1, n).astype(np.float64)
        for block, places in zip(blocks, (ours, theirs), strict=True)
    ]
    return Counted(tables[0], tables[1], points)


def _is_of_categories(reference: Array) -> bool:
    """Returns whether a column is compared by its values alone: also numbers without a spread to measure in."""
    if reference.dtype.kind != "f" or reference.min() == reference.max():
        return True
    with np.errstate(over="ignore", invalid="ignore"):  # the squares of numbers beyond 1e154 or below 1e-162
        return not 0 < reference.std() < np.inf


def _in_bins(reference: Floats, data: Floats) -> tuple[Array, Array, Floats]:
    both = np.concatenate([reference, data])
    values, places = np.unique(both, return_inverse=True)
    if len(values) > BINS:
        edges = np.unique(np.quantile(both, np.arange(1, BINS) / BINS))
        places = np.searchsorted(edges, both, side="right")
        _, places = np.unique(places, return_inverse=True)
        values = np.bincount(places, both) / np.bincount(places)
    return places[: len(reference)], places[len(reference) :], values / reference.std()


def _in_categories(reference: Array, data: Array) -> tuple[Array, Array, None]:
    both = np.concatenate([reference, data])
    values, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    rank = np.empty(len(values), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(values))
    places = np.minimum(rank, CATEGORIES - 1)[places]
    return places[: len(reference)], places[len(reference) :], None


# ------------------------------------------------------------------ comparing


def compare(reference: Sample, data: Sample, *, alpha: float, least_effect: float, seed: int) -> list[ColumnDrift]:
    """Compares each column of the data with that of the reference.

    Args:
        reference: what is normal.
        data: what came; other columns than the reference's are ignored.
        alpha: the probability of calling any column drifted where none is.
        least_effect: effects below this do not count as drift, however sure they are.
        seed: of permutations and resamples.

    Raises:
        UsageError: a column of the reference is missing, or of another kind.
    """
    blocks = blocks_of(reference), blocks_of(data)
    columns = [counted(reference.columns[name], _column(data, name, reference), blocks) for name in reference.names]
    rng = np.random.default_rng([seed, 1])
    p = _p_values(columns, alpha, rng)
    adjusted = holm(p)
    weights = _weights(columns[0], rng)
    found = []
    for name, column, each, all_of_them in zip(reference.names, columns, p, adjusted, strict=True):
        effect, interval, index = _effect(column, weights)
        drifted = bool(all_of_them <= alpha and effect >= least_effect)
        found.append(
            ColumnDrift(name, column.measure, effect, interval, float(each), float(all_of_them), index, drifted)
        )
    return found


def _column(data: Sample, name: str, reference: Sample) -> Array:
    if name not in data.columns:
        there = ", ".join(data.names[:8]) or "none"
        raise UsageError(f"{data.source} must have the column {name!r}, as {reference.source}; it has {there}")
    column = data.columns[name]
    kind = reference.columns[name].dtype.kind
    if column.dtype.kind != kind:
        wanted = {"f": "numbers", "i": "states"}.get(kind, "texts")
        raise UsageError(f"{data.source}: column {name!r} must hold {wanted}, as {reference.source} does")
    return column


def _weights(column: Counted, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Returns how often each block is drawn in each resample, (resamples, blocks), of the reference and of the data."""
    sizes = len(column.reference), len(column.data)
    ours, theirs = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES).astype(np.float64) for n in sizes)
    return ours, theirs


def _effect(column: Counted, weights: tuple[Floats, Floats]) -> tuple[float, tuple[float, float], float]:
    """Returns the effect, its interval and the population stability index.

    The interval reaches from the lower of the percentile and the basic limit to the percentile limit: a distance is
    never negative, so that resamples of a small one lie above it, as far as it lies above the truth, and 95 % of the
    intervals around a shift of 0.25 to 0.5 deviations hold it (150 to 1,000 rows); around none at all, 90 %.
    """
    totals = column.reference.sum(axis=0), column.data.sum(axis=0)
    effect = float(column.effect(*totals))
    drawn = column.effect(weights[0] @ column.reference, weights[1] @ column.data)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    limits = max(0.0, min(effect, float(low), 2 * effect - float(high))), max(effect, float(high))
    return effect, limits, float(column.psi(*totals))


def _p_values(columns: Sequence[Counted], alpha: float, rng: np.random.Generator) -> Floats:
    """Returns the p-value of each column: those that may be small by as many permutations as Holm needs to see them."""
    observed = np.array([float(one.distance(one.reference.sum(axis=0), one.data.sum(axis=0))) for one in columns])
    beyond, done = np.zeros(len(columns)), np.zeros(len(columns))
    enough = max(PERMUTATIONS, int(np.ceil(2 * len(columns) / alpha)))
    open_ones = np.arange(len(columns))
    tables = [np.concatenate([one.reference, one.data]) for one in columns]
    for chosen in _permutations(columns[0], enough, rng):
        for i in open_ones.tolist():
            data = chosen @ tables[i]
            distance = columns[i].distance(tables[i].sum(axis=0) - data, data)
            beyond[i] += np.count_nonzero(distance >= observed[i] - ROUNDING)
            done[i] += len(chosen)
        if done[open_ones[0]] >= PERMUTATIONS:
            open_ones = open_ones[beyond[open_ones] < alpha * done[open_ones]]
        if not len(open_ones):
            break
    return (beyond + 1) / (done + 1)


def _permutations(column: Counted, n: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yields which blocks are taken for the data, (some permutations, blocks), n permutations in all."""
    labels = np.repeat([0.0, 1.0], [len(column.reference), len(column.data)])
    for first in range(0, n, AT_ONCE):
        yield rng.permuted(np.tile(labels, (min(AT_ONCE, n - first), 1)), axis=1)


def holm(p: Floats) -> Floats:
    """Returns p-values corrected for their number (Holm, 1979): the least holds for all of them together."""
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return adjusted
