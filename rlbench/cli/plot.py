"""`rlbench plot`, `compare` and `report`: pictures, figures and a page of stored runs."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import rlbench
from rlbench.cli import completing
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.options import (
    examples,
    find_run,
    json_option,
    out_option,
    seed_option,
    selection_options,
    store_option,
    trust_option,
)
from rlbench.cli.output import print_json, print_table, say
from rlbench.cli.studies import check_study, compare_study, draw_study, names_study
from rlbench.errors import StoreError, UsageError
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench import plots
    from rlbench.evaluation import Comparison
    from rlbench.evaluation.comparison import Candidate
    from rlbench.plots import comparing
    from rlbench.reports import page
    from rlbench.store import RunRecord, Store
    from rlbench.training import Run, finding
else:  # matplotlib, Gymnasium and NumPy only when a command runs, not for its --help and what the shell completes
    plots, comparing, page, finding = (
        LazyModule(f"rlbench.{name}") for name in ("plots", "plots.comparing", "reports.page", "training.finding")
    )

COMPARISON = ("", "candidate", "runs", "mean", "IQM", "95% interval", "regret", "beats A", "95% interval ")
RIGHT_COLUMNS = ("runs", "mean", "IQM", "regret", "beats A")
OPTIONAL_COLUMNS = ("95% interval ", "mean", "regret")  # the first to go on a narrow terminal


def look_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options for the looks of a picture; the command takes them as `look`, and `dpi`."""

    @click.option("--title", metavar="TEXT", help="A title of your own.")
    @click.option("--label", "labels", multiple=True, metavar="TEXT", help="Your own name for a line; once for each.")
    @click.option("--size", metavar="WxH", help="Width and height in inches, such as 6x4.")
    @click.option(
        "--column",
        metavar="single|double",
        shell_complete=completing.choices,
        help="As wide as columns of a journal, 3.5 or 7.2 inches, in smaller letters.",
    )
    @click.option("--dpi", type=int, metavar="N", default=200, show_default=True, help="Dots per inch of a PNG.")
    @wraps(command)
    def looking(
        *arguments: Any,
        title: str | None,
        labels: tuple[str, ...],
        size: str | None,
        column: str | None,
        **options: Any,
    ) -> Any:
        look = {"title": title, "labels": labels, "size": size, "column": column}
        return command(*arguments, look=look, **options)

    return looking


@click.command(
    epilog=examples(
        "rlbench plot latest",
        "rlbench plot 3f2a 77b0 --smooth mean:500 --out curve.svg",
        "rlbench plot latest --kind policy --destination R",
        "rlbench plot --env safecab --x steps --column single --out figure.pdf",
        "rlbench plot --env safecab --tag good --kind share --action Dropoff",
    )
)
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=completing.several_runs)
@click.option(
    "--kind",
    metavar="KIND",
    shell_complete=completing.plots,
    default="curve",
    show_default=True,
    help="What to draw, see above.",
)
@out_option("A .png, .svg or .pdf; by default a PNG named after run and kind.")
@click.option(
    "--smooth",
    metavar="bell|mean:N|savgol|none",
    shell_complete=completing.choices,
    default="bell",
    show_default=True,
    help="How curve, iqm, reward, exploration, share and td are smoothed.",
)
@click.option(
    "--x",
    "x_axis",
    metavar="episodes|steps",
    shell_complete=completing.choices,
    default="episodes",
    show_default=True,
    help="What the kinds over training are drawn over: episodes, or steps of the env.",
)
@look_options
@click.option("--passenger", "row", metavar="ZONE", help="For values, policy and states: only this row of maps.")
@click.option("--destination", "col", metavar="ZONE", help="The same: only this column.")
@click.option("--action", metavar="ACTION", help="For share: the action, by number or name.")
@click.option("--state", type=int, metavar="N", help="For share: count only actions taken in this state.")
@click.option("--optimal", type=float, metavar="SHARE", help="For share: draw a dashed line here, such as 0.05.")
@trust_option
@selection_options
@store_option
@json_option
def plot(
    runs: tuple[str, ...],
    kind: str,
    out: str | None,
    smooth: str,
    x_axis: str,
    look: dict[str, Any],
    dpi: int,
    row: str | None,
    col: str | None,
    action: str | None,
    state: int | None,
    optimal: float | None,
    selection: dict[str, Any],
    store: str,
    as_json: bool,  # noqa: FBT001  (click calls by name)
    trust: bool,  # noqa: FBT001
) -> None:
    """Draw a picture of one or more RUNs, or of all that fit --env, --agent, --tag and --where, and write it to a file.

    The name of a STUDY draws its objective over its parameters: a line for each agent, or a map of two parameters; with
    --kind its runs are drawn.

    "all" names the runs that fit, without a filter those of the latest run's env.

    Over training: curve (returns), iqm (their interquartile mean), reward (mean reward a step), evaluation (returns of
    test episodes, if trained with --eval-every; else of 100 now), regret, exploration, actions, share (of one action),
    td (temporal-difference errors). As maps: values, policy, states. Of test episodes played now: trials (ten of them
    as a line), profile (the share of runs above each return).

    Runs that differ only in their seed become one: a line with a band, or a map of their mean or majority. Others are
    lines of one picture or, for exploration, actions and maps, pictures side by side.
    """
    plots.check(kind, smooth, path=out, x=x_axis, size=look["size"], column=look["column"], dpi=dpi)
    of_kind: dict[str, Any] = {"smooth": smooth, "x": x_axis, "row": row, "col": col, "action": action, "state": state}
    with rlbench.open_store(store, create=False) as opened:
        if len(runs) == 1 and not _is_given("kind") and names_study(opened, runs[0]):
            draw_study(rlbench.load_study(opened, runs[0]), out, look, dpi, as_json=as_json)
            return
        found = chosen_runs(opened, runs, selection, needs="episodes", trust=trust)
        figure = plots.draw(found, kind, **of_kind, optimal=optimal, **look)
    path = plots.save(figure, out or _name(found, f"-{kind}.png"), dpi=dpi)
    if as_json:
        print_json({"runs": [run.id for run in found], "kind": kind, "out": str(path)})
    else:
        say(f"wrote {path}")


@click.command(epilog=examples("rlbench compare 3f2a 77b0", "rlbench compare --env safecab --out compare.pdf"))
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=completing.several_runs)
@click.option(
    "--metric",
    metavar="evaluation|training",
    shell_complete=completing.choices,
    default="evaluation",
    show_default=True,
    help="Greedy episodes played now, or the last ones of training.",
)
@click.option("--episodes", type=int, metavar="N", default=100, show_default=True, help="Episodes per run.")
@click.option(
    "--normalize",
    "scales",
    metavar="ENV=LOW:HIGH",
    multiple=True,
    help="Of several envs: the returns that count as 0 and 1.",
)
@out_option("Also draw it: a .png, .svg or .pdf.")
@look_options
@seed_option
@trust_option
@selection_options
@store_option
@json_option
@says_that_it_compiles
def compare(
    runs: tuple[str, ...],
    metric: str,
    episodes: int,
    scales: tuple[str, ...],
    out: str | None,
    look: dict[str, Any],
    dpi: int,
    seed: int,
    selection: dict[str, Any],
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> None:
    """Say which RUN does better and how sure that is; runs that differ only in their seed count as one candidate.

    Without a RUN, all that fit --env, --agent, --tag and --where are compared; "all" names them too, without a filter
    those of the latest run's env. Of a STUDY the best combination of each agent is compared, or the ten best of a
    single agent, by what the study measured.

    IQM is the interquartile mean: the mean of the middle half of the returns. "beats A" is the probability that a
    return of this candidate is above one of A; 0.5 is no difference. Intervals are bootstrapped.

    Runs of several envs are compared by normalized scores: 0 is the return of random actions and 1 the best, where the
    env's table is known, or what --normalize says. Each agent needs as many seeds in each env, two or more.
    """
    scale_of = dict(map(_scale, scales))
    plots.check(path=out, size=look["size"], column=look["column"], dpi=dpi)
    with rlbench.open_store(store, create=False) as opened:
        if len(runs) == 1 and names_study(opened, runs[0]):
            if out is not None:
                raise UsageError(f"`rlbench plot {runs[0]}` draws a study: leave out --out")
            compare_study(rlbench.load_study(opened, runs[0]), as_json=as_json)
            return
        compared = chosen_runs(opened, runs, selection, needs="agent", trust=trust)
        found = rlbench.compare(compared, metric=metric, episodes=episodes, seed=seed, scales=scale_of)
    path = None if out is None else plots.save(plots.comparison_figure(found, **look), out, dpi=dpi)
    if as_json:
        print_json(_document(found, None if path is None else str(path)))
        return
    print_table(COMPARISON, _rows(found), right=RIGHT_COLUMNS, optional=OPTIONAL_COLUMNS)
    say("\n".join([*_gaps(found), found.basis]))
    if path is not None:
        say(f"wrote {path}")


@click.command(
    epilog=examples(
        "rlbench report latest",
        "rlbench report best --env safecab --out report.html",
        "rlbench report --env safecab --tag good",
    )
)
@click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=completing.several_runs)
@out_option("An .html; by default named after the first run.")
@trust_option
@selection_options
@store_option
@json_option
def report(
    runs: tuple[str, ...],
    out: str | None,
    selection: dict[str, Any],
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> None:
    """Write a report of RUNs, or of all that fit the filters: one HTML page that works offline.

    Configuration, curves, maps of what was learnt, evaluation and exact regret, the best and the worst episode, and the
    command that makes the run again. Of several: what differs between them, curves, how they compare, and a table of
    all; runs that differ only in their seed count as one candidate.
    """
    if out is not None:
        page.check_path(out)
    with rlbench.open_store(store, create=False) as opened:
        found = chosen_runs(opened, runs, selection, trust=trust)
        path = page.report(found, out or _name(found, ".html"))
    if as_json:
        print_json({"runs": [run.id for run in found], "out": str(path), "bytes": path.stat().st_size})
    else:
        say(f"wrote {path}")


def chosen_runs(
    store: Store, refs: tuple[str, ...], selection: dict[str, Any], *, needs: str = "", trust: bool
) -> list[Run]:
    """Returns the runs that are named, each once, or all that a selection fits."""
    if not refs and not selection:
        raise UsageError("name a RUN, or say which are meant with --env, --agent, --tag or --where")
    check_study(store, selection)
    found = [record for ref in refs or ("all",) for record in _named(store, ref, selection, needs)]
    return [rlbench.Run(record, store, trust=trust) for record in {record.id: record for record in found}.values()]


def _is_given(option: str) -> bool:
    return click.get_current_context().get_parameter_source(option) is ParameterSource.COMMANDLINE


def _named(store: Store, ref: str, selection: dict[str, Any], needs: str) -> list[RunRecord]:
    if names_study(store, ref):
        return store.runs(**selection, study=ref)[::-1]
    if ref != "all":
        return [find_run(store, ref, needs=needs, **selection)]
    wanted = selection or {"env_id": find_run(store, "latest").env_id}
    records = store.runs(**wanted)
    if needs == "episodes":
        records = [record for record in records if record.episodes]
    if not records:
        raise StoreError(finding.none_of(store, wanted, needs))
    return records[::-1]


def _name(runs: list[Run], ending: str) -> str:
    more = f"-and-{len(runs) - 1}-more" if len(runs) > 1 else ""
    return f"{runs[0].id}{more}{ending}"


def _rows(found: Comparison) -> list[list[str]]:
    rows = []
    for number, candidate in enumerate(found.candidates):
        low, high = candidate.interval
        regret = "-" if candidate.regret is None else f"{candidate.regret:.4g}"
        figures = [f"{candidate.mean:.2f}", f"{candidate.iqm:.2f}", f"{low:.2f} to {high:.2f}", regret]
        rows.append(
            [comparing.letter(number), candidate.label, str(len(candidate.runs)), *figures, *_better(found, number)]
        )
    return rows


def _gaps(found: Comparison) -> list[str]:
    """Returns the optimality gaps, in one line; none of one env."""
    across = [_across(one) for one in found.candidates]
    gaps = [
        "{} {:.3f} ({:.3f} to {:.3f})".format(comparing.letter(number), one["optimality_gap"], *one["gap_interval"])
        for number, one in enumerate(across)
        if one
    ]
    return [f"optimality gap: {', '.join(gaps)}"] if gaps else []


def _scale(text: str) -> tuple[str, tuple[float, float]]:
    """Reads ENV=LOW:HIGH."""
    from rlbench.envs.making import full_id  # noqa: PLC0415  (Gymnasium)

    env, _, ends = text.partition("=")
    try:
        low, high = map(float, ends.split(":"))
    except ValueError:
        raise UsageError(f"--normalize takes ENV=LOW:HIGH, such as MountainCar-v0=-200:-100, got {text!r}") from None
    return full_id(env), (low, high)


def _better(found: Comparison, number: int) -> tuple[str, str]:
    """Returns how probable it is that a candidate beats the first, and its interval."""
    if not number:
        return "", ""
    over = found.improvement(number, 0)
    return f"{over.probability:.2f}", f"{over.interval[0]:.2f} to {over.interval[1]:.2f}"


def _across(one: Candidate) -> dict[str, Any]:
    """Returns the figures that a candidate has over several envs."""
    names = ("median", "optimality_gap", "gap_interval")
    return {name: getattr(one, name) for name in names if hasattr(one, name)}


def _document(found: Comparison, out: str | None) -> dict[str, Any]:
    return {
        "env_id": found.env_id,
        "metric": found.metric,
        "unit": found.unit,
        "episodes": found.episodes,
        "candidates": [
            {
                "label": one.label,
                "runs": list(one.runs),
                "mean": one.mean,
                "iqm": one.iqm,
                "interval": list(one.interval),
                "regret": one.regret,
                **_across(one),
            }
            for one in found.candidates
        ],
        "improvements": [
            {"of": one.of, "over": one.over, "probability": one.probability, "interval": list(one.interval)}
            for one in found.improvements
        ],
        "out": out,
    }
