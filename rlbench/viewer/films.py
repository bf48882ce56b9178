"""Films: the frames of an episode in an env that draws itself, kept so that stepping back is exact."""

from __future__ import annotations

import textwrap
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

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
    """The frames of an episode, drawn when they are first asked for; flat pictures pack to a few kilobytes."""

    def __init__(self, frames: Iterator[Picture]) -> None:
        self._frames = frames
        self._kept: list[tuple[tuple[int, ...], bytes]] = []

    def __getitem__(self, step: int) -> Picture:
        while len(self._kept) <= step:
            frame = next(self._frames)
            self._kept.append((frame.shape, zlib.compress(frame.tobytes(), 1)))
        shape, packed = self._kept[step]
        return np.frombuffer(zlib.decompress(packed), np.uint8).reshape(shape)


def placed_frames(env: gym.Env[Any, Any], episode: Episode) -> Iterator[Picture]:
    """Draws an episode in an env whose attribute `s` is its whole state, as in Gymnasium's toy_text."""
    env.reset(seed=0)
    world: Any = env.unwrapped
    for step, state in enumerate(np.asarray(episode.observations).tolist()):
        world.s, world.lastaction = state, np.asarray(episode.actions)[step - 1].item() if step else None
        yield drawn(env)


def played_frames(env: gym.Env[Any, Any], episode: Episode, begin: Callable[[], Any]) -> Iterator[Picture]:
    """Plays an episode again and draws it; once it goes another way than the stored one, frames are text.

    Args:
        env: in "rgb_array".
        episode: what must come of it.
        begin: brings the env to the episode's start and returns the first observation.
    """
    step = 0
    for _ in play_again(env, episode, begin):
        yield drawn(env)
        step += 1
    if step <= len(episode):
        warnings.warn(
            f"episode {episode.index} cannot be played again from step {step} on: "
            "what is stored is shown as text (`rlbench verify` says more)",
            RuntimeWarning,
            stacklevel=2,
        )
    for left in range(step, len(episode) + 1):
        yield card(lines_of(episode, left))


def posed_frames(env: gym.Env[Any, Any], states: Iterable[Any]) -> Iterator[Picture]:
    """Draws an env whose attribute `state` is all that is to be seen of it, as in Gymnasium's CartPole."""
    env.reset(seed=0)
    world: Any = env.unwrapped
    for state in states:
        world.state = state
        yield drawn(env)


def cards(episode: Episode) -> Iterator[Picture]:
    """Returns what is stored of each step as text, for an episode that nobody can draw."""
    for step in range(len(episode) + 1):
        yield card(lines_of(episode, step))


def lines_of(episode: Episode, step: int) -> list[str]:
    """Returns what is stored of a step in words."""
    seen = textwrap.wrap(str(row_of(episode.observations, step)), 44)
    came = (
        []
        if not step
        else ["action", str(row_of(episode.actions, step - 1)), "reward", f"{episode.rewards[step - 1]:g}"]
    )
    return [f"step {step} of {len(episode)}", "observation", *seen, *came]


def drawn(env: gym.Env[Any, Any]) -> Picture:
    """Returns what an env in "rgb_array" draws.

    Raises:
        UsageError: it draws nothing.
    """
    picture = env.render()
    if not isinstance(picture, np.ndarray):
        raise UsageError(f"{env.unwrapped} was asked to draw itself and gave {type(picture).__name__}, not an array")
    return picture


def card(lines: list[str]) -> Picture:
    """Returns lines of text as a picture."""
    from rlbench.envs.drawing import STRIP_GROUND, STRIP_TEXT, Frame, text  # noqa: PLC0415  (pygame when one draws)

    frame = Frame(CARD, CARD)
    frame.surface.fill(STRIP_GROUND)
    for k, line in enumerate(lines[:CARD_LINES]):
        frame.surface.blit(text(line, 24, STRIP_TEXT), (20, 20 + 30 * k))
    return frame.pixels()[:CARD]
