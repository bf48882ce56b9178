"""Films: the frames of an episode of an env that renders itself, kept so that stepping back is exact."""

from __future__ import annotations

import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from rlbench.errors import UsageError
from rlbench.store.records import row_of
from rlbench.viewer.again import play_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store import Episode

    Picture = NDArray[np.uint8]  # (height, width, 3)

CARD, CARD_LINES = 400, 12  # pixels, lines of text


class Film:
    """The frames of an episode, drawn on first access and compressed: flat pictures take a few kilobytes."""

    def __init__(self, frames: Iterator[Picture]) -> None:
        self._frames = frames
        self._kept: list[tuple[tuple[int, ...], bytes]] = []

    def __getitem__(self, step: int) -> Picture:
        while len(self._kept) <= step:
            frame = next(self._frames)
            self._kept.append((frame.shape, zstandard.compress(frame.tobytes(), 1)))
            if len(self._kept) > step:
                return frame
        shape, packed = self._kept[step]
        return np.frombuffer(zstandard.decompress(packed), np.uint8).reshape(shape)


def placed_frames(env: gym.Env[Any, Any], episode: Episode) -> Iterator[Picture]:
    """Draws an episode in an env whose attribute `s` is its full state, as in Gymnasium's toy_text."""
    env.reset(seed=0)
    world: Any = env.unwrapped
    for step, state in enumerate(np.asarray(episode.observations).tolist()):
        world.s, world.lastaction = state, np.asarray(episode.actions)[step - 1].item() if step else None
        yield drawn(env)


def played_frames(env: gym.Env[Any, Any], episode: Episode, begin: Callable[[], Any]) -> Iterator[Picture]:
    """Replays an episode and draws it; once it diverges from the stored one, the frames are text.

    Args:
        env: an env in render mode "rgb_array".
        episode: the stored episode.
        begin: brings the env to the episode's start and returns the first observation.
    """
    step = 0
    for _ in play_again(env, episode, begin):
        yield drawn(env)
        step += 1
    if step <= len(episode):
        warnings.warn(
            f"episode {episode.index} cannot be played again from step {step} on: "
            "it is shown as text (`rlbench verify` says more)",
            RuntimeWarning,
            stacklevel=2,
        )
    for left in range(step, len(episode) + 1):
        yield card(lines_of(episode, left))


def posed_frames(env: gym.Env[Any, Any], states: Iterable[Any]) -> Iterator[Picture]:
    """Draws an env whose attribute `state` determines its picture, as in Gymnasium's CartPole."""
    env.reset(seed=0)
    world: Any = env.unwrapped
    for state in states:
        world.state = state
        yield drawn(env)


def cards(episode: Episode) -> Iterator[Picture]:
    """Yields each stored step as text, for an episode that cannot be drawn."""
    for step in range(len(episode) + 1):
        yield card(lines_of(episode, step))


def lines_of(episode: Episode, step: int) -> list[str]:
    """Returns a stored step as lines of text."""
    seen = textwrap.wrap(str(row_of(episode.observations, step)), 44)
    came = (
        []
        if not step
        else ["action", str(row_of(episode.actions, step - 1)), "reward", f"{episode.rewards[step - 1]:g}"]
    )
    return [f"step {step} of {len(episode)}", "observation", *seen, *came]


def drawn(env: gym.Env[Any, Any]) -> Picture:
    """Returns the picture of an env in render mode "rgb_array".

    Raises:
        UsageError: render() returned no array.
    """
    picture = env.render()
    if not isinstance(picture, np.ndarray):
        raise UsageError(f"render() of {env.unwrapped} must return an array, got {type(picture).__name__}")
    return picture


def card(lines: list[str]) -> Picture:
    """Returns lines of text as a picture."""
    from rlbench.envs.drawing import STRIP_GROUND, STRIP_TEXT, Frame, text  # noqa: PLC0415  (pygame only when drawing)

    frame = Frame(CARD, CARD)
    frame.surface.fill(STRIP_GROUND)
    for k, line in enumerate(lines[:CARD_LINES]):
        frame.surface.blit(text(line, 24, STRIP_TEXT), (20, 20 + 30 * k))
    return frame.pixels()[:CARD]
