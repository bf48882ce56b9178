"""`rlbench power`: how many seeds it takes to tell two settings apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.options import (
    examples,
    json_option,
    out_option,
    seed_option,
    selection_options,
    store_option,
    trust_option,
)
from rlbench.cli.output import print_json, say
from rlbench.cli.plot import chosen_runs, look_options
from rlbench.cli.studies import names_study
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from rlbench import Power, plots
else:  # matplotlib and NumPy only when a command runs
    plots = LazyModule("rlbench.plots")

TOLD = (
    *("labels", "seeds", "means", "what", "difference", "interval", "spread", "is_paired", "test", "alpha", "power"),
    *("needed", "needed_interval", "false_alarms", "notes"),
)


@click.command(
    epilog=examples(
        "rlbench power cliff",
        "rlbench power cliff --a agent=sarsa,learning_rate=0.1 --b agent=q-learning,learning_rate=0.1",
        "rlbench power --env safecab --tag lab --power 0.9 --out power.png",
    )
)
@click.argument("runs", metavar="[STUDY|RUN]...", nargs=-1, shell_complete=completing.several_runs)
@click.option("--a", metavar="NAME=VALUE,...", help="Of a STUDY the first setting; by default the best.")
@click.option("--b", metavar="NAME=VALUE,...", help="The second; by default the next that `compare` names.")
@click.option("--alpha", type=float, metavar="P", default=0.05, show_default=True, help="Error rate of the test.")
@click.option(
    "--power",
    "target",
    type=float,
    metavar="P",
    default=0.8,
    show_default=True,
    help="The probability of telling them apart that you want.",
)
@click.option(
    "--paired/--unpaired",
    default=None,
    help="Compare the two seed by seed, or not; by default where both have the same seeds.",
)
@out_option("Also draw it: a .png, .svg or .pdf.")
@look_options
@seed_option
@trust_option
@selection_options
@store_option
@json_option
@says_that_it_compiles
def power(
    runs: tuple[str, ...],
    a: str | None,
    b: str | None,
    alpha: float,
    target: float,
    paired: bool | None,  # noqa: FBT001  (click calls by name)
    out: str | None,
    look: dict[str, Any],
    dpi: int,
    seed: int,
    selection: dict[str, Any],
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> None:
    """Say how many seeds it takes to tell two settings apart, by simulation from the spread that was measured.

    Of a STUDY two combinations, each named by what tells it from the others: agent=NAME, and parameters. Or RUNs of two
    settings, as `rlbench compare` groups them over their seeds, by the mean return of 100 greedy episodes.

    The test is the paired t-test, or Welch's. It is simulated with 2 to 1,000 seeds each, drawn with replacement from
    those that were measured; so is its rate of false alarms, where the two do not differ. The interval is that of the
    simulation: that the true difference and spread are the measured ones, it takes for granted.
    """
    plots.check(path=out, size=look["size"], column=look["column"], dpi=dpi)
    with rlbench.open_store(store, create=False) as opened:
        is_study = len(runs) == 1 and names_study(opened, runs[0])
        what = (
            rlbench.load_study(opened, runs[0])
            if is_study
            else chosen_runs(opened, runs, selection, needs="agent", trust=trust)
        )
        found = rlbench.power(what, a, b, alpha=alpha, power=target, paired=paired, seed=seed)
    path = None if out is None else str(plots.save(found.plot(**look), out, dpi=dpi))
    if as_json:
        print_json({**_document(found), "out": path})
        return
    say(str(found))
    if path is not None:
        say(f"wrote {path}")


def _document(found: Power) -> dict[str, Any]:
    return {name: getattr(found, name) for name in TOLD} | {"simulated": True}
