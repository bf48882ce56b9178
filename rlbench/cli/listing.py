"""The list of runs: a table, and what is the same for all its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.cli.output import print_table, say
from rlbench.store.conditions import values_of
from rlbench.store.listing import FIGURES, FORMS, WHO, are_numbers, cell, differing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlbench.store import RunRecord

WORDED = {"env": "of {}", "agent": "by {}", "seed": "seed {}"}
FIRST_TO_GO = ("started", "seconds", "steps", "regret", "tags", "episodes")  # on a narrow terminal
LAST_TO_GO = ("agent", "seed", "env", "return")  # run and status stay


def print_runs(runs: Sequence[RunRecord], measured: Sequence[dict[str, float]] = ()) -> None:
    """Prints runs as a table, and what is the same for all; `measured` is what a study found of each."""
    rows = [{**values_of(run), **found} for run, found in zip(runs, measured or [{}] * len(runs), strict=True)]
    varied = differing(rows)
    who = [name for name in WHO if name in varied or len(rows) == 1]
    settings = [name for name in varied if name not in WHO]
    figures = [name for name in FIGURES if any(name in row for row in rows)]
    columns = ["run", *who, *settings, *figures]
    left_out = print_table(
        columns,
        ([cell(name, row.get(name)) for name in columns] for row in rows),
        right=["seed", *FORMS, *(name for name in settings if are_numbers(rows, name))],
        optional=[*FIRST_TO_GO, *reversed(settings), *LAST_TO_GO],
    )
    same = " ".join(WORDED[name].format(rows[0][name]) for name in WHO if name not in who)
    if same:
        say(f"all {same.replace(' seed', ', seed')}")
    narrow = [name for name in left_out if name in varied]
    if narrow:
        say(f"too narrow for {', '.join(narrow)}")
