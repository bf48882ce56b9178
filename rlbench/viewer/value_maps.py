"""State values and the greedy policy of a map, as numbers and colours; independent of any window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs.layouts import Layout

NOTHING = -1  # as a best action: all that are allowed have equal value
RAMP = np.array([(46, 46, 110), (38, 106, 142), (44, 158, 136), (140, 204, 88), (250, 230, 80)])  # worst to best


class ValueMap(NamedTuple):
    """The values and best actions of the squares of a map."""

    values: NDArray[np.float64]  # (rows, cols), of the best action
    best: NDArray[np.int64]  # (rows, cols), or NOTHING: on hazards, on blocks, where all are equal as at first
    shares: NDArray[np.float64]  # (rows, cols): 0 is the worst known value, 1 the best
    low: float  # the worst value known
    high: float  # the best


def value_map(table: NDArray[Any], layout: Layout, panel: tuple[int, int]) -> ValueMap:
    """Returns the state values of a panel; ties go to the first action, as in the agent."""
    rows = np.asarray(table, np.float64)[layout.states[panel]]
    values = rows.max(axis=-1)
    differ = ((rows < values[..., None]) & (rows > -np.inf)).any(axis=-1)  # -inf: not allowed
    best = np.where(differ, rows.argmax(axis=-1), NOTHING)
    best[tuple(np.array(layout.hazards + layout.blocks, int).reshape(-1, 2).T)] = NOTHING
    known = values[best != NOTHING]
    low, high = float(known.min(initial=np.inf)), float(known.max(initial=-np.inf))
    shares = np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.full(values.shape, 0.5)
    return ValueMap(values, best, shares, low, high)


def ramp(share: float) -> tuple[int, int, int]:
    """Returns the colour for a share between the worst value, 0, and the best, 1; brighter is better."""
    at = share * (len(RAMP) - 1)
    low = min(int(at), len(RAMP) - 2)
    red, green, blue = (RAMP[low] + (RAMP[low + 1] - RAMP[low]) * (at - low)).round().astype(int).tolist()
    return red, green, blue
