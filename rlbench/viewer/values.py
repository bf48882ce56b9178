"""State values and the greedy policy of a city, and a translucent veil that shows them on its picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs import _sprites as sprites
from rlbench.envs._pygame import pygame
from rlbench.envs.cities import MOVES
from rlbench.envs.layouts import trip_states
from rlbench.envs.safecab import PICKUP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs.drawing import CityPicture, Scene
    from rlbench.envs.safecab import SafeCabEnv

NOTHING = -1  # as a best action: all have equal value
RAMP = np.array([(46, 46, 110), (38, 106, 142), (44, 158, 136), (140, 204, 88), (250, 230, 80)])  # worst to best
VEIL, VEIL_ON_ZONE = 205, 110  # opacity, of 255; letters must stay visible
LEAST_GAP = 10  # pixels: smaller squares have no gap
KEPT = 6  # veils


class ValueMap(NamedTuple):
    """The values and best actions of all squares, for one passenger and destination."""

    values: NDArray[np.float64]  # (rows, cols), of the best action
    best: NDArray[np.int64]  # (rows, cols), or NOTHING
    shares: NDArray[np.float64]  # (rows, cols): 0 is the worst non-anomaly square, 1 the best
    low: float  # the worst value of these squares
    high: float  # the best


def value_map(table: NDArray[Any], world: SafeCabEnv, passenger: int, destination: int) -> ValueMap:
    """Returns the state values of a city; ties go to the first action, as in the agent."""
    city = world.city
    states = trip_states(city.rows, city.cols, len(city.zones))[passenger, destination]
    rows = np.asarray(table, np.float64)[states]
    values = rows.max(axis=-1)
    best = np.where(rows.min(axis=-1) == values, NOTHING, rows.argmax(axis=-1))
    is_street = np.ones(values.shape, np.bool_)
    if len(city.anomalies) < values.size:
        is_street[tuple(np.array(city.anomalies, int).reshape(-1, 2).T)] = False
    low, high = values[is_street].min(), values[is_street].max()
    shares = np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.full(values.shape, 0.5)
    return ValueMap(values, best, shares, float(low), float(high))


def ramp(share: float) -> tuple[int, int, int]:
    """Returns the colour for a share between the worst value, 0, and the best, 1; brighter is better."""
    at = share * (len(RAMP) - 1)
    low = min(int(at), len(RAMP) - 2)
    red, green, blue = (RAMP[low] + (RAMP[low + 1] - RAMP[low]) * (at - low)).round().astype(int).tolist()
    return red, green, blue


class Veils:
    """The veils of a table, each drawn once.

    Args:
        table: (n_states, n_actions).
        world: the city.
    """

    def __init__(self, table: NDArray[Any], world: SafeCabEnv) -> None:
        self._table, self._world = table, world
        self._drawn: dict[Any, pygame.Surface] = {}
        self._reach: dict[tuple[int, int], tuple[float, float]] = {}

    def reach(self, passenger: int, destination: int) -> tuple[float, float]:
        """Returns the worst and the best value for a passenger and destination."""
        key = passenger, destination
        if key not in self._reach:
            self._reach[key] = value_map(self._table, self._world, *key)[-2:]
        return self._reach[key]

    def __call__(self, picture: CityPicture, scene: Scene) -> pygame.Surface:
        """Returns the veil for the passenger and destination of a scene."""
        key = (picture.square, scene.passenger, scene.destination)
        if key not in self._drawn:
            while len(self._drawn) >= KEPT:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[key] = self._draw(picture, scene.passenger, scene.destination)
        return self._drawn[key]

    def _draw(self, picture: CityPicture, passenger: int, destination: int) -> pygame.Surface:
        found = value_map(self._table, self._world, passenger, destination)
        city, square = picture.city, picture.square
        veil = pygame.Surface((city.cols * square, city.rows * square), pygame.SRCALPHA)
        zones, anomalies = {zone[1:] for zone in city.zones}, set(city.anomalies)
        arrows: dict[int, pygame.Surface] = {}
        for row, col in np.ndindex(city.rows, city.cols):
            if (row, col) not in anomalies:
                cover = VEIL_ON_ZONE if (row, col) in zones else VEIL
                _tint(veil, row, col, square, (*ramp(float(found.shares[row, col])), cover))
            best = int(found.best[row, col])
            if best != NOTHING:
                arrows.setdefault(best, arrow(square, best))
                veil.blit(arrows[best], (col * square, row * square))
        return veil


def _tint(veil: pygame.Surface, row: int, col: int, square: int, color: tuple[int, ...]) -> None:
    gap = 1 if square >= LEAST_GAP else 0
    box = (col * square + gap, row * square + gap, square - 2 * gap, square - 2 * gap)
    pygame.draw.rect(veil, color, box, border_radius=square // 8)


def arrow(square: int, action: int) -> pygame.Surface:
    """Returns the symbol of a best action: an arrow, a ring for pick-up or a dot for drop-off."""
    pen = sprites.Pen((1, 1), square)
    for color, grown in ((sprites.INK, 0.035), (sprites.WHITE, 0.0)):
        if action in MOVES:
            _paint_arrow(pen, color, MOVES[action], grown)
        elif action == PICKUP:
            pen.ring(color, 0.5, 0.5, 0.2 + grown, 0.08 + 2 * grown)
        else:
            pen.disc(color, 0.5, 0.5, 0.17 + grown)
    return pen.picture()


def _paint_arrow(pen: sprites.Pen, color: sprites.Color, way: tuple[int, int], grown: float) -> None:
    y, x = way
    pen.line(color, (0.5 - 0.26 * x, 0.5 - 0.26 * y), (0.5 + 0.2 * x, 0.5 + 0.2 * y), 0.07 + 2 * grown)
    tip, wing = 0.3 + 1.6 * grown, 0.16 + 1.6 * grown
    base = 0.06 - grown
    points = [(tip, 0.0), (base, wing), (base, -wing)]
    pen.shape(color, [(0.5 + x * a - y * b, 0.5 + y * a + x * b) for a, b in points])
