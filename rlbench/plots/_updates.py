"""Compiled updates over stored steps: repeats Q-learning to recover its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numba import njit

from rlbench._stamp import stamp
from rlbench.agents._rules import q_update, rate_now

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def q_updates(
    table: Any,
    learning_rates: Any,
    timesteps: int,
    gamma: float,
    observations: NDArray[np.int64],
    actions: NDArray[np.int64],
    rewards: NDArray[np.float64],
    next_observations: NDArray[np.int64],
    terminated: NDArray[np.bool_],
    errors: NDArray[np.float64],
) -> None:
    """Updates the table in place with the first len(errors) steps, and writes their TD errors."""
    for i in range(errors.shape[0]):
        errors[i] = q_update(
            table,
            observations[i],
            actions[i],
            rewards[i],
            next_observations[i],
            terminated[i],
            rate_now(learning_rates, timesteps + i),
            gamma,
        )


stamp(__name__)
