"""The sprites of a city, each painted once; lengths are in units of a square."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from rlbench.envs._pygame import pygame

if TYPE_CHECKING:
    from collections.abc import Sequence

    Color = tuple[int, ...]  # red, green, blue[, alpha]

FINE = 4  # supersampling: shapes are painted this many times larger, then scaled down
INK = (38, 34, 40)
WHITE = (255, 255, 255)
ROAD, KERB, DASH = (92, 98, 111), (176, 178, 176), (206, 206, 196)
ROOFS = ((214, 196, 172), (196, 180, 170), (222, 208, 186), (184, 190, 196), (205, 178, 160))
PARK, TREE, CROWN = (150, 190, 128), (88, 142, 84), (112, 166, 100)
ZONES = {"R": (208, 62, 62), "G": (38, 150, 84), "Y": (222, 168, 20), "B": (48, 112, 204)}
OTHER_ZONES = ((22, 150, 160), (222, 110, 40), (198, 80, 150), (130, 92, 60), (110, 120, 40), (90, 90, 190))
CAB, CAB_DARK, GLASS, LAMP, BRAKE = (252, 204, 38), (206, 150, 16), (52, 66, 84), (255, 250, 214), (214, 52, 44)
SKIN, HAIR = (244, 204, 168), (84, 56, 40)
VOID, RIFT, GLOW = (34, 12, 52), (214, 96, 255), (172, 60, 232)
WARNING = (232, 74, 60)
TURNS = {2: 0, 1: 90, 3: 180, 0: 270}  # action: degrees counterclockwise from east


def zone_color(letter: str) -> Color:
    """Returns the colour of a safe zone."""
    return ZONES.get(letter, OTHER_ZONES[ord(letter) % len(OTHER_ZONES)])


def mixed(color: Color, other: Color, share: float) -> Color:
    """Returns a blend of `color` and `other`; `share` is the weight of `other`."""
    return tuple(round(a + (b - a) * share) for a, b in zip(color[:3], other[:3], strict=True))


class Pen:
    """Paints in units of a square, supersampled.

    Args:
        size: (width, height) of the picture in squares.
        square: side of a square in pixels.
        ground: the background colour; transparent if None.
        fine: the supersampling factor.
    """

    def __init__(self, size: tuple[float, float], square: float, ground: Color | None = None, fine: int = FINE) -> None:
        self.unit = square * fine
        self.size = max(1, round(size[0] * square)), max(1, round(size[1] * square))
        self.surface = pygame.Surface((self.size[0] * fine, self.size[1] * fine), pygame.SRCALPHA)
        self.surface.fill(ground or (*INK, 0))  # ink: smoothscale blends it into the edges

    def rect(self, color: Color, x: float, y: float, width: float, height: float, radius: float = 0.0) -> None:
        """Paints a rectangle with rounded corners."""
        left, top = round(x * self.unit), round(y * self.unit)
        box = (left, top, round((x + width) * self.unit) - left, round((y + height) * self.unit) - top)
        pygame.draw.rect(self.surface, color, box, border_radius=round(radius * self.unit))

    def disc(self, color: Color, x: float, y: float, radius: float) -> None:
        """Paints a disc."""
        pygame.draw.circle(self.surface, color, (x * self.unit, y * self.unit), radius * self.unit)

    def ring(self, color: Color, x: float, y: float, radius: float, width: float) -> None:
        """Paints a ring; `radius` is its outer radius."""
        thick = max(1, round(width * self.unit))
        pygame.draw.circle(self.surface, color, (x * self.unit, y * self.unit), radius * self.unit, thick)

    def line(self, color: Color, start: tuple[float, float], end: tuple[float, float], width: float) -> None:
        """Paints a line with round ends."""
        first, last = [(x * self.unit, y * self.unit) for x, y in (start, end)]
        pygame.draw.line(self.surface, color, first, last, max(1, round(width * self.unit)))
        for point in (first, last):
            pygame.draw.circle(self.surface, color, point, width * self.unit / 2)

    def shape(self, color: Color, points: Sequence[tuple[float, float]]) -> None:
        """Paints a polygon."""
        pygame.draw.polygon(self.surface, color, [(x * self.unit, y * self.unit) for x, y in points])

    def text(self, text: str, color: Color, x: float, y: float, height: float) -> None:
        """Writes text centred at (x, y)."""
        written = write(text, max(6, round(height * self.unit)), color)
        self.surface.blit(written, written.get_rect(center=(x * self.unit, y * self.unit)))

    def picture(self) -> pygame.Surface:
        """Returns the painting, scaled down to its real size."""
        return pygame.transform.smoothscale(self.surface, self.size)


def write(word: str, height: int, color: Color) -> pygame.Surface:
    """Renders a word in pygame's own font, which is the same on every machine."""
    try:
        return _font(height).render(word, True, color)
    except pygame.error:  # someone has quit pygame, which invalidates its fonts
        _font.cache_clear()
        return _font(height).render(word, True, color)


@lru_cache(maxsize=32)
def _font(height: int) -> pygame.font.Font:
    pygame.font.init()
    return pygame.font.Font(None, height)


def paint_block(pen: Pen, x: float, y: float, width: float, height: float, kind: int) -> None:
    """Paints a block between streets: a park or a house, chosen by `kind`."""
    edge = 0.035
    pen.rect(KERB, x, y, width, height, 0.09)
    x, y, width, height = x + edge, y + edge, width - 2 * edge, height - 2 * edge
    if kind % 3:
        _paint_house(pen, x, y, width, height, ROOFS[kind % len(ROOFS)])
    else:
        _paint_park(pen, x, y, width, height, kind)


def _paint_house(pen: Pen, x: float, y: float, width: float, height: float, roof: Color) -> None:
    inset = 0.16 * min(width, height)
    pen.rect(mixed(roof, INK, 0.22), x, y, width, height, 0.06)
    pen.rect(roof, x, y, width - 0.025, height - 0.025, 0.06)
    pen.rect(mixed(roof, WHITE, 0.3), x + inset, y + inset, width - 2 * inset, height - 2 * inset, 0.04)


def _paint_park(pen: Pen, x: float, y: float, width: float, height: float, kind: int) -> None:
    pen.rect(PARK, x, y, width, height, 0.07)
    radius = 0.23 * min(width, height)
    for dx, dy in ((0.3, 0.32), (0.7, 0.66)) if kind % 2 else ((0.68, 0.3), (0.32, 0.7)):
        pen.disc(TREE, x + dx * width, y + dy * height, radius)
        pen.disc(CROWN, x + dx * width - radius / 5, y + dy * height - radius / 5, 0.7 * radius)


def paint_zone(pen: Pen, x: float, y: float, letter: str) -> None:
    """Paints a safe zone; (x, y) is the top-left corner of its square."""
    color = zone_color(letter)
    pen.rect(mixed(color, INK, 0.35), x + 0.07, y + 0.07, 0.86, 0.86, 0.16)
    pen.rect(color, x + 0.07, y + 0.07, 0.86, 0.82, 0.16)
    pen.rect(mixed(color, WHITE, 0.22), x + 0.14, y + 0.14, 0.72, 0.68, 0.11)
    pen.rect(color, x + 0.17, y + 0.17, 0.66, 0.62, 0.09)
    pen.text(letter, mixed(color, INK, 0.5), x + 0.52, y + 0.54, 0.78)
    pen.text(letter, WHITE, x + 0.5, y + 0.51, 0.78)


def paint_wall(pen: Pen, x: float, y: float) -> None:
    """Paints a barrier across the street at (x, y), from block to block."""
    top, length, pieces = y + 0.08, 0.84, 7
    pen.rect(INK, x - 0.075, top - 0.02, 0.15, length + 0.04, 0.03)
    for piece in range(pieces):
        color = WHITE if piece % 2 else WARNING
        pen.rect(color, x - 0.05, top + piece * length / pieces, 0.1, length / pieces)


def anomaly(square: int, phase: float) -> pygame.Surface:
    """Returns an anomaly, a rift that rotates and pulses; `phase` in [0, 1) is one cycle."""
    pen, breath = Pen((1, 1), square), (1 - math.cos(2 * math.pi * phase)) / 2
    pen.disc((*GLOW, 90), 0.5, 0.5, 0.4 + 0.07 * breath)
    pen.disc((*GLOW, 160), 0.5, 0.5, 0.38 + 0.035 * breath)
    pen.disc(VOID, 0.5, 0.5, 0.36)
    pen.ring(RIFT, 0.5, 0.5, 0.37, 0.04)
    for arm in range(3):
        for k in range(24):
            angle = 2 * math.pi * ((arm + phase) / 3) + 2.2 * k / 24
            radius = 0.03 + 0.25 * k / 24
            pen.disc(RIFT, 0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle), 0.055 * (1.15 - k / 24))
    pen.disc(WHITE, 0.5, 0.5, 0.045 + 0.035 * breath)
    return pen.picture()


def cab(square: float, action: int, coat: Color | None) -> pygame.Surface:
    """Returns the cab facing the direction of `action`; `coat` is its passenger's colour, None if it is empty."""
    pen = Pen((1, 1), square)
    pen.rect(INK, 0.13, 0.27, 0.74, 0.46, 0.15)
    pen.rect(CAB, 0.155, 0.295, 0.69, 0.41, 0.13)
    for side in (0.295, 0.645):
        for k in range(6):
            pen.rect(INK if k % 2 else WHITE, 0.27 + 0.07 * k, side + 0.005, 0.07, 0.05)
    pen.rect(GLASS, 0.585, 0.355, 0.115, 0.29, 0.05)
    pen.rect(GLASS, 0.215, 0.365, 0.07, 0.27, 0.04)
    pen.rect(mixed(CAB, WHITE, 0.25), 0.3, 0.355, 0.28, 0.29, 0.06)
    for y in (0.33, 0.6):
        pen.rect(LAMP, 0.8, y, 0.05, 0.07, 0.02)
        pen.rect(BRAKE, 0.15, y, 0.035, 0.07, 0.015)
    if coat is None:
        pen.rect(CAB_DARK, 0.38, 0.4, 0.12, 0.2, 0.03)
        pen.rect(LAMP, 0.395, 0.415, 0.09, 0.17, 0.025)
    else:
        _paint_rider(pen, coat)
    return pygame.transform.rotate(pen.picture(), TURNS[action])


def _paint_rider(pen: Pen, coat: Color) -> None:
    pen.disc(INK, 0.44, 0.5, 0.155)
    pen.disc(coat, 0.44, 0.5, 0.13)
    pen.disc(HAIR, 0.43, 0.5, 0.08)
    pen.disc(SKIN, 0.455, 0.5, 0.06)


def person(square: float, coat: Color) -> pygame.Surface:
    """Returns the waiting passenger, half a square wide, in the colour of their destination."""
    pen = Pen((0.5, 0.8), square)
    for color, grown in ((WHITE, 0.055), (INK, 0.025), (coat, 0.0)):
        pen.rect(color, 0.12 - grown, 0.36 - grown, 0.26 + 2 * grown, 0.36 + 2 * grown, 0.11)
        pen.disc(color, 0.25, 0.22, 0.125 + grown)
    pen.disc(SKIN, 0.25, 0.22, 0.125)
    pen.rect(HAIR, 0.13, 0.095, 0.24, 0.1, 0.06)
    return pen.picture()


def flag(square: float, color: Color) -> pygame.Surface:
    """Returns the destination flag, 0.6 squares wide and 1 high."""
    pen = Pen((0.6, 1), square)
    banner = [(0.1, 0.06), (0.3, 0.11), (0.54, 0.05), (0.47, 0.22), (0.54, 0.39), (0.3, 0.44), (0.1, 0.38)]
    pen.line(WHITE, (0.09, 0.06), (0.09, 0.93), 0.11)
    for start, end in zip(banner, [*banner[1:], banner[0]], strict=True):
        pen.line(WHITE, start, end, 0.1)
    pen.line(INK, (0.09, 0.06), (0.09, 0.93), 0.06)
    pen.shape(INK, banner)
    for start, end in zip(banner, [*banner[1:], banner[0]], strict=True):
        pen.line(INK, start, end, 0.045)
    pen.shape(color, banner)
    pen.disc(LAMP, 0.3, 0.245, 0.075)
    return pen.picture()


def halo(square: float) -> pygame.Surface:
    """Returns a ring that makes the cab visible where squares are small."""
    pen = Pen((1, 1), square)
    pen.ring((*INK, 150), 0.5, 0.5, 0.5, 0.09)
    pen.ring((*WHITE, 235), 0.5, 0.5, 0.485, 0.05)
    return pen.picture()
