"""Plots (extra `plots`): each function takes data and an optional `ax`, draws on it and returns it.

    from rlbench import plots

    ax = plots.curve(run)
    plots.save(ax.figure, "curve.svg")

Colours are distinct with any colour vision (Okabe & Ito, 2008), sizes fit a page, and matplotlib's global settings
stay unchanged. matplotlib is imported on the first drawing.
"""

from __future__ import annotations

from rlbench.plots.comparing import comparison_figure, improvements, interquartile_means
from rlbench.plots.data import td_errors, visits_of
from rlbench.plots.grids import policy, states, values
from rlbench.plots.kinds import KINDS, check, draw
from rlbench.plots.lines import actions, curve, evaluation, exploration, share, td
from rlbench.plots.smoothing import Smoothing, moving_mean, savitzky_golay, smoothing
from rlbench.plots.style import check_path, save

__all__ = [
    "KINDS",
    "Smoothing",
    "actions",
    "check",
    "check_path",
    "comparison_figure",
    "curve",
    "draw",
    "evaluation",
    "exploration",
    "improvements",
    "interquartile_means",
    "moving_mean",
    "policy",
    "save",
    "savitzky_golay",
    "share",
    "smoothing",
    "states",
    "td",
    "td_errors",
    "values",
    "visits_of",
]
