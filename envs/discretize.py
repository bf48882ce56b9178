"""A wrapper that makes a Box observation Discrete: bins.

The compiled worlds reproduce this arithmetic bit for bit. Observations are converted to float64 first;
then, for each dimension i,

    UniformBins:  place = (x[i] - low[i]) * scale[i]
                  index = 0 if not place > 0, counts[i] - 1 if place >= counts[i], else int(place)
    CutPoints:    index = the number of the dimension's cuts <= x[i]

so a value outside the cuts, infinity included, falls into the outermost bin, and NaN into bin 0. For finite
values UniformBins' index is min(max(floor(place), 0), counts[i] - 1). The flat index is row-major (mixed
radix, the first dimension most significant): index = ((i_0 * counts[1]) + i_1) * counts[2] + i_2 ...

Centers have one index for all dimensions, that of the nearest centre (the first on a tie):

    Centers:      distance[k] = ((x[0] - c[k, 0]) / scale[0])**2 + ((x[1] - c[k, 1]) / scale[1])**2 + ...

summed in this order; if no distance is finite, the index is 0.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from rlbench.envs.making import wrappers_of
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

UNBOUNDED = float(np.finfo(np.float32).max)  # many envs use a bound this large for "no bound"
MAX_BINS = 2**63 - 1  # the largest Discrete space
ROWS = 4096  # observations whose distances to all centres are held at once
TABLE = 2  # axes of centres: one row per centre


class UniformBins(NamedTuple):
    """Bins of equal width between `low` and `high`, one entry per dimension.

    `low`, `high` and `scale` = counts / (high - low) are float64 (d,), `counts` int64 (d,).
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    scale: NDArray[np.float64]
    counts: NDArray[np.int64]


class CutPoints(NamedTuple):
    """Bins between explicit cut points, any number per dimension.

    Dimension i has the increasing cuts `cuts[offsets[i] : offsets[i + 1]]`, and so one more bin than cuts;
    `cuts` is float64 (total,), `offsets` int64 (d + 1,).
    """

    cuts: NDArray[np.float64]
    offsets: NDArray[np.int64]


class Centers(NamedTuple):
    """One bin around each of k centres, such as those of k-means: the points nearest to it.

    `centers` is float64 (k, d); `scale`, float64 (d,), is the unit of distance in each dimension.
    """

    centers: NDArray[np.float64]
    scale: NDArray[np.float64]


Bins: TypeAlias = UniformBins | CutPoints | Centers
PerDimension: TypeAlias = "float | Sequence[float | None] | NDArray[Any] | None"


def make_bins(
    space: spaces.Space[Any],
    bins: int | Sequence[int] | None = None,
    *,
    low: PerDimension = None,
    high: PerDimension = None,
    cuts: Sequence[Sequence[float]] | None = None,
    centers: Sequence[Sequence[float]] | NDArray[Any] | None = None,
    scale: float | Sequence[float] | NDArray[Any] | None = None,
) -> Bins:
    """Builds bins for a Box: uniform ones from `bins`, explicit ones from `cuts`, or those around `centers`.

    Args:
        space: the observation space; a Box of several axes is flattened in C order.
        bins: the number of bins, one for all dimensions or one per dimension.
        low: the lowest cut of each dimension (None: the space's bound), or one for all dimensions.
        high: the highest cut, likewise.
        cuts: each dimension's increasing cut points, instead of the three above; no cuts make a single bin.
        centers: the centres (k, d) of the bins, instead of all of the above.
        scale: with `centers`, the unit of distance in each dimension; 1 by default.

    Raises:
        UsageError: the arguments contradict each other, or a dimension has infinite bounds and no cuts.
    """
    if not isinstance(space, spaces.Box):
        raise UsageError(f"bins need a Box observation space, got {space}")
    size = math.prod(space.shape)
    if centers is not None:
        if any(argument is not None for argument in (bins, low, high, cuts)):
            raise UsageError("give either centers (with scale), bins or cuts, not several of them")
        return _centers(centers, scale, size)
    if scale is not None:
        raise UsageError("scale needs centers: give both, or neither")
    if cuts is not None:
        if bins is not None or low is not None or high is not None:
            raise UsageError("give either bins (with low and high) or cuts, not both")
        return _checked_size(_cut_points(cuts, size))
    if bins is None:
        raise UsageError("give bins (a number per observation dimension) or cuts, got neither")
    return _checked_size(_uniform_bins(space, bins, low, high))


def bin_counts(bins: Bins) -> NDArray[np.int64]:
    """Returns the number of bins per dimension, int64 (d,); UsageError for bins around centres, which have no grid."""
    if isinstance(bins, Centers):
        raise UsageError("bins around centres form no grid: use their total number, n_bins")
    return bins.counts if isinstance(bins, UniformBins) else np.diff(bins.offsets) + 1


def n_bins(bins: Bins) -> int:
    """Returns the total number of bins."""
    return len(bins.centers) if isinstance(bins, Centers) else math.prod(bin_counts(bins).tolist())


def n_dimensions(bins: Bins) -> int:
    """Returns the number of values in an observation."""
    return len(bins.scale) if isinstance(bins, Centers) else len(bin_counts(bins))


def bin_encoder(bins: Bins) -> Callable[[Iterable[float]], int]:
    """Returns a function from an observation, d Python floats, to its flat index."""
    return _ENCODERS[type(bins)](bins)


def bin_indices(bins: Bins, observations: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the flat index of each of n observations (n, d): what `bin_encoder` returns for each of them."""
    rows = np.asarray(observations, np.float64)
    if isinstance(bins, Centers):
        return _nearest(bins, rows)
    places = _uniform_places(bins, rows) if isinstance(bins, UniformBins) else _cut_places(bins, rows)
    flat = np.zeros(len(rows), np.int64)
    for place, count in zip(places, bin_counts(bins).tolist(), strict=True):
        flat = flat * count + place
    return flat


def inner_edges(bins: Bins, dimension: int) -> list[float]:
    """Returns where one bin of a dimension ends and the next begins, in ascending order: one fewer than its bins.

    Raises:
        UsageError: the bins lie around centres and so have no such edges.
    """
    if isinstance(bins, Centers):
        raise UsageError("bins around centres have no edges along the dimensions: use bins.centers")
    if isinstance(bins, UniformBins):
        places = np.arange(1, bins.counts[dimension])
        edges: list[float] = (bins.low[dimension] + places / bins.scale[dimension]).tolist()
        return edges
    begin, end = bins.offsets[dimension : dimension + 2]
    cuts: list[float] = bins.cuts[begin:end].tolist()
    return cuts


def bin_bounds(bins: Bins, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the (d,) lower and (d,) upper edges of bin `index`; the outermost are infinite.

    A bin holds low <= x < high (uniform edges up to rounding).

    Raises:
        UsageError: the index is out of range, or the bins lie around centres and so have no edges.
    """
    edges = [[-np.inf, *inner_edges(bins, i), np.inf] for i in range(n_dimensions(bins))]
    total = n_bins(bins)
    if not 0 <= index < total:
        raise UsageError(f"bin must be in [0, {total}), got {index}")
    low, high = np.empty((2, len(edges)))
    for i, of_one in reversed(list(enumerate(edges))):
        index, place = divmod(index, len(of_one) - 1)
        low[i], high[i] = of_one[place : place + 2]
    return low, high


def bins_of(env: gym.Env[Any, Any]) -> Bins | None:
    """Returns the bins whose index an env observes; None if it has none, or if another wrapper changes the index."""
    for layer in (*wrappers_of(env), env.unwrapped):
        bins = getattr(layer, "bins", None)
        if isinstance(bins, Bins):
            return bins
        if isinstance(layer, gym.ObservationWrapper):
            return None
    return None


class Discretize(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Bins a Box observation, so that it can index a table.

    Args:
        env: an env with a Box observation space of any shape.
        bins, low, high, cuts, centers, scale: see `make_bins`; `from_kmeans` takes learnt centres.

    Attributes:
        bins: the `UniformBins`, `CutPoints` or `Centers`.
        n_bins: the total number of bins; the observation space is Discrete(n_bins).

    Raises:
        UsageError: the env or the arguments do not fit; the message names the dimension.

    Example:
        >>> env = Discretize(gym.make("CartPole-v1"), 8, low=[-2.4, -2, None, -3], high=[2.4, 2, None, 3])
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        bins: int | Sequence[int] | None = None,
        *,
        low: PerDimension = None,
        high: PerDimension = None,
        cuts: Sequence[Sequence[float]] | None = None,
        centers: Sequence[Sequence[float]] | NDArray[Any] | None = None,
        scale: float | Sequence[float] | NDArray[Any] | None = None,
    ) -> None:
        learnt = {name: value for name, value in (("centers", centers), ("scale", scale)) if value is not None}
        arguments = {"bins": bins, "low": low, "high": high, "cuts": cuts, **learnt}
        RecordConstructorArgs.__init__(self, **{name: _plain(value) for name, value in arguments.items()})
        gym.ObservationWrapper.__init__(self, env)
        self.bins = make_bins(env.observation_space, bins, low=low, high=high, cuts=cuts, centers=centers, scale=scale)
        self.n_bins = n_bins(self.bins)
        self.observation_space = spaces.Discrete(self.n_bins)
        self._encode = bin_encoder(self.bins)

    @classmethod
    def from_kmeans(
        cls,
        env: gym.Env[Any, Any],
        kmeans: Any,
        *,
        scale: float | Sequence[float] | NDArray[Any] | None = None,
    ) -> Self:
        """Bins a Box observation by the nearest of the centres learnt by k-means.

        Args:
            env: an env with a Box observation space of any shape.
            kmeans: a `KMeans` fitted to observations divided by `scale`, or its centres (k, d).
            scale: the divisor of the observations, one number or one per dimension; 1 by default.

        Raises:
            UsageError: the KMeans is not fitted, or the centres have the wrong shape.

        Example:
            >>> from rlbench.models import KMeans
            >>> scale = [1.0, 1.0, 0.1, 0.8]
            >>> observations = np.random.default_rng(0).normal(size=(500, 4)) * scale
            >>> kmeans = KMeans(50, random_state=0).fit(observations / scale)
            >>> env = Discretize.from_kmeans(gym.make("CartPole-v1"), kmeans, scale=scale)
        """
        found = getattr(kmeans, "cluster_centers_", kmeans)
        if hasattr(found, "fit"):
            raise UsageError(f"from_kmeans needs a fitted KMeans or its centres, got {found!r}: call fit first")
        units = np.ones(1) if scale is None else _floats("scale", scale)
        table = _floats("centers", found)
        if table.ndim != TABLE or units.size not in {1, table.shape[1]}:
            raise UsageError(
                f"centers must have the shape (k, d) and scale one number or d of them, got {table.shape} "
                f"and {units.shape}"
            )
        return cls(env, centers=table * units, scale=scale)

    def observation(self, observation: Any) -> int:
        """Returns the bin of an observation; NaN counts as the lowest value (see the module docstring)."""
        return self._encode(np.asarray(observation, dtype=np.float64).ravel().tolist())

    def bin_of(self, observation: Any) -> int:
        """Returns the bin of an observation given as an array or list of the space's size.

        Raises:
            UsageError: the number of values is wrong.
        """
        values = np.asarray(observation, dtype=np.float64).ravel().tolist()
        size = n_dimensions(self.bins)
        if len(values) != size:
            raise UsageError(f"observation must have {size} values, got {len(values)}")
        return self._encode(values)

    def bounds_of(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the (d,) lower and (d,) upper edges of a bin; the outermost are infinite."""
        return bin_bounds(self.bins, index)


def _plain(value: Any) -> Any:
    """Returns numbers, arrays and nested sequences as plain Python for JSON."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _cut_points(cuts: Sequence[Sequence[float]], size: int) -> CutPoints:
    if len(cuts) != size:
        raise UsageError(f"cuts must have one list per observation dimension ({size}), got {len(cuts)}")
    lists = [np.atleast_1d(_floats(f"the cuts of dimension {i}", points)) for i, points in enumerate(cuts)]
    for i, points in enumerate(lists):
        if not (np.isfinite(points).all() and (np.diff(points) > 0).all()):
            raise UsageError(f"the cuts of dimension {i} must be finite and increase, got {points.tolist()}")
    offsets = np.concatenate([[0], np.cumsum([len(points) for points in lists])]).astype(np.int64)
    return CutPoints(np.concatenate([np.empty(0), *lists]), offsets)


def _uniform_bins(space: spaces.Box, bins: int | Sequence[int], low: PerDimension, high: PerDimension) -> UniformBins:
    counts = _counts(bins, math.prod(space.shape))
    lows = _bounds("low", low, space.low)
    highs = _bounds("high", high, space.high)
    # A single bin needs no bounds: it takes everything.
    single = counts == 1
    lows[single], highs[single] = 0.0, 1.0
    for i, (a, b) in enumerate(zip(lows.tolist(), highs.tolist(), strict=True)):
        _check_bounds(i, a, b)
    return UniformBins(lows, highs, counts / (highs - lows), counts)


def _centers(centers: Any, scale: Any, size: int) -> Centers:
    points = _floats("centers", centers)
    if points.ndim != TABLE or points.shape[1] != size or not len(points):
        raise UsageError(f"centers must have the shape (k, {size}) with k >= 1, got {points.shape}")
    units = _floats("scale", 1.0 if scale is None else scale)
    if units.shape not in {(), (size,)}:
        raise UsageError(f"scale must be one number or {size} of them, got shape {units.shape}")
    units = np.broadcast_to(units, (size,)).copy()
    if not (np.isfinite(points).all() and np.isfinite(units).all() and (units > 0).all()):
        raise UsageError("centers must be finite, and scale finite and above 0")
    return Centers(points, units)


def _counts(bins: int | Sequence[int], size: int) -> NDArray[np.int64]:
    counts = np.asarray(bins)
    if counts.dtype.kind not in "iu" or counts.shape not in {(), (size,)} or counts.min(initial=1) < 1:
        raise UsageError(f"bins must be a whole number, 1 or more, or {size} of them, got {_plain(bins)}")
    return np.broadcast_to(counts, (size,)).astype(np.int64)


def _bounds(name: str, given: PerDimension, space_bound: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the space's bounds as float64 (d,), replaced where `given` has numbers."""
    bounds = space_bound.astype(np.float64).ravel()
    if given is None:
        return bounds
    values = [given] * len(bounds) if np.ndim(given) == 0 else list(given)  # type: ignore[arg-type]  # not a scalar
    if len(values) != len(bounds):
        count = len(bounds)
        raise UsageError(f"{name} must have one value per dimension ({count}), got {len(values)}")
    return _floats(name, [b if v is None else v for v, b in zip(values, bounds, strict=True)])


def _floats(name: str, values: Any) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} must be numbers, got {values!r}") from None


def _check_bounds(dimension: int, low: float, high: float) -> None:
    if not (abs(low) < UNBOUNDED and abs(high) < UNBOUNDED):
        bounds = f"({low}, {high})"
        raise UsageError(
            f"observation dimension {dimension} has infinite bounds {bounds}: give low= and high=, or cuts="
        )
    if not low < high:
        raise UsageError(f"observation dimension {dimension} needs low < high, got ({low}, {high})")


def _checked_size(bins: Bins) -> Bins:
    if n_bins(bins) > MAX_BINS:
        raise UsageError(f"{n_bins(bins)} bins are more than Discrete can hold: use fewer per dimension")
    return bins


def _uniform_encoder(bins: UniformBins) -> Callable[[Iterable[float]], int]:
    return partial(_uniform_bin, list(zip(bins.low.tolist(), bins.scale.tolist(), bins.counts.tolist(), strict=True)))


def _uniform_bin(dimensions: list[tuple[float, float, int]], values: Iterable[float]) -> int:
    index = 0
    for x, (low, scale, count) in zip(values, dimensions, strict=True):
        index *= count
        place = (x - low) * scale
        if place >= count:
            index += count - 1
        elif place > 0.0:
            index += int(place)
    return index


def _cut_encoder(bins: CutPoints) -> Callable[[Iterable[float]], int]:
    return partial(_cut_bin, [inner_edges(bins, i) for i in range(len(bins.offsets) - 1)])


def _cut_bin(dimensions: list[Any], values: Iterable[float]) -> int:
    index = 0
    for x, cuts in zip(values, dimensions, strict=True):
        index *= len(cuts) + 1
        if x == x:  # noqa: PLR0124 - NaN belongs in the first bin; bisect would put it in the last
            index += bisect_right(cuts, x)
    return index


def _center_encoder(bins: Centers) -> Callable[[Iterable[float]], int]:
    columns = np.ascontiguousarray(bins.centers.T)
    dimensions = list(zip(columns, bins.scale.tolist(), strict=True))
    return partial(_nearest_center, dimensions, np.empty((2, bins.centers.shape[0])))


def _nearest_center(
    dimensions: list[tuple[NDArray[np.float64], float]], room: NDArray[np.float64], values: Iterable[float]
) -> int:
    total, part = room
    total[:] = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # overflow counts as infinitely far
        for x, (column, unit) in zip(values, dimensions, strict=True):
            np.subtract(x, column, out=part)
            np.divide(part, unit, out=part)
            np.multiply(part, part, out=part)
            np.add(total, part, out=total)
    return int(total.argmin())


def _uniform_places(bins: UniformBins, rows: NDArray[np.float64]) -> NDArray[np.int64]:
    with np.errstate(over="ignore", invalid="ignore"):  # infinitely far out is in the outermost bin
        places = (rows - bins.low) * bins.scale
    inside = np.minimum(np.where(places > 0, places, 0.0), bins.counts - 1)  # NaN is not above 0
    return inside.astype(np.int64).T


def _cut_places(bins: CutPoints, rows: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    found = [np.searchsorted(inner_edges(bins, i), column, side="right") for i, column in enumerate(rows.T)]
    return [np.where(np.isnan(column), 0, place) for place, column in zip(found, rows.T, strict=True)]


def _nearest(bins: Centers, rows: NDArray[np.float64]) -> NDArray[np.int64]:
    flat = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        total = np.zeros((len(part), len(bins.centers)))
        with np.errstate(over="ignore", invalid="ignore"):  # overflow counts as infinitely far
            for x, column, unit in zip(part.T, bins.centers.T, bins.scale, strict=True):  # summed as in the encoder
                total += np.square((x[:, None] - column) / unit)
        flat[start : start + ROWS] = total.argmin(axis=1)
    return flat


_ENCODERS: dict[type, Callable[[Any], Callable[[Iterable[float]], int]]] = {
    UniformBins: _uniform_encoder,
    CutPoints: _cut_encoder,
    Centers: _center_encoder,
}
