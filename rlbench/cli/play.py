"""`rlbench play ENV`: a person drives, and the episodes are stored like any others."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, Any

import click

from rlbench.cli import completing
from rlbench.cli.options import env_set_option, examples, store_option
from rlbench.cli.output import print_frame, say
from rlbench.envs.making import make_env
from rlbench.errors import UsageError
from rlbench.settings import parse_settings
from rlbench.training.recording import RecordEpisodes
from rlbench.viewer.driving import Driver
from rlbench.viewer.keyboard import Keyboard, can_be_read

if TYPE_CHECKING:
    import gymnasium as gym

QUIT = ("q", "escape")


@click.command(epilog=examples("rlbench play safecab", "rlbench play safecab --env-set city=downtown --render ansi"))
@click.argument("env", shell_complete=completing.envs)
@click.option(
    "--render",
    type=click.Choice(["human", "ansi"]),
    default="human",
    show_default=True,
    help="In a window, or in the terminal.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", help="Seed of the first episode; drawn at random by default."
)
@env_set_option
@store_option
def play(env: str, render: str, seed: int | None, env_settings: tuple[str, ...], store: str) -> None:
    """Drive ENV yourself, with the keys.

    What you drive is stored as a run of the agent "human", tagged human: `rlbench replay` shows it, and
    `rlbench retrain` learns from it.
    """
    if render == "human":
        from rlbench.envs.drawing import check_display  # noqa: PLC0415  (pygame)

        check_display()
    elif not can_be_read():
        raise UsageError("--render ansi reads keys from a terminal, and there is none: drive in one")
    made = _made(env, parse_settings(env_settings, "--env-set"), render)
    recorded = RecordEpisodes(made, store, agent_name="human", seed=seed, tags=("human",))
    driver = Driver(recorded, seed)
    try:
        with recorded:
            _drive(driver, render)
    finally:
        if not driver.all_steps:
            recorded.run.store.delete_run(recorded.run.id)
    _say(recorded, driver)


def _drive(driver: Driver, render: str) -> None:
    if render == "human":
        from rlbench.viewer.playing import play as play_in_window  # noqa: PLC0415  (pygame)

        play_in_window(driver)
    else:
        _play_in_terminal(driver)


def _made(env: str, settings: dict[str, Any], render: str) -> gym.Env[Any, Any]:
    """Makes an env that can be seen: a city is drawn from its state, others draw themselves.

    Raises:
        UsageError: it cannot.
    """
    mode = "rgb_array" if render == "human" else "ansi"
    made = make_env(env, settings)
    if mode not in made.metadata.get("render_modes", ()):
        other = "ansi" if render == "human" else "human"
        raise UsageError(f"{env} cannot be drawn with --render {render}: try --render {other}")
    made.close()
    return make_env(env, settings, render_mode=mode)


def _play_in_terminal(driver: Driver) -> None:
    say(driver.help)
    with Keyboard() as keyboard:
        keys: list[str] = []
        while not any(key in QUIT for key in keys):
            print_frame(f"{str(driver.env.render()).strip(chr(10))}\n{_line(driver)}")
            keys = [key.lower() for key in keyboard.wait()]
            for key in takewhile(lambda key: key not in QUIT, keys):
                _press(driver, key)


def _press(driver: Driver, key: str) -> None:
    if key == "enter":
        driver.begin()
    else:
        driver.press(key)


def _line(driver: Driver) -> str:
    end = "terminated" if driver.terminated else "truncated" if driver.truncated else ""
    after = f"  {end}: Enter for the next, q to quit" if end else ""
    return f"step {driver.steps}  reward {driver.reward:g}  return {driver.total:.10g}{after}"


def _say(recorded: RecordEpisodes, driver: Driver) -> None:
    if not driver.all_steps:
        say("nothing was driven, nothing is stored")
        return
    run = recorded.run
    say(f"run {run.id}: {run.episodes} episodes, {run.timesteps} steps, tagged human")
    say(f"see them: rlbench replay {run.id}   learn from them: rlbench retrain {run.id}")
