"""Pictures of a state in text: what the env itself draws, or a cart and its pole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import gymnasium as gym

    from rlbench.training import Run

PACE = 0.25  # seconds a step, for an env that does not say how fast it is drawn
TRACK = 2.4  # m: the cart drives from -TRACK to TRACK
COLUMNS = 61  # of the track: 12.5 a metre
POLE = 6  # lines for its 1 m: a character is about twice as high as wide
UPRIGHT = math.radians(2)  # a pole that leans less is drawn straight


class Picture(NamedTuple):
    """An env and how it is drawn in text."""

    env: gym.Env[Any, Any]
    draw: Callable[[], str]

    @property
    def pace(self) -> float:
        """Seconds a step, so that it looks natural."""
        frames = self.env.metadata.get("render_fps")
        return 1 / frames if frames else PACE

    def place(self, state: Any, action: Any) -> str | None:
        """Draws a stored state, and the action that led to it; None where an observation is not the whole state."""
        world: Any = self.env.unwrapped
        if not hasattr(world, "s"):
            return None
        world.s, world.lastaction = state, action
        return self.draw()


def picture_of(run: Run) -> Picture | None:
    """Makes a run's env, reset, so that it can be drawn in text; None if it cannot."""
    env = run.make_env()
    if "ansi" in env.metadata.get("render_modes", ()):
        env.close()
        env = run.make_env(render_mode="ansi")
        env.reset()
        return Picture(env, lambda: str(env.render()).strip("\n"))
    env.reset()
    if is_cart_pole(env):
        return Picture(env, lambda: draw_cart(env.unwrapped.state))  # type: ignore[attr-defined]
    env.close()
    return None


def is_cart_pole(env: gym.Env[Any, Any]) -> bool:
    """Returns whether the env's state is CartPole's four numbers."""
    from gymnasium.envs.classic_control.cartpole import CartPoleEnv  # noqa: PLC0415

    return isinstance(env.unwrapped, CartPoleEnv)


def draw_cart(state: Sequence[float]) -> str:
    """Draws CartPole's state (x in m, its speed, the pole's angle in rad, its speed), to scale, as nine lines."""
    x, _, angle, _ = map(float, state)
    middle = _column(x)
    sign = "|" if abs(angle) < UPRIGHT else "/" if angle > 0 else "\\"
    heights = [(line + 0.5) / POLE for line in reversed(range(POLE))]
    pole = [_line_with(sign, _column(x + height * math.tan(angle))) for height in heights]
    cart = _line_with("[=o=]", middle - 2)
    return "\n".join([*pole, cart, "-" * COLUMNS, f"x {x:+.2f} m, pole {math.degrees(angle):+.1f} degrees"])


def _column(x: float) -> int:
    return round((x + TRACK) / (2 * TRACK) * (COLUMNS - 1))


def _line_with(text: str, column: int) -> str:
    return " " * max(column, 0) + text
