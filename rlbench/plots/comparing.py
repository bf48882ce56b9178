"""Figures of a comparison: interquartile means with their intervals, and the probability of improvement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rlbench.evaluation.comparing import ComparisonAcross
from rlbench.plots.fitting import drawing, fit, labelled, wrapped
from rlbench.plots.judging import profile
from rlbench.plots.sizes import read_size
from rlbench.plots.style import BLUE, GREY, line_style, new_figure, plain, rc_params, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rlbench.evaluation.comparison import Comparison, Improvement

MOST_PAIRS = 15  # in one figure
WIDTH = 5.5  # inches
ROW, LINE, PAIR = 0.34, 0.15, 0.28  # inches: of a candidate without its name, a line of that name, a pair
AXES = 1.5  # inches for the axes and the title
NAMES = 0.75  # of the width, for names
PROFILE = 2.2  # inches


def interquartile_means(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draws each candidate's interquartile mean with its 95 % bootstrap interval."""
    with drawing(ax) as drawn:
        size = float(rc_params()["legend.fontsize"])
        names = _names(comparison, float(drawn.figure.get_size_inches()[0]), size)  # type: ignore[union-attr]
        rows, below = [], 0.0  # inches from the top
        for number, (found, name) in enumerate(zip(comparison.candidates, names, strict=True)):
            rows.append(below + LINE * (name.count("\n") + 1) + ROW / 2)
            below = rows[-1] + ROW / 2
            _draw_interval(drawn, rows[-1], found.iqm, found.interval, line_style(number)["color"])
            where = drawn.get_yaxis_transform()
            drawn.text(0.01, rows[-1] - 0.3 * ROW, name, transform=where, va="bottom", fontsize=size)
        _number_rows(drawn, rows, [letter(row) for row in range(len(rows))], below)
        drawn.set(xlabel=f"interquartile mean, {comparison.score}", title=plain(comparison.env_id))
        drawn.margins(x=0.05)
    return drawn


def improvements(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draws, for each pair, the probability that the better one scores higher, with its 95 % bootstrap interval."""
    pairs = _pairs(comparison)[:MOST_PAIRS]
    with drawing(ax) as drawn:
        drawn.axvline(0.5, color=GREY, linestyle="--", linewidth=1)
        rows = [PAIR * (row + 0.5) for row in range(len(pairs))]
        for row, found in zip(rows, pairs, strict=True):
            _draw_interval(drawn, row, found.probability, found.interval, BLUE)
        _number_rows(drawn, rows, [_pair(found) for found in pairs], PAIR * len(pairs))
        drawn.set(xlim=(-0.03, 1.03), xlabel="probability that the first scores higher")
    return drawn


def comparison_figure(
    comparison: Comparison,
    *,
    title: str | None = None,
    labels: Sequence[str] = (),
    size: str | tuple[float, float] | None = None,
    column: str | None = None,
) -> Figure:
    """Returns both plots in one figure, one above the other; of several envs with performance profiles below.

    Args:
        comparison: to draw.
        title: instead of the env's id.
        labels: of the candidates, in their order, instead of ours.
        size: (width, height) in inches, or "WxH"; by default as high as the candidates need.
        column: "single" or "double", see `draw`.

    Raises:
        UsageError: too few or too many labels, a size or column that does not exist, or matplotlib is missing.
    """
    wanted, shown = read_size(size, column), _labelled(comparison, labels)
    width = wanted.width or WIDTH
    with styled(wanted.font):
        names = _names(shown, width, float(rc_params()["legend.fontsize"]))
        pairs = min(len(shown.improvements) // 2, MOST_PAIRS)
        heights = [sum(ROW + LINE * (name.count("\n") + 1) for name in names), PAIR * pairs]
        heights += [PROFILE] if isinstance(shown, ComparisonAcross) else []
        needed = sum(heights) + AXES * len(heights) / 2
    smaller = min(1.0, (wanted.height or needed) / needed)
    with styled(wanted.font * smaller):
        figure = new_figure((width, wanted.height or needed))
        upper, lower, *last = figure.subplots(len(heights), 1, height_ratios=heights)
        interquartile_means(shown, upper)
        improvements(shown, lower)
        if isinstance(shown, ComparisonAcross):
            profile(shown.scores, last[0]).set_xlabel(shown.score)
        if title is not None:
            upper.set_title(plain(title, 400))
        fit(figure, fixed=wanted.is_fixed)
    return figure


def _labelled(comparison: Comparison, labels: Sequence[str]) -> Comparison:
    """Gives the candidates the labels that are asked for."""
    found = comparison.candidates
    named = labelled([candidate.label for candidate in found], labels)
    return replace(
        comparison, candidates=tuple(replace(one, label=name) for one, name in zip(found, named, strict=True))
    )


def _names(comparison: Comparison, width: float, size: float) -> list[str]:
    """Returns the candidates' names with the size of their samples, wrapped."""
    return [
        wrapped(f"{found.label} ({_sample(comparison, len(found.sample))})", NAMES * width, size)
        for found in comparison.candidates
    ]


def _draw_interval(ax: Axes, row: float, value: float, interval: tuple[float, float], color: str) -> None:
    ax.plot(interval, [row, row], color=color, linewidth=5, alpha=0.35, solid_capstyle="butt")
    ax.plot(value, row, "o", color=color, markersize=6, clip_on=False, zorder=3)


def _number_rows(ax: Axes, rows: Sequence[float], names: Sequence[str], below: float) -> None:
    """Labels the rows, the first at the top."""
    ax.set_yticks(rows, names)
    ax.set_ylim(below, 0)
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
