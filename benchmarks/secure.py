"""What encryption costs: training with everything stored, and reading it, encrypted against plain, in turn.

    python benchmarks/secure.py [--rounds 9] [--episodes 60000] [--json]

Both sides train SafeCab with every step stored, into a new file, with the default preset; *reading* unpacks every
column of every chunk of that file. The figures are medians of the ratios of rounds, each of one side after the other.
The last figures are in benchmarks/secure.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import rlbench
from rlbench.keys import KEY, Key

BARS = {
    "training with everything stored: pace of encrypted / plain": 0.85,
    "reading every column: pace of encrypted / plain": 0.7,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--episodes", type=int, default=60_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    key = Key.new().text()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds + 1):  # the first is the warm-up
            plain, sealed = (_side(Path(folder, f"{number}{side}.db"), arguments.episodes, side) for side in ("", key))
            rounds.append([one / other for one, other in zip(plain, sealed, strict=True)])
    figures = dict(zip(BARS, map(statistics.median, zip(*rounds[1:], strict=True)), strict=True))
    print(json.dumps(figures) if arguments.json else _table(figures))


def _side(path, episodes, key):
    """Returns the seconds of training into a file, and of reading it, with a key or, if it is empty, without."""
    os.environ[KEY] = key
    with rlbench.open_store(path) as store:
        started = time.perf_counter()
        run = rlbench.train("safecab", episodes=episodes, seed=0, record="all", store=store)
        trained = time.perf_counter() - started
        started = time.perf_counter()
        for chunk in store.chunks(run):
            for column in (*chunk.figures.values(), *chunk.steps.values()):
                column.sum()
        read = time.perf_counter() - started
    path.unlink()
    return trained, read


def _table(figures):
    lines = ["| what | measured | bar |", "|---|---:|---|"]
    for name, bar in BARS.items():
        met = "met" if figures[name] >= bar else "MISSED"
        lines.append(f"| {name} | {figures[name]:.2f} | at least {bar}, {met} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
