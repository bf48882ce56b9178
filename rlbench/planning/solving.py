"""Solving: the exact optimum of a model.

Undiscounted values count the rewards within the env's step limit, by backward induction; if there is no
limit, value iteration runs until convergence, and if that takes too long policy iteration takes over.
Sources: Bellman (1957); Howard (1960); Puterman, Markov Decision Processes (1994), chapters 4 to 7; Bertsekas, Dynamic
Programming and Optimal Control II.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.making import full_id
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.planning.chains import RewardChain, fate
from rlbench.planning.progress import greedy_policy, resting_actions
from rlbench.planning.sweeps import (
    Sweeps,
    check_gamma,
    check_tolerance,
    contracted,
    iterate,
    mean_over_starts,
    rounding,
    slower_than,
    steps_to_plan,
    unchanged,
)
from rlbench.planning.values import long_run_values, longest_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PATIENCE = 10_000  # sweeps of value iteration before policy iteration takes over
NEAR_1 = 1 - 1e-7  # a discount under which the best policy is the best undiscounted one, or nearly
ROUNDS = 1_000  # of policy iteration: only rounding can make it take longer


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values and their error bound.

    Attributes:
        values: (n_states,), the best expected return from each state.
        q_values: (n_states, n_actions), the same after each first action; -inf for one that is not allowed.
        error_bound: the largest distance of `values` from the truth, up to rounding (see `value_iteration`).
        sweeps: the number of backups of all states, and of improvements of a policy.
        policy: (n_states,), the one that policy iteration found; None if sweeps sufficed.
    """

    values: Array
    q_values: Array
    error_bound: float
    sweeps: int
    policy: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """The solution of an env, or the values of a policy in it, and the policy that follows from them.

    Attributes:
        env_id: the id of the env; None if it has none.
        gamma: the discount.
        horizon: the number of steps planned for; None if unlimited.
        values: (n_states,), with `horizon` steps to go: the best that can be reached, or those of the evaluated policy.
        q_values: (n_states, n_actions), likewise after each first action; -inf for one that is not allowed.
        policy: (n_states,), the greedy action: of equals the lowest, unless these form a cycle of an optimal policy:
            then those that arrive soonest. After `policy_evaluation` it is what a step of policy improvement takes.
        error_bound: the largest distance of `values` from the truth, up to rounding.
        sweeps: the number of backups of all states, and of improvements of a policy.
        expected_return: the mean of `values` over the starts.
        optimal_return: likewise of optimal values; None after `policy_evaluation`.
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
    expected_return: float
    optimal_return: float | None
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
    env_id, model = read(env)
    return plan_of(env_id, model, gamma, value_iteration(model, gamma), model.step_limit if gamma == 1 else None)


def plan_of(env_id: str | None, model: TabularModel, gamma: float, solution: Solution, horizon: int | None) -> Plan:
    """Returns the plan that follows from an optimal solution."""
    optimal_return = mean_over_starts(model, solution.values)
    return Plan(
        env_id=env_id,
        gamma=float(gamma),
        horizon=horizon,
        values=solution.values,
        q_values=solution.q_values,
        policy=policy_of(model, solution, gamma),
        error_bound=solution.error_bound,
        sweeps=solution.sweeps,
        expected_return=optimal_return,
        optimal_return=optimal_return,
        n_states=model.n_states,
        reachable_states=int(model.reachable().sum()),
    )


def policy_of(model: TabularModel, solution: Solution, gamma: float = 1.0) -> NDArray[np.int64]:
    """Returns the policy (n_states,) of a plan that has this solution."""
    return greedy_policy(model, solution.q_values, gamma) if solution.policy is None else solution.policy


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
      the greedy policy, whose own value is that close to `values`.
    - If 10,000 sweeps do not suffice, as with a gamma close to 1, or the greedy policy may never end: policy
      iteration (Puterman, sections 6.4 and 7.2): the values are those of a policy, computed without sweeps, that no
      change of one action improves. The same bounds hold, with delta the change by one more sweep.

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
    backup = OptimalBackup(model, gamma)
    if limit is not None:
        return _solution(backup, iterate(backup, model.n_states, limit, unchanged), 0.0)
    if gamma == 1:
        return _solve_undiscounted(model, backup, tolerance)
    run = iterate(backup, model.n_states, PATIENCE, contracted(gamma, tolerance))
    if not run.settled:
        return best_of_policies(model, backup, run, tolerance)
    return _solution(backup, run, gamma * run.delta / (1 - gamma))


def backward_induction(model: TabularModel, horizon: int, gamma: float = 1.0) -> Solution:
    """Computes the optimal values with `horizon` steps to go (Puterman, section 4.5)."""
    return value_iteration(model, gamma, horizon=horizon)


class OptimalBackup:
    """One sweep of value iteration, action by action: long contiguous passes that stay in the cache."""

    def __init__(self, model: TabularModel, gamma: float) -> None:
        self._chains = [_chain_of(model, action) for action in range(model.n_actions)]
        self.gamma = gamma
        self._scratch = np.empty(model.n_states)

    def __call__(self, values: Array, out: Array) -> None:
        """Writes the best of each state (n_states,), one step before `values`, into `out`."""
        self._chains[0].back_up(values, self.gamma, out)
        for chain in self._chains[1:]:
            chain.back_up(values, self.gamma, self._scratch)
            np.maximum(out, self._scratch, out=out)

    def q_values(self, values: Array) -> Array:
        """Returns (n_states, n_actions): each action's value one step before `values`."""
        q = np.empty((len(self._scratch), len(self._chains)))
        for action, chain in enumerate(self._chains):
            chain.back_up(values, self.gamma, self._scratch)
            q[:, action] = self._scratch
        return q


def _chain_of(model: TabularModel, action: int) -> RewardChain:
    """Returns the outcomes of an action, worth -inf where it is not allowed."""
    chain = RewardChain.of(model, action)
    return (
        chain
        if model.allowed is None
        else replace(chain, reward=np.where(model.allowed[:, action], chain.reward, -np.inf))
    )


def _solution(
    backup: OptimalBackup, run: Sweeps, error_bound: float, policy: NDArray[np.int64] | None = None
) -> Solution:
    # The last sweep's action values: after `horizon` sweeps, exactly Q with all the steps to go.
    return Solution(run.values.copy(), backup.q_values(run.previous), error_bound, run.sweeps, policy)


def _solve_undiscounted(model: TabularModel, backup: OptimalBackup, tolerance: float) -> Solution:
    """Value iteration with gamma 1 and no limit; the target tightens until the error bound is reached."""
    one_sign = bool((model.reward <= 0).all() or (model.reward >= 0).all())
    target = tolerance
    run = None
    while True:
        run = iterate(backup, model.n_states, PATIENCE, slower_than(target), run)
        if run.delta == 0 and one_sign:
            return _solution(backup, run, 0.0)
        steps = _steps_of(model, backup.q_values(run.last).argmax(axis=1), run) if run.settled else np.inf
        if steps == np.inf:
            return best_of_policies(model, backup, run, tolerance)
        if run.delta * steps <= tolerance or target <= rounding(run.values):
            return _solution(backup, run, run.delta * steps)
        target = min(target / 2, tolerance / steps)


def best_of_policies(model: TabularModel, backup: OptimalBackup, run: Sweeps, tolerance: float) -> Solution:
    """Policy iteration without a limit, from the greedy policy after some sweeps; with gamma 1 by way of NEAR_1."""
    gamma = backup.gamma
    near = OptimalBackup(model, NEAR_1) if gamma == 1 else backup
    policy, run = _improved(model, near, near.q_values(run.last).argmax(axis=1), tolerance, run.sweeps)
    if gamma < 1:
        return _solution(backup, run, gamma * run.delta / (1 - gamma), policy)
    policy, run = _improved(model, backup, policy, tolerance, run.sweeps)
    chain = RewardChain.of(model, policy)
    return _solution(backup, run, run.delta * longest_wait(chain, fate(chain).resting), policy)


def _improved(
    model: TabularModel, backup: OptimalBackup, policy: NDArray[np.int64], tolerance: float, sweeps: int
) -> tuple[NDArray[np.int64], Sweeps]:
    """Policy iteration: the last of `improvements`, with the values of one more sweep."""
    rounds = enumerate(improvements(model, backup, policy, tolerance), sweeps + 1)
    sweeps, (policy, values, best) = deque(rounds, maxlen=1).pop()
    delta = float(np.abs(best - values).max())
    return policy, Sweeps(np.append(best, 0.0), np.append(values, 0.0), sweeps, delta, settled=True)


def improvements(
    model: TabularModel, backup: OptimalBackup, policy: NDArray[np.int64], tolerance: float
) -> Iterator[tuple[NDArray[np.int64], Array, Array]]:
    """Policy iteration (Howard, 1960): evaluates a policy and takes better actions, until there are none.

    An action is kept unless another is better, so that equal ones never form a cycle; resting forever is worth 0,
    which the values of a policy that leaves do not show (with gamma 1, it ties with leaving later).

    Yields:
        each policy (n_states,), its values (n_states,) and, likewise, those of the best action before following it.
    """
    allowed = np.ones((model.n_states, model.n_actions), bool) if model.allowed is None else model.allowed
    states, rest = np.arange(model.n_states), resting_actions(model, allowed)
    for _ in range(ROUNDS):
        values = long_run_values(RewardChain.of(model, policy), backup.gamma, tolerance)
        _check_finite(values)
        q = backup.q_values(np.append(values, 0.0))
        q = np.where(rest, np.maximum(q, 0.0), q)
        best = q.max(axis=1)
        yield policy, values, best
        better = best > q[states, policy] + rounding(values)
        if not better.any():
            return
        policy = np.where(better, q.argmax(axis=1), policy)


def _check_finite(values: Array) -> None:
    if not np.isfinite(values).all():
        state = int(np.argmin(np.isfinite(values)))
        raise UsageError(
            f"with gamma 1 the rewards never end from state {state}, whatever the actions: give gamma < 1 or a horizon"
        )


def _steps_of(model: TabularModel, policy: NDArray[np.int64], run: Sweeps) -> float:
    """Bounds the expected steps until a policy ends, or rests in a loop of value 0."""
    chain = RewardChain.of(model, policy)
    future = fate(chain)
    if future.endless.any() or run.values[future.resting].any():
        return np.inf
    return longest_wait(chain, future.resting)


def read(env: gym.Env[Any, Any] | TabularModel | str | Any) -> tuple[str | None, TabularModel]:
    """Returns the id of an env, if it has one, and its model."""
    if isinstance(env, TabularModel):
        return None, env
    if isinstance(env, str):
        env_id = full_id(env)
        return env_id, TabularModel.from_env(env_id)
    if hasattr(env, "make_same_env"):  # a run
        made = env.make_same_env(env.agent)  # type: ignore[union-attr]
        try:
            return read(made)
        finally:
            made.close()
    return env.spec.id if env.spec is not None else None, TabularModel.from_env(env)
