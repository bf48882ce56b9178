"""`rlbench runs` and `rlbench evaluate`: what is stored, and how good it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing, listing, showing
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.groups import Group
from rlbench.cli.options import (
    bins_option,
    env_filter_option,
    examples,
    find_run,
    json_option,
    limit_option,
    opened_after,
    seed_option,
    selection_options,
    store_option,
    trust_option,
    wrapper_option,
)
from rlbench.cli.output import confirm_deletion, print_json, print_table, say
from rlbench.cli.report import behaving_lines, evaluation_lines
from rlbench.cli.studies import check_study, measured_of
from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.store.conditions import values_of
from rlbench.store.listing import FIGURES, WHO, cell, differing
from rlbench.store.querying import MISSING, Page, ordered
from rlbench.store.records import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.store import RunRecord, Store
    from rlbench.studies.measured import Measured

CACHE_HEADER = ("run", "env", "agent", "episodes", "hits", "gone on from", "seconds saved")


def _listing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what `runs` and `runs list` share."""
    options = (
        store_option,
        selection_options,
        click.option("--status", metavar="WORD", help="Only runs that are running, finished or interrupted."),
        click.option(
            "--sort",
            metavar="[-]NAME",
            shell_complete=completing.settings,
            help="Sort by a column or a setting; -NAME: from the highest.",
        ),
        limit_option,
        click.option(
            "--cache", "shows_cache", is_flag=True, help="Show how often each run was reused, and the time that saved."
        ),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    cls=Group,
    invoke_without_command=True,
    epilog=examples("rlbench runs", "rlbench runs --env safecab --tag good --json", "rlbench runs show latest"),
)
@_listing_options
@click.pass_context
def runs(context: click.Context, /, store: str, **options: Any) -> None:
    """List the stored runs, newest first; or show, tag or delete them, or show their lineage.

    The return is the mean of the greedy episodes that were sampled; the regret is how far the exact value of
    the greedy policy lies below the optimum.
    """
    if context.invoked_subcommand is None:
        _list(rlbench.open_store(store, create=False), **options)
    else:
        context.obj = store


@runs.command("list", epilog=examples("rlbench runs list", "rlbench runs list --env safecab --json"))
@_listing_options
@click.pass_obj
def list_runs(outer: str, /, store: str, **options: Any) -> None:
    """List the stored runs, newest first, as `rlbench runs` does."""
    _list(opened_after(outer, store), **options)


def _list(
    store: Store,
    selection: dict[str, Any],
    status: str | None,
    sort: str | None,
    limit: int,
    shows_cache: bool,  # noqa: FBT001  (click calls by name)
    as_json: bool,  # noqa: FBT001
) -> None:
    with store as opened:
        if status is not None:
            if status not in STATUSES:
                raise unknown_name("status", status, STATUSES)
            selection["status"] = status
        check_study(opened, selection)
        study = measured_of(opened, selection)
        found, total, damaged = _page(opened, selection, sort, limit, study)
        measured = [{} if study is None else study.of(run) for run in found]
        of_studies = opened.runs(study="all", limit=1)
    if as_json:
        varied = differing([values_of(run) for run in found])
        ids = {"damaged": [run_id for run_id, _ in damaged]} if damaged else {}
        told = [
            {**_document(run), **({"measured": values} if values else {})}
            for run, values in zip(found, measured, strict=True)
        ]
        print_json({"runs": told, "total": total, "differing": varied, **ids})
        return
    for run_id, problem in damaged:
        say(f"{problem}: restore a backup, or `rlbench runs delete {run_id}`", err=True)
    if not found:
        say("no runs fit" if selection else _none_yet(of_studies))
    elif shows_cache:
        print_table(CACHE_HEADER, map(_cache_row, found), right=CACHE_HEADER[3:])
        say(f"{sum(run.cache.seconds_saved for run in found):.1f} s of training saved")
    else:
        listing.print_runs(found, measured)
    if len(found) < total:
        say(f"{len(found)} of {total:,} runs, the rest with --limit {total}")


def _page(store: Store, selection: dict[str, Any], sort: str | None, limit: int, study: Measured | None) -> Page:
    """Returns the runs to list; sorted by what the study measured, or by what the store knows of runs."""
    if study is None or sort is None or sort.removeprefix("-") != study.name:
        return store.page(**selection, sort=sort, limit=limit)
    damaged: list[tuple[str, str]] = []
    runs = store.runs(**selection, on_damaged=lambda *one: damaged.append(one))
    return Page(ordered(runs, lambda run: study.of(run).get(study.name, MISSING), sort)[:limit], len(runs), damaged)


def _none_yet(of_studies: list[RunRecord]) -> str:
    if of_studies:
        return "no runs but those of studies: --study NAME lists those of one, --study all those of any"
    return "no runs yet: start one with `rlbench train safecab`"


@runs.command(epilog=examples("rlbench runs show latest", "rlbench runs show 3f2a --json"))
@click.argument("run", shell_complete=completing.runs)
@env_filter_option
@store_option
@json_option
@click.pass_obj
def show(outer: str, run: str, env_filter: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show how RUN was made, how good it is, and how to make it again.

    A parameter is the agent's default unless it is marked: "set" by whoever trained, or by the "preset".
    """
    from rlbench.reports.telling import run_document  # noqa: PLC0415  (Gymnasium)

    with opened_after(outer, store) as opened:
        found = rlbench.Run(find_run(opened, run, env_filter), opened)
        if as_json:
            record = found.record
            told = {"evaluations": list(record.evaluations), "config": record.config.document()}
            print_json({**_document(record), **told, **run_document(found)})
        else:
            showing.print_run(found)


@runs.command(
    "tag",
    epilog=examples(
        "rlbench runs tag latest good",
        "rlbench runs tag 3f2a good --remove",
        "rlbench runs tag latest --note 'too slow'",
    ),
)
@click.argument("run", shell_complete=completing.runs)
@click.argument("tags", nargs=-1, shell_complete=completing.tags)
@click.option("--remove", is_flag=True, help="Remove these tags.")
@click.option("--note", metavar="TEXT", help="Replace the note on the run.")
@env_filter_option
@store_option
@json_option
@click.pass_obj
def tag_run(
    outer: str,
    run: str,
    tags: tuple[str, ...],
    remove: bool,  # noqa: FBT001
    note: str | None,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Add TAGS to RUN, or remove them; or replace its note."""
    if not tags and note is None:
        raise UsageError("name a tag, or give --note TEXT")
    with opened_after(outer, store) as opened:
        record = find_run(opened, run, env_filter)
        kept = [tag for tag in record.tags if tag not in tags]
        new = kept if remove else [*kept, *dict.fromkeys(tags)]
        record = opened.update_run(record.id, tags=new, note=record.note if note is None else note)
    if as_json:
        print_json(_document(record))
    else:
        noted = f"; note: {record.note}" if record.note else ""
        say(f"run {record.id}: {', '.join(record.tags) or 'no tags'}{noted}")


@runs.command(epilog=examples("rlbench runs delete 3f2a", "rlbench runs delete 3f2a 77b0 --yes"))
@click.argument("names", metavar="RUN...", nargs=-1, required=True, shell_complete=completing.runs)
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
@click.pass_obj
def delete(outer: str, names: tuple[str, ...], yes: bool, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Delete runs with all their episodes, after you confirm."""
    with opened_after(outer, store) as opened:
        found = dict(_to_delete(opened, name) for name in names)
        if not yes:
            confirm_deletion("run", list(found.values()))
        for run_id in found:
            opened.delete_run(run_id)
    if as_json:
        print_json({"deleted": list(found)})
    else:
        say(f"deleted {', '.join(found)}")


def _to_delete(store: Store, name: str) -> tuple[str, list[str]]:
    """Returns the id of a run and its row in a listing; one whose record is damaged can be deleted too."""
    try:
        record = find_run(store, name)
    except StoreError:
        if name not in dict(store.damaged_runs()):
            raise
        return name, [name, "its record is damaged"]
    values = values_of(record)
    return record.id, [cell(name, values.get(name)) for name in ("run", *WHO, *FIGURES)]


@runs.command(epilog=examples("rlbench runs lineage latest"))
@click.argument("run", shell_complete=completing.runs)
@env_filter_option
@store_option
@json_option
@click.pass_obj
def lineage(outer: str, run: str, env_filter: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show the runs that RUN learnt from, and their parents in turn."""
    from rlbench.reports.telling import ancestors  # noqa: PLC0415  (Gymnasium)

    with opened_after(outer, store) as opened:
        tree = ancestors(opened, find_run(opened, run, env_filter))
    if as_json:
        print_json(tree)
    else:
        say("\n".join(_branches(tree)))


def _branches(tree: dict[str, Any], depth: int = 0) -> list[str]:
    about = "deleted" if tree.get("deleted") else f"{tree['agent']}, {tree['episodes']:,} episodes"
    about += "".join(f", names replaced by key {key}" for key in tree.get("pseudonymised", ()))
    own = f"{'  ' * depth}{'from ' if depth else ''}{tree['run']}  {about}"
    return [own, *(line for parent in tree["parents"] for line in _branches(parent, depth + 1))]


@click.command(epilog=examples("rlbench evaluate latest", "rlbench evaluate best --env safecab --episodes 1000"))
@click.argument("run", shell_complete=completing.runs)
@click.option("--episodes", type=int, metavar="N", default=100, show_default=True, help="How many episodes to sample.")
@click.option("--gamma", type=float, metavar="X", default=1.0, show_default=True, help="Discount of the exact figures.")
@seed_option
@wrapper_option
@bins_option
@trust_option
@env_filter_option
@store_option
@json_option
@says_that_it_compiles
def evaluate(
    run: str,
    episodes: int,
    gamma: float,
    seed: int,
    wrappers: tuple[str, ...],
    bins: str | None,
    env_filter: str | None,
    store: str,
    trust: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Play the greedy policy of RUN and compare it with the optimum.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env. The result is stored with the run, unless it is discounted: runs are ranked by what they are
    worth without. --wrapper adds wrappers to its env; --bins can only name the bins it learnt in.
    """
    from rlbench.training.binning import in_more  # noqa: PLC0415  (Gymnasium, which a list of runs goes without)

    with rlbench.open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter, needs="agent")
        found = rlbench.Run(record, opened, trust=trust)
        env = in_more(found, wrappers, bins) if wrappers or bins is not None else None
        evaluation = rlbench.evaluate(found, env, episodes=episodes, seed=seed, gamma=gamma, another_env=bool(wrappers))
        summary = {**evaluation.summary(), **({"wrappers": list(wrappers)} if wrappers else {})}
        if gamma == 1:
            _keep(opened, record, summary)
    if as_json:
        print_json({"run": record.id, "env_id": record.env_id, "agent": record.agent_name, **summary})
    else:
        say(f"run {record.id}: {record.agent_name} on {record.env_id}, seed {record.seed}")
        say("\n".join([*evaluation_lines(evaluation), *behaving_lines(evaluation)]))


def _keep(store: Store, record: RunRecord, evaluation: dict[str, Any]) -> None:
    """Stores an evaluation; with a read-only store it is shown all the same."""
    try:
        store.update_run(record.id, evaluation=evaluation)
    except StoreError as error:
        say(f"Warning: the evaluation is not stored: {error}", err=True)


def _document(run: RunRecord) -> dict[str, Any]:
    return {
        "run": run.id,
        "env_id": run.env_id,
        "agent": run.agent_name,
        "seed": run.seed,
        "status": run.status,
        "episodes": run.episodes,
        "timesteps": run.timesteps,
        "seconds": run.seconds,
        "created_at": run.created_at,
        "tags": list(run.tags),
        "studies": list(run.studies),
        "parents": list(run.parents),
        "cache": asdict(run.cache),
        "evaluation": run.evaluation,
        "stopped": run.config.stopped,
        "note": run.note,
        "settings": run.config.settings,
    }


def _cache_row(run: RunRecord) -> list[str]:
    used = run.cache
    counts = [f"{used.hit:,}", f"{used.prefix:,}", f"{used.seconds_saved:.2f}"]
    return [run.id, run.env_id, run.agent_name, f"{run.episodes:,}", *counts]
