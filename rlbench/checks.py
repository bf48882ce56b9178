"""Checks of arguments, shared by the public functions of many rooms."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

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
