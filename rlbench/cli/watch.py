"""`rlbench replay` and `rlbench watch`: episodes in the terminal, stored ones and live ones."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.looks import Looks, looks_options, show_in_pixels
from rlbench.cli.options import (
    bins_option,
    env_filter_option,
    env_set_option,
    examples,
    find_run,
    is_versioned,
    json_option,
    seed_option,
    store_option,
    trust_option,
    wrapper_option,
)
from rlbench.cli.output import is_terminal, print_json, print_table, say, show
from rlbench.errors import StoreError, UsageError
from rlbench.lazy import LazyModule
from rlbench.names import SHORT_NAMES
from rlbench.settings import parse_settings
from rlbench.viewer.keyboard import Keyboard, can_be_read

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gymnasium as gym

    from rlbench.store import Episode
    from rlbench.training import Run
    from rlbench.viewer import installed, rides, steps, texts
    from rlbench.viewer.rides import Ride
    from rlbench.viewer.steps import Step
    from rlbench.viewer.texts import TextClips
else:  # Gymnasium and NumPy only when a command runs, not for its --help and what the shell completes
    installed, rides, steps, texts = (
        LazyModule(f"rlbench.viewer.{name}") for name in ("installed", "rides", "steps", "texts")
    )

FASTEST = 1000.0  # steps a second, where no delay is wanted
LEFT = "left there: --max-steps shows more"

delay_option = click.option(
    "--delay",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Delay between two steps on a terminal; by default the env's own rate.",
)


@click.command(
    epilog=examples(
        "rlbench replay latest --episode best",
        "rlbench replay latest --render human",
        "rlbench replay latest --episode worst --out worst.gif",
        "rlbench replay latest --episode 17 --verify",
        "rlbench replay best --env safecab --episode 17 --json",
    )
)
@click.argument("run", shell_complete=completing.runs)
@click.option(
    "--episode", metavar="N", default="latest", show_default=True, help="A number, or best, worst, latest or random."
)
@click.option(
    "--verify", "is_verified", is_flag=True, help="Also play it again; the exit code is 1 if anything differs."
)
@looks_options
@delay_option
@trust_option
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
    trust: bool,  # noqa: FBT001
    **options: Any,
) -> int:
    """Show a stored episode of RUN, step by step.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env. In a window and on a terminal the keys are: space plays and pauses, the arrows step, n and p
    change the episode, ? shows the rest. Into a pipe the steps are printed one after another.
    """
    looks = Looks(**options)
    looks.check(as_json=as_json)
    with rlbench.open_store(store, create=False) as opened:
        record = find_run(opened, run, env_filter, needs="steps")
        if not record.config.keeps_steps:
            raise StoreError(
                f"run {record.id} kept no steps (it was trained with --record none): train with --record all to replay"
            )
        loaded, episodes = rlbench.Run(record, opened, trust=trust), opened.episodes(record.id)
        found = episodes[_index(loaded, len(episodes), episode)]
        verdict = _verdict(loaded, found) if is_verified else None
        if as_json:
            about = {"run": record.id, "episode": found.index}
            print_json(
                _document(about, steps.stored_steps(found)) | ({} if verdict is None else {"verified": verdict[0]})
            )
        else:
            say(_title(record.id, found) + ("" if verdict is None else f"\n{verdict[1]}"))
        if looks.mode == "ansi" and not as_json:
            _show_stored(loaded, found, looks, delay)
        if looks.is_in_pixels:
            from rlbench.viewer.clips import StoredClips  # noqa: PLC0415  (pygame)

            show_in_pixels(StoredClips(loaded), found.index, looks)
        return int(verdict is not None and not verdict[0])


@click.command(
    epilog=examples(
        "rlbench watch latest",
        "rlbench watch latest --render human",
        "rlbench watch best --env cartpole --seed 7 --out cart.mp4",
        "rlbench watch safecab --agent random --env-set city=downtown",
    )
)
@click.argument("run", metavar="RUN|ENV", shell_complete=completing.runs_and_envs)
@click.option(
    "--agent",
    metavar="random",
    shell_complete=completing.choices,
    help="Who acts in an ENV: only random, for no agent has been trained on it.",
)
@env_set_option
@wrapper_option
@bins_option
@seed_option
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    metavar="N",
    default=1000,
    show_default=True,
    help="Stop after N steps if the env has no step limit.",
)
@looks_options
@delay_option
@trust_option
@env_filter_option
@store_option
@json_option
def watch(
    run: str,
    agent: str | None,
    env_settings: tuple[str, ...],
    wrappers: tuple[str, ...],
    bins: str | None,
    seed: int,
    max_steps: int,
    delay: float | None,
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Watch the agent of RUN act greedily, or a random agent act in ENV.

    RUN is an id, a unique beginning of one, latest, or best: the highest evaluation among the runs of --env, or of
    the latest run's env; ENV an id or short name. The keys are those of `rlbench replay`; n and p change the seed.
    --wrapper puts more wrappers around the env of a RUN; --bins are those it learnt in, or refused.
    """
    looks = Looks(**options)
    looks.check(as_json=as_json)
    if _is_env(run, agent, bool(env_settings)):
        ride = rides.random_ride(run, parse_settings(env_settings, "--env-set"), wrappers, bins)
        _watch(ride, {}, seed, max_steps, delay, looks, as_json)
        return
    with rlbench.open_store(store, create=False) as opened:
        loaded = rlbench.Run(find_run(opened, run, env_filter, needs="agent"), opened, trust=trust)
        _watch(rides.ride_of(loaded, wrappers, bins), {"run": loaded.id}, seed, max_steps, delay, looks, as_json)


def _is_env(name: str, agent: str | None, is_set: bool) -> bool:  # noqa: FBT001
    """Returns whether a name means an env, not a run.

    Raises:
        UsageError: another agent than the random one is asked for.
    """
    if agent is not None and agent != "random":
        raise UsageError(
            f"--agent takes random, got {agent!r}: other agents have to learn first, so name a RUN of theirs"
        )
    is_named = name in SHORT_NAMES or ":" in name or is_versioned(name)  # "module:Env" is no run
    return is_named or agent is not None or is_set


def _watch(
    ride: Ride,
    about: dict[str, Any],
    seed: int,
    most: int,
    delay: float | None,
    looks: Looks,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Plays an episode and shows it in the requested way."""
    env = ride.make_env()
    agent = ride.agent_for(env, seed)
    if as_json:
        print_json(_document({**about, "seed": seed}, steps.live_steps(env, agent, seed, most)))
    else:
        say(f"{ride.title} from seed {seed}")
    if looks.mode == "ansi" and not as_json:
        _show_live(ride, seed, most, looks, delay)
    if looks.is_in_pixels:
        from rlbench.viewer.clips import LiveClips  # noqa: PLC0415  (pygame)

        show_in_pixels(LiveClips(ride, seed, most), 0, looks)


def _verdict(run: Run, episode: Episode) -> tuple[bool, str]:
    """Plays an episode again: whether it is the same, and that in words."""
    result = rlbench.verify(run, episodes=[episode.index])
    if result.mismatched:
        return False, f"not identical when played again: {result.mismatches[0]}"
    if result.unverifiable:
        return False, "cannot be played again: where the env's generator stood before it is not recorded"
    return True, f"identical when played again: every observation and reward of {len(episode)} steps, and the end"


# ------------------------------------------------------------------ in text


def _show_live(ride: Ride, seed: int, most: int, looks: Looks, delay: float | None) -> None:
    sketch = texts.sketch_of(ride.make_env)
    env = ride.make_env() if sketch is None else sketch.env
    pace = _pace(env, looks, delay)
    if _is_steered():
        _steer(texts.live_texts(ride, seed, most), 0, pace)
        return
    taken = steps.live_steps(env, ride.agent_for(env, seed), seed, most, LEFT)
    if sketch is None:
        _print_steps(taken)
    else:
        show(sketch.frames(taken), _seconds(pace, delay))


def _show_stored(run: Run, episode: Episode, looks: Looks, delay: float | None) -> None:
    """Draws each step where an observation is the env's whole state, else prints them as a table."""
    env = installed.installed_env(run)
    pace = _pace(env, looks, delay)
    if _is_steered():
        _steer(texts.stored_texts(run, env), episode.index, pace)
        return
    frames = None if env is None else texts.stored_frames(run.make_env, episode)
    if frames is None:
        _print_steps(steps.stored_steps(episode))
    else:
        show(frames, _seconds(pace, delay))


def _is_steered() -> bool:
    """Returns whether a user at a terminal can press keys."""
    return is_terminal() and can_be_read()


def _steer(clips: TextClips, index: int, pace: float) -> None:
    """Shows clips in the terminal, controlled by the keyboard."""
    from rlbench.viewer.terminal import TerminalViewer  # noqa: PLC0415  (rich)

    with Keyboard() as keyboard:
        TerminalViewer(clips, index, pace).run(keyboard)


def _pace(env: gym.Env[Any, Any] | None, looks: Looks, delay: float | None) -> float:
    """Returns how many steps a second are shown on a terminal."""
    if delay is not None:
        return 1 / delay if delay else FASTEST
    return float(looks.fps or rides.pace_of(env))


def _seconds(pace: float, delay: float | None) -> float:
    return 1 / pace if delay is None else delay


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
    if not count:
        raise StoreError("the run has no episode that ended: there is nothing to replay")
    named = {
        "best": lambda: int(run.returns.argmax()),
        "worst": lambda: int(run.returns.argmin()),
        "latest": lambda: count - 1,
        "random": lambda: secrets.randbelow(count),
    }
    if word in named:
        return named[word]()
    if not (word.isascii() and word.isdigit()) or int(word) >= count:
        raise UsageError(f"--episode takes 0 to {count - 1}, best, worst, latest or random, got {word!r}")
    return int(word)


def _title(run_id: str, episode: Episode) -> str:
    told = f"{len(episode)} steps, return {episode.total_return:.10g}, {episode.end}"
    return f"run {run_id}, episode {episode.index}: {told}"


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
