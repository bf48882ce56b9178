"""The names that the command line knows before it imports what they name, which takes up to a second."""

import re

ID_BEGINNING = re.compile(r"[0-9a-f]{1,12}")  # of a run
RUNS = ("latest", "best", "all")  # words for runs

SHORT_NAMES = {  # of envs
    "safecab": "rlbench/SafeCab-v0",
    "cartpole": "rlbench/DiscreteCartPole-v1",
    "bandit": "rlbench/Bandit-v0",
    "random-walk": "rlbench/RandomWalk-v0",
    "gridworld": "rlbench/Gridworld-v0",
    "windy": "rlbench/WindyGridworld-v0",
    "maze": "rlbench/DynaMaze-v0",
    "gambler": "rlbench/Gambler-v0",
    "maximization-bias": "rlbench/MaximizationBias-v0",
    "racetrack": "rlbench/Racetrack-v0",
    "car-rental": "rlbench/CarRental-v0",
    "access-control": "rlbench/AccessControl-v0",
}
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
    "n-step-expected-sarsa",
    "tree-backup",
    "q-sigma",
    "sarsa-lambda",
    "true-online-sarsa-lambda",
    "watkins-q-lambda",
    "monte-carlo",
    "off-policy-mc-control",
    "td0",
    "n-step-td",
    "td-lambda",
    "mc-prediction",
    "off-policy-mc",
    "dyna-q",
    "dyna-q-plus",
    "replay-q",
    "bandit",
    "differential-sarsa",
)


def means_runs(name: str) -> bool:
    """Returns whether a name stands for runs, by a word or the beginning of an id; no study is called so."""
    word = name.strip().lower()
    return word in RUNS or ID_BEGINNING.fullmatch(word) is not None
