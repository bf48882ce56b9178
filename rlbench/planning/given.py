"""Which policy is meant: probabilities, actions, a run's, or one with a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError, unknown_name
from rlbench.planning.solving import policy_of, value_iteration
from rlbench.planning.values import checked_policy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs.tabular import TabularModel

    Array = NDArray[np.float64]

NAMED = ("uniform", "greedy", "epsilon-greedy")
EPSILON = 0.1  # of "epsilon-greedy" where no run says how it explores: the book's


def given_policy(
    model: TabularModel, policy: Any, gamma: float, epsilon: float | None, run: Any = None
) -> NDArray[Any]:
    """Returns actions, int64 (n_states,), or probabilities, float64 (n_states, n_actions).

    Args:
        model: the MDP.
        policy: see `policy_evaluation`.
        gamma: the discount under which "greedy" is optimal.
        epsilon: the probability of an allowed action at random; None as the policy says.
        run: whose policy "greedy" and "epsilon-greedy" mean, if it is one.
    """
    if epsilon is not None and not (isinstance(epsilon, int | float | np.number) and 0 <= epsilon <= 1):
        raise UsageError(f"epsilon must be in [0, 1], got {epsilon!r}")
    if isinstance(policy, str):
        return _named(model, policy, gamma, epsilon, _agent_of(run))
    agent = _agent_of(policy)
    if agent is not None:
        return softened(model, _greedy(model, agent), epsilon or 0.0)
    actions = np.full(model.n_states, policy) if np.ndim(policy) == 0 else policy
    return softened(model, checked_policy(model, actions), epsilon or 0.0)


def uniform(model: TabularModel) -> Array:
    """Returns the policy (n_states, n_actions) that takes every allowed action with the same probability."""
    allowed = np.ones((model.n_states, model.n_actions)) if model.allowed is None else model.allowed
    shares: Array = allowed / allowed.sum(axis=1, keepdims=True)
    return shares


def softened(model: TabularModel, policy: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """Returns a checked policy that takes an allowed action at random with the probability `epsilon`."""
    if not epsilon:
        return policy
    shares = np.eye(model.n_actions)[policy] if policy.ndim == 1 else policy
    return (1 - epsilon) * shares + epsilon * uniform(model)


def _named(model: TabularModel, name: str, gamma: float, epsilon: float | None, agent: Any) -> NDArray[Any]:
    if name not in NAMED:
        raise unknown_name("policy", name, NAMED)
    if name == "uniform":
        return uniform(model)
    if name == "epsilon-greedy" and agent is not None and epsilon is None:
        return _behaving(model, agent)
    greedy = _optimal(model, gamma) if agent is None else _greedy(model, agent)
    return softened(model, greedy, (EPSILON if name == "epsilon-greedy" else 0.0) if epsilon is None else epsilon)


def _optimal(model: TabularModel, gamma: float) -> NDArray[np.int64]:
    return policy_of(model, value_iteration(model, gamma), gamma)


def _agent_of(run: Any) -> Any:
    """Returns the agent of a run, or an agent itself; None of anything else."""
    found = getattr(run, "agent", run)
    return found if hasattr(found, "greedy_policy") else None


def _greedy(model: TabularModel, agent: Any) -> NDArray[Any]:
    policy = agent.greedy_policy()
    if policy is None:
        raise UsageError(f"{agent.name} has no greedy policy: evaluate 'uniform', or give the run of a learner")
    return checked_policy(model, policy)


def _behaving(model: TabularModel, agent: Any) -> NDArray[Any]:
    shares = agent.behaving_policy()
    if shares is None:
        raise UsageError(f"{agent.name} has no behaving policy that stays the same: give an epsilon")
    return checked_policy(model, shares)
