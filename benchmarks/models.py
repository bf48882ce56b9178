"""All estimators against scikit-learn: fit times and scores on the same data and split, in one run.

    python benchmarks/models.py [--rounds 11] [--threads 1] [--json]

Runs benchmarks/models_linear.py, then benchmarks/models_trees.py; their docstrings say what they measure, and hold the
last figures. (!) marks a ratio above 3, and k-means if it is less than 100 times as fast as the book's point objects.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PARTS = ("models_linear.py", "models_trees.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1, help="for OpenMP and linear algebra, on both sides")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    options = ["--rounds", str(arguments.rounds), "--threads", str(arguments.threads)]
    # separate processes: neither warms up the other
    printed = {part: _printed(part, [*options, *(["--json"] if arguments.json else [])]) for part in PARTS}
    if arguments.json:
        print(json.dumps({part: json.loads(text) for part, text in printed.items()}))
    else:
        print("\n".join(f"{part}\n\n{text}" for part, text in printed.items()))


def _printed(part: str, options: list[str]) -> str:
    command = [sys.executable, str(Path(__file__).with_name(part)), *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
