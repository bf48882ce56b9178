"""HDF5: /about, /steps/observations (T + 1 rows per episode), /steps/actions, /episodes/length, /figures/return, ...

The rows of all episodes follow one another; /episodes/length holds their numbers of steps. /checkpoint holds the
agent's arrays, including its table, and /chunks where the chunks of the stored run began. Blocks have checksums.
"""

from __future__ import annotations

import json
import math
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.batches import BATCH_BYTES, BATCH_STEPS, Batch, Mark
from rlbench.exchange.content import Content
from rlbench.exchange.flat import marks_of
from rlbench.exchange.json_files import checked_checkpoint
from rlbench.exchange.manifest import MOST_CHARACTERS, Manifest
from rlbench.exchange.sealed_files import opened
from rlbench.files import require
from rlbench.store.codec import to_json
from rlbench.store.columns import NUMBERS
from rlbench.store.records import CUT_OFF, has_last_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from rlbench.exchange.sealed_files import Place
    from rlbench.store import Checkpoint
    from rlbench.store.frames import Column

BLOCK_ROWS = 2**14
BLOCK_BYTES = 2**20
PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}
CHECKED = {"fletcher32": True}  # not compressed: the file is as large as what it claims
LARGE = 2**22  # bytes of a checkpoint's array that is not compressed
FREE = 2**26  # bytes that one read may take; more only from a file that is as large
MOST_EXPANSION = 2**11  # gzip compresses at most 1032 to 1


class Disk:
    """A new or empty file for h5py to write to: on files of its own, h5py crashes the process if a write fails.

    The first error is kept for `check`; what is written after it is dropped, so that HDF5 can close the file.
    """

    def __init__(self, path: Place, mode: str = "x+b") -> None:
        self._file: Any = path.open(mode, buffering=0)
        self._error: OSError | None = None
        self.seek, self.tell, self.read, self.readinto = (
            getattr(self._file, name) for name in ("seek", "tell", "read", "readinto")
        )

    def write(self, data: bytes) -> int:
        """Writes all of the data."""
        self._noting(self._write, memoryview(data).cast("B"))
        return len(data)

    def _write(self, rest: memoryview) -> None:
        while rest:
            rest = rest[self._file.write(rest) :]

    def truncate(self, size: int) -> int:
        """Sets the length of the file."""
        self._noting(self._file.truncate, size)
        return size

    def _noting(self, act: Callable[[Any], Any], argument: Any) -> None:
        if self._error is None:
            try:
                act(argument)
            except OSError as error:
                self._error = error

    def flush(self) -> None:
        """Does nothing: writes are not buffered."""

    def check(self) -> None:
        """Raises the first error."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Closes the file; raises the first error."""
        self._file.close()
        self.check()


def write(path: Place, content: Content) -> None:
    """Writes a run's episodes with its last checkpoint, or its results, or its table.

    Raises:
        UsageError: HDF5 cannot hold a column, or h5py is not installed.
    """
    h5py = require("h5py", "minari", "hdf5")
    try:
        with closing(Disk(path)) as disk, h5py.File(disk, "w") as file:
            _write(file, content, disk)
    except (ValueError, TypeError) as error:
        raise error if isinstance(error, UsageError) else UsageError(f"hdf5 cannot hold this run: {error}") from error


def _write(file: Any, content: Content, disk: Disk) -> None:
    file["about"] = np.bytes_(content.manifest.to_json().encode())
    if content.table is not None:
        file.create_dataset("table", data=content.table, **PACKED)
    for name, column in content.figures.items():
        _append(file, f"figures/{name}", column)
    if content.manifest.what != "episodes":
        return
    if content.checkpoint is not None:
        _write_checkpoint(file, content.checkpoint)
    file.create_group("steps")
    for batch in content.batches:
        for name, column in _columns(batch).items():
            _append(file, name, column)
        disk.check()


def _columns(batch: Batch) -> dict[str, NDArray[Any]]:
    marks = [[int(batch.episodes[mark.row]), mark.step, mark.env_rng] for mark in batch.marks]
    lines = "".join(f"{to_json(mark)}\n" for mark in marks).encode()
    return {
        **{f"steps/{name}": column for name, column in batch.steps.items()},
        **{f"figures/{name}": column for name, column in batch.figures.items()},
        "episodes/episode": batch.episodes,
        "episodes/length": batch.lengths,
        "episodes/end": batch.ends,
        "chunks": np.frombuffer(lines, np.uint8),
    }


def _append(file: Any, name: str, rows: NDArray[Any]) -> None:
    if name not in file:
        shape = rows.shape[1:]
        block = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, math.prod(shape) * rows.itemsize)))
        file.create_dataset(
            name, (0, *shape), rows.dtype, chunks=(block, *shape), maxshape=(None, *shape), track_times=False, **PACKED
        )
    dataset = file[name]
    if len(rows):
        dataset.resize(len(dataset) + len(rows), axis=0)
        dataset[-len(rows) :] = rows


def _write_checkpoint(file: Any, checkpoint: Checkpoint) -> None:
    group = file.create_group("checkpoint")
    numbers = {"episodes": checkpoint.episodes, "timesteps": checkpoint.timesteps, "numbers": checkpoint.numbers}
    group["about"] = np.bytes_(to_json(numbers).encode())
    for name, array in checkpoint.arrays.items():
        packed = PACKED if array.nbytes <= LARGE else CHECKED
        group.create_dataset(f"arrays/{name}", data=array, **(packed if array.ndim and array.size else {}))


# ---------------------------------------------------------------------- reading


@contextmanager
def read(path: Place) -> Iterator[Content]:
    """Reads a file that `write` wrote, a batch of episodes at a time; reads only episodes."""
    h5py = require("h5py", "minari", "hdf5")
    with opened(path, "rb") as source, h5py.File(source, "r") as file:
        manifest = Manifest.from_json(_text(h5py, file, "about"))
        checkpoint = None
        if manifest.what == "episodes" and "checkpoint" in file:
            checkpoint = _read_checkpoint(h5py, file)
        yield Content(manifest, _batches(h5py, file, manifest), checkpoint, keeps_checkpoint=True)


def dataset(h5py: Any, file: Any, name: str) -> Any:
    """Returns a numeric dataset that is in the file itself and as large as it claims.

    Raises:
        UsageError: it is missing, outside the file (a link), of another type, or smaller than it claims.
    """
    return held(h5py, inside(h5py, file, name), name)


def held(h5py: Any, found: Any, name: str) -> Any:
    """Returns the numeric dataset `found`; UsageError if it is not one, or is smaller than it claims."""
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in NUMBERS:
        raise UsageError(f"{name!r} must be a dataset of numbers")
    claimed = _size(found)
    if claimed > min(found.id.get_storage_size(), found.file.id.get_filesize()) * MOST_EXPANSION:
        raise UsageError(f"{name!r} claims {claimed} bytes but does not hold them")
    return found


def _size(found: Any) -> int:
    return int(math.prod(found.shape)) * int(found.dtype.itemsize)  # h5py's own `size` wraps round


def _check_claim(file: Any, what: str, claimed: int) -> None:
    """Raises UsageError if one read would take more memory than a file of this size may claim."""
    if claimed > max(FREE, file.id.get_filesize()):
        raise UsageError(f"{what} claims {claimed:,} bytes but does not hold them")


def inside(h5py: Any, file: Any, name: str) -> Any:
    """Returns the object at a path in the file; UsageError if it is missing or in another file."""
    found = file
    for part in name.split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise UsageError(f"{name!r} is missing")
        if not isinstance(link, h5py.HardLink):
            raise UsageError(f"{name!r} is a link that leads elsewhere: refused")
        found = found[part]
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise UsageError(f"{name!r} is stored in another file: refused")
    return found


def _text(h5py: Any, file: Any, name: str) -> bytes:
    found = inside(h5py, file, name)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind != "S" or found.shape != ():
        raise UsageError(f"{name!r} must be a string")
    if found.dtype.itemsize > min(MOST_CHARACTERS, found.id.get_storage_size()):
        raise UsageError(f"{name!r} claims {found.dtype.itemsize} bytes but does not hold them")
    return bytes(found[()])


def _batches(h5py: Any, file: Any, manifest: Manifest) -> Iterator[Batch]:
    if manifest.what != "episodes" or not manifest.columns:
        return
    episodes, lengths, ends = (dataset(h5py, file, f"episodes/{name}") for name in ("episode", "length", "end"))
    sources = _Sources(h5py, file, manifest)
    marks, row, most = sources.marks(h5py, file), 0, sources.batch_steps
    while row < len(lengths):
        batch_lengths = np.asarray(lengths[row : row + most], np.int64)
        if batch_lengths.min() < 0:
            raise UsageError(f"the length of episode {episodes[row + int(batch_lengths.argmin())]} is negative")
        count = max(1, int(np.searchsorted(np.cumsum(batch_lengths), most, side="right")))
        here = slice(row, row + count)
        yield sources.take(episodes[here], batch_lengths[:count], ends[here], here, marks)
        row += count
    sources.check_end()


class _Sources:
    """The columns of a file, read from top to bottom."""

    def __init__(self, h5py: Any, file: Any, manifest: Manifest) -> None:
        self._steps = {
            name: self._column(h5py, file, "steps", name, manifest.columns[name]) for name in manifest.columns
        }
        self._figures = {
            name: self._column(h5py, file, "figures", name, manifest.figures[name]) for name in manifest.figures
        }
        self._file = file
        self._row_bytes = sum(source.dtype.itemsize * math.prod(source.shape[1:]) for source in self._steps.values())
        self.batch_steps = max(1, min(BATCH_STEPS, BATCH_BYTES // max(1, self._row_bytes)))
        self._at = dict.fromkeys(self._steps, 0)

    @staticmethod
    def _column(h5py: Any, file: Any, group: str, name: str, column: Column) -> Any:
        found = dataset(h5py, file, f"{group}/{name}")
        if (found.dtype, found.shape[1:]) != (np.dtype(column.dtype), column.shape):
            raise UsageError(f"{name!r} must be {column.dtype} of shape {column.shape} in every row, got {found.dtype}")
        return found

    @staticmethod
    def marks(h5py: Any, file: Any) -> dict[int, list[Mark]]:
        """Returns where chunks begin, by episode."""
        marks: dict[int, list[Mark]] = {}
        found = dataset(h5py, file, "chunks")
        _check_claim(file, "the list of its chunks", _size(found))
        for line in found[:].tobytes().splitlines():
            episode, *pair = json.loads(line)
            marks.setdefault(episode, []).extend(marks_of(0, [pair]))
        return marks

    def take(
        self,
        episodes: NDArray[np.int64],
        lengths: NDArray[np.int64],
        ends: NDArray[np.uint8],
        here: slice,
        marks: dict[int, list[Mark]],
    ) -> Batch:
        """Reads the next episodes."""
        if len(episodes) != len(lengths) or len(ends) != len(lengths) or not np.isin(ends, range(1, CUT_OFF + 1)).all():
            raise UsageError(f"each episode must have a number, and an end from 1 to {CUT_OFF}")
        steps = int(lengths.sum())
        _check_claim(self._file, f"episode {episodes[0]}", steps * self._row_bytes)
        found = [
            mark._replace(row=row) for row, episode in enumerate(episodes.tolist()) for mark in marks.get(episode, [])
        ]
        return Batch(
            np.asarray(episodes, np.int64),
            lengths,
            ends,
            {name: self._next(name, steps + len(lengths) * has_last_row(name)) for name in self._steps},
            {name: _whole(source[here], len(lengths), name) for name, source in self._figures.items()},
            tuple(found),
        )

    def _next(self, name: str, rows: int) -> NDArray[Any]:
        start = self._at[name]
        self._at[name] += rows
        return _whole(self._steps[name][start : start + rows], rows, name)

    def check_end(self) -> None:
        """Raises UsageError if rows are left over after the last episode."""
        for name, source in self._steps.items():
            if len(source) != self._at[name]:
                raise UsageError(f"{name!r} must have {self._at[name]} rows, got {len(source)}")


def _whole(rows: NDArray[Any], count: int, name: str) -> NDArray[Any]:
    if len(rows) != count:
        raise UsageError(f"{name!r} has too few rows for the lengths of the episodes")
    return rows


def _read_checkpoint(h5py: Any, file: Any) -> Checkpoint:
    about = json.loads(_text(h5py, file, "checkpoint/about"))
    arrays = {}
    if "arrays" in inside(h5py, file, "checkpoint"):
        names = list(inside(h5py, file, "checkpoint/arrays"))
        found = {name: dataset(h5py, file, f"checkpoint/arrays/{name}") for name in names}
        _check_claim(file, "its checkpoint", sum(map(_size, found.values())))
        arrays = {name: one[()] for name, one in found.items()}
    return checked_checkpoint(about["episodes"], about["timesteps"], arrays, about["numbers"])
