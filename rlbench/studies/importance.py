"""Which parameters matter: how much of what came of a study each of them explains alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.settings import write_setting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.studies.study import Study

FEW = 8  # values of a parameter that are told apart; of more numbers, parts of equal size are
PARTS = 5


def importances(study: Study) -> dict[str, float]:
    """Returns what each parameter, and the agent, explains alone of the combinations' ranks: 0 nothing, 1 all.

    It is the correlation ratio (Fisher, 1925), between the values of a parameter, of the ranks: these know infinite
    values, and one that is far off is only the last. Numbers of more than 8 values are put into 5 parts of equal size.
    The most important comes first; there is none with fewer than two combinations that have a value.
    """
    known = np.flatnonzero(~np.isnan(study.scores[: study.asked])).tolist()
    if len(known) < 2:  # noqa: PLR2004  (between which something differs)
        return {}
    ranks = _ranks(study.scores[known])
    combinations = [study.combination(number) for number in known]
    columns: dict[str, list[Any]] = {"agent": [agent for agent, _ in combinations]}
    columns |= {axis.name: [found[axis.name] for _, found in combinations] for axis in study.settings.axes}
    shares = {name: _explained(ranks, _groups(values)) for name, values in columns.items() if len(_told(values)) > 1}
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))


def _told(values: list[Any]) -> set[str]:
    return {write_setting(value) for value in values}


def _groups(values: list[Any]) -> NDArray[np.int64]:
    """Returns the number of the group of each value."""
    if len(_told(values)) > FEW and all(type(value) in (int, float) for value in values):
        numbers = np.array(values, np.float64)
        cuts = np.quantile(numbers, np.arange(1, PARTS) / PARTS)
        return np.searchsorted(cuts, numbers)
    return np.unique([write_setting(value) for value in values], return_inverse=True)[1]


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the rank of each score, 0 the lowest; equal ones share their mean."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return ranks


def _explained(ranks: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Returns the share of the ranks' variance that lies between groups."""
    spread = ranks - ranks.mean()
    total = float(spread @ spread)
    counts = np.bincount(groups)
    sums = np.bincount(groups, spread)[counts > 0]
    return float((sums**2 / counts[counts > 0]).sum() / total) if total else 0.0
