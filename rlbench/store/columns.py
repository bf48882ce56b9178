"""Values of Gymnasium spaces as named columns, a row for each value, and back.

A value of a Discrete, Box, MultiDiscrete or MultiBinary space is a row of one column, which has the name that it is
given ("observations"). Dict and Tuple spaces have a column for each part: "observations/position",
"observations/0/colour". Keys go into these names as they are, and the space says which names are whose.
"""

from __future__ import annotations

from operator import index as whole_number
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Space = spaces.Space[Any]
    Copier = Callable[[Any], Any]

SIMPLE = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
NUMBERS = "biufc"  # kinds of dtype that a store keeps
NUMBER_BYTES = 40  # of memory for a number in a list
OBJECT_BYTES = 240  # of memory for an array in a list or dict, beside its numbers


class Part(NamedTuple):
    """One column of a space."""

    name: str
    space: Space  # one of SIMPLE


def parts(space: Space, name: str) -> list[Part]:
    """Returns the columns of a space, in the order of its parts.

    Raises:
        UsageError: it holds a space that is no array of fixed size (Text, Sequence, Graph, OneOf), or two of its
            parts have the same name ("a/b", and "b" inside of "a").
    """
    found = list(_walk(space, name))
    names = [part.name for part in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two parts of {space} would be the column {twice!r}: rename a key with a slash in it")
    return found


def flatten(space: Space, value: Any, name: str) -> dict[str, Any]:
    """Returns the parts of a value by the names of their columns, without copying them."""
    if isinstance(space, SIMPLE):
        return {name: value}
    rows: dict[str, Any] = {}
    for key, inner in _inner(space, name):
        rows |= flatten(inner, value[key], f"{name}/{key}")
    return rows


def unflatten(space: Space, columns: Mapping[str, Array], name: str, index: int) -> Any:
    """Returns the value of a space that is the row `index` of its columns, as a copy.

    It has the types of what `space.sample()` returns: a NumPy integer for Discrete, arrays, dicts and tuples.
    """
    if isinstance(space, SIMPLE):
        return columns[name][index].copy()  # an env may work in its action's place
    values = {key: unflatten(inner, columns, f"{name}/{key}", index) for key, inner in _inner(space, name)}
    return tuple(values.values()) if isinstance(space, spaces.Tuple) else values


class Layout:
    """How the values of one space become rows that are kept for a while, and then columns.

    Args:
        space: of Discrete, Box, MultiDiscrete, MultiBinary, Dict and Tuple.
        name: of the column, or what the names of all begin with.

    Attributes:
        row_bytes: about how much memory a row takes, if its dtype is that of the space.
        copy: turns a value into a row that nobody else can change; raises UsageError, TypeError or LookupError if the
            value does not fit the space. An array keeps the dtype that it comes with.
    """

    def __init__(self, space: Space, name: str) -> None:
        self.space, self.name = space, name
        self._parts = parts(space, name)
        self.row_bytes = sum(_row_bytes(part.space) for part in self._parts)
        self.copy = _copier(space, name)

    def columns(self, rows: Sequence[Any]) -> dict[str, Array]:
        """Returns the columns of rows that `copy` returned.

        Raises:
            UsageError: rows of different dtypes have no common one that holds them all exactly.
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
    # joining bytes is the fastest: 30 ns a small row, np.array takes 140 and np.stack 400
    return np.frombuffer(b"".join(rows), dtypes.pop()).reshape(len(rows), *shape)


def _integers(part: Part, rows: Sequence[int]) -> Array:
    """Returns whole numbers in the dtype of their space, or in int64 if that is too small for them."""
    try:
        column = np.array(rows, np.int64)
    except OverflowError:
        raise UsageError(f"{part.name} must fit {part.space}, got a number beyond 64 bits") from None
    fitting = column.astype(part.space.dtype)
    return fitting if np.array_equal(fitting, column) else column


def _mixed(part: Part, rows: Sequence[Array], dtype: np.dtype[Any]) -> Array:
    column = np.array(rows, dtype)
    for row, kept in zip(rows, column, strict=True):
        with np.errstate(invalid="ignore"):  # what does not survive a cast is found by comparing
            back = kept.astype(row.dtype)
        if not np.array_equal(back, row, equal_nan=True):
            raise UsageError(f"{part.name} came as {row.dtype} and as others, which {dtype} does not hold exactly")
    return column
