"""Series over episodes: turns data into lines, and draws them with bands and a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from rlbench.errors import UsageError
from rlbench.evaluation.comparison import group_runs
from rlbench.intervals import mean_band
from rlbench.plots.data import is_run, title_of
from rlbench.plots.style import COLORS, FIGURE_SIZE, plain, whole_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from rlbench.training import Run

    Array = NDArray[np.float64]
    Line = tuple[str, list[Array]]  # a label, and (episodes,) for each of its runs

Curves: TypeAlias = "Run | Sequence[Run] | ArrayLike | Mapping[str, ArrayLike]"

MOST_POINTS = 600  # of a line: all that a printed page can show
LEGEND_BELOW = 0.45  # inches from an axis to the legend below it, with ticks and a label in between
LEGEND_LINE = 0.19  # inches


def lines_of(data: Curves, read: Callable[[Run], Array], smooth: Callable[[Array], Array]) -> list[Line]:
    """Returns the lines for the data, the runs of each cut to the shortest.

    Args:
        data: a run, runs of one env, or values: (episodes,), (runs, episodes), or a dict of these by name.
        read: returns a run's values, (episodes,), smoothed.
        smooth: smooths values given as arrays.

    Raises:
        UsageError: runs of different envs, no episodes, or a wrong shape.
    """
    if isinstance(data, Mapping):
        lines = [(str(name), _rows(values, smooth)) for name, values in data.items()]
    elif is_run(data):
        lines = [("", [read(data)])]  # type: ignore[arg-type]  # checked by is_run
    elif isinstance(data, Sequence) and data and all(map(is_run, data)):
        groups = group_runs(cast("Sequence[Run]", data))
        lines = [(group.label, [read(run) for run in group.runs]) for group in groups]
        lines = [("", lines[0][1])] if len(lines[0][1]) == len(lines) == 1 else lines  # the title names it
    else:
        lines = [("", _rows(data, smooth))]
    if not lines or not all(many and all(map(len, many)) for _, many in lines):
        raise UsageError("a line needs at least one run with at least one finished episode")
    return [(label, _cut(many)) for label, many in lines]


def draw_lines(ax: Axes, lines: Sequence[Line], alone: str = "") -> None:
    """Draws the mean of each line's runs and, for several runs, its 95 % bootstrap interval as a band.

    Args:
        ax: the axes.
        lines: the smoothed lines.
        alone: the label of a line without one; "" for none.
    """
    for number, (name, many) in enumerate(lines):
        color, rows = COLORS[number % len(COLORS)], np.stack(many)
        at = points(rows.shape[1])
        label = ", ".join(filter(None, (name or alone, f"{len(rows):,} runs" if len(rows) > 1 else "")))
        if len(rows) > 1:
            low, high = mean_band(rows[:, at])
            ax.fill_between(at, low, high, color=color, alpha=0.25, linewidth=0)
        ax.plot(at, rows[:, at].mean(axis=0), color=color, label=plain(label) if label else None)


def finish(ax: Axes, data: Any, lines: Sequence[Line], ylabel: str) -> None:
    """Labels the axes, and puts a legend in the plot or, for several lines, below it."""
    from matplotlib.transforms import ScaledTranslation  # noqa: PLC0415  (an extra)

    ax.set(ylabel=plain(ylabel), title=plain(title_of(data)))
    number_episodes(ax)
    if not ax.get_legend_handles_labels()[1]:
        return
    title = "band: 95 % interval of the mean" if any(len(many) > 1 for _, many in lines) else None
    if len(lines) == 1:
        ax.legend(loc="best", title=title, alignment="left")
    else:
        where = ax.transAxes + ScaledTranslation(0, -LEGEND_BELOW, ax.figure.dpi_scale_trans)
        options = {"bbox_to_anchor": (0, 0), "bbox_transform": where, "borderaxespad": 0}
        ax.legend(loc="upper left", title=title, alignment="left", **options)


def size_for(lines: int) -> tuple[float, float]:
    """Returns the size in inches of a plot with `lines` lines and room for the legend below."""
    return FIGURE_SIZE[0], FIGURE_SIZE[1] + (LEGEND_LINE * (lines + 2) if lines > 1 else 0)


def points(count: int) -> NDArray[np.int64]:
    """Returns which of `count` episodes a line goes through, including the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.int64))


def number_episodes(ax: Axes) -> None:
    """Labels the x axis with episodes."""
    ax.set_xlabel("episode")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    whole_numbers(ax.xaxis)


def _rows(values: Any, smooth: Callable[[Array], Array]) -> list[Array]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise UsageError(f"values must be (episodes,) or (runs, episodes), got the shape {array.shape}")
    return [smooth(row) for row in np.atleast_2d(array)]


def _cut(many: list[Array]) -> list[Array]:
    shortest = min(map(len, many))
    return [one[:shortest] for one in many]
