"""The value of a policy: by a linear solve, by doubling if nothing is random, by sweeps if there are many states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rlbench.errors import UsageError
from rlbench.planning.chains import LARGEST_CLASS, RewardChain, fate
from rlbench.planning.sweeps import (
    check_gamma,
    check_tolerance,
    contracted,
    iterate,
    settle,
    slower_than,
    steps_to_plan,
    unchanged,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rlbench.envs.tabular import TabularModel
    from rlbench.planning.sweeps import Backup

    Array = NDArray[np.float64]

TOLERANCE = 1e-10  # the error allowed where a value is a limit
NOTHING = 1e-18  # a weight below this adds nothing to a sum


def policy_evaluation(
    model: TabularModel,
    policy: ArrayLike,
    gamma: float = 1.0,
    *,
    horizon: int | None = None,
    tolerance: float = TOLERANCE,
) -> Array:
    """Computes the value (n_states,) of a stationary policy.

    It is exact up to rounding, except without a horizon in a stochastic model of more than 3,000 states: then it is
    within `tolerance` of the truth. Where an undiscounted policy may collect rewards forever, the value is inf or -inf,
    or NaN if those rewards balance or both signs are possible.

    Args:
        model: the MDP.
        policy: (n_states,), the action taken in each state.
        gamma: the discount, in [0, 1].
        horizon: evaluate over this many steps, for any gamma; by default the model's step limit if gamma is 1.
        tolerance: the error allowed if the result is a limit.

    Raises:
        UsageError: a bad argument, or values that do not converge.
    """
    check_gamma(gamma)
    check_tolerance(tolerance)
    chain = RewardChain.of(model, checked_policy(model, policy))
    return chain_values(chain, steps_to_plan(model, gamma, horizon), gamma, tolerance)


def policy_value(model: TabularModel, policy: ArrayLike) -> Array:
    """Computes the undiscounted value (n_states,) of a stationary policy within the model's step limit."""
    return policy_evaluation(model, policy)


def chain_values(chain: RewardChain, limit: int | None, gamma: float = 1.0, tolerance: float = TOLERANCE) -> Array:
    """Returns the values (n_states,) of a policy within a number of steps, or without a limit."""
    if limit is not None:
        return iterate(_backup(chain, gamma), chain.n_states, limit, unchanged).values
    return long_run_values(chain, gamma, tolerance)


def long_run_values(chain: RewardChain, gamma: float, tolerance: float) -> Array:
    """Returns the values (n_states,) of a policy without a step limit."""
    if gamma < 1:
        return _values(chain, gamma, tolerance)
    future = fate(chain)
    idle = future.endless | future.resting
    wait = 1.0 if is_solvable(chain) else longest_wait(chain, idle)
    return np.where(future.endless, future.value, _values(chain.ending_at(idle), 1.0, tolerance / max(wait, 1.0)))


def longest_wait(chain: RewardChain, idle: NDArray[np.bool_]) -> float:
    """Bounds the longest expected number of steps before an episode ends or reaches an `idle` state.

    Sweeps of w = 1 + P w from 0 grow by the probability of still being under way. Once that is at most
    1/2 everywhere, w >= P w + 1/2, so 2 w bounds the expectation from above.
    """
    clock = replace(chain, reward=np.ones(chain.n_states)).ending_at(idle)
    if is_solvable(clock):
        return float(_values(clock, 1.0, 1.0).max())
    run = settle(_backup(clock, 1.0), chain.n_states, 1.0, lambda delta, _: delta <= 1 / 2)
    return 2 * float(run.values.max())


def is_solvable(chain: RewardChain) -> bool:
    """Returns whether the values of a policy are computed without sweeps."""
    return chain.probability is None or chain.n_states <= LARGEST_CLASS


def _values(chain: RewardChain, gamma: float, tolerance: float) -> Array:
    """Returns the values of a policy that ends from everywhere, or is discounted."""
    if chain.probability is None:
        return _doubled(chain, gamma)
    if is_solvable(chain):
        return _solved(chain, gamma)
    enough = contracted(gamma, tolerance) if gamma < 1 else slower_than(tolerance)
    return settle(_backup(chain, gamma), chain.n_states, gamma, enough).values


def _doubled(chain: RewardChain, gamma: float) -> Array:
    """Adds up the rewards of 1, 2, 4, 8 ... steps, where each state has one successor."""
    values: Array = np.append(chain.reward, 0.0)
    successor, steps = np.append(chain.successor, chain.n_states), 1
    while gamma**steps > NOTHING and (successor != chain.n_states).any():
        values += gamma**steps * values[successor]  # the right side is a copy
        successor = successor[successor]
        steps *= 2
    return values[:-1]


def _solved(chain: RewardChain, gamma: float) -> Array:
    """Solves v = r + gamma P v (Puterman, section 6.1)."""
    system = np.eye(chain.n_states, chain.n_states + 1)
    np.subtract.at(system, (chain.owners, chain.successor), gamma * np.asarray(chain.probability))
    return np.asarray(np.linalg.solve(system[:, :-1], chain.reward), np.float64)


def _backup(chain: RewardChain, gamma: float) -> Backup:
    return lambda values, out: chain.back_up(values, gamma, out)


def checked_policy(model: TabularModel, policy: ArrayLike) -> NDArray[np.int64]:
    """Returns a policy as int64 (n_states,); UsageError unless it takes an action of the model in each state."""
    actions = np.asarray(policy)
    if actions.shape != (model.n_states,) or actions.dtype.kind not in "iu":
        got = f"{actions.dtype} of shape {actions.shape}"
        raise UsageError(f"policy must be ({model.n_states},) whole action numbers, got {got}")
    if actions.min() < 0 or actions.max() >= model.n_actions:
        worst = actions[(actions < 0) | (actions >= model.n_actions)][0]
        raise UsageError(f"policy must take actions in [0, {model.n_actions}), got {worst}")
    return actions.astype(np.int64)
