"""Episodes as text: drawings of a city, a cart or raw numbers, and the clips for a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.envs.actions import action_name, action_names
from rlbench.envs.cartpole import is_cart_pole
from rlbench.store.records import row_of
from rlbench.viewer.again import begin_stored
from rlbench.viewer.films import lines_of
from rlbench.viewer.installed import fits
from rlbench.viewer.quantities import quantities_of
from rlbench.viewer.rides import SEEDS, drive, table_of
from rlbench.viewer.steps import stored_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import gymnasium as gym

    from rlbench.store import Episode
    from rlbench.training import Run
    from rlbench.viewer.rides import MakeEnv, Ride
    from rlbench.viewer.steps import Step

TRACK = 2.4  # m: the cart moves from -TRACK to TRACK
TRACK_COLUMNS = 61  # of the track: 12.5 per metre
POLE = 6  # lines for its 1 m: a character is about twice as tall as wide
UPRIGHT = math.radians(2)  # a pole that leans less is drawn upright


class Sketch(NamedTuple):
    """An env and its text renderer."""

    env: gym.Env[Any, Any]
    draw: Callable[[], str]

    @property
    def is_placed(self) -> bool:
        """Whether an observation is the env's full state, so that any can be drawn."""
        return hasattr(self.env.unwrapped, "s")

    def place(self, state: Any, action: Any) -> str:
        """Draws a stored state and the action that led to it, if any; needs `is_placed`."""
        world: Any = self.env.unwrapped
        world.s, world.lastaction = state, action
        return self.draw()

    def frames(self, steps: Iterable[Step]) -> Iterator[str]:
        """Draws the env after each step, with a caption."""
        return (f"{self.draw()}\n{step.caption}" for step in steps)


def sketch_of(make: MakeEnv) -> Sketch | None:
    """Makes and resets an env that can be drawn in text; None if it cannot."""
    env = make()
    if "ansi" in env.metadata.get("render_modes", ()):
        env.close()
        env = make(render_mode="ansi")
        env.reset()
        return Sketch(env, lambda: str(env.render()).strip("\n"))
    env.reset()
    if is_cart_pole(env):
        return Sketch(env, lambda: draw_cart(env.unwrapped.state))  # type: ignore[attr-defined]
    env.close()
    return None


def stored_frames(make: MakeEnv, episode: Episode) -> Iterator[str] | None:
    """Returns drawings of an episode's stored states, with captions; None if they are not full states."""
    sketch = sketch_of(make)
    if sketch is None or not sketch.is_placed or not fits(sketch.env, episode):
        return None
    return (f"{sketch.place(step.observation, step.action)}\n{step.caption}" for step in stored_steps(episode))


def draw_cart(state: Sequence[float]) -> str:
    """Draws CartPole's state (x in m, its speed, the pole's angle in rad, its speed), to scale, as nine lines."""
    x, _, angle, _ = map(float, state)
    middle = _column(x)
    sign = "|" if abs(angle) < UPRIGHT else "/" if angle > 0 else "\\"
    heights = [(line + 0.5) / POLE for line in reversed(range(POLE))]
    pole = [_line_with(sign, _column(x + height * math.tan(angle))) for height in heights]
    cart = _line_with("[=o=]", middle - 2)
    return "\n".join([*pole, cart, "-" * TRACK_COLUMNS, f"x {x:+.2f} m, pole {math.degrees(angle):+.1f} degrees"])


def _column(x: float) -> int:
    return round((x + TRACK) / (2 * TRACK) * (TRACK_COLUMNS - 1))


def _line_with(text: str, column: int) -> str:
    return " " * max(column, 0) + text


# ------------------------------------------------------------------ clips


class TextClip(NamedTuple):
    """An episode ready to show as text."""

    title: str
    episode: Episode
    captions: Sequence[str]  # T + 1
    draw: Callable[[int], str]  # draws a step


class TextClips:
    """Clips in text, made on access; they show no state values.

    Args:
        count: the number of clips.
        make: makes the clip of an index.
        table: the action values, (n_states, n_actions), or None.
        name: returns the name of an action.
    """

    no_values = "text shows no state values"

    def __init__(
        self,
        count: int,
        make: Callable[[int], TextClip],
        table: Any = None,
        name: Callable[[int], str] = str,
    ) -> None:
        self._count, self._make, self.action_values, self.name = count, make, table, name

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> TextClip:
        return self._make(index)


def live_texts(ride: Ride, first: int, most: int) -> TextClips:
    """Returns an agent's episodes as text, one per seed from `first` on, each of at most `most` steps."""

    def clip(index: int) -> TextClip:
        env, seed = ride.make_env(), first + index
        episode = drive(env, ride.agent_for(env, seed), seed, most)
        return _clip(f"{ride.title}, seed {seed}", episode, ride.make_env, lambda again: again.reset(seed=seed)[0])

    return TextClips(SEEDS, clip, ride.table(), _name_of_action(ride.make_env()))


def stored_texts(run: Run, env: gym.Env[Any, Any] | None) -> TextClips:
    """Returns the episodes of a run as text; without its env, the raw stored steps."""
    episodes = run.store.episodes(run)
    make = None if env is None else run.make_env

    def clip(index: int) -> TextClip:
        title = f"run {run.id}, episode {index} of {len(episodes) - 1}: {run.agent_name} on {run.env_id}"
        return _clip(title, episodes[index], make, lambda again: begin_stored(run, again, index))

    return TextClips(len(episodes), clip, table_of(run), _name_of_action(env))


def _clip(title: str, episode: Episode, make: MakeEnv | None, begin: Callable[[Any], Any]) -> TextClip:
    captions = [step.caption for step in stored_steps(episode)]
    return TextClip(title, episode, captions, drawer_of(make, episode, begin))


def drawer_of(make: MakeEnv | None, episode: Episode, begin: Callable[[Any], Any]) -> Callable[[int], str]:
    """Returns a function that draws a step of an episode as text: the city, the cart, or else the raw stored step.

    Args:
        make: makes the env; None if it cannot be made.
        episode: the episode.
        begin: brings an env to the episode's start and returns the first observation.
    """
    sketch = None if make is None else sketch_of(make)
    if make is not None and sketch is not None and fits(sketch.env, episode):
        rows, actions, place = episode.observations, episode.actions, sketch.place
        if sketch.is_placed:
            return lambda step: place(row_of(rows, step), row_of(actions, step - 1) if step else None)
        cart = quantities_of(sketch.env, episode, begin)
        if cart is not None:
            return lambda step: draw_cart(cart.values[step].tolist())
    return lambda step: "\n".join(lines_of(episode, step))


def _name_of_action(env: gym.Env[Any, Any] | None) -> Callable[[int], str]:
    names = action_names(env)
    return lambda action: action_name(names, action)
