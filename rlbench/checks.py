"""Checks of arguments, shared by the public functions of many rooms."""

from __future__ import annotations

import math
from numbers import Integral
from operator import index
from typing import Any

import numpy as np

from rlbench.errors import UsageError


def whole_number(name: str, value: Any, *, least: int = 1, most: float = math.inf) -> int:
    """Returns a whole number, of Python or NumPy, as an int; a bool is not accepted.

    Raises:
        UsageError: the value is not a whole number, or is out of range.
    """
    if not is_whole_number(value, least=least, most=most):
        wanted = f", {least} or more" if most == math.inf else f" from {least} to {most:,}"
        raise UsageError(f"{name} must be a whole number{wanted}, got {value!r}")
    return int(value)


def is_whole_number(value: Any, *, least: int = 1, most: float = math.inf) -> bool:
    """Returns whether a value is a whole number in this range, and not a bool."""
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most


def place(name: str, value: Any, size: int) -> int:
    """Returns a whole number from 0 to size - 1, of Python or NumPy, as an int.

    Raises:
        UsageError: it is anything else.
    """
    try:
        number = index(value)
    except TypeError:
        number = -1
    if not 0 <= number < size:
        raise UsageError(f"{name} must be a whole number from 0 to {size - 1}, got {_shown(value)}")
    return number


def finite(name: str, value: Any) -> float:
    """Returns a finite real number as a float.

    Raises:
        UsageError: it is anything else.
    """
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{name} must be a finite number, got {_shown(value)}")
    return number


def flag(name: str, value: Any) -> bool:
    """Returns True or False, of Python or NumPy, as a bool.

    Raises:
        UsageError: it is anything else.
    """
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{name} must be True or False, got {_shown(value)}")
    return bool(value)


def _shown(value: Any) -> str:
    return " ".join(repr(value).split())[:100]
