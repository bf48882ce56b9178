"""Training: turns a kind of model and data into a fitted model with metrics."""

from __future__ import annotations

import time
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.modelling import data as readers
from rlbench.modelling.data import BUILT_IN, CsvFile
from rlbench.modelling.hashing import Withheld
from rlbench.modelling.kinds import (
    CLASSES,
    COMPONENTS,
    GROUPS,
    KINDS,
    NUMBERS,
    RATINGS,
    TEXTS,
    Kind,
    kind_named,
    new_estimator,
)
from rlbench.modelling.metrics import meters_of, summaries
from rlbench.modelling.model import Model, explained
from rlbench.modelling.plan import Plan, data_record, load_dataset, new_scaler, split, training_record
from rlbench.modelling.reference import ReferenceRows
from rlbench.modelling.streaming import RatingRows, rating_model, streamed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

STREAMED = 256 * 2**20  # bytes: larger files are read in chunks, if the kind can learn from chunks
TEST_SIZE = 0.25
SCALED = (CLASSES, NUMBERS, GROUPS, COMPONENTS)


def train_model(
    kind: str,
    data: str | PathLike[str] = "iris",
    *,
    target: str | None = None,
    features: Sequence[str] | None = None,
    dropped: Sequence[str] = (),
    hashed: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    test_size: float | None = None,
    scale: bool | None = None,
    chunk_rows: int | None = None,
    passes: int = 1,
    encoding: str | None = None,
    progress: bool = False,
) -> Model:
    """Fits a kind of model and measures it on held-out rows.

    Args:
        kind: one of `KINDS`.
        data: "iris", "digits", "wine", "diabetes", "breast-cancer", or the path of a CSV file.
        target: the column of a file to predict; for ratings, the column of the ratings.
        features: the columns of a file to learn from; all others by default. For texts, their column; for ratings, the
            columns of users and items.
        dropped: columns of a file that are not read from, whatever the features are.
        hashed: columns of a file whose values are replaced by keyed hashes before anything learns from them: of users,
            items and classes by pseudonyms, else by numbers from 0 to 1. The key is that of RLBENCH_NAME_KEY_FILE, or
            else that of the store (RLBENCH_KEY_FILE).
        settings: parameters of the estimator.
        seed: the seed of the split and of the estimator.
        test_size: the share of rows (or ratings) held out for the test, in [0, 1); 0 for no test. By default 0.25,
            and 0 for the kinds that predict no target, k-means and pca.
        scale: whether to scale columns to mean 0 and standard deviation 1; the default depends on the kind.
        chunk_rows: read a file in chunks of this many rows and learn with `partial_fit`; by default only if the file
            has 256 MiB or more.
        passes: the number of passes over a file that is read in chunks.
        encoding: the text encoding of a file; UTF-8 by default.
        progress: show a progress bar on a terminal.

    Raises:
        UsageError: an argument is wrong, the file is not a table of what the kind learns from, or the estimator rejects
            the data.
    """
    chosen = kind_named(kind)
    if not isinstance(data, str | PathLike):
        raise UsageError(
            f"data must be the name of a data set or the path of a file, got a {type(data).__name__}: fit the "
            f"{chosen.estimator} of rlbench.models to it, or write it to a CSV file"
        )
    plan = Plan(
        kind,
        str(data),
        readers.column_name(target) if target else None,
        tuple(map(readers.column_name, features)) if features else None,
        dict(settings or {}),
        seed,
        _checked_share(_share_of(chosen) if test_size is None else test_size),
        chosen.scaled if scale is None else scale,
        chunk_rows,
        passes,
        encoding,
        progress,
        Withheld.of(map(readers.column_name, dropped), map(readers.column_name, hashed)),
    )
    _check(plan)
    estimator = plan.estimator()
    with explained():
        return streamed(plan, estimator) if _is_streamed(plan, estimator) else _fitted(plan, estimator)


def _share_of(kind: Kind) -> float:
    """Returns the share of rows that are held out by default: none if there is nothing to predict."""
    return TEST_SIZE if kind.is_supervised or kind.task == RATINGS else 0.0


def _checked_share(share: float) -> float:
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
        raise UsageError(f"test_size must be a share in [0, 1), got {share!r}")
    return float(share)


def _check(plan: Plan) -> None:
    is_file = plan.source not in BUILT_IN
    task = plan.about.task
    if is_file and not Path(plan.source).suffix and not Path(plan.source).exists():
        readers.load_built_in(plan.source)  # raises an error that names the built-in sets
    if not is_file and (plan.target or plan.features or plan.encoding or plan.chunk_rows or any(plan.withheld)):
        raise UsageError(f"target, features, encoding and chunks apply to files only: {plan.source} is built in")
    if not is_file and task in (TEXTS, RATINGS):
        raise UsageError(f"{plan.kind} learns from {task}: give the path of a CSV file, and its target column")
    if is_file and (plan.about.is_supervised or task == RATINGS) and not plan.target:
        raise UsageError(f"{plan.kind} learns to predict a column of the file: name it as target")
    if plan.scale and task not in SCALED:
        raise UsageError(f"{plan.kind} learns from {task}, which cannot be scaled: leave scale out")
    for name, value, least in (("chunk_rows", plan.chunk_rows, 1), ("passes", plan.passes, 1), ("seed", plan.seed, 0)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise UsageError(f"{name} must be a whole number, {least} or more, got {value!r}")


def _is_streamed(plan: Plan, estimator: Any) -> bool:
    if plan.source in BUILT_IN:
        return False
    can = hasattr(estimator, "partial_fit")
    if plan.chunk_rows is not None:
        if not can:
            able = ", ".join(name for name in KINDS if hasattr(new_estimator(name, {}, 0), "partial_fit"))
            raise UsageError(f"{plan.kind} cannot learn chunk by chunk; these kinds can: {able}")
        return True
    return can and CsvFile(plan.source, encoding=plan.encoding).size >= STREAMED


# ------------------------------------------------------------------ all at once


def _fitted(plan: Plan, estimator: Any) -> Model:
    if plan.about.task == RATINGS:
        return _fitted_ratings(plan, estimator)
    dataset = load_dataset(plan)
    parts = split(dataset, plan.test_size, plan.seed, by_class=plan.about.task in (CLASSES, TEXTS))
    scaler = new_scaler() if plan.scale else None
    rows = parts.rows if scaler is None else scaler.fit_transform(parts.rows)
    started = time.perf_counter()
    estimator.fit(rows, parts.targets)
    seconds = time.perf_counter() - started
    about_data = data_record(plan, dataset.features, dataset.target, dataset.fingerprint, len(parts.targets))
    reference = ReferenceRows(len(dataset.features), plan.seed)
    reference.add(parts.rows)
    about = {**training_record(plan), "data": about_data, "seconds": seconds}
    model = Model(plan.kind, estimator, scaler, about, reference=reference.rows)
    meters = meters_of(model)
    meters["train"].add(parts.rows, parts.targets)
    if len(parts.test_targets):
        meters["test"].add(parts.test_rows, parts.test_targets)
    about_data["test_rows"] = len(parts.test_targets)
    model.about["metrics"] = summaries(meters, has_test=bool(len(parts.test_targets)))
    return model


def held_ratings(n: int, test_size: float, seed: int) -> NDArray[np.bool_]:
    """Returns which of n ratings are held out, (n,)."""
    return np.random.default_rng(seed).random(n) < test_size


def _fitted_ratings(plan: Plan, estimator: Any) -> Model:
    ratings = readers.load_ratings(
        plan.source, plan.target or "", features=plan.features, encoding=plan.encoding, withheld=plan.withheld
    )
    file = CsvFile(plan.source, encoding=plan.encoding, withheld=plan.withheld)
    columns = readers.rating_columns(file, plan.target or "", plan.features)
    entries = ratings.matrix.tocoo()
    held = held_ratings(len(entries.data), plan.test_size, plan.seed)
    known, test = (
        readers.sparse_matrix(entries.coords[0][part], entries.coords[1][part], entries.data[part], entries.shape)
        for part in (~held, held)
    )
    started = time.perf_counter()
    estimator.fit(known, validation=test if held.any() else None)
    seconds = time.perf_counter() - started
    about_data = data_record(plan, columns, plan.target or "", file.fingerprint())
    rows = RatingRows(entries.coords[0], entries.coords[1], entries.data, held)
    return rating_model(plan, estimator, about_data, seconds, (ratings.users, ratings.items), [rows])
