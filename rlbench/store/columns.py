"""Converts values of Gymnasium spaces to named columns, one row per value, and back.

A value of a Discrete, Box, MultiDiscrete or MultiBinary space is a row of one column, named by the caller
("observations"). Dict and Tuple spaces have one column per part: "observations/position", "observations/0/colour".
Keys are not escaped in these names; the space tells which name belongs to which part.
"""

from __future__ import annotations

from operator import index as whole_number
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Space = spaces.Space[Any]
    Copier = Callable[[Any], Any]

SIMPLE = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
NUMBERS = "biufc"  # the kinds of dtype that a store accepts
NUMBER_BYTES = 40  # memory of a number in a list
OBJECT_BYTES = 240  # memory of an array in a list or dict, apart from its numbers


class Part(NamedTuple):
    """One column of a space."""

    name: str
    space: Space  # one of SIMPLE


def parts(space: Space, name: str) -> list[Part]:
    """Returns the columns of a space, in the order of its parts.

    Raises:
        UsageError: it contains a space without a fixed-size array (Text, Sequence, Graph, OneOf), or two of its parts
            have the same name ("a/b", and "b" inside "a").
    """
    found = list(_walk(space, name))
    names = [part.name for part in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two parts of {space} would be the column {twice!r}: rename a key with a slash in it")
    return found


def flatten(space: Space, value: Any, name: str) -> dict[str, Any]:
    """Returns the parts of a value by column name, without copying them."""
    if isinstance(space, SIMPLE):
        return {name: value}
    rows: dict[str, Any] = {}
    for key, inner in _inner(space, name):
        rows |= flatten(inner, value[key], f"{name}/{key}")
    return rows


def check_columns(space: Space, columns: Mapping[str, Array], name: str, *, in_range: bool = True) -> None:
    """Refuses stored columns whose rows are no values of a space: an env or compiled code would take them for some.

    Args:
        space: of the env that they are for.
        columns: among them those of the space.
        name: of its column, or the prefix of its column names.
        in_range: whether Discrete values must be in the space too.

    Raises:
        StoreError: a column is missing, or of another shape or kind, or out of range.
    """
    for part in parts(space, name):
        problem = _misfit(part.space, columns.get(part.name), in_range=in_range)
        if problem:
            raise StoreError(f"the stored {part.name} {problem}, expected {part.space!s:.200}: they are of another env")


def _misfit(space: Space, column: Array | None, *, in_range: bool) -> str:
    if column is None:
        return "are missing"
    is_discrete, dtype = isinstance(space, spaces.Discrete), column.dtype
    are_its_kind = dtype.isnative and np.can_cast(dtype, np.int64) if is_discrete else dtype.kind in "biuf"
    if column.shape[1:] != (space.shape or ()) or not are_its_kind or (is_discrete and dtype.kind == "b"):
        return f"are {dtype} of shape {column.shape}"
    if not (isinstance(space, spaces.Discrete) and in_range and column.size):
        return ""
    low, high = int(column.min()), int(column.max())
    return "" if space.start <= low and high < space.start + space.n else f"are {low} to {high}"


def unflatten(space: Space, columns: Mapping[str, Array], name: str, index: int) -> Any:
    """Returns row `index` of the columns as a value of the space, copied.

    Its types are those of `space.sample()`: a NumPy integer for Discrete, arrays, dicts and tuples.
    """
    if isinstance(space, SIMPLE):
        return columns[name][index].copy()  # an env may modify its action in place
    values = {key: unflatten(inner, columns, f"{name}/{key}", index) for key, inner in _inner(space, name)}
    return tuple(values.values()) if isinstance(space, spaces.Tuple) else values


class Layout:
    """Turns the values of one space into rows to buffer, and rows into columns.

    Args:
        space: made of Discrete, Box, MultiDiscrete, MultiBinary, Dict and Tuple.
        name: of the column, or the prefix of all column names.

    Attributes:
        row_bytes: approximate memory of a row in the dtype of the space.
        copy: copies a value into a row; raises UsageError, TypeError or LookupError if the value does not fit the
            space. Arrays keep their own dtype.
    """

    def __init__(self, space: Space, name: str) -> None:
        self.space, self.name = space, name
        self._parts = parts(space, name)
        self.row_bytes = sum(_row_bytes(part.space) for part in self._parts)
        self.copy = _copier(space, name)

    def columns(self, rows: Sequence[Any]) -> dict[str, Array]:
        """Returns the columns of rows made by `copy`.

        Raises:
            UsageError: the rows have different dtypes, and no common dtype holds them all exactly.
        """
        if isinstance(self.space, SIMPLE):
            return {self.name: _column(self._parts[0], rows)}
        flat = [flatten(self.space, row, self.name) for row in rows]
        return {part.name: _column(part, [row[part.name] for row in flat]) for part in self._parts}


def _walk(space: Space, name: str) -> Iterator[Part]:
    if isinstance(space, SIMPLE):
        yield Part(name, space)
        return
    for key, inner in _inner(space, name):
        yield from _walk(inner, f"{name}/{key}")


def _inner(space: Space, name: str) -> Iterable[tuple[Any, Space]]:
    if isinstance(space, spaces.Dict):
        return space.spaces.items()
    if isinstance(space, spaces.Tuple):
        return enumerate(space.spaces)
    raise UsageError(
        f"{name}: a {type(space).__name__} space cannot be stored, only Discrete, Box, MultiDiscrete, MultiBinary, "
        "and Dict and Tuple of these: change it with a wrapper such as gymnasium.wrappers.TransformObservation"
    )


# ---------------------------------------------------------------------- values to rows


def _copier(space: Space, name: str) -> Copier:
    if isinstance(space, spaces.Discrete):
        return whole_number
    if isinstance(space, SIMPLE):
        return _array_copier(name, space)
    inner = {key: _copier(part, f"{name}/{key}") for key, part in _inner(space, name)}

    def copy(value: Any) -> dict[Any, Any]:
        if len(value) != len(inner):
            raise UsageError(f"{name} has {len(inner)} parts, got {len(value)}")
        return {key: copy_part(value[key]) for key, copy_part in inner.items()}

    return copy


def _array_copier(name: str, space: Space) -> Copier:
    shape, dtype = space.shape, space.dtype

    def copy(value: Any) -> Array:
        array = value.copy() if type(value) is np.ndarray else np.array(value, order="C")
        if array.shape != shape or (array.dtype is not dtype and array.dtype.kind not in NUMBERS):
            raise UsageError(f"{name} must be numbers of shape {shape}, got {array.dtype} of shape {array.shape}")
        return array

    return copy


# ---------------------------------------------------------------------- rows to columns


def _row_bytes(space: Space) -> int:
    if isinstance(space, spaces.Discrete):
        return NUMBER_BYTES
    return OBJECT_BYTES + int(np.prod(space.shape or (), dtype=np.int64)) * np.dtype(space.dtype).itemsize


def _column(part: Part, rows: Sequence[Any]) -> Array:
    if isinstance(part.space, spaces.Discrete):
        return _integers(part, rows)
    shape = part.space.shape or ()
    dtypes = {row.dtype for row in rows} or {np.dtype(part.space.dtype)}
    if len(dtypes) > 1:
        return _mixed(part, rows, np.result_type(*dtypes))
    # joining bytes is fastest: 30 ns per small row; np.array takes 140 and np.stack 400
    return np.frombuffer(b"".join(rows), dtypes.pop()).reshape(len(rows), *shape)


def _integers(part: Part, rows: Sequence[int]) -> Array:
    """Returns integers in the dtype of their space, or in int64 if that dtype is too small."""
    try:
        column = np.array(rows, np.int64)
    except OverflowError:
        raise UsageError(f"{part.name} must fit {part.space}, got a number beyond 64 bits") from None
    fitting = column.astype(part.space.dtype)
    return fitting if np.array_equal(fitting, column) else column


def _mixed(part: Part, rows: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    column = np.array(rows, dtype)
    for row, kept in zip(rows, column, strict=True):
        with np.errstate(invalid="ignore"):  # lossy casts are found by comparing
            back = kept.astype(row.dtype)
        if not np.array_equal(back, row, equal_nan=True):
            raise UsageError(f"{part.name} came as {row.dtype} and other dtypes, which {dtype} does not hold exactly")
    return column
