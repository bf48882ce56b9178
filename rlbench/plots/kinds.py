"""The kinds of plots of runs, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import UsageError, unknown_name
from rlbench.evaluation.comparison import check_same_env, group_runs
from rlbench.plots.data import is_evaluated, listed, title_of
from rlbench.plots.fitting import fit, labelled
from rlbench.plots.grids import figure_size, policy, states, values
from rlbench.plots.judging import evaluation, profile, regret, trials
from rlbench.plots.lines import actions, curve, exploration, iqm, reward, share, td
from rlbench.plots.series import check_x
from rlbench.plots.sizes import COLUMN_FONT, Size, grid_of, on_screen, read_size
from rlbench.plots.smoothing import smoothing
from rlbench.plots.style import FIGURE_SIZE, check_dpi, check_path, new_figure, plain, styled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rlbench.evaluation.comparison import Group
    from rlbench.training import Run

MOST_PANELS = 16  # in one figure
FEW_PANELS = 4  # of normal letters


class Kind(NamedTuple):
    """A plot of runs: the function that draws it, and what it takes."""

    function: Callable[..., Any]
    text: str
    takes_many: bool = False  # runs that differ in more than their seed in one plot
    is_smoothed: bool = False
    is_map: bool = False
    has_x: bool = False  # goes over training: episodes or steps


KINDS = {
    "curve": Kind(curve, "returns over training", takes_many=True, is_smoothed=True, has_x=True),
    "iqm": Kind(iqm, "their interquartile mean over seeds", takes_many=True, is_smoothed=True, has_x=True),
    "reward": Kind(reward, "mean reward a step, over training", takes_many=True, is_smoothed=True, has_x=True),
    "evaluation": Kind(
        evaluation, "greedy test episodes: over training (--eval-every), else 100 now", takes_many=True, has_x=True
    ),
    "trials": Kind(trials, "ten greedy test episodes as a line", takes_many=True),
    "regret": Kind(regret, "how far from the best possible return, over training", takes_many=True, has_x=True),
    "profile": Kind(profile, "performance profiles: which share of runs exceeds each return", takes_many=True),
    "exploration": Kind(exploration, "how much was explored", is_smoothed=True, has_x=True),
    "actions": Kind(actions, "which actions were taken", has_x=True),
    "share": Kind(share, "how often one action was taken", takes_many=True, is_smoothed=True, has_x=True),
    "values": Kind(values, "the value of each state", is_map=True),
    "policy": Kind(policy, "the greedy action of each state", is_map=True),
    "td": Kind(td, "temporal-difference errors (q-learning)", takes_many=True, is_smoothed=True, has_x=True),
    "states": Kind(states, "which states were seen", is_map=True),
}


def draw(
    runs: Run | Sequence[Run],
    kind: str = "curve",
    *,
    smooth: str = "bell",
    x: str = "episodes",
    row: str | None = None,
    col: str | None = None,
    title: str | None = None,
    labels: Sequence[str] = (),
    size: str | tuple[float, float] | None = None,
    column: str | None = None,
    **of_share: Any,
) -> Figure:
    """Draws a plot of runs for a file.

    Runs that differ only in their seed are one line, or one plot of their mean. A kind that shows a single setting is
    drawn once for each, in a grid that fits a screen.

    Args:
        runs: one, or several in a list; all of one env for the kinds that are lines.
        kind: one of KINDS.
        smooth: for "curve", "iqm", "reward", "exploration", "share" and "td": "bell", "mean:N", "savgol" or "none".
        x: for the kinds over training: "episodes" or environment "steps".
        row: only this row of maps, such as the passenger's zone.
        col: only this column of maps, such as the destination.
        title: instead of ours.
        labels: of the lines or plots, in their order, instead of ours.
        size: (width, height) in inches, or "WxH". By default as large as what is drawn needs.
        column: "single" or "double": as wide as columns of a journal (3.5 and 7.2 inches), in letters of 7 points.
        of_share: for "share": its `action`, `state` and `optimal`; None for none.

    Raises:
        UsageError: an unknown kind, no runs or too many, or an argument rejected by the function of that kind.
        StoreError: likewise.
    """
    check(kind, smooth, x=x, size=size, column=column)
    runs = listed(runs)
    _check_options(runs, kind, x, maps=(row, col), share=tuple(of_share.values()))
    chosen, wanted = KINDS[kind], read_size(size, column)
    groups = _named(_groups(runs, chosen), labels)
    if kind == "evaluation" and not all(map(is_evaluated, runs)):
        chosen = chosen._replace(takes_many=False, has_x=False)
    options: dict[str, Any] = {"x": x} if chosen.has_x else {}
    options |= {"smooth": smoothing(smooth)} if chosen.is_smoothed else {}
    options |= of_share if kind == "share" else {}
    is_crowded = not chosen.takes_many and len(groups) > FEW_PANELS
    with styled(min(wanted.font, COLUMN_FONT) if is_crowded else wanted.font):
        if chosen.takes_many:
            named = len(groups) > 1 or bool(labels)
            data: Any = {group.label: group.runs for group in groups} if named else groups[0].runs
            figure = _lines(chosen, data, wanted, options)
        else:
            figure = _panels(chosen, groups, wanted, [options | _layout(chosen, group, row, col) for group in groups])
        _set_title(figure, title)
        fit(figure, fixed=wanted.is_fixed)
    return figure


def check(
    kind: str = "curve",
    smooth: str = "bell",
    path: str | Path | None = None,
    *,
    x: str = "episodes",
    size: str | tuple[float, float] | None = None,
    column: str | None = None,
    dpi: int | None = None,
) -> None:
    """Checks the options before anything is read or computed.

    Raises:
        UsageError: an unknown kind, smoothing, x axis, size or file extension, or matplotlib is missing.
    """
    if kind not in KINDS:
        raise unknown_name("kind of plot", kind, KINDS)
    smoothing(smooth)
    check_x(x)
    read_size(size, column)
    if dpi is not None:
        check_dpi(dpi)
    if path is not None:
        check_path(path)
        with styled():
            pass


def _check_options(runs: Sequence[Run], kind: str, x: str, *, maps: tuple[Any, ...], share: tuple[Any, ...]) -> None:
    """Raises UsageError if there are no runs, or for options of another kind."""
    if not runs:
        raise UsageError("name at least one run to draw")
    if any(option is not None for option in maps) and not KINDS[kind].is_map:
        raise UsageError(f"{kind} is not a map, so it takes no passenger or destination: draw values, policy or states")
    if any(option is not None for option in share) and kind != "share":
        raise UsageError(f"action, state and optimal go with the kind share, got {kind}")
    if x != "episodes" and not KINDS[kind].has_x:
        raise UsageError(f"{kind} does not go over training, so it takes no x")


def _groups(runs: Sequence[Run], chosen: Kind) -> list[Group]:
    """Groups the runs that differ only in their seed, those of different envs apart."""
    if chosen.takes_many:
        check_same_env(runs)
    by_env: dict[str, list[Run]] = {}
    for run in runs:
        by_env.setdefault(run.env_id, []).append(run)
    return [group for members in by_env.values() for group in group_runs(members)]


def _named(groups: list[Group], labels: Sequence[str]) -> list[Group]:
    """Gives the groups the labels that are asked for."""
    named = labelled([group.label for group in groups], labels)
    return [group._replace(label=label) for group, label in zip(groups, named, strict=True)]


def _lines(chosen: Kind, data: Any, wanted: Size, options: dict[str, Any]) -> Figure:
    """Draws all in one plot."""
    figure = new_figure(wanted.of(FIGURE_SIZE))
    chosen.function(data, figure.subplots(), **options)
    return figure


def _panels(chosen: Kind, groups: Sequence[Group], wanted: Size, options: Sequence[dict[str, Any]]) -> Figure:
    """Draws a plot for each group, in a grid."""
    if len(groups) > MOST_PANELS:
        raise UsageError(f"this kind shows at most {MOST_PANELS} settings at a time, got {len(groups)}: draw fewer")
    bar = chosen.function is not policy
    sizes = [figure_size(more["layout"], bar=bar) if chosen.is_map else FIGURE_SIZE for more in options]
    panel = max(width for width, _ in sizes), max(height for _, height in sizes)
    rows, columns = grid_of(len(groups), panel)
    figure = new_figure(wanted.of(on_screen(rows, columns, panel)))
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for group, ax, more in zip(groups, axes, options, strict=False):
        chosen.function(group.runs, ax, **more)
        if len(groups) > 1:
            ax.set_title(plain(_title_of_panel(group, groups), 400))
    for ax in axes[len(groups) :]:
        ax.remove()
    _label_outer(axes[: len(groups)], columns)
    envs = {group.runs[0].env_id for group in groups}
    if len(groups) > 1 and len(envs) == 1:
        _set_title(figure, envs.pop())
    return figure


def _label_outer(axes: Sequence[Axes], columns: int) -> None:
    """Labels equal axes once a row and a column."""
    if len({(ax.get_xlabel(), ax.get_ylabel()) for ax in axes}) == 1:
        for number, ax in enumerate(axes):
            if number % columns:
                ax.set_ylabel("")
            if number + columns < len(axes):
                ax.set_xlabel("")


def _title_of_panel(group: Group, groups: Sequence[Group]) -> str:
    seeds = f"seed {group.runs[0].seed}" if len(group.runs) == 1 else f"{len(group.runs)} seeds"
    is_alone = sum(other.runs[0].env_id == group.runs[0].env_id for other in groups) == 1
    return title_of(group.runs) if is_alone else f"{group.label}, {seeds}"


def _set_title(figure: Figure, title: str | None) -> None:
    """Sets the title of a figure: that of its only plot, or one above all."""
    plots = [ax for ax in figure.axes if ax.get_subplotspec() is not None and ax.get_label() != "<colorbar>"]
    if title is not None and len(plots) == 1:
        plots[0].set_title(plain(title, 400))
    elif title is not None:
        figure.suptitle(plain(title, 400), x=0.02, ha="left")


def _layout(chosen: Kind, group: Group, row: str | None, col: str | None) -> dict[str, Any]:
    if not chosen.is_map:
        return {}
    run = group.runs[0]
    layout = run.layout()
    if (row, col) != (None, None):
        if layout is None or not layout.row_names:
            raise UsageError(f"{run.env_id} has at most one map: leave out the passenger and destination")
        layout = layout.pick(row, col)
    return {"layout": layout}
