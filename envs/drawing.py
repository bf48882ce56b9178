"""Draws SafeCab: a picture of the city, with a status strip below it."""

from __future__ import annotations

import math
import os
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs import _sprites as sprites
from rlbench.envs._pygame import pygame
from rlbench.envs.cities import EAST, MOVES
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.envs.cities import City

LARGEST_SQUARE, LARGEST_CITY = 72, 800  # pixels
LEAST_WIDTH = 300  # pixels: keeps the strip readable
STRIP = 40  # pixels
ROAD = 0.52  # of a square
MARGIN = 0.15  # squares around the city
PHASES = 12  # frames per pulse
STEPS_PER_PULSE = 6  # in files, which have no clock
SMALL = {"zone": 15, "cab": 22, "person": 24, "flag": 24}  # pixels: the smallest size of each sprite
HALO = 30  # pixels: on smaller squares the cab gets a halo
LEAST_DETAIL = 4  # pixels: on smaller squares no houses are drawn
FINEST = 4000  # pixels: the largest canvas to supersample on
STRIP_GROUND, STRIP_TEXT, STRIP_NAME = (32, 35, 42), (240, 240, 236), (146, 152, 164)
GOOD, BAD, STRANGE = (96, 210, 130), (255, 110, 96), (206, 150, 255)
FRAME_RATE = 60  # frames per second in a window
SCREEN_SHARE = 0.9  # of a screen's sides, for a window: it has a frame, and the desktop bars
MOST_LAYERS = 12_000_000  # pixels of all phases of a picture: the larger it is, the fewer they are
SECONDS_PER_PULSE = 1.6
NO_DISPLAY = (
    "cannot open a window because there is no display: use --render ansi, or --out FILE for a picture "
    "(in Python render_mode='ansi' or 'rgb_array')"
)
BUMP = 0.14  # squares: how far a blocked cab moves before it turns back


DISPLAYS = {  # what says, for each driver of SDL's on Linux, where its display is; None: SDL chooses
    None: ("DISPLAY", "WAYLAND_DISPLAY"),
    "x11": ("DISPLAY",),
    "wayland": ("WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"),
}


class NoDisplayError(UsageError):
    """There is no display to open a window on."""


class Caption(NamedTuple):
    """The text of the strip."""

    step: int = 0
    total: float = 0.0  # return so far
    action: str = ""
    note: str = ""
    color: sprites.Color = STRIP_TEXT  # of the note


class Scene(NamedTuple):
    """The visible state of the city."""

    row: float  # of the cab; fractional while it drives
    col: float
    passenger: int  # index of a zone, or the number of zones: in the cab
    destination: int
    heading: int = EAST  # as an action
    pulse: float = 0.0  # of the anomalies; 1 is a full cycle


class Frame:
    """A picture of fixed size with a strip below it.

    Args:
        width: of the picture in pixels.
        height: of the picture without the strip, in pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self._pixels = np.zeros((height + STRIP, width, 3), np.uint8)
        self.surface = pygame.image.frombuffer(self._pixels.data, (width, height + STRIP), "RGB")  # the same memory
        self.picture = self.surface.subsurface((0, 0, width, height))
        self._strip = self.surface.subsurface((0, height, width, STRIP))

    def pixels(self) -> NDArray[np.uint8]:
        """Returns a copy of the whole frame: uint8 (height, width, 3)."""
        return self._pixels.copy()

    def write(self, caption: Caption) -> None:
        """Writes the caption into the strip."""
        strip, width = self._strip, self._strip.get_width()
        strip.fill(STRIP_GROUND)
        x = self._pair(12, "step", str(caption.step))
        x = self._pair(x, "return", f"{caption.total:.10g}")
        word = text(caption.note or caption.action, 22, caption.color if caption.note else STRIP_TEXT)
        if caption.note and caption.action:
            action = text(caption.action, 22, STRIP_TEXT)
            if x + action.get_width() + 14 + word.get_width() + 12 <= width:
                strip.blit(action, (x, 12))
        strip.blit(word, (width - word.get_width() - 12, 12))

    def _pair(self, x: int, name: str, value: str) -> int:
        """Writes a name and its value; returns the x where the next pair may start."""
        for word, color, gap in ((name, STRIP_NAME, 6), (value, STRIP_TEXT, 16)):
            written = text(word, 22, color)
            self._strip.blit(written, (x, 12))
            x += written.get_width() + gap
        return x


@lru_cache(maxsize=1024)
def text(word: str, height: int, color: sprites.Color) -> pygame.Surface:
    """Renders a word."""
    return sprites.write(word, height, color)


def square_for(city: City, width: int, height: int) -> int:
    """Returns the largest side of a square, in pixels, with which the city fits into a picture."""
    return max(1, math.floor(min(width / (city.cols + 2 * MARGIN), height / (city.rows + 2 * MARGIN))))


class CityPicture:
    """Draws a city: a cached background for each phase of the pulse, with everything that moves on top.

    Args:
        city: the city to draw.
        square: the side of a square in pixels; None chooses one that suits the city.
    """

    def __init__(self, city: City, square: int | None = None) -> None:
        self.city = city
        self.square = square or max(1, min(LARGEST_SQUARE, LARGEST_CITY // max(city.rows, city.cols)))
        self.colors = [sprites.zone_color(letter) for letter, _, _ in city.zones]
        self.size = (
            max(LEAST_WIDTH, round((city.cols + 2 * MARGIN) * self.square)),
            round((city.rows + 2 * MARGIN) * self.square),
        )
        self.left = (self.size[0] - round(city.cols * self.square)) // 2
        self.top = round(MARGIN * self.square)
        self._phases = max(1, min(PHASES, MOST_LAYERS // (self.size[0] * self.size[1])))
        self._layers: dict[int, pygame.Surface] = {}
        self._veil: pygame.Surface | None = None
        self._veiled: dict[int, pygame.Surface] = {}  # the layers with that veil
        self._shapes: dict[Any, pygame.Surface] = {}

    def paint(self, canvas: pygame.Surface, scene: Scene, veil: pygame.Surface | None = None) -> None:
        """Draws a scene on a canvas of `size`; `veil` goes over the streets and under everything that moves."""
        phase = int(scene.pulse * self._phases) % self._phases if self.city.anomalies else 0
        canvas.blit(self._layer(phase) if veil is None else self._veiled_layer(phase, veil), (0, 0))
        zones = self.city.zones
        self._plant(canvas, scene.destination)
        carrying = scene.passenger == len(zones)
        coat = self.colors[scene.destination]
        if self.square < HALO:
            size = self._unit("cab") * 1.25
            self._put(canvas, ("halo",), lambda: sprites.halo(size), scene.col + 0.5, scene.row + 0.5)
        key = ("cab", scene.heading, coat if carrying else None)
        self._put(
            canvas, key, lambda: sprites.cab(0.94 * self._unit("cab"), *key[1:]), scene.col + 0.5, scene.row + 0.5
        )
        if not carrying:
            _, row, col = zones[scene.passenger]
            self._put(
                canvas, ("person", coat), lambda: sprites.person(self._unit("person"), coat), col + 0.2, row + 0.58
            )

    def _plant(self, canvas: pygame.Surface, destination: int) -> None:
        """Draws the flag, its foot in the corner of the zone."""
        _, row, col = self.city.zones[destination]
        color = self.colors[destination]
        flag = self._shape(("flag", color), lambda: sprites.flag(0.86 * self._unit("flag"), color))
        x, y = self._pixel(col + 0.6, row + 0.8)
        canvas.blit(flag, (min(x, self.size[0] - flag.get_width()), max(0, y - flag.get_height())))

    def center(self, scene: Scene) -> tuple[int, int]:
        """Returns where the cab's centre is, in pixels from the left and the top."""
        return self._pixel(scene.col + 0.5, scene.row + 0.5)

    def _put(
        self, canvas: pygame.Surface, key: Any, make: Callable[[], pygame.Surface], col: float, row: float
    ) -> None:
        shape = self._shape(key, make)
        x, y = self._pixel(col, row)
        canvas.blit(shape, (x - shape.get_width() // 2, y - shape.get_height() // 2))

    def _shape(self, key: Any, make: Callable[[], pygame.Surface]) -> pygame.Surface:
        if key not in self._shapes:
            self._shapes[key] = make()
        return self._shapes[key]

    def _unit(self, what: str) -> int:
        """Returns the unit of a shape in pixels: a square, but at least the minimum of that shape."""
        return max(self.square, SMALL[what])

    def _pixel(self, col: float, row: float) -> tuple[int, int]:
        return self.left + round(col * self.square), self.top + round(row * self.square)

    # -------------------------------------------------------------- the background

    def _veiled_layer(self, phase: int, veil: pygame.Surface) -> pygame.Surface:
        """Returns a layer with a veil over it; blending is slow, so the layers of the current veil are cached."""
        if self._veil is not veil:
            self._veil, self._veiled = veil, {}
        if phase not in self._veiled:
            self._veiled[phase] = self._layer(phase).copy()
            self._veiled[phase].blit(veil, (self.left, self.top))
        return self._veiled[phase]

    def _layer(self, phase: int) -> pygame.Surface:
        if phase not in self._layers:
            self._layers[phase] = self._with_anomalies(phase)
        return self._layers[phase]

    def _with_anomalies(self, phase: int) -> pygame.Surface:
        layer = self._streets.copy() if self._layers else self._draw_streets()
        shape = sprites.anomaly(max(self.square, 3), phase / self._phases)
        for row, col in self.city.anomalies:
            layer.blit(shape, self._pixel(col, row))
        return layer

    def _draw_streets(self) -> pygame.Surface:
        city, square = self.city, self.square
        fine = max(1, min(sprites.FINE, FINEST // max(self.size)))
        pen = sprites.Pen((self.size[0] / square, self.size[1] / square), square, sprites.PARK, fine)
        origin = self.left / square, self.top / square
        _paint_ground(pen, city, *origin)
        if square >= LEAST_DETAIL:
            _paint_blocks(pen, city, *origin)
        streets = pygame.Surface(self.size, depth=24, masks=FORMAT)
        streets.blit(pen.picture(), (0, 0))
        self._draw_zones(streets)
        self._streets = streets
        return streets.copy()

    def _draw_zones(self, streets: pygame.Surface) -> None:
        unit = self._unit("zone")
        for letter, row, col in self.city.zones:
            pen = sprites.Pen((1, 1), unit)
            sprites.paint_zone(pen, 0, 0, letter)
            x, y = self._pixel(col + 0.5, row + 0.5)
            streets.blit(pen.picture(), (x - unit // 2, y - unit // 2))


FORMAT = (0xFF, 0xFF00, 0xFF0000, 0)  # masks of pixels stored as red, green, blue


def _paint_ground(pen: sprites.Pen, city: City, x: float, y: float) -> None:
    """Paints the city's edge and its asphalt."""
    edge = (1 - ROAD) / 2
    for color, grown in ((sprites.KERB, 0.03), (sprites.ROAD, 0.0)):
        inset = edge - grown
        pen.rect(color, x + inset, y + inset, city.cols - 2 * inset, city.rows - 2 * inset, 0.14)


def _paint_blocks(pen: sprites.Pen, city: City, x: float, y: float) -> None:
    """Paints houses and parks at the corners of squares, dashes along streets and walls across them."""
    walls, side = set(city.walls), 1 - ROAD
    for row in range(city.rows):
        for col in range(city.cols):
            _paint_dashes(pen, city, x + col, y + row, (row, col), blocked=(row, col) in walls)
    for row in range(1, city.rows):
        for col in range(1, city.cols):
            kind = (row * 7 + col * 13 + row * col * 5) % 31
            sprites.paint_block(pen, x + col - side / 2, y + row - side / 2, side, side, kind)
    for row, col in walls:
        sprites.paint_wall(pen, x + col + 1, y + row)


def _paint_dashes(pen: sprites.Pen, city: City, x: float, y: float, square: tuple[int, int], *, blocked: bool) -> None:
    for k in (0.82, 1.06):
        if square[1] + 1 < city.cols and not blocked:
            pen.rect(sprites.DASH, x + k, y + 0.485, 0.12, 0.03)
        if square[0] + 1 < city.rows:
            pen.rect(sprites.DASH, x + 0.485, y + k, 0.03, 0.12)


# ------------------------------------------------------------------ the screen of an env


class CityScreen:
    """The screen of a SafeCab: tracks the cab's heading and the caption, and owns the window in "human".

    Args:
        city: the env's city.
        decode: converts a state to (row, col, passenger, destination).
    """

    def __init__(self, city: City, decode: Callable[[int], tuple[int, int, int, int]]) -> None:
        self._decode = decode
        self._picture = CityPicture(city)
        self._frame = Frame(*self._picture.size)
        self._window: Window | None = None
        self._state: int | None = None  # shown last
        self.begin()

    def begin(self) -> None:
        """Called on reset."""
        self._heading, self._caption, self._state = EAST, Caption(), None

    def take(self, action: int, name: str, reward: float, *, terminated: bool, delivered: bool) -> None:
        """Called after each step."""
        note, color = ("delivered", GOOD) if delivered else ("anomaly", BAD) if terminated else ("", STRIP_TEXT)
        step, total = self._caption[:2]
        self._caption = Caption(step + 1, total + reward, name, note, color)
        self._heading = action if action in MOVES else self._heading

    def pixels(self, state: int) -> NDArray[np.uint8]:
        """Returns a picture of the state, uint8 (height, width, 3); the anomalies pulse with the steps."""
        self._draw(self._scene(state, self._caption.step / STEPS_PER_PULSE))
        return self._frame.pixels()

    def show(self, state: int, seconds: float, action: int | None) -> None:
        """Shows a state in the window; after a move, the cab drives there from the state shown before."""
        window = self._window = self._window or Window(self._frame.surface.get_size(), "SafeCab")
        before, self._state = self._state, state
        frames = 1 if before is None or action not in MOVES else max(1, round(seconds * FRAME_RATE))
        for k in range(1, frames + 1):
            scene = self._scene(state, window.shown / FRAME_RATE / SECONDS_PER_PULSE)
            self._draw(on_the_way(scene, self._decode(state if before is None else before), action, k / frames))
            window.show(self._frame.surface)

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _scene(self, state: int, pulse: float) -> Scene:
        return Scene(*self._decode(state), self._heading, pulse)

    def _draw(self, scene: Scene) -> None:
        self._picture.paint(self._frame.picture, scene)
        self._frame.write(self._caption)


def on_the_way(scene: Scene, before: tuple[int, int, int, int], action: int | None, share: float) -> Scene:
    """Returns the scene with the cab a share of the way from its last square; a blocked cab bumps."""
    smooth = share * share * (3 - 2 * share)
    if before[:2] != (scene.row, scene.col):
        row, col = (a + (b - a) * smooth for a, b in zip(before[:2], scene[:2], strict=True))
        return scene._replace(row=row, col=col)
    if action not in MOVES:
        return scene
    out = BUMP * math.sin(math.pi * share)
    return scene._replace(row=scene.row + MOVES[action][0] * out, col=scene.col + MOVES[action][1] * out)


class Window:
    """A window of fixed size, refreshed 60 times a second; once the user closes it, nothing more is shown.

    Args:
        size: of the pictures to show, which shrink if the screen is smaller.
        title: of the window.
    """

    def __init__(self, size: tuple[int, int], title: str) -> None:
        self._screen: pygame.Surface | None = open_window(shrunk(size, screen_room()), title)
        self._clock = pygame.time.Clock()
        self.shown = 0  # frames

    def show(self, surface: pygame.Surface) -> None:
        """Shows a picture and waits until the next frame is due."""
        if self._screen is None:
            return
        if not pygame.display.get_init() or any(event.type == pygame.QUIT for event in pygame.event.get()):
            self.close()
            return
        if surface.get_size() == self._screen.get_size():
            self._screen.blit(surface, (0, 0))
        else:
            self._screen.blit(pygame.transform.smoothscale(surface, self._screen.get_size()), (0, 0))
        pygame.display.flip()
        self._clock.tick(FRAME_RATE)
        self.shown += 1

    def close(self) -> None:
        """Closes the window."""
        if self._screen is not None:
            self._screen = None
            pygame.display.quit()


def shrunk(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Returns the largest size of the same shape, at most `size`, that fits into a room."""
    scale = min(1.0, room[0] / size[0], room[1] / size[1])
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def screen_room() -> tuple[int, int]:
    """Returns the width and height that a window may have on this screen, in pixels.

    Raises:
        NoDisplayError: there is no display.
    """
    _start_display()
    width, height = pygame.display.get_desktop_sizes()[0]
    return int(width * SCREEN_SHARE), int(height * SCREEN_SHARE)


def open_window(size: tuple[int, int], title: str, flags: int = 0) -> pygame.Surface:
    """Opens a window.

    Raises:
        NoDisplayError: there is no display.
    """
    _start_display()
    try:
        screen = pygame.display.set_mode(size, flags)
    except pygame.error as error:
        raise NoDisplayError(f"{NO_DISPLAY} ({error})") from error
    pygame.display.set_caption(title)
    return screen


def _start_display() -> None:
    check_display()
    try:
        pygame.display.init()
    except pygame.error as error:
        raise NoDisplayError(f"{NO_DISPLAY} ({error})") from error
    # without a screen SDL falls back silently to a driver that shows nothing
    if pygame.display.get_driver() in ("offscreen", "dummy") and not _driver_asked_for():
        pygame.display.quit()
        raise NoDisplayError(NO_DISPLAY)


def check_display() -> None:
    """Raises NoDisplayError if there can be no display, before SDL complains about it on stderr."""
    needed = DISPLAYS.get(_driver_asked_for())
    if sys.platform == "linux" and needed and not any(os.environ.get(name) for name in needed):
        raise NoDisplayError(NO_DISPLAY)


def need_no_display() -> None:
    """Selects SDL's dummy driver for this process if there is no display to open: envs that draw start SDL."""
    try:
        check_display()
        pygame.display.init()
    except (NoDisplayError, pygame.error):
        os.environ.pop("SDL_VIDEO_DRIVER", None)
        os.environ["SDL_VIDEODRIVER"] = "dummy"


def _driver_asked_for() -> str | None:
    return os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
