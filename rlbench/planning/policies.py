"""Policies: the exact value of a policy in a model, and its regret, the distance from the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rlbench.errors import UsageError
from rlbench.planning.chains import RewardChain, fate
from rlbench.planning.solving import value_iteration
from rlbench.planning.sweeps import (
    PolicyBackup,
    check_gamma,
    check_tolerance,
    contracted,
    iterate,
    longest_wait,
    mean_over_starts,
    settle,
    slower_than,
    steps_to_plan,
    unchanged,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rlbench.envs.tabular import TabularModel

    Array = NDArray[np.float64]

TIE = 1e-9  # relative: an action this close to the best counts as optimal


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimum of a model: computed once, compared with many policies.

    Attributes:
        q_values: (n_states, n_actions), undiscounted, with the full step limit to go.
        optimal_return: the mean optimal value over the starts.
        reachable: bool (n_states,), the states an agent may have to act in.
    """

    q_values: Array
    optimal_return: float
    reachable: NDArray[np.bool_]


@dataclass(frozen=True)
class PolicyScore:
    """How a stationary policy compares with the optimum, undiscounted and within the step limit.

    Attributes:
        exact_return: the policy's expected return, averaged over the starts.
        optimal_return: the best return of any policy, time-dependent ones included.
        regret: optimal_return - exact_return; exactly 0.0 when they are equal. Without a step limit both
            are limits, each within 1e-10 of the truth.
        optimal_states: the number of reachable states in which its action is optimal with all the steps to go.
        reachable_states: the number of reachable states.
    """

    exact_return: float
    optimal_return: float
    regret: float
    optimal_states: int
    reachable_states: int


def policy_evaluation(
    model: TabularModel,
    policy: ArrayLike,
    gamma: float = 1.0,
    *,
    horizon: int | None = None,
    tolerance: float = 1e-10,
) -> Array:
    """Computes the value (n_states,) of a stationary policy.

    With a horizon, or gamma 1 and a model with a step limit, it is exact. Otherwise it is within
    `tolerance` of the truth, up to rounding; where an undiscounted policy may collect rewards forever, the
    value is inf or -inf, or NaN if those rewards balance or both signs are possible.

    Args:
        model: the MDP.
        policy: (n_states,), the action taken in each state.
        gamma: the discount, in [0, 1].
        horizon: evaluate over this many steps, for any gamma.
        tolerance: the error allowed if the result is a limit.

    Raises:
        UsageError: a bad argument, or values that do not converge.
    """
    check_gamma(gamma)
    check_tolerance(tolerance)
    chain = RewardChain.of(model, _checked_policy(model, policy))
    backup = PolicyBackup(chain, gamma)
    limit = steps_to_plan(model, gamma, horizon)
    if limit is not None:
        return iterate(backup, model.n_states, limit, unchanged).values
    if gamma < 1:
        return settle(backup, model.n_states, gamma, contracted(gamma, tolerance)).values
    return _evaluate_undiscounted(chain, tolerance)


def policy_value(model: TabularModel, policy: ArrayLike) -> Array:
    """Computes the undiscounted value (n_states,) of a stationary policy within the model's step limit."""
    return policy_evaluation(model, policy)


def solve(model: TabularModel) -> Optimum:
    """Computes the optimum for `score_policy`; keep it to score many policies of one model."""
    solution = value_iteration(model, 1.0)
    return Optimum(solution.q_values, mean_over_starts(model, solution.values), model.reachable())


def score_policy(model: TabularModel, policy: ArrayLike, optimum: Optimum | None = None) -> PolicyScore:
    """Compares a stationary policy (n_states,) with the optimum, or with one computed by `solve`."""
    actions = _checked_policy(model, policy)
    optimum = solve(model) if optimum is None else optimum
    exact = mean_over_starts(model, policy_value(model, actions))
    best = optimum.q_values.max(axis=1)
    taken = optimum.q_values[np.arange(model.n_states), actions]
    is_optimal = taken >= best - TIE * (1 + np.abs(best))
    return PolicyScore(
        exact_return=exact,
        optimal_return=optimum.optimal_return,
        regret=0.0 if exact == optimum.optimal_return else optimum.optimal_return - exact,
        optimal_states=int((is_optimal & optimum.reachable).sum()),
        reachable_states=int(optimum.reachable.sum()),
    )


def _evaluate_undiscounted(chain: RewardChain, tolerance: float) -> Array:
    """Policy evaluation with gamma 1 and no limit: iteration where the policy ends, graph analysis elsewhere."""
    where = fate(chain)
    idle = where.endless | where.resting
    wait = longest_wait(chain, idle)
    backup = PolicyBackup(chain.ending_at(idle), 1.0)
    run = settle(backup, chain.n_states, 1.0, slower_than(tolerance / wait if wait else tolerance))
    return np.where(where.endless, where.value, run.values)


def _checked_policy(model: TabularModel, policy: ArrayLike) -> NDArray[np.int64]:
    actions = np.asarray(policy)
    if actions.shape != (model.n_states,) or actions.dtype.kind not in "iu":
        got = f"{actions.dtype} of shape {actions.shape}"
        raise UsageError(f"policy must be ({model.n_states},) whole action numbers, got {got}")
    if actions.min() < 0 or actions.max() >= model.n_actions:
        worst = actions[(actions < 0) | (actions >= model.n_actions)][0]
        raise UsageError(f"policy must take actions in [0, {model.n_actions}), got {worst}")
    return actions.astype(np.int64)
