"""Policies: the exact value of a policy in a model, and its regret, the distance from the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.planning.chains import leading_to
from rlbench.planning.progress import almost
from rlbench.planning.solving import policy_of, value_iteration
from rlbench.planning.sweeps import mean_over_starts, steps_to_plan
from rlbench.planning.values import chain_of, chain_values, checked_actions, checked_policy, policy_value

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rlbench.envs.tabular import TabularModel
    from rlbench.planning.chains import RewardChain

    Array = NDArray[np.float64]

KEPT = 4  # optima
_optima: dict[tuple[str, float], Optimum] = {}  # by the digest of their model and gamma, the latest last


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimum of a model: computed once, compared with many policies; its arrays are read-only.

    Attributes:
        q_values: (n_states, n_actions): undiscounted, with the full step limit to go, unless gamma is below 1.
        optimal_return: the mean optimal value over the starts.
        reachable: bool (n_states,), the states an agent may have to act in.
        attainable: (n_states,), the value of the plan's policy, which does not know how many steps are left.
        gamma: the discount; below 1 there is no step limit.
    """

    q_values: Array
    optimal_return: float
    reachable: NDArray[np.bool_]
    attainable: Array
    gamma: float = 1.0


@dataclass(frozen=True)
class PolicyScore:
    """How a stationary policy compares with the optimum: undiscounted and within the step limit, or by its gamma.

    Attributes:
        exact_return: the policy's expected return, averaged over the starts.
        optimal_return: the best return of any policy, time-dependent ones included.
        regret: optimal_return - exact_return, 0.0 or more. Without a step limit both are limits, each within 1e-10 of
            the truth.
        optimal_states: the number of reachable states in which its action is optimal: as good as the best with all the
            steps to go, and followed by a worse one if the policy is worth less than the plan's. (A policy that cycles
            or takes too long is not optimal, though each of its actions may be as good as any.)
        reachable_states: the number of reachable states.
    """

    exact_return: float
    optimal_return: float
    regret: float
    optimal_states: int
    reachable_states: int


def solve(model: TabularModel, gamma: float = 1.0) -> Optimum:
    """Computes the optimum for `score_policy`; those of the last few models are kept."""
    key = model.digest, gamma
    optimum = _optima.pop(key, None) or _optimum_of(model, gamma)
    _optima[key] = optimum
    if len(_optima) > KEPT:
        del _optima[next(iter(_optima))]
    return optimum


def _optimum_of(model: TabularModel, gamma: float) -> Optimum:
    solution = value_iteration(model, gamma)
    attainable, reachable = policy_value(model, policy_of(model, solution, gamma), gamma), model.reachable()
    for array in (solution.q_values, attainable, reachable):
        array.flags.writeable = False
    return Optimum(solution.q_values, mean_over_starts(model, solution.values), reachable, attainable, gamma)


def score_policy(model: TabularModel, policy: ArrayLike, optimum: Optimum | None = None) -> PolicyScore:
    """Compares the actions (n_states,) of a policy with the optimum, which `solve` may have computed already."""
    optimum = solve(model) if optimum is None else optimum
    actions = checked_actions(model, np.asarray(policy))
    chain, worth = _seen(model, actions, optimum)
    exact = mean_over_starts(model, worth)
    right = optimum.q_values[np.arange(model.n_states), actions] >= almost(optimum.q_values.max(axis=1))
    falls_short = ~(worth >= almost(optimum.attainable))  # NaN does
    is_optimal = right & optimum.reachable
    if (is_optimal & falls_short).any():
        is_optimal &= ~falls_short | leading_to(chain, ~right)
    return PolicyScore(
        exact_return=exact,
        optimal_return=optimum.optimal_return,
        regret=float(np.maximum(optimum.optimal_return - exact, 0.0)),
        optimal_states=int(is_optimal.sum()),
        reachable_states=int(optimum.reachable.sum()),
    )


def expected_return(model: TabularModel, policy: ArrayLike, optimum: Optimum) -> float:
    """Returns the exact return of any policy over the starts, discounted as the optimum is; see `policy_value`."""
    return mean_over_starts(model, _seen(model, checked_policy(model, policy), optimum)[1])


def _seen(model: TabularModel, policy: NDArray[Any], optimum: Optimum) -> tuple[RewardChain, Array]:
    """Returns a policy's chain and values; no sweeps are spent on states that are never seen."""
    chain = chain_of(model, policy).ending_at(~optimum.reachable)
    return chain, chain_values(chain, steps_to_plan(model, optimum.gamma, None), optimum.gamma)
