"""How an agent acts while it explores, as probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def behaving_policy(policy: Any, q_table: Array, epsilon: float, *, ties: str) -> Array | None:
    """Returns the probability of each action (n_states, n_actions) at an exploration rate.

    Args:
        policy: of `_rules.py`: how to explore.
        q_table: (n_states, n_actions), the action values; -inf where an action is not allowed.
        epsilon: the exploration rate.
        ties: "first" or "random": which of equally good actions is the greedy one.

    Returns:
        None for upper confidence bounds, which change with every choice.
    """
    if hasattr(policy, "confidence"):
        return None
    best = q_table.max(axis=1, keepdims=True)
    if hasattr(policy, "temperature"):
        if policy.temperature * epsilon > 0:
            return _shares(np.exp((q_table - best) / (policy.temperature * epsilon)))
        epsilon, ties = 0.0, "first"
    greedy = q_table == best if ties == "random" else np.arange(q_table.shape[1]) == q_table.argmax(axis=1)[:, None]
    return (1 - epsilon) * _shares(greedy) + epsilon * _shares(q_table > -np.inf)


def _shares(weights: NDArray[Any]) -> Array:
    shares: Array = weights / weights.sum(axis=1, keepdims=True)
    return shares
