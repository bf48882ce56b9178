"""What came of one training with many seeds: a row each, and how good they are together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlbench.cli import listing
from rlbench.cli.output import print_table, say
from rlbench.store.conditions import values_of
from rlbench.store.listing import FORMS, cell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlbench.training import Run

COLUMNS = ("seed", "run", "status", "episodes", "steps", "seconds", "return", "regret")


def together(runs: Sequence[Run]) -> dict[str, Any]:
    """Returns the mean over runs of their mean returns, its bootstrap interval, and the mean of their regrets."""
    from rlbench.intervals import mean_interval  # noqa: PLC0415  (NumPy)

    values = [values_of(run.record) for run in runs]
    returns = [one["return"] for one in values if "return" in one]
    regrets = [one["regret"] for one in values if "regret" in one]
    return {
        "mean_return": sum(returns) / len(returns) if returns else None,
        "interval": list(mean_interval(returns, 0)) if len(returns) > 1 else None,
        "mean_regret": sum(regrets) / len(regrets) if regrets else None,
    }


def print_seeds(runs: Sequence[Run]) -> None:
    """Prints it."""
    if not runs:
        say("stopped before a training had begun")
        return
    first, found = runs[0], together(runs)
    say(f"{first.agent_name} on {first.env_id}, {len(runs)} {'seed' if len(runs) == 1 else 'seeds'}")
    rows = ([cell(name, values_of(run.record).get(name)) for name in COLUMNS] for run in runs)
    print_table(COLUMNS, rows, right=("seed", *FORMS), optional=listing.FIRST_TO_GO)
    if found["mean_return"] is not None:
        interval = found["interval"] and " (95% interval {:.2f} to {:.2f})".format(*found["interval"])
        regret = "" if found["mean_regret"] is None else f", mean regret {found['mean_regret']:.4g}"
        say(f"  greedy    mean return {found['mean_return']:.2f}{interval or ''} over the seeds{regret}")
    reused = sum(run.cache != "miss" for run in runs)
    how = f", {reused} of them from there in whole or in part (--no-cache trains anew)" if reused else ""
    say(f"  stored    {len(runs)} {'run' if len(runs) == 1 else 'runs'} in {first.store.url}{how}")
