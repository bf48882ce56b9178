"""The recommender against means, on plays held out of a file: who played what, and how often.

    python benchmarks/recommender.py user_artists.dat [--seed 0]

The file is that of last.fm in HetRec 2011 (GroupLens: hetrec2011-lastfm-2k.zip), which the recommender chapter of
"Hands-On Machine Learning from Scratch" (Valkov) reads: 92,834 lines of userID, artistID and weight, which is 1 to
352,698 plays. A quarter of the lines is held out, the one that `rlbench model train recommender` holds out with this
seed. Each line of the table predicts those; "rmse" and "mae" are in plays, "rmse of logs" in log(1 + plays). The means
"of logs" are means of log(1 + plays), turned back.

Last figures, with seed 0:

                        rmse    mae  rmse of logs
    mean of all         3074    795         1.874
    mean of the user    3040    640         1.071
    mean of the item    3090    855         1.848
    of logs, all        3112    615         1.492
    of logs, the user   3002    480         0.829
    of logs, the item   3110    632         1.539
    the recommender     2952    470         0.808
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlbench.modelling import load_ratings, train_model
from rlbench.modelling.training import held_ratings

Floats = NDArray[np.float64]
COLUMNS = ("rmse", "mae", "rmse of logs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="user_artists.dat")
    parser.add_argument("--seed", type=int, default=0, help="of what is held out, and of the recommender")
    arguments = parser.parse_args()
    entries = load_ratings(arguments.file, "weight", features=["userID", "artistID"]).matrix.tocoo()
    held = held_ratings(len(entries.data), 0.25, arguments.seed)
    estimator = train_model("recommender", arguments.file, target="weight", seed=arguments.seed).estimator
    predicted = {
        **{f"mean of {whose}": means for whose, means in _means(entries, held, entries.data)},
        **{f"of logs, {whose}": np.expm1(means) for whose, means in _means(entries, held, np.log1p(entries.data))},
        "the recommender": estimator.predict_pairs(entries.coords[0][held], entries.coords[1][held]),
    }
    print(" " * 17, *(f"{column:>{max(6, len(column))}}" for column in COLUMNS))
    for name, plays in predicted.items():
        rmse, mae, of_logs = _errors(plays, entries.data[held])
        print(f"{name:<17} {rmse:6.0f} {mae:6.0f} {of_logs:12.3f}")


def _means(entries: Any, held: NDArray[np.bool_], values: Floats) -> list[tuple[str, Floats]]:
    """Returns what the mean of all, of its user and of its item predicts for each entry held out."""
    mean = values[~held].mean()
    found = [("all", np.full(int(held.sum()), mean))]
    for whose, names in zip(("the user", "the item"), entries.coords, strict=True):
        n = int(names.max()) + 1
        rated = np.maximum(np.bincount(names[~held], minlength=n), 1)
        above = np.bincount(names[~held], values[~held] - mean, n) / rated
        found.append((whose, mean + above[names[held]]))
    return found


def _errors(expected: Floats, plays: Floats) -> tuple[float, float, float]:
    errors, of_logs = expected - plays, np.log1p(expected) - np.log1p(plays)
    return (
        float(np.sqrt(np.square(errors).mean())),
        float(np.abs(errors).mean()),
        float(np.sqrt(np.square(of_logs).mean())),
    )


if __name__ == "__main__":
    main()
