"""The pictures of an episode that its env draws itself: on demand, and only the last ones are kept."""

from __future__ import annotations

import io
import math
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rlbench.errors import RlbenchError, StoreError
from rlbench.files import require
from rlbench.viewer.again import play_again
from rlbench.viewer.films import drawn
from rlbench.web.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import gymnasium as gym
    import numpy as np
    from numpy.typing import NDArray

    from rlbench.store import Episode

KEPT = 128  # pictures
SIDE = 480  # pixels: the longer side of one
LONGEST = 200  # characters of an error


class Reel:
    """The pictures of an episode, drawn by its env when they are asked for; the last ones are kept."""

    def __init__(
        self, make: Callable[..., gym.Env[Any, Any]], episode: Episode, begin: Callable[[gym.Env[Any, Any]], Any]
    ) -> None:
        self._make, self._episode, self._begin = make, episode, begin
        self._kept: Shelf[int, bytes] = Shelf(KEPT)
        self._image = require("PIL.Image", "viewer", "the picture of an env")
        self._steps: Iterator[Any] = iter(())
        self._next = math.inf  # the step that comes next; none has

    def picture(self, step: int) -> bytes:
        """Returns the picture of a step as PNG; StoreError if the env cannot draw it."""
        return self._kept.get(step, lambda: self._png(self._drawn(step)))

    def _drawn(self, step: int) -> NDArray[np.uint8]:
        try:
            if step < self._next:
                self._steps, self._next = self._played(), 0
            for draw in self._steps:
                self._next += 1
                if self._next > step:
                    return draw()  # type: ignore[no-any-return]
        except (RlbenchError, ImportError):
            raise
        except Exception as error:  # an env may raise anything
            self._next = math.inf
            reason = f"{type(error).__name__}: {str(error)[:LONGEST]}"
            raise StoreError(f"the env cannot draw step {step}: {reason}") from error
        self._next, differs = math.inf, int(self._next)
        raise StoreError(f"played again, the episode differs from what is stored at step {differs}")

    def _played(self) -> Iterator[Callable[[], Any]]:
        with closing(self._make(render_mode="rgb_array")) as env:
            for _ in play_again(env, self._episode, lambda: self._begin(env)):
                yield lambda: drawn(env)

    def _png(self, pixels: NDArray[np.uint8]) -> bytes:
        image, target = self._image.fromarray(pixels), io.BytesIO()
        image.thumbnail((SIDE, SIDE))
        image.save(target, "PNG", compress_level=1)
        return target.getvalue()
