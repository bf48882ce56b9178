"""How transitions lie in memory: one packed row each, on whole cache lines, and what goes into its fields."""

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

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FIELDS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")
CACHE_LINE = 64  # bytes
WORD = 8  # bytes
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # Linux's limit for a container, in bytes
INT64 = np.dtype(np.int64)


class DiscreteColumn:
    """A field that holds the numbers of a Discrete space."""

    dtype, shape, format = INT64, (), "q"

    def __init__(self, what: str, low: int, stop: int) -> None:
        self.what, self.low, self.stop = what, low, stop

    def encode(self, value: Any) -> int:
        """Returns one value as `struct` packs it; UsageError if it is not of the space."""
        if value.__class__ is not int:
            value = self._whole(value)
        if self.low <= value < self.stop:
            return value  # type: ignore[no-any-return]  # an int: see above
        raise UsageError(f"{self.what} must be a whole number of {self.low} to {self.stop - 1}, got {value}")

    def words(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Returns an array (n,) of the column as rows of words, (n, 1), in place; ValueError if it is none."""
        if values.dtype is INT64 and values.ndim == 1:
            return values.reshape(-1, 1)
        raise ValueError

    def array(self, values: ArrayLike) -> NDArray[np.int64]:
        """Returns values as an array of the dtype, whose range is not looked at; UsageError if they are no numbers."""
        return _cast(self, values)

    def outside(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns which values are not of the space."""
        return (values < self.low) | (values >= self.stop)

    def _whole(self, value: Any) -> int:
        try:
            return operator.index(value)
        except TypeError:
            raise UsageError(f"{self.what} must be a whole number, got {value!r}") from None


class BoxColumn:
    """A field that holds the arrays of a Box space, all of one shape and dtype."""

    low = stop = 0  # no range to keep

    def __init__(self, what: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self.what, self.dtype, self.shape = what, dtype, shape
        self._ndim = 1 + len(shape)  # of many values
        self.format = f"{np.empty(shape, dtype).nbytes}s"

    def encode(self, value: Any) -> bytes:
        """Returns one array as `struct` packs it; UsageError if its shape or dtype does not fit."""
        array = _cast(self, value)
        if array.shape != self.shape:
            raise UsageError(f"{self.what} must have shape {self.shape}, got {array.shape}")
        return array.tobytes()

    def words(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """Returns an array (n, *shape) of the column as rows of words, (n, k), in place; ValueError if it cannot be.

        Of rows that are flat already the length is not looked at.
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
        """Returns which values are not of the space: a Box's bounds are advice, as Gymnasium itself treats them."""
        return np.zeros(len(values), np.bool_)


Column = DiscreteColumn | BoxColumn


def column_of(what: str, space: spaces.Space[Any] | Column) -> Column:
    """Returns the field for a space, or the field itself; UsageError if the space is neither Discrete nor Box."""
    if isinstance(space, Column):
        return space
    if isinstance(space, spaces.Discrete):
        return DiscreteColumn(what, int(space.start), int(space.start) + int(space.n))
    if isinstance(space, spaces.Box):
        return BoxColumn(what, np.dtype(space.dtype), space.shape)
    raise UsageError(f"a replay buffer holds Discrete and Box spaces, got {space}")


def described(column: Column) -> list[int] | None:
    """Returns what JSON must keep of a column beside its dtype and shape: a Discrete space's first number and stop."""
    return [column.low, column.stop] if isinstance(column, DiscreteColumn) else None


def column_again(what: str, values: NDArray[Any], described: list[int] | None) -> Column:
    """Returns the field whose values (n, *shape) were kept, and what `described` said of it."""
    return DiscreteColumn(what, *described) if described else BoxColumn(what, values.dtype, values.shape[1:])


def row_type(observation: Column, action: Column) -> np.dtype[np.void]:
    """Returns a transition as a structured dtype, filled up to whole cache lines: drawing one touches no more."""
    kinds = [(c.dtype, c.shape) for c in (observation, action)]
    types: list[Any] = [*kinds, np.float64, kinds[0], np.bool_, np.bool_]
    packed = np.dtype(list(zip(FIELDS, types, strict=True)), align=True)
    formats, offsets = zip(*(packed.fields[name][:2] for name in FIELDS), strict=True)  # type: ignore[index]
    itemsize = -(-packed.itemsize // CACHE_LINE) * CACHE_LINE
    layout = {"names": FIELDS, "formats": formats, "offsets": offsets, "itemsize": itemsize}
    return np.dtype(layout, align=True)  # type: ignore[call-overload,no-any-return]  # a dict of these four is one


def row_struct(dtype: np.dtype[np.void], observation: Column, action: Column) -> Struct:
    """Returns what packs one transition into a row's bytes: six times faster than NumPy's assignment."""
    pieces, position = ["="], 0
    for name, kind in zip(FIELDS, (observation.format, action.format, "d", observation.format, "?", "?"), strict=True):
        offset = dtype.fields[name][1]  # type: ignore[index]  # a structured dtype has fields
        pieces.append(f"{offset - position}x{kind}")
        position = offset + Struct(f"={kind}").size
    return Struct("".join([*pieces, f"{dtype.itemsize - position}x"]))


def check_memory(what: str, size: int) -> None:
    """Refuses at once what would run the machine out of memory later; `size` in bytes.

    Raises:
        UsageError: with the number, and that of the machine.
    """
    there = _memory()
    if size > there:
        raise UsageError(
            f"{what} takes {size / 1e9:,.1f} GB, this machine has {there / 1e9:,.1f} GB: "
            "ask for a smaller capacity (buffer_size)"
        )


def aligned(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns an array (count,) of zeros that begins on a cache line."""
    raw = np.zeros(count * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + count * dtype.itemsize].view(dtype)


def whole(name: str, value: SupportsIndex, at_least: int) -> int:
    """Returns a count as an int; UsageError if it is none, or too small."""
    try:
        count = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} must be a whole number, got {value!r}") from None
    if count < at_least:
        raise UsageError(f"{name} must be at least {at_least}, got {count}")
    return count


def proportion(name: str, value: float) -> float:
    """Returns a number of [0, 1]; UsageError if it is none."""
    if not isinstance(value, Real | np.generic) or not 0.0 <= value <= 1.0:
        raise UsageError(f"{name} must be in [0, 1], got {value!r}")
    return float(value)


def _cast(column: Column, values: ArrayLike) -> NDArray[Any]:
    """Returns values in the column's dtype: floats are rounded to it, nothing else may change."""
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
    """Returns the bytes of memory of this machine, or of its container; without end where neither says."""
    there = float("inf")
    with contextlib.suppress(AttributeError, ValueError, OSError):
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ValueError, OSError):  # "max", or no such file: no limit
        there = min(there, int(CONTAINER.read_text()))
    return there
