"""`rlbench envs`, `rlbench agents` and `rlbench plan`: what is available, and the best that can be reached."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
import gymnasium as gym

import rlbench
from rlbench.agents import AGENTS
from rlbench.cli.options import env_set_option, examples, json_option
from rlbench.cli.output import print_json, print_table, say
from rlbench.envs.making import id_of, make_env
from rlbench.names import SHORT_NAMES
from rlbench.presets import preset_names
from rlbench.settings import parse_settings

if TYPE_CHECKING:
    from rlbench.agents import Agent
    from rlbench.planning import Plan


@click.command(epilog=examples("rlbench envs"))
@json_option
def envs(as_json: bool) -> None:  # noqa: FBT001
    """List the envs with their short names, step limits and presets; any other Gymnasium id works too."""
    found = [(name, env_id, gym.spec(env_id).max_episode_steps) for name, env_id in SHORT_NAMES.items()]
    if as_json:
        names = ("name", "env_id", "limit")
        rows = [dict(zip(names, row, strict=True)) | {"presets": preset_names(row[1])} for row in found]
        print_json({"envs": rows})
        return
    header = ("name", "env", "step limit", "presets")
    print_table(header, [(name, env_id, str(limit), ", ".join(preset_names(env_id))) for name, env_id, limit in found])
    say("\nAny Gymnasium env with Discrete observations and actions works too: FrozenLake-v1, Taxi-v4, ...")


@click.command(epilog=examples("rlbench agents", "rlbench train safecab --agent replay-q --set batch_size=64"))
@json_option
def agents(as_json: bool) -> None:  # noqa: FBT001
    """List the agents with their parameters, defaults and sources."""
    if as_json:
        print_json({"agents": {name: _about(cls) for name, cls in AGENTS.items()}})
        return
    for number, cls in enumerate(AGENTS.values()):
        click.secho(("\n" if number else "") + f"{cls.name}  ({cls.source})", bold=True)
        rows = [(f"  {name}", _shown(default), text) for name, default, text in _parameters(cls)]
        print_table(("  parameter", "default", ""), rows) if rows else say("  no parameters")


def _about(cls: type[Agent]) -> dict[str, Any]:
    names = ("name", "default", "help")
    parameters = [dict(zip(names, parameter, strict=True)) for parameter in _parameters(cls)]
    return {"source": cls.source, "parameters": parameters}


def _parameters(cls: type[Agent]) -> list[tuple[str, Any, str]]:
    return [(f.name, f.default, str(f.metadata.get("help", ""))) for f in fields(cls.Parameters)]


def _shown(default: Any) -> str:
    return "-" if default is None else str(default)


@click.command(
    epilog=examples("rlbench plan safecab", "rlbench plan FrozenLake-v1 --env-set map_name=8x8 --gamma 0.99")
)
@click.argument("env")
@click.option("--gamma", metavar="X", type=float, default=1.0, show_default=True, help="Discount, in [0, 1].")
@env_set_option
@json_option
def plan(env: str, gamma: float, env_settings: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Solve ENV by value iteration: the best that any agent can reach in it."""
    made = make_env(env, parse_settings(env_settings, "--env-set"))
    env_id = id_of(made)
    solved = rlbench.plan(made, gamma)
    if as_json:
        print_json({"env_id": env_id, "gamma": gamma, **_figures(solved)})
    else:
        say("\n".join(_lines(env_id, gamma, solved)))


def _figures(solved: Plan) -> dict[str, Any]:
    return {
        "horizon": solved.horizon,
        "states": solved.n_states,
        "reachable_states": solved.reachable_states,
        "sweeps": solved.sweeps,
        "error_bound": solved.error_bound,
        "optimal_return": solved.optimal_return,
    }


def _lines(env_id: str, gamma: float, solved: Plan) -> list[str]:
    limit = f"within {solved.horizon} steps" if solved.horizon else "without a step limit"
    bound = "exact" if not solved.error_bound else f"error at most {solved.error_bound:.2g}"
    return [
        f"{env_id}, gamma {gamma:g}, {limit}",
        f"  best      expected return {solved.optimal_return:.6f} over the starts ({bound})",
        f"  model     {solved.n_states:,} states, {solved.reachable_states:,} reachable; "
        f"{solved.sweeps} sweeps of value iteration",
    ]
