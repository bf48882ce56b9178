"""The screen of a table env: a cached background, the state on top of it, and in a window a strip below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlbench.envs._sprites import FINE, Pen
from rlbench.envs.book.board import geometry
from rlbench.envs.drawing import FINEST, FRAME_RATE, STRIP, STRIP_TEXT, Caption, Frame, Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rlbench.envs.book.board import View

GROUND = (244, 242, 236)  # left and right of a narrow picture


class TableScreen:
    """Draws the states of an env, keeps the caption, and owns the window in "human".

    Args:
        view: how the states look.
        title: of the window.
    """

    def __init__(self, view: View, title: str) -> None:
        self._title = title
        shape = geometry(view.size)
        self._square, self._left = shape.square, shape.left
        self._fine = max(1, min(FINE, FINEST // max(shape.width, shape.height)))
        self._frame = Frame(shape.width, shape.height)
        self._window: Window | None = None
        self.look_at(view)
        self.begin()

    def look_at(self, view: View) -> None:
        """Draws another view, of the same size, from now on."""
        self._view = view
        ground = self._pen()
        view.ground(ground)
        self._ground = ground.picture()

    def begin(self) -> None:
        """Called on reset."""
        self._caption = Caption()

    def take(self, name: str, reward: float, *, terminated: bool) -> None:
        """Called after each step."""
        step, total = self._caption[:2]
        self._caption = Caption(step + 1, total + reward, name, "the end" if terminated else "", STRIP_TEXT)

    def pixels(self, state: int) -> NDArray[np.uint8]:
        """Returns a picture of the state, uint8 (height, width, 3)."""
        self._draw(state)
        return self._frame.pixels()[:-STRIP]

    def show(self, state: int, seconds: float) -> None:
        """Shows a state in the window for a while."""
        window = self._window = self._window or Window(self._frame.surface.get_size(), self._title)
        self._draw(state)
        for _ in range(max(1, round(seconds * FRAME_RATE))):
            window.show(self._frame.surface)

    def close(self) -> None:
        """Closes the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None

    def _pen(self) -> Pen:
        return Pen(self._view.size, self._square, fine=self._fine)

    def _draw(self, state: int) -> None:
        pen = self._pen()
        self._view.paint(pen, state)
        self._frame.picture.fill(GROUND)
        for layer in (self._ground, pen.picture()):
            self._frame.picture.blit(layer, (self._left, 0))
        self._frame.write(self._caption)
