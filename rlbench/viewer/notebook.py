"""Shows an episode in a notebook: as a small player or, if it cannot be drawn, as a table of its steps."""

from __future__ import annotations

import base64
import html
import io
import math
import warnings
from string import Template
from typing import TYPE_CHECKING

import gymnasium as gym
import numpy as np

from rlbench.envs.making import make_from_spec
from rlbench.errors import RlbenchError, StoreError
from rlbench.files import packaged, require
from rlbench.store.records import row_of
from rlbench.texts import escaped
from rlbench.viewer.rides import pace_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rlbench.store import Episode

PLAYER_SIDE = 260  # pixels: the longer side of a frame
MOST_FRAMES = 150  # at most; longer episodes are thinned
PLAYER_COLORS = 64
TABLE_ROWS = 40  # at most, in a table


def episode_html(episode: Episode) -> str:
    """Returns an episode as self-contained HTML: a player with a slider, or a table of its steps."""
    try:
        frames, pace = _frames(episode)
    except (RlbenchError, gym.error.Error, ImportError) as error:
        return _table(episode, str(error))
    return _player(frames, pace)


def _frames(episode: Episode) -> tuple[list[NDArray[np.uint8]], float]:
    """Returns the pictures of an episode, and its frame rate.

    Raises:
        StoreError: the env is unknown or cannot be made.
        UsageError: the env cannot render, or the extra `viewer` is missing.
    """
    spec = episode.env_spec
    if spec is None:
        raise StoreError("the env of this episode is unknown: its steps are shown as a table")
    from rlbench.envs.drawing import need_no_display  # noqa: PLC0415  (pygame only when drawing)
    from rlbench.viewer.stages import captions, frames, lone_stage  # noqa: PLC0415  (likewise)

    need_no_display()
    env = make_from_spec(spec)
    kept = np.unique(np.linspace(0, len(episode), min(len(episode) + 1, MOST_FRAMES)).round().astype(int)).tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fallback to text is visible anyway
        stage = lone_stage(lambda **extra: make_from_spec(spec, **extra), episode)
        drawn = list(frames(stage, captions(env, episode), PLAYER_SIDE))
    return [drawn[step] for step in kept], pace_of(env) * len(kept) / (len(episode) + 1)


def _player(frames: Sequence[NDArray[np.uint8]], pace: float) -> str:
    height, width, _ = frames[0].shape
    columns = math.ceil(math.sqrt(len(frames)))
    return Template(packaged(__package__, "player.html").rstrip("\n")).substitute(
        width=width,
        height=height,
        bar=max(60, width - 70),
        last=len(frames) - 1,
        data=_sheet(frames, columns),
        show=_script("player_show.js", columns=columns, width=width, height=height),
        play=_script("player_play.js", pause=round(1000 / pace)),
    )


def _script(name: str, **places: int) -> str:
    """Returns a script on one line, for an HTML attribute."""
    lines = packaged(__package__, name).splitlines()
    return Template("".join(map(str.strip, lines))).substitute(places)


def _sheet(frames: Sequence[NDArray[np.uint8]], columns: int) -> str:
    """Returns all frames in rows as one base64-encoded PNG with a small palette."""
    image = require("PIL.Image", "viewer", "an episode in a notebook")
    height, width, _ = frames[0].shape
    sheet = np.zeros((-(-len(frames) // columns) * height, columns * width, 3), np.uint8)
    for k, frame in enumerate(frames):
        top, left = k // columns * height, k % columns * width
        sheet[top : top + height, left : left + width] = frame
    target = io.BytesIO()
    image.fromarray(sheet).quantize(PLAYER_COLORS, dither=image.Dither.NONE).save(target, "PNG", optimize=True)
    return base64.b64encode(target.getvalue()).decode()


def _table(episode: Episode, reason: str) -> str:
    """Returns the steps of an episode as a table, cut after TABLE_ROWS."""
    totals = [0.0, *np.cumsum(episode.rewards).tolist()]
    rows = [_row(episode, step, totals[step]) for step in range(min(len(episode), TABLE_ROWS) + 1)]
    left_out = len(episode) - TABLE_ROWS
    note = f"{len(episode)} steps, return {episode.total_return:.10g}, {episode.end}"
    more = f"<tr><td colspan=5>{left_out} more steps</td></tr>" if left_out > 0 else ""
    head = "".join(f"<th>{name}</th>" for name in ("step", "action", "reward", "return", "observation"))
    return (
        f"<div><b>episode {episode.index}</b>: {note}<br><small>{html.escape(escaped(reason))}</small>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}{more}</tbody></table></div>"
    )


def _row(episode: Episode, step: int, total: float) -> str:
    star = step > 0 and episode.explored is not None and bool(episode.explored[step - 1])
    cells = [str(step), "", "", f"{total:.10g}", str(row_of(episode.observations, step))]
    if step:
        action = f"{row_of(episode.actions, step - 1)}{' (exploring)' if star else ''}"
        cells[1:3] = action, f"{episode.rewards[step - 1]:g}"
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"
