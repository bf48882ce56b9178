"""Pictures: of a state in text, of an episode in a file or a window, and the options that choose between them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import gymnasium as gym

    from rlbench.store import Episode
    from rlbench.viewer.clips import Clips
    from rlbench.viewer.rides import MakeEnv

PACE = 0.25  # seconds a step, for an env that does not say how fast it is drawn
TRACK = 2.4  # m: the cart drives from -TRACK to TRACK
COLUMNS = 61  # of the track: 12.5 a metre
POLE = 6  # lines for its 1 m: a character is about twice as high as wide
UPRIGHT = math.radians(2)  # a pole that leans less is drawn straight


class Picture(NamedTuple):
    """An env and how it is drawn in text."""

    env: gym.Env[Any, Any]
    draw: Callable[[], str]

    @property
    def pace(self) -> float:
        """Seconds a step, so that it looks natural."""
        frames = self.env.metadata.get("render_fps")
        return 1 / frames if frames else PACE

    def place(self, state: Any, action: Any) -> str | None:
        """Draws a stored state, and the action that led to it; None where an observation is not the whole state."""
        world: Any = self.env.unwrapped
        if not hasattr(world, "s"):
            return None
        world.s, world.lastaction = state, action
        return self.draw()


def picture_of(make: MakeEnv) -> Picture | None:
    """Makes an env, reset, so that it can be drawn in text; None if it cannot."""
    env = make()
    if "ansi" in env.metadata.get("render_modes", ()):
        env.close()
        env = make(render_mode="ansi")
        env.reset()
        return Picture(env, lambda: str(env.render()).strip("\n"))
    env.reset()
    if is_cart_pole(env):
        return Picture(env, lambda: draw_cart(env.unwrapped.state))  # type: ignore[attr-defined]
    env.close()
    return None


def drawer_of(make: MakeEnv | None, episode: Episode, begin: Callable[[Any], Any]) -> Callable[[int], str]:
    """Returns what draws each step of an episode in text: the city, the cart, else what is stored.

    Args:
        make: makes the env; None if it cannot be made.
        episode: which.
        begin: brings an env to the episode's start and returns the first observation.
    """
    from rlbench.viewer.again import row_of  # noqa: PLC0415
    from rlbench.viewer.films import lines_of  # noqa: PLC0415
    from rlbench.viewer.installed import fits  # noqa: PLC0415
    from rlbench.viewer.quantities import quantities_of  # noqa: PLC0415

    picture = None if make is None else picture_of(make)
    if picture is not None and make is not None and fits(picture.env, episode):
        place, rows = picture.place, episode.observations
        if place(row_of(rows, 0), None) is not None:
            return lambda step: str(place(row_of(rows, step), row_of(episode.actions, step - 1) if step else None))
        cart = quantities_of(make, episode, begin)
        if cart is not None:
            return lambda step: draw_cart(cart.values[step].tolist())
    return lambda step: "\n".join(lines_of(episode, step))


def is_cart_pole(env: gym.Env[Any, Any]) -> bool:
    """Returns whether the env's state is CartPole's four numbers."""
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv  # noqa: PLC0415

    return isinstance(env.unwrapped, CartPoleEnv)


def draw_cart(state: Sequence[float]) -> str:
    """Draws CartPole's state (x in m, its speed, the pole's angle in rad, its speed), to scale, as nine lines."""
    x, _, angle, _ = map(float, state)
    middle = _column(x)
    sign = "|" if abs(angle) < UPRIGHT else "/" if angle > 0 else "\\"
    heights = [(line + 0.5) / POLE for line in reversed(range(POLE))]
    pole = [_line_with(sign, _column(x + height * math.tan(angle))) for height in heights]
    cart = _line_with("[=o=]", middle - 2)
    return "\n".join([*pole, cart, "-" * COLUMNS, f"x {x:+.2f} m, pole {math.degrees(angle):+.1f} degrees"])


def _column(x: float) -> int:
    return round((x + TRACK) / (2 * TRACK) * (COLUMNS - 1))


def _line_with(text: str, column: int) -> str:
    return " " * max(column, 0) + text


# ------------------------------------------------------------------ where pictures go


class Looks(NamedTuple):
    """How an episode is to be looked at: the options of `replay` and `watch`."""

    render: str | None = None  # human, ansi or none
    out: str | None = None  # a file
    fps: float | None = None
    size: int | None = None  # pixels
    frame: int | None = None

    @property
    def mode(self) -> str:
        """Where the episode is drawn: in text by default, nowhere else if it goes to a file."""
        return self.render or ("none" if self.out else "ansi")

    def check(self, *, as_json: bool) -> None:
        """Refuses options that do not go together, before anything is played or read.

        Raises:
            UsageError: a file that cannot be written, --json in a window, or options of a file without one.
            NoDisplayError: there is no screen for a window.
        """
        if as_json and self.mode == "human":
            raise UsageError("--json prints and --render human opens a window: choose one")
        if self.mode == "human":
            from rlbench.envs.drawing import check_display  # noqa: PLC0415  (pygame only for pixels)

            check_display()
        if self.out is None:
            given = [name for name in ("size", "frame") if getattr(self, name) is not None]
            if given:
                raise UsageError(f"--{given[0]} is of a file: give --out FILE with it")
            return
        from rlbench.viewer.files import check_path  # noqa: PLC0415

        path = check_path(self.out)
        if self.frame is not None and path.suffix.lower() != ".png":
            raise UsageError(f"--frame is of a .png, got --out {self.out!r}: leave it out, or name a .png")


def looks_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `Looks` to a command, which gets them as keyword arguments."""
    options = (
        click.option(
            "--render",
            type=click.Choice(["human", "ansi", "none"]),
            help="In a window, in the terminal (the default), or not at all.",
        ),
        click.option("--out", metavar="FILE", help="Write a .gif, an .mp4 or a .png; no display is needed."),
        click.option(
            "--fps",
            type=click.FloatRange(min=0, min_open=True, max=1000),
            metavar="N",
            help="Steps a second, of a file or window; by default as the env is meant to be seen.",
        ),
        click.option(
            "--size", type=click.IntRange(100, 4000), metavar="PIXELS", help="Of the longer side of a frame, in a file."
        ),
        click.option(
            "--frame", type=click.IntRange(min=0), metavar="N", help="Only step N, in a .png; else a contact sheet."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def write_file(clips: Clips, index: int, looks: Looks) -> None:
    """Writes a clip to the file that was asked for, and says so."""
    from rlbench.envs.drawing import need_no_display  # noqa: PLC0415  (pygame only for pixels)
    from rlbench.viewer.clips import pace_of  # noqa: PLC0415
    from rlbench.viewer.files import TILE, save  # noqa: PLC0415
    from rlbench.viewer.stages import frames  # noqa: PLC0415

    need_no_display()
    clip = clips[index]
    steps = len(clip.episode)
    if looks.frame is not None and looks.frame > steps:
        raise UsageError(f"--frame takes 0 to {steps}, the steps of this episode, got {looks.frame}")
    is_sheet = (looks.out or "").lower().endswith(".png") and looks.frame is None
    pictures = frames(clip.stage, list(clip.captions), looks.size or (TILE if is_sheet else None))
    path = save(looks.out or "", pictures, fps=looks.fps or pace_of(clips.env), frame=looks.frame)
    click.echo(f"wrote {path} ({path.stat().st_size / 1000:,.0f} kB)", err=True)


def show_window(clips: Clips, index: int, looks: Looks) -> None:
    """Opens the viewer on a clip; returns when its window is closed."""
    from rlbench.viewer.window import view  # noqa: PLC0415

    view(clips, index, fps=looks.fps)
