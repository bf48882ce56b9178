"""Every agent on every env, over seeds: how good it becomes, how soon, and what the textbooks say about it.

    make results          # or: python benchmarks/results.py [--seeds 20] [--jobs 2] [--only taxi]

Runs benchmarks/results.toml; writes docs/results.md with its pictures, and every run's figures to
benchmarks/results.csv. After each of `STAGES` stages of training the greedy policy is evaluated: exactly if the env's
transition table is known, else by playing `STARTS` episodes. Only the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import rlbench
from rlbench.agents import AGENTS
from rlbench.agents.prediction import Prediction
from rlbench.envs.making import make_env
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError
from rlbench.intervals import mean_interval
from rlbench.planning import score_policy, solve
from rlbench.store import open_store
from rlbench.training import resume

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
STAGES = 30  # evaluations of a run, at geometrically growing intervals
FIRST_STAGE = 1 / 500  # of the training
NEAR = 0.01  # relative distance to the optimum that counts as solved
STARTS = 200  # episodes played if no table is known
LAST = 100  # training episodes in the online return
CARTPOLE_BEST = 500.0


class Task(NamedTuple):
    """One run: which agent on which env, with which parameters."""

    env: str  # its name in results.toml
    agent: str
    seed: int


@cache
def settings() -> dict[str, Any]:
    """Returns the table of envs."""
    return tomllib.loads((HERE / "results.toml").read_text())


@cache
def known(env: str) -> tuple[Any, Any]:
    """Returns (model, optimum) of an env, (None, None) if no table is known."""
    made = make_env(settings()[env]["env"], settings()[env].get("env_kwargs"))
    try:
        model = TabularModel.from_env(made)
    except UsageError:
        return None, None
    return model, solve(model)


def value_of(run: rlbench.Run, env: str) -> float:
    """Returns the value of the agent's greedy policy, or the mean return of its episodes if it has none."""
    policy = run.agent.greedy_policy()
    if policy is None:
        return float(run.returns.mean())
    model, optimum = known(env)
    if model is not None:
        return score_policy(model, policy, optimum).exact_return
    return float(rlbench.evaluate(run, episodes=STARTS, seed=1_000_003).mean_return)


def run_one(task: Task) -> dict[str, Any]:
    """Trains in stages, evaluates after each, and returns the figures of the run."""
    row = settings()[task.env]
    model, optimum = known(task.env)
    best = CARTPOLE_BEST if model is None else optimum.optimal_return
    stages = np.geomspace(row["timesteps"] * FIRST_STAGE, row["timesteps"], STAGES).astype(int)
    reached: dict[str, Any] = {"steps": None, "seconds": None}
    with open_store("memory://") as store:
        run = rlbench.train(
            row["env"],
            task.agent,
            total_timesteps=int(stages[0]),
            seed=task.seed,
            store=store,
            record="none",
            env_kwargs=row.get("env_kwargs"),
            agent_kwargs=parameters(task.env, task.agent),
        )
        for stage in stages:
            if run.timesteps < stage:
                run = resume(run, total_timesteps=int(stage))
            value = value_of(run, task.env)
            if reached["steps"] is None and value >= best - NEAR * abs(best):
                reached = {"steps": run.timesteps, "seconds": run.seconds}
        return {
            **task._asdict(),
            "greedy": value,
            "regret": None if model is None else best - value,
            "online": float(run.returns[-LAST:].mean()),
            "episodes": run.episodes,
            "timesteps": run.timesteps,
            "solved": bool(value >= best - NEAR * abs(best)),
            "steps_to_near": reached["steps"],
            "seconds_to_near": reached["seconds"],
            "seconds": run.seconds,
        }


def parameters(env: str, agent: str) -> dict[str, Any]:
    """Returns an agent's parameters from results.toml: the env's that it accepts, and its own."""
    row = settings()[env]
    accepted = {field.name for field in dataclasses.fields(AGENTS[agent].Parameters)}
    shared = {name: value for name, value in row.get("all", {}).items() if name in accepted}
    return {**shared, **row.get(agent, {})}


# ------------------------------------------------------------------------------------------------- the page


def main() -> None:
    """Runs the benchmark and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", metavar="ENV", choices=settings(), help="run one env, print its table, write nothing")
    parser.add_argument("--agent", choices=AGENTS, help="likewise, for one agent")
    arguments = parser.parse_args()
    envs = [arguments.only] if arguments.only else list(settings())
    acting = [name for name, cls in AGENTS.items() if not issubclass(cls, Prediction)]
    agents = [arguments.agent] if arguments.agent else acting
    tasks = [Task(env, agent, seed) for env in envs for agent in agents for seed in range(arguments.seeds)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        frame = pd.DataFrame(pool.map(run_one, tasks))
    if arguments.only or arguments.agent:
        print("\n\n".join(section(env, frame[frame.env == env]) for env in envs))
        return
    frame.to_csv(HERE / "results.csv", index=False, float_format="%.10g")
    (DOCS / "results.md").write_text(page(frame))


def page(frame: pd.DataFrame) -> str:
    """Returns docs/results.md."""
    sections = [section(env, frame[frame.env == env]) for env in settings()]
    return (HERE / "results.md.in").read_text().rstrip() + "\n\n" + "\n\n".join(sections) + "\n"


def section(env: str, frame: pd.DataFrame) -> str:
    """Returns the table of one env."""
    row = settings()[env]
    optimum = known(env)[1]
    best = f"Best possible return: {optimum.optimal_return:.4g}. " if optimum is not None else ""
    lines = [
        f"## {row['title']}",
        "",
        f"{best}{row['timesteps']:,} training steps, {frame.seed.nunique()} seeds.",
        "",
        "| agent | greedy return | regret | return while training | solved | steps to 1 % | seconds to 1 % |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join(lines + [agent_row(agent, runs) for agent, runs in frame.groupby("agent", sort=False)])


def agent_row(agent: str, runs: pd.DataFrame) -> str:
    """Returns an agent's row: means with a bootstrap interval, and medians over seeds."""
    low, high = mean_interval(runs.greedy.to_numpy(), seed=0)
    regret = "-" if runs.regret.isna().any() else f"{runs.regret.mean():.4g}"
    cells = [
        agent,
        f"{runs.greedy.mean():.5g} ({low:.5g} to {high:.5g})",
        regret,
        f"{runs.online.mean():.5g}",
        f"{runs.solved.sum()} of {len(runs)}",
        _median(runs.steps_to_near, "{:,.0f}"),
        _median(runs.seconds_to_near, "{:.2g}"),
    ]
    return "| " + " | ".join(cells) + " |"


def _median(values: pd.Series, form: str) -> str:
    """Returns the median over all seeds, those that never got there counting as infinite; "-" if it is infinite."""
    median = values.astype(float).fillna(np.inf).median()
    return form.format(median) if np.isfinite(median) else "-"


if __name__ == "__main__":
    main()
