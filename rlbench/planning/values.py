"""The value of a policy: by a linear solve, by doubling if nothing is random, by sweeps if there are many states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.tabular import SUM_TOLERANCE
from rlbench.errors import UsageError
from rlbench.planning.chains import LARGEST_CLASS, RewardChain, fate
from rlbench.planning.sweeps import (
    check_gamma,
    check_tolerance,
    contracted,
    settle,
    slower_than,
    steps_to_plan,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rlbench.envs.tabular import TabularModel
    from rlbench.planning.sweeps import Backup

    Array = NDArray[np.float64]

TOLERANCE = 1e-10  # the error allowed where a value is a limit
LOOK = 8  # sweeps between two looks, each of which takes a third of a sweep
NOTHING = 1e-18  # a weight below this adds nothing to a sum


def policy_value(
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
        policy: (n_states,), the action taken in each state, or (n_states, n_actions), the probability of each action.
        gamma: the discount, in [0, 1].
        horizon: evaluate over this many steps, for any gamma; by default the model's step limit if gamma is 1.
        tolerance: the error allowed if the result is a limit.

    Raises:
        UsageError: a bad argument, or values that do not converge.
    """
    check_gamma(gamma)
    check_tolerance(tolerance)
    chain = chain_of(model, checked_policy(model, policy))
    return chain_values(chain, steps_to_plan(model, gamma, horizon), gamma, tolerance)


def chain_of(model: TabularModel, policy: NDArray[Any]) -> RewardChain:
    """Returns the chain under a checked policy: actions, or the probability of each action."""
    return RewardChain.of(model, policy) if policy.ndim == 1 else RewardChain.mixed(model, policy)


def chain_values(chain: RewardChain, limit: int | None, gamma: float = 1.0, tolerance: float = TOLERANCE) -> Array:
    """Returns the values (n_states,) of a policy within a number of steps, or without a limit."""
    return long_run_values(chain, gamma, tolerance) if limit is None else _limited_values(chain, limit, gamma)


def _limited_values(chain: RewardChain, limit: int, gamma: float) -> Array:
    """Returns the values (n_states,) within a number of steps; looks now and then whether they still change."""
    values, before = np.zeros(chain.n_states + 1), np.zeros(chain.n_states + 1)
    for sweep in range(limit):
        values, before = before, values
        chain.back_up(before, gamma, values[:-1])
        if sweep % LOOK == 0 and np.array_equal(values, before):
            break
    return values[:-1]


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


def checked_policy(model: TabularModel, policy: ArrayLike) -> NDArray[Any]:
    """Returns a policy: actions as int64 (n_states,), or probabilities as float64 (n_states, n_actions).

    Raises:
        UsageError: it has another form, or takes an action that the model does not have.
    """
    given = np.asarray(policy)
    return _probabilities(model, given) if given.ndim == 2 else checked_actions(model, given)  # noqa: PLR2004  (a table)


def checked_actions(model: TabularModel, actions: NDArray[Any]) -> NDArray[np.int64]:
    """Returns a policy of actions, int64 (n_states,); UsageError for any other."""
    if actions.shape != (model.n_states,) or actions.dtype.kind not in "iu":
        got = f"{actions.dtype} of shape {actions.shape}"
        raise UsageError(
            f"policy must be ({model.n_states},) whole action numbers, "
            f"or ({model.n_states}, {model.n_actions}) probabilities, got {got}"
        )
    if actions.min() < 0 or actions.max() >= model.n_actions:
        worst = actions[(actions < 0) | (actions >= model.n_actions)][0]
        raise UsageError(f"policy must take actions in [0, {model.n_actions}), got {worst}")
    return actions.astype(np.int64)


def _probabilities(model: TabularModel, shares: NDArray[Any]) -> Array:
    if shares.shape != (model.n_states, model.n_actions) or shares.dtype.kind not in "iufb":
        got = f"{shares.dtype} of shape {shares.shape}"
        raise UsageError(f"a policy of probabilities must be {(model.n_states, model.n_actions)}, got {got}")
    shares = shares.astype(np.float64)
    wrong = ~((shares >= 0).all(axis=1) & (np.abs(shares.sum(axis=1) - 1) <= SUM_TOLERANCE))
    if wrong.any():
        state = int(wrong.argmax())
        got = " ".join(f"{share:g}" for share in shares[state])
        raise UsageError(f"a policy's probabilities must be 0 or more and sum to 1, got {got} in state {state}")
    return shares
