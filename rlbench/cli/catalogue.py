"""`rlbench envs`, `rlbench agents` and `rlbench plan`: what there is, and what can be reached in it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import click

from rlbench.cli.options import env_set_option, json_option, parse_settings, print_json, print_table


@click.command()
@json_option
def envs(as_json: bool) -> None:  # noqa: FBT001
    """List the envs with their short names, spaces and presets; any Gymnasium id works as well."""
    import gymnasium as gym  # noqa: PLC0415

    from rlbench.envs import SHORT_NAMES  # noqa: PLC0415
    from rlbench.presets import preset_names  # noqa: PLC0415

    rows = []
    for name, env_id in SHORT_NAMES.items():
        spec = gym.spec(env_id)
        rows.append({"name": name, "env_id": env_id, "limit": spec.max_episode_steps, "presets": preset_names(env_id)})
    if as_json:
        print_json({"envs": rows})
        return
    header = ("name", "env", "step limit", "presets")
    print_table(header, [(r["name"], r["env_id"], str(r["limit"]), ", ".join(r["presets"])) for r in rows])
    click.echo("\nAny Gymnasium env with Discrete observations and actions works too: FrozenLake-v1, Taxi-v4, ...")


@click.command()
@json_option
def agents(as_json: bool) -> None:  # noqa: FBT001
    """List the agents with their parameters, defaults and sources."""
    from rlbench.agents import AGENTS  # noqa: PLC0415

    found = {name: {"source": cls.source, "parameters": _parameters(cls)} for name, cls in AGENTS.items()}
    if as_json:
        print_json({"agents": found})
        return
    for name, about in found.items():
        click.secho(f"{name}  ({about['source']})", bold=True)
        rows = [(f"  {p['name']}", str(p["default"]), p["help"]) for p in about["parameters"]]
        print_table(("  parameter", "default", ""), rows) if rows else click.echo("  no parameters")
        click.echo()


def _parameters(cls: Any) -> list[dict[str, Any]]:
    return [{"name": f.name, "default": f.default, "help": f.metadata["help"]} for f in fields(cls.Parameters)]


@click.command()
@click.argument("env")
@click.option("--gamma", type=float, default=1.0, show_default=True, help="Discount, in [0, 1].")
@env_set_option
@json_option
def plan(env: str, gamma: float, env_settings: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Solve ENV by value iteration: the best that any agent can reach in it."""
    import rlbench  # noqa: PLC0415
    from rlbench.training.environment import make_env  # noqa: PLC0415

    made = make_env(env, parse_settings(env_settings, "--env-set"))
    solved = rlbench.plan(made, gamma)
    figures = {
        "env_id": made.spec.id if made.spec else env,
        "gamma": gamma,
        "horizon": solved.horizon,
        "states": solved.n_states,
        "reachable_states": solved.reachable_states,
        "sweeps": solved.sweeps,
        "error_bound": solved.error_bound,
        "optimal_return": solved.optimal_return,
    }
    if as_json:
        print_json(figures)
        return
    limit = f"within {solved.horizon} steps" if solved.horizon else "without a step limit"
    click.echo(f"{figures['env_id']}, gamma {gamma:g}, {limit}")
    click.echo(
        f"  best expected return {solved.optimal_return:.6f} over the starts (error at most {solved.error_bound:.2g})"
    )
    click.echo(
        f"  {solved.n_states:,} states, {solved.reachable_states:,} reachable; {solved.sweeps} sweeps of value iteration"
    )
