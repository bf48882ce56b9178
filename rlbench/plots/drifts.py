"""Drift: effects with their intervals, and two distributions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rlbench.plots.fitting import drawing, legend_below
from rlbench.plots.style import BLUE, FIGURE_SIZE, GREY, ORANGE, VERMILION, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

BARS = 30  # of a distribution
ROW = 0.24  # inches of a column's line


def drift_effects(
    names: Sequence[str],
    effects: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    ax: Axes | None = None,
    *,
    drifted: Sequence[bool],
    least_effect: float,
) -> Axes:
    """Draws effects with their intervals, from the bottom to the top; those that drifted as red diamonds.

    Args:
        names: of the columns.
        effects: theirs.
        intervals: low and high, likewise.
        ax: where to draw; a new figure's by default.
        drifted: which of them did.
        least_effect: drawn as a dashed line.
    """
    with drawing(ax, (FIGURE_SIZE[0], 1.1 + ROW * len(names))) as drawn:
        for at, (effect, interval, is_drifted) in enumerate(zip(effects, intervals, drifted, strict=True)):
            color, marker = (VERMILION, "D") if is_drifted else (BLUE, "o")
            drawn.plot(interval, (at, at), color=color, linewidth=2, solid_capstyle="butt")
            drawn.plot([effect], [at], marker, color=color, markersize=4)
        drawn.set_yticks(range(len(names)), [plain(name) for name in names])
        drawn.axvline(least_effect, color=GREY, linestyle="--", linewidth=1)
        drawn.set(xlabel="effect", xlim=(0, None), ylim=(-0.6, len(names) - 0.4))
    return drawn


def drift_distributions(reference: ArrayLike, data: ArrayLike, ax: Axes | None = None, *, name: str) -> Axes:
    """Draws a column of the reference and of the data as shares of their rows: a histogram, or bars by category.

    Args:
        reference: (rows,), numbers or categories.
        data: the same, of other rows.
        ax: where to draw; a new figure's by default.
        name: of the column.
    """
    ours, theirs = np.asarray(reference), np.asarray(data)
    with drawing(ax) as drawn:
        (_draw_numbers if ours.dtype.kind == "f" else _draw_categories)(drawn, ours, theirs)
        drawn.set(xlabel=plain(name), ylabel="share of the rows")
        legend_below(drawn)
    return drawn


def _draw_numbers(ax: Axes, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> None:
    edges = np.histogram_bin_edges(np.concatenate([ours, theirs]), BARS)
    for values, label, color, line in ((ours, "reference", BLUE, "-"), (theirs, "data", ORANGE, "--")):
        counts = np.histogram(values, edges)[0] / len(values)
        ax.stairs(counts, edges, label=label, color=color, linestyle=line, linewidth=1.6)


def _draw_categories(ax: Axes, ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> None:
    """Draws the categories whose shares differ most."""
    values, places = np.unique(np.concatenate([ours, theirs]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(values)) / len(part) for part in np.split(places, [len(ours)])]
    kept = np.sort(np.argsort(-np.abs(shares[1] - shares[0]), kind="stable")[:BARS])
    at = np.arange(len(kept))
    for share, label, color, move in ((shares[0], "reference", BLUE, -0.2), (shares[1], "data", ORANGE, 0.2)):
        ax.bar(at + move, share[kept], 0.4, label=label, color=color)
    ax.set_xticks(at, [plain(str(values[i])) for i in kept], rotation=90)
