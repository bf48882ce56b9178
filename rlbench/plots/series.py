"""Series over training: turns runs and arrays into lines, and draws them with bands and a legend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np

from rlbench.errors import UsageError, unknown_name
from rlbench.evaluation.comparison import check_same_env, group_runs
from rlbench.intervals import mean_band
from rlbench.plots.data import are_runs, listed, runs_in, title_of
from rlbench.plots.fitting import legend_below
from rlbench.plots.style import line_style, plain, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from rlbench.training import Run

    Array = NDArray[np.float64]
    Band = Callable[[Array], tuple[Array, Array, Array]]

Curves: TypeAlias = "Run | Sequence[Run] | ArrayLike | Mapping[str, ArrayLike | Run | Sequence[Run]]"

MOST_POINTS = 600  # of a line: all that a printed page can show
X_AXES = {"episodes": "episode", "steps": "environment step"}


class Series(NamedTuple):
    """The values of one run."""

    x: Array  # (points,), ascending: where they lie
    y: Array  # (points,)


class Line(NamedTuple):
    """A line: its label, and the runs whose mean it is."""

    label: str
    runs: list[Series]


def lines_of(
    data: Curves,
    read: Callable[[Run], Array | Series],
    smooth: Callable[[Array], Array | Series] = np.asarray,
    x: str = "episodes",
) -> list[Line]:
    """Returns the lines for the data.

    Args:
        data: a run, runs of one env, or values: (episodes,), (runs, episodes), or a dict of any of these by label.
        read: returns a run's values, smoothed: (episodes,), or a series that knows its places.
        smooth: smooths values given as arrays, as `read` does.
        x: what they are drawn over: "episodes" or "steps".

    Raises:
        UsageError: runs of different envs, no episodes, a wrong shape, or arrays over steps.
    """
    named = by_label(data)
    runs = runs_in(data)
    if runs:
        check_same_env(runs)
    lines = [Line(str(label), _series(one, read, smooth, x)) for label, one in named.items()]
    if not lines or not all(line.runs and all(len(run.x) for run in line.runs) for line in lines):
        raise UsageError("a line needs at least one run with at least one finished episode")
    return lines


def check_x(x: str) -> str:
    """Returns the name of the x axis, checked."""
    if x not in X_AXES:
        raise unknown_name("x axis", x, X_AXES)
    return x


def places(lengths: ArrayLike, x: str) -> Array:
    """Returns where episodes lie on the x axis, (episodes,): their numbers, or the steps at their ends."""
    steps = np.cumsum(lengths, dtype=np.float64)
    return steps if check_x(x) == "steps" else np.arange(len(steps), dtype=np.float64)


def after(run: Run, episodes: ArrayLike, values: ArrayLike, x: str) -> Series:
    """Returns the series of what a run had come to after some numbers of episodes."""
    counts = np.asarray(episodes, dtype=np.int64)
    ends = np.append(0.0, np.cumsum(run.lengths)) if check_x(x) == "steps" else np.arange(run.episodes + 1.0)
    return Series(ends[counts], np.asarray(values, dtype=np.float64))


def draw_lines(
    ax: Axes, lines: Sequence[Line], alone: str = "", *, what: str = "mean", band: Band | None = None
) -> None:
    """Draws the mean of each line's runs and, for several runs, its 95 % bootstrap interval as a band.

    Args:
        ax: the axes.
        lines: the smoothed lines.
        alone: the label of a line of one run without a label; "" for none.
        what: what is drawn of several runs.
        band: returns it, low and high (points,) of several runs (runs, points); by default of the mean.
    """
    for number, (name, runs) in enumerate(lines):
        at, rows = common(runs)
        label = _label(name, what, len(rows)) if len(rows) > 1 else name or alone
        middle = rows[0]
        if len(rows) > 1:
            middle, low, high = (band or _mean_and_band)(rows)
            ax.fill_between(at, low, high, color=line_style(number)["color"], alpha=0.25, linewidth=0)
        ax.plot(at, middle, **line_style(number), label=plain(label, len(label)) if label else None)


def common(runs: Sequence[Series]) -> tuple[Array, Array]:
    """Returns what several runs have in common: places (points,), thinned, and values there (runs, points).

    Places are those of the run that ends first, the values of the others interpolated there. What is known only at the
    end of each run lies at their mean end.
    """
    if all(len(run.x) == 1 for run in runs):
        return np.mean([run.x for run in runs], axis=0), np.stack([run.y for run in runs])
    shortest = min(runs, key=lambda run: run.x[-1])
    at = shortest.x[points(len(shortest.x))]
    at = at[at >= max(run.x[0] for run in runs)]
    if not len(at):
        raise UsageError("the runs have no part of training in common: draw them one by one")
    return at, np.stack([np.interp(at, run.x, run.y) for run in runs])


def finish(ax: Axes, data: Any, ylabel: str, x: str, *notes: str | None) -> None:
    """Labels the axes and puts the legend below, with notes as its title."""
    ax.set(ylabel=plain(ylabel, len(ylabel)), title=plain(title_of(data)))
    number_x(ax, x)
    legend_below(ax, "; ".join(filter(None, notes)) or None)


def band_title(lines: Sequence[Line], what: str = "mean") -> str | None:
    """Returns what bands show, if there are any."""
    return f"band: 95 % interval of the {what}" if any(len(line.runs) > 1 for line in lines) else None


def points(count: int) -> NDArray[np.int64]:
    """Returns which of `count` values a line goes through, including the first and the last."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(np.int64))


def number_x(ax: Axes, x: str = "episodes") -> None:
    """Labels the x axis with episodes or steps."""
    ax.set_xlabel(X_AXES[x])
    ax.xaxis.set_major_formatter("{x:,.0f}")
    whole_numbers(ax.xaxis)


def by_label(data: Curves) -> dict[str, Any]:
    """Returns the data of each line by its label, "" for a single one."""
    if isinstance(data, Mapping):
        return dict(data)
    if not isinstance(data, list | tuple) or not are_runs(data):
        return {"": data}
    groups = group_runs(cast("Sequence[Run]", data))
    return {group.label: group.runs for group in groups} if len(groups) > 1 else {"": groups[0].runs}


def _series(data: Any, read: Callable[[Run], Any], smooth: Callable[[Array], Any], x: str) -> list[Series]:
    if are_runs(data):
        return [_placed(read(run), run.lengths, x) for run in listed(data)]
    if check_x(x) != "episodes":
        raise UsageError(f"arrays have no {x}: pass runs, or leave out x")
    array = np.asarray(data, dtype=np.float64)
    if array.ndim not in (1, 2):
        raise UsageError(f"values must be (episodes,) or (runs, episodes), got the shape {array.shape}")
    return [_placed(smooth(row), row, x) for row in np.atleast_2d(array)]


def _placed(found: Array | Series, lengths: ArrayLike, x: str) -> Series:
    return found if isinstance(found, Series) else Series(places(lengths, x), found)


def _label(name: str, what: str, runs: int) -> str:
    return f"{name}, {runs:,} runs" if name else f"{what} of {runs:,} runs"


def _mean_and_band(rows: Array) -> tuple[Array, Array, Array]:
    return (rows.mean(axis=0), *mean_band(rows))
