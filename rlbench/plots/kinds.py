"""The kinds of plots of runs, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import UsageError, unknown_name
from rlbench.evaluation.comparison import group_runs
from rlbench.plots.grids import figure_size, policy, states, values
from rlbench.plots.lines import actions, curve, evaluation, exploration, share, td
from rlbench.plots.series import size_for
from rlbench.plots.smoothing import smoothing
from rlbench.plots.style import FIGURE_SIZE, check_path, new_figure, styled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from rlbench.envs.layouts import Layout
    from rlbench.training import Run

MOST_RUNS = 9  # pictures in one figure
FIGURE_COLUMNS = 3


class Kind(NamedTuple):
    """A plot of runs: the function that draws it, and what it takes."""

    function: Callable[..., Any]
    text: str
    takes_many: bool = False  # several runs in one plot
    is_smoothed: bool = False
    is_map: bool = False


KINDS = {
    "curve": Kind(curve, "returns over training", takes_many=True, is_smoothed=True),
    "exploration": Kind(exploration, "how much was explored", is_smoothed=True),
    "actions": Kind(actions, "which actions were taken"),
    "share": Kind(share, "how often one action was taken", takes_many=True, is_smoothed=True),
    "values": Kind(values, "the value of each state", is_map=True),
    "policy": Kind(policy, "the greedy action of each state", is_map=True),
    "td": Kind(td, "temporal-difference errors (q-learning)", is_smoothed=True),
    "states": Kind(states, "which states were seen", is_map=True),
    "evaluation": Kind(evaluation, "returns of greedy episodes: over training (--eval-every), else of 100 now"),
}


def draw(
    runs: Sequence[Run],
    kind: str = "curve",
    *,
    smooth: str = "savgol",
    row: str | None = None,
    col: str | None = None,
    **of_share: Any,
) -> Figure:
    """Draws a plot of runs for a file; a kind that shows a single run is drawn once per run, side by side.

    Args:
        runs: one or more; all of one env for "curve" and "share".
        kind: one of KINDS.
        smooth: for "curve", "exploration", "share" and "td": "savgol", "mean:N" or "none".
        row: only this row of maps, such as the passenger's zone.
        col: only this column of maps, such as the destination.
        of_share: for "share": its `action`, `state` and `optimal`; None for none.

    Raises:
        UsageError: an unknown kind, no runs or too many, or an argument rejected by the function of that kind.
        StoreError: likewise.
    """
    check(kind, smooth)
    _check_options(runs, kind, maps=(row, col), share=tuple(of_share.values()))
    chosen = KINDS[kind]
    options = {"smooth": smoothing(smooth)} if chosen.is_smoothed else {}
    options |= of_share if kind == "share" else {}
    shown = [list(runs)] if chosen.takes_many else list(runs)
    if len(shown) > MOST_RUNS:
        raise UsageError(f"{kind} shows at most {MOST_RUNS} runs at a time, got {len(shown)}: draw fewer")
    layouts = [_layout(run, row, col) for run in runs] if chosen.is_map else []
    return _figure(chosen, shown, _size(chosen, runs, layouts), layouts, options)


def _check_options(runs: Sequence[Run], kind: str, *, maps: tuple[Any, ...], share: tuple[Any, ...]) -> None:
    """Raises UsageError if there are no runs, or for options of another kind."""
    if not runs:
        raise UsageError("name at least one run to draw")
    if any(option is not None for option in maps) and not KINDS[kind].is_map:
        raise UsageError(f"{kind} is not a map, so it takes no passenger or destination: draw values, policy or states")
    if any(option is not None for option in share) and kind != "share":
        raise UsageError(f"action, state and optimal go with the kind share, got {kind}")


def _size(chosen: Kind, runs: Sequence[Run], layouts: Sequence[Layout | None]) -> tuple[float, float]:
    """Returns the size of one plot in inches."""
    if chosen.takes_many:
        return size_for(len(group_runs(runs)))
    sizes = [figure_size(layout) for layout in layouts] or [FIGURE_SIZE]
    return max(width for width, _ in sizes), max(height for _, height in sizes)


def _figure(
    chosen: Kind, shown: Sequence[Any], size: tuple[float, float], layouts: Sequence[Any], options: dict[str, Any]
) -> Figure:
    """Draws plots side by side, at most FIGURE_COLUMNS per row."""
    columns = min(len(shown), FIGURE_COLUMNS)
    rows = -(-len(shown) // columns)
    with styled():
        figure = new_figure((columns * size[0], rows * size[1]))
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for number, (data, ax) in enumerate(zip(shown, axes, strict=False)):
            more = {**options, "layout": layouts[number]} if layouts else options
            chosen.function(data, ax, **more)
        for ax in axes[len(shown) :]:
            ax.remove()
    return figure


def check(kind: str = "curve", smooth: str = "savgol", path: str | Path | None = None) -> None:
    """Checks the options before anything is read or computed.

    Raises:
        UsageError: an unknown kind, smoothing or file extension, or matplotlib is missing.
    """
    if kind not in KINDS:
        raise unknown_name("kind of plot", kind, KINDS)
    smoothing(smooth)
    if path is not None:
        check_path(path)
        with styled():
            pass


def _layout(run: Run, row: str | None, col: str | None) -> Layout | None:
    layout = run.layout()
    if (row, col) == (None, None):
        return layout
    if layout is None or not layout.row_names:
        raise UsageError(f"{run.env_id} has at most one map: leave out the passenger and destination")
    return layout.pick(row, col)
