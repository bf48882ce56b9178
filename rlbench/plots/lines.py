"""Lines over training: returns, rewards, exploration, actions, temporal-difference errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rlbench.intervals import interquartile_band, interquartile_mean, wilson_interval
from rlbench.plots.data import (
    Figures,
    action_names_of,
    action_of,
    figures_of,
    returns_of,
    runs_in,
    seeds_of,
    taken_of,
)
from rlbench.plots.fitting import drawing
from rlbench.plots.retracing import td_errors
from rlbench.plots.series import (
    Curves,
    Line,
    Series,
    band_title,
    draw_lines,
    finish,
    lines_of,
    places,
    points,
)
from rlbench.plots.smoothing import Smoothing, means_at, moving_mean, smoothing, windows
from rlbench.plots.style import BLACK, line_style, logarithmic, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from rlbench.training import Run

    Array = NDArray[np.float64]

BLOCKS = 150  # of episodes, to count actions or show the spread
FEW = 60  # episodes that are shown individually
SPREAD = (10, 90)  # percentiles
ROUNDING_ERROR = 1e-12  # relative to the largest error: anything smaller is rounding
NARROWER = 5  # a mean blurs about three times as much as a bell with the same window
AS_NOISY = 2  # a mean over half the window of a bell leaves about as much noise


def curve(
    data: Curves,
    ax: Axes | None = None,
    *,
    smooth: str | Smoothing = "bell",
    spread: bool | None = None,
    x: str = "episodes",
) -> Axes:
    """Draws learning curves: the smoothed return over training.

    Runs that differ only in their seed become one line: the mean of their smoothed curves, cut to the shortest, with
    its 95 % bootstrap interval as a band. Returns that are all 0 or 1 are smoothed by a mean, a share that stays in
    its bounds, and the band around those of a single run is the share's 95 % interval (Wilson, 1927).

    Args:
        data: a run, runs of one env, or returns: (episodes,), (runs, episodes), or a dict of any of these by label.
        ax: where to draw; a new figure's by default.
        smooth: "bell" (a weighted mean of 1001 episodes, at most a tenth of all), "mean:N", "savgol" (a parabola fitted
            to as many, which overshoots at a bend; Savitzky & Golay, 1964) or "none".
        spread: shade the band that holds 8 of 10 episodes; by default only for a single run.
        x: what the curve is drawn over: "episodes" or environment "steps".

    Raises:
        UsageError: runs of different envs, no episodes, an unknown smoothing or x, or matplotlib is missing.
    """
    how = smoothing(smooth)
    lines = lines_of(data, lambda run: _smooth(returns_of(run), how), lambda values: _smooth(values, how), x)
    alone = _is_alone(lines)
    with drawing(ax) as drawn:
        if alone if spread is None else spread:
            for number, line in enumerate(lines_of(data, returns_of, x=x)):
                _draw_spread(drawn, line, how, line_style(number)["color"])
        named = alone and bool(runs_in(data))
        draw_lines(drawn, lines, _smoothed("returns", how, len(lines[0].runs[0].x)) if named else "")
        finish(drawn, data, "return", x, band_title(lines))
    return drawn


def iqm(data: Curves, ax: Axes | None = None, *, smooth: str | Smoothing = "bell", x: str = "episodes") -> Axes:
    """Draws learning curves like `curve`, but the interquartile mean of the runs, with its 95 % bootstrap interval.

    One failed run among ten does not move it (Agarwal et al., 2021). Of fewer than four runs it is their mean.
    """
    how = smoothing(smooth)
    lines = lines_of(data, lambda run: _smooth(returns_of(run), how), lambda values: _smooth(values, how), x)
    with drawing(ax) as drawn:
        draw_lines(drawn, lines, what="interquartile mean", band=_interquartile)
        finish(drawn, data, "interquartile mean of the return", x, band_title(lines, "interquartile mean"))
    return drawn


def reward(data: Curves, ax: Axes | None = None, *, smooth: str | Smoothing = "bell", x: str = "episodes") -> Axes:
    """Draws the mean reward a step of each episode over training, smoothed; otherwise like `curve`."""
    how = smoothing(smooth)
    lines = lines_of(data, lambda run: how(returns_of(run) / np.maximum(run.lengths, 1)), how, x)
    with drawing(ax) as drawn:
        draw_lines(drawn, lines)
        finish(drawn, data, "mean reward a step", x, band_title(lines))
    return drawn


def exploration(
    data: Run | Sequence[Run] | Figures,
    ax: Axes | None = None,
    *,
    smooth: str | Smoothing = "bell",
    x: str = "episodes",
) -> Axes:
    """Draws the exploration rate, and the actual share of exploratory actions; of several seeds the means.

    Args:
        data: a run, runs that differ only in their seed, or figures of episodes: "exploration_rate", "explored" and
            "length", (episodes,) each.
        ax: where to draw; a new figure's by default.
        smooth: the smoothing of the counts before their share is taken, as in `curve`.
        x: "episodes" or "steps".

    Raises:
        UsageError: the figures or matplotlib are missing, or runs differ in more than their seed.
    """
    how = smoothing(smooth)
    figures = [figures_of(one, "exploration_rate", "explored", "length") for one in seeds_of(data)]
    at = [places(one["length"], x) for one in figures]
    # a share of all actions, not a mean over episodes: exploring ends episodes, so short ones have high shares
    shares = [np.clip(how(one["explored"]) / np.maximum(how(one["length"]), 1), 0, 1) for one in figures]
    rates = [np.asarray(one["exploration_rate"], dtype=np.float64) for one in figures]
    named = {
        "exploration rate": rates,
        _smoothed("share of exploratory actions", how, len(shares[0])): shares,
    }
    lines = [Line(name, list(map(Series, at, values))) for name, values in named.items()]
    with drawing(ax) as drawn:
        draw_lines(drawn, lines)
        drawn.get_lines()[-2].set(linestyle="--", zorder=3)  # the rate, over the share that came of it
        drawn.set_ylim(0, None)
        finish(drawn, data, "share of actions", x, band_title(lines))
    return drawn


def actions(
    data: Run | Sequence[Run] | Figures, ax: Axes | None = None, *, names: Sequence[str] = (), x: str = "episodes"
) -> Axes:
    """Draws the shares of all actions, which sum to 1, over training; of several seeds those of all their actions.

    Args:
        data: a run, runs that differ only in their seed, or figures with "action_counts" (episodes, actions).
        ax: where to draw; a new figure's by default.
        names: the names of the actions; by default those of the run's env.
        x: "episodes" or "steps".

    Raises:
        UsageError: the figures or matplotlib are missing, or runs differ in more than their seed.
    """
    seeds = seeds_of(data)
    counts = [np.asarray(figures_of(one, "action_counts")["action_counts"], dtype=np.float64) for one in seeds]
    edges, sums = _in_blocks(counts, x)
    names = list(names) or action_names_of(seeds[0], sums.shape[1])
    shares, names = _largest(sums / np.maximum(sums.sum(axis=1, keepdims=True), 1), names)
    with drawing(ax) as drawn:
        from matplotlib.patches import StepPatch  # noqa: PLC0415  (an extra)

        lower = np.zeros(len(shares))
        for color, name, share in zip(ACTION_COLORS, names, shares.T, strict=False):
            upper = lower + share
            area: Any = {"baseline": lower, "fill": True, "color": color, "linewidth": 0}
            steps = StepPatch(upper, edges, **area, label=plain(name))
            drawn.add_artist(steps)  # not ax.stairs, which computes the known limits and doubles the time
            lower = upper
        drawn.set(ylim=(0, 1), xlim=(0, edges[-1]))
        finish(drawn, data, "share of actions", x)
    return drawn


def share(
    data: Curves,
    ax: Axes | None = None,
    *,
    action: int | str | None = None,
    state: int | None = None,
    optimal: float | None = None,
    smooth: str | Smoothing = "bell",
    x: str = "episodes",
) -> Axes:
    """Draws the share of one action over training, for several agents and several runs of each in one plot.

    Runs that differ only in their seed become one line, their mean with its 95 % bootstrap interval. For an action
    that looks good only by chance this shows the maximization bias (Sutton & Barto, section 6.7, figure 6.5).

    Args:
        data: a run, runs of one env, or shares from 0 to 1: (episodes,), (runs, episodes), or a dict of these by name.
        ax: where to draw; a new figure's by default.
        action: its number, or its name if it has one; for shares, its label.
        state: count only the actions in this state; needs runs that kept their steps.
        optimal: the share under the optimal policy, drawn as a dashed line.
        smooth: "mean:N" or "none"; others are a mean over a fifth of their window. For runs, counts are smoothed before
            their share is taken, and the share is interpolated where there are no counts.
        x: "episodes" or "steps".

    Raises:
        UsageError: runs of different envs, an unknown action, no episodes, or matplotlib is missing.
        StoreError: `state` is given, but a run kept no steps.
    """
    how = smoothing(smooth)

    def read(run: Run) -> Array:
        return _share(*taken_of(run, action_of(run, action)[0], state), how)

    lines = lines_of(data, read, lambda shares: moving_mean(shares, _mean_window(how, len(shares))), x)
    runs = runs_in(data)
    what = (action_of(runs[0], action)[1] if runs else str(action or "")) or "the action"
    with drawing(ax) as drawn:
        if optimal is not None:
            drawn.axhline(optimal, color=BLACK, linestyle="--", linewidth=1, label=f"optimal: {100 * optimal:g} %")
        draw_lines(drawn, lines)
        drawn.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        drawn.set_ylim(0, None)
        where = "" if state is None else f" in state {state}"
        finish(drawn, data, f"share of {what}{where}", x, band_title(lines))
    return drawn


def td(data: Curves, ax: Axes | None = None, *, smooth: str | Smoothing = "bell", x: str = "episodes") -> Axes:
    """Draws the mean absolute temporal-difference error of each episode's updates, on a logarithmic axis.

    Args:
        data: Q-learning runs that kept their steps (see `td_errors`), or errors: as in `curve`.
        ax: where to draw; a new figure's by default.
        smooth: "mean:N" or "none"; others are a mean over a fifth of their window, for the errors fall by orders of
            magnitude.
        x: "episodes" or "steps".

    Raises:
        UsageError: the errors cannot be recomputed, or matplotlib is missing.
        StoreError: a run kept no steps.
    """
    how = smoothing(smooth)

    def read(run: Run) -> Series:
        return _mean_errors(td_errors(run), how, places(run.lengths, x))

    lines = lines_of(data, read, lambda row: _mean_errors(row, how, places(row, "episodes")), x)
    runs = runs_in(data)
    window = _mean_window(how, runs[0].episodes if runs else np.size(cast("Any", data))) if _is_alone(lines) else 1
    with drawing(ax) as drawn:
        draw_lines(drawn, lines, _over("mean", window) if _is_alone(lines) else "")
        gap = None if _draw_on_log_axis(drawn) else "no line: 0"
        finish(drawn, data, "|temporal-difference error|", x, band_title(lines), gap)
    return drawn


# ------------------------------------------------------------------------------------------------ drawing

ACTION_COLORS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#999999")


def _draw_spread(ax: Axes, line: Line, how: Smoothing, color: str) -> None:
    """Draws few episodes as points, many as the band that holds 8 of 10, and 0 and 1 as the interval of their share."""
    x, returns = line.runs[0].x, _mean_of(line.runs)
    window = _mean_window(how, len(returns), AS_NOISY)
    if _is_binary(returns) and window > 1:
        at = points(len(returns))
        start, stop = windows(at, window, len(returns))
        low, high = wilson_interval(means_at(returns, window, at) * (stop - start), stop - start)
        _draw_band(ax, x[at], low, high, color, "95 % interval (Wilson)")
    elif len(returns) <= FEW:
        ax.plot(x[: len(returns)], returns, ".", color=color, alpha=0.4, markersize=4)
    elif not _is_binary(returns):
        starts = _block_starts(len(returns), BLOCKS)
        low, high = np.array([np.percentile(block, SPREAD) for block in np.split(returns, starts[1:])]).T
        middles = (starts + np.append(starts[1:], len(returns)) - 1) / 2
        _draw_band(ax, np.interp(middles, np.arange(len(x)), x), low, high, color, "8 of 10 episodes")


def _draw_band(ax: Axes, x: Array, low: Array, high: Array, color: str, label: str) -> None:
    ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0, label=label)


def _draw_on_log_axis(ax: Axes) -> bool:
    """Makes the y axis logarithmic for the lines drawn; returns whether all is above 0, for 0 leaves a gap."""
    drawn = [np.asarray(line.get_ydata(), dtype=np.float64) for line in ax.get_lines()]
    for line, values in zip(ax.get_lines(), drawn, strict=True):
        shown = np.where(values > 0, values, np.nan)
        line.set_ydata(shown)
        line.set(marker=".", markersize=3, markevery=np.flatnonzero(_stands_alone(shown)).tolist())
    values = np.concatenate(drawn)
    positive = values[values > 0]
    if len(positive):
        ax.set_yscale("log")
        logarithmic(ax.yaxis, float(positive.min()), float(positive.max()))
    return len(positive) == len(values)


def _mean_of(runs: Sequence[Series]) -> Array:
    shortest = min(len(run.y) for run in runs)
    mean: Array = np.mean([run.y[:shortest] for run in runs], axis=0)
    return mean


def _in_blocks(counts: list[Array], x: str) -> tuple[Array, Array]:
    """Returns the edges of blocks of training, and how often each action was taken in them, (blocks, actions)."""
    ends = [np.append(0.0, places(one.sum(axis=1), x) + (x == "episodes")) for one in counts]
    last = min(places[-1] for places in ends)
    edges = np.append(_block_starts(int(last), BLOCKS), last)
    taken = [np.vstack([np.zeros(one.shape[1]), one.cumsum(axis=0)]) for one in counts]
    until = sum(
        np.stack([np.interp(edges, at, column) for column in one.T], axis=1)
        for at, one in zip(ends, taken, strict=True)
    )
    return edges, np.diff(until, axis=0)


def _block_starts(count: int, blocks: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count, min(count, blocks), endpoint=False).astype(np.int64))


def _largest(shares: Array, names: list[str]) -> tuple[Array, list[str]]:
    """Returns at most as many columns as there are colours; the last one sums all others."""
    most = len(ACTION_COLORS)
    if len(names) <= most:
        return shares, names
    order = np.argsort(-shares.sum(axis=0), kind="stable")
    kept = np.sort(order[: most - 1])
    rest = shares[:, order[most - 1 :]].sum(axis=1, keepdims=True)
    return np.hstack([shares[:, kept], rest]), [*(names[i] for i in kept), f"{len(names) - most + 1} others"]


def _smooth(returns: Array, how: Smoothing) -> Array:
    """Smooths returns; those that are all 0 or 1 by a mean, which stays between."""
    values = np.asarray(returns, dtype=np.float64)
    return moving_mean(values, _mean_window(how, len(values), AS_NOISY)) if _is_binary(values) else how(values)


def _is_binary(returns: Array) -> bool:
    return bool(((returns == 0) | (returns == 1)).all())


def _mean_errors(errors: Array, how: Smoothing, x: Array) -> Series:
    """Returns the means around some of the errors, without what rounding leaves of those that are 0."""
    at = points(len(errors))
    mean = means_at(errors, _mean_window(how, len(errors)), at)
    mean[mean < ROUNDING_ERROR * mean.max(initial=0)] = 0
    return Series(x[at], mean)


def _interquartile(rows: Array) -> tuple[Array, Array, Array]:
    return (interquartile_mean(rows.T), *interquartile_band(rows))


def _is_alone(lines: Sequence[Line]) -> bool:
    return len(lines) == len(lines[0].runs) == 1


def _smoothed(label: str, how: Smoothing, count: int) -> str:
    return f"smoothed {label}" if how.window_for(count) > 1 else label


def _stands_alone(values: Array) -> NDArray[np.bool_]:
    """Marks the values without a neighbour: a line through a single point is invisible."""
    gaps = np.isnan(np.pad(values, 1, constant_values=np.nan))
    alone: NDArray[np.bool_] = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
    return alone


def _mean_window(how: Smoothing, count: int, narrower: int = NARROWER) -> int:
    """Returns the window of a mean over `count` values, in place of what would blur them or leave their bounds."""
    return max(1, how.window_for(count) // (1 if how.name == "mean" else narrower))


def _share(taken: Array, chances: Array, how: Smoothing) -> Array:
    """Returns the share taken / chances, (episodes,), interpolated where there are no chances."""
    window = _mean_window(how, len(chances))
    among = moving_mean(chances, window)
    known = np.flatnonzero(among > 0)
    return np.interp(np.arange(len(among)), known, moving_mean(taken, window)[known] / among[known])


def _over(label: str, window: int) -> str:
    return f"{label} (over {window:,} episodes)" if window > 1 else label
