"""Planning: exact solutions of known MDPs: optimal policies, the value of any policy, sweeps and average rewards."""

from __future__ import annotations

from rlbench.planning.averaging import AverageReward, average_reward
from rlbench.planning.iterating import Round, policy_evaluation, policy_iteration, policy_rounds, value_sweeps
from rlbench.planning.policies import Optimum, PolicyScore, expected_return, score_policy, solve
from rlbench.planning.solving import Plan, Solution, backward_induction, plan, value_iteration
from rlbench.planning.values import policy_value

__all__ = [
    "AverageReward",
    "Optimum",
    "Plan",
    "PolicyScore",
    "Round",
    "Solution",
    "average_reward",
    "backward_induction",
    "expected_return",
    "plan",
    "policy_evaluation",
    "policy_iteration",
    "policy_rounds",
    "policy_value",
    "score_policy",
    "solve",
    "value_iteration",
    "value_sweeps",
]
