"""The viewer's window: keys and mouse in, pictures out; `Playback` decides what is shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rlbench.envs._pygame import pygame
from rlbench.envs.actions import action_name, action_names
from rlbench.envs.drawing import FORMAT, FRAME_RATE, SCREEN_SHARE, STRIP, Frame, open_window, screen_room
from rlbench.viewer import panels
from rlbench.viewer.playback import Playback
from rlbench.viewer.rides import pace_of
from rlbench.viewer.stages import FilmStage, deciding_state

if TYPE_CHECKING:
    from rlbench.viewer.clips import Clips
    from rlbench.viewer.quantities import Quantities

WINDOW_SIZE = (1040, 800)  # initial, pixels on a screen of SCREEN_HEIGHT
SCREEN_HEIGHT = 1080  # pixels: on a screen twice as high, everything is drawn twice as large
LEAST = (360, 300)  # pixels: the smallest layout
PANEL, TIMELINE = 250, 96  # pixels
LEAST_WITH_PANEL = 640  # pixels
GRAPHS, PICTURE_WITH_GRAPHS = 250, 300  # pixels: height of the graphs, and least height of the picture
LONGEST_FRAME = 0.25  # seconds: most time between frames on the clock, however slow the machine
KEY_REPEAT = (350, 60)  # milliseconds before a held key repeats, and between repeats
WINDOW_KEYS = {
    pygame.K_SPACE: "toggle",
    pygame.K_RIGHT: "forward",
    pygame.K_LEFT: "back",
    pygame.K_PAGEDOWN: "skip forward",
    pygame.K_PAGEUP: "skip back",
    pygame.K_HOME: "start",
    pygame.K_END: "end",
    pygame.K_KP_PLUS: "faster",
    pygame.K_KP_MINUS: "slower",
    pygame.K_n: "next",
    pygame.K_p: "previous",
    pygame.K_i: "zoom in",
    pygame.K_o: "zoom out",
    pygame.K_a: "actions",
    pygame.K_v: "values",
    pygame.K_g: "graphs",
    pygame.K_h: "help",
    pygame.K_F1: "help",
    pygame.K_q: "quit",
    pygame.K_ESCAPE: "quit",
}
SIGNS = {"+": "faster", "=": "faster", "-": "slower", "?": "help"}  # their key codes depend on the keyboard layout


def view(clips: Clips, index: int = 0, *, fps: float | None = None, values: bool = False) -> None:
    """Opens the viewer on a clip; returns when the user closes it.

    Args:
        clips: the clips to show.
        index: the first one to show.
        fps: steps per second; None: the env's render_fps.
        values: whether the state values are shown from the start.

    Raises:
        NoDisplayError: there is no display.
        UsageError: the env cannot render.
    """
    viewer = Viewer(clips, index, fps)
    viewer.playback.shows_values = values
    try:
        viewer.run()
    finally:
        viewer.close()


class Viewer:
    """The window of a `Playback`.

    Args:
        clips: the clips to show.
        index: the first one to show.
        fps: steps per second; None: the env's render_fps.
    """

    def __init__(self, clips: Clips, index: int = 0, fps: float | None = None) -> None:
        self._clips = clips
        self.playback = Playback(clips, index, fps or pace_of(clips.env))
        os.environ.setdefault("SDL_VIDEO_CENTERED", "1")
        size, self._scale = window_size(screen_room())
        self.screen = open_window(size, "rlbench", pygame.RESIZABLE)
        pygame.key.set_repeat(*KEY_REPEAT)
        self._clock = pygame.time.Clock()
        self._is_scrubbing = False
        self._frame: Frame | None = None
        self._canvas: pygame.Surface | None = None
        self._laid_out: Any = None  # the clip, its room and its zoom

    def run(self) -> None:
        """Runs until the user quits."""
        while not self.playback.is_over:
            self.turn(min(self._clock.tick(FRAME_RATE) / 1000, LONGEST_FRAME))

    def turn(self, seconds: float) -> None:
        """Handles pending events, advances the clock and draws."""
        for event in pygame.event.get():
            self.handle(event)
        self.playback.advance(seconds)
        self.draw()
        pygame.display.flip()

    def close(self) -> None:
        """Closes the window."""
        pygame.display.quit()

    # -------------------------------------------------------------- input

    def handle(self, event: pygame.event.Event) -> None:
        """Handles an event."""
        if event.type == pygame.QUIT:
            self.playback.is_over = True
        elif event.type == pygame.KEYDOWN:
            command = SIGNS.get(event.unicode) or WINDOW_KEYS.get(event.key)
            if command:
                self.playback.do(command)
        elif event.type == pygame.MOUSEWHEEL and event.y:
            self.playback.do("zoom in" if event.y > 0 else "zoom out")
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            self._is_scrubbing = self.timeline_box().collidepoint(self._place(event))
            self._scrub(self._place(event))
        elif event.type == pygame.MOUSEMOTION:
            self._scrub(self._place(event))
        elif event.type == pygame.MOUSEBUTTONUP:
            self._is_scrubbing = False

    def _place(self, event: pygame.event.Event) -> tuple[int, int]:
        """Returns where the mouse is, in pixels as they are drawn."""
        return event.pos[0] // self._scale, event.pos[1] // self._scale

    def _scrub(self, place: tuple[int, int]) -> None:
        if self._is_scrubbing:
            left, right = panels.timeline_ends(self.timeline_box().width)
            self.playback.seek((place[0] - left) / max(1, right - left))

    # -------------------------------------------------------------- layout

    def _size(self) -> tuple[int, int]:
        width, height = self.screen.get_size()
        return max(width, LEAST[0]), max(height, LEAST[1])

    def timeline_box(self) -> pygame.Rect:
        """Returns the area of the timeline."""
        width, height = self._size()
        return pygame.Rect(0, height - TIMELINE, width, TIMELINE)

    def panel_width(self) -> int:
        """Returns the width of the side panel; 0 if it is off or the window is too narrow."""
        return PANEL if self.playback.shows_actions and self._size()[0] >= LEAST_WITH_PANEL else 0

    def picture_box(self) -> pygame.Rect:
        """Returns the area of the picture and its strip."""
        width, height = self._size()
        return pygame.Rect(0, 0, width - self.panel_width(), height - TIMELINE - self.graphs_height())

    def graphs_height(self) -> int:
        """Returns the height of the graphs of a cart; 0 if they are off or the window is too low."""
        room = self._size()[1] - TIMELINE - STRIP - PICTURE_WITH_GRAPHS
        return GRAPHS if self._quantities() is not None and room >= GRAPHS else 0

    def _quantities(self) -> Quantities | None:
        stage = self.playback.clip.stage
        return stage.quantities if self.playback.shows_graphs and isinstance(stage, FilmStage) else None

    # -------------------------------------------------------------- output

    def draw(self) -> None:
        """Draws everything."""
        window = pygame.display.get_surface() or self.screen
        self.screen = self._drawn_on(window)
        box = self.picture_box()
        self._draw_picture(box)
        self._draw_graphs(box)
        self._draw_side(pygame.Rect(box.right, 0, self.panel_width(), self._size()[1] - TIMELINE))
        line = pygame.Surface(self.timeline_box().size)
        panels.draw_timeline(line, self.playback)
        self.screen.blit(line, self.timeline_box())
        if self.playback.shows_help:
            panels.draw_help(self.screen)
        if self.screen is not window:
            pygame.transform.scale(self.screen, window.get_size(), window)

    def _drawn_on(self, window: pygame.Surface) -> pygame.Surface:
        """Returns what is drawn on: the window, or where everything is drawn larger a surface smaller than that."""
        size = window.get_width() // self._scale, window.get_height() // self._scale
        return window if self._scale == 1 else pygame.Surface(size, 0, window)

    def _draw_side(self, box: pygame.Rect) -> None:
        if not box.width:
            return
        side = pygame.Surface(box.size)
        playback, stage = self.playback, self.playback.clip.stage
        bars, missing = playback.bars(), playback.no_bars
        names = action_names(self._clips.env)
        panels.draw_actions(side, bars, lambda action: action_name(names, action), missing)
        if stage.veils is not None and stage.states:
            panels.draw_ramp(side, stage.veils.map_of(deciding_state(stage, playback.decision)))
        self.screen.blit(side, box)

    def _draw_graphs(self, above: pygame.Rect) -> None:
        found, height = self._quantities(), self.graphs_height()
        if found is None or not height:
            return
        graphs = pygame.Surface((above.width, height))
        panels.draw_graphs(graphs, found, self.playback.decision)
        self.screen.blit(graphs, above.bottomleft)

    def _draw_picture(self, box: pygame.Rect) -> None:
        playback, stage = self.playback, self.playback.clip.stage
        if self._laid_out != (playback.clip, box.size, playback.zoom):
            self._lay_out(box)
        stage.veils = self._clips.veils if playback.shows_values else None
        frame, canvas = self._frame, self._canvas
        if frame is None or canvas is None:  # laid out above
            return
        view = view_of(canvas.get_size(), frame.picture.get_size(), stage.focus(playback.step, playback.way))
        canvas.set_clip(view)
        stage.paint(canvas, playback.step, playback.way, playback.seconds)
        shown = canvas.subsurface(view)
        frame.picture.blit(shown, shown.get_rect(center=frame.picture.get_rect().center))
        frame.write(playback.caption)
        self.screen.blit(frame.surface, (0, 0))

    def _lay_out(self, box: pygame.Rect) -> None:
        playback, stage = self.playback, self.playback.clip.stage
        pygame.display.set_caption(f"{playback.clip.title} - rlbench")
        stage.fit(box.width, box.height - STRIP, playback.zoom)
        self._laid_out = playback.clip, box.size, playback.zoom
        self._frame = Frame(box.width, box.height - STRIP)
        self._frame.picture.fill(panels.GROUND)
        self._canvas = pygame.Surface(stage.size, depth=24, masks=FORMAT)


def window_size(room: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Returns the initial size of the viewer in the room of a screen, and how large a drawn pixel is on it."""
    height = room[1] / SCREEN_SHARE
    larger = max(1.0, height / SCREEN_HEIGHT)
    wanted = round(WINDOW_SIZE[0] * larger), round(WINDOW_SIZE[1] * larger)
    return (min(wanted[0], room[0]), min(wanted[1], room[1])), max(1, round(height / SCREEN_HEIGHT))


def view_of(picture: tuple[int, int], room: tuple[int, int], focus: tuple[int, int]) -> pygame.Rect:
    """Returns the part of a picture that is shown in a room: all of it, or what lies around the focus."""
    shown = pygame.Rect((0, 0), (min(picture[0], room[0]), min(picture[1], room[1])))
    shown.center = focus
    return shown.clamp(pygame.Rect((0, 0), picture))
