"""The figure of a parameter study: an objective over one parameter as lines, over two as maps.

After Sutton & Barto (2018), figures 2.6 and 6.3: a line for each agent, its parameter on the x axis.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.plots.fitting import fit, labelled, legend_below
from rlbench.plots.sizes import grid_of, on_screen, read_size
from rlbench.plots.style import FIGURE_SIZE, PALE, line_style, logarithmic, new_figure, plain, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rlbench.plots.sizes import Size

    Array = NDArray[np.float64]

MOST_PANELS = 16  # maps in one figure
PANEL = (3.8, 3.2)  # inches
MARGIN = 0.05  # of a logarithmic axis, at each end
TICKS, LETTERS = 8, 34  # values, and letters of them, that are written along an axis of words, or of a map


class Parameter(NamedTuple):
    """A parameter, its values in their order, and whether its axis is logarithmic."""

    name: str
    values: tuple[Any, ...]
    is_log: bool = False

    @property
    def are_numbers(self) -> bool:
        """Whether the values have places on an axis."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)


class Measured(NamedTuple):
    """What was measured of an agent: of one parameter (n,), with or without a band, of two (n, m)."""

    label: str
    values: Array
    low: Array | None = None
    high: Array | None = None


def parameter_lines(agents: Sequence[Measured], parameter: Parameter, label: str, ax: Axes) -> Axes:
    """Draws a line with a band for each agent; what is infinite or unknown is left out."""
    places = np.array(parameter.values if parameter.are_numbers else range(len(parameter.values)), float)
    order = np.argsort(places)
    for number, one in enumerate(agents):
        style = line_style(number)
        ax.plot(places[order], _finite(one.values)[order], marker="o", markersize=3, label=plain(one.label), **style)
        if one.low is not None and one.high is not None:
            low, high = _finite(one.low)[order], _finite(one.high)[order]
            ax.fill_between(places[order], low, high, color=style["color"], alpha=0.2, linewidth=0)
    if parameter.is_log:
        ax.set_xscale("log")
        margin = (places.max() / places.min()) ** MARGIN
        ax.set_xlim(places.min() / margin, places.max() * margin)  # also where nothing is known
        logarithmic(ax.xaxis, places.min(), places.max())
    elif not parameter.are_numbers:
        _write_values(ax.xaxis, parameter)
    ax.set(xlabel=plain(parameter.name), ylabel=label)
    if not _has_values([one.values for one in agents], ax):
        ax.set_yticks([])
    if len(agents) > 1:
        legend_below(ax)
    return ax


def parameter_map(
    one: Measured,
    parameters: Sequence[Parameter],
    label: str,
    ax: Axes,
    *,
    is_loss: bool,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draws a map of two parameters, the better the brighter; what is infinite or unknown is grey.

    Maps with the same `limits`, the lowest and the highest value, have the same colours.
    """
    ax.set_facecolor(PALE)
    values, colours = np.ma.masked_invalid(one.values.T), "viridis_r" if is_loss else "viridis"
    image = ax.imshow(values, origin="lower", aspect="auto", interpolation="none", cmap=colours)
    if limits is not None:
        image.set_clim(limits)
    for axis, parameter in zip((ax.xaxis, ax.yaxis), parameters, strict=True):
        _write_values(axis, parameter)
    ax.grid(visible=False)
    ax.set(xlabel=plain(parameters[0].name), ylabel=plain(parameters[1].name), title=plain(one.label))
    if _has_values([one.values], ax):
        ax.figure.colorbar(image, ax=ax, label=label)
    return ax


def parameter_figure(
    agents: Sequence[Measured],
    parameters: Sequence[Parameter],
    label: str,
    ours: str,
    *,
    is_loss: bool,
    title: str | None = None,
    labels: Sequence[str] = (),
    size: str | tuple[float, float] | None = None,
    column: str | None = None,
) -> Figure:
    """Returns the figure of a study: lines over one parameter, or a map of two for each agent.

    Args:
        agents: what was measured.
        parameters: one or two.
        label: of what was measured.
        ours: the title, unless there is another.
        is_loss: whether less is better.
        title: instead of ours.
        labels: of the agents, instead of their names.
        size: (width, height) in inches, or "WxH".
        column: "single" or "double", see `draw`.

    Raises:
        UsageError: too few or too many labels, too many maps, a wrong size, or matplotlib is missing.
    """
    wanted = read_size(size, column)
    names = labelled([one.label for one in agents], labels)
    agents = [one._replace(label=name) for one, name in zip(agents, names, strict=True)]
    with styled(wanted.font):
        if len(parameters) == 1:
            figure = new_figure(wanted.of(FIGURE_SIZE))
            parameter_lines(agents, parameters[0], label, figure.subplots())
        else:
            figure = _maps(agents, parameters, label, wanted, is_loss=is_loss)
        figure.suptitle(plain(ours if title is None else title, 400), x=0.02, ha="left")
        fit(figure, fixed=wanted.is_fixed)
    return figure


def _maps(
    agents: Sequence[Measured], parameters: Sequence[Parameter], label: str, wanted: Size, *, is_loss: bool
) -> Figure:
    if len(agents) > MOST_PANELS:
        raise UsageError(f"at most {MOST_PANELS} maps fit into a figure, got {len(agents)} agents")
    rows, columns = grid_of(len(agents), PANEL)
    figure = new_figure(wanted.of(on_screen(rows, columns, PANEL)))
    panels = np.ravel(figure.subplots(rows, columns, squeeze=False))
    known = np.concatenate([one.values[np.isfinite(one.values)] for one in agents])
    limits = (float(known.min()), float(known.max())) if len(known) else None
    for one, ax in zip(agents, panels, strict=False):
        parameter_map(one, parameters, label, ax, is_loss=is_loss, limits=limits)
    for ax in panels[len(agents) :]:
        ax.remove()
    return figure


def _has_values(values: Sequence[Array], ax: Axes) -> bool:
    """Returns whether anything can be drawn; else the axes say why not."""
    if any(np.isfinite(one).any() for one in values):
        return True
    told = "infinite everywhere" if any(np.isinf(one).any() for one in values) else "no values yet"
    ax.text(0.5, 0.5, told, transform=ax.transAxes, ha="center", va="center")
    return False


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _write_values(axis: Any, parameter: Parameter) -> None:
    """Writes the values along an axis on which they stand at 0, 1, 2 ..., or every second, third ... of them."""
    told = [plain(f"{value:.3g}" if isinstance(value, float) else str(value), 20) for value in parameter.values]
    letters = sum(map(len, told)) + 2 * len(told) if axis.axis_name == "x" else 0
    step = math.ceil(max(len(told) / TICKS, letters / LETTERS))
    axis.set_ticks(range(0, len(told), step), told[::step])
