"""The form of stored state: its entries are described once, and checked before compiled code or memory sees them.

Compiled code checks no bounds, so a state that was edited or damaged would read and write anywhere.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from rlbench.checks import is_whole_number
from rlbench.errors import UsageError
from rlbench.random_state import new_generator_like, set_generator_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST = 2**53  # counts: sums of many of them stay within 64 bits, and a float holds each
SHOWN = 80  # characters of a wrong value
FINITE = sys.float_info.max


class UpTo(NamedTuple):
    """A length of at most `most`, the same wherever a form names it."""

    name: str
    most: int


class Numbers(NamedTuple):
    """An array: its dtype, its shape, and the least and greatest value; floats without a range may be anything."""

    dtype: Any
    shape: tuple[int | UpTo, ...]
    least: float = -math.inf
    most: float = math.inf

    def read(self, value: Any, lengths: dict[str, int]) -> NDArray[Any]:
        """Returns the array in its dtype; ValueError says what is wrong."""
        dtype = np.dtype(self.dtype)
        if not isinstance(value, np.ndarray) or not _becomes(value.dtype, dtype):
            raise ValueError(f"an array of {dtype}, got {_shown(value)}")
        fits = len(self.shape) == value.ndim and all(map(_is_length, self.shape, value.shape, [lengths] * value.ndim))
        if not fits:
            raise ValueError(f"of shape {self._shape(lengths)}, got {value.shape}")
        least, most = self._range(dtype)
        if value.size and (least, most) != _reach(value.dtype):
            for found in (value.min(), value.max()):
                if not least <= found <= most:
                    raise ValueError(f"from {least} to {most}, got {found}")
        return np.ascontiguousarray(value, dtype)

    def _range(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        if dtype.kind not in "iu":
            return self.least, self.most
        low, high = _reach(dtype)
        return max(self.least, low), min(self.most, high)

    def _shape(self, lengths: dict[str, int]) -> str:
        return f"({', '.join(_length(wanted, lengths) for wanted in self.shape)})"


class Whole(NamedTuple):
    """A whole number."""

    least: int = 0
    most: int = MOST

    def read(self, value: Any, _: dict[str, int]) -> int:
        """Returns the number; ValueError says what is wrong."""
        if not is_whole_number(value, least=self.least, most=self.most):
            raise ValueError(f"a whole number from {self.least} to {self.most}, got {_shown(value)}")
        return int(value)


class Real(NamedTuple):
    """A number above `above`, at most `most`."""

    above: float
    most: float = FINITE

    def read(self, value: Any, _: dict[str, int]) -> float:
        """Returns the number; ValueError says what is wrong."""
        is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not is_number or not self.above < value <= self.most:
            raise ValueError(f"a number above {self.above}, up to {self.most}, got {_shown(value)}")
        return float(value)


class List(NamedTuple):
    """A list of whole numbers, each in its own range."""

    items: tuple[Whole, ...]

    def read(self, value: Any, lengths: dict[str, int]) -> list[int]:
        """Returns the list; ValueError says what is wrong."""
        if not isinstance(value, list | tuple) or len(value) != len(self.items):
            raise ValueError(f"a list of {len(self.items)} whole numbers, got {_shown(value)}")
        return [item.read(one, lengths) for item, one in zip(self.items, value, strict=True)]


class GeneratorState(NamedTuple):
    """The state of a generator of the same kind as `rng`."""

    rng: np.random.Generator

    def read(self, value: Any, _: dict[str, int]) -> Any:
        """Returns the state; ValueError says what is wrong."""
        try:
            set_generator_state(new_generator_like(self.rng), value)
        except UsageError as error:
            raise ValueError(f"a generator's stored state: {error}") from error
        return value


class Optional(NamedTuple):
    """An entry that may be missing."""

    entry: Any

    def read(self, value: Any, lengths: dict[str, int]) -> Any:
        """Returns the value in its type; ValueError says what is wrong."""
        return self.entry.read(value, lengths)


class Entry(Protocol):
    """The description of one entry in a form."""

    def read(self, value: Any, lengths: dict[str, int], /) -> Any:
        """Returns the value in its type; ValueError says what is wrong."""


Form: TypeAlias = dict[str, Entry]


def checked(state: Any, form: Form) -> dict[str, Any]:
    """Returns the entries of a state that its form describes, each in the type that it names.

    Raises:
        UsageError: one that is not optional is missing, or one does not fit; the message names it.
    """
    if not isinstance(state, Mapping):
        raise UsageError(f"a state must be a dict of arrays and numbers, got {_shown(state)}")
    missing = [name for name, entry in form.items() if name not in state and not isinstance(entry, Optional)]
    if missing:
        raise UsageError(f"the state lacks {', '.join(sorted(missing))}: it is damaged, or belongs to something else")
    lengths: dict[str, int] = {}
    return {name: _read(name, entry, state[name], lengths) for name, entry in form.items() if name in state}


def _read(name: str, entry: Entry, value: Any, lengths: dict[str, int]) -> Any:
    try:
        return entry.read(value, lengths)
    except ValueError as error:
        raise UsageError(f"the state is damaged, or belongs to something else: {name} must be {error}") from error


@cache
def _reach(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Returns the least and the greatest number that a dtype holds."""
    if dtype.kind not in "iu":
        return -math.inf, math.inf
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _becomes(found: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether a dtype converts to another without loss; integers do, since their range is checked as well."""
    return np.can_cast(found, wanted, "safe") or (found.kind in "iu" and wanted.kind in "iu")


def _is_length(wanted: int | UpTo, found: int, lengths: dict[str, int]) -> bool:
    if isinstance(wanted, UpTo):
        return found <= wanted.most and found == lengths.setdefault(wanted.name, found)
    return found == wanted


def _length(wanted: int | UpTo, lengths: dict[str, int]) -> str:
    if not isinstance(wanted, UpTo):
        return str(wanted)
    return str(lengths[wanted.name]) if wanted.name in lengths else f"up to {wanted.most}"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
