"""What a tuning searches: parameters with ranges, or lists of values."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.agents import AGENTS
from rlbench.errors import UsageError
from rlbench.settings import parse_value
from rlbench.studies.axes import Axis, axes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RANGE = re.compile(r"([^:]+?)\.\.([^:]+?)(:log)?")
DIGITS = ".9g"  # of a value: the last ones may differ between machines, and a person types fewer
SAMPLERS = ("tpe", "random", "grid")


def search_of(search: Mapping[str, str | Iterable[Any]], agent: str) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
    """Returns what is searched, and the names of the axes that stand for all values between their two.

    Args:
        search: of each parameter its values, or a text: "lo..hi", "lo..hi:log", or as `axes_of` reads it.
        agent: whose parameters they are.

    Raises:
        UsageError: a range or the values cannot be read.
    """
    if not isinstance(search, dict) or not search:
        raise UsageError(f"a tuning searches parameters in ranges or lists of values, got {search!r}: name one")
    found = {str(name): RANGE.fullmatch(asked) for name, asked in search.items() if isinstance(asked, str)}
    ranges = {name: _range(name, match, agent) for name, match in found.items() if match is not None}
    listed = {str(name): asked for name, asked in search.items() if str(name) not in ranges}
    lists = {axis.name: axis for axis in axes_of(listed)} if listed else {}
    return tuple({**ranges, **lists}[str(name)] for name in search), tuple(ranges)


def _range(name: str, match: re.Match[str], agent: str) -> Axis:
    low, high = ends = [parse_value(end.strip()) for end in match.group(1, 2)]
    if not all(type(end) in (int, float) and math.isfinite(end) for end in ends):
        raise UsageError(f"{name} takes lo..hi, lo..hi:log or values a,b,c, such as 0.01..1:log, got {match[0]!r}")
    if low >= high:
        raise UsageError(f"a range goes from the lower end to the higher, got {name}={match[0]}")
    if match[3] and low <= 0:
        raise UsageError(f"a range on a logarithmic scale begins above 0, got {name}={match[0]}")
    kind = _kind(name, agent)
    if kind == "int" and not all(type(end) is int for end in ends):
        raise UsageError(f"{name} is a whole number: its range has whole ends, got {match[0]!r}")
    if kind == "float":
        low, high = float(low), float(high)
    return Axis(name, (low, high), bool(match[3]))


def _kind(name: str, agent: str) -> str:
    """Returns the type of an agent's parameter; of an argument of the env, whose is unknown, nothing."""
    parameters = fields(AGENTS[agent].Parameters) if agent in AGENTS else ()
    return next((str(one.type).partition(" ")[0] for one in parameters if one.name == name), "")


def distribution(optuna: Any, axis: Axis, *, is_range: bool) -> Any:
    """Returns an axis as Optuna knows it; listed values are words to it, for which 1 and true are the same."""
    if not is_range:
        return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in axis.values])
    low, high = axis.values
    is_whole = type(low) is int and type(high) is int
    kind = optuna.distributions.IntDistribution if is_whole else optuna.distributions.FloatDistribution
    return kind(low, high, log=axis.is_log)


def value_of(axis: Axis, told: Any, *, is_range: bool) -> Any:
    """Returns the value that Optuna chose."""
    if not is_range:
        return json.loads(told)
    if isinstance(told, float):
        return float(np.clip(float(format(told, DIGITS)), *axis.values))
    return int(told)


def is_in(axis: Axis, value: Any, *, is_range: bool) -> bool:
    """Returns whether an axis has a value."""
    if not is_range:
        return json.dumps(value) in map(json.dumps, axis.values)
    low, high = axis.values
    is_whole = type(low) is int and type(high) is int
    return type(value) is (int if is_whole else float) and low <= value <= high
