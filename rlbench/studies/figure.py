"""The figure of a study: its objective over the parameters that it varies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.plots.parameters import Measured, Parameter, parameter_figure
from rlbench.studies.objectives import objective_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rlbench.studies.settings import Settings

    Array = NDArray[np.float64]

OF_SEEDS = {"mean": "mean", "iqm": "IQM of the", "q50": "median of the"}
OF_RUNS = {"regret": "regret", "return": "greedy return", "area": "return of training"}
SHOWN = 2  # parameters in a map


def study_figure(asked: Settings, scores: Array, intervals: Array, **look: Any) -> Figure:
    """Draws the objective over one parameter, a line with a band for each agent, or over two, a map for each.

    Of more than two parameters the first two are shown, with the best values of the others.

    Args:
        asked: the settings of the study.
        scores: (combinations,) the objective, NaN where it is not known.
        intervals: (combinations, 2) its intervals, NaN likewise.
        look: as in `plots.draw`: `title`, `labels`, `size` and `column`.
    """
    varied = [axis for axis in asked.axes if len(axis.values) > 1] or list(asked.axes[:1])
    shown = [Parameter(*axis) for axis in varied[:SHOWN]]
    best_of = f", best {' and '.join(axis.name for axis in varied[SHOWN:])}" if varied[SHOWN:] else ""
    seeds = f"{len(asked.seeds):,} seed{'s' if len(asked.seeds) > 1 else ''}"
    title = f"{asked.env}, {seeds}{best_of}"
    is_loss = objective_of(asked.objective).is_loss
    shape = [len(axis.values) for axis in varied]
    measured = _maps(asked, scores, shape, is_loss=is_loss) if len(shown) > 1 else _lines(asked, scores, intervals)
    return parameter_figure(measured, shown, label_of(asked), title, is_loss=is_loss, **look)


def trials_figure(asked: Settings, scores: Array, **look: Any) -> Figure:
    """Draws the value of each trial of a tuning, and the best so far; `scores` (trials,) are NaN where it failed."""
    is_loss = objective_of(asked.objective).is_loss
    best = (np.fmin if is_loss else np.fmax).accumulate(scores)
    measured = [Measured("each trial", scores), Measured("best so far", best)]
    trial = Parameter("trial", tuple(range(1, len(scores) + 1)))
    title = f"{asked.agents[0]} on {asked.env}, {', '.join(axis.name for axis in asked.axes)}"
    return parameter_figure(measured, [trial], label_of(asked), title, is_loss=is_loss, **look)


def label_of(asked: Settings) -> str:
    """Returns what a study measures, in words."""
    objective = objective_of(asked.objective)
    of_runs = OF_RUNS.get(objective.name, f"steps to a return of {objective.threshold:g}")
    if objective.name == "area" and not math.isnan(objective.threshold):
        of_runs += f" from episode {objective.threshold:g} on"
    return f"{OF_SEEDS.get(asked.aggregate, f'percentile {asked.aggregate[1:]} of the')} {of_runs}"


def _lines(asked: Settings, scores: Array, intervals: Array) -> list[Measured]:
    of_agents = scores.reshape(len(asked.agents), -1)
    low, high = intervals.T.reshape(2, *of_agents.shape)
    return [Measured(*parts) for parts in zip(asked.agents, of_agents, low, high, strict=True)]


def _maps(asked: Settings, scores: Array, shape: list[int], *, is_loss: bool) -> list[Measured]:
    best = np.fmin if is_loss else np.fmax
    of_agents = scores.reshape(len(asked.agents), *shape)
    others = tuple(range(SHOWN, len(shape)))
    return [
        Measured(agent, best.reduce(values, axis=others)) for agent, values in zip(asked.agents, of_agents, strict=True)
    ]
