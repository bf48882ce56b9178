"""`rlbench runs` and `rlbench evaluate`: what is stored, and how good it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rlbench.cli.options import env_filter_option, env_id_of, examples, find_run, json_option, seed_option, store_option
from rlbench.cli.output import print_json, print_table
from rlbench.cli.report import evaluation_lines
from rlbench.errors import StoreError, unknown_name

if TYPE_CHECKING:
    from rlbench.evaluation import Evaluation
    from rlbench.store import RunRecord, Store

HEADER = ("run", "env", "agent", "seed", "status", "episodes", "steps", "seconds", "return", "regret", "started")
RIGHT = ("seed", "episodes", "steps", "seconds", "return", "regret")
OPTIONAL = ("started", "seconds", "steps", "seed", "status", "episodes")  # the first to go on a narrow terminal


@click.command(epilog=examples("rlbench runs", "rlbench runs --env safecab --status finished --json"))
@store_option
@env_filter_option
@click.option("--agent", metavar="NAME", help="Only runs of this agent.")
@click.option("--status", metavar="WORD", help="Only runs that are running, finished or interrupted.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=20, show_default=True, help="At most so many."
)
@json_option
def runs(store: str, env_filter: str | None, agent: str | None, status: str | None, limit: int, as_json: bool) -> None:  # noqa: FBT001
    """List the stored runs, newest first.

    The return is the mean of the greedy episodes that were sampled; the regret is what the exact value of the
    greedy policy lacks to the optimum.
    """
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.store.records import STATUSES  # noqa: PLC0415

    if status is not None and status not in STATUSES:
        raise unknown_name("status", status, STATUSES)
    with open_store(store, create=False) as opened:
        found = opened.runs(env_id=env_id_of(env_filter), agent_name=agent, status=status, limit=limit)
    if as_json:
        print_json({"runs": [_document(run) for run in found]})
    elif found:
        print_table(HEADER, map(_row, found), right=RIGHT, optional=OPTIONAL)
    else:
        fits_none = env_filter or agent or status
        click.echo("no runs fit" if fits_none else "no runs yet: start one with `rlbench train safecab`")


@click.command(epilog=examples("rlbench evaluate latest", "rlbench evaluate best --env safecab --episodes 1000"))
@click.argument("run")
@click.option("--episodes", type=int, metavar="N", default=100, show_default=True, help="How many to sample.")
@seed_option
@env_filter_option
@store_option
@json_option
def evaluate(run: str, episodes: int, seed: int, env_filter: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Play the greedy policy of RUN and compare it with the optimum.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env. What comes out is stored with the run.
    """
    from rlbench import evaluate as evaluate_run  # noqa: PLC0415
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415

    with open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter)
        evaluation = evaluate_run(Run(record, opened), episodes=episodes, seed=seed)
        _keep(opened, record, evaluation)
    if as_json:
        print_json({"run": record.id, "env_id": record.env_id, "agent": record.agent_name, **evaluation.summary()})
    else:
        click.echo(f"run {record.id}: {record.agent_name} on {record.env_id}, seed {record.seed}")
        click.echo("\n".join(evaluation_lines(evaluation)))


def _keep(store: Store, record: RunRecord, evaluation: Evaluation) -> None:
    """Stores an evaluation; a store that can only be read does not keep a user from seeing it."""
    try:
        store.update_run(record.id, evaluation=evaluation.summary())
    except StoreError as error:
        click.echo(f"Warning: the evaluation is not stored: {error}", err=True)


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
        "evaluation": run.evaluation,
    }


def _row(run: RunRecord) -> list[str]:
    figures = run.evaluation or {}
    return [
        run.id,
        run.env_id,
        run.agent_name,
        str(run.seed),
        run.status,
        f"{run.episodes:,}",
        f"{run.timesteps:,}",
        f"{run.seconds:.2f}",
        _figure(figures.get("mean_return"), ".2f"),
        _figure(figures.get("regret"), ".4g"),
        run.created_at[:19].replace("T", " "),
    ]


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
