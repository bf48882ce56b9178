"""The recommender against means, on plays held out of a file: who played what, and how often.

    python benchmarks/recommender.py user_artists.dat [--seed 0]

The file is that of last.fm in HetRec 2011 (GroupLens: hetrec2011-lastfm-2k.zip), which the recommender chapter of
"Hands-On Machine Learning from Scratch" (Valkov) reads: 92,834 lines of userID, artistID and weight, which is 1 to
352,698 plays. A quarter of the lines is held out, the one that `rlbench model train recommender` holds out with this
seed, and predicted in two units: as plays, and as log(1 + plays); each mean is one of the column's unit.

Last figures, with seed 0:

                      rmse, plays  mae, plays  rmse, logs
    mean of all              3074         795       1.492
    mean of the user         3040         640       0.829
    mean of the item         3090         855       1.539
    the recommender          2925         495       0.808
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.modelling import load_ratings, train_model
from rlbench.modelling.training import held_ratings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PREDICTORS = ("mean of all", "mean of the user", "mean of the item", "the recommender")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="user_artists.dat")
    parser.add_argument("--seed", type=int, default=0, help="of what is held out, and of the recommender")
    arguments = parser.parse_args()
    entries = load_ratings(arguments.file, "weight", features=["userID", "artistID"]).matrix.tocoo()
    held = held_ratings(len(entries.data), 0.25, arguments.seed)
    estimator = train_model("recommender", arguments.file, target="weight", seed=arguments.seed).estimator
    plays = estimator.predict_pairs(entries.coords[0][held], entries.coords[1][held])
    logs = np.log1p(plays) - estimator.spread_ / 2  # as it has learnt them
    print(" " * 16, "rmse, plays", "mae, plays", "rmse, logs", sep="  ")
    of_plays, of_logs = ([*_means(entries, held, values)] for values in (entries.data, np.log1p(entries.data)))
    for name, plays_one, logs_one in zip(PREDICTORS, [*of_plays, plays], [*of_logs, logs], strict=True):
        errors, errors_of_logs = plays_one - entries.data[held], logs_one - np.log1p(entries.data[held])
        print(f"{name:<16}  {_rms(errors):11.0f}  {np.abs(errors).mean():10.0f}  {_rms(errors_of_logs):10.3f}")


def _means(entries: Any, held: NDArray[np.bool_], values: Floats) -> Iterator[Floats]:
    """Yields what the mean of all, of its user and of its item predicts for each entry held out."""
    mean = values[~held].mean()
    yield np.full(int(held.sum()), mean)
    for names in entries.coords:
        n = int(names.max()) + 1
        rated = np.maximum(np.bincount(names[~held], minlength=n), 1)
        yield mean + (np.bincount(names[~held], values[~held] - mean, n) / rated)[names[held]]


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.square(errors).mean()))


if __name__ == "__main__":
    main()
