"""What a study varies: parameters with lists of values, or ranges of them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.settings import parse_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

RANGE = re.compile(r"([^:]+?)\.\.([^:]+?):(\d{1,9})(:log)?")
MOST_VALUES = 100_000  # of a parameter
FORMS = "values a,b,c, or a range lo..hi:n or lo..hi:n:log"
DIGITS, LOG_DIGITS = ".12g", ".6g"  # of a value inside a range: a person types 0.3, not 0.30000000000000004


class Axis(NamedTuple):
    """A parameter of the agent, or "env." and an argument of the env, and the values that it takes."""

    name: str
    values: tuple[Any, ...]
    is_log: bool = False  # whether their logarithms are evenly spaced


def parse_over(texts: Iterable[str], option: str = "--over", forms: str = FORMS) -> dict[str, str]:
    """Reads NAME=VALUES pairs, as an option takes them; UsageError for anything else."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not name or not values:
            raise UsageError(f"{option} takes NAME=VALUES, with {forms}, got {text!r}")
        if name in found:
            raise UsageError(f"{option} {name}=... is given twice: give it once")
        found[name] = values
    return found


def axes_of(over: Mapping[str, str | Iterable[Any]]) -> tuple[Axis, ...]:
    """Returns what a study varies.

    Args:
        over: of each parameter its values, or a text: "a,b,c", "lo..hi:n" (n values from lo to hi, evenly spaced) or
            "lo..hi:n:log" (whose logarithms are).

    Raises:
        UsageError: the values cannot be read, are none, or not all different.
    """
    if not isinstance(over, dict) or not over:
        raise UsageError(f"a sweep goes over parameters and their values, got {over!r}: name one")
    return tuple(_axis(str(name), asked) for name, asked in over.items())


def _axis(name: str, asked: str | Iterable[Any]) -> Axis:
    is_log = False
    if not isinstance(asked, str):
        values = [value.item() if isinstance(value, np.generic) else value for value in asked]
    elif ".." in asked:
        values, is_log = _range(name, asked)
    else:
        values = [parse_value(part.strip()) for part in asked.split(",") if part.strip()]
    _check(name, values)
    return Axis(name, tuple(values), is_log)


def check_axes(axes: Sequence[Axis]) -> None:
    """Raises UsageError unless the axes have different names and each different values, which can be drawn."""
    names = [axis.name for axis in axes]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"a study varies different parameters, one at least, got {', '.join(names) or 'none'}")
    for axis in axes:
        _check(axis.name, axis.values)
        if axis.is_log and not all(type(value) in (int, float) and value > 0 for value in axis.values):
            raise UsageError(f"on a logarithmic scale {axis.name} takes numbers above 0, got {axis.values!r:.80}")


def _check(name: str, values: Sequence[Any]) -> None:
    if not values:
        raise UsageError(f"{name} has no values: give one at least")
    if len(values) > MOST_VALUES:
        raise UsageError(f"{name} takes at most {MOST_VALUES:,} values, got {len(values):,}")
    seen: set[str] = set()
    for value in values:
        try:
            told = json.dumps(float(value) if type(value) is int else value, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError, RecursionError, OverflowError):
            raise UsageError(f"{name} takes finite numbers, words and lists of them, got {value!r:.80}") from None
        if told in seen:
            raise UsageError(f"the values of {name} must be different, got {value!r} twice")
        seen.add(told)


def _range(name: str, text: str) -> tuple[list[Any], bool]:
    found = RANGE.fullmatch(text)
    ends = [] if found is None else [parse_value(end.strip()) for end in found.group(1, 2)]
    if found is None or not all(type(end) in (int, float) and np.isfinite(end) for end in ends):
        raise UsageError(f"{name} takes {FORMS}, such as 0.1..1:10, got {text!r}")
    (low, high), count, is_log = ends, int(found[3]), bool(found[4])
    if not 2 <= count <= MOST_VALUES:  # noqa: PLR2004  (its two ends)
        raise UsageError(f"a range has 2 to {MOST_VALUES:,} values, got {count:,} of {name}={text}")
    if low >= high:
        raise UsageError(f"a range goes from the lower end to the higher, got {name}={text}")
    if is_log and low <= 0:
        raise UsageError(f"a range on a logarithmic scale begins above 0, got {name}={text}")
    inner = (np.geomspace if is_log else np.linspace)(low, high, count)[1:-1].tolist()
    if all(type(end) is int for end in ends) and all(float(format(value, DIGITS)).is_integer() for value in inner):
        return [low, *map(round, inner), high], is_log
    digits = LOG_DIGITS if is_log else DIGITS
    return [float(low), *(float(format(value, digits)) for value in inner), float(high)], is_log
