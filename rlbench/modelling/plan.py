"""The plan of a training, and the data it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.modelling import data as readers
from rlbench.modelling.data import BUILT_IN, Dataset
from rlbench.modelling.hashing import Withheld
from rlbench.modelling.kinds import CLASSES, KINDS, NUMBERS, TEXTS, Kind, new_estimator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Plan(NamedTuple):
    """All arguments of a training."""

    kind: str
    source: str
    target: str | None
    features: tuple[str, ...] | None
    settings: dict[str, Any]
    seed: int
    test_size: float
    scale: bool
    chunk_rows: int | None
    passes: int
    encoding: str | None
    progress: bool
    withheld: Withheld = Withheld()

    @property
    def about(self) -> Kind:
        """The entry of its kind in `KINDS`."""
        return KINDS[self.kind]

    def estimator(self) -> Any:
        """Makes the unfitted estimator."""
        return new_estimator(self.kind, self.settings, self.seed)


def load_dataset(plan: Plan) -> Dataset:
    """Reads the whole data set of a plan into memory; not for ratings."""
    task = plan.about.task
    if plan.source in BUILT_IN:
        found = readers.load_built_in(plan.source)
        if task == NUMBERS and found.targets is not None and found.targets.dtype.kind != "f":
            raise UsageError(f"{plan.kind} predicts numbers, but {plan.source} has classes: use diabetes, or a file")
        if task == CLASSES and plan.source in readers.NUMBERS_ALONE:
            raise UsageError(f"{plan.kind} predicts classes, but {plan.source} has numbers: use iris, or a file")
        return found
    if task == TEXTS:
        text = plan.features[0] if plan.features else None
        return readers.load_texts(
            plan.source, plan.target or "", text=text, encoding=plan.encoding, withheld=plan.withheld
        )
    labels = {CLASSES: True, NUMBERS: False}.get(task)
    return readers.load_csv(
        plan.source,
        plan.target,
        features=plan.features,
        labels=labels,
        encoding=plan.encoding,
        withheld=plan.withheld,
    )


class Split(NamedTuple):
    """A data set in two parts: training rows and held-out test rows."""

    rows: Any
    targets: Any
    test_rows: Any
    test_targets: Any


def split(dataset: Dataset, test_size: float, seed: int, *, by_class: bool) -> Split:
    """Splits a data set, by class if each has enough rows for both parts; the same seed gives the same split."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415  (an extra)

    targets = np.zeros(len(dataset)) if dataset.targets is None else dataset.targets
    if not test_size:
        return Split(dataset.rows, targets, dataset.rows[:0], targets[:0])
    held = min(max(1, round(test_size * len(dataset))), len(dataset) - 1)
    if held < 1:
        raise UsageError(f"{dataset.source} has a single row, so no row is left to learn from: set test_size to 0")
    places = np.arange(len(dataset))
    classes, counts = np.unique(targets, return_counts=True) if by_class else (targets, np.zeros(1))
    even = by_class and counts.min() > 1 and len(classes) <= min(held, len(dataset) - held)
    learnt, tested = train_test_split(places, test_size=held, random_state=seed, stratify=targets if even else None)
    return Split(taken(dataset.rows, learnt), targets[learnt], taken(dataset.rows, tested), targets[tested])


def taken(rows: Any, places: NDArray[np.intp]) -> Any:
    """Returns some rows of an array or a list."""
    return [rows[i] for i in places] if isinstance(rows, list) else rows[places]


def new_scaler() -> Any:
    """Makes a scaler of columns to mean 0 and standard deviation 1."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415  (an extra)

    return StandardScaler()


def training_record(plan: Plan) -> dict[str, Any]:
    """Returns a model's record of its training settings."""
    return {"settings": plan.settings, "seed": plan.seed}


def data_record(plan: Plan, features: Sequence[str], target: str, fingerprint: str, rows: int = 0) -> dict[str, Any]:
    """Returns a model's record of its data."""
    return {
        "source": plan.source if plan.source in BUILT_IN else str(Path(plan.source).absolute()),
        "fingerprint": fingerprint,
        "features": list(features),
        "target": target,
        "rows": rows,
        "test_rows": 0,
        "test_size": plan.test_size,
        "scaled": plan.scale,
        "chunk_rows": None,
        "passes": 1,
        "encoding": plan.encoding,
        **plan.withheld.record,
    }
