"""`rlbench drift`: what comes in, compared with what was learnt from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.options import (
    examples,
    find_run,
    json_option,
    out_option,
    seed_option,
    store_option,
    trust_option,
)
from rlbench.cli.output import print_json, print_table, say
from rlbench.errors import StoreError
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench import drifting, modelling
    from rlbench.drifting import Drift, page
    from rlbench.modelling import Model
    from rlbench.reports import page as reports_page
    from rlbench.store import Store
    from rlbench.training import Run
else:  # NumPy and what reads files only when the command runs, not for its --help and what the shell completes
    drifting, modelling, page, reports_page = (
        LazyModule(f"rlbench.{name}") for name in ("drifting", "modelling", "drifting.page", "reports.page")
    )

OPTIONAL_COLUMNS = ("PSI", "p", "95 % interval")  # the first to go on a narrow terminal
RIGHT_COLUMNS = ("effect", "p", "p (Holm)", "PSI")
MOST = 40  # columns printed


@click.command(
    epilog=examples(
        "rlbench drift latest --data served.csv",
        "rlbench drift best --data 3f2a --out drift.html",
        "rlbench drift tree-iris --data flowers.csv --json",
    )
)
@click.argument("name", metavar="RUN|MODEL", shell_complete=completing.runs_and_models)
@click.option(
    "--data",
    required=True,
    metavar="RUN|FILE",
    shell_complete=completing.file,
    help="What came: a stored run, or a CSV or Parquet file.",
)
@click.option(
    "--reference",
    metavar="RUN|FILE",
    shell_complete=completing.file,
    help="What to compare with; by default what was learnt from, see above.",
)
@click.option(
    "--alpha",
    type=float,
    metavar="P",
    default=0.05,
    show_default=True,
    help="The probability of calling any column drifted where none is.",
)
@click.option(
    "--least-effect",
    type=float,
    metavar="X",
    default=0.1,
    show_default=True,
    help="Smaller effects do not count as drift, however sure they are.",
)
@click.option(
    "--rows-per-alarm",
    type=int,
    metavar="N",
    default=100_000,
    show_default=True,
    help="The budget of the alarm: one false alarm in so many rows.",
)
@out_option("Also write a report: an .html page.")
@seed_option
@trust_option
@store_option
@json_option
def drift(
    name: str,
    data: str,
    reference: str | None,
    alpha: float,
    least_effect: float,
    rows_per_alarm: int,
    out: str | None,
    seed: int,
    store: str,
    as_json: bool,  # noqa: FBT001  (click calls by name)
    trust: bool,  # noqa: FBT001
) -> None:
    """Compare what comes in with what RUN or MODEL learnt from: has it drifted, and what does that cost?

    For each column: the effect (Wasserstein distance in standard deviations of the reference, Cramer's V for
    categories) with its interval, then the p-value. A model keeps a sample of its training rows. A run is compared with
    greedy episodes of its agent in its own env, or with its last episodes of training if the data explore too. The
    steps of a stored run are held against the env's transition table, where it has one.
    """
    if out is not None:
        reports_page.check_path(out)
    with rlbench.open_store(store, create=False) as opened:
        found = rlbench.drift(
            _target(opened, name, trust=trust),
            _source(opened, data),
            reference=None if reference is None else _source(opened, reference),
            alpha=alpha,
            least_effect=least_effect,
            rows_per_alarm=rows_per_alarm,
            seed=seed,
        )
    path = None if out is None else str(drifting.drift_report(found, out))
    if as_json:
        print_json({**found.summary(), "out": path})
        return
    _print(found)
    if path is not None:
        say(f"wrote {path}")


def _target(store: Store, name: str, *, trust: bool) -> Run | Model:
    """Returns the run of a name, else the model; an error about both if there is neither."""
    try:
        return rlbench.Run(find_run(store, name, needs="agent"), store, trust=trust)
    except StoreError as no_run:
        try:
            return modelling.load_model(store, name)
        except StoreError as no_model:
            is_model = any(name in (entry.id, entry.name, entry.title) for entry in modelling.models(store))
            raise (no_model if is_model else no_run) from no_model


def _source(store: Store, name: str) -> Run | str:
    """Returns a file's path if it is one or looks so, else a run."""
    if Path(name).suffix or Path(name).exists():
        return name
    return rlbench.Run(find_run(store, name, needs="steps"), store)


def _print(found: Drift) -> None:
    say(f"{found.target}: {found.data.source}, compared with {found.reference.source}")
    say()
    shown = sorted(found.columns, key=lambda column: -column.effect)[:MOST]
    print_table(page.COLUMNS, map(page.column_cells, shown), right=RIGHT_COLUMNS, optional=OPTIONAL_COLUMNS)
    if len(found.columns) > MOST:
        say(f"and {len(found.columns) - MOST:,} columns with smaller effects: --json or --out has them")
    say()
    say("\n".join(_lines(found)))


def _lines(found: Drift) -> Iterator[str]:
    compared, state = found.transitions, found.alarms
    if compared is None:
        yield f"transitions  not compared: {found.why_not}"
    else:
        impossible = sum(one.steps for one in compared.impossible)
        yield f"transitions  {impossible:,} of {compared.steps:,} steps are impossible by the table"
        for one in compared.impossible[:3]:
            before, action = page.pair_cells(compared, one)
            after = reports_page.place(compared.layout, one.next_state)
            yield (
                f"             state {before}; action {action}: reward {one.reward:g}, "
                f"next state {after}; {one.steps:,} times"
            )
        drifted = sum(pair.drifted for pair in compared.pairs)
        yield f"             {drifted:,} of {len(compared.pairs):,} pairs with several outcomes have drifted"
        yield (
            f"lost return  {compared.lost_return:.6g} (exact return {compared.before.exact_return:.6g} before, "
            f"{compared.now.exact_return:.6g} now; best possible now {compared.now.optimal_return:.6g})"
        )
    budget = f"budget: one in {found.budget:,} rows without drift"
    yield f"alarms       {state.alarms:,} in {state.windows:,} windows; {budget}"
    yield f"verdict      {'drifted' if found.drifted else 'no drift'}"
