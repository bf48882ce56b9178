"""Learning from files larger than memory: the file is read several times, chunk by chunk."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.modelling import data as readers
from rlbench.modelling.data import CHUNK_ROWS, CsvFile
from rlbench.modelling.kinds import CLASSES, RATINGS, TEXTS
from rlbench.modelling.metrics import Errors, meters_of, summaries
from rlbench.modelling.model import Model
from rlbench.modelling.plan import Plan, data_record, new_scaler, taken, training_record
from rlbench.modelling.reference import ReferenceRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

MOST_CLASSES = 1000  # of a target: with more, it is probably a column of numbers


class Chunk(NamedTuple):
    """Rows of a file, their targets, and which of them are held out."""

    rows: Any
    targets: Any
    held: NDArray[np.bool_]


class _Stream:
    """A file that is read several times, always in the same chunks and with the same split."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.file = plan, CsvFile(plan.source, encoding=plan.encoding, withheld=plan.withheld)
        self.size = plan.chunk_rows or CHUNK_ROWS
        task, target = plan.about.task, plan.target or ""
        self.named = self.file.columns([target] if target else [])
        self.columns: tuple[str, ...]
        if task == TEXTS:
            self.columns = (readers.text_column(self.file, target, plan.features[0] if plan.features else None),)
        elif task == RATINGS:
            self.columns = readers.rating_columns(self.file, target, plan.features)
        else:
            self.columns, _ = self.file.to_learn(plan.features, target)
        self.classes: NDArray[Any] | None = None
        self.whole = False  # whether all labels are whole numbers

    def cells(self, what: str) -> Iterator[tuple[readers.Cells, NDArray[np.bool_]]]:
        """Reads the file once, showing a progress bar labelled `what`."""
        draws = np.random.default_rng(self.plan.seed)
        with _bar(what, self.file.size, shown=self.plan.progress) as on_read:
            for cells in self.file.chunks(self.size, on_read=on_read):
                yield cells, draws.random(len(cells)) < self.plan.test_size

    def chunks(self, what: str) -> Iterator[Chunk]:
        """Reads the file once, converted to what the estimator takes."""
        for cells, held in self.cells(what):
            yield Chunk(self._rows(cells), self._targets(cells), held)

    def _rows(self, cells: readers.Cells) -> Any:
        if self.plan.about.task == TEXTS:
            return cells.texts(self.columns[0])
        return cells.numbers(self.columns)

    def _targets(self, cells: readers.Cells) -> Any:
        if self.plan.about.task in (CLASSES, TEXTS):
            return readers.read_labels(cells.labels(self.named[0]), whole=self.whole)
        return np.zeros(len(cells))

    def scan(self) -> tuple[Any, int]:
        """Reads the file once to find the classes and fit the scaler; returns the scaler and the number of rows."""
        scaler, found, n = (new_scaler() if self.plan.scale else None), set[str](), 0
        has_labels = self.plan.about.task in (CLASSES, TEXTS)
        for cells, held in self.cells("scanning"):
            n += len(cells)
            if has_labels:
                found.update(cells.labels(self.named[0]))
            if len(found) > MOST_CLASSES:
                raise UsageError(
                    f"the target {self.plan.target!r} has over {MOST_CLASSES:,} distinct values, too many for classes"
                )
            if scaler is not None and not held.all():
                scaler.partial_fit(self._rows(cells)[~held])
        if found:
            self.classes = np.unique(readers.all_labels(self.named[0], sorted(found)))
            self.whole = self.classes.dtype.kind == "i"
        return scaler, n


@contextmanager
def _bar(what: str, total: int, *, shown: bool) -> Iterator[Callable[[int], Any]]:
    """Yields a function that takes the number of bytes read and moves a progress bar on a terminal."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  (only where a bar is due)
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def streamed(plan: Plan, estimator: Any) -> Model:
    """Fits an estimator on a file of any size, chunk by chunk, and measures it in one more pass."""
    stream = _Stream(plan)
    if plan.about.task == RATINGS:
        return _streamed_ratings(plan, stream, estimator)
    scaler, n = stream.scan()
    if not n:
        raise UsageError(f"{stream.file.path} has no rows, only the names of its columns")
    started = time.perf_counter()
    for number in range(plan.passes):
        for chunk in stream.chunks(f"learning, pass {number + 1} of {plan.passes}"):
            _learn_chunk(estimator, scaler, chunk, stream.classes)
    seconds = time.perf_counter() - started
    about_data = data_record(plan, stream.columns, "".join(stream.named), stream.file.fingerprint(), n)
    about_data |= {"chunk_rows": stream.size, "passes": plan.passes}
    model = Model(plan.kind, estimator, scaler, {**training_record(plan), "data": about_data, "seconds": seconds})
    meters, rows = meters_of(model), {"train": 0, "test": 0}
    reference = ReferenceRows(len(stream.columns), plan.seed)
    for chunk in stream.chunks("measuring"):
        for part, chosen in (("train", ~chunk.held), ("test", chunk.held)):
            rows[part] += int(chosen.sum())
            if chosen.any():
                meters[part].add(taken(chunk.rows, np.flatnonzero(chosen)), chunk.targets[chosen])
        reference.add(taken(chunk.rows, np.flatnonzero(~chunk.held)))
    about_data |= {"rows": rows["train"], "test_rows": rows["test"]}
    model.about["metrics"] = summaries(meters, has_test=rows["test"] > 0)
    return replace(model, reference=reference.rows)


def _learn_chunk(estimator: Any, scaler: Any, chunk: Chunk, classes: NDArray[Any] | None) -> None:
    if chunk.held.all():
        return
    rows, targets = taken(chunk.rows, np.flatnonzero(~chunk.held)), chunk.targets[~chunk.held]
    if scaler is not None:
        rows = scaler.transform(rows)
    if classes is None:
        estimator.partial_fit(rows)
    else:
        estimator.partial_fit(rows, targets, classes=classes)


class RatingRows(NamedTuple):
    """Ratings of a chunk, with the indices of users and items, and which of them are held out."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    values: NDArray[np.float64]
    held: NDArray[np.bool_]

    def chosen(self, rows: NDArray[np.bool_]) -> RatingRows:
        """Returns the ratings of a mask."""
        return RatingRows(self.users[rows], self.items[rows], self.values[rows], self.held[rows])


class _RatingNames(NamedTuple):
    """The users and items of a file, and which of its lines are the last of their user and item, (n_lines,)."""

    users: NDArray[Any]
    items: NDArray[Any]
    is_last: NDArray[np.bool_]


def _streamed_ratings(plan: Plan, stream: _Stream, estimator: Any) -> Model:
    names = _names_of_ratings(stream)
    started = time.perf_counter()
    for number in range(plan.passes):
        for found in _ratings(stream, names, f"learning, pass {number + 1} of {plan.passes}"):
            known = found.chosen(~found.held)
            if len(known.values):
                who, places = np.unique(known.users, return_inverse=True)
                matrix = readers.sparse_matrix(places, known.items, known.values, (len(who), len(names.items)))
                estimator.partial_fit(matrix, users=who)
    seconds = time.perf_counter() - started
    about_data = data_record(plan, stream.columns, "".join(stream.named), stream.file.fingerprint())
    about_data |= {"chunk_rows": stream.size, "passes": plan.passes}
    return rating_model(plan, estimator, about_data, seconds, names[:2], _ratings(stream, names, "measuring"))


def rating_model(
    plan: Plan,
    estimator: Any,
    about_data: dict[str, Any],
    seconds: float,
    names: tuple[NDArray[Any], NDArray[Any]],
    ratings: Iterable[RatingRows],
) -> Model:
    """Measures what was learnt from ratings of users and items by these names, and returns it with its record."""
    errors = {"train": Errors(), "test": Errors()}
    for found in ratings:
        for part, rows in (("train", ~found.held), ("test", found.held)):
            asked = found.chosen(rows)
            if len(asked.values):
                errors[part].add(asked.values, estimator.predict_pairs(asked.users, asked.items))
    known, test = (errors[part].summary()["rows"] for part in ("train", "test"))
    about = {
        **training_record(plan),
        "data": about_data | {"rows": known, "test_rows": test},
        "seconds": seconds,
        "metrics": summaries(errors, has_test=test > 0),
    }
    return Model(plan.kind, estimator, None, about, *names)


def _names_of_ratings(stream: _Stream) -> _RatingNames:
    seen: tuple[dict[str, int], dict[str, int]] = {}, {}  # each user and item with its place in order of appearance
    pairs = [np.empty((2, 0), np.int64)]
    for cells, _ in stream.cells("scanning"):
        found = [
            [places.setdefault(name, len(places)) for name in cells.labels(column)]
            for places, column in zip(seen, stream.columns, strict=True)
        ]
        pairs.append(np.array(found))
    users, items = seen
    if not users:
        raise UsageError(f"{stream.file.path} has no rows, only the names of its columns")
    who, what = np.concatenate(pairs, axis=1)
    is_last = np.zeros(len(who), np.bool_)
    is_last[readers.last_of_pairs(who, what, len(items))] = True
    user, item = (
        np.unique(readers.all_labels(column, sorted(names))) for column, names in zip(stream.columns, seen, strict=True)
    )
    return _RatingNames(user, item, is_last)


def _ratings(stream: _Stream, names: _RatingNames, what: str) -> Iterator[RatingRows]:
    """Reads the file once, without the ratings that a later line replaces."""
    start = 0
    for cells, held in stream.cells(what):
        users, items = (
            np.searchsorted(known, readers.read_labels(cells.labels(column), whole=known.dtype.kind == "i"))
            for column, known in zip(stream.columns, names[:2], strict=True)
        )
        found = RatingRows(users, items, cells.numbers(stream.named)[:, 0], held)
        yield found.chosen(names.is_last[start : start + len(held)])
        start += len(held)
