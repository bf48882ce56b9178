"""How an episode is looked at: the options of `replay` and `watch`, and what they ask for of files and windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from rlbench.cli.options import out_option
from rlbench.cli.output import say
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.viewer.clips import Clips


class Looks(NamedTuple):
    """How an episode is to be looked at: the options of `replay` and `watch`."""

    render: str | None = None  # human, ansi or none
    out: str | None = None  # a file
    fps: float | None = None
    size: int | None = None  # pixels
    frame: int | None = None
    values: bool = False

    @property
    def is_in_pixels(self) -> bool:
        """Whether pygame has to draw it."""
        return self.out is not None or self.render == "human"

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
            from rlbench.envs.drawing import check_display  # noqa: PLC0415  (pygame)

            check_display()
        if self.values and not self.is_in_pixels:
            raise UsageError("--values needs a picture: give --out FILE or --render human with it")
        if self.out is None:
            given = [name for name in ("size", "frame") if getattr(self, name) is not None]
            if given:
                raise UsageError(f"--{given[0]} needs a file: give --out FILE with it")
            return
        from rlbench.viewer.files import check_path  # noqa: PLC0415  (pygame)

        path = check_path(self.out)
        if self.frame is not None and path.suffix.lower() != ".png":
            raise UsageError(f"--frame needs a .png, got --out {self.out!r}: leave it out, or name a .png")


def looks_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of `Looks` to a command, which gets them as keyword arguments."""
    options = (
        click.option(
            "--render",
            type=click.Choice(["human", "ansi", "none"]),
            help="In a window, in the terminal (the default), or not at all.",
        ),
        out_option("Write a .gif, an .mp4 or a .png; no display is needed."),
        click.option(
            "--fps",
            type=click.FloatRange(min=0, min_open=True, max=1000),
            metavar="N",
            help="Steps per second in a file or window; by default the env's own rate.",
        ),
        click.option(
            "--size", type=click.IntRange(100, 4000), metavar="PIXELS", help="Longer side of a frame in a file."
        ),
        click.option(
            "--frame",
            type=click.IntRange(min=0),
            metavar="N",
            help="Only step N, for a .png; without it, a contact sheet.",
        ),
        click.option("--values", is_flag=True, help="Lay the state values and the policy over the map."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def show_in_pixels(clips: Clips, index: int, looks: Looks) -> None:
    """Writes the file and opens the window that were asked for."""
    if looks.values and clips.no_values:
        raise UsageError(f"--values: {clips.no_values}")
    if looks.out is not None:
        _write_file(clips, index, looks, looks.out)
    if looks.mode == "human":
        from rlbench.viewer.window import view  # noqa: PLC0415  (pygame)

        view(clips, index, fps=looks.fps, values=looks.values)


def _write_file(clips: Clips, index: int, looks: Looks, out: str) -> None:
    """Writes a clip to a file, and says so."""
    from rlbench.viewer.clips import save_clip  # noqa: PLC0415  (pygame)
    from rlbench.viewer.rides import pace_of  # noqa: PLC0415  (Gymnasium)

    clip = clips[index]
    steps = len(clip.episode)
    if looks.frame is not None and looks.frame > steps:
        raise UsageError(f"--frame takes 0 to {steps}, the steps of this episode, got {looks.frame}")
    veils = clips.veils if looks.values else None
    fps = looks.fps or pace_of(clips.env)
    path = save_clip(clip, out, fps=fps, size=looks.size, frame=looks.frame, veils=veils)
    say(f"wrote {path} ({path.stat().st_size / 1000:,.0f} kB)", err=True)
