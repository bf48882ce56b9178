"""Sweeps: repeated backups of all states, until a stopping test holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rlbench.checks import is_whole_number
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel

    Array = NDArray[np.float64]
    Backup = Callable[[Array, Array], None]  # (values, out): out becomes the values one step earlier

MAX_SWEEPS = 200_000  # of one iteration without a step limit; values that have not converged by then may diverge


@dataclass
class Sweeps:
    """The result of an iteration; both arrays end with the extra state, 0.0."""

    last: Array
    previous: Array
    sweeps: int
    delta: float  # the largest change of the last sweep
    settled: bool

    @classmethod
    def none_of(cls, n_states: int) -> Sweeps:
        """Returns V = 0, before the first sweep."""
        return cls(np.zeros(n_states + 1), np.zeros(n_states + 1), 0, np.inf, settled=False)

    @property
    def values(self) -> Array:
        """The values (n_states,)."""
        return self.last[:-1]


def iterate(
    backup: Backup,
    n_states: int,
    most: int,
    enough: Callable[[float, Array], bool],
    start: Sweeps | None = None,
) -> Sweeps:
    """Sweeps from V = 0, or continues from `start`, until `enough(delta, values)`, at most `most` times."""
    run = start or Sweeps.none_of(n_states)
    change = np.empty(n_states)
    run.settled = False
    while not run.settled and run.sweeps < most:
        run.last, run.previous = run.previous, run.last
        backup(run.previous, run.last[:-1])
        np.subtract(run.last[:-1], run.previous[:-1], out=change)
        run.delta = float(np.abs(change, out=change).max())
        run.sweeps += 1
        run.settled = enough(run.delta, run.values)
    return run


def settle(
    backup: Backup, n_states: int, gamma: float, enough: Callable[[float, Array], bool], start: Sweeps | None = None
) -> Sweeps:
    """Sweeps until `enough(delta, values)`.

    Raises:
        UsageError: MAX_SWEEPS were not enough; the advice depends on gamma.
    """
    run = iterate(backup, n_states, MAX_SWEEPS, enough, start)
    if not run.settled:
        advice = "gamma < 1 or a horizon" if gamma == 1 else "a smaller gamma or a horizon"
        change = f"change by {run.delta:.3g} after {run.sweeps} sweeps"
        raise UsageError(f"with gamma {gamma} the values still {change}: give {advice}")
    return run


def unchanged(delta: float, _values: Array) -> bool:
    """Whether a sweep changed nothing: later ones would not either."""
    return delta == 0


def contracted(gamma: float, tolerance: float) -> Callable[[float, Array], bool]:
    """Returns the test that the error bound of a gamma-contraction is at most `tolerance`."""

    def enough(delta: float, values: Array) -> bool:
        return gamma * delta <= tolerance * (1 - gamma) or delta <= rounding(values)

    return enough


def rounding(values: Array) -> float:
    """Returns the change below which a sweep only moves the last bits."""
    return 4 * float(np.finfo(np.float64).eps) * float(max(values.max(), -values.min()))


def slower_than(target: float) -> Callable[[float, Array], bool]:
    """Returns the test that a sweep changes no value by more than `target` or rounding."""
    return lambda delta, values: delta <= max(target, rounding(values))


# ------------------------------------------------------------------ arguments and averages


def steps_to_plan(model: TabularModel, gamma: float, horizon: int | None) -> int | None:
    """Returns the horizon, checked; by default the model's step limit if gamma is 1; None for no limit."""
    if horizon is None:
        return model.step_limit if gamma == 1 else None
    if not is_whole_number(horizon):
        raise UsageError(f"horizon must be a whole number of steps, 1 or more, got {horizon!r}")
    return int(horizon)


def check_gamma(gamma: float) -> None:
    """Raises UsageError for a discount outside [0, 1]."""
    if not (isinstance(gamma, int | float | np.number) and 0 <= gamma <= 1):
        raise UsageError(f"gamma must be in [0, 1], got {gamma!r}")


def check_tolerance(tolerance: float) -> None:
    """Raises UsageError for an unreachable error bound."""
    if not tolerance > 0:
        raise UsageError(f"tolerance must be above 0, got {tolerance!r}")


def mean_over_starts(model: TabularModel, values: Array) -> float:
    """Averages values over the start distribution; skips the other states, because 0 * inf is NaN."""
    weights, values = model.initial[model.starts], values[model.starts]
    # Equal starts get a plain mean, which adds whole values without rounding.
    return float(values.mean() if (weights == weights[0]).all() else np.sum(weights * values))
