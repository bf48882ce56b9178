"""A given policy: how it may be written, and the probabilities that it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIFORM = "uniform"
SUM_TOLERANCE = 1e-9  # how far the probabilities of a state may sum from 1
FORMS = "uniform, an action, an action for each state, probabilities (n_states, n_actions), or a run"

# as a parameter keeps it: a word, an action, or the rows of an array
GivenPolicy: TypeAlias = "str | int | tuple[int, ...] | tuple[tuple[float, ...], ...]"


def plain_policy(name: str, value: Any) -> GivenPolicy:
    """Returns a policy as a parameter keeps it; that of a run or an agent is its greedy one.

    Raises:
        UsageError: it is none of FORMS.
    """
    if isinstance(value, str):
        if value != UNIFORM:
            raise unknown_name(name, value, (UNIFORM,))
        return value
    agent = getattr(value, "agent", value)
    if hasattr(agent, "greedy_policy"):
        value = agent.greedy_policy()
        if value is None:
            raise UsageError(f"{name}: {agent.name} has no greedy policy; give {FORMS}")
    return _rows(name, value)


def _rows(name: str, value: Any) -> GivenPolicy:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of unequal length
        array = np.empty(0)
    if array.size and array.ndim == 2 and array.dtype.kind in "fiu":  # noqa: PLR2004  (states, actions)
        return tuple(map(tuple, array.astype(np.float64).tolist()))
    if not array.size or array.ndim > 1 or array.dtype.kind not in "iu":
        raise UsageError(f"{name} must be {FORMS}, got {value!r:.80}")
    return tuple(array.tolist()) if array.ndim else int(array)


def probabilities_of(policy: GivenPolicy, n_states: int, n_actions: int, name: str = "policy") -> NDArray[np.float64]:
    """Returns the probabilities of a policy, (n_states, n_actions).

    Raises:
        UsageError: it is for another number of states or actions, or probabilities do not sum to 1.
    """
    if policy == UNIFORM:
        return np.full((n_states, n_actions), 1.0 / n_actions)
    array = np.asarray(policy)
    if array.ndim < 2:  # noqa: PLR2004  (actions)
        return _of_actions(array, n_states, n_actions, name)
    if array.shape != (n_states, n_actions):
        raise UsageError(f"{name} must have the shape {(n_states, n_actions)}, got {array.shape}")
    sums = array.sum(axis=1)
    wrong = ~((array.min(axis=1) >= 0) & (np.abs(sums - 1.0) <= SUM_TOLERANCE))  # so that NaN is wrong
    if wrong.any():
        state = int(wrong.argmax())
        raise UsageError(f"the probabilities of {name}[{state}] must be 0 or more and sum to 1, got {array[state]}")
    return array


def _of_actions(actions: NDArray[np.int64], n_states: int, n_actions: int, name: str) -> NDArray[np.float64]:
    if actions.ndim and len(actions) != n_states:
        raise UsageError(f"{name} must have an action for each of {n_states} states, got {len(actions)}")
    wrong = (actions < 0) | (actions >= n_actions)
    if wrong.any():
        raise UsageError(f"{name} must take actions from 0 to {n_actions - 1}, got {actions[wrong][0]}")
    probabilities = np.zeros((n_states, n_actions))
    probabilities[np.arange(n_states), actions] = 1.0
    return probabilities
