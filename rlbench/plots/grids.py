"""Maps: values, policies and visits in the layout of the states, or as lines if the layout is unknown."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.actions import action_name
from rlbench.errors import UsageError
from rlbench.plots.data import initial_value_of, is_run, predicts, seeds_of, table_of, title_of, visits_of
from rlbench.plots.fitting import drawing, legend_below
from rlbench.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    logarithmic,
    plain,
    whole_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.path import Path
    from numpy.typing import ArrayLike, NDArray

    from rlbench.envs.layouts import Layout
    from rlbench.training import Run

    Array = NDArray[np.float64]

GAP = 1  # squares between panels
SQUARE = 0.2  # inches
MARGIN, TITLE, NAMES = 0.9, 0.5, 0.6  # inches: beside a map, above it, and for names below it
BAR = 1.3  # inches, for a colour bar
LEAST, MOST = 3.4, 11.0  # inches
LEGEND_MARK = 6.0  # points
SMALLEST_LETTER = 2.5  # points
MANY_ARROWS = 4_000  # more of them are rasterized, even in a vector file
HAZARD, ZONE, BLOCK = "#F4C7AB", "#CFE8F7", "#6B7080"
AGREEING = (1.0, 0.5, 0.2)  # the opacity of an action that all seeds choose, more than half, fewer
OTHER_ACTIONS = (("^", GREEN), ("s", ORANGE), ("o", BLUE), ("D", PURPLE), ("v", SKY), ("P", GREY))


class Table(NamedTuple):
    """Action values, and the states without knowledge."""

    values: Array  # (n_states, n_actions)
    unknown: NDArray[np.bool_]  # (n_states,), nothing was learnt there


class Votes(NamedTuple):
    """The action that most seeds choose."""

    actions: NDArray[np.int64]  # (n_states,), -1 where no seed has learnt
    counts: NDArray[np.int64]  # (n_states,), how many choose it
    seeds: int


def values(data: Run | Sequence[Run] | ArrayLike, ax: Axes | None = None, *, layout: Layout | None = None) -> Axes:
    """Draws the value of the best action in each state; of several seeds the mean of those that know the state.

    Of an agent that predicts, it is what the given policy is worth.

    SafeCab and Taxi get a map per passenger and destination, CartPole one per x and x_dot; an env without a known
    layout gets a line. States where nothing was learnt are grey.

    Args:
        data: a run, runs that differ only in their seed, or action values (n_states, n_actions).
        ax: where to draw; a new figure's by default.
        layout: where the states lie; a run of a known env knows it.

    Raises:
        UsageError: the agent keeps no values, a layout that does not fit, runs that differ in more than their seed, or
            matplotlib is missing.
    """
    seeds = seeds_of(data)
    tables = [_table(one) for one in seeds]
    layout = _fitting(seeds[0], layout, len(tables[0].values))
    best = _mean_of_known([np.where(table.unknown, np.nan, table.values.max(axis=1)) for table in tables])
    whose = "the policy" if predicts(seeds[0]) else "the best action"
    label = ("mean " if len(seeds) > 1 else "") + f"value of {whose}"
    with drawing(ax, figure_size(layout)) as drawn:
        if layout is None:
            _draw_by_state(drawn, best, label)
        else:
            _heat_map(drawn, best, layout, label)
        drawn.set_title(plain(title_of(data)))
    return drawn


def policy(data: Run | Sequence[Run] | ArrayLike, ax: Axes | None = None, *, layout: Layout | None = None) -> Axes:
    """Draws the greedy action of each state: an arrow for a move, a mark for anything else.

    Of several seeds it is the action that most of them choose, paler where fewer agree.

    Args:
        data: a run, runs that differ only in their seed, action values (n_states, n_actions), or actions (n_states,),
            -1 where unknown.
        ax: where to draw; a new figure's by default.
        layout: where the states lie; a run of a known env knows it.

    Raises:
        UsageError: the agent keeps no values, a layout that does not fit, runs that differ in more than their seed, or
            matplotlib is missing.
    """
    seeds = seeds_of(data)
    votes = _votes([_greedy(one) for one in seeds])
    layout = _fitting(seeds[0], layout, len(votes.actions))
    with drawing(ax, figure_size(layout, bar=False)) as drawn:
        if layout is None:
            _draw_by_state(drawn, np.where(votes.actions < 0, np.nan, votes.actions), "greedy action")
            whole_numbers(drawn.yaxis)
        else:
            _draw_ground(drawn, layout, unknown=votes.actions < 0)
            _draw_actions(drawn, layout, votes)
            drawn.set_anchor("NW")
        drawn.set_title(plain(title_of(data)))
    return drawn


def states(data: Run | Sequence[Run] | ArrayLike, ax: Axes | None = None, *, layout: Layout | None = None) -> Axes:
    """Draws how often each state was observed in training, on a logarithmic scale; grey: never. Seeds are added up.

    Args:
        data: a run that kept its steps, runs that differ only in their seed, or counts (n_states,).
        ax: where to draw; a new figure's by default.
        layout: where the states lie; a run of a known env knows it.

    Raises:
        StoreError: the run kept no steps.
        UsageError: its observations are not Discrete, a layout that does not fit, runs that differ in more than their
            seed, or matplotlib is missing.
    """
    seeds = seeds_of(data)
    counts = np.sum([visits_of(one) if is_run(one) else np.asarray(one) for one in seeds], axis=0)
    if counts.ndim != 1 or not len(counts) or not counts.any():
        raise UsageError(f"visits must be (n_states,) counts, some above 0, got the shape {counts.shape}")
    layout = _fitting(seeds[0], layout, len(counts))
    seen = np.where(counts > 0, counts, np.nan)
    label = "times observed" + (" by all seeds" if len(seeds) > 1 else "")
    with drawing(ax, figure_size(layout)) as drawn:
        if layout is None:
            _draw_by_state(drawn, seen, label)
            drawn.set_yscale("log")
            logarithmic(drawn.yaxis, float(np.nanmin(seen)), float(np.nanmax(seen)))
        else:
            _heat_map(drawn, seen, layout, label, log=True)
        drawn.set_title(plain(title_of(data)))
    return drawn


def figure_size(layout: Layout | None, *, bar: bool = True) -> tuple[float, float]:
    """Returns the size of a map in inches, with a colour bar or without: squares fit a letter if a page allows it."""
    if layout is None:
        return 5.5, 3.3
    beside = MARGIN + BAR * bar
    above = TITLE + NAMES * bool(layout.col_names or layout.inside)
    rows, cols = _mosaic_shape(layout)
    scale = min(1.0, (MOST - beside) / (cols * SQUARE), (MOST - above) / (rows * SQUARE))
    square = SQUARE * scale * (2 if max(rows, cols) * SQUARE * 2 <= MOST / 2 else 1)  # a single small map is enlarged
    return max(cols * square + beside, LEAST), max(rows * square + above, LEAST / 2)


# ------------------------------------------------------------------------------------------------ reading the data


def _table(data: Any) -> Table:
    found = table_of(data) if is_run(data) else np.asarray(data, dtype=np.float64)
    if found.ndim != 2 or not found.size:  # noqa: PLR2004  (states, actions)
        raise UsageError(f"action values must be (n_states, n_actions), got the shape {found.shape}")
    initial = initial_value_of(data) if is_run(data) else 0.0
    return Table(found, ((found == initial) | np.isneginf(found)).all(axis=1))  # -inf: not allowed


def _mean_of_known(seeds: list[Array]) -> Array:
    """Returns the mean over the seeds that know a state, NaN where none does."""
    rows = np.stack(seeds)
    known = ~np.isnan(rows)
    sums = np.where(known, rows, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), sums / np.maximum(known.sum(axis=0), 1), np.nan)


def _greedy(data: Any) -> NDArray[np.int64]:
    """Returns the greedy actions (n_states,), -1 where nothing was learnt."""
    array = None if is_run(data) else np.asarray(data)
    if array is not None and array.ndim == 1 and array.dtype.kind in "iu":
        return array.astype(np.int64)
    if predicts(data):
        return _given(data)
    table = _table(data)
    return np.where(table.unknown, -1, table.values.argmax(axis=1))


def _given(run: Any) -> NDArray[np.int64]:
    """Returns the actions of a given policy (n_states,)."""
    actions: NDArray[np.int64] | None = run.agent.greedy_policy()
    if actions is None:
        raise UsageError(f"the policy given to the agent of run {run.id}, {run.agent_name}, draws its actions")
    return actions


def _votes(seeds: list[NDArray[np.int64]]) -> Votes:
    """Returns the action that most seeds choose, of equally many the first."""
    chosen = np.stack(seeds)
    counts = np.stack([(chosen == action).sum(axis=0) for action in range(max(int(chosen.max()) + 1, 1))])
    most = counts.max(axis=0)
    return Votes(np.where(most > 0, counts.argmax(axis=0), -1), most, len(seeds))


def _fitting(data: Any, layout: Layout | None, n_states: int) -> Layout | None:
    if layout is None:
        found = data.layout() if is_run(data) else None
        return found if found is not None and found.states.size == n_states else None
    if layout.states.max(initial=-1) >= n_states:
        raise UsageError(f"the layout has the states 0 to {layout.states.max()}, the data {n_states} states")
    return layout


# ------------------------------------------------------------------------------------------------ drawing


def _mosaic_shape(layout: Layout) -> tuple[int, int]:
    panel_rows, panel_cols, rows, cols = layout.states.shape
    return panel_rows * (rows + GAP) - GAP, panel_cols * (cols + GAP) - GAP


def _corners(layout: Layout) -> list[tuple[int, int]]:
    """Returns the top left square of each panel, (row, column) in the mosaic."""
    panel_rows, panel_cols, rows, cols = layout.states.shape
    return [(i * (rows + GAP), j * (cols + GAP)) for i in range(panel_rows) for j in range(panel_cols)]


def _mosaic(layout: Layout, of_states: NDArray[Any], empty: Any) -> NDArray[Any]:
    """Arranges one value per state panel by panel, with `empty` between the panels."""
    picture = np.full(_mosaic_shape(layout), empty, dtype=np.asarray(of_states).dtype)
    rows, cols = layout.panel_shape
    panels = layout.states.reshape(-1, rows, cols)
    for (row, col), states_here in zip(_corners(layout), panels, strict=True):
        picture[row : row + rows, col : col + cols] = of_states[states_here]
    return picture


def _inside(layout: Layout) -> NDArray[np.bool_]:
    """Marks the squares of the mosaic that belong to a panel."""
    return _mosaic(layout, np.ones(int(layout.states.max()) + 1, dtype=bool), empty=False)


def _draw_by_state(ax: Axes, of_states: Array, label: str) -> None:
    ax.plot(np.arange(len(of_states)), of_states, ".", color=BLUE, markersize=3)
    ax.set(xlabel="state", ylabel=label)


def _heat_map(ax: Axes, of_states: Array, layout: Layout, label: str, *, log: bool = False) -> None:
    from matplotlib.colors import LogNorm  # noqa: PLC0415

    _draw_ground(ax, layout, unknown=np.isnan(of_states), letters=False)
    picture = np.ma.masked_invalid(_mosaic(layout, of_states, np.nan))
    image = ax.imshow(picture, interpolation="none", cmap="viridis", norm=LogNorm() if log else None, zorder=2)
    known = picture.compressed()
    if len(known):
        bar = ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8, aspect=25)
        bar.outline.set_visible(False)
        if log:
            logarithmic(bar.ax.yaxis, float(known.min()), float(known.max()))
    else:
        ax.set_xlabel("\n".join(filter(None, (ax.get_xlabel(), f"{label}: nothing known yet"))))
    _draw_walls(ax, layout)
    _draw_letters(ax, layout)


def _draw_ground(ax: Axes, layout: Layout, *, unknown: NDArray[np.bool_], letters: bool = True) -> None:
    """Draws the squares (hazards reddish, zones bluish, blocks dark, unknown states grey) and names the panels."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    picture = np.ones((*_mosaic_shape(layout), 3))
    for row, col in _corners(layout):
        for color, squares in ((ZONE, layout.letters), (HAZARD, layout.hazards), (BLOCK, layout.blocks)):
            for r, c in squares:
                picture[row + r, col + c] = to_rgb(color)
    picture[_mosaic(layout, unknown, empty=False)] *= to_rgb(PALE)
    ax.imshow(picture, interpolation="none", zorder=1, gid="ground")
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    _name_panels(ax, layout)
    if letters:
        _draw_squares(ax, layout)
        _draw_walls(ax, layout)
        _draw_letters(ax, layout, in_corner=True)


def _name_panels(ax: Axes, layout: Layout) -> None:
    panel_rows, panel_cols, rows, cols = layout.states.shape
    down = [i * (rows + GAP) + (rows - 1) / 2 for i in range(panel_rows)]
    across = [j * (cols + GAP) + (cols - 1) / 2 for j in range(panel_cols)]
    ax.set_yticks(down if layout.row_names else [], layout.row_names or None)
    ax.set_xticks(across if layout.col_names else [], layout.col_names or None)
    ax.tick_params(length=0)
    ax.set_ylabel(layout.row_title)
    ax.set_xlabel("\n".join(filter(None, (layout.col_title, layout.inside))))


def _draw_squares(ax: Axes, layout: Layout) -> None:
    rows, cols = layout.panel_shape
    lines = []
    for row, col in _corners(layout):
        top, left = row - 0.5, col - 0.5
        lines += [((left, top + r), (left + cols, top + r)) for r in range(rows + 1)]
        lines += [((left + c, top), (left + c, top + rows)) for c in range(cols + 1)]
    _draw_segments(ax, lines, color="#D5D5D5", width=0.5)


def _draw_walls(ax: Axes, layout: Layout) -> None:
    lines = [
        ((col + c + 0.5, row + r - 0.5), (col + c + 0.5, row + r + 0.5))
        for row, col in _corners(layout)
        for r, c in layout.walls
    ]
    _draw_segments(ax, lines, color=BLACK, width=1.4)


def _draw_segments(ax: Axes, lines: list[Any], *, color: str, width: float) -> None:
    from matplotlib.patches import PathPatch  # noqa: PLC0415
    from matplotlib.path import Path  # noqa: PLC0415

    if not lines:
        return
    path = Path(np.reshape(lines, (-1, 2)), [Path.MOVETO, Path.LINETO] * len(lines))  # one path: much faster than many
    many = len(lines) > MANY_ARROWS
    ax.add_artist(
        PathPatch(path, edgecolor=color, linewidth=width, zorder=3, fill=False, rasterized=many, clip_on=False)
    )


def _square_points(ax: Axes, layout: Layout) -> float:
    """Returns the side of a square in points."""
    rows, cols = _mosaic_shape(layout)
    box = ax.get_position()
    size = ax.figure.get_size_inches()  # type: ignore[union-attr]  # an Axes has a figure
    return float(72 * min(size[0] * box.width / cols, size[1] * box.height / rows))


def _draw_letters(ax: Axes, layout: Layout, *, in_corner: bool = False) -> None:
    """Writes the letters of squares, and a cross on hazards, if a letter fits.

    In a corner they leave room for an arrow, and hazards get no cross.
    """
    size = min((0.25 if in_corner else 0.4) * _square_points(ax, layout), 8.0)
    if size < SMALLEST_LETTER:
        return
    shift = 0.33 if in_corner else 0.0
    for square, letter in layout.letters.items():
        _draw_marks(ax, layout, [square], _outline(letter), size, shift)
    if not in_corner:
        _draw_marks(ax, layout, layout.hazards, _outline("\N{MULTIPLICATION SIGN}"), size, shift)


def _draw_marks(ax: Axes, layout: Layout, squares: Iterable[Any], mark: Any, size: float, shift: float) -> None:
    """Puts a mark with a white rim on these squares of every panel: much faster than text objects."""
    at = [(col + c - shift, row + r - shift) for row, col in _corners(layout) for r, c in squares]
    if not at:
        return
    x, y = zip(*at, strict=True)
    for color, edge in (("white", size / 4), (BLACK, 0)):
        ax.plot(x, y, linestyle="", marker=mark, markersize=size, color=color, markeredgewidth=edge, zorder=6)


@lru_cache(64)
def _outline(letter: str) -> Path:
    """Returns a letter's centred outline, as a marker."""
    from matplotlib.path import Path  # noqa: PLC0415
    from matplotlib.textpath import TextPath  # noqa: PLC0415

    outline = TextPath((0, 0), plain(letter), size=1)
    middle = (outline.vertices.min(axis=0) + outline.vertices.max(axis=0)) / 2
    return Path(outline.vertices - middle, outline.codes)


def _draw_actions(ax: Axes, layout: Layout, votes: Votes) -> None:
    """Draws the actions with more opacity the more seeds agree, and names what is not an arrow."""
    side = 0.45 * _square_points(ax, layout)
    known = max(len(layout.actions), int(votes.actions.max()) + 1)
    others = [action for action in range(known) if action not in layout.arrows]
    shown = _mosaic(layout, votes.actions, -1)[_inside(layout)]
    marks = [(mark, action) for mark, action in zip(_marks_of(others, layout), others, strict=True) if action in shown]
    for agreement, opacity in zip(_agreements(votes), AGREEING, strict=False):
        chosen = _mosaic(layout, np.where(agreement, votes.actions, -1), -1)
        _draw_arrows(ax, layout, chosen, opacity)
        _draw_other_actions(ax, layout, chosen, marks, side, opacity)
    if votes.seeds > 1:
        for name, opacity in _names_of_agreement(votes.seeds):
            ax.plot([], [], linestyle="", marker=">", markersize=side, color=BLACK, alpha=opacity, label=name)
    legend_below(ax, markerscale=LEGEND_MARK / max(side, 0.1))


def _marks_of(actions: list[int], layout: Layout) -> list[tuple[Any, str]]:
    """Returns the mark and colour of each action that is no arrow: its name, where there are too many for marks."""
    if len(actions) <= len(OTHER_ACTIONS):
        return list(OTHER_ACTIONS[: len(actions)])
    return [(_outline(action_name(layout.actions, action)), BLACK) for action in actions]


def _agreements(votes: Votes) -> list[NDArray[np.bool_]]:
    """Returns the states in which all seeds agree, at least half and one more, and fewer."""
    most = votes.counts > votes.seeds // 2
    return [votes.counts == votes.seeds, most & (votes.counts < votes.seeds), ~most]


def _names_of_agreement(seeds: int) -> list[tuple[str, float]]:
    """Returns what the opacities stand for: all seeds, more than half of them, fewer."""
    half = seeds // 2
    named = [(f"{seeds} of {seeds} seeds agree", AGREEING[0])]
    for (low, high), opacity in zip(((half + 1, seeds - 1), (1, half)), AGREEING[1:], strict=True):
        if low <= high:
            named.append((f"{low} to {high} of {seeds}" if low < high else f"{low} of {seeds}", opacity))
    return named


def _draw_arrows(ax: Axes, layout: Layout, chosen: NDArray[np.int64], opacity: float) -> None:
    inside = _inside(layout)
    moves = np.isin(chosen, list(layout.arrows)) & inside
    if moves.any():
        rows, cols = np.nonzero(moves)
        steps = np.array([layout.arrows[action] for action in chosen[moves].tolist()])
        arrows = ax.quiver(
            cols, rows, steps[:, 0], steps[:, 1], angles="xy", scale_units="xy", scale=1.45, pivot="mid", units="xy",
            width=0.1, headwidth=4, headlength=4, headaxislength=3.6, color=BLACK, alpha=opacity, zorder=5,
        )  # fmt: skip
        arrows.set_rasterized(int(inside.sum()) > MANY_ARROWS)


def _draw_other_actions(
    ax: Axes, layout: Layout, chosen: NDArray[np.int64], marks: list[tuple[Any, int]], side: float, opacity: float
) -> None:
    """Draws the marks of actions that are not moves, and names each once for the legend; a name needs none."""
    inside = _inside(layout)
    for (marker, color), action in marks:
        rows, cols = np.nonzero((chosen == action) & inside)
        is_named = opacity == AGREEING[0] and isinstance(marker, str)
        label = plain(action_name(layout.actions, action)) if is_named else None
        ax.plot(
            cols, rows, linestyle="", marker=marker, color=color, markersize=side, markeredgecolor=BLACK,
            markeredgewidth=0.4, zorder=5, alpha=opacity, label=label, rasterized=int(inside.sum()) > MANY_ARROWS,
        )  # fmt: skip
