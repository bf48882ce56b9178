"""Stages: draw an episode at any size, step by step and, in a city, at any moment between steps."""

from __future__ import annotations

import warnings
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rlbench.envs._pygame import pygame
from rlbench.envs.actions import action_name, action_names
from rlbench.envs.cities import EAST, MOVES
from rlbench.envs.drawing import (
    BAD,
    GOOD,
    SECONDS_PER_PULSE,
    STEPS_PER_PULSE,
    STRANGE,
    STRIP,
    STRIP_TEXT,
    Caption,
    CityPicture,
    Frame,
    Scene,
    on_the_way,
    square_for,
)
from rlbench.envs.layouts import map_of
from rlbench.envs.making import id_of
from rlbench.envs.safecab import SafeCabEnv
from rlbench.errors import StoreError, UsageError
from rlbench.store.records import row_of
from rlbench.viewer.again import begin_stored
from rlbench.viewer.films import Film, cards, placed_frames, played_frames, posed_frames
from rlbench.viewer.installed import fits
from rlbench.viewer.quantities import quantities_of
from rlbench.viewer.values import VEIL_ON_FILM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store import Episode
    from rlbench.training import Run
    from rlbench.viewer.quantities import Quantities
    from rlbench.viewer.values import Veils


CLOSEST_SQUARE, ZOOMED_CITY = 96, 3000  # pixels: the sides of a square and of a whole city that can be zoomed to


class Stage(Protocol):
    """Draws the steps of an episode.

    Attributes:
        states: the state of each step, T + 1; empty if the pictures show no map.
        veils: the state values to lay over the map; None for none.
    """

    states: Sequence[int]
    veils: Veils | None

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of a picture, in pixels."""

    @property
    def closest(self) -> float:
        """The largest zoom: 1 if the pictures cannot be zoomed."""

    def fit(self, width: int, height: int, zoom: float = 1.0) -> None:
        """Scales the pictures to fit, times a zoom."""

    def focus(self, step: int, way: float = 1.0) -> tuple[int, int]:
        """Returns the pixel that a zoomed picture is centred on."""

    def paint(self, canvas: pygame.Surface, step: int, way: float = 1.0, seconds: float | None = None) -> None:
        """Draws a step on a canvas of `size`.

        Args:
            canvas: the surface to draw on.
            step: the step, 0 is the start.
            way: the share of the step that has passed.
            seconds: the clock, for animation that is independent of steps; None derives it from the step.
        """


class CityStage:
    """A SafeCab episode, drawn from its observations, which are full states."""

    def __init__(self, world: SafeCabEnv, episode: Episode, square: int | None = None) -> None:
        self.world = world
        self.states: Sequence[int] = np.asarray(episode.observations).tolist()
        self.places = [world.decode(state) for state in self.states]
        self.actions = np.asarray(episode.actions).tolist()
        self.headings = list(
            accumulate(self.actions, lambda old, action: action if action in MOVES else old, initial=EAST)
        )
        self.veils: Veils | None = None
        self.closest = 1.0
        self._picture = picture_of(world, square)

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of a picture, in pixels."""
        return self._picture.size

    def fit(self, width: int, height: int, zoom: float = 1.0) -> None:
        """Scales the squares to fit, times a zoom."""
        city = self.world.city
        fitting = square_for(city, width, height)
        largest = max(fitting, min(CLOSEST_SQUARE, ZOOMED_CITY // max(city.rows, city.cols)))
        self.closest = largest / fitting
        square = min(largest, round(fitting * zoom))
        if square != self._picture.square:
            self._picture = picture_of(self.world, square)

    def focus(self, step: int, way: float = 1.0) -> tuple[int, int]:
        """Returns the pixel of the cab."""
        return self._picture.center(self._scene(step, way, 0.0))

    def paint(self, canvas: pygame.Surface, step: int, way: float = 1.0, seconds: float | None = None) -> None:
        """Draws a step, or the cab on its way there."""
        pulse = step / STEPS_PER_PULSE if seconds is None else seconds / SECONDS_PER_PULSE
        self._picture.paint(canvas, self._scene(step, way, pulse), self._veil(step, way))

    def _scene(self, step: int, way: float, pulse: float) -> Scene:
        scene = Scene(*self.places[step], self.headings[step], pulse)
        if step and way < 1:
            scene = on_the_way(scene, self.places[step - 1], self.actions[step - 1], way)
            if self.actions[step - 1] not in MOVES:
                scene = scene._replace(passenger=self.places[step - 1][2])
        return scene

    def _veil(self, step: int, way: float) -> pygame.Surface | None:
        city, square = self.world.city, self._picture.square
        size = city.cols * square, city.rows * square
        return None if self.veils is None else self.veils(deciding_state(self, step, way), size)


class FilmStage:
    """An episode of an env that renders itself.

    Args:
        film: its pictures.
        quantities: those of a CartPole.
        states: the state of each step, T + 1, if the pictures are a map of them.
    """

    closest = 1.0

    def __init__(self, film: Film, quantities: Quantities | None = None, states: Sequence[int] = ()) -> None:
        self._film, self.quantities = film, quantities
        self.states: Sequence[int] = states
        self.veils: Veils | None = None
        height, width, _ = film[0].shape
        self.size = self._natural = (width, height)

    def fit(self, width: int, height: int, zoom: float = 1.0) -> None:
        """Scales the env's pictures; a zoom would show no more of them."""
        del zoom
        scale = min(width / self._natural[0], height / self._natural[1])
        self.size = max(1, int(self._natural[0] * scale)), max(1, int(self._natural[1] * scale))

    def focus(self, step: int, way: float = 1.0) -> tuple[int, int]:
        """Returns the middle."""
        del step, way
        return self.size[0] // 2, self.size[1] // 2

    def paint(self, canvas: pygame.Surface, step: int, way: float = 1.0, seconds: float | None = None) -> None:
        """Draws a step; there are no pictures between steps."""
        del seconds
        shown = step if way >= 1 or not step else step - 1
        pixels = self._film[shown]
        picture = pygame.image.frombuffer(pixels.tobytes(), (pixels.shape[1], pixels.shape[0]), "RGB")
        scale = min(self.size[0] / picture.get_width(), self.size[1] / picture.get_height())
        if scale != 1:
            wide = pygame.Surface(picture.get_size(), 0, 32)  # four bytes a pixel are scaled five times as fast
            wide.blit(picture, (0, 0))
            picture = pygame.transform.smoothscale_by(wide, scale)
        canvas.fill(STRIP_TEXT)
        place = picture.get_rect(center=canvas.get_rect().center)
        canvas.blit(picture, place)
        if self.veils is not None and self.states:
            canvas.blit(self.veils(deciding_state(self, step, way), picture.get_size(), VEIL_ON_FILM), place)
            agent = pygame.Rect(self.veils.square(self.states[shown], picture.get_size()))
            canvas.blit(picture, agent.move(place.topleft), agent)


def deciding_state(stage: Stage, step: int, way: float = 1.0) -> int:
    """Returns the state of the decision that is shown: at the end of an episode, that of the last one."""
    decision = step if way >= 1 else step - 1
    return stage.states[max(0, min(decision, len(stage.states) - 2))]


def picture_of(world: SafeCabEnv, square: int | None) -> CityPicture:
    """Returns the picture of a city; the last few are cached because drawing one is slow."""
    known = _PICTURES.setdefault((world.city, square), CityPicture(world.city, square))
    while len(_PICTURES) > KEPT:
        del _PICTURES[next(iter(_PICTURES))]
    return known


KEPT = 4
_PICTURES: dict[Any, CityPicture] = {}


# ------------------------------------------------------------------ choosing a stage


def stored_stage(run: Run, episode: Episode, env: gym.Env[Any, Any] | None) -> Stage:
    """Returns the stage of a stored episode.

    Args:
        run: the run of the episode.
        episode: the episode.
        env: the run's env as installed here; None shows the episode as text.

    Raises:
        UsageError: the env cannot render.
    """
    if env is None:
        return FilmStage(Film(cards(episode)))
    if not fits(env, episode):
        warnings.warn(
            f"episode {episode.index} has observations unknown to {id_of(env)}: it is shown as text",
            RuntimeWarning,
            stacklevel=2,
        )
        return FilmStage(Film(cards(episode)))
    return _stage(env, run.make_env, episode, lambda again: begin_stored(run, again, episode.index))


def live_stage(make: Callable[..., gym.Env[Any, Any]], episode: Episode, seed: int) -> Stage:
    """Returns the stage of an episode that started with reset(seed=seed)."""
    return _stage(make(), make, episode, lambda env: env.reset(seed=seed)[0])


def lone_stage(make: Callable[..., gym.Env[Any, Any]], episode: Episode) -> Stage:
    """Returns the stage of an episode whose start is unknown."""

    def begin(_env: Any) -> Any:
        raise StoreError("the start of this episode is unknown")

    return _stage(make(), make, episode, begin)


def _stage(
    env: gym.Env[Any, Any], make: Callable[..., gym.Env[Any, Any]], episode: Episode, begin: Callable[[Any], Any]
) -> Stage:
    world = city_of(env)
    if world is not None:
        return CityStage(world, episode)
    if "rgb_array" not in env.metadata.get("render_modes", ()):
        raise UsageError(f"{id_of(env)} cannot draw itself: use --render ansi, or a table with --render none --json")
    from rlbench.envs.drawing import need_no_display  # noqa: PLC0415  (pygame only when drawing)

    need_no_display()
    drawing = make(render_mode="rgb_array")
    quantities = quantities_of(env, episode, begin)
    if quantities is not None:
        return FilmStage(Film(posed_frames(drawing, quantities.values)), quantities)
    is_placed = map_of(env) is not None
    frames = placed_frames(drawing, episode) if is_placed else played_frames(drawing, episode, lambda: begin(drawing))
    return FilmStage(Film(frames), states=np.asarray(episode.observations).tolist() if is_placed else ())


def city_of(env: gym.Env[Any, Any]) -> SafeCabEnv | None:
    """Returns the SafeCab inside an env that observes its states; None if there is none."""
    world = env.unwrapped
    is_whole = isinstance(world, SafeCabEnv) and env.observation_space == world.observation_space
    return world if is_whole else None  # type: ignore[return-value]  # is_whole implies it


# ------------------------------------------------------------------ captions


def captions(env: gym.Env[Any, Any] | None, episode: Episode) -> list[Caption]:
    """Returns the captions of an episode's steps, T + 1."""
    totals = [0.0, *np.cumsum(episode.rewards).tolist()]
    names, found = action_names(env), [Caption()]
    for step in range(1, len(episode) + 1):
        note, color = _note(env, episode, step)
        name = action_name(names, row_of(episode.actions, step - 1))
        found.append(Caption(step, totals[step], name, note, color))
    return found


def _note(env: gym.Env[Any, Any] | None, episode: Episode, step: int) -> tuple[str, tuple[int, ...]]:
    """Returns how the episode ended, or whether the action was exploratory, and its colour."""
    if step == len(episode):
        return _end(env, episode)
    if episode.explored is not None and episode.explored[step - 1]:
        return "exploring", STRANGE
    return "", STRIP_TEXT


def _end(env: gym.Env[Any, Any] | None, episode: Episode) -> tuple[str, tuple[int, ...]]:
    world = None if env is None else env.unwrapped
    if episode.terminated and isinstance(world, SafeCabEnv) and fits(world, episode):
        delivered = world.is_success(int(np.asarray(episode.observations)[-1]), terminated=True)
        return ("delivered", GOOD) if delivered else ("anomaly", BAD)
    return episode.end, STRIP_TEXT


def frames(stage: Stage, texts: list[Caption], size: int | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yields the pictures of an episode's steps with the strip below: uint8 (height, width, 3).

    Args:
        stage: draws them.
        texts: the captions, one per step.
        size: the longer side in pixels; None keeps the stage's own size.
    """
    if size is not None:
        stage.fit(size, size - STRIP)
    frame = Frame(*stage.size)
    for step, caption in enumerate(texts):
        stage.paint(frame.picture, step)
        frame.write(caption)
        yield frame.pixels()
