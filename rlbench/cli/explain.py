"""`rlbench explain`: what a run's agent has learnt to do, in a few rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.options import (
    env_filter_option,
    examples,
    find_run,
    json_option,
    out_option,
    seed_option,
    store_option,
    trust_option,
)
from rlbench.cli.output import print_json, say
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench import plots
    from rlbench.evaluation import Evaluation
    from rlbench.modelling import charts
    from rlbench.plots import style
    from rlbench.reports import Explanation
    from rlbench.store import RunRecord
else:  # matplotlib, Gymnasium and NumPy only when the command runs, not for its --help and what the shell completes
    charts, plots, style = (
        LazyModule(name) for name in ("rlbench.modelling.charts", "rlbench.plots", "rlbench.plots.style")
    )


@click.command(
    epilog=examples("rlbench explain latest", "rlbench explain best --env cartpole --depth 3 --out rules.svg")
)
@click.argument("run", shell_complete=completing.runs)
@click.option(
    "--depth",
    type=int,
    metavar="N",
    help="Maximum depth of the tree; by default as deep as 99.9 % of the steps need, up to 8.",
)
@click.option("--episodes", type=int, metavar="N", default=300, show_default=True, help="Greedy episodes to sample.")
@out_option("Also draw the tree: a .png, .svg or .pdf.")
@seed_option
@trust_option
@env_filter_option
@store_option
@json_option
@says_that_it_compiles
def explain(
    run: str,
    depth: int | None,
    episodes: int,
    out: str | None,
    seed: int,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001  (click calls by name)
    trust: bool,  # noqa: FBT001
) -> None:
    """Explain in a few rules what the agent of RUN has learnt to do, and how well the rules match it.

    The rules are the leaves of a shallow decision tree that imitates the greedy policy. "alike" counts the steps of
    greedy episodes, and the states, in which both choose the same; the returns are those of agent and tree.
    """
    if out is not None:
        plots.check(path=out)
    with rlbench.open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter, needs="agent")
        found = rlbench.explain(rlbench.Run(record, opened, trust=trust), depth=depth, episodes=episodes, seed=seed)
    path = None if out is None else _draw(found, out)
    if as_json:
        print_json({"run": record.id, "agent_name": record.agent_name, **found.summary(), "out": path})
        return
    say("\n".join(_lines(record, found)))
    if path is not None:
        say(f"wrote {path}")


def _lines(record: RunRecord, found: Explanation) -> Iterator[str]:
    yield f"run {record.id}: {record.agent_name} on {record.env_id}, seed {record.seed}"
    yield f"  tree      {len(found.rules)} rules, {found.depth} questions at most"
    yield (
        f"  alike     in {found.visited_fidelity:.1%} of the greedy steps, "
        f"in {found.state_fidelity:.1%} of {found.states:,} states"
    )
    yield f"  returns   agent {_worth(found.agent)}, tree {_worth(found.imitation)}"
    yield ""
    yield found.text()


def _worth(evaluation: Evaluation) -> str:
    if evaluation.exact_return is None:
        return f"{evaluation.mean_return:.2f}"
    return f"{evaluation.mean_return:.2f} (exact {evaluation.exact_return:.4f})"


def _draw(found: Explanation, out: str) -> str:
    with style.styled():
        figure = style.new_figure(charts.tree_size(found.tree, found.depth, wide=True))
        found.draw(figure.subplots())
    return str(plots.save(figure, out))
