"""Which of equally good actions to take: a cycle may cost nothing, but a policy that follows it never arrives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rlbench.planning.chains import RewardChain
from rlbench.planning.sweeps import MAX_SWEEPS, iterate
from rlbench.planning.values import policy_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel

    Array = NDArray[np.float64]
    Marks = NDArray[np.bool_]

TIE = 1e-9  # relative: what is this close to the best counts as optimal
UNDER_WAY = 0.5  # the probability of not having arrived, below which times of arrival can be compared


def almost(values: Array) -> Array:
    """Returns the smallest numbers that count as equal to these values."""
    return values - TIE * (1 + np.abs(values))


def best_actions(q_values: Array) -> Marks:
    """Marks the actions (n_states, n_actions) that are as good as the best, up to rounding."""
    marks: Marks = q_values >= almost(q_values.max(axis=1))[:, None]
    return marks


def greedy_policy(model: TabularModel, q_values: Array, gamma: float) -> NDArray[np.int64]:
    """Returns a best action in every state: the lowest, unless the policy of these is worth less than each promises.

    Then it is the best action that ends the episode soonest, or leads soonest to where nothing is left to earn.
    """
    lowest: NDArray[np.int64] = q_values.argmax(axis=1)
    worth = policy_value(model, lowest, gamma)
    if (worth >= almost(q_values.max(axis=1))).all():
        return lowest
    return _soonest(model, q_values)


def _soonest(model: TabularModel, q_values: Array) -> NDArray[np.int64]:
    """Minimizes the expected number of steps among the best actions, by value iteration with a cost of 1 a step."""
    best = best_actions(q_values)
    resting = resting_actions(model, best & (np.abs(q_values) <= TIE))
    done = np.asarray(resting.any(axis=1))
    clocks = [_clock(model, action, done) for action in range(model.n_actions)]
    times = np.empty((model.n_states, model.n_actions))

    def sweep(values: Array, out: Array) -> None:
        for action, clock in enumerate(clocks):
            clock.back_up(values, 1.0, out)
            times[:, action] = np.where(best[:, action], out, np.inf)
        times.min(axis=1, out=out)

    iterate(sweep, model.n_states, model.step_limit or MAX_SWEEPS, lambda delta, _: delta <= UNDER_WAY)
    soonest: NDArray[np.int64] = np.where(done, resting.argmax(axis=1), times.argmin(axis=1))
    return soonest


def _clock(model: TabularModel, action: int, done: Marks) -> RewardChain:
    chain = RewardChain.of(model, action)
    return replace(chain, reward=np.ones(model.n_states)).ending_at(done)


def resting_actions(model: TabularModel, allowed: Marks) -> Marks:
    """Marks the allowed actions (n_states, n_actions) by which a policy can earn nothing forever."""
    possible = model.probability > 0
    resting = allowed & _all_outcomes(model, ~possible | (model.reward == 0))
    while True:
        rests = np.asarray(resting.any(axis=1))
        leads_out = possible & ~model.terminated & ~rests[model.successor]
        left = resting & _all_outcomes(model, ~leads_out)
        if (left == resting).all():
            return resting
        resting = left


def _all_outcomes(model: TabularModel, marks: Marks) -> Marks:
    """Returns for which actions (n_states, n_actions) all outcomes are marked."""
    marked: Marks = np.logical_and.reduceat(marks, model.offsets[:-1]).reshape(model.n_states, model.n_actions)
    return marked
