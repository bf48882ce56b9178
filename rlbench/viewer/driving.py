"""Playing by hand: keys become actions, and the episodes are recorded like any others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gymnasium import spaces

from rlbench.envs.actions import action_names
from rlbench.envs.safecab import DROPOFF, PICKUP
from rlbench.errors import UsageError

if TYPE_CHECKING:
    import gymnasium as gym

ACTION_KEYS = {  # action name: key
    "South": "down", "North": "up", "East": "right", "West": "left", "Pickup": "p", "Dropoff": "d",
    "Down": "down", "Up": "up", "Right": "right", "Left": "left", "Coast": "down",
}  # fmt: skip
DRIVING_HELP = {
    "SafeCabEnv": "arrows drive, space (or p, d) picks up and drops off",
    "TaxiEnv": "arrows drive, p picks up, d drops off",
}


class Driver:
    """Lets a person drive an env.

    Args:
        env: an env with Discrete actions; wrap it to record.
        seed: the seed of the first episode.

    Raises:
        UsageError: the actions are not Discrete.
    """

    def __init__(self, env: gym.Env[Any, Any], seed: int | None = None) -> None:
        if not isinstance(env.action_space, spaces.Discrete):
            raise UsageError(f"driving with keys needs Discrete actions, got {env.action_space}")
        self.env = env
        self.episodes = self.all_steps = 0  # completed; in total
        self._keys = {ACTION_KEYS[name]: action for action, name in enumerate(action_names(env)) if name in ACTION_KEYS}
        self.begin(seed)

    def begin(self, seed: int | None = None) -> None:
        """Starts an episode; cuts off one that has not ended."""
        self.observation, _ = self.env.reset(seed=seed)
        self.before: Any = None  # the observation before the last action
        self.action: int | None = None
        self.steps, self.total, self.reward = 0, 0.0, 0.0
        self.terminated = self.truncated = self.is_success = False

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended."""
        return self.terminated or self.truncated

    @property
    def help(self) -> str:
        """The keys, in one line."""
        named = DRIVING_HELP.get(type(self.env.unwrapped).__name__)
        if named is None:
            named = f"{', '.join(self._keys)} or " if self._keys else ""
            named += f"0 to {int(self.env.action_space.n) - 1} act"  # type: ignore[attr-defined]  # Discrete
        return f"{named}; Enter: next; q: quit"

    def press(self, key: str) -> bool:
        """Handles a key; returns whether it was an action."""
        action = self._action_of(key)
        if action is None or self.is_over:
            return False
        self.act(action)
        return True

    def _action_of(self, key: str) -> int | None:
        if key == "space" and hasattr(self.env.unwrapped, "city"):
            world: Any = self.env.unwrapped
            carrying = world.decode(self.observation)[2] == len(world.city.zones)
            return DROPOFF if carrying else PICKUP
        if key.isdecimal() and key.isascii() and self.env.action_space.contains(int(key)):
            return int(key)
        return self._keys.get(key)

    def act(self, action: int) -> None:
        """Takes a step."""
        self.before, self.action = self.observation, action
        self.observation, reward, self.terminated, self.truncated, info = self.env.step(action)
        self.reward, self.is_success = float(reward), bool(info.get("is_success"))
        self.steps, self.total = self.steps + 1, self.total + self.reward
        self.all_steps += 1
        self.episodes += self.is_over
