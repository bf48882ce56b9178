"""The episodes in the folder of a Minari dataset, whatever its storage, read without making its env or its spaces.

Minari's own reader is not used: of an Arrow file it reads the first 32,768 rows, and it fails on spaces that it does
not know, also where they are only a part.
"""

from __future__ import annotations

import io
import json
import math
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange import feather_files
from rlbench.exchange.hdf5_files import FREE, MOST_EXPANSION, held, inside
from rlbench.files import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]
    Space = dict[str, Any]  # as Minari writes it: {"type": "Box", "shape": [4], ...}

DATASET = "a Minari dataset"  # what needs a package
MAIN = "main_data.hdf5"  # in the dataset's folder
NUMERIC = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")
PLAIN_DTYPE = re.compile(r"bool|(u?int|float|complex)\d{1,3}")  # as Minari writes it
SMALLEST_IMAGE = 32  # pixels: Minari encodes larger ones as JPEG
IMAGE_DIMENSIONS = (2, 3)
NAME = "episode_"  # begins the name of an HDF5 group


class Hdf5Episodes:
    """The episodes of `main_data.hdf5`, a group each."""

    extra_rows = 0  # after the last step, in columns other than the observations

    def __init__(self, folder: Path) -> None:
        self._h5py = require("h5py", "minari", DATASET)
        path = folder / MAIN
        if not path.is_file():
            raise UsageError(f"No data found in {path}")
        # an empty dataset has an empty file
        self._file: Any = self._h5py.File(path, "r") if path.stat().st_size else {}
        self.ids = sorted(int(name[len(NAME) :]) for name in self._file if _is_number(name.removeprefix(NAME)))

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            self._file.close()

    def episode(self, number: int) -> Any:
        """Returns the group of an episode; UsageError if it claims more than the file holds."""
        group = inside(self._h5py, self._file, f"{NAME}{number}")
        claimed = sum(self._claims(group))
        if claimed > max(FREE, self._file.id.get_filesize()):
            raise UsageError(f"episode {number} claims {claimed:,} bytes but does not hold them")
        return group

    def _claims(self, group: Any) -> Iterator[int]:
        """Yields how many bytes each array of a group would take."""
        for name in group:
            found = inside(self._h5py, group, name)
            if isinstance(found, self._h5py.Group):
                yield from self._claims(found)
            elif found.dtype.kind != "O":  # Minari's strings and images have variable length
                yield math.prod(held(self._h5py, found, name).shape) * found.dtype.itemsize

    def metadata(self, number: int) -> dict[str, Any]:
        """Returns the attributes of an episode."""
        return dict(self._file[f"{NAME}{number}"].attrs)

    def part(self, node: Any, key: str | int) -> Any:
        """Returns a part of a Dict (its key) or of a Tuple (its index)."""
        return inside(self._h5py, node, key if isinstance(key, str) else f"_index_{key}")

    def names(self, node: Any) -> list[str]:
        """Returns the names of the parts."""
        return list(node)

    def numbers(self, node: Any, shape: tuple[int, ...]) -> NDArray[Any]:  # noqa: ARG002  (the file knows it)
        """Returns an array."""
        return np.asarray(node[()])

    def pictures(self, node: Any) -> list[bytes]:
        """Returns encoded images."""
        return [bytes(row) for row in node[()]]


class ArrowEpisodes:
    """The episodes of an `arrow` or `parquet` storage, a folder each; every column has a row for each observation."""

    extra_rows = 1

    def __init__(self, folder: Path, data_format: str) -> None:
        self._pa, self._ds = require("pyarrow", "minari", DATASET), require("pyarrow.dataset", "minari", DATASET)
        self._folder, self._format = folder, data_format
        self.ids = sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and _is_number(path.name))

    def close(self) -> None:
        """Does nothing: no file stays open."""

    def episode(self, number: int) -> Any:
        """Returns the columns of an episode; UsageError if it claims more than its files can hold."""
        folder = self._folder / str(number)
        files = [path for path in sorted(folder.iterdir()) if path.suffix == f".{self._format}"]
        found = self._ds.dataset([str(path) for path in files], format=self._format)
        claimed = found.count_rows() * sum(_width(self._pa, kind) for kind in found.schema.types)
        if claimed > max(FREE, MOST_EXPANSION * sum(path.stat().st_size for path in files)):
            raise UsageError(f"episode {number} claims {claimed:,} bytes but does not hold them")
        if self._format == "arrow":
            table = self._pa.Table.from_batches([rows for path in files for rows in feather_files.record_batches(path)])
        else:
            table = found.to_table()
        return table.combine_chunks().to_struct_array().combine_chunks()

    def metadata(self, number: int) -> dict[str, Any]:
        """Returns the JSON object beside an episode."""
        found = json.loads((self._folder / str(number) / "metadata.json").read_text("utf-8"))
        return found if type(found) is dict else {}

    def part(self, node: Any, key: str | int) -> Any:
        """Returns a part of a Dict (its key) or of a Tuple (its index)."""
        if not self._pa.types.is_struct(node.type) or str(key) not in self.names(node):
            raise UsageError(f"{str(key)!r} is missing")
        return node.field(str(key))

    def names(self, node: Any) -> list[str]:
        """Returns the names of the parts."""
        return [field.name for field in node.type]

    def numbers(self, node: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """Returns an array whose rows have this shape."""
        is_list = self._pa.types.is_fixed_size_list(node.type)
        flat: NDArray[Any] = (node.flatten() if is_list else node).to_numpy(zero_copy_only=False)
        return flat.reshape(len(node), *shape) if is_list else flat

    def pictures(self, node: Any) -> list[bytes]:
        """Returns encoded images; None in rows after the last step."""
        return [bytes(row or b"") for row in node.to_pylist()]


Episodes = Hdf5Episodes | ArrowEpisodes


@contextmanager
def opened(folder: Path, data_format: str) -> Iterator[Episodes]:
    """Opens the episodes of a dataset: "hdf5", "arrow" or "parquet"."""
    episodes = Hdf5Episodes(folder) if data_format == "hdf5" else ArrowEpisodes(folder, data_format)
    try:
        yield episodes
    finally:
        episodes.close()


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 19  # noqa: PLR2004  (digits that fit 64 bits)


def _width(pa: Any, kind: Any) -> int:
    """Returns the bytes of a value of an Arrow type; 0 where they vary."""
    if pa.types.is_struct(kind):
        return sum(_width(pa, field.type) for field in kind)
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(pa, kind.value_type)
    return -(-kind.bit_width // 8) if pa.types.is_primitive(kind) else 0


# ---------------------------------------------------------------------- spaces


def columns(episodes: Episodes, episode: Any, name: str, space: Space, *, is_encoded: bool) -> Columns:
    """Returns the columns of the observations or actions of an episode, without what `unfit` names.

    Args:
        episodes: where the episode was found.
        episode: what `episodes.episode` returned.
        name: "observations" or "actions".
        space: theirs.
        is_encoded: whether images are stored as JPEG.

    Raises:
        UsageError: a part is missing, or is not of numbers, or does not fit the space.
    """
    return dict(_columns(episodes, episodes.part(episode, name), name, space, is_encoded))


def _columns(
    episodes: Episodes,
    node: Any,
    name: str,
    space: Space,
    is_encoded: bool,  # noqa: FBT001
) -> Iterator[tuple[str, NDArray[Any]]]:
    for key, inner in _parts(space):
        yield from _columns(episodes, episodes.part(node, key), f"{name}/{key}", inner, is_encoded)
    if space["type"] in NUMERIC:
        shape = _shape(space)
        found = (
            _decoded(episodes.pictures(node), shape, name)
            if is_encoded and _is_image(space, shape)
            else episodes.numbers(node, shape)
        )
        if found.dtype.kind not in "biufc":
            raise UsageError(f"{name} must be numbers, got {found.dtype}")
        yield name, cast_if_exact(found, _dtype(space))


def cast_if_exact(column: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Returns a column in a dtype if that holds it exactly; else as it is."""
    if column.dtype == dtype:
        return column
    with np.errstate(invalid="ignore", over="ignore"):
        cast = column.astype(dtype)
        is_exact = np.array_equal(cast.astype(column.dtype), column, equal_nan=column.dtype.kind in "fc")
    return cast if is_exact else column


def _dtype(space: Space) -> str:
    """Returns the dtype that a numeric space has, as far as it says; Minari stores what the env returned."""
    found = {"Discrete": "int64", "MultiBinary": "int8"}.get(space["type"], space.get("dtype"))
    if type(found) is not str or not PLAIN_DTYPE.fullmatch(found):
        raise UsageError(f"its metadata describes a space of {str(found)[:80]!r}, not of numbers")
    return found


def unfit(name: str, space: Space) -> Iterator[str]:
    """Yields the parts of a space that a run cannot hold, with their kind: "observations/mission (Text)"."""
    for key, inner in _parts(space):
        yield from unfit(f"{name}/{key}", inner)
    if space["type"] not in (*NUMERIC, "Dict", "Tuple"):
        yield f"{name} ({space['type']})"


def space_of(text: Any, name: str) -> Space:
    """Parses a space as Minari describes it; UsageError if it is none."""
    if type(text) is not str:
        raise UsageError(f"its metadata must describe its {name}: recreate the dataset with a newer Minari")
    found = json.loads(text)
    _check(found, name)
    return dict(found)


def _check(space: Any, name: str) -> None:
    if type(space) is not dict or type(space.get("type")) is not str:
        raise UsageError(f"its metadata must describe its {name}: a space has a type, got {str(space)[:80]}")
    if space["type"] in ("Dict", "Tuple"):
        if type(space.get("subspaces")) is not {"Dict": dict, "Tuple": list}[space["type"]]:
            raise UsageError(f"its metadata must describe the parts of its {name}")
        for key, inner in _parts(space):
            _check(inner, f"{name}/{key}")
    else:
        _shape(space)


def _parts(space: Space) -> list[tuple[str | int, Space]]:
    if space["type"] == "Dict":
        return list(space["subspaces"].items())
    return list(enumerate(space["subspaces"])) if space["type"] == "Tuple" else []


def _shape(space: Space) -> tuple[int, ...]:
    """Returns the shape of a value of a numeric space."""
    found = {"Box": space.get("shape"), "MultiDiscrete": np.shape(space.get("nvec", ())), "MultiBinary": space.get("n")}
    shape = found.get(space["type"], ())
    shape = [shape] if type(shape) is int else shape
    if not isinstance(shape, list | tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise UsageError(f"its metadata describes a {space['type']} space without a shape")
    return tuple(shape)


def _is_image(space: Space, shape: tuple[int, ...]) -> bool:
    """Returns whether Minari takes a space for one of images, as its `is_image_space` does."""
    return (
        (space["type"], space.get("dtype"), len(shape) in IMAGE_DIMENSIONS) == ("Box", "uint8", True)
        and min(shape[:2]) >= SMALLEST_IMAGE
        and bool(np.all(np.asarray(space.get("low")) == 0) and np.all(np.asarray(space.get("high")) == 255))  # noqa: PLR2004
    )


def _decoded(pictures: list[bytes], shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    image = require("PIL.Image", "minari", DATASET)
    claimed = len(pictures) * math.prod(shape)
    if claimed > max(FREE, MOST_EXPANSION * sum(map(len, pictures))):
        raise UsageError(f"{name} claims {claimed:,} bytes but does not hold them")
    rows = np.zeros((len(pictures), *shape), np.uint8)
    for row, picture in zip(rows, pictures, strict=True):
        if picture:
            found = image.open(io.BytesIO(picture), formats=("JPEG",))
            if found.size != shape[1::-1]:
                raise UsageError(f"{name} must be images of shape {shape}, got {found.size[::-1]}")
            row[...] = np.asarray(found)
    return rows
