"""`rlbench sweep` and `rlbench studies`: many runs at once, and what they are worth together."""

from __future__ import annotations

import math
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.codes import DONE, FAILED, INTERRUPTED
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.groups import Group
from rlbench.cli.options import (
    bins_option,
    env_set_option,
    examples,
    json_option,
    limit_option,
    opened_after,
    parse_seeds,
    preset_option,
    set_option,
    store_option,
)
from rlbench.cli.output import confirm_deletion, print_json, print_table, say
from rlbench.cli.tuned import print_test, pruned_of, tuning_document
from rlbench.errors import StoreError, UsageError
from rlbench.lazy import LazyModule
from rlbench.names import means_runs
from rlbench.settings import parse_settings
from rlbench.store.listing import cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlbench import plots
    from rlbench import studies as room
    from rlbench.cli.options import Decorator
    from rlbench.plots import comparing
    from rlbench.store import Store
    from rlbench.studies import Row, Study, axes, cluster, figure, keeping, measured
    from rlbench.studies import settings as asking
    from rlbench.studies.study import Candidate
else:  # NumPy and Gymnasium only when a command runs
    room, plots, comparing = (LazyModule(f"rlbench.{name}") for name in ("studies", "plots", "plots.comparing"))
    axes, cluster, figure, keeping, measured, asking = (
        LazyModule(f"rlbench.studies.{name}")
        for name in ("axes", "cluster", "figure", "keeping", "measured", "settings")
    )

INTERVAL = "95% interval"
COMPARISON = ("", "candidate", "seeds", "value", INTERVAL, "beats A", f"{INTERVAL} ")
STUDIES = ("study", "env", "agents", "objective", "combinations", "seeds", "done", "best", "hash")
RIGHT = ("combinations", "seeds", "done", "best")
OPTIONAL = ("hash", "objective", "agents", "env")  # the first to go on a narrow terminal
MOST = 30  # combinations that a sweep prints
HASH = 12  # digits of a hash in a table
OF_WORKERS = "Processes; by default one for each core."


def workers_option(text: str) -> Decorator:
    """Makes the option for the number of processes; `text` is its help."""
    return click.option("--workers", type=click.IntRange(min=1), metavar="N", help=text)


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --cluster and --insecure."""
    url = click.option(
        "--cluster",
        "scheduler",
        metavar="URL",
        help="Work on a Dask cluster instead: tls://HOST:PORT of its scheduler, or tcp://127.0.0.1:PORT.",
    )
    insecure = click.option("--insecure", is_flag=True, help="Yes, a cluster on other machines by plain tcp.")
    return url(insecure(command))


@contextmanager
def placed(workers: int | None, scheduler: str | None, store: str, *, insecure: bool) -> Iterator[dict[str, Any]]:
    """Yields where a study is worked on, as arguments of `sweep`: processes of this machine, or a cluster."""
    if scheduler is None:
        yield {"workers": number_of_workers(workers, store)}
        return
    if workers is not None:
        raise UsageError("--workers are processes of this machine, and a --cluster has its own: give one of the two")
    with cluster.connected(scheduler, store, insecure=insecure) as (executor, size):
        yield {"executor": executor, "workers": size}


objective_option: Decorator = click.option(
    "--objective",
    metavar="regret|return|area|steps-to:R",
    shell_complete=completing.choices,
    help="What counts, see above. By default regret where it is exact, else return.",
)
aggregate_option: Decorator = click.option(
    "--aggregate",
    metavar="mean|iqm|qP",
    shell_complete=completing.choices,
    default="mean",
    show_default=True,
    help="Of the seeds: their mean, interquartile mean, or the P-th percentile (q50: the median).",
)
name_option: Decorator = click.option(
    "--name", metavar="NAME", help="Of the study; by default the env's and a digest of what is asked for."
)
record_option: Decorator = click.option(
    "--record",
    metavar="all|none",
    shell_complete=completing.choices,
    default="none",
    show_default=True,
    help="Store every step, or only the figures of each episode.",
)


def budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --episodes and --timesteps."""
    timesteps = click.option(
        "--timesteps", metavar="N", type=int, help="Stop at the end of the episode that reaches N steps."
    )
    return click.option("--episodes", metavar="N", type=int, help="Stop after N episodes.")(timesteps(command))


def study_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that `sweep` and `tune` share, for `arguments_of`."""
    for option in reversed(SHARED):
        command = option(command)
    return command


SHARED: tuple[Decorator, ...] = (
    budget_options,
    preset_option,
    set_option,
    env_set_option,
    bins_option,
    objective_option,
    aggregate_option,
    workers_option(OF_WORKERS),
    cluster_options,
    store_option,
    name_option,
    record_option,
)


@contextmanager
def arguments_of(
    *,
    timesteps: int | None,
    settings: tuple[str, ...],
    env_settings: tuple[str, ...],
    workers: int | None,
    scheduler: str | None,
    insecure: bool,
    store: str,
    as_json: bool,
    **others: Any,
) -> Iterator[dict[str, Any]]:
    """Yields the arguments that `rlbench.sweep` and `rlbench.tune` share, and where the study is worked on."""
    with placed(workers, scheduler, store, insecure=insecure) as place:
        yield {
            **others,
            **place,
            "total_timesteps": timesteps,
            "agent_kwargs": parse_settings(settings, "--set"),
            "env_kwargs": parse_settings(env_settings, "--env-set"),
            "store": store,
            "progress": sys.stderr.isatty() and not as_json,
        }


@click.command(
    epilog=examples(
        "rlbench sweep CliffWalking-v1 --agent q-learning,sarsa --over learning_rate=0.1..1:10 --episodes 100",
        "rlbench sweep safecab --over learning_rate=0.01..1:7:log --over gamma=0.9,0.95,0.99 --seeds 0:20",
        "rlbench sweep FrozenLake-v1 --over env.is_slippery=true,false --objective steps-to:0.5 --aggregate q50",
    )
)
@click.argument("env", shell_complete=completing.envs)
@click.option(
    "--agent",
    "agents",
    metavar="NAME",
    default="q-learning",
    show_default=True,
    shell_complete=completing.several_agents,
    help="One, or several with commas between; see `rlbench agents`.",
)
@click.option(
    "--over",
    multiple=True,
    required=True,
    metavar="NAME=VALUES",
    shell_complete=completing.parameters,
    help="A parameter of the agent, or env.NAME of the env, and its values: a,b,c, or lo..hi:n (n values from lo to "
    "hi), or lo..hi:n:log. May be repeated: every combination is trained.",
)
@click.option(
    "--seeds",
    metavar="A:B",
    default="0:10",
    show_default=True,
    help="Each combination, with each seed from A to B - 1.",
)
@study_options
@click.option("--yes", is_flag=True, help="Yes, more than 100,000 combinations.")
@json_option
@says_that_it_compiles
def sweep(
    env: str,
    agents: str,
    over: tuple[str, ...],
    seeds: str,
    yes: bool,  # noqa: FBT001  (click calls by name)
    as_json: bool,  # noqa: FBT001
    **shared: Any,
) -> int:
    """Train every combination of parameters, for every agent, with every seed, on ENV; rank the combinations.

    The objective of a run is its regret (how far the exact return of its greedy policy lies below the optimum), its
    return (exact, or of 100 greedy episodes), the area under its learning curve (the mean return of all episodes of
    training; area:500 leaves the first 500 out), or steps-to:R, the steps of training until the mean return of 100
    episodes reached R.

    The same command again goes on where it was stopped, and so does `rlbench resume`. What the store has already is not
    trained again. The hash at the end depends on what was asked for and what came of it, not on the number of
    processes, the store, or whether it was stopped.
    """
    with arguments_of(**shared, as_json=as_json) as arguments:
        study = rlbench.sweep(
            env,
            [agent.strip() for agent in agents.split(",")],
            over=axes.parse_over(over),
            seeds=parse_seeds(seeds),
            yes=yes,
            **arguments,
        )
    with study.store:
        return finished(study, as_json=as_json)


def names_study(store: Store, name: str) -> bool:
    """Returns whether a name is that of a study; StoreError if it can be no run's, and there are other studies."""
    if means_runs(name) or not keeping.names(store):
        return False
    keeping.check_exists(store, name)
    return True


def check_study(store: Store, selection: dict[str, Any]) -> None:
    """Raises StoreError if runs are selected by a study of which there is none, and no run either."""
    study = selection.get("study", "all")
    if study != "all" and not store.runs(study=study, limit=1):
        keeping.check_exists(store, study)


def measured_of(store: Store, selection: dict[str, Any]) -> measured.Measured | None:
    """Returns what the study by which runs are selected measured of them; None without one that can be read."""
    study = selection.get("study", "all")
    if study == "all" or study not in keeping.names(store):
        return None
    return next(map(measured.Measured, _readable(store, study)), None)


def resume_study(name: str, store: str, place: dict[str, Any], *, as_json: bool) -> int:
    """Finishes a study at a place, prints what came of it, and returns the exit code."""
    shown = sys.stderr.isatty() and not as_json
    study = rlbench.resume_study(store, name, **place, progress=shown)
    with study.store:
        return finished(study, as_json=as_json)


def number_of_workers(asked: int | None, store: str) -> int:
    """Returns how many processes are to work: by default one for each core, of a store in memory this one."""
    if asked is not None:
        return asked
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if store.startswith("memory:") else cores


def finished(study: Study, *, as_json: bool) -> int:
    """Prints what came of a study, and returns the exit code."""
    study.store.tell_head()
    if as_json:
        print_json(document(study))
    else:
        print_study(study)
    for part in study.parts:
        _say_what_failed(part)
    if not study.is_done:
        return INTERRUPTED
    return FAILED if any(part.failed.any() for part in study.parts) else DONE


def _say_what_failed(study: Study) -> None:
    if not study.failed.any():
        return
    first = study.failures[0]
    agent, parameters = study.combination(first.combination)
    told = " ".join([agent, *(f"{name}={cell(name, value)}" for name, value in parameters.items())])
    what = f"{study.failed.sum():,} of {study.settings.runs:,} runs failed"
    say(f"Error: {what}, such as {told} with seed {first.seed}: {first.reason}", err=True)


def document(study: Study) -> dict[str, Any]:
    """Returns a study as JSON."""
    failures = [
        {**part.combination(one.combination)._asdict(), "seed": one.seed, "error": one.reason}
        for part in study.parts
        for one in part.failures
    ]
    return {
        **_summary(study),
        **(tuning_document(study) if isinstance(study, room.Tuning) else {}),
        "table": [_row_document(row) for row in study.table],
        "failed": sum(int(part.failed.sum()) for part in study.parts),
        "failures": failures,
        "seconds": study.seconds,
    }


def _row_document(row: Row) -> dict[str, Any]:
    pruned = row.pruned and row.pruned._asdict()
    return {**row._asdict(), "interval": row.interval and list(row.interval), "pruned": pruned}


def _summary(study: Study) -> dict[str, Any]:
    asked = study.settings
    return {
        "study": study.name,
        "hash": study.hash or None,
        "env_id": asked.env,
        "agents": list(asked.agents),
        "objective": asked.objective,
        "aggregate": asked.aggregate,
        study.unit: asked.combinations,
        "seeds": len(asked.seeds),
        "runs": study.done,
        "of": study.due,
    }


def print_study(study: Study, limit: int = MOST) -> None:
    """Prints what a study is, its best combinations, and how to go on."""
    asked, rows = study.settings, [study.row(number) for number in study.ranking[:limit].tolist()]
    varied = [axis.name for axis in asked.axes]
    of_seeds = {"mean": "mean", "iqm": "IQM"}.get(asked.aggregate, asked.aggregate)
    value = f"{of_seeds} {asked.objective}"
    header = [*(["agent"] if len(asked.agents) > 1 else []), *varied, "seeds", value, INTERVAL]
    told = pruned_of(study)
    say(f"study {study.name}: {', '.join(asked.agents)} on {asked.env}, {study.done:,} of {study.due:,} runs{told}")
    last = ["pruned"] if told else []
    cells = (
        [*_who(study, row), str(row.seeds), _value(row), _interval(row), *(str(row.pruned or "") for _ in last)]
        for row in rows
    )
    print_table([*header, *last], cells, right=header[-3:-1], optional=[INTERVAL])
    if study.asked > limit:
        say(f"the best {limit} of {study.asked:,}, more with `rlbench studies show {study.name} --limit N`")
    if isinstance(study, room.Tuning):
        print_test(study)
    if study.is_done:
        say(f"  hash      {study.hash}")
    else:
        say(f"  stopped   {asking.how_to_go_on(study.name, asked.env)} goes on")


def _who(study: Study, row: Row) -> list[str]:
    agent = [row.agent] if len(study.settings.agents) > 1 else []
    return [*agent, *(cell(name, value) for name, value in row.parameters.items())]


def _value(row: Row) -> str:
    return "-" if math.isnan(row.value) else f"{row.value:.4g}"


def _interval(row: Row) -> str:
    return "-" if row.interval is None else "{:.4g} to {:.4g}".format(*row.interval)


def draw_study(study: Study, out: str | None, look: dict[str, Any], dpi: int, *, as_json: bool) -> None:
    """Writes the figure of a study."""
    path = plots.save(study.plot(**look), out or f"{study.name}.png", dpi=dpi)
    if as_json:
        print_json({"study": study.name, "out": str(path)})
    else:
        say(f"wrote {path}")


def compare_study(study: Study, *, as_json: bool) -> None:
    """Prints how the best combinations of a study compare."""
    found = study.compare()
    if as_json:
        candidates = [_compared(one) for one in found]
        print_json({**_summary(study), "candidates": candidates})
        return
    rows = [[comparing.letter(number), *_cells(one)] for number, one in enumerate(found)]
    print_table(COMPARISON, rows, right=("seeds", "value", "beats A"))
    better = "less" if study.objective.is_loss else "more"
    say(f"{study.settings.env}; {figure.label_of(study.settings)}, {better} is better")


def _compared(one: Candidate) -> dict[str, Any]:
    return {
        **_row_document(one.row),
        "label": one.row.label,
        "beats_first": one.probability,
        "beats_interval": one.interval,
    }


def _cells(one: Candidate) -> list[str]:
    beats = ["", ""] if one.interval is None else [f"{one.probability:.2f}", "{:.2f} to {:.2f}".format(*one.interval)]
    return [one.row.label, str(one.row.seeds), _value(one.row), _interval(one.row), *beats]


# ---------------------------------------------------------------------- rlbench studies


@click.group(cls=Group, invoke_without_command=True, epilog=examples("rlbench studies", "rlbench studies show NAME"))
@store_option
@json_option
@click.pass_context
def studies(context: click.Context, /, store: str, as_json: bool) -> None:  # noqa: FBT001
    """List the stored studies, the newest first; or show or delete one.

    The best is the value of the best combination so far; the hash tells two studies that came to the same.
    """
    if context.invoked_subcommand is not None:
        context.obj = store
        return
    with rlbench.open_store(store, create=False) as opened:
        names = keeping.names(opened)
        found = [study for name in names for study in _readable(opened, name)]
        if as_json:
            print_json({"studies": [{**_summary(study), "best": _best(study)} for study in found]})
        elif found:
            print_table(STUDIES, map(_row, found), right=RIGHT, optional=OPTIONAL)
        elif not names:
            say("no studies yet: begin one with `rlbench sweep safecab --over learning_rate=0.1,0.5,1`")


def _readable(store: Store, name: str) -> list[Study]:
    """Returns a study; none, and says so, if it is damaged."""
    try:
        return [room.load_study(store, name)]
    except StoreError as error:
        say(f"{error}: restore a backup, or `rlbench studies delete {name}`", err=True)
        return []


def _best(study: Study) -> dict[str, Any] | None:
    best = study.best
    return {"agent": best.agent, "parameters": best.parameters, "value": best.value} if best.seeds else None


def _row(study: Study) -> list[str]:
    asked, best = study.settings, study.best
    counts = [f"{asked.combinations:,}", f"{len(asked.seeds):,}", f"{study.done:,} of {study.due:,}"]
    told = [_value(best), study.hash[:HASH] or "-"]
    return [study.name, asked.env, ", ".join(asked.agents), f"{asked.aggregate} {asked.objective}", *counts, *told]


@studies.command(epilog=examples("rlbench studies show cliff", "rlbench studies show cliff --json"))
@click.argument("study", shell_complete=completing.studies)
@limit_option
@store_option
@json_option
@click.pass_obj
def show(outer: str, study: str, limit: int, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show the combinations of STUDY, the best first."""
    with opened_after(outer, store) as opened:
        found = room.load_study(opened, study)
        if as_json:
            print_json(document(found))
        else:
            print_study(found, limit)


@studies.command(epilog=examples("rlbench studies delete cliff"))
@click.argument("study", shell_complete=completing.studies)
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
@click.pass_obj
def delete(outer: str, study: str, yes: bool, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Delete STUDY with the runs that were made for it alone, after you confirm."""
    with opened_after(outer, store) as opened:
        keeping.check_exists(opened, study)
        if not yes:
            confirm_deletion("study", [[study, f"{opened.count_runs(study=study):,} runs"]])
        deleted = room.delete_study(opened, study)
    if as_json:
        print_json({"deleted": study, "runs": deleted})
    else:
        say(f"deleted {study} and {deleted:,} runs")
