"""The exact values of a policy that an agent is to predict, so that each episode can tell how far it is from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents.prediction import Prediction
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.planning.chains import LARGEST_CLASS
from rlbench.planning.solving import OptimalBackup
from rlbench.planning.values import TOLERANCE, chain_of, long_run_values

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.agents import Agent

    Array = NDArray[np.float64]

MOST_STATES = LARGEST_CLASS  # with more, computing the truth would take longer than many a training
DECIMALS = 12  # the last digits of a linear solve are another processor's


def truth_of(env: gym.Env[Any, Any], agent: Agent) -> Array | None:
    """Returns what an agent that predicts is to learn, as many columns as its table; NaN for what it never meets.

    A step limit does not count: where an episode is truncated, the rest is bootstrapped. None where nothing is known:
    for other agents, for envs without a transition table or with too many states, and for values without a limit.
    """
    if not isinstance(agent, Prediction) or agent.n_states > MOST_STATES:
        return None
    try:
        model = TabularModel.from_env(env)
    except UsageError:
        return None
    gamma, met = agent.parameters.gamma, _met(model, agent.behaving_policy())
    values = long_run_values(chain_of(model, agent.target_policy()), gamma, TOLERANCE)
    if agent.n_columns == 1:
        exact, met = values[:, None], np.asarray(met.any(axis=1))[:, None]
    else:
        exact = OptimalBackup(model, gamma).q_values(np.append(values, 0.0))
    return np.where(met, exact.round(DECIMALS), np.nan) if np.isfinite(exact[met]).all() else None


def _met(model: TabularModel, policy: Array) -> NDArray[np.bool_]:
    """Marks the states and actions (n_states, n_actions) that a policy meets from the starts."""
    pairs = np.repeat(np.arange(policy.size), np.diff(model.offsets))  # of each outcome
    leads_on = ~model.terminated & (model.probability > 0) & (policy.reshape(-1)[pairs] > 0)
    tails, heads = pairs[leads_on] // model.n_actions, model.successor[leads_on]
    seen, before = model.initial > 0, 0
    while before < (now := int(np.count_nonzero(seen))):
        before = now
        seen[heads[seen[tails]]] = True
    return seen[:, None] & (policy > 0)


def compared(agent: Agent, exact: Array | None) -> None:
    """Lets an agent that predicts compare what it learns with the truth, or with nothing if that is not known."""
    if isinstance(agent, Prediction):
        agent.compare_with(np.empty((0, 0)) if exact is None else exact)
