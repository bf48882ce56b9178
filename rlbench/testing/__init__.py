"""Checks for authors of envs and agents: do they keep the promises that training relies on?

`check_env(env)` runs ENV_CHECKS on an env, `check_agent(agent_factory)` runs AGENT_CHECKS on an agent, and
`check_model(env)` compares a transition table with what the env does; `why_not_compiled(env)` says why an env with a
table of its own trains in the readable loop. Our own envs and agents pass the same checks.
"""

from rlbench.envs.own_tables import why_not_compiled
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
    "why_not_compiled",
]
