"""The parts of the viewer around the picture: action values, the timeline, help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rlbench.envs._pygame import pygame
from rlbench.envs.cartpole import DIMENSIONS
from rlbench.envs.drawing import BAD, GOOD, STRANGE, STRIP_GROUND, STRIP_NAME, STRIP_TEXT, text
from rlbench.viewer.playback import WINDOW_HELP
from rlbench.viewer.value_maps import ramp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from rlbench.viewer.playback import Bar, Playback
    from rlbench.viewer.quantities import Quantities
    from rlbench.viewer.value_maps import ValueMap

    Color = tuple[int, ...]

GROUND, RAISED, LINE = (24, 26, 32), (40, 44, 53), (70, 76, 88)
TAKEN, PLAIN = (96, 170, 255), (112, 120, 134)
PAD = 16  # pixels at each edge
ROW = 44  # pixels of an action
TEXT, SMALL = 22, 19  # pixels
KNOB = 7  # pixels
NAME_HEIGHT = 18  # pixels of the line above a graph


def write(surface: pygame.Surface, words: str, x: int, y: int, color: Color = STRIP_TEXT, height: int = TEXT) -> int:
    """Writes at (x, y); returns the x where the text ends."""
    written = text(words, height, color)
    surface.blit(written, (x, y))
    return x + written.get_width()


def write_right(surface: pygame.Surface, words: str, right: int, y: int, color: Color = STRIP_TEXT) -> None:
    """Writes right-aligned."""
    written = text(words, TEXT, color)
    surface.blit(written, (right - written.get_width(), y))


# ------------------------------------------------------------------ action values


def draw_actions(surface: pygame.Surface, bars: list[Bar], name: Callable[[int], str], missing: str) -> None:
    """Draws the action values of a state as bars, or the reason why there are none.

    The best action is starred, the one taken is framed.
    """
    surface.fill(GROUND)
    write(surface, "action values", PAD, PAD, STRIP_NAME)
    if not bars:
        write(surface, missing, PAD, PAD + 34, STRIP_NAME, SMALL)
        return
    values = [bar.value for bar in bars]
    low, high = min(*values, 0.0), max(*values, 0.0)
    room = (surface.get_height() - 3 * PAD - 40) // max(len(bars), 1)
    row = max(20, min(ROW, room))
    for k, bar in enumerate(bars):
        _draw_bar(surface, bar, name(bar.action), PAD + 32 + k * row, row, (low, high))
    _draw_key(surface, PAD + 40 + len(bars) * row)


def _draw_bar(surface: pygame.Surface, bar: Bar, name: str, top: int, height: int, reach: tuple[float, float]) -> None:
    left, right = PAD, surface.get_width() - PAD
    color = STRANGE if bar.is_explored else TAKEN if bar.is_taken else GOOD if bar.is_greedy else PLAIN
    if bar.is_taken:
        pygame.draw.rect(surface, RAISED, (left - 8, top - 4, right - left + 16, height - 4), border_radius=6)
    end = write(surface, name, left, top, STRIP_TEXT, SMALL)
    if bar.is_greedy:
        _draw_star(surface, end + 12, top + 7, GOOD)
    written = text(f"{bar.value:.6g}", SMALL, STRIP_TEXT)
    surface.blit(written, (right - written.get_width(), top))
    low, high = reach
    if height < ROW - 8:
        return
    scale = (right - left) / (high - low) if high > low else 0.0
    zero = left + round(-low * scale)
    pygame.draw.rect(surface, RAISED if not bar.is_taken else LINE, (left, top + 20, right - left, 10), border_radius=3)
    length = round(abs(bar.value) * scale)
    pygame.draw.rect(
        surface, color, (zero if bar.value >= 0 else zero - length, top + 20, max(2, length), 10), border_radius=3
    )


def _draw_star(surface: pygame.Surface, x: int, y: int, color: Color) -> None:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 8.0, 3.4)
    points = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=-1)
    pygame.draw.polygon(surface, color, points.tolist())


def _draw_key(surface: pygame.Surface, top: int) -> None:
    if top + 70 > surface.get_height():
        return
    _draw_star(surface, PAD + 8, top + 7, GOOD)
    write(surface, "the best", PAD + 24, top, STRIP_NAME, SMALL)
    for k, (color, words) in enumerate(((TAKEN, "taken, as chosen"), (STRANGE, "taken, exploring"))):
        pygame.draw.rect(surface, color, (PAD, top + 26 + 24 * k, 16, 10), border_radius=3)
        write(surface, words, PAD + 24, top + 23 + 24 * k, STRIP_NAME, SMALL)


def draw_ramp(surface: pygame.Surface, found: ValueMap) -> None:
    """Draws the colour bar of the state values at the bottom of a panel, if any are known."""
    if found.low > found.high:
        return
    left, right, top = PAD, surface.get_width() - PAD, surface.get_height() - PAD - 64
    surface.fill(GROUND, (0, top - PAD, surface.get_width(), surface.get_height()))
    write(surface, "value of a square", left, top, STRIP_NAME)
    for x in range(left, right):
        pygame.draw.line(surface, ramp((x - left) / (right - left)), (x, top + 24), (x, top + 36))
    write(surface, f"{found.low:.5g}", left, top + 44, STRIP_TEXT, SMALL)
    written = text(f"{found.high:.5g}", SMALL, STRIP_TEXT)
    surface.blit(written, (right - written.get_width(), top + 44))


# ------------------------------------------------------------------ a cart's quantities


def draw_graphs(surface: pygame.Surface, found: Quantities, step: int) -> None:
    """Draws the quantities of a cart over time, with the edges of their bins and the current step."""
    surface.fill(GROUND)
    width, height = surface.get_size()
    wide, high = (width - 3 * PAD) // 2, (height - 3 * PAD // 2) // 2
    for k, (name, unit) in enumerate(DIMENSIONS.items()):
        box = pygame.Rect(PAD + k % 2 * (wide + PAD), PAD // 2 + k // 2 * (high + PAD // 2), wide, high)
        values = found.values[:, k]
        x = write(surface, name, box.left, box.top, STRIP_NAME, SMALL)
        write(surface, f"{values[step]:+.3f} {unit}", x + 10, box.top, STRIP_TEXT, SMALL)
        below = pygame.Rect(box.left, box.top + NAME_HEIGHT, box.width, box.height - NAME_HEIGHT)
        _draw_graph(surface.subsurface(below), values, found.edges[k], step)


def _draw_graph(surface: pygame.Surface, values: NDArray[np.float64], edges: Sequence[float], step: int) -> None:
    width, height = surface.get_size()
    surface.fill(RAISED)
    shown = [*values.tolist(), *edges]
    low, high = min(shown), max(shown)
    reach = (high - low) or 1.0
    low, reach = low - 0.06 * reach, 1.12 * reach
    places = [
        (round(k * (width - 1) / max(1, len(values) - 1)), round((1 - (value - low) / reach) * (height - 1)))
        for k, value in enumerate(values.tolist())
    ]
    for edge in edges:
        y = round((1 - (edge - low) / reach) * (height - 1))
        pygame.draw.line(surface, LINE, (0, y), (width, y))
    if len(places) > 1:
        pygame.draw.lines(surface, PLAIN, False, places)
    if step:
        pygame.draw.lines(surface, TAKEN, False, places[: step + 1], 2)
    pygame.draw.circle(surface, STRIP_TEXT, places[step], 4)


# ------------------------------------------------------------------ the timeline


def draw_timeline(surface: pygame.Surface, playback: Playback) -> None:
    """Draws the rewards of the episode from left to right, the exploratory steps and the current position."""
    surface.fill(GROUND)
    width, height = surface.get_size()
    left, right, middle = *timeline_ends(width), height - 38
    _draw_title(surface, playback)
    pygame.draw.line(surface, LINE, (left, middle), (right, middle))
    if playback.length:
        _draw_rewards(surface, playback, left, right, middle)
    x = left + round((right - left) * (playback.position / playback.length if playback.length else 0.0))
    pygame.draw.line(surface, STRIP_TEXT, (x, middle - 26), (x, height - 10), 2)
    pygame.draw.circle(surface, STRIP_TEXT, (x, middle), KNOB)


def _draw_title(surface: pygame.Surface, playback: Playback) -> None:
    right = surface.get_width() - PAD
    state = "playing" if playback.is_playing else "paused"
    words = f"{state}  {playback.speed:g}x   ? help"
    write_right(surface, playback.notice or words, right, 8, TAKEN if playback.notice else STRIP_NAME)
    room = right - PAD - 30 - text(playback.notice or words, TEXT, STRIP_NAME).get_width()
    write(surface, shortened(playback.clip.title, room), PAD, 8)


def shortened(words: str, room: int) -> str:
    """Returns words cut to fit into `room` pixels, with an ellipsis if cut."""
    kept = words
    while len(kept) > 1 and text(kept, TEXT, STRIP_TEXT).get_width() > room:
        kept = words[: len(kept.rstrip(".")) - 1] + "..."
    return kept


def timeline_ends(width: int) -> tuple[int, int]:
    """Returns the x positions, in pixels, of the start and end of the episode on a timeline."""
    return PAD + KNOB, width - PAD - KNOB


def _draw_rewards(surface: pygame.Surface, playback: Playback, left: int, right: int, middle: int) -> None:
    """Draws a bar per step on a log scale, so that -1 and 1000 are both visible."""
    rewards, explored = playback.rewards, playback.explored
    heights = np.sign(rewards) * np.log10(1 + np.abs(rewards))
    highest = max(float(np.abs(heights).max(initial=0.0)), 1e-9)
    step = (right - left) / playback.length
    wide = max(1, min(14, int(step) - 1))
    for k in range(playback.length):
        x = left + round((k + 1) * step) - wide // 2 - 1
        tall = max(2, round(abs(heights[k]) / highest * 24)) if rewards[k] else 1
        color = GOOD if rewards[k] > 0 else BAD if rewards[k] < 0 else STRIP_NAME
        pygame.draw.rect(surface, color, (x, middle - tall if rewards[k] > 0 else middle + 1, wide, tall))
        if explored[k]:
            pygame.draw.rect(surface, STRANGE, (x, middle - 5 if rewards[k] <= 0 else middle + 2, wide, 3))


# ------------------------------------------------------------------ help


def draw_help(surface: pygame.Surface) -> None:
    """Draws the keys over everything."""
    line = min(30, (surface.get_height() - 70) // len(WINDOW_HELP))
    box = pygame.Rect(0, 0, 430, 60 + line * len(WINDOW_HELP))
    box.center = surface.get_rect().center
    shade = pygame.Surface(surface.get_size(), pygame.SRCALPHA)
    shade.fill((*GROUND, 150))
    surface.blit(shade, (0, 0))
    pygame.draw.rect(surface, STRIP_GROUND, box, border_radius=12)
    pygame.draw.rect(surface, LINE, box, 1, border_radius=12)
    write(surface, "keys", box.left + 24, box.top + 16, STRIP_NAME)
    for k, (key, what) in enumerate(WINDOW_HELP):
        write(surface, key, box.left + 24, box.top + 48 + line * k, TAKEN)
        write(surface, what, box.left + 150, box.top + 48 + line * k)
