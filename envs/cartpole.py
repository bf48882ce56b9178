"""CartPole with a Discrete observation: Gymnasium's physics, seen through bins."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from gymnasium.error import InvalidAction, ResetNeeded

from rlbench.envs.discretize import bin_encoder, make_bins, n_bins
from rlbench.envs.physics import STANDARD, physics_of
from rlbench.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

DIMENSIONS = {"x": "m", "x_dot": "m/s", "theta": "rad", "theta_dot": "rad/s"}  # of the state, with units


class BinsPreset(NamedTuple):
    """The number of bins of each dimension, and its lowest and highest cut."""

    bins: Sequence[int]
    low: Sequence[float]
    high: Sequence[float]


PRESETS = {
    "default": BinsPreset([3, 3, 6, 12], [-1.8, -1.5, -0.15, -2.0], [1.8, 1.5, 0.15, 2.0]),
    "book": BinsPreset([6, 6, 12, 12], [-2.4, -3.0, -0.2095, -3.5], [2.4, 3.0, 0.2095, 3.5]),
}


class DiscreteCartPoleEnv(CartPoleEnv):
    """CartPole-v1 with the index of the state's bin as its observation.

    ## Description
    The cart-pole of Barto, Sutton and Anderson (1983) as in Gymnasium: the same seed and actions give the same
    states, rewards and ends as `CartPole-v1`. Only the observation differs, so tabular agents can learn it.

    ## Action Space
    `Discrete(2)`: 0 pushes the cart to the left, 1 to the right.

    ## Observation Space
    `Discrete(n)`, n the product of `bins`: the four quantities x, x_dot, theta, theta_dot (as the float32 that CartPole
    observes), each in one of its bins; row-major, x most significant. `unwrapped.state` is the four floats.

    ## Starting State
    Each quantity uniform in (-0.05, 0.05), or between `options["low"]` and `options["high"]`.

    ## Rewards
    +1 per step, including the step in which the pole falls; with `sutton_barto_reward` 0, and -1 when it falls.

    ## Episode End
    Terminated when the pole leans more than 12 degrees or the cart leaves (-2.4, 2.4); truncated after 500 steps.

    ## Physics
    The attributes of Gymnasium's CartPole (gravity, length, masspole, total_mass, polemass_length, force_mag, tau,
    kinematics_integrator, x_threshold, theta_threshold_radians) count here too, in both training loops:
    `env.unwrapped.gravity = 1.6`.

    ## Arguments
    - `bins`: a preset ("default": 3 x 3 x 6 x 12; "book": 6 x 6 x 12 x 12), or the number of bins of each quantity.
    - `low`, `high`: the lowest and highest cut of each quantity; the outermost bins extend beyond them.
    - `cuts`: explicit cut points instead of `bins`, a list per quantity.
    - `sutton_barto_reward`: as in Gymnasium's CartPole.

    ## Version History
    - v1: the physics of CartPole-v1.
    """

    action_names = ("Left", "Right")

    def __init__(
        self,
        bins: str | Sequence[int] = "default",
        *,
        low: Sequence[float] | None = None,
        high: Sequence[float] | None = None,
        cuts: Sequence[Sequence[float]] | None = None,
        sutton_barto_reward: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(sutton_barto_reward=sutton_barto_reward, render_mode=render_mode)
        if isinstance(bins, str) and bins not in PRESETS:
            raise unknown_name("bins preset", bins, PRESETS)
        if cuts is None:
            preset = PRESETS[bins if isinstance(bins, str) else "default"]
            counts = preset.bins if isinstance(bins, str) else bins
            self.bins = make_bins(self.observation_space, counts, low=low or preset.low, high=high or preset.high)
        else:
            given = None if isinstance(bins, str) else bins
            self.bins = make_bins(self.observation_space, given, low=low, high=high, cuts=cuts)
        self.observation_space = spaces.Discrete(n_bins(self.bins))  # type: ignore[assignment]  # CartPole's is a Box
        self._encode = bin_encoder(self.bins)

    def compiled_world(self) -> Any:
        """Returns the world that the compiled training loop runs in place of this env."""
        from rlbench.envs._worlds import CartPoleWorld, ChangedCartPoleWorld  # noqa: PLC0415  (numba, to train only)

        physics = physics_of(self)
        return CartPoleWorld(self.bins) if physics == STANDARD else ChangedCartPoleWorld(self.bins, physics)

    def reset(  # type: ignore[override]  # CartPole observes an array
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Draws the four quantities, one random number each."""
        gym.Env.reset(self, seed=seed)
        low, high = maybe_parse_reset_bounds(options, -0.05, 0.05)
        # separate NumPy operations, never fused: the same bits as in the compiled world, on every platform
        self.state = low + (high - low) * self.np_random.random(4)
        self._fallen = False
        if self.render_mode == "human":
            self.render()
        return self._observe(), {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:  # type: ignore[override]
        """Pushes the cart for 0.02 s, or whatever `tau` is."""
        from rlbench.envs._motion import cartpole_step, push  # noqa: PLC0415  (numba only when a cart is pushed)

        if self.state is None:
            raise ResetNeeded("call reset() before step()")
        if action not in (0, 1):
            raise InvalidAction(f"action must be 0 (left) or 1 (right), got {action!r}")
        physics, before = physics_of(self), (*self.state.tolist(), int(action))
        # the first is called faster, without a tuple to read
        step: Any = cartpole_step if physics == STANDARD else partial(push, physics)
        *state, fell = step(*before)
        self.state = np.array(state)
        paid = -1.0 if fell else 0.0
        reward = paid if physics.sutton_barto_reward else 0.0 if self._fallen else 1.0
        self._fallen = self._fallen or fell
        if self.render_mode == "human":
            self.render()
        return self._observe(), reward, fell, False, {}

    def _observe(self) -> int:
        return self._encode(np.asarray(self.state, np.float32).tolist())


def is_cart_pole(env: gym.Env[Any, Any]) -> bool:
    """Returns whether an env is CartPole, whose state is four numbers."""
    return isinstance(env.unwrapped, CartPoleEnv)
