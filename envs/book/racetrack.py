"""The racetracks of chapter 5."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlbench.checks import finite
from rlbench.envs.book.base import TableEnv
from rlbench.envs.book.board import AMBER, GREEN, INK, RED, TILE, Board, Mark, paint_agent, read_map, squares_of
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from rlbench.envs._sprites import Pen
    from rlbench.envs.book.board import Square

    Ints = NDArray[np.int64]

SPEEDS = 5  # of each component: 0 to 4
# squares up, squares to the right
VELOCITIES: tuple[Square, ...] = tuple((up, right) for up in range(SPEEDS) for right in range(SPEEDS))
CHANGES = tuple(product((-1, 0, 1), repeat=2))
UP, RIGHT = {-1: "Up -1", 0: "", 1: "Up +1"}, {-1: "Right -1", 0: "", 1: "Right +1"}
CRASH = -1


def _drawn(spans: Iterable[tuple[int, int]], width: int) -> str:
    """Returns the map of a track, from below to the right, by the first and the last square of each row."""
    rows = ["#" * first + "." * (last + 1 - first) + "#" * (width - 1 - last) for first, last in spans]
    rows = [f"{row[:-1]}F" if row[-1] == "." else row for row in rows]
    return "\n".join([*rows[:-1], rows[-1].replace(".", "S")])


TRACKS = {
    "left": _drawn(
        [(3, 16), *[(2, 16)] * 2, (1, 16), *[(0, 16)] * 2, (0, 9), *[(0, 8)] * 7, *[(1, 8)] * 8, *[(2, 8)] * 7]
        + [(3, 8)] * 3,
        17,
    ),
    "right": _drawn(
        [(16, 31), (13, 31), (12, 31), *[(11, 31)] * 4, (12, 31), (13, 31), (14, 29), (14, 26), (14, 25), (14, 23)]
        + [(first, 22) for first in range(14, 0, -1)]
        + [(0, 22)] * 3,
        32,
    ),
}


class Track(NamedTuple):
    """A track: its squares in reading order, where it may be started on and where it ends."""

    rows: int
    cols: int
    squares: tuple[Square, ...]
    starts: frozenset[Square]
    finish: frozenset[Square]


class RacetrackEnv(TableEnv):
    """A car turns right on a racetrack: as fast as possible, and without leaving it.

    ## Source
    Sutton and Barto (2018), Exercise 5.12, with the two tracks of figure 5.5.

    ## States
    `Discrete(squares * 25)`: `square * 25 + up * 5 + right`, where square counts the squares of the track in reading
    order, and up and right are the components of the velocity, 0 to 4 squares a step.

    ## Actions
    `Discrete(9)`: `3 * (up + 1) + right + 1` changes the components of the velocity by up and right, each -1, 0 or 1;
    with the probability `noise` they stay as they are. A component stays in 0 to 4, and a change that would stop the
    car anywhere but on the starting line has no effect.

    ## Rewards
    -1 a step.

    ## Start
    Uniform over the starting line S, with no velocity.

    ## End
    Terminated when the path of a step reaches the finish F; truncated after 10,000 steps. A car whose path leaves the
    track first goes back to a random square of the starting line, without velocity. The path visits the squares that
    are nearest to the straight line.

    ## Arguments
    - `track`: "left", "right", or a map: lines of `.` track, `S` start, `F` finish, `#` off the track.
    - `noise`: the probability that an action has no effect.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> round(rlbench.plan(gym.make("rlbench/Racetrack-v0", noise=0.0)).optimal_return, 6)
        -10.4
    """

    action_names = tuple(f"{UP[up]} {RIGHT[right]}".strip() or "Coast" for up, right in CHANGES)

    def __init__(self, track: str = "left", *, noise: float = 0.1, render_mode: str | None = None) -> None:
        self.track = _read(TRACKS.get(track, track))
        noise = finite("noise", noise)
        if not 0 <= noise <= 1:
            raise UsageError(f"noise must be a probability, from 0 to 1, got {noise}")
        super().__init__(_model(self.track, noise), TrackView(self.track), render_mode)


def _read(text: str) -> Track:
    lines = read_map(text, ".SF#", "track")
    starts, finish = squares_of(lines, "S"), squares_of(lines, "F")
    if not starts or not finish:
        raise UsageError(f"track must have a start 'S' and a finish 'F', got {len(starts)} and {len(finish)} squares")
    return Track(len(lines), len(lines[0]), tuple(squares_of(lines, ".SF")), frozenset(starts), frozenset(finish))


@lru_cache(maxsize=2)
def _model(track: Track, noise: float) -> TabularModel:
    """Builds the table: an action changes the velocity or, by chance, does not, and the velocity leads somewhere."""
    number = _numbers(track)
    n_states = len(number) * len(VELOCITIES)
    lines = np.array([number[square] * len(VELOCITIES) for square in sorted(track.starts)])
    finish = np.array([square in track.finish for square in track.squares])
    # the ends of each (state, action): with the change of velocity, and without
    pairs, landings = np.arange(n_states * len(CHANGES)), _landings(track)
    ends = np.stack([landings[_wanted(track)], landings[pairs // len(CHANGES)]], axis=1)
    shares = np.where(ends[:, :1] == ends[:, 1:], (1.0, 0.0), (1 - noise, noise))
    pairs, ends, shares = np.repeat(pairs, 2)[shares.ravel() > 0], ends[shares > 0], shares[shares > 0]
    # one outcome for each; several for a crash, after which the car is anywhere on the starting line
    counts = np.where(ends == CRASH, len(lines), 1)
    owner, end = np.repeat(pairs, counts), np.repeat(ends, counts)
    within = np.arange(len(end)) - np.repeat(np.cumsum(counts) - counts, counts)
    successor = np.where(end == CRASH, lines[within], end)
    return TabularModel(
        n_states=n_states,
        n_actions=len(CHANGES),
        offsets=np.searchsorted(owner, np.arange(n_states * len(CHANGES) + 1)),
        probability=np.repeat(shares / counts, counts),
        successor=successor.astype(np.int32),
        reward=np.where(finish[owner // (len(VELOCITIES) * len(CHANGES))], 0.0, -1.0),
        terminated=finish[successor // len(VELOCITIES)],
        initial=np.bincount(lines, minlength=n_states) / len(lines),
    )


def _numbers(track: Track) -> dict[Square, int]:
    return {square: place for place, square in enumerate(track.squares)}


def _wanted(track: Track) -> Ints:
    """Returns the state, of the same square, whose velocity a step is made with, for each (state, action)."""
    before = np.arange(len(VELOCITIES))[:, None]
    changed = np.clip(np.array(VELOCITIES)[:, None] + np.array(CHANGES), 0, SPEEDS - 1) @ (SPEEDS, 1)
    elsewhere = np.where(changed == 0, before, changed)  # it does not stop there
    is_line = np.array([square in track.starts for square in track.squares])
    squares = np.arange(len(track.squares))[:, None, None] * len(VELOCITIES)
    wanted: Ints = squares + np.where(is_line[:, None, None], changed, elsewhere)
    return wanted.reshape(-1)


def _landings(track: Track) -> Ints:
    """Returns the state that a step from each state leads to by its velocity, or CRASH: (n_states,)."""
    number, found = _numbers(track), []
    for square, (index, velocity) in product(track.squares, enumerate(VELOCITIES)):
        end = square if square in track.finish else _end_of(track, square, velocity, number)
        after = 0 if end in track.finish else index
        found.append(number[end] * len(VELOCITIES) + after if end in number else CRASH)
    return np.array(found)


def _end_of(track: Track, square: Square, velocity: Square, known: dict[Square, int]) -> Square:
    """Returns the square where a path ends: the first of the finish or off the track, else the last."""
    steps = max(velocity)
    for k in range(1, steps + 1):
        up, right = ((2 * k * part + steps) // (2 * steps) for part in velocity)
        at = square[0] - up, square[1] + right
        if at in track.finish or at not in known:
            return at
    return square[0] - velocity[0], square[1] + velocity[1]


class TrackView(Board):
    """The track, with the car and a line from where its velocity has brought it."""

    def __init__(self, track: Track) -> None:
        everywhere = product(range(track.rows), range(track.cols))
        marks = {**{at: Mark("S", RED) for at in track.starts}, **{at: Mark("F", GREEN) for at in track.finish}}
        super().__init__(track.rows, track.cols, set(everywhere) - set(track.squares), marks)
        self.squares = track.squares

    def place(self, state: int) -> Square:
        """Returns the row and column of the car."""
        return self.squares[state // len(VELOCITIES)]

    def paint(self, pen: Pen, state: int) -> None:
        """Paints the car and its velocity."""
        row, col = self.place(state)
        up, right = VELOCITIES[state % len(VELOCITIES)]
        x, y = col + 0.5, row + 0.5
        for color, width in ((TILE, 0.3), (INK, 0.16)):
            if up or right:
                pen.line(color, (x - right, y + up), (x, y), width)
        paint_agent(pen, x, y, AMBER)

    def text(self, state: int) -> str:
        """Returns the track in letters, the car's square in yellow, and its velocity."""
        up, right = VELOCITIES[state % len(VELOCITIES)]
        return f"{super().text(state)}\nvelocity: {up} up, {right} to the right"
