"""A translucent veil that shows state values and the greedy policy on the picture of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.envs import _sprites as sprites
from rlbench.envs._pygame import pygame
from rlbench.envs.actions import action_name
from rlbench.envs.layouts import map_of
from rlbench.viewer.value_maps import NOTHING, ramp, value_map

if TYPE_CHECKING:
    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.envs.layouts import Layout
    from rlbench.viewer.value_maps import ValueMap

VEIL, VEIL_ON_ZONE, VEIL_ON_FILM = 205, 110, 150  # opacity, of 255; letters, and what a film shows, must stay visible
LEAST_GAP = 10  # pixels: smaller squares have no gap
KEPT = 6  # veils


class Veils:
    """The veils of a table, each drawn once.

    Args:
        table: (n_states, n_actions).
        layout: where its states lie.
    """

    def __init__(self, table: NDArray[Any], layout: Layout) -> None:
        self.layout, self._table = layout, table
        self._drawn: dict[Any, pygame.Surface] = {}
        self._maps: dict[tuple[int, int], ValueMap] = {}

    def map_of(self, state: int) -> ValueMap:
        """Returns the values of the panel in which a state lies."""
        panel = self._panel(state)
        if panel not in self._maps:
            self._maps[panel] = value_map(self._table, self.layout, panel)
        return self._maps[panel]

    def __call__(self, state: int, size: tuple[int, int], cover: int = VEIL) -> pygame.Surface:
        """Returns the veil for the panel in which a state lies, as large as the picture of the map.

        Args:
            state: the state.
            size: of the picture, in pixels.
            cover: the opacity, of 255.
        """
        key = (size, cover, self._panel(state))
        if key not in self._drawn:
            while len(self._drawn) >= KEPT:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[key] = self._draw(self.map_of(state), size, cover)
        return self._drawn[key]

    def square(self, state: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns left, top, width and height of the square of a state in a picture of a size, in pixels."""
        found = self.layout.find(state)
        return (0, 0, 0, 0) if found is None else self.layout.box(*found[2:], size)

    def _panel(self, state: int) -> tuple[int, int]:
        found = self.layout.find(state)
        return (0, 0) if found is None else found[:2]

    def _draw(self, found: ValueMap, size: tuple[int, int], cover: int) -> pygame.Surface:
        layout, veil = self.layout, pygame.Surface(size, pygame.SRCALPHA)
        symbols: dict[tuple[int, int], pygame.Surface] = {}
        for row, col in np.ndindex(found.best.shape):
            best, box = int(found.best[row, col]), layout.box(row, col, size)
            if best == NOTHING:
                continue
            opacity = min(cover, VEIL_ON_ZONE) if (row, col) in layout.letters else cover
            _tint(veil, box, (*ramp(float(found.shares[row, col])), opacity))
            key = best, min(box[2:])
            if key not in symbols:
                symbols[key] = symbol(min(box[2:]), layout, best)
            veil.blit(symbols[key], symbols[key].get_rect(center=pygame.Rect(box).center))
        return veil


def veils_of(env: gym.Env[Any, Any] | None, table: NDArray[Any] | None) -> Veils | None:
    """Returns the veils of a table over the picture of an env; None without a table, or if its picture is no map."""
    layout = None if env is None else map_of(env)
    if layout is None or table is None or len(table) != layout.states.size:
        return None
    return Veils(table, layout)


def _tint(veil: pygame.Surface, box: tuple[int, int, int, int], color: tuple[int, ...]) -> None:
    square = pygame.Rect(box)
    gap = 2 if min(square.size) >= LEAST_GAP else 0
    pygame.draw.rect(veil, color, square.inflate(-gap, -gap), border_radius=square.width // 8)


def symbol(square: int, layout: Layout, action: int) -> pygame.Surface:
    """Returns the symbol of a best action: an arrow for a move, a ring for pick-up or a dot for drop-off."""
    pen = sprites.Pen((1, 1), square)
    for color, grown in ((sprites.INK, 0.035), (sprites.WHITE, 0.0)):
        if action in layout.arrows:
            _paint_arrow(pen, color, layout.arrows[action], grown)
        elif action_name(layout.actions, action) == "Pickup":
            pen.ring(color, 0.5, 0.5, 0.2 + grown, 0.08 + 2 * grown)
        else:
            pen.disc(color, 0.5, 0.5, 0.17 + grown)
    return pen.picture()


def _paint_arrow(pen: sprites.Pen, color: sprites.Color, way: tuple[int, int], grown: float) -> None:
    x, y = way
    pen.line(color, (0.5 - 0.26 * x, 0.5 - 0.26 * y), (0.5 + 0.2 * x, 0.5 + 0.2 * y), 0.07 + 2 * grown)
    tip, wing = 0.3 + 1.6 * grown, 0.16 + 1.6 * grown
    base = 0.06 - grown
    points = [(tip, 0.0), (base, wing), (base, -wing)]
    pen.shape(color, [(0.5 + x * a - y * b, 0.5 + y * a + x * b) for a, b in points])
