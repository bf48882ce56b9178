"""`rlbench replay` and `rlbench watch`: episodes in the terminal, stored ones and live ones."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from rlbench.cli.options import (
    env_filter_option,
    find_run,
    is_terminal,
    json_option,
    print_json,
    print_table,
    seed_option,
    store_option,
)
from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gymnasium as gym

    from rlbench.store import Episode
    from rlbench.training import Run

delay_option = click.option(
    "--delay",
    type=click.FloatRange(min=0),
    default=0.25,
    show_default=True,
    help="Seconds between steps, on a terminal.",
)


@click.command()
@click.argument("run")
@click.option("--episode", default="latest", show_default=True, help="A number, best, worst, latest or random.")
@delay_option
@env_filter_option
@store_option
@json_option
def replay(run: str, episode: str, delay: float, env_filter: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show a stored episode of RUN, step by step.

    RUN is an id, a unique beginning of one, latest, or best. Exploratory actions are marked with a star.
    """
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415

    with open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter)
        if record.config.get("record") == "none":
            raise StoreError(f"run {record.id} kept no steps (--record none): there is nothing to replay")
        found = opened.episodes(record.id)[_index(opened.figures(record.id)["return"], episode)]
        if as_json:
            print_json(_document(record.id, found))
            return
        click.echo(_title(record.id, found))
        show(_frames(Run(record, opened), found), delay)


@click.command()
@click.argument("run")
@seed_option
@delay_option
@env_filter_option
@store_option
def watch(run: str, seed: int, delay: float, env_filter: str | None, store: str) -> None:
    """Let the agent of RUN drive one episode, greedily, and look on."""
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415

    with open_store(store, create=False) as opened:
        loaded = Run(find_run(opened, run, env_filter), opened)
        env, agent = _ansi_env(loaded), loaded.agent
        if env is None:
            raise UsageError(f"{loaded.env_id} cannot be drawn in a terminal (it has no render_mode 'ansi')")
        click.echo(f"run {loaded.id}: {loaded.agent_name} on {loaded.env_id}, driving greedily from seed {seed}")
        show(_drive(env, agent, seed), delay)


def show(frames: Iterable[str], delay: float) -> None:
    """Prints frames one after another; on a terminal each takes the place of the one before."""
    animated, height = is_terminal(), 0
    for frame in frames:
        if animated and height:
            click.echo(f"\x1b[{height}A\x1b[J", nl=False)
        click.echo(frame)
        height = frame.count("\n") + 1
        if animated:
            time.sleep(delay)


def _drive(env: gym.Env[Any, Any], agent: Any, seed: int) -> Iterable[str]:
    observation, _ = env.reset(seed=seed)
    total, steps, ended = 0.0, 0, False
    yield f"{env.render()}\nstep 0"
    while not ended:
        observation, reward, terminated, truncated, _ = env.step(agent.act(observation, explore=False))
        total, steps, ended = total + float(reward), steps + 1, terminated or truncated
        yield f"{env.render()}\nstep {steps}  reward {float(reward):g}  return {total:g}"


def _index(returns: np.ndarray[Any, Any], word: str) -> int:
    """Returns the episode that a word or number names."""
    if not len(returns):
        raise StoreError("the run has no episode that ended")
    named = {
        "best": lambda: int(returns.argmax()),
        "worst": lambda: int(returns.argmin()),
        "latest": lambda: len(returns) - 1,
        "random": lambda: int(np.random.default_rng().integers(len(returns))),
    }
    if word in named:
        return named[word]()
    if not word.isdecimal() or int(word) >= len(returns):
        raise UsageError(f"--episode takes 0 to {len(returns) - 1}, best, worst, latest or random, got {word!r}")
    return int(word)


def _title(run_id: str, episode: Episode) -> str:
    end = "terminated" if episode.terminated else "truncated" if episode.truncated else "cut off"
    return f"run {run_id}, episode {episode.index}: {len(episode)} steps, return {episode.total_return:g}, {end}"


def _document(run_id: str, episode: Episode) -> dict[str, Any]:
    return {
        "run": run_id,
        "episode": episode.index,
        "observations": np.asarray(episode.observations).tolist(),
        "actions": np.asarray(episode.actions).tolist(),
        "rewards": episode.rewards.tolist(),
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "total_return": episode.total_return,
    }


def _ansi_env(run: Run) -> gym.Env[Any, Any] | None:
    """Makes a run's env so that it draws in text; None if it cannot."""
    env = run.make_env()
    modes = env.metadata.get("render_modes", [])
    env.close()
    return run.make_env(render_mode="ansi") if "ansi" in modes else None


def _frames(run: Run, episode: Episode) -> Iterable[str]:
    """Yields each step as a picture where the env draws from a Discrete state, else all steps as one table."""
    env = _ansi_env(run)
    if env is None or not hasattr(env.unwrapped, "s"):
        _print_steps(episode)
        return
    env.reset()
    for t, state in enumerate(np.asarray(episode.observations).tolist()):
        env.unwrapped.s = state
        env.unwrapped.lastaction = None if t == 0 else int(np.asarray(episode.actions)[t - 1])
        yield f"{env.render()}\n{_caption(episode, t)}"


def _caption(episode: Episode, t: int) -> str:
    if t == 0:
        return "step 0"
    star = " (exploring)" if episode.explored is not None and episode.explored[t - 1] else ""
    gained = float(np.cumsum(episode.rewards)[t - 1])
    return f"step {t}{star}  reward {episode.rewards[t - 1]:g}  return {gained:g}"


def _print_steps(episode: Episode) -> None:
    observations, actions = np.asarray(episode.observations), np.asarray(episode.actions)
    explored = episode.explored if episode.explored is not None else np.zeros(len(episode), bool)
    rows = [
        (
            str(t),
            str(observations[t]),
            f"{actions[t]}{'*' if explored[t] else ''}",
            f"{episode.rewards[t]:g}",
            str(observations[t + 1]),
        )
        for t in range(len(episode))
    ]
    print_table(("step", "observation", "action", "reward", "next observation"), rows, right=("step", "reward"))
