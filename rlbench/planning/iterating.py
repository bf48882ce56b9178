"""Dynamic programming as the book teaches it: the value of a given policy, policy iteration, and sweeps one by one.

Source: Sutton & Barto (2018), chapter 4; modified policy iteration: Puterman (1994), section 6.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.checks import whole_number
from rlbench.planning.chains import RewardChain
from rlbench.planning.given import given_policy
from rlbench.planning.solving import PATIENCE, OptimalBackup, Plan, best_of_policies, improvements, plan_of, read
from rlbench.planning.sweeps import (
    Sweeps,
    check_gamma,
    iterate,
    mean_over_starts,
    slower_than,
    steps_to_plan,
    unchanged,
)
from rlbench.planning.values import TOLERANCE, chain_of, is_solvable, long_run_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel
    from rlbench.planning.sweeps import Backup

    Array = NDArray[np.float64]


class Round(NamedTuple):
    """One round of policy iteration.

    Attributes:
        policy: (n_states,), the actions.
        values: (n_states,), what they are worth.
    """

    policy: NDArray[np.int64]
    values: Array


def policy_evaluation(
    env: gym.Env[Any, Any] | TabularModel | str | Any, policy: Any, gamma: float = 1.0, *, epsilon: float | None = None
) -> Plan:
    """Computes the exact values of a policy in an env that has a transition table.

    With gamma 1 they are those within the env's step limit, if it has one. Where an undiscounted policy may collect
    rewards forever, the value is inf or -inf, or NaN if those rewards balance or both signs are possible.

    Args:
        env: an id, a short name, an env or a model; or a run, for its env.
        policy: the probability of each action (n_states, n_actions), the actions (n_states,), one action for all
            states, a run or an agent for its greedy policy, or "uniform", "greedy" or "epsilon-greedy". The last two
            are those of the run that `env` is, or go by the optimal action values.
        gamma: the discount, in [0, 1].
        epsilon: the probability with which any allowed action is taken instead, evenly. By default 0; of
            "epsilon-greedy" 0.1, or for a run how it explored last, by whatever rule.

    Returns:
        What `plan` returns; its `policy` is the greedy one in these values: a step of policy improvement.

    Raises:
        UsageError: the env has no table, or an argument is wrong.
    """
    check_gamma(gamma)
    env_id, model = read(env)
    shares = given_policy(model, policy, gamma, epsilon, run=env)
    chain, horizon = chain_of(model, shares), steps_to_plan(model, gamma, None)
    backup, sweeps, bound = OptimalBackup(model, gamma), 0, 0.0
    if horizon is None:
        values = before = np.append(long_run_values(chain, gamma, TOLERANCE), 0.0)
        bound = 0.0 if is_solvable(chain) else TOLERANCE
    else:
        run = iterate(lambda values, out: chain.back_up(values, gamma, out), model.n_states, horizon, unchanged)
        values, before, sweeps = run.last, run.previous, run.sweeps
    with np.errstate(invalid="ignore"):  # an endless policy's values are infinite
        q_values = backup.q_values(before)
    return Plan(
        env_id=env_id,
        gamma=float(gamma),
        horizon=horizon,
        values=values[:-1].copy(),
        q_values=q_values,
        policy=q_values.argmax(axis=1),
        error_bound=bound,
        sweeps=sweeps,
        expected_return=mean_over_starts(model, values[:-1]),
        optimal_return=None,
        n_states=model.n_states,
        reachable_states=int(model.reachable().sum()),
    )


def policy_iteration(
    env: gym.Env[Any, Any] | TabularModel | str, gamma: float = 1.0, *, sweeps: int | None = None
) -> Plan:
    """Solves an env that has a transition table by policy iteration, or modified policy iteration.

    Its policies do not depend on the time left: with gamma 1 too, the solution is for the env without its step limit.

    Args:
        env: an id, a short name, an env or a model.
        gamma: the discount, in [0, 1].
        sweeps: how many sweeps evaluate each policy: modified policy iteration. By default, and of the last policy,
            the exact value is computed.

    Raises:
        UsageError: an argument is wrong, the env has no table, or its values diverge.
    """
    check_gamma(gamma)
    env_id, model = read(env)
    backup, start = OptimalBackup(model, gamma), Sweeps.none_of(model.n_states)
    if sweeps is not None:
        rounds = _rounds_of(model, backup, whole_number("sweeps", sweeps))
        start = iterate(rounds, model.n_states, PATIENCE, slower_than(TOLERANCE))
    return plan_of(env_id, model, gamma, best_of_policies(model, backup, start, TOLERANCE), None)


def policy_rounds(
    env: gym.Env[Any, Any] | TabularModel | str, gamma: float = 1.0, *, policy: Any = 0
) -> Iterator[Round]:
    """Yields the rounds of policy iteration, until no action is better: figure 4.2 of Sutton & Barto (2018).

    Args:
        env: an id, a short name, an env or a model.
        gamma: the discount, in [0, 1].
        policy: where to begin: actions (n_states,), or one for all states.
    """
    check_gamma(gamma)
    _, model = read(env)
    start = given_policy(model, policy, gamma, None)
    for actions, values, _ in improvements(model, OptimalBackup(model, gamma), start, TOLERANCE):
        yield Round(actions, values)


def value_sweeps(
    env: gym.Env[Any, Any] | TabularModel | str,
    policy: Any = None,
    gamma: float = 1.0,
    *,
    epsilon: float | None = None,
    in_place: bool = False,
) -> Iterator[Array]:
    """Yields the values (n_states,) after 0, 1, 2 ... sweeps from 0, without end: figures 4.1 and 4.3.

    Args:
        env: an id, a short name, an env or a model.
        policy: as in `policy_evaluation`: iterative policy evaluation; None takes the best action: value iteration.
        gamma: the discount, in [0, 1].
        epsilon: as in `policy_evaluation`.
        in_place: whether a sweep sees the values that it has written already, state by state in order.
    """
    check_gamma(gamma)
    _, model = read(env)
    shares = None if policy is None else given_policy(model, policy, gamma, epsilon, run=env)
    sweep = _one_by_one(model, shares, gamma) if in_place else _all_at_once(model, shares, gamma)
    values = np.zeros(model.n_states + 1)
    while True:
        yield values[:-1].copy()
        sweep(values)


def _rounds_of(model: TabularModel, backup: OptimalBackup, sweeps: int) -> Backup:
    """Returns one round of modified policy iteration: a greedy step, then `sweeps` - 1 more sweeps of its policy."""

    def round_of(values: Array, out: Array) -> None:
        q_values = backup.q_values(values)
        chain = RewardChain.of(model, q_values.argmax(axis=1))
        after = np.append(q_values.max(axis=1), 0.0)
        for _ in range(sweeps - 1):
            chain.back_up(after.copy(), backup.gamma, after[:-1])
        out[:] = after[:-1]

    return round_of


def _all_at_once(model: TabularModel, shares: NDArray[Any] | None, gamma: float) -> Callable[[Array], None]:
    """Returns a sweep that reads only the values before it."""
    if shares is None:
        backup = OptimalBackup(model, gamma)
        return lambda values: backup(values.copy(), values[:-1])
    chain = chain_of(model, shares)
    return lambda values: chain.back_up(values.copy(), gamma, values[:-1])


def _one_by_one(model: TabularModel, shares: NDArray[Any] | None, gamma: float) -> Callable[[Array], None]:
    """Returns a sweep that writes state after state, and reads what it has written."""
    n_actions, offsets = model.n_actions, model.offsets
    successor = np.where(model.terminated, model.n_states, model.successor)
    weights = np.eye(n_actions)[shares] if shares is not None and shares.ndim == 1 else shares
    barred = None if model.allowed is None else np.where(model.allowed, 0.0, -np.inf)

    def sweep(values: Array) -> None:
        for state in range(model.n_states):
            begins = offsets[state * n_actions : (state + 1) * n_actions]
            rows = slice(begins[0], offsets[(state + 1) * n_actions])
            worth = model.probability[rows] * (model.reward[rows] + gamma * values[successor[rows]])
            q_values = np.add.reduceat(worth, begins - begins[0])
            if weights is not None:
                values[state] = weights[state] @ q_values
            else:
                values[state] = (q_values if barred is None else q_values + barred[state]).max()

    return sweep
