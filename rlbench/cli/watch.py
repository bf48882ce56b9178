"""`rlbench replay` and `rlbench watch`: episodes in the terminal, stored ones and live ones."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rlbench.cli.drawing import PACE, Looks, drawer_of, looks_options, picture_of, show_window, write_file
from rlbench.cli.options import (
    env_filter_option,
    env_set_option,
    examples,
    find_run,
    json_option,
    seed_option,
    store_option,
)
from rlbench.cli.output import is_terminal, print_json, print_table, show
from rlbench.errors import StoreError, UsageError
from rlbench.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import gymnasium as gym

    from rlbench.store import Episode
    from rlbench.training import Run
    from rlbench.viewer.clips import Clips
    from rlbench.viewer.rides import Ride
    from rlbench.viewer.terminal import TextClips

VERSIONED = re.compile(r"-v\d+$")  # how the id of an env ends
ENDLESS = 2**31  # there is always another seed
FASTEST = 1000.0  # steps a second, where no delay is wanted
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
    epilog=examples(
        "rlbench replay latest --episode best",
        "rlbench replay latest --render human",
        "rlbench replay latest --episode worst --out worst.gif",
        "rlbench replay latest --episode 17 --verify",
        "rlbench replay best --env safecab --episode 17 --json",
    )
)
@click.argument("run")
@click.option("--episode", metavar="N", default="latest", show_default=True, help="Or best, worst, latest, random.")
@click.option("--verify", "is_verified", is_flag=True, help="Play it again too; exit code 1 if anything differs.")
@looks_options
@delay_option
@env_filter_option
@store_option
@json_option
def replay(
    run: str,
    episode: str,
    delay: float | None,
    env_filter: str | None,
    store: str,
    is_verified: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> int:
    """Show a stored episode of RUN, step by step.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env. In a window and on a terminal the keys are: space plays and pauses, the arrows step, n and p
    change the episode, ? shows the rest. Into a pipe the steps are printed one after another.
    """
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415

    looks = Looks(**options)
    looks.check(as_json=as_json)
    with open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter)
        if record.config.get("record") == "none":
            raise StoreError(
                f"run {record.id} kept no steps (it was trained with --record none): train with --record all to replay"
            )
        loaded, episodes = Run(record, opened), opened.episodes(record.id)
        found = episodes[_index(loaded, len(episodes), episode)]
        verdict = _verdict(loaded, found) if is_verified else None
        if as_json:
            about = {"run": record.id, "episode": found.index}
            print_json(_document(about, _stored_steps(found)) | ({} if verdict is None else {"verified": verdict[0]}))
        else:
            click.echo(_title(record.id, found) + ("" if verdict is None else f"\n{verdict[1]}"))
        if looks.mode == "ansi" and not as_json:
            _show_stored(loaded, found, looks, delay)
        _show_pixels(lambda: _stored_clips(loaded), found.index, looks)
        return int(verdict is not None and not verdict[0])


@click.command(
    epilog=examples(
        "rlbench watch latest",
        "rlbench watch latest --render human",
        "rlbench watch best --env cartpole --seed 7 --out cart.mp4",
        "rlbench watch safecab --agent random --env-set city=downtown",
    )
)
@click.argument("run", metavar="RUN|ENV")
@click.option("--agent", metavar="random", help="Who drives in an ENV: random, which has learnt nothing.")
@env_set_option
@seed_option
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    metavar="N",
    default=MOST,
    show_default=True,
    help="Look away then, where an env has no step limit.",
)
@looks_options
@delay_option
@env_filter_option
@store_option
@json_option
def watch(
    run: str,
    agent: str | None,
    env_settings: tuple[str, ...],
    seed: int,
    max_steps: int,
    delay: float | None,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Let the agent of RUN drive greedily, or the random one in ENV, and look on.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env; ENV an id or short name. The keys are those of `rlbench replay`; n and p change the seed.
    """
    looks = Looks(**options)
    looks.check(as_json=as_json)
    if _is_env(run, agent, env_settings):
        from rlbench.viewer.rides import random_ride  # noqa: PLC0415

        _watch(random_ride(run, parse_settings(env_settings, "--env-set")), {}, seed, max_steps, delay, looks, as_json)
        return
    from rlbench.store import open_store  # noqa: PLC0415
    from rlbench.training import Run  # noqa: PLC0415
    from rlbench.viewer.rides import ride_of  # noqa: PLC0415

    with open_store(store, create=False) as opened:
        loaded = Run(find_run(opened, run, env_filter), opened)
        _watch(ride_of(loaded), {"run": loaded.id}, seed, max_steps, delay, looks, as_json)


def _is_env(name: str, agent: str | None, settings: tuple[str, ...]) -> bool:
    """Returns whether a name is meant as that of an env.

    Raises:
        UsageError: another agent than the random one is asked for.
    """
    from rlbench.envs import SHORT_NAMES  # noqa: PLC0415

    if agent is not None and agent != "random":
        raise UsageError(
            f"--agent takes random, got {agent!r}: other agents have to learn first, so name a RUN of theirs"
        )
    return agent is not None or bool(settings) or name in SHORT_NAMES or VERSIONED.search(name) is not None


def _watch(
    ride: Ride,
    about: dict[str, Any],
    seed: int,
    most: int,
    delay: float | None,
    looks: Looks,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Lets somebody drive, and shows it as was asked for."""
    env = ride.make_env()
    agent = ride.agent_for(env, seed)
    if as_json:
        print_json(_document({**about, "seed": seed}, _live_steps(env, agent, seed, most)))
    else:
        click.echo(f"{ride.title} from seed {seed}")
    if looks.mode == "ansi" and not as_json:
        _show_live(ride, seed, most, looks, delay)
    _show_pixels(lambda: _live_clips(ride, seed, most), 0, looks)


def _verdict(run: Run, episode: Episode) -> tuple[bool, str]:
    """Plays an episode again: whether it is the same, and that in words."""
    from rlbench.replaying import verify  # noqa: PLC0415

    result = verify(run, episodes=[episode.index])
    if result.mismatched:
        return False, f"not identical when played again: {result.mismatches[0]}"
    if result.unverifiable:
        return False, "cannot be played again: where the env's generator stood before it is not recorded"
    return True, f"identical when played again: every observation and reward of {len(episode)} steps, and the end"


def _show_pixels(clips: Callable[[], Clips], index: int, looks: Looks) -> None:
    """Writes the file and opens the window that were asked for."""
    if not looks.out and looks.mode != "human":
        return
    found = clips()
    if looks.out:
        write_file(found, index, looks)
    if looks.mode == "human":
        show_window(found, index, looks)


def _stored_clips(run: Run) -> Clips:
    from rlbench.viewer.clips import StoredClips  # noqa: PLC0415  (pygame only where something is drawn with it)

    return StoredClips(run)


def _live_clips(ride: Ride, seed: int, most: int) -> Clips:
    from rlbench.viewer.clips import LiveClips  # noqa: PLC0415

    return LiveClips(ride, seed, most)


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


def _is_steered() -> bool:
    """Returns whether somebody sits at a terminal, and can press keys."""
    from rlbench.viewer.keyboard import can_be_read  # noqa: PLC0415

    return is_terminal() and can_be_read()


def _steer(clips: TextClips, index: int, pace: float) -> None:
    """Shows clips in the terminal, and does what its user's keys ask for."""
    from rlbench.viewer.keyboard import Keyboard  # noqa: PLC0415
    from rlbench.viewer.terminal import TerminalViewer  # noqa: PLC0415

    with Keyboard() as keyboard:
        TerminalViewer(clips, index, pace).run(keyboard)


def _pace(env: gym.Env[Any, Any] | None, looks: Looks, delay: float | None) -> float:
    """Returns how many steps a second are shown on a terminal."""
    if delay is not None:
        return 1 / delay if delay else FASTEST
    return float(looks.fps or (env.metadata.get("render_fps") if env is not None else None) or 1 / PACE)


def _show_live(ride: Ride, seed: int, most: int, looks: Looks, delay: float | None) -> None:
    picture = picture_of(ride.make_env)
    env = ride.make_env() if picture is None else picture.env
    pace = _pace(env, looks, delay)
    if _is_steered():
        _steer(_live_texts(ride, seed, most), 0, pace)
        return
    steps = _live_steps(env, ride.agent_for(env, seed), seed, most)
    if picture is None:
        _print_steps(steps)
    else:
        show((f"{picture.draw()}\n{_caption(step)}" for step in steps), _seconds(pace, delay))


def _show_stored(run: Run, episode: Episode, looks: Looks, delay: float | None) -> None:
    """Draws each step where an observation is the env's whole state, else prints them as a table."""
    from rlbench.viewer.installed import fits, installed_env  # noqa: PLC0415

    env = installed_env(run)
    pace = _pace(env, looks, delay)
    if _is_steered():
        _steer(_stored_texts(run, env), episode.index, pace)
        return
    picture = picture_of(run.make_env) if env is not None and fits(env, episode) else None
    if picture is None or picture.place(_row_of(episode.observations, 0), None) is None:
        _print_steps(_stored_steps(episode))
        return
    frames = (f"{picture.place(step.observation, step.action)}\n{_caption(step)}" for step in _stored_steps(episode))
    show(frames, _seconds(pace, delay))


def _seconds(pace: float, delay: float | None) -> float:
    return 1 / pace if delay is None else delay


def _live_texts(ride: Ride, first: int, most: int) -> TextClips:
    """Returns episodes that somebody drives, in text, one for each seed from `first` on."""
    from rlbench.viewer.rides import drive  # noqa: PLC0415
    from rlbench.viewer.terminal import TextClip, TextClips  # noqa: PLC0415

    def clip(index: int) -> TextClip:
        env, seed = ride.make_env(), first + index
        episode = drive(env, ride.agent_for(env, seed), seed, most)
        drawer = drawer_of(ride.make_env, episode, lambda again: again.reset(seed=seed)[0])
        return TextClip(f"{ride.title}, seed {seed}", episode, _captions(episode), drawer)

    return TextClips(ENDLESS, clip, ride.table(), _name_of_action(ride.make_env()))


def _stored_texts(run: Run, env: gym.Env[Any, Any] | None) -> TextClips:
    """Returns the episodes of a run, in text."""
    from rlbench.viewer.again import begin_stored  # noqa: PLC0415
    from rlbench.viewer.rides import table_of  # noqa: PLC0415
    from rlbench.viewer.terminal import TextClip, TextClips  # noqa: PLC0415

    episodes = run.store.episodes(run.id)

    def clip(index: int) -> TextClip:
        episode = episodes[index]
        make = None if env is None else run.make_env
        drawer = drawer_of(make, episode, lambda again: begin_stored(run, again, index))
        return TextClip(f"run {run.id}, episode {index} of {len(episodes) - 1}", episode, _captions(episode), drawer)

    return TextClips(len(episodes), clip, table_of(run), _name_of_action(env))


def _captions(episode: Episode) -> list[str]:
    return [_caption(step) for step in _stored_steps(episode)]


def _name_of_action(env: gym.Env[Any, Any] | None) -> Callable[[int], str]:
    from rlbench.viewer.names import action_name  # noqa: PLC0415

    return lambda action: action_name(env, action)


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


def _index(run: Run, count: int, word: str) -> int:
    """Returns the episode that a word or number names."""
    import numpy as np  # noqa: PLC0415

    if not count:
        raise StoreError("the run has no episode that ended: there is nothing to replay")
    named = {
        "best": lambda: int(run.returns.argmax()),
        "worst": lambda: int(run.returns.argmin()),
        "latest": lambda: count - 1,
        "random": lambda: int(np.random.default_rng().integers(count)),
    }
    if word in named:
        return named[word]()
    if not (word.isascii() and word.isdigit()) or int(word) >= count:
        raise UsageError(f"--episode takes 0 to {count - 1}, best, worst, latest or random, got {word!r}")
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
