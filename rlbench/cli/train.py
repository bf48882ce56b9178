"""`rlbench train ENV`: train, store, evaluate, say how good it is."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from rlbench.cli.options import env_set_option, json_option, parse_settings, print_json, seed_option, store_option
from rlbench.cli.report import evaluation_lines

if TYPE_CHECKING:
    from rlbench.evaluation import Evaluation
    from rlbench.training import Run

FIGURES = ("mean_return", "exact_return", "optimal_return", "regret", "optimal_states", "reachable_states")


@click.command()
@click.argument("env")
@click.option("--agent", default="q-learning", show_default=True, help="See `rlbench agents`.")
@click.option("--episodes", type=int, help="Stop after so many episodes.")
@click.option("--timesteps", type=int, help="Stop with the episode in which so many steps are reached.")
@seed_option
@store_option
@click.option("--engine", default="auto", show_default=True, help="auto, compiled or python; the result is the same.")
@click.option("--set", "settings", multiple=True, metavar="K=V", help="A parameter of the agent; may be given often.")
@env_set_option
@click.option("--preset", default="default", show_default=True, help="A set of tuned parameters; see `rlbench envs`.")
@click.option("--record", default="all", show_default=True, help="all: every step; none: the figures of each episode.")
@json_option
def train(
    env: str,
    agent: str,
    episodes: int | None,
    timesteps: int | None,
    seed: int,
    store: str,
    engine: str,
    settings: tuple[str, ...],
    env_settings: tuple[str, ...],
    preset: str,
    record: str,
    as_json: bool,  # noqa: FBT001  (click calls by name)
) -> int:
    """Train an agent on ENV, store every step, and compare it with the optimum.

    ENV is a short name (safecab, cartpole) or any Gymnasium id with discrete actions:

    \b
        rlbench train safecab
        rlbench train cartpole
        rlbench train FrozenLake-v1 --episodes 20000 --set learning_rate=0.1
        rlbench train safecab --env-set city=50x50 --env-set max_episode_steps=1000

    Ctrl-C ends the training with the episode under way; what was learnt is stored.
    """
    import rlbench  # noqa: PLC0415  (Gymnasium and numba only when there is work)

    run = rlbench.train(
        env,
        agent,
        episodes=episodes,
        total_timesteps=timesteps,
        seed=seed,
        store=store,
        record=record,
        engine=engine,
        progress=sys.stderr.isatty() and not as_json,
        env_kwargs=parse_settings(env_settings, "--env-set"),
        agent_kwargs=parse_settings(settings, "--set"),
        preset=preset,
    )
    evaluation = rlbench.evaluate(run, seed=seed)
    run.store.update_run(run.id, evaluation=evaluation.summary())
    if as_json:
        print_json(_document(run, evaluation))
    else:
        click.echo("\n".join(_lines(run, evaluation)))
    return 130 if run.status == "interrupted" else 0


def _document(run: Run, evaluation: Evaluation) -> dict[str, Any]:
    q_table = getattr(run.agent, "q_table", None)
    summary = evaluation.summary()
    return {
        "run": run.id,
        "env_id": run.env_id,
        "agent": run.agent_name,
        "seed": run.seed,
        "engine": run.engine,
        "status": run.status,
        "episodes": run.episodes,
        "timesteps": run.timesteps,
        "seconds": run.seconds,
        "q_table_sha256": None if q_table is None else hashlib.sha256(np.ascontiguousarray(q_table)).hexdigest(),
        "evaluation": {name: summary[name] for name in FIGURES},
    }


def _lines(run: Run, evaluation: Evaluation) -> list[str]:
    rate = run.timesteps / run.seconds / 1e6
    return [
        f"{run.agent_name} on {run.env_id}, seed {run.seed}: {run.status}, {run.engine} loop",
        f"  trained   {run.episodes:,} episodes, {run.timesteps:,} steps in {run.seconds:.2f} s ({rate:.1f} M steps/s)",
        f"  stored    run {run.id} in {run.store.url}",
        *evaluation_lines(evaluation),
        "  next      rlbench watch latest ; rlbench replay latest --episode best ; rlbench runs",
    ]
