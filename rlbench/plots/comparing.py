"""Figures of a comparison: interquartile means with their intervals, and the probability of improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.plots.style import BLUE, COLORS, GREY, axes_or_new, new_figure, plain, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rlbench.evaluation.comparison import Comparison, Improvement

MOST_PAIRS = 15  # in one figure
FIGURE_WIDTH = 5.5  # inches
NAME_ABOVE = 0.36  # rows
WHAT = {"evaluation": "return of greedy episodes", "training": "return of last training episodes"}


def interquartile_means(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draws each candidate's interquartile mean with its 95 % bootstrap interval."""
    candidates = comparison.candidates
    with styled():
        ax = axes_or_new(ax)
        for row, found in enumerate(candidates):
            _draw_interval(ax, row, found.iqm, found.interval, COLORS[row % len(COLORS)])
            name = f"{plain(found.label)} ({_sample(comparison, len(found.sample))})"
            ax.text(0.01, row - NAME_ABOVE, name, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        _number_rows(ax, [letter(row) for row in range(len(candidates))])
        ax.set(xlabel=f"interquartile mean, {WHAT[comparison.metric]}", title=plain(comparison.env_id))
        ax.margins(x=0.05)
    return ax


def improvements(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draws, for each pair, the probability that the better one scores higher, with its 95 % bootstrap interval."""
    pairs = _pairs(comparison)[:MOST_PAIRS]
    with styled():
        ax = axes_or_new(ax)
        ax.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
        for row, found in enumerate(pairs):
            _draw_interval(ax, row, found.probability, found.interval, BLUE)
        _number_rows(ax, [_pair(found) for found in pairs])
        ax.set(xlim=(-0.03, 1.03), xlabel="probability that the first scores higher")
    return ax


def comparison_figure(comparison: Comparison) -> Figure:
    """Returns both plots in one figure, one above the other."""
    pairs = min(len(comparison.improvements) // 2, MOST_PAIRS)
    heights = [0.5 * len(comparison.candidates), 0.28 * pairs]  # inches
    with styled():
        figure = new_figure((FIGURE_WIDTH, sum(heights) + 1.5))
        upper, lower = figure.subplots(2, 1, height_ratios=heights)
        interquartile_means(comparison, upper)
        improvements(comparison, lower)
    return figure


def _draw_interval(ax: Axes, row: int, value: float, interval: tuple[float, float], color: str) -> None:
    ax.plot(interval, [row, row], color=color, linewidth=5, alpha=0.35, solid_capstyle="butt")
    ax.plot(value, row, "o", color=color, markersize=6, clip_on=False, zorder=3)


def _number_rows(ax: Axes, names: list[str]) -> None:
    """Labels the rows, the first at the top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.6)
    ax.tick_params(axis="y", length=0)


def _sample(comparison: Comparison, count: int) -> str:
    return f"{count:,} {comparison.unit}{'s' if count != 1 else ''}"


def _pairs(comparison: Comparison) -> list[Improvement]:
    """Returns one improvement per pair, that of the more probable winner."""
    both = [(comparison.improvement(one.over, one.of), one) for one in comparison.improvements if one.of > one.over]
    return [max(pair, key=lambda found: found.probability) for pair in both]


def _pair(found: Improvement) -> str:
    return f"{letter(found.of)} over {letter(found.over)}"


def letter(number: int) -> str:
    """Returns the letter of a candidate: A, B, ... Z, AA, AB, ..."""
    first, last = divmod(number, 26)
    return (letter(first - 1) if first else "") + chr(ord("A") + last)
