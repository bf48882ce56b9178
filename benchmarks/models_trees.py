"""Trees, forest, k-means and PCA against scikit-learn: fit times and figures on the same data and split.

    python benchmarks/models_trees.py [--rounds 11] [--threads 1] [--json]

Both sides fit in turn, round after round, so that other load on the machine affects both; times and ratios are medians
of the rounds. Both get one thread (for OpenMP and linear algebra) unless told otherwise: two threads on a busy machine
wait for each other. The figure is R2 or accuracy on held-out rows, the inertia, or the share of explained variance. A
ratio above 3 breaks the estimators' promise. *Book* is a few passes of k-means with an object per point and a loop per
distance, as in the palette chapter of "Hands-On Machine Learning from Scratch"; ours must be 100 times as fast for the
same passes from the same centres. Last figures (2 cores, NumPy 2.4, scikit-learn 1.9):

| fit | rlbench ms | scikit-learn ms | ratio | rlbench figure | scikit-learn figure |
|---|---:|---:|---:|---:|---:|
| DecisionTreeRegressor, 20k x 8 | 63.86 | 103.10 | 0.62 | 0.72561 | 0.71985 |
| DecisionTreeRegressor, depth 6 | 28.70 | 57.52 | 0.50 | 0.53811 | 0.53811 |
| DecisionTreeRegressor, pruned | 115.68 | 559.84 | 0.21 | 0.70611 | 0.70777 |
| DecisionTreeClassifier gini, 20k x 8 | 55.93 | 126.90 | 0.44 | 0.838 | 0.8368 |
| DecisionTreeClassifier entropy, 20k x 8 | 84.18 | 162.71 | 0.52 | 0.8286 | 0.8288 |
| DecisionTreeClassifier, digits | 9.92 | 13.46 | 0.73 | 0.83333 | 0.83778 |
| RandomForestRegressor of 20, 20k x 8 | 744.68 | 1302.64 | 0.59 | 0.91105 | 0.91027 |
| KMeans of 5, 60k x 3 | 20.35 | 27.91 | 0.73 | 1.2349e+08 | 1.2349e+08 |
| KMeans of 10, digits | 34.31 | 49.71 | 0.68 | 1.1652e+06 | 1.1652e+06 |
| PCA, 5000 x 64 | 2.12 | 2.05 | 1.03 | 0.45989 | 0.45989 |
| PCA of 10, digits | 1.13 | 1.13 | 0.97 | 0.73823 | 0.73823 |
| PCA, 200 x 500 | 10.96 | 12.03 | 0.93 | 0.1664 | 0.1664 |

k-means of 5, 60k x 3, 3 passes: book 841 ms, rlbench 4.50 ms, 214 times as fast
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn import cluster, decomposition, ensemble, tree
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from rlbench.models import PCA, DecisionTreeClassifier, DecisionTreeRegressor, KMeans, RandomForestRegressor

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 3.0  # times scikit-learn's fit
BOOK_FACTOR = 100  # times as fast as the point objects
BOOK_PASSES = 3
SCORE, INERTIA, EXPLAINED = "score", "inertia", "explained"


class Side(NamedTuple):
    """A comparison: two functions that make an unfitted model, the data, and the figure that measures quality."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    data: tuple[Any, ...]
    figure: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=1, help="for OpenMP and linear algebra, on both sides")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with threadpool_limits(arguments.threads):
        figures = {name: _measured(side, arguments.rounds) for name, side in _sides().items()}
        book = _against_the_book(arguments.rounds)
    print(json.dumps({"sides": figures, "book": book}) if arguments.json else _report(figures, book))


def _sides() -> dict[str, Side]:
    """Returns the comparisons; both sides use default parameters unless given here."""
    numbers = make_regression(20_000, 8, noise=10, random_state=0)
    classes = make_classification(20_000, 8, n_informative=6, n_classes=3, random_state=0)
    colours = (_colours(),)
    seed = {"random_state": 0}
    return {
        "DecisionTreeRegressor, 20k x 8": Side(
            DecisionTreeRegressor, lambda: tree.DecisionTreeRegressor(**seed), numbers, SCORE
        ),
        "DecisionTreeRegressor, depth 6": Side(
            lambda: DecisionTreeRegressor(max_depth=6),
            lambda: tree.DecisionTreeRegressor(max_depth=6, **seed),
            numbers,
            SCORE,
        ),
        "DecisionTreeRegressor, pruned": Side(
            lambda: DecisionTreeRegressor(ccp_alpha=5.0),
            lambda: tree.DecisionTreeRegressor(ccp_alpha=5.0, **seed),
            numbers,
            SCORE,
        ),
        "DecisionTreeClassifier gini, 20k x 8": Side(
            lambda: DecisionTreeClassifier(min_samples_leaf=5),
            lambda: tree.DecisionTreeClassifier(min_samples_leaf=5, **seed),
            classes,
            SCORE,
        ),
        "DecisionTreeClassifier entropy, 20k x 8": Side(
            lambda: DecisionTreeClassifier(criterion="entropy", min_samples_leaf=5),
            lambda: tree.DecisionTreeClassifier(criterion="entropy", min_samples_leaf=5, **seed),
            classes,
            SCORE,
        ),
        "DecisionTreeClassifier, digits": Side(
            lambda: DecisionTreeClassifier(**seed),
            lambda: tree.DecisionTreeClassifier(**seed),
            load_digits(return_X_y=True),
            SCORE,
        ),
        "RandomForestRegressor of 20, 20k x 8": Side(
            lambda: RandomForestRegressor(20, **seed),
            lambda: ensemble.RandomForestRegressor(20, **seed),
            numbers,
            SCORE,
        ),
        "KMeans of 5, 60k x 3": Side(
            lambda: KMeans(5, n_init=3, **seed), lambda: cluster.KMeans(5, n_init=3, **seed), colours, INERTIA
        ),
        "KMeans of 10, digits": Side(
            lambda: KMeans(10, n_init=10, **seed),
            lambda: cluster.KMeans(10, n_init=10, **seed),
            (load_digits().data,),
            INERTIA,
        ),
        "PCA, 5000 x 64": Side(PCA, decomposition.PCA, (_wide(),), EXPLAINED),
        "PCA of 10, digits": Side(
            lambda: PCA(10), lambda: decomposition.PCA(10, **seed), (load_digits().data,), EXPLAINED
        ),
        "PCA, 200 x 500": Side(PCA, decomposition.PCA, (_wide(200, 500),), EXPLAINED),
    }


def _colours():
    """Returns 60,000 pixels scattered around five colours."""
    random = np.random.default_rng(0)
    colours = random.uniform(0, 255, (5, 3))
    return np.clip(colours[random.integers(5, size=60_000)] + random.normal(0, 30, (60_000, 3)), 0, 255)


def _wide(n=5000, d=64):
    random = np.random.default_rng(0)
    return random.normal(size=(n, d)) @ random.normal(size=(d, d))


def _measured(side: Side, rounds: int) -> dict[str, float]:
    """Fits both sides in turn; returns median milliseconds and ratio, and the figure of each side."""
    train, test = side.data, side.data
    if len(side.data) > 1:
        parts = train_test_split(*side.data, random_state=0)
        train, test = parts[::2], parts[1::2]
    pairs = []
    for _ in range(rounds + 1):
        models = side.ours(), side.theirs()
        pairs.append([_timed(model.fit, *train) for model in models])
    times = pairs[1:]  # the first compiles and warms up
    ours, theirs = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    our_figure, their_figure = (_figure(side.figure, model, test) for model in models)
    return {
        "ours_ms": ours,
        "theirs_ms": theirs,
        "ratio": statistics.median(a / b for a, b in times),
        "our_figure": our_figure,
        "their_figure": their_figure,
    }


def _timed(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def _figure(name: str, model: Any, test: tuple[Any, ...]) -> float:
    if name == SCORE:
        return float(model.score(*test))
    return float(model.inertia_ if name == INERTIA else model.explained_variance_ratio_[:10].sum())


class Point:
    """A row, as in the book."""

    def __init__(self, coordinates):
        self.coordinates = coordinates


class Cluster:
    """A centre and its points, as in the book."""

    def __init__(self, center, points):
        self.center = center
        self.points = points


def euclidean(p, q):
    n_dim = len(p.coordinates)
    return math.sqrt(sum([(p.coordinates[i] - q.coordinates[i]) ** 2 for i in range(n_dim)]))


class BookKMeans:
    """The book's k-means, from given centres and for a given number of passes."""

    def __init__(self, n_clusters):
        self.n_clusters = n_clusters

    def calculate_center(self, points):
        """Returns the mean of the points."""
        n_dim = len(points[0].coordinates)
        values = [0.0 for _ in range(n_dim)]
        for p in points:
            for i in range(n_dim):
                values[i] += p.coordinates[i]
        return Point([(v / len(points)) for v in values])

    def assign_points(self, clusters, points):
        """Returns the points nearest to each cluster's centre."""
        plists = [[] for _ in range(self.n_clusters)]
        for p in points:
            smallest_distance = float("inf")
            for i in range(self.n_clusters):
                distance = euclidean(p, clusters[i].center)
                if distance < smallest_distance:
                    smallest_distance = distance
                    idx = i
            plists[idx].append(p)
        return plists

    def fit(self, points, passes):
        """Returns the clusters after `passes` passes."""
        clusters = [Cluster(center=p, points=[p]) for p in points[: self.n_clusters]]
        for _ in range(passes):
            plists = self.assign_points(clusters, points)
            clusters = [Cluster(self.calculate_center(plist), plist) for plist in plists]
        return clusters


def _against_the_book(rounds: int) -> dict[str, float]:
    """Returns both sides' milliseconds for the same passes from the same centres, and the speed-up."""
    rows = _colours()
    points = [Point(row) for row in rows.tolist()]
    times = []
    for _ in range(min(rounds, 5) + 1):
        book, ours = BookKMeans(5), KMeans(5, init=rows[:5], max_iter=BOOK_PASSES, tol=0)
        start = time.perf_counter()
        clusters = book.fit(points, BOOK_PASSES)
        times.append([time.perf_counter() - start, _timed(ours.fit, rows)])
    np.testing.assert_allclose([found.center.coordinates for found in clusters], ours.cluster_centers_)
    slow, fast = (1000 * statistics.median(column) for column in zip(*times[1:], strict=True))
    return {"book_ms": slow, "ours_ms": fast, "factor": statistics.median(a / b for a, b in times[1:])}


def _report(figures: dict[str, dict[str, float]], book: dict[str, float]) -> str:
    lines = [
        "| fit | rlbench ms | scikit-learn ms | ratio | rlbench figure | scikit-learn figure |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in figures.items():
        slow = " (!)" if found["ratio"] > LIMIT else ""
        lines.append(
            f"| {name} | {found['ours_ms']:.2f} | {found['theirs_ms']:.2f} | {found['ratio']:.2f}{slow} "
            f"| {found['our_figure']:.5g} | {found['their_figure']:.5g} |"
        )
    slow = " (!)" if book["factor"] < BOOK_FACTOR else ""
    lines += [
        "",
        f"k-means of 5, 60k x 3, {BOOK_PASSES} passes: book {book['book_ms']:.0f} ms, "
        f"rlbench {book['ours_ms']:.2f} ms, {book['factor']:.0f} times as fast{slow}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
