"""What the columns of a CSV file tell of a run, where the file that describes it is missing.

Numbers without decimals are int64, others float64, True and False bool; an env that the user names knows better. The
columns must be those that an export writes; "explored" and the figures may be missing, others are left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UsageError
from rlbench.exchange.cells import Parser
from rlbench.exchange.csv_tables import NEEDED
from rlbench.exchange.flat import FINAL, MARKS, NEXT
from rlbench.exchange.manifest import VERSION, Manifest, unknown_run
from rlbench.store.columns import parts
from rlbench.store.frames import Column

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym

    from rlbench.exchange.batches import Batch
    from rlbench.exchange.csv_tables import Table

PLURALS = {"observation": "observations", "action": "actions"}
# whatever the cells say
DTYPES = {"reward": "<f8", "explored": "|b1", "episode_return": "<f8", "episode_length": "<i8"}
NUMBERED = re.compile(r"(.+?)(?:\.(\d{1,4}))?")  # "observation.3": a column of the array "observation"
WHOLE, POINTED = re.compile(r"[+-]?\d+"), re.compile(r"[+-]?\d+[.,]0*")


def guessed(table: Table, env: gym.Env[Any, Any] | None) -> Manifest:
    """Reads a whole table, and returns the manifest that describes it.

    Raises:
        UsageError: a column is missing, or those of an array are not numbered from 0, or do not fit the env.
    """
    missing = [name for name in NEEDED if name not in table.header]
    if missing:
        raise UsageError(f"line 1: the column {missing[0]!r} is missing: episodes have {', '.join(NEEDED)}")
    table.places(NEEDED)
    kinds, episodes = _kinds(table)
    if not episodes:
        raise UsageError(f"line {table.line}: it has the names of columns, but no episode begins below them")
    arrays = _arrays(table.header)
    columns = {_plural(name): _column(name, ways, kinds) for name, ways in arrays.items() if _is_of_a_step(name)}
    if env is not None:
        columns |= _of_env(columns, env)
    figures = {
        name.removeprefix("episode_"): _column(name, ways, kinds)
        for name, ways in arrays.items()
        if name.startswith("episode_") and all("text" not in kinds[way] for way in ways)
    }
    version = 1 if MARKS in table.header else VERSION
    return Manifest("episodes", unknown_run(), episodes, columns, figures, version=version)


def fitting(batches: Iterator[Batch], env: gym.Env[Any, Any] | None) -> Iterator[Batch]:
    """Passes batches on; UsageError if a number is not in the Discrete space that the env has for it."""
    spans = {name: space for name, space in _parts(env).items() if isinstance(space, spaces.Discrete)}
    for batch in batches:
        for name, space in spans.items():
            column = batch.steps[name]
            wrong = column[(column < space.start) | (column >= space.start + space.n)]
            if len(wrong):
                raise UsageError(
                    f"{name} from episode {batch.episodes[0]} on must be in {space}, as the env has it, got {wrong[0]}"
                )
        yield batch


def _kinds(table: Table) -> tuple[dict[str, set[str]], int]:
    """Returns which kinds of cells each column has, and how many episodes begin."""
    kinds: dict[str, set[str]] = {name: set() for name in table.header}
    episodes, parser = 0, Parser(table.delimiter, is_checked=False)
    step = table.header.index("step")
    for block in table.blocks():
        for name, cells in zip(table.header, zip(*block, strict=True), strict=True):
            kinds[name] |= {_kind(cell, parser) for cell in set(cells)}
        episodes += sum(parser.is_zero(row[step]) for row in block)
    return kinds, episodes


def _kind(cell: str, parser: Parser) -> str:
    text = cell.strip()
    if parser.is_blank(text):
        return "blank"
    if text.lower() in {"true", "false"}:
        return "bool"
    if WHOLE.fullmatch(text):
        return "whole"
    if POINTED.fullmatch(text):
        return "pointed"
    try:
        float(text.replace(",", "."))
    except ValueError:
        return "text"
    return "decimal"


def _arrays(header: list[str]) -> dict[str, list[str]]:
    """Returns the columns of each array; UsageError if they are not numbered from 0."""
    arrays: dict[str, list[str]] = {}
    for name in header:
        found = NUMBERED.fullmatch(name)
        if found:
            arrays.setdefault(found[1], []).append(name)
    for name, ways in arrays.items():
        if (_is_of_a_step(name) or name.startswith("episode_")) and ways != [name]:
            expected = [f"{name}.{i}" for i in range(len(ways))]
            if sorted(ways) != sorted(expected):
                raise UsageError(
                    f"the columns of {name!r} must be numbered from {name}.0 on, got {', '.join(ways)[:80]}"
                )
            ways[:] = expected
    return arrays


def _is_of_a_step(name: str) -> bool:
    return name in {"reward", "explored"} or name.partition("/")[0] in PLURALS


def _plural(name: str) -> str:
    head, slash, part = name.partition("/")
    return {**PLURALS, "reward": "rewards"}.get(head, head) + slash + part


def _column(name: str, ways: list[str], kinds: dict[str, set[str]]) -> Column:
    shape = () if ways == [name] else (len(ways),)
    return Column(DTYPES.get(name) or _dtype(ways, kinds), shape)


def _dtype(ways: list[str], kinds: dict[str, set[str]]) -> str:
    """Returns the dtype of the cells in some columns; a text among them is refused later, with its line."""
    found = {kind for way in ways for kind in kinds[way]} - {"blank", "text"}
    tails = [way.removeprefix("observation") for way in ways if way.startswith("observation")]
    others = {kind for tail in tails for head in (NEXT, FINAL) for kind in kinds.get(head + tail, ())}
    found |= others & {"decimal"}  # whole ones are written with a point where others of their column are blank
    if found == {"bool"}:
        return "|b1"
    is_whole = found == {"whole"} or not (found or ways[0].startswith("episode_"))
    return "<i8" if is_whole else "<f8"


def _parts(env: gym.Env[Any, Any] | None) -> dict[str, Any]:
    if env is None:
        return {}
    both = (("observations", env.observation_space), ("actions", env.action_space))
    return {part.name: part.space for name, space in both for part in parts(space, name)}


def _of_env(columns: dict[str, Column], env: gym.Env[Any, Any]) -> dict[str, Column]:
    """Returns the columns of an env's observations and actions; UsageError if the table has others."""
    expected = {
        name: Column(np.dtype(space.dtype).str, tuple(space.shape or ())) for name, space in _parts(env).items()
    }
    found = {name: column for name, column in columns.items() if name.partition("/")[0] in PLURALS.values()}
    for name in dict.fromkeys((*expected, *found)):
        widths = [side[name].width if name in side else 0 for side in (expected, found)]
        if widths[0] != widths[1]:
            raise UsageError(f"the env has {widths[0]} numbers of {name} in each row, the file {widths[1]}")
    return expected
