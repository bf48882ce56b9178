"""What is known of a run by name, and conditions on it: learning_rate>=0.1, seed=3, city=20x20."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import UsageError, unknown_name
from rlbench.names import SHORT_NAMES
from rlbench.settings import parse_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rlbench.store.records import RunRecord

CONDITION = re.compile(r"\s*([^=<>!\s]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
FIRST = re.compile(  # a condition and what is between it and the next
    r"""[^=<>!\s]+\s*(?:!=|<=|>=|==|=|<|>)\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|\[[^\]]*\]|\{[^}]*\}|[^\s"'\[{]\S*)(?:[\s,]+|$)"""
)
UNDECIDING = {"preset", "record", "eval_every", "eval_episodes", "initial_table"}  # settings that others tell
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def settings_of(run: RunRecord) -> dict[str, Any]:
    """Returns what was asked for by name: the env, the agent, the seed, and `RunConfig.settings`."""
    return {"env": run.env_id, "agent": run.agent_name, "seed": run.seed, **run.config.settings}


def values_of(run: RunRecord) -> dict[str, Any]:
    """Returns all that is known of a run by name: what was asked for, and what came of it; no name for the unknown."""
    evaluation = run.evaluation or {}
    known = {
        "run": run.id,
        "status": run.status,
        "episodes": run.episodes,
        "steps": run.timesteps,
        "seconds": run.seconds,
        "return": evaluation.get("mean_return"),
        "regret": evaluation.get("regret"),
        "started": run.created_at[:26].replace("T", " "),
        "tags": list(run.tags) or None,
        "studies": list(run.studies) or None,
    }
    return settings_of(run) | {name: value for name, value in known.items() if value is not None}


class Condition(NamedTuple):
    """A condition on one of a run's values."""

    name: str
    sign: str  # =, !=, <, <=, >, >=
    value: Any
    text: str  # as the value was written

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Returns whether it holds: of what a run lacks only `!=` does, of a list `=` does if it has the value."""
        if self.sign == "!=":
            return not self._is_equal(values)
        if self.sign == "=":
            return self._is_equal(values)
        own = values.get(self.name)
        return _are_ordered(own, self.value) and ORDERS[self.sign](own, self.value)

    def _is_equal(self, values: Mapping[str, Any]) -> bool:
        if self.name not in values:
            return False
        own = values[self.name]
        return any(one in (self.value, self.text) for one in (own, *(own if isinstance(own, list) else ())))


def condition(text: str) -> Condition:
    """Reads a condition, its value as `parse_settings` reads it; UsageError if it is none."""
    found = CONDITION.fullmatch(text)
    if found is None:
        raise UsageError(f"a condition is NAME=VALUE, or with !=, <, <=, > or >=, such as seed=3, got {text!r}")
    name, sign, value = found.groups()
    value = SHORT_NAMES.get(value, value) if name == "env" else value
    return Condition(name, "=" if sign == "==" else sign, parse_value(value), value)


def split(text: str) -> list[str]:
    """Splits a line of conditions with blanks between them; a value with blanks in it stands in quotes or brackets.

    Raises:
        UsageError: a part of it is no condition.
    """
    found, rest = [], text.strip()
    while rest:
        first = FIRST.match(rest)
        if first is None:
            condition(rest.split()[0])  # says what one looks like
            raise UsageError(f"expected a value at the end, got {rest!r:.80}")
        found.append(first[0].strip(" ,"))
        rest = rest[first.end() :]
    return found


def holding(runs: Iterable[RunRecord], where: Iterable[str]) -> list[RunRecord]:
    """Returns the runs for which every condition holds.

    Raises:
        UsageError: a text is not a condition.
        UnknownNameError: no run has a value of this name.
    """
    conditions = list(map(condition, where))
    known = [(run, values_of(run)) for run in runs]
    names = {name for _, values in known for name in values}
    unknown = next((one.name for one in conditions if known and one.name not in names), None)
    if unknown is not None:
        raise unknown_name("setting", unknown, names)
    return [run for run, values in known if all(one.holds(values) for one in conditions)]


def _are_ordered(one: Any, other: Any) -> bool:
    """Returns whether one value can be less than the other: two numbers, or two texts."""
    return any(isinstance(one, kind) and isinstance(other, kind) for kind in (int | float, str))
