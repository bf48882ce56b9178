"""Plots (extra `plots`): each function takes data and an optional `ax`, draws on it and returns it.

    from rlbench import plots

    ax = plots.curve(run)
    plots.save(ax.figure, "curve.svg")

Colours are distinct with any colour vision (Okabe & Ito, 2008), sizes fit a page, and matplotlib's global settings
stay unchanged. matplotlib is imported on the first drawing.
"""

from __future__ import annotations

from rlbench.plots.comparing import comparison_figure, improvements, interquartile_means
from rlbench.plots.data import visits_of
from rlbench.plots.grids import policy, states, values
from rlbench.plots.judging import evaluation, profile, regret, trials
from rlbench.plots.kinds import KINDS, check, draw
from rlbench.plots.lines import actions, curve, exploration, iqm, reward, share, td
from rlbench.plots.parameters import parameter_figure, parameter_lines, parameter_map
from rlbench.plots.retracing import regrets_of, td_errors
from rlbench.plots.smoothing import Smoothing, bell_mean, moving_mean, savitzky_golay, smoothing
from rlbench.plots.style import check_path, save

__all__ = [
    "KINDS",
    "Smoothing",
    "actions",
    "bell_mean",
    "check",
    "check_path",
    "comparison_figure",
    "curve",
    "draw",
    "evaluation",
    "exploration",
    "improvements",
    "interquartile_means",
    "iqm",
    "moving_mean",
    "parameter_figure",
    "parameter_lines",
    "parameter_map",
    "policy",
    "profile",
    "regret",
    "regrets_of",
    "reward",
    "save",
    "savitzky_golay",
    "share",
    "smoothing",
    "states",
    "td",
    "td_errors",
    "trials",
    "values",
    "visits_of",
]
