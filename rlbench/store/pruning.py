"""Which runs a store may do without: all but the last, the best and the young ones of each env and agent."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from rlbench.store import RunRecord, Store

AGE = re.compile(r"([0-9]{1,6})([hdw])")
HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def age_of(text: str) -> timedelta:
    """Reads an age, such as 12h, 30d or 8w."""
    found = AGE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"an age is a number of hours, days or weeks, such as 12h, 30d or 8w, got {text!r:.80}")
    return timedelta(hours=int(found[1]) * HOURS[found[2]])


def superfluous(
    store: Store,
    *,
    keep_last: int | None = None,
    keep_best: int | None = None,
    older_than: timedelta | None = None,
) -> list[RunRecord]:
    """Returns the runs that none of the rules keeps, the newest first; of each env and agent apart.

    Runs in training, runs with a tag or a note, and those that a study needs are always kept.

    Args:
        store: where they are.
        keep_last: keeps the newest of each env and agent, this many.
        keep_best: keeps those with the highest evaluations, this many.
        older_than: keeps what was begun less than this long ago.

    Raises:
        UsageError: no rule is given: all runs would be superfluous.
    """
    if keep_last is None and keep_best is None and older_than is None:
        raise UsageError("say what to keep: --keep-last N, --keep-best N, or --older-than AGE")
    runs, moment = store.runs(), store.backend.now()
    kept = {run.id for run in runs if _is_marked(run)}
    if older_than is not None:
        kept |= {run.id for run in runs if moment - datetime.fromisoformat(run.created_at) < older_than}
    for _, group in groupby(sorted(runs, key=_who), key=_who):  # sorting keeps the order within a group
        alike = list(group)
        kept |= {run.id for run in alike[: keep_last or 0]}
        kept |= {run.id for run in sorted(alike, key=_return, reverse=True)[: keep_best or 0]}
    return [run for run in runs if run.id not in kept]


def _is_marked(run: RunRecord) -> bool:
    return bool(run.status == "running" or run.tags or run.note or run.studies)


def _who(run: RunRecord) -> tuple[str, str]:
    return run.env_id, run.agent_name


def _return(run: RunRecord) -> float:
    """Returns the mean return of a run's latest evaluation; without one it is the worst."""
    found = (run.evaluation or {}).get("mean_return")
    return -math.inf if found is None else float(found)
