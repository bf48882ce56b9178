"""`rlbench tune`: search the parameters of an agent, and test what was found on other seeds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.options import agent_option, examples, force_option, json_option, parse_seeds, seed_option
from rlbench.cli.output import say
from rlbench.cli.studies import arguments_of, finished, study_options
from rlbench.errors import UsageError
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from rlbench.studies import again, axes
else:  # NumPy and Gymnasium only when a command runs
    again, axes = LazyModule("rlbench.studies.again"), LazyModule("rlbench.studies.axes")

FORMS = "a range lo..hi or lo..hi:log, or values a,b,c"


@click.command(
    epilog=examples(
        "rlbench tune FrozenLake-v1 --search learning_rate=0.01..1:log --trials 50 --episodes 2000",
        "rlbench tune safecab --search learning_rate=0.1..1 --search exploration_final_eps=0.001..0.3:log --workers 2",
        "rlbench tune cartpole --search learning_rate=0.01..1:log --seeds 0:20 --prune seeds",
        "rlbench tune Taxi-v4 --agent sarsa --search ties=first,random --search gamma=0.9,0.99 --sampler grid",
    )
)
@click.argument("env", shell_complete=completing.envs)
@agent_option("The agent to tune; see `rlbench agents`.")
@click.option(
    "--search",
    multiple=True,
    required=True,
    metavar="NAME=RANGE",
    shell_complete=completing.parameters,
    help="A parameter of the agent, or env.NAME of the env, and where to search: lo..hi, lo..hi:log (evenly in its "
    "logarithm), or values a,b,c. A whole number stays whole. May be repeated.",
)
@click.option("--trials", type=int, metavar="N", help="How many to try: 100 by default, or the whole grid.")
@click.option(
    "--round",
    "of_round",
    type=int,
    metavar="K",
    default=8,
    show_default=True,
    help="Choose K trials, train them, and learn from all of them before the next are chosen.",
)
@click.option(
    "--seeds", metavar="A:B", default="0:8", show_default=True, help="Each trial, with each seed from A to B - 1."
)
@click.option(
    "--test-seeds",
    metavar="C:D",
    default="100:120",
    show_default=True,
    help="Other seeds, with which the best trial is tested beside the preset.",
)
@click.option(
    "--sampler",
    metavar="tpe|random|grid",
    shell_complete=completing.choices,
    default="tpe",
    show_default=True,
    help="What chooses the trials: a tree-structured Parzen estimator, chance, or a grid of the values.",
)
@click.option(
    "--prune",
    metavar="halving|seeds",
    shell_complete=completing.choices,
    help="Give trials up early: halving[:FACTOR[:RUNGS]], of which one in FACTOR (3) goes on from each of RUNGS (3) "
    "lengths of training, or seeds[:ERROR], which are worse than the best on too many seeds. By default none.",
)
@seed_option
@study_options
@click.option(
    "--save-preset",
    metavar="FILE",
    shell_complete=completing.file,
    help="Write the best parameters to a TOML file, for `rlbench train --preset FILE` and the like.",
)
@force_option
@json_option
@says_that_it_compiles
def tune(
    env: str,
    agent: str,
    search: tuple[str, ...],
    trials: int | None,
    of_round: int,
    seeds: str,
    test_seeds: str,
    sampler: str,
    prune: str | None,
    seed: int,
    save_preset: str | None,
    force: bool,  # noqa: FBT001  (click calls by name)
    as_json: bool,  # noqa: FBT001
    **shared: Any,
) -> int:
    """Search the parameters of an agent on ENV that are best over some seeds, and test them on others.

    A trial is trained with every seed; its value is the objective over them, as in `rlbench sweep`. At the end the best
    trial is trained with the test seeds, and so is what the preset gives without the search.

    The same command again goes on where it was stopped, and so does `rlbench resume`. The hash at the end is one of the
    parameters and values of all trials; it depends on what was asked for alone, not on the number of processes, the
    store, or whether it was stopped.
    """
    if save_preset is not None:
        _check_file(save_preset, force=force)
    with arguments_of(**shared, as_json=as_json) as arguments:
        study = rlbench.tune(
            env,
            agent,
            search=axes.parse_over(search, "--search", FORMS),
            trials=trials,
            round=of_round,
            seeds=parse_seeds(seeds),
            test_seeds=parse_seeds(test_seeds, "--test-seeds"),
            sampler=sampler,
            prune=prune,
            seed=seed,
            **arguments,
        )
    with study.store:
        code = finished(study, as_json=as_json)
        if save_preset is not None and study.is_done:
            again.save_preset(study, save_preset, force=force)
            if not as_json:
                say(f"  preset    {save_preset}, for `rlbench train {env} --agent {agent} --preset {save_preset}`")
    return code


def _check_file(path: str, *, force: bool) -> None:
    """Refuses a file that could not be written, or read as a preset, in the end."""
    if Path(path).suffix != ".toml":
        raise UsageError(f"--save-preset takes a TOML file, such as best.toml, got {path!r}")
    if Path(path).exists() and not force:
        raise UsageError(f"{path} is there already: give --force to replace it")
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"the folder of {path} does not exist: make it first")
