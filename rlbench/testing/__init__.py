"""Checks for whoever writes an env or an agent: that they keep the promises on which training builds.

`check_env(env)` holds an env to ENV_CHECKS, `check_agent(agent_factory)` an agent to AGENT_CHECKS, one after another;
`check_model(env)` compares a transition table with what the env does. Our own envs and agents are tested by the same.
"""

from rlbench.errors import CheckFailedError
from rlbench.testing.agents import AGENT_CHECKS, Trial, check_agent
from rlbench.testing.envs import ENV_CHECKS, check_env
from rlbench.testing.tables import check_model

__all__ = [
    "AGENT_CHECKS",
    "ENV_CHECKS",
    "CheckFailedError",
    "Trial",
    "check_agent",
    "check_env",
    "check_model",
]
