"""Planning: exact solutions of known MDPs: optimal policies, the value of any policy, and Markov chains."""

from __future__ import annotations

from rlbench.planning.policies import Optimum, PolicyScore, score_policy, solve
from rlbench.planning.solving import Plan, Solution, backward_induction, plan, value_iteration
from rlbench.planning.values import policy_evaluation, policy_value

__all__ = [
    "Optimum",
    "Plan",
    "PolicyScore",
    "Solution",
    "backward_induction",
    "plan",
    "policy_evaluation",
    "policy_value",
    "score_policy",
    "solve",
    "value_iteration",
]
