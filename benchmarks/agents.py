"""Each agent's compiled loop against its readable one, in one process run; ratios, medians of interleaved rounds.

    python benchmarks/agents.py [--rounds 5] [--only NAME]

Sides: both loops of this library train the same agent with the same parameters, so they take the same steps, draw the
same numbers and learn the same table. The readable one steps a Gymnasium env, acts, samples and updates in Python,
each rule being one call of a compiled function. On SafeCab all agents explore epsilon-greedily on one schedule;
replay-q learns 16 transitions every 4 steps, dyna-q 5 of its model every step. On CartPole replay-q learns 32
transitions every step. Bars: 200 times on SafeCab, 20 times for replay-q on CartPole. Rates are steps per second, on
one core.
"""

from __future__ import annotations

import argparse
import statistics

import rlbench
from rlbench.agents import AGENTS
from rlbench.agents.parameters import ExplorationParameters

READABLE_STEPS = 20_000  # per round
COMPILED_STEPS = 2_000_000
SAFECAB_BAR, CARTPOLE_BAR = 200, 20

EPSILON_GREEDY = {
    "exploration": "epsilon-greedy",
    "exploration_schedule": "exponential",
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.1,
    "exploration_decay": 5e-5,
}
REPLAY = {"learning_starts": 1000, "buffer_size": 100_000}
# a side: its name, env, agent, parameters and bar
SIDES = [
    *(
        (
            f"{name}, SafeCab",
            "safecab",
            name,
            EPSILON_GREEDY if issubclass(cls.Parameters, ExplorationParameters) else {},
            SAFECAB_BAR,
        )
        for name, cls in AGENTS.items()
    ),
    ("dyna-q, prioritized sweeping, SafeCab", "safecab", "dyna-q", {**EPSILON_GREEDY, "planning": "prioritized"}, None),
    (
        "replay-q, CartPole, batch 32",
        "cartpole",
        "replay-q",
        {**REPLAY, "batch_size": 32, "train_freq": 1},
        CARTPOLE_BAR,
    ),
    (
        "replay-q prioritized, CartPole, batch 32",
        "cartpole",
        "replay-q",
        {**REPLAY, "batch_size": 32, "train_freq": 1, "replay": "prioritized"},
        None,
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", metavar="NAME", help="only sides whose name contains this")
    arguments = parser.parse_args()
    sides = [side for side in SIDES if arguments.only is None or arguments.only in side[0]]
    print("| what | readable, k steps/s | compiled, M steps/s | ratio | bar |")
    print("|---|---:|---:|---:|---:|")
    for name, *side, bar in sides:
        print(_row(name, side, bar, arguments.rounds), flush=True)


def _row(name, side, bar, rounds):
    """Trains with both loops in turn and returns the result as a table row."""
    rates = {"python": [], "compiled": []}
    for engine in rates:
        _rate(engine, *side)  # warm-up: compiles and caches
    for _ in range(rounds):
        for engine, found in rates.items():
            found.append(_rate(engine, *side))
    readable, compiled = (statistics.median(found) for found in rates.values())
    ratio = compiled / readable
    verdict = "-" if bar is None else f"{bar}, {'met' if ratio >= bar else 'MISSED'}"
    return f"| {name} | {readable / 1e3:.1f} | {compiled / 1e6:.2f} | {ratio:,.0f} | {verdict} |"


def _rate(engine, env, agent, parameters):
    steps = READABLE_STEPS if engine == "python" else COMPILED_STEPS
    run = rlbench.train(
        env, agent, total_timesteps=steps, seed=0, record="none", engine=engine, agent_kwargs=parameters
    )
    return run.timesteps / run.seconds


if __name__ == "__main__":
    main()
