"""The names that the command line knows before it imports what they name, which takes up to a second."""

SHORT_NAMES = {"safecab": "rlbench/SafeCab-v0", "cartpole": "rlbench/DiscreteCartPole-v1"}  # of envs
PLOT_KINDS = (
    "curve",
    "iqm",
    "reward",
    "evaluation",
    "trials",
    "regret",
    "profile",
    "exploration",
    "actions",
    "share",
    "values",
    "policy",
    "td",
    "states",
)
AGENT_NAMES = (
    "random",
    "q-learning",
    "sarsa",
    "expected-sarsa",
    "double-q",
    "n-step-sarsa",
    "sarsa-lambda",
    "monte-carlo",
    "dyna-q",
    "replay-q",
)
