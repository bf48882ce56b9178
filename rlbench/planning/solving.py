"""Exact answers where a model is known: the optimum, a policy's value, and the regret between them.

Undiscounted values count the rewards within the env's step limit, by backward induction; where there is
no limit, value iteration runs until nothing changes any more. Sources: Bellman (1957); Puterman, Markov
Decision Processes (1994), chapters 4, 6 and 7; Bertsekas, Dynamic Programming and Optimal Control II.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs import SHORT_NAMES
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.planning.chains import RewardChain, fate

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]
    Backup = Callable[[Array, Array], None]  # (values, out): out becomes the values one step earlier

MAX_SWEEPS = 200_000  # of one iteration without a step limit; what has not settled by then grows for ever
TIE = 1e-9  # relative: an action this close to the best counts as optimal


# ---------------------------------------------------------------------------------------- the public results


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values, and how far they may be off.

    Attributes:
        values: (n_states,), the best expected return from each state.
        q_values: (n_states, n_actions), the same after a first action.
        error_bound: the largest distance of `values` from the truth, up to rounding (see `value_iteration`).
        sweeps: how many times all states were backed up.
    """

    values: Array
    q_values: Array
    error_bound: float
    sweeps: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The solution of an env, and the policy that follows from it.

    Attributes:
        env_id: of the env planned for; None if it has none.
        gamma: the discount.
        horizon: the number of steps planned for; None if unlimited.
        values: (n_states,), optimal values with `horizon` steps to go.
        q_values: (n_states, n_actions), likewise after a first action.
        policy: (n_states,), the greedy action; the lowest index wins ties.
        error_bound: the largest distance of `values` from the truth, up to rounding.
        sweeps: how many times all states were backed up.
        optimal_return: the mean optimal value over the starts.
        n_states: of the model.
        reachable_states: how many of them any actions lead to from a start.
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


@dataclass(frozen=True, eq=False)
class Optimum:
    """What the best policy reaches in a model: computed once, compared with many policies.

    Attributes:
        q_values: (n_states, n_actions), undiscounted, with all of the step limit to go.
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
        optimal_return: the best any policy reaches, one that looks at the clock included.
        regret: optimal_return - exact_return; exactly 0.0 when they are equal. Without a step limit both
            are limits, each within 1e-10 of the truth.
        optimal_states: in how many reachable states its action is optimal with all the steps to go.
        reachable_states: how many there are.
    """

    exact_return: float
    optimal_return: float
    regret: float
    optimal_states: int
    reachable_states: int


# ------------------------------------------------------------------------------------------- the public doors


def plan(env: gym.Env[Any, Any] | TabularModel | str, gamma: float = 1.0) -> Plan:
    """Solves an env that has a transition table.

    With gamma 1 the plan is for the env's step limit; with gamma below 1 it is for the discounted problem
    without any limit, as in textbooks. With a step limit the best action may depend on the time left:
    `policy` is the greedy one with all of it to go.

    Args:
        env: an id, a short name, an env or a model.
        gamma: the discount, in [0, 1].

    Raises:
        UsageError: gamma is out of range, the env has no table, or its values grow without end.
    """
    _check_gamma(gamma)
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
        optimal_return=_mean_over_starts(model, solution.values),
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
      point error_bound is 0.0. Otherwise it is delta times the longest expected number of steps that the
      greedy policy has left: its own value is that close to `values`. It is inf where that policy may
      never end.

    Args:
        model: the MDP.
        gamma: the discount, in [0, 1].
        tolerance: the error bound to reach, where there is one; rounding may stop it from being reached.
        horizon: plan for this many steps, whatever gamma is.

    Raises:
        UsageError: a bad argument, or values that do not settle: give gamma < 1 or a horizon.
    """
    _check_gamma(gamma)
    _check_tolerance(tolerance)
    limit = _horizon(model, gamma, horizon)
    backup = _OptimalBackup(model, gamma)
    if limit is not None:
        run = _iterate(backup, model.n_states, limit, _unchanged)
        return _solution(backup, run, 0.0)
    if gamma < 1:
        run = _iterate(backup, model.n_states, MAX_SWEEPS, _contracted(gamma, tolerance))
        _check_settled(run, gamma)
        return _solution(backup, run, gamma * run.delta / (1 - gamma))
    return _solve_undiscounted(model, backup, tolerance)


def backward_induction(model: TabularModel, horizon: int, gamma: float = 1.0) -> Solution:
    """Computes the optimal values with `horizon` steps to go (Puterman, section 4.5)."""
    return value_iteration(model, gamma, horizon=horizon)


def policy_evaluation(
    model: TabularModel,
    policy: ArrayLike,
    gamma: float = 1.0,
    *,
    horizon: int | None = None,
    tolerance: float = 1e-10,
) -> Array:
    """Computes the value (n_states,) of a stationary policy.

    With a horizon, or gamma 1 and a model with a step limit, it is exact. Without, it is within
    `tolerance` of the truth, up to rounding; where an undiscounted policy may never end and goes on being
    paid, the value is inf or -inf, and NaN where those payments balance or both signs are possible.

    Args:
        model: the MDP.
        policy: (n_states,), the action taken in each state.
        gamma: the discount, in [0, 1].
        horizon: evaluate over this many steps, whatever gamma is.
        tolerance: the error allowed where the result is a limit.

    Raises:
        UsageError: a bad argument, or values that do not settle.
    """
    _check_gamma(gamma)
    _check_tolerance(tolerance)
    chain = RewardChain.of(model, _checked_policy(model, policy))
    backup = _PolicyBackup(chain, gamma)
    limit = _horizon(model, gamma, horizon)
    if limit is not None:
        return _iterate(backup, model.n_states, limit, _unchanged).values
    if gamma < 1:
        run = _iterate(backup, model.n_states, MAX_SWEEPS, _contracted(gamma, tolerance))
        _check_settled(run, gamma)
        return run.values
    return _evaluate_undiscounted(chain, tolerance)


def policy_value(model: TabularModel, policy: ArrayLike) -> Array:
    """Computes the undiscounted value (n_states,) of a stationary policy within the model's step limit."""
    return policy_evaluation(model, policy)


def solve(model: TabularModel) -> Optimum:
    """Computes what `score_policy` compares with; keep it to score many policies of one model."""
    solution = value_iteration(model, 1.0)
    return Optimum(solution.q_values, _mean_over_starts(model, solution.values), model.reachable())


def score_policy(model: TabularModel, policy: ArrayLike, optimum: Optimum | None = None) -> PolicyScore:
    """Compares a stationary policy (n_states,) with the optimum, or with one `solve` gave before."""
    actions = _checked_policy(model, policy)
    optimum = solve(model) if optimum is None else optimum
    exact = _mean_over_starts(model, policy_value(model, actions))
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


# --------------------------------------------------------------------------------------------------- sweeps


class _PolicyBackup:
    """One sweep of policy evaluation."""

    def __init__(self, chain: RewardChain, gamma: float) -> None:
        self._chain, self._gamma = chain, gamma

    def __call__(self, values: Array, out: Array) -> None:
        self._chain.back_up(values, self._gamma, out)


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


@dataclass
class _Run:
    """How an iteration ended; both arrays have the extra state 0.0 at their end."""

    last: Array
    previous: Array
    sweeps: int
    delta: float  # the largest change of the last sweep
    settled: bool

    @property
    def values(self) -> Array:
        """The values (n_states,)."""
        return self.last[:-1]


def _iterate(
    backup: Backup,
    n_states: int,
    most: int,
    enough: Callable[[float, Array], bool],
    start: _Run | None = None,
) -> _Run:
    """Sweeps from V = 0, or on from `start`, until `enough(delta, values)`, at most `most` times."""
    run = start or _Run(np.zeros(n_states + 1), np.zeros(n_states + 1), 0, np.inf, settled=False)
    change = np.empty(n_states)
    run.settled = False
    while not run.settled and run.sweeps < most:
        run.last, run.previous = run.previous, run.last
        backup(run.previous, run.last[:-1])
        np.subtract(run.last[:-1], run.previous[:-1], out=change)
        run.delta = float(max(change.max(), -change.min()))
        run.sweeps += 1
        run.settled = enough(run.delta, run.values)
    return run


def _unchanged(delta: float, _values: Array) -> bool:
    """Whether a sweep changed nothing at all: then no later one would."""
    return delta == 0


def _contracted(gamma: float, tolerance: float) -> Callable[[float, Array], bool]:
    """Returns the test that the error bound of a gamma-contraction has come down to `tolerance`."""

    def enough(delta: float, values: Array) -> bool:
        return gamma * delta <= tolerance * (1 - gamma) or delta <= _rounding(values)

    return enough


def _rounding(values: Array) -> float:
    """Returns the change below which a sweep only moves the last bits."""
    return 4 * float(np.finfo(np.float64).eps) * float(max(values.max(), -values.min()))


def _solution(backup: _OptimalBackup, run: _Run, error_bound: float) -> Solution:
    # The last sweep's action values: with the horizon used up, exactly Q with all the steps to go.
    return Solution(run.values.copy(), backup.q_values(run.previous), error_bound, run.sweeps)


def _slower_than(target: float) -> Callable[[float, Array], bool]:
    """Returns the test that a sweep changes no value by more than `target` or rounding."""
    return lambda delta, values: delta <= max(target, _rounding(values))


def _solve_undiscounted(model: TabularModel, backup: _OptimalBackup, tolerance: float) -> Solution:
    """Value iteration with gamma 1 and no limit; the target tightens until the error bound is reached."""
    one_sign = bool((model.reward <= 0).all() or (model.reward >= 0).all())
    target = tolerance
    run = None
    while True:
        run = _iterate(backup, model.n_states, MAX_SWEEPS, _slower_than(target), run)
        _check_settled(run, 1.0)
        if run.delta == 0 and one_sign:
            return _solution(backup, run, 0.0)
        steps = _greedy_steps(model, backup, run)
        bound = run.delta * steps if np.isfinite(steps) else np.inf
        if bound <= tolerance or bound == np.inf or target <= _rounding(run.values):
            return _solution(backup, run, bound)
        target = min(target / 2, tolerance / steps)


def _greedy_steps(model: TabularModel, backup: _OptimalBackup, run: _Run) -> float:
    """Bounds the expected steps until the greedy policy ends, or rests where it and V earn nothing."""
    chain = RewardChain.of(model, backup.q_values(run.last).argmax(axis=1))
    where = fate(chain)
    if where.endless.any() or run.values[where.resting].any():
        return np.inf
    return _longest_wait(chain, where.resting)


def _evaluate_undiscounted(chain: RewardChain, tolerance: float) -> Array:
    """Policy evaluation with gamma 1 and no limit: iteration where it ends, graph reasoning where not."""
    where = fate(chain)
    idle = where.endless | where.resting
    wait = _longest_wait(chain, idle)
    backup = _PolicyBackup(chain.ending_at(idle), 1.0)
    run = _iterate(backup, chain.n_states, MAX_SWEEPS, _slower_than(tolerance / wait if wait else tolerance))
    _check_settled(run, 1.0)
    return np.where(where.endless, where.value, run.values)


def _longest_wait(chain: RewardChain, idle: NDArray[np.bool_]) -> float:
    """Bounds the longest expected number of steps before an episode ends or reaches an `idle` state.

    Sweeps of w = 1 + P w from 0 grow by the probability of being still under way. Once that is at most
    1/2 everywhere, w >= P w + 1/2, so 2 w bounds the expectation from above.
    """
    clock = replace(chain, reward=np.ones(chain.n_states)).ending_at(idle)
    run = _iterate(_PolicyBackup(clock, 1.0), chain.n_states, MAX_SWEEPS, lambda delta, _: delta <= 1 / 2)
    _check_settled(run, 1.0)
    return 2 * float(run.values.max())


# ------------------------------------------------------------------------------------- arguments and averages


def _read(env: gym.Env[Any, Any] | TabularModel | str) -> tuple[str | None, TabularModel]:
    if isinstance(env, TabularModel):
        return None, env
    if isinstance(env, str):
        env_id = SHORT_NAMES.get(env, env)
        return env_id, TabularModel.from_env(env_id)
    return env.spec.id if env.spec is not None else None, TabularModel.from_env(env)


def _mean_over_starts(model: TabularModel, values: Array) -> float:
    """Averages values over the start distribution; the others are left out, as 0 * inf is NaN."""
    weights, values = model.initial[model.starts], values[model.starts]
    # A plain mean where all starts are alike: whole values then add up without rounding.
    return float(values.mean() if (weights == weights[0]).all() else np.sum(weights * values))


def _horizon(model: TabularModel, gamma: float, horizon: int | None) -> int | None:
    if horizon is None:
        return model.step_limit if gamma == 1 else None
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise UsageError(f"horizon must be a whole number of steps from 1 up, got {horizon!r}")
    return int(horizon)


def _check_gamma(gamma: float) -> None:
    if not (isinstance(gamma, int | float | np.number) and 0 <= gamma <= 1):
        raise UsageError(f"gamma must be in [0, 1], got {gamma!r}")


def _check_tolerance(tolerance: float) -> None:
    if not tolerance > 0:
        raise UsageError(f"tolerance must be above 0, got {tolerance!r}")


def _checked_policy(model: TabularModel, policy: ArrayLike) -> NDArray[np.int64]:
    actions = np.asarray(policy)
    if actions.shape != (model.n_states,) or actions.dtype.kind not in "iu":
        got = f"{actions.dtype} of shape {actions.shape}"
        raise UsageError(f"policy must be ({model.n_states},) whole action numbers, got {got}")
    if actions.min() < 0 or actions.max() >= model.n_actions:
        worst = actions[(actions < 0) | (actions >= model.n_actions)][0]
        raise UsageError(f"policy must take actions in [0, {model.n_actions}), got {worst}")
    return actions.astype(np.int64)


def _check_settled(run: _Run, gamma: float) -> None:
    if not run.settled:
        advice = "gamma < 1 or a horizon" if gamma == 1 else "a smaller gamma or a horizon"
        change = f"change by {run.delta:.3g} after {run.sweeps} sweeps"
        raise UsageError(f"with gamma {gamma} the values still {change}; give {advice}")
