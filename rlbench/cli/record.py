"""`rlbench record ENV`: episodes of any env, played by a policy and stored as they were observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.options import (
    bins_option,
    env_set_option,
    examples,
    find_run,
    import_function,
    json_option,
    seed_option,
    store_option,
    wrapper_option,
)
from rlbench.cli.output import print_json, say
from rlbench.settings import parse_settings

if TYPE_CHECKING:
    from rlbench.store import Store

RANDOM = "random"


@click.command(
    epilog=examples(
        "rlbench record CartPole-v1 --policy random --episodes 200",
        "rlbench record safecab --policy best",
        "rlbench record Acrobot-v1 --policy my_module:choose_action",
    )
)
@click.argument("env", shell_complete=completing.envs)
@click.option(
    "--policy",
    metavar="POLICY",
    shell_complete=completing.policies,
    default="random",
    show_default=True,
    help="random, a RUN whose agent acts greedily, or module:function, a function from an observation to an action.",
)
@click.option("--episodes", type=int, metavar="N", default=100, show_default=True, help="How many episodes to play.")
@seed_option
@env_set_option
@wrapper_option
@bins_option
@store_option
@json_option
def record(
    env: str,
    policy: str,
    episodes: int,
    seed: int,
    env_settings: tuple[str, ...],
    wrappers: tuple[str, ...],
    bins: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001  (click calls by name)
) -> None:
    """Play episodes of ENV by a policy, and store every step as it was observed.

    ENV is any Gymnasium env whose observations and actions are numbers. `rlbench retrain` learns from what is stored.
    """
    kept, acts = _policy(policy, store)
    run = rlbench.record(
        env,
        acts,
        episodes=episodes,
        seed=seed,
        store=kept,
        env_kwargs=parse_settings(env_settings, "--env-set"),
        wrappers=wrappers,
        bins=bins,
    )
    with run.store:
        mean_return = float(run.returns.mean())
    counts = {"episodes": run.episodes, "steps": run.timesteps, "mean_return": mean_return}
    if as_json:
        print_json({"run": run.id, "env_id": run.env_id, **counts})
        return
    say(f"{run.agent_name} on {run.env_id}, seed {seed}: {run.episodes:,} episodes, {run.timesteps:,} steps")
    say(f"  returned  {mean_return:.2f} on average")
    say(f"  stored    run {run.id} in {run.store.url}")


def _policy(name: str, url: str) -> tuple[str | Store, Any]:
    """Returns where to store, and who acts: the store is opened only for a run in it, for the rest may be a mistake."""
    if ":" in name:
        return url, import_function(name)
    if name == RANDOM:
        return url, name
    store = rlbench.open_store(url, create=False)
    return store, rlbench.Run(find_run(store, name, needs="agent"), store)
