"""Solving: the exact optimum of a model.

Undiscounted values count the rewards within the env's step limit, by backward induction; if there is no
limit, value iteration runs until convergence. Sources: Bellman (1957); Puterman, Markov
Decision Processes (1994), chapters 4, 6 and 7; Bertsekas, Dynamic Programming and Optimal Control II.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import full_id
from rlbench.envs.tabular import TabularModel
from rlbench.planning.chains import RewardChain, fate
from rlbench.planning.sweeps import (
    check_gamma,
    check_tolerance,
    contracted,
    iterate,
    longest_wait,
    mean_over_starts,
    rounding,
    settle,
    slower_than,
    steps_to_plan,
    unchanged,
)

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.planning.sweeps import Sweeps

    Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values and their error bound.

    Attributes:
        values: (n_states,), the best expected return from each state.
        q_values: (n_states, n_actions), the same after a first action.
        error_bound: the largest distance of `values` from the truth, up to rounding (see `value_iteration`).
        sweeps: the number of backups of all states.
    """

    values: Array
    q_values: Array
    error_bound: float
    sweeps: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The solution of an env, and the policy that follows from it.

    Attributes:
        env_id: the id of the env; None if it has none.
        gamma: the discount.
        horizon: the number of steps planned for; None if unlimited.
        values: (n_states,), optimal values with `horizon` steps to go.
        q_values: (n_states, n_actions), likewise after a first action.
        policy: (n_states,), the greedy action; the lowest index wins ties.
        error_bound: the largest distance of `values` from the truth, up to rounding.
        sweeps: the number of backups of all states.
        optimal_return: the mean optimal value over the starts.
        n_states: the number of states.
        reachable_states: the number of states that some actions reach from a start.
    """

    env_id: str | None
    gamma: float
    horizon: int | None
    values: Array = field(repr=False)
    q_values: Array = field(repr=False)
    policy: NDArray[np.int64] = field(repr=False)
    error_bound: float
    sweeps: int
    optimal_return: float
    n_states: int
    reachable_states: int


def plan(env: gym.Env[Any, Any] | TabularModel | str, gamma: float = 1.0) -> Plan:
    """Solves an env that has a transition table.

    With gamma 1 the plan is for the env's step limit; with gamma below 1 it is for the discounted problem
    without a limit, as in textbooks. With a step limit the best action may depend on the time left:
    `policy` is the greedy one with all steps to go.

    Args:
        env: an id, a short name, an env or a model.
        gamma: the discount, in [0, 1].

    Raises:
        UsageError: gamma is out of range, the env has no table, or its values diverge.
    """
    check_gamma(gamma)
    env_id, model = _read(env)
    solution = value_iteration(model, gamma)
    return Plan(
        env_id=env_id,
        gamma=float(gamma),
        horizon=model.step_limit if gamma == 1 else None,
        values=solution.values,
        q_values=solution.q_values,
        policy=solution.q_values.argmax(axis=1),
        error_bound=solution.error_bound,
        sweeps=solution.sweeps,
        optimal_return=mean_over_starts(model, solution.values),
        n_states=model.n_states,
        reachable_states=int(model.reachable().sum()),
    )


def value_iteration(
    model: TabularModel, gamma: float, *, tolerance: float = 1e-10, horizon: int | None = None
) -> Solution:
    """Computes the optimal values of a model.

    - With a `horizon`, or gamma 1 and a model with a step limit: backward induction over that many steps,
      which is exact: error_bound 0.0.
    - With gamma < 1: sweeps until gamma * delta / (1 - gamma) <= tolerance, where delta is the largest
      change of the last sweep; this bounds the error (Puterman, theorem 6.3.1).
    - With gamma 1 and no limit: sweeps from V = 0. Where no reward is positive, or none negative, these
      converge to the optimum (Bertsekas volume II, positive and negative models), so at an exact fixed
      point error_bound is 0.0. Otherwise it is delta times the longest expected number of steps left to
      the greedy policy, whose own value is that close to `values`; inf if that policy may never end.

    Args:
        model: the MDP.
        gamma: the discount, in [0, 1].
        tolerance: the error bound to reach, if there is one; rounding may prevent it.
        horizon: plan for this many steps, for any gamma.

    Raises:
        UsageError: a bad argument, or values that do not converge: give gamma < 1 or a horizon.
    """
    check_gamma(gamma)
    check_tolerance(tolerance)
    limit = steps_to_plan(model, gamma, horizon)
    backup = _OptimalBackup(model, gamma)
    if limit is not None:
        run = iterate(backup, model.n_states, limit, unchanged)
        return _solution(backup, run, 0.0)
    if gamma < 1:
        run = settle(backup, model.n_states, gamma, contracted(gamma, tolerance))
        return _solution(backup, run, gamma * run.delta / (1 - gamma))
    return _solve_undiscounted(model, backup, tolerance)


def backward_induction(model: TabularModel, horizon: int, gamma: float = 1.0) -> Solution:
    """Computes the optimal values with `horizon` steps to go (Puterman, section 4.5)."""
    return value_iteration(model, gamma, horizon=horizon)


class _OptimalBackup:
    """One sweep of value iteration, action by action: long contiguous passes that stay in the cache."""

    def __init__(self, model: TabularModel, gamma: float) -> None:
        self._chains = [RewardChain.of(model, action) for action in range(model.n_actions)]
        self._gamma = gamma
        self._scratch = np.empty(model.n_states)

    def __call__(self, values: Array, out: Array) -> None:
        self._chains[0].back_up(values, self._gamma, out)
        for chain in self._chains[1:]:
            chain.back_up(values, self._gamma, self._scratch)
            np.maximum(out, self._scratch, out=out)

    def q_values(self, values: Array) -> Array:
        """Returns (n_states, n_actions): each action's value one step before `values`."""
        q = np.empty((len(self._scratch), len(self._chains)))
        for action, chain in enumerate(self._chains):
            chain.back_up(values, self._gamma, self._scratch)
            q[:, action] = self._scratch
        return q


def _solution(backup: _OptimalBackup, run: Sweeps, error_bound: float) -> Solution:
    # The last sweep's action values: after `horizon` sweeps, exactly Q with all the steps to go.
    return Solution(run.values.copy(), backup.q_values(run.previous), error_bound, run.sweeps)


def _solve_undiscounted(model: TabularModel, backup: _OptimalBackup, tolerance: float) -> Solution:
    """Value iteration with gamma 1 and no limit; the target tightens until the error bound is reached."""
    one_sign = bool((model.reward <= 0).all() or (model.reward >= 0).all())
    target = tolerance
    run = None
    while True:
        run = settle(backup, model.n_states, 1.0, slower_than(target), run)
        if run.delta == 0 and one_sign:
            return _solution(backup, run, 0.0)
        steps = _greedy_steps(model, backup, run)
        bound = run.delta * steps if np.isfinite(steps) else np.inf
        if bound <= tolerance or bound == np.inf or target <= rounding(run.values):
            return _solution(backup, run, bound)
        target = min(target / 2, tolerance / steps)


def _greedy_steps(model: TabularModel, backup: _OptimalBackup, run: Sweeps) -> float:
    """Bounds the expected steps until the greedy policy ends, or rests in a loop of value 0."""
    chain = RewardChain.of(model, backup.q_values(run.last).argmax(axis=1))
    where = fate(chain)
    if where.endless.any() or run.values[where.resting].any():
        return np.inf
    return longest_wait(chain, where.resting)


def _read(env: gym.Env[Any, Any] | TabularModel | str) -> tuple[str | None, TabularModel]:
    if isinstance(env, TabularModel):
        return None, env
    if isinstance(env, str):
        env_id = full_id(env)
        return env_id, TabularModel.from_env(env_id)
    return env.spec.id if env.spec is not None else None, TabularModel.from_env(env)
