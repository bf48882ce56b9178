"""Fitting: legends below their plots, and text wrapped to the room it has, so that a figure cuts nothing off."""

from __future__ import annotations

import textwrap
import warnings
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from rlbench.errors import UsageError
from rlbench.plots.style import FIGURE_SIZE, FONT, axes_or_new, lay_out, plain, rc_params, styled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.text import Text
    from matplotlib.transforms import Transform

POINTS = 72  # an inch
LONGEST = 400  # characters of a text that is wrapped
LEGEND_BELOW = 0.45  # inches from an axis to the legend below it, with ticks and a label in between
LEGEND_GAP = 0.1  # inches below a legend
HANDLE, SPACE = 3.4, 1.6  # widths of a line with its gap, and of the gap between two columns, in font sizes
FLUSH = {"borderaxespad": 0, "borderpad": 0.1}
INSIDE = {"loc": "best", "frameon": True, "framealpha": 0.8, "edgecolor": "none"}
MOST_INSIDE, SHARE_INSIDE = 4, 0.6  # labels of a legend inside a plot, and of its width
NARROWEST = 1.5  # inches, of a legend below a narrow plot
HINTING = 1.05  # times the width of outlines is at least that of letters on a grid of dots
TITLE_INDENT = 0.6  # inches of the ticks and labels to the left of a title
LINE_HEIGHT = 1.3  # font sizes
LABEL_HEIGHT = 1.15  # font sizes, of a line below an axis
MOST_LAYOUTS = 3
SMALLEST = 5.0  # points: smaller letters are not printed
SHARE_OF_LEGEND = 0.5  # of the height of a figure whose size is fixed, at most
EDGE = 0.02  # inches that no text may reach into
SPARE = 0.25  # inches that a map may leave empty: taking away less is not worth another layout


@contextmanager
def drawing(ax: Axes | None, size: tuple[float, float] = FIGURE_SIZE) -> Iterator[Axes]:
    """Draws in our style on the given axes, or on those of a new figure, which is fitted to what was drawn."""
    with styled():
        drawn = axes_or_new(ax, size)
        yield drawn
        if ax is None:
            fit(cast("Figure", drawn.figure))


def labelled(ours: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Returns the labels that are asked for instead of ours, or ours.

    Raises:
        UsageError: there are too few or too many, or two are equal.
    """
    if not labels:
        return list(ours)
    if len(labels) != len(ours):
        needed = f"{len(ours)} label{'s' if len(ours) != 1 else ''} needed"
        raise UsageError(f"{needed}, for {', '.join(map(repr, ours))}; got {len(labels)}")
    if len(set(labels)) < len(labels):
        raise UsageError(f"labels must differ, got {', '.join(map(repr, labels))}")
    return list(map(str, labels))


def wrapped(text: object, inches: float, size: float) -> str:
    """Returns plain text in lines that are at most this wide, for letters of `size` points."""
    said = plain(text, LONGEST)
    limit, lines = len(said), [said]
    while limit > 1 and (widest := max(_width(line, size) for line in lines)) > inches:
        limit = min(limit - 1, int(max(map(len, lines)) * inches / widest) + 1)
        lines = textwrap.wrap(said, max(limit, 1)) or [said]
    return "\n".join(lines)


def legend_below(
    ax: Axes, title: str | None = None, *, size: float | None = None, most: int | None = None, markerscale: float = 1.0
) -> None:
    """Puts a legend below a plot, in as many columns as fit, its labels wrapped.

    A short one goes inside if the caller's figure has no layout, which would make room below.

    Args:
        ax: the axes; without a label nothing happens.
        title: of the legend.
        size: of its letters in points.
        most: how many entries to show; the others are counted.
        markerscale: the size of its markers, relative to those in the plot.
    """
    handles, labels = ax.get_legend_handles_labels()
    if labels:
        is_inside = ax.figure.get_layout_engine() is None and len(labels) <= MOST_INSIDE
        below = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": _below(ax, LEGEND_BELOW), **FLUSH}
        more: dict[str, Any] = {"title": title, "size": size, "markerscale": markerscale}
        more |= INSIDE if is_inside else below
        inches = _inches(ax) * (SHARE_INSIDE if is_inside else 1)
        _add_legend(ax, handles[:most], _counted(labels, most), inches, **more)


def fit(figure: Figure, *, fixed: bool = False) -> None:
    """Makes room for the legends of a figure and wraps the texts that would leave it.

    Args:
        figure: ours, with plots in a grid; panels with equal legends share one.
        fixed: whether its size is asked for; then legends get smaller letters instead of more room.

    Raises:
        UsageError: it is too small for its text.
    """
    _share_legend(figure)
    titles = _wrap_titles(figure)
    if fixed:
        _shrink_legends(figure, titles)
    else:
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + titles + _legends_height(figure))
    said: dict[Text, str] = {}
    for _ in range(MOST_LAYOUTS):  # what is wrapped moves what lies beside it
        for legend in _legends(figure):
            legend.set_bbox_to_anchor((0, 0), _below(legend.axes, _depth(legend.axes) + LEGEND_GAP))
        _lay_out(figure)
        for text, inches in (too_long := list(_too_long(figure))):
            before = said.setdefault(text, text.get_text())
            is_title = text.get_horizontalalignment() == "left"  # wrapped before; the lines of a label are meant
            lines = [before] if is_title else before.splitlines()
            text.set_text("\n".join(wrapped(_unwrapped(line), inches, float(text.get_fontsize())) for line in lines))
        if not too_long:
            break
        figure.stale = True  # the text of a label that is set does not do that
    if not fixed and any(ax.get_aspect() != "auto" for ax in figure.axes):  # squares stay square: a wide map is low
        width, height = figure.get_size_inches()
        needed = figure.get_tightbbox().height + LEGEND_GAP
        figure.stale = False  # measuring sets it
        if needed < height - SPARE:
            figure.set_size_inches(width, needed)


def _lay_out(figure: Figure) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "constrained_layout not applied", UserWarning)
        try:
            lay_out(figure)
        except UserWarning as error:
            width, height = figure.get_size_inches()
            raise UsageError(
                f"a figure of {width:.3g} x {height:.3g} inches has no room for its text: choose a larger size, "
                "fewer runs or shorter labels"
            ) from error


# ------------------------------------------------------------------------------------------------ legends


def _add_legend(
    owner: Any,
    handles: Sequence[Any],
    labels: Sequence[str],
    inches: float,
    *,
    title: str | None,
    size: float | None,
    **more: Any,
) -> Legend:
    size = size or float(rc_params()["legend.fontsize"])
    em = size / POINTS
    lines = [wrapped(_unwrapped(label), inches - HANDLE * em, size) for label in labels]
    widest = max(_width(line, size) for label in lines for line in label.splitlines()) + HANDLE * em
    columns = max(1, min(len(lines), int((inches + SPACE * em) / (widest + SPACE * em))))
    return cast(
        "Legend",
        owner.legend(
            handles,
            lines,
            title=title and wrapped(title, inches, size),
            alignment="left",
            ncols=columns,
            fontsize=size,
            title_fontsize=size,
            handlelength=HANDLE - 0.8,
            columnspacing=SPACE,
            **more,
        ),
    )


def _counted(labels: list[str], most: int | None) -> list[str]:
    """Returns the first labels, the last of which counts those left out."""
    if most is None or len(labels) <= most:
        return labels
    return [*labels[: most - 1], f"{labels[most - 1]}, and {len(labels) - most} more lines"]


def _share_legend(figure: Figure) -> None:
    """Gives panels with equal legends one, below them all."""
    legends = _legends(figure)
    said = {tuple(text.get_text() for text in legend.get_texts()) for legend in legends}
    if len(legends) > 1 and len(said) == 1:
        handles, labels = legends[0].axes.get_legend_handles_labels()
        title = legends[0].get_title().get_text() or None
        for legend in legends:
            legend.remove()
        inches = float(figure.get_size_inches()[0]) - 4 * EDGE
        _add_legend(
            figure,
            handles,
            labels,
            inches,
            title=title,
            size=None,
            markerscale=legends[0].markerscale,
            loc="outside lower left",
        )


def _legends_height(figure: Figure) -> float:
    height = sum(_height(legend) + LEGEND_GAP for legend in figure.legends)
    return height + sum(max(row) + LEGEND_GAP for row in _rows_of_legends(figure))


def _rows_of_legends(figure: Figure) -> list[list[float]]:
    """Returns the heights in inches of the legends of each row of plots that has any."""
    rows: dict[int, list[float]] = {}
    for ax in figure.axes:
        place, legend = ax.get_subplotspec(), ax.get_legend()
        if place is not None and legend is not None:
            rows.setdefault(place.rowspan.start, []).append(_height(legend))
    return list(rows.values())


def _shrink_legends(figure: Figure, titles: float) -> None:
    """Makes legends that take up most of the height of their plots smaller and, if that is not enough, shorter.

    Args:
        figure: the figure.
        titles: the inches that additional lines of titles take.
    """
    for legend in _legends(figure):
        ax = legend.axes
        place = ax.get_subplotspec()
        rows = place.get_gridspec().nrows if place is not None else 1
        room = SHARE_OF_LEGEND * ((float(figure.get_size_inches()[1]) - titles) / rows - 2 * LEGEND_BELOW)
        title, size = legend.get_title().get_text() or None, float(legend.get_texts()[0].get_fontsize())
        entries = len(legend.get_texts())
        while (height := _height(cast("Legend", ax.get_legend()))) > room and (size > SMALLEST or entries > 1):
            if size > SMALLEST:
                size = max(SMALLEST, size - 0.5)
            else:
                entries = max(1, min(entries - 1, int(entries * room / height)))
            legend_below(ax, title, size=size, most=entries, markerscale=legend.markerscale)


def _legends(figure: Figure) -> list[Legend]:
    """Returns the legends of the plots in a figure."""
    return [legend for ax in figure.axes if (legend := ax.get_legend()) is not None]


def _below(ax: Axes, inches: float) -> Transform:
    """Returns the coordinates of axes, moved down."""
    from matplotlib.transforms import ScaledTranslation  # noqa: PLC0415  (an extra)

    return ax.transAxes + ScaledTranslation(0, -inches, ax.figure.dpi_scale_trans)


def _depth(ax: Axes) -> float:
    """Returns how far ticks and labels reach below axes, in inches; reckoned, because measuring them takes long."""
    axis, names = ax.xaxis, [text for text in ax.get_xticklabels() if text.get_text()]
    if any(text.get_rotation() for text in names):
        box = axis.get_tightbbox()
        return 0.0 if box is None else max(0.0, float(ax.get_window_extent().y0 - box.y0) / ax.figure.dpi)
    ticks = (
        axis.get_tick_padding() + float(rc_params()["xtick.major.pad"]) + max(map(_points_high, names))
        if names
        else 0.0
    )
    label = axis.labelpad + _points_high(axis.label) if axis.label.get_text() else 0.0
    return float(ticks + label) / POINTS


def _points_high(text: Text) -> float:
    return LABEL_HEIGHT * float(text.get_fontsize()) * (text.get_text().count("\n") + 1)


def _height(legend: Legend) -> float:
    return float(legend.get_window_extent().height / cast("Figure", legend.get_figure(root=True)).dpi)


# ------------------------------------------------------------------------------------------------ measuring


def _width(text: str, size: float) -> float:
    """Returns the width of one line of text in inches."""
    return HINTING * _points_wide(text) * size / (FONT * POINTS)


@lru_cache(4096)
def _points_wide(text: str) -> float:
    from matplotlib.font_manager import FontProperties  # noqa: PLC0415  (an extra)
    from matplotlib.textpath import text_to_path  # noqa: PLC0415

    return float(text_to_path.get_text_width_height_descent(text, FontProperties(size=FONT), ismath=False)[0])


def _wrap_titles(figure: Figure) -> float:
    """Wraps titles to the width of their plots; returns how much height the additional lines take, in inches."""
    rows: dict[int, float] = {0: 0.0}
    for ax in figure.axes:
        place = ax.get_subplotspec()
        if place is not None and ax.get_title(loc="left"):
            size = float(ax._left_title.get_fontsize())  # type: ignore[attr-defined]  # noqa: SLF001
            inches = figure.get_size_inches()[0] / place.get_gridspec().ncols - TITLE_INDENT
            title = wrapped(_unwrapped(ax.get_title(loc="left")), max(inches, NARROWEST), size)
            ax.set_title(title, loc="left")
            extra = title.count("\n") * LINE_HEIGHT * size / POINTS
            rows[place.rowspan.start] = max(rows.get(place.rowspan.start, 0.0), extra)
    return sum(rows.values())


def _unwrapped(text: str) -> str:
    return text.replace("\n", " ").replace(r"\$", "$")


def _inches(ax: Axes) -> float:
    """Returns the width of axes in inches, before the layout: afterwards they are rather wider."""
    return max(NARROWEST, float(ax.get_position().width * ax.figure.get_size_inches()[0]))  # type: ignore[union-attr]


def _too_long(figure: Figure) -> Iterator[tuple[Text, float]]:
    """Yields the titles and labels that leave the figure or their row, with the room in inches that they have."""
    width, height = figure.get_size_inches()
    rows = max((place.get_gridspec().nrows for ax in figure.axes if (place := ax.get_subplotspec())), default=1)
    texts = [text for ax in figure.axes for text in (ax._left_title, ax.xaxis.label, ax.yaxis.label)]  # type: ignore[attr-defined]  # noqa: SLF001
    for text in [*texts, *([figure._suptitle] if figure._suptitle else [])]:  # type: ignore[attr-defined]  # noqa: SLF001
        box = text.get_window_extent()
        left, right = box.x0 / figure.dpi, width - box.x1 / figure.dpi
        below, above = box.y0 / figure.dpi, height - box.y1 / figure.dpi
        long = box.height / figure.dpi > height / rows
        if text.get_rotation() and (min(below, above) < EDGE or long):
            yield text, min(height - abs(below - above), height / rows) - 2 * EDGE
        elif not text.get_rotation() and min(left, right) < EDGE:
            inside = width - left if text.get_horizontalalignment() == "left" else width - abs(left - right)
            yield text, inside - 2 * EDGE
