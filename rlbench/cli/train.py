"""`rlbench train ENV`: train, store, evaluate, say how good it is."""

from __future__ import annotations

import hashlib
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import rlbench
from rlbench.cli import completing
from rlbench.cli.codes import DONE, FAILED, INTERRUPTED
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.options import (
    agent_option,
    bins_option,
    engine_option,
    env_set_option,
    examples,
    find_run,
    json_option,
    parse_seeds,
    preset_option,
    seed_option,
    set_option,
    store_option,
    wrapper_option,
)
from rlbench.cli.output import print_json, say
from rlbench.cli.report import evaluation_lines, rate
from rlbench.errors import ProcessError, UsageError
from rlbench.settings import parse_settings

if TYPE_CHECKING:
    from rlbench.evaluation import Evaluation
    from rlbench.training import Run

EVALUATION_FIGURES = ("mean_return", "exact_return", "optimal_return", "regret", "optimal_states", "reachable_states")
CACHED = {
    "miss": "",
    "hit": ", answered from the store (--no-cache trains anew)",
    "prefix": ", went on from the {:,} episodes in the store (--no-cache trains anew)",
}


@click.command(
    epilog=examples(
        "rlbench train safecab",
        "rlbench train cartpole --preset book",
        "rlbench train FrozenLake-v1 --episodes 20000 --set learning_rate=0.1",
        "rlbench train cartpole --eval-every 500 --stop-at 500",
        "rlbench train CartPole-v1 --bins 6,6,12,12 --from latest",
        "rlbench train safecab --env-set city=20x20 --env-set max_episode_steps=400",
        "rlbench train safecab --seeds 0:8 --workers 2 --tag baseline",
    )
)
@click.argument("env", shell_complete=completing.envs)
@agent_option("See `rlbench agents`.")
@click.option("--episodes", metavar="N", type=int, help="Stop after N episodes.")
@click.option("--timesteps", metavar="N", type=int, help="Stop at the end of the episode that reaches N steps.")
@seed_option
@click.option("--seeds", metavar="A:B", help="Train once with each seed from A to B - 1, or of a list such as 1,2,5.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", default=1, show_default=True, help="Processes for --seeds."
)
@store_option
@set_option
@env_set_option
@wrapper_option
@bins_option
@click.option(
    "--from",
    "parent",
    metavar="RUN",
    help="Begin with the values of this run's agent, in its bins.",
    shell_complete=completing.runs,
)
@preset_option
@engine_option
@click.option(
    "--record",
    metavar="all|none",
    shell_complete=completing.choices,
    default="all",
    show_default=True,
    help="Store every step, or only the figures of each episode.",
)
@click.option("--eval-every", metavar="N", type=int, help="Play greedy episodes after each N episodes of training.")
@click.option(
    "--eval-episodes", metavar="N", type=int, default=20, show_default=True, help="Greedy episodes in each evaluation."
)
@click.option(
    "--stop-at",
    metavar="RETURN",
    type=float,
    help="Stop once the mean return of the last 100 episodes, or with --eval-every of an evaluation, reaches RETURN.",
)
@click.option(
    "--tag", "tags", multiple=True, metavar="TAG", shell_complete=completing.tags, help="Tag the run; may be repeated."
)
@click.option("--note", metavar="TEXT", default="", help="A note on the run.")
@click.option("--no-cache", is_flag=True, help="Train again even if the store has the result.")
@json_option
@says_that_it_compiles
def train(
    env: str,
    agent: str,
    episodes: int | None,
    timesteps: int | None,
    seed: int,
    seeds: str | None,
    workers: int,
    store: str,
    engine: str,
    settings: tuple[str, ...],
    env_settings: tuple[str, ...],
    wrappers: tuple[str, ...],
    bins: str | None,
    parent: str | None,
    preset: str,
    record: str,
    eval_every: int | None,
    eval_episodes: int,
    stop_at: float | None,
    tags: tuple[str, ...],
    note: str,
    no_cache: bool,  # noqa: FBT001  (click calls by name)
    as_json: bool,  # noqa: FBT001
) -> int:
    """Train an agent on ENV, store every step, and compare it with the optimum.

    ENV is a short name (safecab, cartpole) or any Gymnasium id with discrete actions; observations that are not
    discrete need --bins, unless the env's preset has some.

    Without --episodes and --timesteps the budget is the preset's. Ctrl-C, SIGTERM and SIGHUP end training after
    the current episode; what was learnt is stored.
    """
    kept = store if parent is None else rlbench.open_store(store, create=False)
    arguments: dict[str, Any] = {
        "env": env,
        "agent": agent,
        "episodes": episodes,
        "total_timesteps": timesteps,
        "record": record,
        "engine": engine,
        "env_kwargs": parse_settings(env_settings, "--env-set"),
        "wrappers": wrappers,
        "bins": bins,
        "agent_kwargs": parse_settings(settings, "--set"),
        "preset": preset,
        "parent": None if isinstance(kept, str) else rlbench.Run(find_run(kept, str(parent), needs="agent"), kept),
        "cache": not no_cache,
        "callbacks": [] if stop_at is None else [_stop_at(stop_at, eval_every)],
        "eval_every": eval_every,
        "eval_episodes": eval_episodes,
        "tags": tags,
        "note": note,
    }
    shown = sys.stderr.isatty() and not as_json
    if seeds is not None or workers > 1:
        return _train_many(arguments, _seeds(seeds), store, workers=workers, shown=shown, as_json=as_json)
    run = rlbench.train(**arguments, seed=seed, store=kept, progress=shown)
    with run.store:
        evaluation = evaluated(run)
        if as_json:
            print_json(run_document(run, evaluation.summary()))
        else:
            how = CACHED[run.cache].format(run.cached_episodes)
            say("\n".join(run_lines(run, evaluation, how)))
    return INTERRUPTED if run.status == "interrupted" else DONE


def _seeds(text: str | None) -> list[int]:
    if text is None:
        raise UsageError("--workers goes with --seeds, such as --seeds 0:8 --workers 2")
    if click.get_current_context().get_parameter_source("seed") is ParameterSource.COMMANDLINE:
        raise UsageError("give --seed for one run or --seeds for many: one of the two")
    return parse_seeds(text)


def _train_many(
    arguments: dict[str, Any], seeds: list[int], store: str, *, workers: int, shown: bool, as_json: bool
) -> int:
    """Trains with each seed, says how good they are together, and returns the exit code."""
    from rlbench.cli.seeds import print_seeds, together  # noqa: PLC0415  (NumPy: "compiling ..." is said before it is imported)
    from rlbench.training.many import checked_seeds, trainings  # noqa: PLC0415  (Gymnasium, which --help goes without)

    requests = [{**arguments, "seed": seed} for seed in checked_seeds(seeds)]
    found = sorted(trainings(requests, store, workers=workers, progress=shown, then=evaluated))
    runs = [one.run for one in found if one.run is not None]
    failed = {requests[one.number]["seed"]: one.error for one in found if one.error is not None}
    if not runs and failed:
        raise next(iter(failed.values()))
    if runs and workers > 1:
        runs[0].store.tell_head()
    if as_json:
        told = [run_document(run, run.record.evaluation) for run in runs]
        errors = [{"seed": seed, "error": str(error)} for seed, error in failed.items()]
        print_json({"runs": told, **together(runs), "failed": errors})
    else:
        print_seeds(runs)
    for seed, error in failed.items():
        again = "; the same command goes on from what is stored" if isinstance(error, ProcessError) else ""
        say(f"Error: seed {seed}: {error}{again}", err=True)
    is_whole = len(runs) == len(requests) and all(run.status == "finished" for run in runs)
    return FAILED if failed else DONE if is_whole else INTERRUPTED


def evaluated(run: Run) -> Evaluation:
    """Evaluates a run and stores the result."""
    evaluation = rlbench.evaluate(run, seed=run.seed)
    run.store.update_run(run.id, evaluation=evaluation.summary())
    return evaluation


def _stop_at(threshold: float, eval_every: int | None) -> rlbench.Callback:
    return rlbench.StopOnReturn(threshold) if eval_every is None else rlbench.StopOnEvaluation(threshold)


def run_document(run: Run, evaluation: dict[str, Any] | None) -> dict[str, Any]:
    """Returns the result of training as JSON; an evaluation is given by its summary."""
    q_table = getattr(run.agent, "q_table", None)
    summary = evaluation or {}
    return {
        "run": run.id,
        "env_id": run.env_id,
        "agent": run.agent_name,
        "seed": run.seed,
        "engine": run.engine,
        "episodes": run.episodes,
        "timesteps": run.timesteps,
        "seconds": run.seconds,
        "q_table_sha256": None if q_table is None else hashlib.sha256(q_table.tobytes()).hexdigest(),
        "evaluation": {name: summary.get(name) for name in EVALUATION_FIGURES},
        "cache": run.cache,
        "cached_episodes": run.cached_episodes,
        "stopped": run.record.config.stopped,
    }


def run_lines(run: Run, evaluation: Evaluation, how: str) -> list[str]:
    """Returns the result of training as text; `how` is added to the first line."""
    return [
        f"{run.agent_name} on {run.env_id}, seed {run.seed}: {run.status}, {run.engine} loop{how}",
        f"  trained   {run.episodes:,} episodes, {run.timesteps:,} steps in {run.seconds:.2f} s "
        f"({rate(run.timesteps, run.seconds)})",
        *([f"  stopped   by {run.record.config.stopped}"] if run.record.config.stopped else []),
        f"  stored    run {run.id} in {run.store.url}",
        *evaluation_lines(evaluation),
        *_next(run),
    ]


def _next(run: Run) -> list[str]:
    """Returns the line that says what can be done with a stored run."""
    if run.store.url.startswith("memory:"):
        return []
    named = "latest" if run.store.run("latest").id == run.id else run.id
    commands = [f"watch {named}", f"replay {named} --episode best", "runs"]
    if not run.record.config.keeps_steps:
        del commands[1]
    source = click.get_current_context().get_parameter_source("store")
    where = f" --store {shlex.quote(run.store.url)}" if source is ParameterSource.COMMANDLINE else ""
    return ["  next      " + " ; ".join(f"rlbench {command}{where}" for command in commands)]
