"""Metrics of models, computed chunk by chunk: confusion, precision and recall; R2 and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.modelling.kinds import CLASSES, COMPONENTS, GROUPS, NUMBERS, TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from rlbench.modelling.model import Model


class Confusion:
    """Counts the predicted classes for each true class.

    Attributes:
        classes: the labels, (n_classes,).
        counts: int64 (n_classes, n_classes), a row per true class, a column per predicted class.
        unknown: the number of rows with a label not among the classes; they count as wrong.
        strangers: those labels.
    """

    def __init__(self, classes: NDArray[Any]) -> None:
        self.classes = classes
        self.counts = np.zeros((len(classes), len(classes)), np.int64)
        self.unknown = 0
        self.strangers: set[Any] = set()
        self._answered = np.zeros(len(classes), np.int64)

    def add(self, right: ArrayLike, answers: ArrayLike) -> None:
        """Counts rows: the true and the predicted labels, (n_rows,) each."""
        right = np.asarray(right)
        rows = np.searchsorted(self.classes, right).clip(max=len(self.classes) - 1)
        known = self.classes[rows] == right
        columns = np.searchsorted(self.classes, np.asarray(answers))
        np.add.at(self.counts, (rows[known], columns[known]), 1)
        np.add.at(self._answered, columns, 1)
        self.unknown += int((~known).sum())
        self.strangers.update(right[~known].tolist())

    def summary(self) -> dict[str, Any]:
        """Returns accuracy, mean F1, precision, recall and F1 of each class, and the counts; JSON-able.

        As in scikit-learn, the mean F1 is over the labels that are the true or the predicted one of some row.
        """
        total, hits = self.counts.sum() + self.unknown, np.diag(self.counts)
        support, answered = self.counts.sum(axis=1), self._answered
        precision, recall = _share(hits, answered), _share(hits, support)
        f1 = _share(2 * hits, support + answered)
        n_present = int(((support > 0) | (answered > 0)).sum()) + len(self.strangers)
        report = {
            str(label): {"precision": p, "recall": r, "f1": f, "rows": n}
            for label, p, r, f, n in zip(
                self.classes.tolist(), precision.tolist(), recall.tolist(), f1.tolist(), support.tolist(), strict=True
            )
        }
        return {
            "accuracy": float(hits.sum() / total) if total else None,
            "macro_f1": float(f1.sum() / n_present) if n_present else None,
            "rows": int(total),
            "unknown_labels": self.unknown,
            "classes": [str(label) for label in self.classes.tolist()],
            "confusion": self.counts.tolist(),
            "report": report,
        }


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Returns part / whole, or 0 where whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))


class Errors:
    """Sums the errors of predicted numbers, and the squared deviations of the true ones (Welford, 1962)."""

    def __init__(self) -> None:
        self._rows = 0
        self._mean = self._spread = self._squares = self._sizes = 0.0

    def add(self, right: ArrayLike, answers: ArrayLike) -> None:
        """Counts rows: the true and the predicted numbers, (n_rows,) each."""
        right = np.asarray(right, dtype=np.float64)
        if not len(right):
            return
        errors = np.asarray(answers, dtype=np.float64) - right
        n, mean = len(right), float(right.mean())
        apart = mean - self._mean
        self._spread += float(np.square(right - mean).sum()) + apart**2 * self._rows * n / (self._rows + n)
        self._mean += apart * n / (self._rows + n)
        self._rows += n
        self._squares += float(np.square(errors).sum())
        self._sizes += float(np.abs(errors).sum())

    def summary(self) -> dict[str, Any]:
        """Returns R2 (None if all true numbers are equal), root mean squared and mean absolute error; JSON-able."""
        n = max(self._rows, 1)
        return {
            "r2": 1 - self._squares / self._spread if self._spread > 0 else None,
            "rmse": (self._squares / n) ** 0.5,
            "mae": self._sizes / n,
            "rows": self._rows,
        }


class _ClassMeter:
    """Measures predicted labels."""

    def __init__(self, model: Model) -> None:
        self._model, self._confusion = model, Confusion(model.estimator.classes_)

    def add(self, rows: Any, targets: Any) -> None:
        self._confusion.add(targets, self._model.predict(rows))

    def summary(self) -> dict[str, Any]:
        return self._confusion.summary()


class _NumberMeter:
    """Measures predicted numbers."""

    def __init__(self, model: Model) -> None:
        self._model, self._errors = model, Errors()

    def add(self, rows: Any, targets: Any) -> None:
        self._errors.add(targets, self._model.predict(rows))

    def summary(self) -> dict[str, Any]:
        return self._errors.summary()


class _GroupMeter:
    """Measures the distances of rows from their centres."""

    def __init__(self, model: Model) -> None:
        self._model, self._inertia = model, 0.0
        self._sizes = np.zeros(len(model.estimator.cluster_centers_), np.int64)

    def add(self, rows: Any, targets: Any) -> None:
        del targets  # clustering takes none
        prepared = self._model.prepared(rows)
        self._inertia -= self._model.estimator.score(prepared)
        self._sizes += np.bincount(self._model.estimator.predict(prepared), minlength=len(self._sizes))

    def summary(self) -> dict[str, Any]:
        rows = int(self._sizes.sum())
        return {
            "inertia": self._inertia,
            "mean_squared_distance": self._inertia / max(rows, 1),
            "rows": rows,
            "sizes": self._sizes.tolist(),
        }


class _ComponentMeter:
    """Measures the variance about the learnt mean that the components explain."""

    def __init__(self, model: Model) -> None:
        self._model, self._rows, self._all, self._lost = model, 0, 0.0, 0.0

    def add(self, rows: Any, targets: Any) -> None:
        del targets
        pca, prepared = self._model.estimator, self._model.prepared(rows)
        self._rows += len(prepared)
        self._all += float(np.square(prepared - pca.mean_).sum())
        self._lost += float(np.square(prepared - pca.inverse_transform(pca.transform(prepared))).sum())

    def summary(self) -> dict[str, Any]:
        explained = 1 - self._lost / self._all if self._all else None
        ratios = self._model.estimator.explained_variance_ratio_.tolist()
        return {"explained_variance": explained, "rows": self._rows, "components": len(ratios), "ratios": ratios}


METERS: dict[str, Callable[[Model], Any]] = {
    CLASSES: _ClassMeter,
    TEXTS: _ClassMeter,
    NUMBERS: _NumberMeter,
    GROUPS: _GroupMeter,
    COMPONENTS: _ComponentMeter,
}


def meters_of(model: Model) -> dict[str, Any]:
    """Returns meters of a model for its training and test rows; a meter has `add(rows, targets)` and `summary()`."""
    return {part: METERS[model.task](model) for part in ("train", "test")}


def summaries(meters: Mapping[str, Any], *, has_test: bool) -> dict[str, Any]:
    """Returns the figures of both, None for the test if no rows are held out."""
    return {"train": meters["train"].summary(), "test": meters["test"].summary() if has_test else None}
