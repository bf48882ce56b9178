"""Parallel coordinates: a line for each combination of a study, across an axis for each parameter and its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.settings import write_setting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rlbench.studies import Row, Study

MOST = 300  # lines
SHADES = 8  # from the worst to the best
GAP, TOP, HEIGHT, EDGE = 150, 34, 240, 60  # pixels: between axes, above, of an axis, beside the outer ones
FINITE = 0.86  # of an axis, if some values are infinite
TICKS = 12  # of words on an axis
LONGEST = 16  # characters of a tick


class Scale(NamedTuple):
    """An axis: its name, where it stands, and its ticks."""

    name: str
    x: int
    ticks: list[tuple[float, str]]  # y and words


class Line(NamedTuple):
    """A combination: the points of its line, its shade (0 the worst), and what it says."""

    points: str
    shade: int
    words: str


class Parallel(NamedTuple):
    """The drawing of a study, the best combination on top."""

    width: int
    height: int
    scales: list[Scale]
    lines: list[Line]


def parallel_of(study: Study) -> Parallel | None:
    """Returns the drawing of a study; None if fewer than two combinations have a value."""
    ranked = [number for number in study.ranking.tolist() if not np.isnan(study.scores[number])]
    if len(ranked) < 2:  # noqa: PLR2004
        return None
    places = np.unique(np.linspace(0, len(ranked) - 1, min(MOST, len(ranked))).round().astype(int)).tolist()
    rows = [study.row(ranked[place]) for place in places]
    columns = _columns(study, rows)
    scales, heights = [], []
    for number, (name, values, is_log) in enumerate(columns):
        y, ticks = _placed(values, is_log=is_log, is_down=name == study.settings.objective and study.objective.is_loss)
        scales.append(Scale(name, EDGE + number * GAP, ticks))
        heights.append(y)
    lines = [
        Line(
            " ".join(f"{scale.x},{y[i]:.1f}" for scale, y in zip(scales, heights, strict=True)),
            SHADES - 1 - places[i] * SHADES // len(ranked),
            f"{row.label}: {row.value:.4g}",
        )
        for i, row in enumerate(rows)
    ]
    return Parallel(2 * EDGE + (len(scales) - 1) * GAP, TOP + HEIGHT + 16, scales, lines[::-1])


def _columns(study: Study, rows: Sequence[Row]) -> list[tuple[str, list[Any], bool]]:
    """Returns the axes: name, values and whether they are logarithmic."""
    agents = [("agent", [row.agent for row in rows], False)] if len(study.settings.agents) > 1 else []
    varied = [(axis.name, [row.parameters[axis.name] for row in rows], axis.is_log) for axis in study.settings.axes]
    return [*agents, *varied, (study.settings.objective, [row.value for row in rows], False)]


def _placed(values: list[Any], *, is_log: bool, is_down: bool) -> tuple[list[float], list[tuple[float, str]]]:
    """Returns how far down each value lies, and the ticks of their axis; infinite ones lie beyond the others."""
    if not all(type(value) in (int, float) for value in values):
        return _named(values)
    numbers = np.array(values, np.float64)
    is_finite = np.isfinite(numbers)
    known = numbers[is_finite]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    room = HEIGHT if is_finite.all() else HEIGHT * FINITE
    shares = np.where(is_finite, _shares(np.where(is_finite, numbers, low), low, high, is_log=is_log), HEIGHT / room)
    down = TOP + room * (shares if is_down else np.where(is_finite, 1 - shares, shares))
    top, bottom = (low, high) if is_down else (high, low)
    ticks = (
        [(float(TOP), f"{top:.4g}"), (TOP + room, f"{bottom:.4g}")] if high > low else [(TOP + room / 2, f"{low:.4g}")]
    )
    beyond = [] if is_finite.all() else [(float(TOP + HEIGHT), "infinite")]
    return down.tolist(), (ticks if len(known) else []) + beyond


def _shares(numbers: NDArray[np.float64], low: float, high: float, *, is_log: bool) -> NDArray[np.float64]:
    """Returns how far each number is on the way from the lowest to the highest."""
    if high <= low:
        return np.full(len(numbers), 0.5)
    if is_log and low > 0:
        return np.log(numbers / low) / np.log(high / low)  # type: ignore[no-any-return]  # an array
    return (numbers - low) / (high - low)


def _named(values: list[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    told = [write_setting(value) for value in values]
    names = sorted(set(told))
    step = HEIGHT / max(len(names) - 1, 1)
    where = {name: TOP + (number * step if len(names) > 1 else HEIGHT / 2) for number, name in enumerate(names)}
    every = -(-len(names) // TICKS)
    ticks = [(where[name], name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}...") for name in names[::every]]
    return [where[name] for name in told], ticks
