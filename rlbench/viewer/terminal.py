"""The viewer in a terminal: same keys as the window, drawn in text, resized with the terminal."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rlbench.viewer.colors import AGENT, marked
from rlbench.viewer.playback import Playback

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from rlbench.viewer.keyboard import Keyboard
    from rlbench.viewer.playback import Bar
    from rlbench.viewer.texts import TextClips

FRAME_SECONDS = 0.05  # between polls of the keyboard
TERMINAL_KEYS = {
    "space": "toggle",
    "right": "forward",
    "left": "back",
    "up": "skip back",
    "down": "skip forward",
    "page up": "skip back",
    "page down": "skip forward",
    "home": "start",
    "end": "end",
    "+": "faster",
    "=": "faster",
    "-": "slower",
    "n": "next",
    "p": "previous",
    "a": "actions",
    "?": "help",
    "h": "help",
    "q": "quit",
    "escape": "quit",
}
TERMINAL_HELP = (
    ("space", "play or pause"),
    ("right, left", "a step forward or back"),
    ("down, up", "a tenth forward or back"),
    ("Home, End", "to the start or the end"),
    ("+, -", "faster or slower"),
    ("n, p", "next or previous episode"),
    ("a", "action values on or off"),
    ("?", "this help"),
    ("q", "quit"),
    ("*  >  ?", "the best action, the one taken, one taken while exploring"),
    ("+  !", "where the largest reward was won or lost"),
)
HINT = "space plays, arrows step and scrub, n p episodes, ? help, q quits"
VALUES_WIDTH = 30  # columns of the action values
LEAST_PICTURE = 20  # columns that must remain for the picture
BAR_WIDTH = 10  # columns of an action value
LINES_BELOW = 5  # lines below the picture


class TerminalViewer:
    """A `Playback` in a terminal.

    Args:
        clips: the clips to show.
        index: the first one to show.
        pace: steps per second at normal speed.
        console: the console to draw on.
    """

    def __init__(self, clips: TextClips, index: int, pace: float, console: Console | None = None) -> None:
        self._clips = clips
        self.playback = Playback(clips, index, pace)
        self.console = console or Console(highlight=False)

    def run(self, keyboard: Keyboard) -> None:
        """Runs until the user quits, then prints the last caption."""
        with Live(console=self.console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
            shown = monotonic()
            while not self.playback.is_over:
                live.update(self.picture(), refresh=True)
                for key in keyboard.wait(FRAME_SECONDS):
                    self.press(key)
                before, shown = shown, monotonic()
                self.playback.advance(shown - before)
        self.console.print(f"{self.playback.clip.title}: {self.caption}", markup=False)

    @property
    def caption(self) -> str:
        """The caption of the current step."""
        caption: str = self.playback.clip.captions[self.playback.decision]
        return caption

    def press(self, key: str) -> None:
        """Handles a key."""
        command = TERMINAL_KEYS.get(key)
        if command:
            self.playback.do(command)

    def picture(self) -> RenderableType:
        """Returns the current view, in the size of the terminal."""
        playback, (width, height) = self.playback, self.console.size
        side = VALUES_WIDTH if playback.shows_actions and width >= VALUES_WIDTH + LEAST_PICTURE else 0
        body: RenderableType = _help() if playback.shows_help else self._city(width - side, height - LINES_BELOW)
        if side and not playback.shows_help:
            grid = Table.grid(padding=(0, 1))
            grid.add_row(body, _bars(playback.bars(), self._clips.name, playback.no_bars))
            body = grid
        caption = self.caption
        return Group(
            Text(playback.clip.title, style="bold", no_wrap=True, overflow="ellipsis"),
            body,
            Text(caption, style="magenta" if "(exploring)" in caption else "", no_wrap=True, overflow="ellipsis"),
            timeline(playback, width),
            Text(playback.notice or self._state(), style="dim", no_wrap=True, overflow="ellipsis"),
        )

    def _city(self, width: int, height: int) -> Text:
        drawn = self.playback.clip.draw(self.playback.decision)
        return cropped(drawn, max(1, width), max(1, height), colors="NO_COLOR" not in os.environ)

    def _state(self) -> str:
        state = "playing" if self.playback.is_playing else "paused"
        return f"{state} {self.playback.speed:g}x   {HINT}"


def cropped(drawn: str, width: int, height: int, *, colors: bool = True) -> Text:
    """Returns the part of a drawing that fits, centred on the agent: the square with a coloured background.

    Without colours the agent is marked @.
    """
    lines = drawn.split("\n")
    row = next((k for k, line in enumerate(lines) if AGENT.search(line)), 0)
    found = AGENT.search(lines[row])
    col = Text.from_ansi(lines[row][: found.start()]).cell_len if found else 0
    if not colors:
        lines[row] = marked(lines[row])
    top = min(max(0, row - height // 2), max(0, len(lines) - height))
    texts = [Text.from_ansi(line) for line in lines[top : top + height]]
    wide = max(map(len, texts), default=0)
    left = min(max(0, col - width // 2), max(0, wide - width))
    joined = Text("\n", no_wrap=True).join(text[left : left + width] if len(text) > left else Text() for text in texts)
    return joined if colors else Text(joined.plain, no_wrap=True)


def timeline(playback: Playback, width: int) -> Text:
    """Returns the timeline as one line: O is the current step, + and ! mark the largest gains and losses."""
    room, length = max(2, width), playback.length
    marks = ["-"] * room
    rewards = playback.rewards
    largest = max(map(abs, rewards), default=0.0)
    for k, reward in enumerate(rewards):
        if abs(reward) == largest and largest > 0:
            marks[_column(k + 1, length, room)] = "+" if reward > 0 else "!"
    line = Text("".join(marks), style="dim", no_wrap=True)
    here = _column(playback.decision, length, room)
    line.stylize("cyan not dim", 0, here)
    return Text.assemble(line[:here], ("O", "bold"), line[here + 1 :], no_wrap=True)


def _column(step: int, length: int, room: int) -> int:
    return round(step / length * (room - 1)) if length else 0


def _bars(bars: list[Bar], name: Callable[[int], str], missing: str) -> RenderableType:
    """Returns action values as bars: * is the best, > the one taken, ? one taken while exploring."""
    if not bars:
        return Text(missing, style="dim")
    values = [bar.value for bar in bars]
    low, reach = min(*values, 0.0), (max(*values, 0.0) - min(*values, 0.0)) or 1.0
    grid = Table.grid(padding=(0, 1))
    for bar in bars:
        sign = "?" if bar.is_explored else ">" if bar.is_taken else " "
        style = "magenta" if bar.is_explored else "cyan" if bar.is_taken else "green" if bar.is_greedy else ""
        filled = "█" * max(0, round((bar.value - low) / reach * BAR_WIDTH))
        best = "*" if bar.is_greedy else " "
        grid.add_row(Text(sign + name(bar.action) + best, style), Text(f"{bar.value:.5g}"), Text(filled, style))
    return grid


def _help() -> RenderableType:
    grid = Table.grid(padding=(0, 3))
    for key, what in TERMINAL_HELP:
        grid.add_row(Text(key, "cyan"), Text(what))
    return grid
