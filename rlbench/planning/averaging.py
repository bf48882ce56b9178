"""Average reward: what a policy earns per step in an env that never ends, and the best that any policy can.

Sources: Puterman (1994), chapter 8, relative value iteration in 8.5.5; Sutton & Barto (2018), section 10.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.planning.chains import steady_state
from rlbench.planning.given import given_policy
from rlbench.planning.solving import NEAR_1, OptimalBackup, read
from rlbench.planning.values import chain_of

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel
    from rlbench.planning.chains import RewardChain

    Array = NDArray[np.float64]

LAZY = 0.5  # the share of each step that relative value iteration takes: without it, a periodic chain never settles
TOLERANCE = 1e-10  # relative to the largest reward
MOST = 20_000  # sweeps


@dataclass(frozen=True, eq=False)
class AverageReward:
    """What a policy earns per step in the long run.

    Attributes:
        gain: the mean reward per step, whatever the start.
        bias: (n_states,), how much more is earned in all from here than at that rate; 0 on average over the steps.
        q_values: (n_states, n_actions), the reward less the gain plus the bias of the next state: what differential
            Sarsa estimates, up to a constant; -inf for an action that is not allowed.
        policy: (n_states,), the greedy action in these.
        error_bound: the largest distance of `gain` from the truth, up to rounding.
        sweeps: of relative value iteration.
    """

    gain: float
    bias: Array = field(repr=False)
    q_values: Array = field(repr=False)
    policy: NDArray[np.int64] = field(repr=False)
    error_bound: float
    sweeps: int


def average_reward(
    env: gym.Env[Any, Any] | TabularModel | str, policy: Any = None, *, epsilon: float | None = None
) -> AverageReward:
    """Computes the best average reward of an env that never ends, or that of a policy.

    Its step limit is not counted: it only cuts what goes on.

    Args:
        env: an id, a short name, an env or a model; or a run, for its env.
        policy: as in `policy_evaluation`; None finds the best.
        epsilon: likewise.

    Raises:
        UsageError: episodes of the env end, it has no table, or its gain depends on where it starts.
    """
    _, model = read(env)
    if (model.terminated & (model.probability > 0)).any():
        raise UsageError(
            "episodes of this env end: the average reward is that of one which never does, see rlbench.plan"
        )
    backup = OptimalBackup(model, 1.0)
    if policy is None:
        return _best(model, backup)
    chain = chain_of(model, given_policy(model, policy, NEAR_1, epsilon, run=env))
    shares = steady_state(chain)
    if shares is None:
        raise UsageError("the average reward of this policy depends on where the env starts: it stays in several parts")
    return _differential(backup, *_solved(chain, shares), 0.0, 0)


def _best(model: TabularModel, backup: OptimalBackup) -> AverageReward:
    """Relative value iteration, then the exact figures of the policy that it ends with, if it has one long run."""
    values, gap, sweeps = np.zeros(model.n_states + 1), np.inf, 0
    enough = TOLERANCE * max(1.0, float(np.abs(model.reward).max()))
    while gap > enough:
        if sweeps == MOST:
            change = f"differs by {gap:.3g} between states after {MOST:,} sweeps"
            raise UsageError(f"the best average reward {change}: it may depend on where the env starts")
        q_values = backup.q_values(values)
        change_of = q_values.max(axis=1) - values[:-1]
        gap, sweeps = float(np.ptp(change_of)), sweeps + 1
        values[:-1] += LAZY * (change_of - change_of[0])
    chain = chain_of(model, q_values.argmax(axis=1))
    shares = steady_state(chain)
    if shares is None:  # several that are equally good
        return _differential(backup, float(change_of.min()), values[:-1] - values[:-1].mean(), gap, sweeps)
    gain, bias = _solved(chain, shares)
    return _differential(backup, gain, bias, float(change_of.max()) - gain, sweeps)


def _solved(chain: RewardChain, shares: Array) -> tuple[float, Array]:
    """Returns the gain and the bias of a chain with one steady state: h = r - g + P h, where `shares` @ h is 0."""
    gain = float(shares @ chain.reward)
    system = np.eye(chain.n_states) + shares
    probability = 1.0 if chain.probability is None else chain.probability
    np.subtract.at(system, (chain.owners, chain.successor), probability)
    return gain, np.asarray(np.linalg.solve(system, chain.reward - gain), np.float64)


def _differential(backup: OptimalBackup, gain: float, bias: Array, error_bound: float, sweeps: int) -> AverageReward:
    q_values = backup.q_values(np.append(bias, 0.0)) - gain
    return AverageReward(gain, bias, q_values, q_values.argmax(axis=1), max(error_bound, 0.0), sweeps)
