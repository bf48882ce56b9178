"""`rlbench envs`, `rlbench agents` and `rlbench plan`: what is available, and the best that can be reached."""

from __future__ import annotations

import inspect
from contextlib import closing
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
import gymnasium as gym

import rlbench
from rlbench.agents import AGENTS
from rlbench.cli import completing
from rlbench.cli.options import env_set_option, examples, json_option
from rlbench.cli.output import print_json, print_table, say, say_indented, say_title
from rlbench.envs.describing import describe
from rlbench.envs.making import id_of, make_env
from rlbench.errors import unknown_name
from rlbench.names import SHORT_NAMES
from rlbench.presets import preset_names
from rlbench.settings import parse_settings

if TYPE_CHECKING:
    from rlbench.agents import Agent
    from rlbench.planning import Plan

METHODS = ("value-iteration", "policy-iteration", "average-reward")


@click.command(epilog=examples("rlbench envs", "rlbench envs safecab", "rlbench envs FrozenLake-v1 --json"))
@click.argument("env", required=False, shell_complete=completing.envs)
@json_option
def envs(env: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the envs with their short names, step limits and presets, or describe ENV: any Gymnasium id, too.

    Its spaces, the names of its actions, its step limit and presets, what counts as a success, and the arguments that
    --env-set takes.
    """
    if env is not None:
        _describe(env, as_json=as_json)
        return
    found = [(name, env_id, gym.spec(env_id).max_episode_steps) for name, env_id in SHORT_NAMES.items()]
    if as_json:
        names = ("name", "env_id", "limit")
        rows = [dict(zip(names, row, strict=True)) | {"presets": preset_names(row[1])} for row in found]
        print_json({"envs": rows})
        return
    header = ("name", "env", "step limit", "presets")
    print_table(
        header, [(name, env_id, str(limit or "none"), ", ".join(preset_names(env_id))) for name, env_id, limit in found]
    )
    say("\nAny Gymnasium env with Discrete observations and actions works too: FrozenLake-v1, Taxi-v4, ...")


def _describe(name: str, *, as_json: bool) -> None:
    with closing(make_env(name)) as made:
        found = describe(made)
    presets = preset_names(found.env_id)
    if as_json:
        arguments = [argument._asdict() for argument in found.arguments]
        print_json({**found._asdict(), "arguments": arguments, "presets": presets})
        return
    say_title(found.env_id)
    say_indented(found.description)
    numbered = ", ".join(f"{number} {name}" for number, name in enumerate(found.actions))
    say(f"  observations  {found.observation_space}")
    say(f"  actions       {found.action_space}{': ' if numbered else ''}{numbered}")
    say(f"  step limit    {found.limit or 'none'}")
    say(f"  success       {found.success}")
    say(f"  presets       {', '.join(presets)}")
    rows = [(f"  {name}", _shown(default), told) for name, default, told in found.arguments]
    print_table(("  argument", "default", ""), rows) if rows else say("  no arguments")


@click.command(
    epilog=examples(
        "rlbench agents",
        "rlbench agents replay-q",
        "rlbench train safecab --agent replay-q --set batch_size=64",
    )
)
@click.argument("agent", required=False, shell_complete=completing.agents)
@json_option
def agents(agent: str | None, as_json: bool) -> None:  # noqa: FBT001
    """List the agents with their sources and parameters, or describe AGENT."""
    if agent is not None and agent not in AGENTS:
        raise unknown_name("agent", agent, AGENTS)
    wanted = AGENTS if agent is None else {agent: AGENTS[agent]}
    if as_json:
        abouts = {name: _about(cls) for name, cls in wanted.items()}
        print_json({"agents": abouts} if agent is None else abouts[agent])
        return
    for number, cls in enumerate(wanted.values()):
        if number:
            say()
        say_title(f"{cls.name}  ({cls.source})")
        say_indented(_description(cls))
        rows = [(f"  {name}", _shown(default), _help(*told)) for name, default, *told in _parameters(cls)]
        print_table(("  parameter", "default", ""), rows) if rows else say("  no parameters")


def _about(cls: type[Agent]) -> dict[str, Any]:
    names = ("name", "default", "values", "help")
    parameters = [dict(zip(names, parameter, strict=True)) for parameter in _parameters(cls)]
    return {"name": cls.name, "source": cls.source, "description": _description(cls), "parameters": parameters}


def _description(cls: type[Agent]) -> str:
    return inspect.getdoc(cls) or ""


def _parameters(cls: type[Agent]) -> list[tuple[str, Any, str, str]]:
    told = [(f, f.metadata) for f in fields(cls.Parameters)]
    return [(f.name, f.default, str(about.get("values", "")), str(about.get("help", ""))) for f, about in told]


def _help(values: str, told: str) -> str:
    """Returns what a parameter does, and the values that it takes: one or another, or an interval."""
    return f"{told}; in {values}" if values[:1] in ("[", "(") else f"{told}; {values}" if values else told


def _shown(default: Any) -> str:
    return "-" if default is None else str(default)


@click.command(
    epilog=examples(
        "rlbench plan safecab",
        "rlbench plan FrozenLake-v1 --env-set map_name=8x8 --gamma 0.99 --method policy-iteration",
        "rlbench plan CliffWalking-v1 --policy epsilon-greedy --epsilon 0.1",
    )
)
@click.argument("env", shell_complete=completing.envs)
@click.option("--gamma", metavar="X", type=float, default=1.0, show_default=True, help="Discount, in [0, 1].")
@click.option("--method", type=click.Choice(METHODS), default=METHODS[0], show_default=True, help="How to solve it.")
@click.option(
    "--sweeps", metavar="N", type=int, help="policy-iteration: evaluate each policy by N sweeps, not exactly."
)
@click.option(
    "--policy",
    metavar="POLICY",
    help="Evaluate this instead: uniform, greedy, epsilon-greedy, or the action for all states.",
)
@click.option("--epsilon", metavar="X", type=float, help="--policy: the share of any action; 0.1 of epsilon-greedy.")
@env_set_option
@json_option
def plan(
    env: str,
    gamma: float,
    method: str,
    sweeps: int | None,
    policy: str | None,
    epsilon: float | None,
    env_settings: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
) -> None:
    """Solve ENV exactly: the best that any agent can reach in it, or what a policy is worth.

    --policy greedy is the optimal policy, epsilon-greedy explores around it. The method average-reward is for envs that
    never end: the mean reward per step, the best or that of --policy.
    """
    if sweeps is not None and method != "policy-iteration":
        raise click.UsageError("--sweeps belongs to --method policy-iteration")
    if epsilon is not None and policy is None:
        raise click.UsageError("--epsilon belongs to --policy")
    made = make_env(env, parse_settings(env_settings, "--env-set"))
    env_id, given = id_of(made), int(policy) if policy is not None and policy.isdecimal() else policy
    if method == "average-reward":
        earned = rlbench.planning.average_reward(made, given, epsilon=epsilon)
        figures = {"gain": earned.gain, "error_bound": earned.error_bound, "sweeps": earned.sweeps}
        lines = [
            f"{env_id}, without end",
            f"  gain      {earned.gain:.6f} reward per step ({_bound(earned.error_bound)})",
        ]
    else:
        solved = _solved(made, gamma, method, sweeps, given, epsilon)
        figures, lines = {"gamma": gamma, **_figures(solved)}, _lines(env_id, solved, method)
    if as_json:
        print_json({"env_id": env_id, **figures})
    else:
        say("\n".join(lines))


def _solved(
    env: gym.Env[Any, Any],
    gamma: float,
    method: str,
    sweeps: int | None,
    policy: str | int | None,
    epsilon: float | None,
) -> Plan:
    if policy is not None:
        return rlbench.policy_evaluation(env, policy, gamma, epsilon=epsilon)
    if method == "policy-iteration":
        return rlbench.policy_iteration(env, gamma, sweeps=sweeps)
    return rlbench.plan(env, gamma)


def _figures(solved: Plan) -> dict[str, Any]:
    return {
        "horizon": solved.horizon,
        "states": solved.n_states,
        "reachable_states": solved.reachable_states,
        "sweeps": solved.sweeps,
        "error_bound": solved.error_bound,
        "expected_return": solved.expected_return,
        "optimal_return": solved.optimal_return,
    }


def _lines(env_id: str, solved: Plan, method: str) -> list[str]:
    limit = f"within {solved.horizon} steps" if solved.horizon else "without a step limit"
    what, how = ("policy  ", "policy evaluation") if solved.optimal_return is None else ("best    ", method)
    return [
        f"{env_id}, gamma {solved.gamma:g}, {limit}",
        f"  {what}  expected return {solved.expected_return:.6f} over the starts ({_bound(solved.error_bound)})",
        f"  model     {solved.n_states:,} states, {solved.reachable_states:,} reachable; "
        f"{solved.sweeps} sweeps of {how.replace('-', ' ')}",
    ]


def _bound(error: float) -> str:
    return f"error at most {error:.2g}" if error else "exact"
