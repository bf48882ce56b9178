"""The compiled modules of the agents, imported when an agent is created or trained.

They are module-level names, not attributes of an agent, so agents can be pickled and copied.
"""

from rlbench.lazy import LazyModule

rules = LazyModule("rlbench.agents._rules")
returns = LazyModule("rlbench.agents._returns")
models = LazyModule("rlbench.agents._models")
replays = LazyModule("rlbench.agents._replay")
learners = LazyModule("rlbench.agents._learners")
