"""Lines over training: returns, exploration, actions, temporal-difference errors; and the returns of test episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rlbench.errors import UsageError
from rlbench.plots.data import (
    Figures,
    action_names_of,
    action_of,
    evaluation_of,
    figures_of,
    is_run,
    optimum_of,
    returns_of,
    taken_of,
    td_errors,
    title_of,
)
from rlbench.plots.series import Curves, draw_lines, finish, lines_of, number_episodes, points, size_for
from rlbench.plots.smoothing import Smoothing, means_at, moving_mean, smoothing
from rlbench.plots.style import (
    BLACK,
    BLUE,
    COLORS,
    GREEN,
    ORANGE,
    SKY,
    VERMILION,
    axes_or_new,
    logarithmic,
    plain,
    styled,
    whole_numbers,
)
from rlbench.store.records import EVALUATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from rlbench.evaluation import Evaluation
    from rlbench.training import Run

    Array = NDArray[np.float64]

BLOCKS = 150  # of episodes, to count actions or show the spread
FEW = 60  # episodes that are shown individually
SPREAD = (10, 90)  # percentiles
BINS = 30
ROUNDING_ERROR = 1e-12  # relative to the largest error: anything smaller is rounding
NARROWER = 5  # a mean blurs about five times as much as savgol with the same window


def curve(
    data: Curves, ax: Axes | None = None, *, smooth: str | Smoothing = "savgol", spread: bool | None = None
) -> Axes:
    """Draws learning curves: the smoothed return over the episodes.

    Runs that differ only in their seed become one line: the mean of their smoothed curves, cut to the shortest, with
    its 95 % bootstrap interval as a band.

    Args:
        data: a run, runs of one env, or returns: (episodes,), (runs, episodes), or a dict of these by name.
        ax: where to draw; a new figure's by default.
        smooth: "savgol" (window 1001, order 2, at most a tenth of the episodes), "mean:N" or "none".
        spread: shade the band that holds 8 of 10 episodes; by default only for a single run.

    Raises:
        UsageError: runs of different envs, no episodes, an unknown smoothing, or matplotlib is missing.
    """
    how = smoothing(smooth)
    lines = lines_of(data, lambda run: how(returns_of(run)), how)
    alone = len(lines) == 1 and len(lines[0][1]) == 1
    with styled():
        ax = axes_or_new(ax, size_for(len(lines)))
        if alone if spread is None else spread:
            for color, (_, many) in zip(_colors(len(lines)), lines_of(data, returns_of, np.asarray), strict=True):
                _draw_spread(ax, np.mean(many, axis=0), color)
        named = alone and is_run(data[0] if isinstance(data, list | tuple) else data)
        draw_lines(ax, lines, _smoothed("returns", how, len(lines[0][1][0])) if named else "")
        finish(ax, data, lines, "return")
    return ax


def exploration(data: Run | Figures, ax: Axes | None = None, *, smooth: str | Smoothing = "savgol") -> Axes:
    """Draws the exploration rate, and the actual share of exploratory actions.

    Args:
        data: a run, or figures of its episodes: "exploration_rate", "explored" and "length", (episodes,) each.
        ax: where to draw; a new figure's by default.
        smooth: the smoothing of the counts before their share is taken, as in `curve`.

    Raises:
        UsageError: the figures or matplotlib are missing.
    """
    figures = figures_of(data, "exploration_rate", "explored", "length")
    rate, at = np.asarray(figures["exploration_rate"], dtype=np.float64), points(len(figures["length"]))
    how = smoothing(smooth)
    # a share of all actions, not a mean over episodes: exploring ends episodes, so short ones have high shares
    share = np.clip(how(figures["explored"]) / np.maximum(how(figures["length"]), 1), 0, 1)
    with styled():
        ax = axes_or_new(ax)
        ax.plot(at, share[at], color=ORANGE, label=_smoothed("share of exploratory actions", how, len(share)))
        ax.plot(at, rate[at], color=BLUE, linestyle="--", label="exploration rate")
        ax.set(ylabel="share of actions", title=_title(data), ylim=(0, None))
        number_episodes(ax)
        ax.legend(loc="best")
    return ax


def actions(data: Run | Figures, ax: Axes | None = None, *, names: Sequence[str] = ()) -> Axes:
    """Draws the shares of all actions, which sum to 1, over training.

    Args:
        data: a run, or figures with "action_counts" (episodes, actions).
        ax: where to draw; a new figure's by default.
        names: the names of the actions; by default those of the run's env.

    Raises:
        UsageError: the figures or matplotlib are missing.
    """
    counts = np.asarray(figures_of(data, "action_counts")["action_counts"], dtype=np.float64)
    names = list(names) or action_names_of(data, counts.shape[1])
    starts = _block_starts(len(counts), BLOCKS)
    sums = np.add.reduceat(counts, starts, axis=0)
    shares, names = _largest(sums / np.maximum(sums.sum(axis=1, keepdims=True), 1), names)
    with styled():
        from matplotlib.patches import StepPatch  # noqa: PLC0415  (an extra)

        ax = axes_or_new(ax)
        edges = np.append(starts, len(counts))
        lower = np.zeros(len(starts))
        for color, name, share in zip(ACTION_COLORS, names, shares.T, strict=False):
            upper = lower + share
            area: Any = {"baseline": lower, "fill": True, "color": color, "linewidth": 0}
            steps = StepPatch(upper, edges, **area, label=plain(name))
            ax.add_artist(steps)  # not ax.stairs, which computes the known limits and doubles the time
            lower = upper
        ax.set(ylabel="share of actions", title=_title(data), ylim=(0, 1), xlim=(0, len(counts)))
        number_episodes(ax)
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def share(
    data: Curves,
    ax: Axes | None = None,
    *,
    action: int | str | None = None,
    state: int | None = None,
    optimal: float | None = None,
    smooth: str | Smoothing = "savgol",
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
        smooth: "mean:N" or "none"; "savgol" is a mean over a fifth of its window. For runs, counts are smoothed before
            their share is taken, and the share is interpolated where there are no counts.

    Raises:
        UsageError: runs of different envs, an unknown action, no episodes, or matplotlib is missing.
        StoreError: `state` is given, but a run kept no steps.
    """
    how = smoothing(smooth)

    def read(run: Run) -> Array:
        return _share(*taken_of(run, action_of(run, action)[0], state), how)

    lines = lines_of(data, read, lambda shares: moving_mean(shares, _mean_window(how, len(shares))))
    first = data[0] if isinstance(data, list | tuple) else data
    what = action_of(cast("Run", first), action)[1] if is_run(first) else str(action or "")
    with styled():
        ax = axes_or_new(ax, size_for(len(lines)))
        if optimal is not None:
            ax.axhline(optimal, color=BLACK, linestyle="--", linewidth=1, label=f"optimal: {100 * optimal:g} %")
        draw_lines(ax, lines)
        finish(ax, data, lines, f"share of {what or 'the action'}" + ("" if state is None else f" in state {state}"))
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        ax.set_ylim(0, None)
    return ax


def td(data: Run | ArrayLike, ax: Axes | None = None, *, smooth: str | Smoothing = "savgol") -> Axes:
    """Draws the mean absolute temporal-difference error of each episode's updates, on a logarithmic axis.

    Args:
        data: a Q-learning run that kept its steps (see `td_errors`), or errors (episodes,).
        ax: where to draw; a new figure's by default.
        smooth: "mean:N" or "none"; "savgol" is a mean over a fifth of its window, because no parabola fits values that
            fall by orders of magnitude.

    Raises:
        UsageError: the errors cannot be recomputed, or matplotlib is missing.
        StoreError: the run kept no steps.
    """
    errors = td_errors(cast("Run", data)) if is_run(data) else np.asarray(data, dtype=np.float64)
    _check_any(len(errors), data)
    how = smoothing(smooth)
    window = _mean_window(how, len(errors))
    at = points(len(errors))
    mean = means_at(errors, window, at)
    mean[mean < ROUNDING_ERROR * mean.max()] = 0
    with styled():
        ax = axes_or_new(ax)
        shown = np.where(mean > 0, mean, np.nan)
        alone = np.flatnonzero(_is_alone(shown)).tolist()  # a line through a single point is invisible
        label = _over("mean", window)
        ax.plot(at, shown, color=BLUE, label=label, marker=".", markersize=3, markevery=alone)
        if (mean > 0).any():
            ax.set_yscale("log")
            logarithmic(ax.yaxis, float(mean[mean > 0].min()), float(mean.max()))
        gap = "" if (mean > 0).all() else "\n(no line: 0)"
        ax.set(ylabel=f"|temporal-difference error|{gap}", title=_title(data), xlim=_all_of(len(errors)))
        number_episodes(ax)
        ax.legend(loc="best")
    return ax


def evaluation(data: Run | Evaluation | ArrayLike, ax: Axes | None = None) -> Axes:
    """Draws the returns of greedy test episodes, with the best possible return where it is known.

    For a run that was evaluated while it was trained (`eval_every`): their mean over training, with its 95 % interval
    as a band. Otherwise: a histogram, with the mean.

    Args:
        data: an Evaluation, a run (evaluated here on 100 episodes by default), or returns (episodes,).
        ax: where to draw; a new figure's by default.

    Raises:
        UsageError: matplotlib is missing, or there are no returns.
        StoreError: the run's env cannot be made.
    """
    if is_run(data) and EVALUATION[0] in cast("Run", data).figures:
        return _evaluations(cast("Run", data), ax)
    found = evaluation_of(cast("Run", data)) if is_run(data) else data
    returns = np.asarray(getattr(found, "returns", found), dtype=np.float64)
    _check_any(len(returns), data)
    with styled():
        ax = axes_or_new(ax)
        values, counts = np.unique(returns, return_counts=True)
        if len(values) > BINS:
            ax.hist(returns, bins=BINS, color=SKY)
        else:
            width = _bar_width(values)
            ax.bar(values, counts, width=width, color=SKY)
            ax.set_xlim(values[0] - 2 * width, values[-1] + 2 * width)
        for name, value in _marks(found, returns).items():
            color, line = RETURN_MARKS[name]
            ax.axvline(value, color=color, linestyle=line, label=f"{name} {value:.6g}")
        ax.set(xlabel="return of a test episode", ylabel="episodes", title=_title(data))
        whole_numbers(ax.yaxis)
        ax.legend(loc="best", frameon=True, framealpha=0.8, edgecolor="none")
    return ax


def _evaluations(run: Run, ax: Axes | None) -> Axes:
    """Draws the mean returns of the evaluations over training."""
    mean, low, high = (np.asarray(run.figures[name], dtype=np.float64) for name in EVALUATION)
    at = np.flatnonzero(~np.isnan(mean))
    if not len(at):
        raise UsageError(f"run {run.id} ended before its first evaluation: nothing to draw")
    optimum = optimum_of(run)
    with styled():
        ax = axes_or_new(ax)
        ax.fill_between(at + 1, low[at], high[at], color=BLUE, alpha=0.25, linewidth=0, label="95 % interval")
        ax.plot(at + 1, mean[at], color=BLUE, marker=".", markersize=4, label="mean return of greedy episodes")
        if optimum is not None:
            color, line = RETURN_MARKS["optimum"]
            ax.axhline(optimum, color=color, linestyle=line, label=f"optimum {optimum:.6g}")
        ax.set(ylabel="return of a test episode", title=_title(run), xlim=_all_of(len(mean)))
        number_episodes(ax)
        ax.legend(loc="best")
    return ax


# ------------------------------------------------------------------------------------------------ drawing

ACTION_COLORS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#D55E00", "#CC79A7", "#999999")
RETURN_MARKS = {"mean": (VERMILION, "-"), "exact": (BLACK, ":"), "optimum": (GREEN, "--")}


def _draw_spread(ax: Axes, returns: Array, color: str) -> None:
    """Draws few episodes as points, and many as the band that holds 8 of 10."""
    if len(returns) <= FEW:
        ax.plot(np.arange(len(returns)), returns, ".", color=color, alpha=0.4, markersize=4)
        return
    starts = _block_starts(len(returns), BLOCKS)
    blocks = np.split(returns, starts[1:])
    low, high = np.array([np.percentile(block, SPREAD) for block in blocks]).T
    middles = (starts + np.append(starts[1:], len(returns)) - 1) / 2
    label = "8 of 10 episodes"
    ax.fill_between(middles, low, high, color=color, alpha=0.15, linewidth=0, label=label)


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


def _marks(found: Any, returns: Array) -> dict[str, float]:
    """Returns the values to mark: the mean and, with a known model, the optimum and the exact value."""
    named = {"optimum": getattr(found, "optimal_return", None), "exact": getattr(found, "exact_return", None)}
    return {"mean": float(returns.mean()), **{name: value for name, value in named.items() if value is not None}}


def _bar_width(values: Array) -> float:
    """Returns the width of the bars: they do not touch, and are at most a twelfth of the range wide."""
    if len(values) == 1:
        return max(abs(float(values[0])) * 0.005, 0.05)
    return min(0.8 * float(np.diff(values).min()), float(np.ptp(values)) / 12)


def _smoothed(label: str, how: Smoothing, count: int) -> str:
    return f"smoothed {label}" if how.window_for(count) > 1 else label


def _is_alone(values: Array) -> NDArray[np.bool_]:
    """Marks the values without a neighbour."""
    gaps = np.isnan(np.pad(values, 1, constant_values=np.nan))
    alone: NDArray[np.bool_] = ~gaps[1:-1] & gaps[:-2] & gaps[2:]
    return alone


def _mean_window(how: Smoothing, count: int) -> int:
    """Returns the window of a mean over `count` values, where no parabola fits."""
    return max(1, how.window_for(count) // (NARROWER if how.name == "savgol" else 1))


def _share(taken: Array, chances: Array, how: Smoothing) -> Array:
    """Returns the share taken / chances, (episodes,), interpolated where there are no chances."""
    window = _mean_window(how, len(chances))
    among = moving_mean(chances, window)
    known = np.flatnonzero(among > 0)
    return np.interp(np.arange(len(among)), known, moving_mean(taken, window)[known] / among[known])


def _over(label: str, window: int) -> str:
    return f"{label} (over {window:,} episodes)" if window > 1 else label


def _all_of(count: int) -> tuple[float, float]:
    """Returns axis limits that hold all episodes, drawn or not."""
    margin = max(0.03 * count, 0.5)
    return -margin, count - 1 + margin


def _colors(count: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(count)]


def _title(data: Any) -> str:
    return plain(title_of(data))


def _check_any(count: int, data: Any) -> None:
    if not count:
        which = f"run {data.id} has" if is_run(data) else "there is"
        raise UsageError(f"{which} no finished episode: nothing to draw")
