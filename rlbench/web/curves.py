"""Curves for a screen: of any number of episodes, what each column of pixels shows, with the exact extremes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import RlbenchError, UsageError
from rlbench.intervals import mean_band
from rlbench.plots.series import X_AXES, check_x, places
from rlbench.plots.smoothing import Smoothing, means_at
from rlbench.texts import escaped
from rlbench.training import Run
from rlbench.web.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rlbench.evaluation.comparison import Group
    from rlbench.store import Store

    Array = NDArray[np.float64]

PIXELS = 900  # columns, unless a page says otherwise
MOST_PIXELS = 4_000
SMOOTH = Smoothing()
MOST_DIGITS = 300  # after the point: NumPy multiplies by as many powers of ten
KEPT = 64  # curves of runs: 60,000 episodes take a megabyte
FIGURES = {"return": "return", "length": "steps of an episode", "exploration_rate": "exploration rate"}


class Whole(NamedTuple):
    """A figure of all episodes of a run, and where they lie on the x axis."""

    x: Array  # (episodes,), ascending
    y: Array  # (episodes,)


CURVES: Shelf[tuple[Any, ...], Whole] = Shelf(KEPT)


class Columns(NamedTuple):
    """What columns of pixels show."""

    places: NDArray[np.int64]  # (columns,) the episode in the middle of each
    low: Array  # (columns,) the least of its values
    high: Array  # (columns,) the greatest


def whole(run: Run, figure: str = "return", x: str = "episodes") -> Whole:
    """Returns a figure of all episodes of a run.

    Raises:
        UsageError: the run has no such figure, or `x` is neither "episodes" nor "steps".
    """
    check_x(x)
    if figure not in FIGURES:
        raise UsageError(f"a curve shows {', '.join(FIGURES)}, got {figure[:40]!r}")
    if run.status == "running":  # it will have grown by the next time, and what it was would be kept
        return _read(run, figure, x)
    key = (run.store.url, run.id, run.record.episodes, figure, x)
    return CURVES.get(key, lambda: _read(run, figure, x))


def warm(store: Store) -> None:
    """Reads the curve of the newest run once: what unpacks the first takes a second to import."""
    with suppress(RlbenchError):
        whole(Run(store.run("latest"), store))


def _read(run: Run, figure: str, x: str) -> Whole:
    names = {figure, *(["length"] if x == "steps" else [])}
    found = run.store.figures(run.id, names)
    if figure not in found:
        raise UsageError(f"run {run.id} has no {FIGURES[figure]}: only runs trained by rlbench record it")
    y = np.asarray(found[figure], dtype=np.float64)
    return Whole(places(found["length"] if x == "steps" else y, x), y)


def columns(curve: Whole, pixels: int) -> Columns:
    """Returns what columns of pixels show of a curve with at least one value; those without a value are left out."""
    edges = np.linspace(curve.x[0], curve.x[-1], pixels + 1)[:-1]
    starts = np.unique(np.searchsorted(curve.x, edges))
    stops = np.append(starts[1:], len(curve.x))
    low, high = np.fmin.reduceat(curve.y, starts), np.fmax.reduceat(curve.y, starts)
    return Columns((starts + stops - 1) // 2, low, high)


def smoothed(values: Array, at: NDArray[np.int64]) -> Array:
    """Returns smoothed values at some places; those that are all 0 or 1 by a mean, which stays between."""
    if ((values == 0) | (values == 1)).all():
        return means_at(values, max(1, SMOOTH.window_for(len(values)) // 2), at)
    return SMOOTH.at(values, at)


def of_run(curve: Whole, pixels: int, begin: float | None = None, end: float | None = None) -> dict[str, Any]:
    """Returns a curve, or its part between two places, as a page draws it: x, least, greatest and smoothed values."""
    first = 0 if begin is None else int(np.searchsorted(curve.x, begin))
    stop = len(curve.x) if end is None else int(np.searchsorted(curve.x, end, "right"))
    if stop <= first:
        return {"x": [], "low": [], "high": [], "line": []}
    shown = columns(Whole(curve.x[first:stop], curve.y[first:stop]), pixels)
    at = shown.places + first
    return {
        "x": curve.x[at].tolist(),
        "low": _plain(shown.low),
        "high": _plain(shown.high),
        "line": _plain(_rounded(smoothed(curve.y, at))),
    }


def of_groups(groups: Sequence[Group], pixels: int, x: str = "episodes") -> dict[str, Any]:
    """Returns the curves of groups of runs over each other, on places that all share.

    Of a single run the band shows its extremes, of several the 95 % interval of their mean.

    Raises:
        UsageError: none of the runs has finished an episode.
    """
    wholes = [[one for one in (whole(run, x=x) for run in group.runs) if len(one.x)] for group in groups]
    ends = [one.x[-1] for members in wholes for one in members]
    if not ends:
        raise UsageError("none of these runs has finished an episode yet")
    grid = np.linspace(min(one.x[0] for members in wholes for one in members), max(ends), pixels)
    lines = [
        {"label": escaped(group.label), "runs": len(members), **_line(members, grid)}
        for group, members in zip(groups, wholes, strict=True)
    ]
    return {"x": _rounded(grid).tolist(), "lines": lines, "axis": X_AXES[x]}


def _line(members: Sequence[Whole], grid: Array) -> dict[str, Any]:
    if not members:
        nothing = [None] * len(grid)
        return {"line": nothing, "low": nothing, "high": nothing}
    rows = np.stack([_on_grid(one, grid) for one in members])
    known = ~np.isnan(rows).any(axis=0)
    middle, low, high = (np.full(len(grid), np.nan) for _ in range(3))
    middle[known] = rows[:, known].mean(axis=0)
    if len(members) > 1:
        low[known], high[known] = map(_rounded, mean_band(rows[:, known]))
    else:
        low, high = _extremes(members[0], grid)
    return {"line": _plain(_rounded(middle)), "low": _plain(low), "high": _plain(high)}


def _on_grid(curve: Whole, grid: Array) -> Array:
    """Returns smoothed values on a grid, NaN before the first and after the last."""
    at = np.unique(np.clip(np.searchsorted(curve.x, grid), 0, len(curve.x) - 1))
    return np.interp(grid, curve.x[at], smoothed(curve.y, at), left=np.nan, right=np.nan)


def _extremes(curve: Whole, grid: Array) -> tuple[Array, Array]:
    """Returns the least and the greatest value of the column round each place of a grid; NaN where there is none."""
    edges = np.append(-np.inf, (grid[1:] + grid[:-1]) / 2)
    starts = np.searchsorted(curve.x, edges)
    filled = np.diff(np.append(starts, len(curve.x))) > 0
    low, high = np.full(len(grid), np.nan), np.full(len(grid), np.nan)
    low[filled] = np.fmin.reduceat(curve.y, starts[filled])
    high[filled] = np.fmax.reduceat(curve.y, starts[filled])
    return low, high


def _rounded(values: Array) -> Array:
    """Returns values with six digits, which are more than a screen shows."""
    size = np.max(np.abs(values), initial=0.0, where=np.isfinite(values))
    digits = 6 if size == 0 else 5 - int(np.floor(np.log10(size)))
    return np.round(values, min(max(digits, 0), MOST_DIGITS))


def _plain(values: Array) -> list[float | None]:
    """Returns values for JSON; None for what is not finite."""
    return [value if np.isfinite(value) else None for value in values.tolist()]
