"""Linear models, network and naive Bayes against scikit-learn: fit times and scores on the same data and split.

    python benchmarks/models_linear.py [--rounds 15] [--threads 1] [--json]

Both sides fit in turn, round after round, so that other load on the machine affects both; times are medians. Both get
one thread for linear algebra unless told otherwise: two threads on a busy machine wait for each other, and the waiting
dominates. The score is R2 or accuracy on held-out rows. A ratio above 3 breaks the estimators' promise; "by descent" is
the teaching solver, which promises nothing. Last figures (1 thread of a shared 2-core machine, NumPy 2.4, scikit-learn
1.9):

| fit | rlbench ms | scikit-learn ms | ratio | rlbench score | scikit-learn score |
|---|---:|---:|---:|---:|---:|
| LinearRegression, 20k x 8 | 2.63 | 5.09 | 0.52 | 0.9979 | 0.9979 |
| LinearRegression, diabetes | 0.33 | 0.65 | 0.51 | 0.3594 | 0.3594 |
| LinearRegression by descent, diabetes | 36.89 | 0.75 | 49.06 | 0.3560 | 0.3594 |
| LogisticRegression, 1k x 20 | 2.09 | 2.86 | 0.73 | 0.9680 | 0.9680 |
| LogisticRegression, 20k x 8, 3 classes | 43.16 | 60.66 | 0.71 | 0.7318 | 0.7316 |
| LogisticRegression, breast cancer | 1.86 | 6.57 | 0.28 | 0.9650 | 0.9650 |
| LogisticRegression, digits | 31.31 | 30.84 | 1.02 | 0.9667 | 0.9667 |
| LogisticRegression by descent, 1k x 20 | 76.66 | 2.96 | 25.87 | 0.9680 | 0.9680 |
| NeuralNetworkClassifier (32,), digits, 30 passes | 79.04 | 205.20 | 0.39 | 0.9711 | 0.9689 |
| MultinomialNB, 20k x 5k sparse | 2.29 | 4.75 | 0.48 | 0.8722 | 0.8722 |
| MultinomialNB, digits | 0.66 | 1.49 | 0.44 | 0.9089 | 0.9089 |
| TextClassifier, 3k texts of 100 words | 209.42 | 137.10 | 1.53 | 0.8840 | 0.8840 |
"""
# ruff: noqa: N803 - X is the field's name

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn import linear_model, naive_bayes
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from rlbench.models import (
    LinearRegression,
    LogisticRegression,
    MultinomialNB,
    NeuralNetworkClassifier,
    TextClassifier,
    Tokenizer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 3.0  # times scikit-learn's fit


class Side(NamedTuple):
    """A comparison: two functions that make an unfitted model, and the data."""

    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    data: tuple[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="for linear algebra, on both sides")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn's defaults stop before convergence
    with threadpool_limits(arguments.threads):
        figures = {name: _measured(side, arguments.rounds) for name, side in _sides().items()}
    print(json.dumps(figures) if arguments.json else _report(figures))


def _sides() -> dict[str, Side]:
    """Returns the comparisons; both sides use default parameters unless given here."""
    digits = load_digits(return_X_y=True)
    network = {"max_iter": 30, "random_state": 0, "n_iter_no_change": 30}
    return {
        "LinearRegression, 20k x 8": Side(
            LinearRegression, linear_model.LinearRegression, make_regression(20_000, 8, noise=10, random_state=0)
        ),
        "LinearRegression, diabetes": Side(
            LinearRegression, linear_model.LinearRegression, load_diabetes(return_X_y=True)
        ),
        "LinearRegression by descent, diabetes": Side(
            lambda: LinearRegression(solver="gradient-descent", learning_rate=0.1),
            linear_model.LinearRegression,
            _scaled(*load_diabetes(return_X_y=True)),
        ),
        "LogisticRegression, 1k x 20": Side(
            LogisticRegression, linear_model.LogisticRegression, make_classification(1000, 20, random_state=0)
        ),
        "LogisticRegression, 20k x 8, 3 classes": Side(
            LogisticRegression,
            linear_model.LogisticRegression,
            make_classification(20_000, 8, n_informative=5, n_classes=3, random_state=0),
        ),
        "LogisticRegression, breast cancer": Side(
            LogisticRegression, linear_model.LogisticRegression, _scaled(*load_breast_cancer(return_X_y=True))
        ),
        "LogisticRegression, digits": Side(LogisticRegression, linear_model.LogisticRegression, _scaled(*digits)),
        "LogisticRegression by descent, 1k x 20": Side(
            lambda: LogisticRegression(solver="gradient-descent"),
            linear_model.LogisticRegression,
            make_classification(1000, 20, random_state=0),
        ),
        "NeuralNetworkClassifier (32,), digits, 30 passes": Side(
            lambda: NeuralNetworkClassifier((32,), learning_rate=0.01, **network),
            lambda: MLPClassifier((32,), learning_rate_init=0.01, **network),
            (digits[0] / 16, digits[1]),
        ),
        "MultinomialNB, 20k x 5k sparse": Side(MultinomialNB, naive_bayes.MultinomialNB, _word_counts()),
        "MultinomialNB, digits": Side(MultinomialNB, naive_bayes.MultinomialNB, digits),
        "TextClassifier, 3k texts of 100 words": Side(
            lambda: TextClassifier(tokenizer=Tokenizer(stop_words=None)),
            lambda: make_pipeline(CountVectorizer(), naive_bayes.MultinomialNB()),
            _texts(),
        ),
    }


def _scaled(X, y):
    return StandardScaler().fit_transform(X), y


def _word_counts():
    """Returns 20,000 texts of about 25 words out of 5,000, in two classes with somewhat different words."""
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 20_000)
    rows = np.repeat(np.arange(20_000), 25)
    words = (5_000 * random.random(len(rows)) ** (1.5 + y[rows])).astype(int)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, words)), shape=(20_000, 5_000)), y


def _texts():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 3000)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(["".join(random.choice(letters, 6)) for _ in range(5000)])
    return [" ".join(words[(5000 * random.random(100) ** (2 + 0.8 * label)).astype(int)]) for label in y], y


def _measured(side: Side, rounds: int) -> dict[str, float]:
    """Fits both sides in turn; returns median milliseconds, their ratio, and the scores on held-out rows."""
    train, test, y_train, y_test = train_test_split(*side.data, random_state=0)
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    scores = {}
    for round_ in range(rounds + 1):
        for name, make in (("ours", side.ours), ("theirs", side.theirs)):
            model, start = make(), time.perf_counter()
            model.fit(train, y_train)
            if round_:  # the first round compiles and warms up
                times[name].append(1000 * (time.perf_counter() - start))
            scores[name] = model.score(test, y_test)
    ours, theirs = (statistics.median(times[name]) for name in ("ours", "theirs"))
    return {
        "ours_ms": ours,
        "theirs_ms": theirs,
        "ratio": ours / theirs,
        "our_score": scores["ours"],
        "their_score": scores["theirs"],
    }


def _report(figures: dict[str, dict[str, float]]) -> str:
    lines = [
        "| fit | rlbench ms | scikit-learn ms | ratio | rlbench score | scikit-learn score |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, found in figures.items():
        slow = " (!)" if found["ratio"] > LIMIT and "by descent" not in name else ""
        lines.append(
            f"| {name} | {found['ours_ms']:.2f} | {found['theirs_ms']:.2f} | {found['ratio']:.2f}{slow} "
            f"| {found['our_score']:.4f} | {found['their_score']:.4f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
