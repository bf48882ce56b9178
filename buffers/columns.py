"""The memory layout of transitions: one packed row each, on whole cache lines, and the fields of a row."""

from __future__ import annotations

import contextlib
import operator
import os
from numbers import Real
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
from gymnasium import spaces

from rlbench.errors import UsageError
from rlbench.forms import MOST, List, Numbers, UpTo, Whole, checked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FIELDS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")
CACHE_LINE = 64  # bytes
WORD = 8  # bytes
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # Linux's limit for a container, in bytes
INT64 = np.dtype(np.int64)
UNKNOWN = (0,)  # the shape of a field until the first transition determines it


class DiscreteColumn:
    """A field for the elements of a Discrete space."""

    dtype, shape, format = INT64, (), "q"

    def __init__(self, what: str, low: int, stop: int) -> None:
        self.what, self.low, self.stop = what, low, stop

    def encode(self, value: Any) -> int:
        """Returns one value ready for `struct`; UsageError if it is not in the space."""
        if value.__class__ is not int:
            value = self._whole(value)
        if self.low <= value < self.stop:
            return value  # type: ignore[no-any-return]  # an int: see above
        raise UsageError(f"{self.what} must be a whole number from {self.low} to {self.stop - 1}, got {value}")

    def words(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Views an array (n,) of the column as rows of words, (n, 1); ValueError if it cannot."""
        if values.dtype is INT64 and values.ndim == 1:
            return values.reshape(-1, 1)
        raise ValueError

    def array(self, values: ArrayLike) -> NDArray[np.int64]:
        """Returns values as an array of the dtype, range unchecked; UsageError if they are not whole numbers."""
        return _cast(self, values)

    def outside(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns a mask of the values outside the space."""
        return (values < self.low) | (values >= self.stop)

    def form(self, rows: UpTo) -> Numbers:
        """Describes stored values of the space, one per row."""
        return Numbers(INT64, (rows,), self.low, self.stop - 1)

    def _whole(self, value: Any) -> int:
        try:
            return operator.index(value)
        except TypeError:
            raise UsageError(f"{self.what} must be a whole number, got {value!r}") from None


class BoxColumn:
    """A field for the arrays of a Box space, all of one shape and dtype."""

    low = stop = 0  # no range to check

    def __init__(self, what: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.what, self.dtype, self.shape = what, dtype, shape
        self._ndim = 1 + len(shape)  # of a batch
        self.format = f"{np.empty(shape, dtype).nbytes}s"

    def encode(self, value: Any) -> bytes:
        """Returns one array ready for `struct`; UsageError if its shape or dtype does not fit."""
        array = _cast(self, value)
        if array.shape != self.shape:
            raise UsageError(f"{self.what} must have shape {self.shape}, got {array.shape}")
        return array.tobytes()

    def words(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Views an array (n, *shape) of the column as rows of words, (n, k); ValueError if it cannot.

        Does not check the length of rows that are already flat.
        """
        if values.dtype is not self.dtype or values.ndim != self._ndim:
            raise ValueError
        if self._ndim != 2:  # noqa: PLR2004  (flat rows)
            if values.shape[1:] != self.shape:
                raise ValueError
            values = values.reshape(len(values), -1)
        return values.view(INT64)

    def array(self, values: ArrayLike) -> NDArray[Any]:
        """Returns values as an array of the column's dtype; UsageError if they do not fit."""
        return _cast(self, values)

    def outside(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns a mask of the values outside the space: none, as Gymnasium treats a Box's bounds as advisory."""
        return np.zeros(len(values), np.bool_)

    def form(self, rows: UpTo) -> Numbers:
        """Describes stored arrays of the space, one per row."""
        return Numbers(self.dtype, (rows, *self.shape))


Column = DiscreteColumn | BoxColumn


def column_of(what: str, space: spaces.Space[Any] | Column | None) -> Column:
    """Returns the field for a space, a field as it is, or a still unknown one for None.

    Raises:
        UsageError: the space is neither Discrete nor Box.
    """
    if space is None:
        return BoxColumn(what, np.dtype(np.float64), UNKNOWN)
    if isinstance(space, Column):
        return space
    if isinstance(space, spaces.Discrete):
        return DiscreteColumn(what, int(space.start), int(space.start) + int(space.n))
    if isinstance(space, spaces.Box):
        return BoxColumn(what, np.dtype(space.dtype), space.shape)
    raise UsageError(f"a replay buffer takes Discrete and Box spaces, got {space}")


def column_like(what: str, value: Any) -> Column:
    """Returns the field for values like this one: whole numbers, or arrays of its shape and dtype.

    Raises:
        UsageError: it is neither a number nor an array of numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # ragged
        raise UsageError(f"{what} must be a number or an array of numbers: {error}") from None
    if array.dtype.kind not in "biuf" or not array.size:
        raise UsageError(f"{what} must be a number or an array of numbers, got {value!r:.80}")
    if not array.ndim and array.dtype.kind in "iu":
        return DiscreteColumn(what, -MOST, MOST)
    return BoxColumn(what, array.dtype, array.shape)


def range_of(column: Column) -> list[int] | None:
    """Returns what JSON must record about a column besides dtype and shape: the start and stop of a Discrete space."""
    return [column.low, column.stop] if isinstance(column, DiscreteColumn) else None


def column_again(what: str, values: Any, described: Any) -> Column:
    """Rebuilds a field from its stored values (n, *shape) and what `range_of` returned for it.

    Raises:
        UsageError: they are damaged.
    """
    if described is not None:
        bounds = Whole(-MOST, MOST)
        found = checked({what: described}, {what: List((bounds, bounds))})
        return DiscreteColumn(what, *found[what])
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or not values.ndim:
        raise UsageError(f"the state is damaged: {what} must be an array of numbers")
    return BoxColumn(what, values.dtype, values.shape[1:])


def row_type(observation: Column, action: Column) -> np.dtype[np.void]:
    """Returns the structured dtype of a transition, padded to whole cache lines so that a draw touches no others."""
    kinds = [(c.dtype, c.shape) for c in (observation, action)]
    types: list[Any] = [*kinds, np.float64, kinds[0], np.bool_, np.bool_]
    packed = np.dtype(list(zip(FIELDS, types, strict=True)), align=True)
    formats, offsets = zip(*(packed.fields[name][:2] for name in FIELDS), strict=True)  # type: ignore[index]
    itemsize = -(-packed.itemsize // CACHE_LINE) * CACHE_LINE
    layout = {"names": FIELDS, "formats": formats, "offsets": offsets, "itemsize": itemsize}
    return np.dtype(layout, align=True)  # type: ignore[call-overload,no-any-return]  # NumPy's types reject this valid dict


def row_struct(dtype: np.dtype[np.void], observation: Column, action: Column) -> Struct:
    """Returns the Struct that packs a transition into a row's bytes: six times faster than NumPy's assignment."""
    pieces, position = ["="], 0
    for name, kind in zip(FIELDS, (observation.format, action.format, "d", observation.format, "?", "?"), strict=True):
        offset = dtype.fields[name][1]  # type: ignore[index]  # a structured dtype has fields
        pieces.append(f"{offset - position}x{kind}")
        position = offset + Struct(f"={kind}").size
    return Struct("".join([*pieces, f"{dtype.itemsize - position}x"]))


def check_memory(what: str, size: int) -> None:
    """Refuses an allocation of `size` bytes that would exhaust the machine's memory later.

    Raises:
        UsageError: it exceeds the memory of this machine.
    """
    available = _memory()
    if size > available:
        raise UsageError(
            f"{what} takes {size / 1e9:,.1f} GB, this machine has {available / 1e9:,.1f} GB: "
            "choose a smaller capacity (buffer_size)"
        )


def aligned_zeros(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns an array (count,) of zeros, aligned to a cache line."""
    raw = np.zeros(count * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + count * dtype.itemsize].view(dtype)


def whole(name: str, value: SupportsIndex, at_least: int) -> int:
    """Returns a count as an int; UsageError if it is not a whole number, or too small."""
    try:
        count = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, got {value!r}") from None
    if count < at_least:
        raise UsageError(f"{name} must be at least {at_least}, got {count}")
    return count


def proportion(name: str, value: float) -> float:
    """Returns a number in [0, 1] as a float; UsageError if it is not one."""
    if not isinstance(value, Real | np.generic) or not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} must be in [0, 1], got {value!r}")
    return float(value)


def _cast(column: Column, values: ArrayLike) -> NDArray[Any]:
    """Returns values in the column's dtype; only floats may change, by rounding."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # ragged
        raise UsageError(f"{column.what} must have shape {column.shape}: {error}") from None
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{column.what} must be numbers of dtype {column.dtype}, got {array.dtype}")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = np.ascontiguousarray(array, column.dtype).reshape(array.shape)
    if array.dtype != column.dtype and not _fits(array, cast):
        raise UsageError(f"{column.what} must fit dtype {column.dtype}, got {array.dtype} with values that do not")
    return cast


def _fits(array: NDArray[Any], cast: NDArray[Any]) -> bool:
    if array.dtype.kind == cast.dtype.kind == "f":
        return bool((np.isinf(cast) == np.isinf(array)).all())
    return np.array_equal(array, cast)


def _memory() -> float:
    """Returns the memory of this machine or its container in bytes; infinity if unknown."""
    available = float("inf")
    with contextlib.suppress(AttributeError, ValueError, OSError):
        available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ValueError, OSError):  # "max", or the file is missing: no limit
        available = min(available, int(CONTAINER.read_text()))
    with contextlib.suppress(ImportError):  # on Windows
        import resource  # noqa: PLC0415  (it is not everywhere)

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        available = available if limit == resource.RLIM_INFINITY else min(available, limit)
    return available
