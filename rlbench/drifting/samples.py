"""Samples: rows of named columns, and which of them belong together, from runs, models, files and arrays.

A column of float64 holds numbers, one of int64 (states) or text categories. Rows of one *unit* may depend on each
other (the steps of an episode), units do not: whatever is drawn or permuted later is whole units.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs.discretize import bin_indices, n_dimensions
from rlbench.errors import RlbenchError, UsageError
from rlbench.exchange.batches import chosen, whole_episodes
from rlbench.files import reading, require
from rlbench.modelling.data import CsvFile, column_name
from rlbench.modelling.kinds import RATINGS, TEXTS
from rlbench.modelling.reference import RowSample
from rlbench.store.frames import flat_columns, singular
from rlbench.store.records import is_terminated, is_truncated
from rlbench.training.parents import bins_of_run
from rlbench.training.rollouts import record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.modelling import Model
    from rlbench.training import Run

    Array = NDArray[Any]
    Columns = dict[str, Array]

EPISODES = 1_000  # of a run, at most
GREEDY_EPISODES = 300  # played as the reference of a policy that no longer explores
GREEDY_STEPS = 50_000  # of all of them, about
NUMBERS = 2**23  # values of a sample, at most: 64 MiB
ROWS = 100_000  # of a file, at most
EPISODE = "episode"  # the column of a file that says which rows belong together
LEAST = 2  # units: one says nothing about how much they differ
SHOWN = 8  # names in an error
NUMBER, TEXT = "f", "U"  # kinds of columns, as NumPy calls them; states are "i"
PARQUET = (".parquet", ".pq")
BATCH_ROWS = 2**14


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of named columns.

    Attributes:
        source: what they are, in words.
        columns: by name, (rows,) each.
        units: (rows,), the unit of each row, numbered from 0 in ascending order.
        explores: whether some actions behind them were drawn at random.
    """

    source: str
    columns: Columns
    units: NDArray[np.int64]
    explores: bool = False

    def __post_init__(self) -> None:
        if self.n_units < LEAST:
            n, many = len(self.units), self.n_units < len(self.units)
            what = "episodes" if many else "rows"
            raise UsageError(f"{self.source} must have at least {LEAST} {what} to compare, got {min(n, self.n_units)}")

    def __len__(self) -> int:
        return len(self.units)

    @property
    def n_units(self) -> int:
        """The number of units."""
        return int(self.units[-1]) + 1 if len(self.units) else 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.columns)


def numbered(units: Array) -> NDArray[np.int64]:
    """Returns a number for each row's unit, from 0 and ascending; a unit is a stretch of equal values."""
    changes = np.ones(len(units), np.int64)
    changes[1:] = units[1:] != units[:-1]
    return np.cumsum(changes) - 1


# ------------------------------------------------------------------ runs


def sample_of_run(run: Run) -> Sample:
    """Returns the observations that a run's stored episodes decided on; the last 1,000 episodes, if there are more.

    Raises:
        UsageError: it kept figures only, or fewer than two episodes.
    """
    if not run.record.config.keeps_steps:
        raise UsageError(f"run {run.id} kept figures only: train with record='all' (--record all) to compare episodes")
    indices = _last_episodes(run)
    parts: list[tuple[Columns, Array]] = []
    explores = False
    for batch in chosen(batches_of(run, indices), indices):
        decisions = _decisions(batch)
        parts.append((_observed(batch, decisions), np.repeat(batch.episodes, batch.lengths + 1)[decisions]))
        explores |= bool(np.any(batch.steps.get("explored", False)))
    if not parts:
        raise UsageError(f"run {run.id} has no stored episode: train or record some first")
    columns = {name: np.concatenate([part[name] for part, _ in parts]) for name in parts[0][0]}
    return Sample(f"run {run.id}", columns, numbered(np.concatenate([units for _, units in parts])), explores)


def batches_of(run: Run, indices: Sequence[int] | Array | None = None) -> Iterator[Batch]:
    """Reads the stored episodes of a run, or the chunks that hold some of them, whole episodes at a time."""
    wanted = None if indices is None else [int(index) for index in indices]
    return whole_episodes(run.store.chunks(run.id, figures=False, episodes=wanted), run.id)


def decided(batch: Batch) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows of the observations before each step, and of those after it."""
    before = np.arange(int(batch.lengths.sum())) + np.repeat(np.arange(len(batch)), batch.lengths)
    return before, before + 1


def _last_episodes(run: Run) -> NDArray[np.int64]:
    lengths = run.lengths
    mean = float(lengths.mean()) if len(lengths) else 0.0
    most = ROWS if mean < 1 else max(LEAST, min(EPISODES, int(NUMBERS / mean)))  # decisions of which no more is known
    return np.arange(max(0, len(lengths) - most), len(lengths))


def _decisions(batch: Batch) -> NDArray[np.int64]:
    """Returns the rows of the observations that were decided on: all, but for those with which an episode ended."""
    last = np.cumsum(batch.lengths + 1) - 1
    return np.setdiff1d(np.arange(last[-1] + 1), last[is_terminated(batch.ends) | is_truncated(batch.ends)])


def _observed(batch: Batch, decisions: NDArray[np.int64]) -> Columns:
    columns: Columns = {}
    for name, rows in batch.steps.items():
        if name.partition("/")[0] == "observations":
            columns |= flat_columns(singular(name), _typed(rows[decisions]))
    return columns


def _typed(rows: Array) -> Array:
    """Returns states, whole numbers by themselves, as they are: categories; anything else as numbers."""
    return rows.astype(np.int64 if rows.ndim == 1 and rows.dtype.kind in "iub" else np.float64)


def reference_of_run(run: Run, *, explores: bool, seed: int = 0) -> Sample:
    """Returns what the data of a run is compared with, like with like.

    Data whose agent explored is compared with the last episodes of training. Any other is compared with greedy episodes
    that the policy plays in its own env, from the seed; if it cannot, with the last of training too.
    """
    if not explores and run.has_agent and run.agent.greedy_policy() is not None:
        try:
            return _greedy_sample(run, seed)
        except RlbenchError:  # its env cannot be made here
            pass
    return sample_of_run(run)


def _greedy_sample(run: Run, seed: int) -> Sample:
    env = run.make_same_env(run.agent)
    try:
        length = max(float(run.lengths[-EPISODES:].mean()), 1.0) if len(run.lengths) else 1.0
        episodes = max(30, min(GREEDY_EPISODES, int(GREEDY_STEPS / length)))
        with record(env, run.agent, episodes=episodes, seed=seed).store as store:
            played = type(run)(store.run("latest"), store, trust=True)
            found = sample_of_run(played)
    finally:
        env.close()
    return Sample(f"greedy episodes of run {run.id}", found.columns, found.units)


def in_stretches(sample: Sample, reference: Sample) -> Sample:
    """Returns a sample whose rows belong together in stretches as long as a unit of the reference, if nothing says how.

    Such are decisions that were served one by one: each is an episode of its own, but the next depends on it.
    """
    length = _rows_of_a_unit(reference)
    if length == 1 or sample.n_units < len(sample):
        return sample
    return Sample(sample.source, sample.columns, np.arange(len(sample)) // length, sample.explores)


def in_columns_of(model: Model, sample: Sample) -> Sample:
    """Returns the rows of a stored run, such as the log of a server, under the names of a model's columns."""
    if set(model.features) <= set(sample.names) or len(sample.names) != len(model.features):
        return sample
    return Sample(sample.source, dict(zip(model.features, sample.columns.values(), strict=True)), sample.units)


def in_bins_of(run: Run, sample: Sample, reference: Sample) -> Sample:
    """Returns a sample as the run's agent sees it: raw observations in its bins, where it learnt in bins."""
    bins = None if set(reference.names) <= set(sample.names) else bins_of_run(run)
    if bins is None:
        return sample
    names = [f"observation.{i}" for i in range(n_dimensions(bins))]
    if not set(names) <= set(sample.names):
        return sample
    states = bin_indices(bins, np.stack([sample.columns[name] for name in names], axis=1))
    return Sample(sample.source, {"observation": states}, sample.units, sample.explores)


# ------------------------------------------------------------------ models


def reference_of_model(model: Model) -> Sample:
    """Returns the reference rows of a model.

    Raises:
        UsageError: it learnt from texts or ratings, or was stored without reference rows.
    """
    if model.task in (TEXTS, RATINGS):
        raise UsageError(f"drift compares columns, and {model.kind} learns from {model.task}: name another model")
    rows = model.reference
    if not len(rows):
        raise UsageError(
            f"{_title(model)} keeps no reference rows (it was stored before models did): "
            "name the file it learnt from (reference), or train it again"
        )
    return rows_sample(f"the training rows of {_title(model)}", model.features, rows)


def _title(model: Model) -> str:
    return f"model {model.name}@{model.version}" if model.name else f"the {model.kind}"


# ------------------------------------------------------------------ arrays, frames and files


def rows_sample(source: str, names: Sequence[str], rows: Any) -> Sample:
    """Returns rows of numbers (n_rows, n_columns), or states (n_rows,), as a sample; each row is a unit."""
    array = np.asarray(rows)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != len(names) or array.dtype.kind not in "biuf":  # noqa: PLR2004  (a table)
        raise UsageError(f"{source} must be rows of {len(names)} numbers ({_listed(names)}), got {array.shape}")
    _check_finite(source, dict(zip(names, array.T, strict=True)))
    columns = array.astype(np.float64 if array.shape[1] > 1 or array.dtype.kind == "f" else np.int64).T
    return Sample(source, dict(zip(names, columns, strict=True)), np.arange(len(array)))


def frame_sample(source: str, frame: Any, reference: Sample) -> Sample:
    """Returns the columns of a data frame that a reference has; each row is a unit."""
    found = {column_name(str(name)): name for name in frame.columns}
    _check_columns(source, list(found), _kinds(reference))
    kinds = _kinds(reference)
    columns = {name: _of_kind(source, name, np.asarray(frame[found[name]]), kind) for name, kind in kinds.items()}
    units = np.asarray(frame[found[EPISODE]]) if EPISODE in found else np.arange(len(frame))
    _check_finite(source, columns)
    return Sample(source, columns, numbered(units))


def file_sample(path: str | Path, reference: Sample | None, *, features: Sequence[str] = (), seed: int = 0) -> Sample:
    """Reads the columns that a reference has from a CSV or Parquet file; of a large one, 100,000 rows at random.

    Rows of one value in the column "episode" belong together. Without that column, each row stands for itself if rows
    of the reference do, else rows that follow each other belong together, as many as in an episode of the reference.

    Args:
        path: the file.
        reference: what it is compared with; None if it is the reference itself, of numbers in `features`.
        features: its columns without a reference.
        seed: of the choice of rows.

    Raises:
        UsageError: a column is missing, of another kind, or has gaps; or the file cannot be read.
    """
    path = Path(path)
    wanted = dict.fromkeys(features, NUMBER) if reference is None else _kinds(reference)
    sample = RowSample(max(LEAST, min(ROWS, NUMBERS // max(len(wanted), 1))), seed)
    chunks = _parquet_chunks if path.suffix.lower() in PARQUET else _csv_chunks
    has_episodes = False
    for columns, episodes in chunks(path, wanted):
        has_episodes = episodes is not None
        sample.add([*columns, *([episodes] if episodes is not None else [])])
    if not sample.seen:
        raise UsageError(f"{path} has no rows, only the names of its columns")
    kept = sample.columns
    units = kept[-1] if has_episodes else sample.numbers // _rows_of_a_unit(reference)
    return Sample(str(path), dict(zip(wanted, kept, strict=False)), numbered(units))


def _kinds(reference: Sample) -> dict[str, str]:
    return {name: column.dtype.kind for name, column in reference.columns.items()}


def _rows_of_a_unit(reference: Sample | None) -> int:
    return 1 if reference is None else max(1, round(len(reference) / reference.n_units))


def _csv_chunks(path: Path, wanted: dict[str, str]) -> Iterator[tuple[list[Array], Array | None]]:
    file = CsvFile(path)
    _check_columns(str(path), file.header, wanted)
    for cells in file.chunks():
        columns = [
            np.array(cells.labels(name))
            if kind == TEXT
            else _of_kind(str(path), name, cells.numbers([name])[:, 0], kind)
            for name, kind in wanted.items()
        ]
        yield columns, np.array(cells.texts(EPISODE)) if EPISODE in file.header else None


def _parquet_chunks(path: Path, wanted: dict[str, str]) -> Iterator[tuple[list[Array], Array | None]]:
    parquet = require("pyarrow.parquet", "minari", "parquet")
    with reading(path, "read"), parquet.ParquetFile(path) as file:
        header = list(file.schema_arrow.names)
        _check_columns(str(path), header, wanted)
        names = [*wanted, *([EPISODE] if EPISODE in header else [])]
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=names):
            found = {name: batch.column(name) for name in names}
            gap = next((name for name, column in found.items() if column.null_count), None)
            if gap is not None:
                raise UsageError(f"column {gap!r} has gaps: fill them in, or leave these rows out")
            arrays = {name: column.to_numpy(zero_copy_only=False) for name, column in found.items()}
            columns = [_of_kind(str(path), name, arrays[name], kind) for name, kind in wanted.items()]
            _check_finite(str(path), dict(zip(wanted, columns, strict=True)))
            yield columns, arrays.get(EPISODE)


def _of_kind(source: str, name: str, column: Array, kind: str) -> Array:
    """Returns a column as one of this kind of dtype."""
    if kind == TEXT:
        return np.array([str(value) for value in column])
    if column.dtype.kind not in "biuf" or (kind != NUMBER and (column != np.round(column)).any()):
        wanted = "numbers" if kind == NUMBER else "states, whole numbers,"
        raise UsageError(f"{source}: column {name!r} must hold {wanted} as in training, got {str(column[0])[:40]!r}")
    return column.astype(np.float64 if kind == NUMBER else np.int64)


def _check_columns(source: str, header: Sequence[str], wanted: dict[str, str]) -> None:
    missing = [name for name in wanted if name not in header]
    if missing:
        there = _listed([name for name in header if name]) or "none"
        raise UsageError(f"{source} must have the columns {_listed(missing)}, as in training; it has {there}")


def _check_finite(source: str, columns: Columns) -> None:
    for name, column in columns.items():
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            row = int(np.argmin(np.isfinite(column)))
            raise UsageError(f"{source}, row {row + 1}: column {name!r} must hold finite numbers, got {column[row]}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(str, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
