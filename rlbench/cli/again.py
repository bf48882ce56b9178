"""`rlbench resume`, `retrain`, `verify` and `diff`: what can be made of stored runs."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.codes import DONE, FAILED, INTERRUPTED
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.options import (
    agent_option,
    bins_option,
    engine_option,
    env_filter_option,
    env_id_of,
    examples,
    find_run,
    json_option,
    preset_option,
    seed_option,
    set_option,
    store_option,
    trust_option,
    wrapper_option,
)
from rlbench.cli.output import print_json, say
from rlbench.cli.report import evaluation_lines
from rlbench.cli.studies import cluster_options, names_study, placed, resume_study, workers_option
from rlbench.cli.train import evaluated, run_document, run_lines
from rlbench.errors import StoreError, UsageError
from rlbench.settings import parse_settings, write_setting

if TYPE_CHECKING:
    from rlbench.evaluation import Evaluation
    from rlbench.replaying import Verification
    from rlbench.store import RunRecord, Store
    from rlbench.training import Run
    from rlbench.training.retraining import Retraining


@click.command(
    epilog=examples(
        "rlbench resume latest", "rlbench resume 3f2a --episodes 100000", "rlbench resume cliff --workers 2"
    )
)
@click.argument("run", metavar="RUN|STUDY", shell_complete=completing.runs_and_studies)
@click.option("--episodes", metavar="N", type=int, help="The new budget, counted from the run's beginning.")
@click.option("--timesteps", metavar="N", type=int, help="The same, in steps.")
@engine_option
@click.option(
    "--anyway", is_flag=True, help="Continue even if other versions or other code made the run; its record says so."
)
@click.option(
    "--no-callbacks",
    is_flag=True,
    help="Continue without the callbacks that watched or ended the training, such as --stop-at.",
)
@workers_option("Processes for a study; by default one for each core.")
@cluster_options
@trust_option
@env_filter_option
@store_option
@json_option
@says_that_it_compiles
def resume(
    run: str,
    episodes: int | None,
    timesteps: int | None,
    engine: str,
    workers: int | None,
    scheduler: str | None,
    env_filter: str | None,
    store: str,
    insecure: bool,  # noqa: FBT001
    anyway: bool,  # noqa: FBT001  (click calls by name)
    no_callbacks: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> int:
    """Resume RUN or STUDY, as if it had never stopped.

    A finished run stays as it is: with a larger budget, a new run begins where it ends. Without a budget, an
    interrupted run continues to the end of the one it was begun with; what it stored after its last checkpoint is
    trained again and compared.

    A study does what is missing, and tries again what failed, as it was asked for when it was begun.
    """
    with rlbench.open_store(store, create=False) as opened:
        if names_study(opened, run):
            if episodes is not None or timesteps is not None:
                raise UsageError("a study keeps its budget: begin another with `rlbench sweep`")
            with placed(workers, scheduler, store, insecure=insecure) as place:
                return resume_study(run, store, place, as_json=as_json)
        found = _run(opened, run, env_filter, needs="training", trust=trust)
        shown = sys.stderr.isatty() and not as_json
        resumed = rlbench.resume(
            found,
            episodes=episodes,
            total_timesteps=timesteps,
            engine=engine,
            progress=shown,
            anyway=anyway,
            callbacks=[] if no_callbacks else None,
        )
        evaluation = evaluated(resumed)
        if as_json:
            print_json(run_document(resumed, evaluation.summary()))
        else:
            how = f", went on from {resumed.cached_episodes:,} episodes"
            say("\n".join(run_lines(resumed, evaluation, how)))
    return INTERRUPTED if resumed.status == "interrupted" else DONE


@click.command(
    epilog=examples(
        "rlbench retrain latest",
        "rlbench retrain latest --bins 6,6,12,12",
        "rlbench retrain 3f2a 77b0 --agent replay-q --warm-start",
    )
)
@click.argument("runs", nargs=-1, required=True, shell_complete=completing.runs)
@agent_option("q-learning, double-q, dyna-q or replay-q.")
@click.option(
    "--passes", metavar="N", type=int, default=100, show_default=True, help="At most this many passes over all steps."
)
@click.option(
    "--tolerance",
    metavar="X",
    type=float,
    default=1e-9,
    show_default=True,
    help="Stop when the largest temporal-difference error of a pass is below this.",
)
@click.option("--warm-start", is_flag=True, help="Start from the first run's table, not from zero.")
@wrapper_option
@bins_option
@set_option
@preset_option
@seed_option
@click.option(
    "--into",
    metavar="URL",
    shell_complete=completing.file,
    help="The store for the new run; by default that of RUNS.",
)
@trust_option
@env_filter_option
@store_option
@json_option
@says_that_it_compiles
def retrain(
    runs: tuple[str, ...],
    agent: str,
    passes: int,
    tolerance: float,
    warm_start: bool,  # noqa: FBT001
    wrappers: tuple[str, ...],
    bins: str | None,
    settings: tuple[str, ...],
    preset: str,
    seed: int,
    into: str | None,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> None:
    """Learn from the stored steps of RUNS alone, without a step in the env, and compare with the first of them.

    They are recorded as the parents of the new run.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(rlbench.open_store(store, create=False))
        target = opened if into is None else stack.enter_context(rlbench.open_store(into))
        parents = [_run(opened, ref, env_filter, needs="steps", trust=trust) for ref in runs]
        learnt = rlbench.retrain(
            parents,
            agent,
            passes=passes,
            tolerance=tolerance,
            warm_start=warm_start,
            store=target,
            seed=seed,
            wrappers=wrappers,
            bins=bins,
            preset=preset,
            agent_kwargs=parse_settings(settings, "--set"),
        )
        has_agent = parents[0].has_agent  # a person, or another program's agent, cannot be asked again
        before = rlbench.evaluate(parents[0], seed=seed) if has_agent else None
        after = _evaluated_if_possible(learnt.run)
        changed = _changed_states(parents[0], learnt.run) if has_agent else None
        if as_json:
            print_json(_retraining_document(learnt, before, after, changed))
        else:
            say("\n".join(_retraining_lines(learnt, parents, before, after, changed)))


@click.command(epilog=examples("rlbench verify latest", "rlbench verify --all --json"))
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--all", "every", is_flag=True, help="All runs that kept their steps.")
@click.option("--episode", "episodes", metavar="N", type=int, multiple=True, help="Only this episode; may be repeated.")
@engine_option
@trust_option
@env_filter_option
@store_option
@json_option
@says_that_it_compiles
def verify(
    run: str | None,
    every: bool,  # noqa: FBT001
    episodes: tuple[int, ...],
    engine: str,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> int:
    """Play the stored episodes of RUN again, and compare every observation, reward and end.

    The exit code is 1 if any differs.
    """
    if (run is None) is not every:
        raise UsageError("name a run, or give --all: one of the two")
    with rlbench.open_store(store, create=False) as opened:
        records = (
            _all_with_steps(opened, env_filter) if run is None else [find_run(opened, run, env_filter, needs="steps")]
        )
        found = [rlbench.Run(record, opened, trust=trust) for record in records]
        results = [rlbench.verify(one, episodes=episodes or None, engine=engine) for one in found]
    if as_json:
        print_json(
            {"runs": [verification_document(r) for r in results]} if every else verification_document(results[0])
        )
    else:
        say("\n".join(line for result in results for line in verification_lines(result)))
    return FAILED if any(result.mismatched for result in results) else DONE


@click.command(epilog=examples("rlbench diff 3f2a 77b0", "rlbench diff latest best --env safecab"))
@click.argument("run_a", shell_complete=completing.runs)
@click.argument("run_b", shell_complete=completing.runs)
@env_filter_option
@store_option
@json_option
def diff(run_a: str, run_b: str, env_filter: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show the settings in which RUN_A and RUN_B differ, and the first episode and step at which they diverge."""
    with rlbench.open_store(store, create=False) as opened:
        a, b = _run(opened, run_a, env_filter), _run(opened, run_b, env_filter)
        found = rlbench.diff(a, b)
    if as_json:
        where = {"episode": found.episode, "step": found.step, "cause": found.cause, "table_entry": found.table_entry}
        settings = {name: list(pair) for name, pair in found.settings.items()}
        print_json({"run_a": a.id, "run_b": b.id, "settings": settings, **where, "detail": found.detail})
        return
    say(f"runs {a.id} and {b.id}: {found.detail}")
    for name, (one, other) in found.settings.items():
        say(f"  {name}: {_or_none(one)} and {_or_none(other)}")
    if not found.settings:
        say("  the same settings")


def _or_none(value: Any) -> str:
    return "none" if value is None else write_setting(value)


def _run(store: Store, ref: str, env: str | None = None, *, needs: str = "", trust: bool = False) -> Run:
    return rlbench.Run(find_run(store, ref, env, needs=needs), store, trust=trust)


def _all_with_steps(store: Store, env: str | None) -> list[RunRecord]:
    return [record for record in store.runs(env_id=env_id_of(env)) if record.config.keeps_steps]


def _evaluated_if_possible(run: Run) -> Evaluation | None:
    """Evaluates a run and stores the result; None if its env cannot be made here."""
    from gymnasium.error import DependencyNotInstalled  # noqa: PLC0415  (Gymnasium, which --help goes without)

    try:
        return evaluated(run)
    except (StoreError, DependencyNotInstalled) as error:
        say(f"not evaluated: {error}", err=True)
        return None


def _changed_states(old: Run, new: Run) -> int | None:
    """Returns in how many states the greedy action is another; None if the old agent has none."""
    policies = old.agent.greedy_policy(), new.agent.greedy_policy()
    if policies[0] is None or policies[1] is None:
        return None
    return int((policies[0] != policies[1]).sum())


def _retraining_document(
    learnt: Retraining, before: Evaluation | None, after: Evaluation | None, changed: int | None
) -> dict[str, Any]:
    return {
        **run_document(learnt.run, None if after is None else after.summary()),
        "parents": list(learnt.run.record.parents),
        "passes": learnt.passes,
        "converged": learnt.converged,
        "largest_error": learnt.largest_error,
        "transitions": learnt.transitions,
        "env_steps": 0,
        "changed_states": changed,
        "parent_evaluation": None if before is None else before.summary(),
    }


def _retraining_lines(
    learnt: Retraining, parents: list[Run], before: Evaluation | None, after: Evaluation | None, changed: int | None
) -> list[str]:
    run, names = learnt.run, ", ".join(parent.id for parent in parents)
    verdict = "nothing changes any more" if learnt.converged else f"largest error {learnt.largest_error:.3g}"
    passes = f"{learnt.passes} {'pass' if learnt.passes == 1 else 'passes'}"
    lines = [
        f"{run.agent_name} on {run.env_id}, from stored steps alone: {verdict}",
        f"  learnt    {learnt.transitions:,} transitions of {names}, {passes} in {run.seconds:.2f} s",
        f"  stored    run {run.id} in {run.store.url}",
    ]
    if before is not None:
        lines += ["before (the first of them)", *evaluation_lines(before), "after"]
    lines += [] if after is None else evaluation_lines(after)
    return lines if changed is None else [*lines, f"  changed   the greedy action in {changed:,} states"]


def verification_document(result: Verification) -> dict[str, Any]:
    """Returns a verification as JSON."""
    first = result.mismatches[0]._asdict() if result.mismatches else None
    return {
        "run": result.run_id,
        "episodes": result.episodes,
        "steps": result.steps,
        "mismatches": result.mismatched,
        "first": first,
        "unverifiable": result.unverifiable,
    }


def verification_lines(result: Verification) -> list[str]:
    """Returns a verification in words: the first differences, if there are any."""
    verdict = "all as stored" if not result.mismatched else f"{result.mismatched:,} episodes differ"
    lines = [f"run {result.run_id}: played {result.episodes:,} episodes, {result.steps:,} steps again: {verdict}"]
    lines += [f"  {mismatch}" for mismatch in result.mismatches[:10]]
    if result.unverifiable:
        lines.append(f"  {result.unverifiable:,} episodes cannot be played again: their generator was not recorded")
    return lines
