"""How soon an answer comes: whole commands against the imports that none can do without, and an evaluation once warm.

    python benchmarks/startup.py [--rounds 7] [--json]

SafeCab and CartPole are trained with their presets, Taxi-v4 for 30,000 episodes, into an SQLite file. Each command runs
once uncounted, to compile and cache; then they take turns, each in a fresh process, and the least time of each counts,
because other load on the machine only ever adds. "anew" trains without asking the store for the answer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LEARNING = {
    "safecab": [],
    "cartpole": [],
    "Taxi-v4": ["--episodes", "30000", "--set", "learning_rate=1", "--set", "exploration_decay=1e-4"],
}
IMPORTS = {"train": "numba, gymnasium, numpy", "report": "numba, gymnasium, matplotlib.pyplot"}
BARS = {"train": 2.0, "report": 2.5}  # times the CPU seconds of the imports; "anew" has none: it trains as well
MILLISECONDS, BYTES = 3.0, 3_000_000  # of an evaluation, and of a page
EVALUATION = """
import sys, time, rlbench
run = rlbench.load_run(sys.argv[1], sys.argv[2])
def taken():
    begun = time.perf_counter()
    rlbench.evaluate(run, episodes=100, seed=0)
    return time.perf_counter() - begun
print(1000 * min(taken() for _ in range(200)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measured(Path(folder), arguments.rounds)
    print(json.dumps(figures) if arguments.json else _table(figures))


def _measured(folder, rounds):
    """Returns {command: {"seconds", "cpu_seconds", "times", "bytes"}}, and the milliseconds of an evaluation."""
    runs = {env: json.loads(_run(folder, _train(env, "--json")))["run"] for env in LEARNING}
    commands = {f"import {names}": [sys.executable, "-c", f"import {names}"] for names in IMPORTS.values()}
    commands |= {"train safecab": _train("safecab"), "train safecab, anew": _train("safecab", "--no-cache")}
    commands |= {f"report {env}": _rlbench("report", run, "--out", f"{env}.html") for env, run in runs.items()}
    least = {name: _timed(folder, command) for name, command in commands.items()}  # uncounted: what follows is less
    for _ in range(rounds):
        for name, command in commands.items():
            least[name] = tuple(map(min, least[name], _timed(folder, command)))
    milliseconds = min(
        float(_run(folder, [sys.executable, "-c", EVALUATION, "rlbench.db", runs["safecab"]])) for _ in range(rounds)
    )
    found = {name: {"seconds": wall, "cpu_seconds": cpu} for name, (wall, cpu) in least.items()}
    for name, figures in found.items():
        if not name.startswith("import"):
            figures["times"] = figures["cpu_seconds"] / found[f"import {IMPORTS[name.split()[0]]}"]["cpu_seconds"]
    for env in LEARNING:
        found[f"report {env}"]["bytes"] = (folder / f"{env}.html").stat().st_size
    return {**found, "evaluate safecab": {"milliseconds": milliseconds}}


def _timed(folder, command):
    wall, cpu = time.perf_counter(), _cpu()
    _run(folder, command)
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _train(env, *more):
    return _rlbench("train", env, *LEARNING[env], *more)


def _rlbench(*arguments):
    return [sys.executable, "-m", "rlbench", *arguments]


def _run(folder, command):
    # bytecode is kept, as wherever a command runs for the second time
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["RLBENCH_STORE"] = "rlbench.db"
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True).stdout


def _table(figures):
    lines = [f"{'command':<46}{'seconds':>9}{'CPU s':>8}{'x imports':>11}{'bar':>8}"]
    for name, found in figures.items():
        if "milliseconds" in found:
            lines.append(
                f"{name + ', 100 episodes and exact, warm':<46}{found['milliseconds']:>6.2f} ms{MILLISECONDS:>24g} ms"
            )
            continue
        line = f"{name:<46}{found['seconds']:>9.2f}{found['cpu_seconds']:>8.2f}"
        if "times" in found:
            bar = f"{BARS[name.split()[0]]:g}" if "," not in name else ""
            line += f"{found['times']:>11.2f}{bar:>8}"
        if "bytes" in found:
            line += f"   {found['bytes'] / 1e6:.2f} of {BYTES / 1e6:g} MB"
        lines.append(line.rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    main()
