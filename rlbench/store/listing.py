"""What a list of runs shows: what differs between its rows is a column, and each value is written in few characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.settings import write_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WHO = ("env", "agent", "seed")
FIGURES = ("tags", "status", "episodes", "steps", "seconds", "return", "regret", "area", "steps-to", "started")
ASKED = {*WHO, "preset", "wrappers", "callbacks", "eval_every", "eval_episodes"}  # no env or preset brings them along
FORMS = {
    "episodes": ",",
    "steps": ",",
    "seconds": ".2f",
    "return": ".2f",
    "regret": ".4g",
    "area": ".2f",
    "steps-to": ",.0f",
}
WIDEST = 24  # characters of a value
UNLISTED = {"run", *FIGURES, "studies", "record", "initial_table"}  # the digest of a table says nothing to a person


def differing(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the settings in which rows differ; what an env or a preset brings along is no difference."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["env"], row.get("preset"), "initial_table" in row), []).append(row)
    names = dict.fromkeys(name for row in rows for name in row if name not in UNLISTED)
    return [
        name
        for name in names
        if (_differs(rows, name) if name in ASKED else any(_differs_in_group(group, name) for group in groups.values()))
    ]


def _differs(rows: Sequence[dict[str, Any]], name: str) -> bool:
    return any(row.get(name) != rows[0].get(name) for row in rows)


def _differs_in_group(rows: Sequence[dict[str, Any]], name: str) -> bool:
    """Returns whether a setting differs; that agents of another name lack it is no difference."""
    agents = {row["agent"] for row in rows if name in row}
    return _differs([row for row in rows if row["agent"] in agents], name)


def are_numbers(rows: Iterable[dict[str, Any]], name: str) -> bool:
    """Returns whether all values of this name are numbers."""
    return all(isinstance(row[name], int | float) for row in rows if name in row)


def cell(name: str, value: Any) -> str:
    """Returns a value as it stands in the table."""
    if value is None:
        return "-"
    if name == "started":
        return str(value)[:19]  # to the second
    if name in FORMS:
        return format(value, FORMS[name])
    told = value if isinstance(value, str) else write_setting(value)
    if isinstance(value, list):
        told = " ".join(map(str, value))
    if isinstance(value, float) and float(f"{value:g}") == value:
        told = f"{value:g}"  # 1.75e+06, not 1750000.0
    return told if len(told) <= WIDEST or name in WHO else told[: WIDEST - 1] + "…"
