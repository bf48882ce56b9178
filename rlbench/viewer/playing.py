"""The window in which a person drives an env."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from rlbench.envs._pygame import pygame
from rlbench.envs.actions import action_name, action_names
from rlbench.envs.cities import EAST, MOVES
from rlbench.envs.drawing import (
    BAD,
    FRAME_RATE,
    GOOD,
    SECONDS_PER_PULSE,
    STRIP,
    STRIP_NAME,
    STRIP_TEXT,
    Caption,
    CityPicture,
    Frame,
    Scene,
    on_the_way,
    open_window,
    screen_room,
    square_for,
)
from rlbench.envs.making import id_of
from rlbench.errors import UsageError
from rlbench.viewer import panels
from rlbench.viewer.stages import city_of

if TYPE_CHECKING:
    from rlbench.envs.safecab import SafeCabEnv
    from rlbench.viewer.driving import Driver

MOTION = 0.16  # seconds from square to square: short, so that a person need not wait
BAR_HEIGHT = 44  # pixels: height of the help line
SQUARE = 110  # pixels: the side of a square in a small city; on a screen of many pixels more,
SQUARES = 9  # of them as high as the room
DRIVING_REPEAT = (250, 170)  # milliseconds before a held key repeats, and between repeats
NAMED_KEYS = {
    pygame.K_UP: "up",
    pygame.K_DOWN: "down",
    pygame.K_LEFT: "left",
    pygame.K_RIGHT: "right",
    pygame.K_SPACE: "space",
}
NEXT, QUIT = (pygame.K_RETURN, pygame.K_KP_ENTER), (pygame.K_q, pygame.K_ESCAPE)


class Painter(Protocol):
    """Draws the state of a driver's env."""

    size: tuple[int, int]

    def paint(self, canvas: pygame.Surface, driver: Driver, since: float, seconds: float) -> None:
        """Draws on a canvas of `size`; `since` is the time since the last action, `seconds` the clock."""


class CityPainter:
    """Draws a SafeCab."""

    def __init__(self, world: SafeCabEnv) -> None:
        self._world, self._picture = world, CityPicture(world.city, comfortable(world, screen_room()))
        self.size = self._picture.size
        self._heading = EAST

    def paint(self, canvas: pygame.Surface, driver: Driver, since: float, seconds: float) -> None:
        """Draws the city, with the cab in motion."""
        if not driver.steps:
            self._heading = EAST
        elif driver.action in MOVES:
            self._heading = driver.action
        scene = Scene(*self._world.decode(driver.observation), self._heading, seconds / SECONDS_PER_PULSE)
        if driver.before is not None and since < MOTION:
            scene = on_the_way(scene, self._world.decode(driver.before), driver.action, since / MOTION)
        self._picture.paint(canvas, scene)


class EnvPainter:
    """Draws an env by its own "rgb_array" pictures."""

    def __init__(self, driver: Driver) -> None:
        pixels: Any = driver.env.render()
        height, width, _ = pixels.shape
        self.size = (width, height)

    def paint(self, canvas: pygame.Surface, driver: Driver, since: float, seconds: float) -> None:
        """Draws the env's own picture."""
        del since, seconds
        pixels: Any = driver.env.render()
        canvas.blit(pygame.image.frombuffer(pixels.tobytes(), self.size, "RGB"), (0, 0))


def comfortable(world: SafeCabEnv, room: tuple[int, int]) -> int:
    """Returns the side of a square, in pixels, with which a city is easy to see and its window fits into a room."""
    fitting = square_for(world.city, room[0], room[1] - STRIP - BAR_HEIGHT)
    return min(fitting, max(SQUARE, room[1] // SQUARES))


def painter_of(driver: Driver) -> Painter:
    """Returns the painter of an env.

    Raises:
        UsageError: the env cannot render.
    """
    world = city_of(driver.env)
    if world is not None:
        return CityPainter(world)
    if driver.env.render_mode != "rgb_array":
        raise UsageError(f"{id_of(driver.env)} cannot draw itself in a window: use --render ansi")
    return EnvPainter(driver)


class Wheel:
    """The window of a `Driver`."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self._painter = driver, painter_of(driver)
        self._frame = Frame(*self._painter.size)
        width, height = self._frame.surface.get_size()
        self.screen = open_window((width, height + BAR_HEIGHT), f"rlbench play {id_of(driver.env)}")
        pygame.key.set_repeat(*DRIVING_REPEAT)
        self._clock, self._since, self._seconds = pygame.time.Clock(), 1.0, 0.0
        self.is_over = False

    def run(self) -> None:
        """Runs until the user quits."""
        while not self.is_over:
            self.turn(self._clock.tick(FRAME_RATE) / 1000)

    def turn(self, seconds: float) -> None:
        """Handles pending events and draws."""
        for event in pygame.event.get():
            self.handle(event)
        self.draw(seconds)
        pygame.display.flip()

    def close(self) -> None:
        """Closes the window."""
        pygame.display.quit()

    def handle(self, event: pygame.event.Event) -> None:
        """Handles an event."""
        if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key in QUIT):
            self.is_over = True
        elif event.type == pygame.KEYDOWN and event.key in NEXT:
            self.driver.begin()
        elif event.type == pygame.KEYDOWN and self.driver.press(NAMED_KEYS.get(event.key) or event.unicode.lower()):
            self._since = 0.0

    def draw(self, seconds: float = 0.0) -> None:
        """Draws everything, `seconds` after the last time."""
        self._seconds, self._since = self._seconds + seconds, self._since + seconds
        self._painter.paint(self._frame.picture, self.driver, self._since, self._seconds)
        self._frame.write(caption_of(self.driver))
        self.screen.fill(panels.GROUND)
        self.screen.blit(self._frame.surface, (0, 0))
        words = "Enter: next ride; q: quit" if self.driver.is_over else self.driver.help
        words = panels.shortened(words, self.screen.get_width() - 24)
        panels.write(
            self.screen, words, 12, self.screen.get_height() - 30, STRIP_TEXT if self.driver.is_over else STRIP_NAME
        )


def caption_of(driver: Driver) -> Caption:
    """Returns the caption of the strip."""
    name = "" if driver.action is None else action_name(action_names(driver.env), driver.action)
    note, color = "", STRIP_TEXT
    if driver.terminated and city_of(driver.env) is not None:
        note, color = ("delivered", GOOD) if driver.is_success else ("anomaly", BAD)
    elif driver.is_over:
        note = "terminated" if driver.terminated else "truncated"
    return Caption(driver.steps, driver.total, name, note, color)


def play(driver: Driver) -> None:
    """Opens a window and lets the user drive; returns when they quit.

    Raises:
        NoDisplayError: there is no display.
        UsageError: the env cannot render.
    """
    wheel = Wheel(driver)
    try:
        wheel.run()
    finally:
        wheel.close()
