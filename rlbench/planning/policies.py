"""Policies: the exact value of a policy in a model, and its regret, the distance from the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rlbench.planning.chains import RewardChain, leading_to
from rlbench.planning.progress import almost
from rlbench.planning.solving import policy_of, value_iteration
from rlbench.planning.sweeps import mean_over_starts
from rlbench.planning.values import chain_values, checked_policy, policy_value

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from rlbench.envs.tabular import TabularModel

    Array = NDArray[np.float64]

KEPT = 4  # optima
_optima: dict[str, Optimum] = {}  # by the digest of their model, the latest last


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimum of a model: computed once, compared with many policies; its arrays are read-only.

    Attributes:
        q_values: (n_states, n_actions), undiscounted, with the full step limit to go.
        optimal_return: the mean optimal value over the starts.
        reachable: bool (n_states,), the states an agent may have to act in.
        attainable: (n_states,), the value of the plan's policy, which does not know how many steps are left.
    """

    q_values: Array
    optimal_return: float
    reachable: NDArray[np.bool_]
    attainable: Array


@dataclass(frozen=True)
class PolicyScore:
    """How a stationary policy compares with the optimum, undiscounted and within the step limit.

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


def solve(model: TabularModel) -> Optimum:
    """Computes the optimum for `score_policy`; those of the last few models are kept."""
    optimum = _optima.pop(model.digest, None) or _optimum_of(model)
    _optima[model.digest] = optimum
    if len(_optima) > KEPT:
        del _optima[next(iter(_optima))]
    return optimum


def _optimum_of(model: TabularModel) -> Optimum:
    solution = value_iteration(model, 1.0)
    attainable, reachable = policy_value(model, policy_of(model, solution)), model.reachable()
    for array in (solution.q_values, attainable, reachable):
        array.flags.writeable = False
    return Optimum(solution.q_values, mean_over_starts(model, solution.values), reachable, attainable)


def score_policy(model: TabularModel, policy: ArrayLike, optimum: Optimum | None = None) -> PolicyScore:
    """Compares a stationary policy (n_states,) with the optimum, which `solve` may have computed already."""
    actions = checked_policy(model, policy)
    optimum = solve(model) if optimum is None else optimum
    chain = RewardChain.of(model, actions).ending_at(~optimum.reachable)  # no sweeps for what is never seen
    worth = chain_values(chain, model.step_limit)
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
