"""The state of the viewer: the current episode and step, and which panels are on; independent of any window."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
NORMAL = SPEEDS.index(1.0)
ZOOM = 1.5  # a step of it
NOTICE = 2.5  # seconds for which a notice is shown
WINDOW_HELP = (  # the help text
    ("space", "play or pause"),
    ("right, left", "a step forward or back"),
    ("PgUp, PgDn", "a tenth back or forward"),
    ("Home, End", "to the start or the end"),
    ("+, -", "faster or slower"),
    ("mouse", "drag on the timeline"),
    ("n, p", "next or previous episode"),
    ("i, o, wheel", "zoom into a large city, or out"),
    ("a", "action values on or off"),
    ("v", "state values and policy on or off"),
    ("g", "graphs of a CartPole on or off"),
    ("?", "this help"),
    ("q, Esc", "quit"),
)


class ClipsLike(Protocol):
    """Clips, and the table learnt by their agent."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...

    @property
    def action_values(self) -> NDArray[Any] | None:
        """(n_states, n_actions), or None."""

    @property
    def no_values(self) -> str:
        """Why no state values can be shown; empty if they can."""


class Bar(NamedTuple):
    """One action in the current state."""

    action: int
    value: float
    is_greedy: bool
    is_taken: bool
    is_explored: bool  # taken as exploration


class Playback:
    """An episode being played: a position in steps, and the commands that move it.

    Args:
        clips: the clips to show.
        index: the first one to show.
        pace: steps per second at normal speed.
    """

    def __init__(self, clips: ClipsLike, index: int, pace: float) -> None:
        self._clips, self._pace = clips, pace
        self._speed = NORMAL
        self._notice, self._notice_left = "", 0.0
        self.is_playing = True
        self.shows_help, self.shows_values = False, False
        self.shows_actions = self.shows_graphs = True
        self.is_over = False  # the user has quit
        self.seconds = 0.0  # on the clock
        self.zoom = 1.0
        self._load(index)

    def _load(self, index: int) -> None:
        self.index = index
        self.clip = self._clips[index]
        self._position, self._target = 0.0, 0
        self._rewards = np.asarray(self.clip.episode.rewards, dtype=np.float64)

    # -------------------------------------------------------------- what is shown

    @property
    def length(self) -> int:
        """The steps of the episode, T."""
        return len(self._rewards)

    @property
    def step(self) -> int:
        """The step that is shown, or under way: 0 to T."""
        return math.ceil(self._position)

    @property
    def way(self) -> float:
        """The share of that step that has passed, in (0, 1]."""
        return self._position - self.step + 1

    @property
    def position(self) -> float:
        """The current position, in steps."""
        return self._position

    @property
    def speed(self) -> float:
        """The speed as a multiple of the normal one."""
        return SPEEDS[self._speed]

    @property
    def notice(self) -> str:
        """The message shown for a moment."""
        return self._notice if self._notice_left > 0 else ""

    @property
    def caption(self) -> Any:
        """The caption of the current step."""
        return self.clip.captions[self.step]

    @property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards on the timeline, (T,)."""
        return self._rewards

    @property
    def explored(self) -> NDArray[np.bool_]:
        """Which actions were exploratory, (T,)."""
        explored = self.clip.episode.explored
        return np.zeros(self.length, np.bool_) if explored is None else np.asarray(explored, np.bool_)

    @property
    def decision(self) -> int:
        """The step whose observation the agent acts on: the current one or, while one is under way, the one before."""
        return self.step if self.way >= 1 else self.step - 1

    def bars(self) -> list[Bar]:
        """Returns the action values of the current state; empty if there are none, or if the episode has ended."""
        table, state = self._clips.action_values, self.state
        if self.no_bars or table is None or state is None:
            return []
        values, taken, explored = table[state].tolist(), self._taken(), self._is_explored()
        greedy = int(np.argmax(table[state]))
        return [
            Bar(action, value, action == greedy, action == taken, action == taken and explored)
            for action, value in enumerate(values)
            if value > -np.inf  # else the state does not allow it
        ]

    @property
    def no_bars(self) -> str:
        """Why there are no action values; empty if there are."""
        table, state = self._clips.action_values, self.state
        if table is None:
            return "this run has learnt none"
        if state is None or not 0 <= state < len(table):
            return "none for this observation"
        has_ended = self.decision == self.length and self.clip.episode.terminated
        return "the episode has ended" if has_ended else ""

    @property
    def state(self) -> int | None:
        """The index of the current state; None if observations are not integers."""
        observations = self.clip.episode.observations
        if isinstance(observations, dict) or np.ndim(observations) != 1:
            return None
        return int(observations[self.decision])

    def _taken(self) -> int | None:
        actions = self.clip.episode.actions
        if self.decision == self.length or isinstance(actions, dict) or np.ndim(actions) != 1:
            return None
        return int(actions[self.decision])

    def _is_explored(self) -> bool:
        return self.decision < self.length and bool(self.explored[self.decision])

    # -------------------------------------------------------------- what moves it

    def advance(self, seconds: float) -> None:
        """Advances the clock."""
        self.seconds += seconds
        self._notice_left -= seconds
        if self.is_playing:
            self._target = self.length
        rate = self._pace * max(self.speed, 1.0 if not self.is_playing else 0.0)
        self._position = min(float(self._target), self._position + rate * seconds)
        if self._position >= self.length:
            self.is_playing = False

    def seek(self, share: float) -> None:
        """Jumps to a share of the episode and pauses."""
        self._jump(round(min(max(share, 0.0), 1.0) * self.length))

    def do(self, command: str) -> None:
        """Carries out one of `PLAYBACK_COMMANDS`."""
        PLAYBACK_COMMANDS[command](self)

    def _jump(self, step: int) -> None:
        self.is_playing = False
        self._target = min(max(step, 0), self.length)
        self._position = float(self._target)

    def toggle(self) -> None:
        """Plays or pauses; at the end, plays from the start. Pausing completes the current step."""
        if self.is_playing:
            self._target = self.step
        elif self._target == self.length:
            self._position, self._target = 0.0, 0
        self.is_playing = not self.is_playing

    def forward(self) -> None:
        """Goes one step forward; skips any that are still under way."""
        target = min(self.step + (self.way >= 1), self.length)
        target = max(target, min(self._target + 1, self.length)) if not self.is_playing else target
        self.is_playing, self._target = False, target
        self._position = max(self._position, float(target - 1))

    def back(self) -> None:
        """Goes one step back, without animation."""
        if not self.is_playing:
            self._jump(self._target - 1)
        else:
            self._jump(self.decision - 1 if self.way >= 1 else self.decision)

    def to_start(self) -> None:
        """Jumps to the start."""
        self._jump(0)

    def to_end(self) -> None:
        """Jumps to the end."""
        self._jump(self.length)

    def skip_forward(self) -> None:
        """Jumps forward by a tenth of the episode."""
        self._jump(self.decision + self._tenth)

    def skip_back(self) -> None:
        """Jumps back by a tenth of the episode."""
        self._jump(self.decision - self._tenth)

    @property
    def _tenth(self) -> int:
        return max(1, round(self.length / 10))

    def faster(self) -> None:
        """Plays faster."""
        self._set_speed(self._speed + 1)

    def slower(self) -> None:
        """Plays slower."""
        self._set_speed(self._speed - 1)

    def _set_speed(self, speed: int) -> None:
        self._speed = min(max(speed, 0), len(SPEEDS) - 1)
        self.say(f"speed {self.speed:g}")

    def next(self) -> None:
        """Shows the next episode."""
        self._change(1)

    def previous(self) -> None:
        """Shows the previous episode."""
        self._change(-1)

    def _change(self, by: int) -> None:
        if not 0 <= self.index + by < len(self._clips):
            self.say("this is the last episode" if by > 0 else "this is the first episode")
            return
        self._load(self.index + by)
        self.is_playing = True

    def zoom_in(self) -> None:
        """Shows less of a city, larger."""
        self._set_zoom(self.zoom * ZOOM)

    def zoom_out(self) -> None:
        """Shows more of it."""
        self._set_zoom(self.zoom / ZOOM)

    def _set_zoom(self, zoom: float) -> None:
        self.zoom = max(1.0, min(zoom, self.clip.stage.closest))
        self.say(f"zoom {self.zoom:.3g}" if self.clip.stage.closest > 1 else "this picture has no more to show")

    def say(self, notice: str) -> None:
        """Shows a message for a moment."""
        self._notice, self._notice_left = notice, NOTICE

    def switch_help(self) -> None:
        """Shows or hides the keys."""
        self.shows_help = not self.shows_help

    def switch_actions(self) -> None:
        """Shows or hides the action values."""
        self.shows_actions = not self.shows_actions

    def switch_values(self) -> None:
        """Shows or hides the state values."""
        self.shows_values = not self.shows_values
        if self.shows_values and self._clips.no_values:
            self.say(self._clips.no_values)

    def switch_graphs(self) -> None:
        """Shows or hides the graphs of a CartPole."""
        self.shows_graphs = not self.shows_graphs

    def quit(self) -> None:
        """Closes the help if it is open, else the viewer."""
        if self.shows_help:
            self.shows_help = False
        else:
            self.is_over = True


PLAYBACK_COMMANDS = {
    "toggle": Playback.toggle,
    "forward": Playback.forward,
    "back": Playback.back,
    "skip forward": Playback.skip_forward,
    "skip back": Playback.skip_back,
    "start": Playback.to_start,
    "end": Playback.to_end,
    "faster": Playback.faster,
    "slower": Playback.slower,
    "next": Playback.next,
    "previous": Playback.previous,
    "zoom in": Playback.zoom_in,
    "zoom out": Playback.zoom_out,
    "help": Playback.switch_help,
    "actions": Playback.switch_actions,
    "values": Playback.switch_values,
    "graphs": Playback.switch_graphs,
    "quit": Playback.quit,
}
