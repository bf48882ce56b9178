"""The cost of a report: the time of `rlbench report`, in a fresh process each time, and the size of its page.

    python benchmarks/report.py [--rounds 5] [--json]

SafeCab and CartPole are trained with their presets, Taxi-v4 for 30,000 episodes, into an SQLite file. One uncounted
report of each comes first, to compile and cache. SafeCab's must take less than 3 s, and every page less than 3 MB. CPU
seconds are shown as well, because other load on the machine lengthens wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = {
    "safecab": [],
    "cartpole": [],
    "Taxi-v4": ["--episodes", "30000", "--set", "learning_rate=1", "--set", "exploration_decay=1e-4"],
}
SECONDS, BYTES = 3.0, 3_000_000  # the bars


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the medians as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = _measured(folder, arguments.rounds)
    print(json.dumps(figures) if arguments.json else _table(figures))


def _measured(folder, rounds):
    """Returns {env: {"seconds", "cpu_seconds", "bytes"}}, medians of interleaved rounds."""
    ids = {env: _rlbench(folder, "train", env, "--json", *more)["run"] for env, more in RUNS.items()}
    for run in ids.values():
        _reported(folder, run)
    found = {env: [] for env in RUNS}
    for _ in range(rounds):
        for env, run in ids.items():
            found[env].append(_reported(folder, run))
    return {env: _medians(taken) for env, taken in found.items()}


def _medians(taken):
    return {name: statistics.median(one[name] for one in taken) for name in taken[0]}


def _reported(folder, run):
    wall, cpu = time.perf_counter(), _cpu()
    size = _rlbench(folder, "report", run, "--out", "report.html", "--json")["bytes"]
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": _cpu() - cpu, "bytes": size}


def _cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rlbench(folder, *arguments):
    environment = {**os.environ, "RLBENCH_STORE": str(Path(folder) / "rlbench.db")}
    command = [sys.executable, "-m", "rlbench", *arguments]
    return json.loads(subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True).stdout)


def _table(figures):
    lines = [f"{'report of':<12}{'seconds':>9}{'CPU s':>9}{'MB':>7}   of the bars"]
    for env, found in figures.items():
        seconds, cpu, size = found["seconds"], found["cpu_seconds"], found["bytes"]
        lines.append(
            f"{env:<12}{seconds:>9.2f}{cpu:>9.2f}{size / 1e6:>7.2f}"
            f"   {seconds / SECONDS:.0%} of {SECONDS:g} s, {size / BYTES:.0%} of {BYTES / 1e6:g} MB"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
