"""`rlbench replay` and `rlbench watch`: episodes in the terminal, stored ones and live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rlbench.cli.options import env_filter_option, examples, find_run, json_option, seed_option, store_option
from rlbench.cli.output import print_json, print_table, show
from rlbench.errors import RlbenchError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import gymnasium as gym
    import numpy as np

    from rlbench.cli.drawing import Picture
    from rlbench.store import Episode
    from rlbench.training import Run

MOST = 1000  # steps after which an episode without an end is left

delay_option = click.option(
    "--delay",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Between two steps, on a terminal; by default as the env is meant to be seen.",
)


class Step(NamedTuple):
    """One line of an episode: where the agent is, and how it came there."""

    number: int  # 0 is the start
    observation: Any
    action: Any = None
    reward: float = 0.0
    total: float = 0.0  # return so far
    explored: bool = False
    end: str = ""  # terminated, truncated, or why else nothing follows


@click.command(
    epilog=examples("rlbench replay latest --episode best", "rlbench replay best --env safecab --episode 17 --json")
)
@click.argument("run")
@click.option("--episode", metavar="N", default="latest", show_default=True, help="Or best, worst, latest, random.")
@delay_option
@env_filter_option
@store_option
@json_option
def replay(run: str, episode: str, delay: float | None, env_filter: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show a stored episode of RUN, step by step.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env. On a terminal the episode is animated; into a pipe its steps are printed one after another.
    """
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415

    with open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter)
        if record.config.get("record") == "none":
            raise StoreError(
                f"run {record.id} kept no steps (it was trained with --record none): train with --record all to replay"
            )
        found = opened.episodes(record.id)[_index(opened.figures(record.id)["return"], episode)]
        if as_json:
            print_json(_document({"run": record.id, "episode": found.index}, _stored_steps(found)))
            return
        click.echo(_title(record.id, found))
        _show_stored(Run(record, opened), found, delay)


@click.command(epilog=examples("rlbench watch latest", "rlbench watch best --env cartpole --seed 7"))
@click.argument("run")
@seed_option
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    metavar="N",
    default=MOST,
    show_default=True,
    help="Look away then, where an env has no step limit.",
)
@delay_option
@env_filter_option
@store_option
@json_option
def watch(
    run: str,
    seed: int,
    max_steps: int,
    delay: float | None,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Let the agent of RUN drive one episode, greedily, and look on.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env. On a terminal the episode is animated; into a pipe its steps are printed one after another.
    """
    from rlbench.cli.drawing import picture_of  # noqa: PLC0415
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415

    with open_store(store, create=False) as opened:
        loaded = Run(find_run(opened, run, env_filter), opened)
        picture, agent = picture_of(loaded), loaded.agent
    env = loaded.make_env() if picture is None else picture.env
    steps = _live_steps(env, agent, seed, max_steps)
    if as_json:
        print_json(_document({"run": loaded.id, "seed": seed}, steps))
        return
    click.echo(f"run {loaded.id}: {loaded.agent_name} on {loaded.env_id}, driving greedily from seed {seed}")
    if picture is None:
        _print_steps(steps)
    else:
        show((f"{picture.draw()}\n{_caption(step)}" for step in steps), picture.pace if delay is None else delay)


# ------------------------------------------------------------------ steps


def _live_steps(env: gym.Env[Any, Any], agent: Any, seed: int, most: int) -> Iterator[Step]:
    """Plays an episode greedily, a step each time one is asked for."""
    observation, _ = env.reset(seed=seed)
    number, total, end = 0, 0.0, ""
    yield Step(number, observation)
    while not end:
        action = agent.act(observation, explore=False)
        observation, reward, terminated, truncated, _ = env.step(action)
        number, total = number + 1, total + float(reward)
        left = "left there: --max-steps shows more" if number == most else ""
        end = _end(terminated=terminated, truncated=truncated) or left
        yield Step(number, observation, action, float(reward), total, end=end)
    env.close()


def _stored_steps(episode: Episode) -> Iterator[Step]:
    total, last = 0.0, len(episode)
    yield Step(0, _row_of(episode.observations, 0))
    for number in range(1, last + 1):
        reward = float(episode.rewards[number - 1])
        total += reward
        explored = episode.explored is not None and bool(episode.explored[number - 1])
        action, observation = _row_of(episode.actions, number - 1), _row_of(episode.observations, number)
        end = _end(terminated=episode.terminated, truncated=episode.truncated) or "cut off"
        yield Step(number, observation, action, reward, total, explored, end if number == last else "")


def _row_of(tree: Any, row: int) -> Any:
    """Returns one row of an array, or of each part of a dict of arrays, as Python has it."""
    if isinstance(tree, dict):
        return {name: _row_of(part, row) for name, part in tree.items()}
    return tree[row].tolist()


def _end(*, terminated: bool, truncated: bool) -> str:
    return "terminated" if terminated else "truncated" if truncated else ""


# ------------------------------------------------------------------ how they are shown


def _show_stored(run: Run, episode: Episode, delay: float | None) -> None:
    """Draws each step where an observation is the env's whole state, else prints them as a table."""
    picture = _picture(run)
    if picture is None or picture.place(_row_of(episode.observations, 0), None) is None:
        _print_steps(_stored_steps(episode))
        return
    frames = (f"{picture.place(step.observation, step.action)}\n{_caption(step)}" for step in _stored_steps(episode))
    show(frames, picture.pace if delay is None else delay)


def _picture(run: Run) -> Picture | None:
    """Makes a run's env to draw on; None where it cannot be made here: what is stored can be read all the same."""
    import gymnasium as gym  # noqa: PLC0415

    from rlbench.cli.drawing import picture_of  # noqa: PLC0415

    try:
        return picture_of(run)
    except (RlbenchError, gym.error.Error, ImportError):
        return None


def _caption(step: Step) -> str:
    if not step.number:
        return "step 0"
    star = " (exploring)" if step.explored else ""
    end = f"  {step.end}" if step.end else ""
    return f"step {step.number}{star}  reward {step.reward:g}  return {step.total:.10g}{end}"


def _print_steps(steps: Iterable[Step]) -> None:
    header = ("step", "action", "reward", "return", "observation", "")
    print_table(header, map(_cells, steps), right=("step", "action", "reward", "return"))


def _cells(step: Step) -> tuple[str, ...]:
    if not step.number:
        return "0", "", "", "", str(step.observation), ""
    note = " ".join(filter(None, ("exploring" if step.explored else "", step.end)))
    figures = f"{step.reward:g}", f"{step.total:.10g}"
    return str(step.number), str(step.action), *figures, str(step.observation), note


def _index(returns: np.ndarray[Any, Any], word: str) -> int:
    """Returns the episode that a word or number names."""
    import numpy as np  # noqa: PLC0415

    if not len(returns):
        raise StoreError("the run has no episode that ended: there is nothing to replay")
    named = {
        "best": lambda: int(returns.argmax()),
        "worst": lambda: int(returns.argmin()),
        "latest": lambda: len(returns) - 1,
        "random": lambda: int(np.random.default_rng().integers(len(returns))),
    }
    if word in named:
        return named[word]()
    if not (word.isascii() and word.isdigit()) or int(word) >= len(returns):
        raise UsageError(f"--episode takes 0 to {len(returns) - 1}, best, worst, latest or random, got {word!r}")
    return int(word)


def _title(run_id: str, episode: Episode) -> str:
    end = _end(terminated=episode.terminated, truncated=episode.truncated) or "cut off"
    return f"run {run_id}, episode {episode.index}: {len(episode)} steps, return {episode.total_return:.10g}, {end}"


def _document(about: dict[str, Any], steps: Iterable[Step]) -> dict[str, Any]:
    start, *taken = steps
    return {
        **about,
        "observations": [start.observation, *(step.observation for step in taken)],
        "actions": [step.action for step in taken],
        "rewards": [step.reward for step in taken],
        "terminated": taken[-1].end == "terminated",
        "truncated": taken[-1].end == "truncated",
        "total_return": taken[-1].total,
    }
