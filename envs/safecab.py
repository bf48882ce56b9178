"""SafeCab: a taxi in a city of anomalies."""

from __future__ import annotations

from functools import cached_property, lru_cache
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils import colorize

from rlbench.envs.cities import City, make_city
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.envs.drawing import CityScreen
    from rlbench.envs.tabular import TransitionView

ACTIONS = ("South", "North", "East", "West", "Pickup", "Dropoff")
PICKUP, DROPOFF = 4, 5
PIXELS = ("human", "rgb_array")
MAX_REWARD = float(np.finfo(np.float64).max)  # larger: not finite


class Rewards(NamedTuple):
    """The rewards for the four outcomes of a step."""

    step: float = -1.0
    delivery: float = 1000.0
    illegal: float = -10.0
    anomaly: float = -1000.0


class Tables(NamedTuple):
    """The complete dynamics: one row per state, one column per action; read-only."""

    successor: NDArray[np.int32]
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    mask: NDArray[np.int8]  # 1: the action is legal and, for a move, not blocked
    starts: NDArray[np.int64]  # (n_starts,) any square, passenger != destination


class SafeCabEnv(gym.Env[int, int]):
    """A taxi picks up a passenger and delivers them in a city where some squares are anomalies that end the trip.

    ## Description
    There are safe zones: R, G, Y and B in the book's city. A passenger waits at one of them and wants to go to another.
    The taxi starts anywhere. It must drive to the passenger, pick them up, drive to the destination and drop them off,
    avoiding the anomalies. Only the start is random.

        +---------+
        |R: :A: :G|
        | : : : : |
        | :A:A: : |
        | : : : : |
        |Y: :A:B: |
        +---------+

    ## Action Space
    `Discrete(6)`: 0 south, 1 north, 2 east, 3 west, 4 pick up, 5 drop off.

    ## Observation Space
    `Discrete(rows * cols * (zones + 1) * zones)`, 500 in the book's city:
    `((row * cols + col) * (zones + 1) + passenger) * zones + destination`, where passenger is the zone they wait
    at, or `zones` if in the taxi. Zones are numbered in reading order. `encode` and `decode` convert.

    ## Starting State
    Uniform over all squares and all pairs of different passenger and destination zones: 300 starts in the book's city.
    One random number is drawn. `options={"state": s}` starts in state s.

    ## Rewards
    - -1 per step, including moves against the border or a wall, which leave the taxi in place, and dropping the
      passenger off at a zone other than the destination;
    - -10 for any other illegal pick-up or drop-off;
    - +1000 for delivering the passenger;
    - -1000 for being on an anomaly after any action. A taxi that starts on one may drive off.

    ## Episode End
    Terminated by a delivery or an anomaly; truncated after 100 steps.

    ## Information
    `action_mask` (int8, 6): 1 where the action is legal and not blocked. `step` adds `is_success`: it delivered.

    ## Arguments
    - `city`: "book", another preset, a map as printed above (`|` between squares is a wall), or "NxM": generated.
    - `city_seed`: the seed of a generated city.
    - `step_reward`, `delivery_reward`, `illegal_reward`, `anomaly_reward`: the reward for that outcome.

    ## Example
        >>> import gymnasium as gym, rlbench
        >>> env = gym.make("rlbench/SafeCab-v0")
        >>> observation, info = env.reset(options={"state": env.unwrapped.encode(0, 0, 0, 2)})
        >>> info["action_mask"].tolist()
        [1, 0, 1, 0, 1, 0]
        >>> rewards = [env.step(action)[1] for action in (4, 0, 0, 0, 0, 5)]
        >>> rewards
        [-1.0, -1.0, -1.0, -1.0, -1.0, 1000.0]

    ## Version History
    - v0: first version.
    """

    action_names = ACTIONS
    metadata: dict[str, Any] = {  # noqa: RUF012  (as in Gymnasium)
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 4,
    }

    def __init__(
        self,
        city: str = "book",
        *,
        city_seed: int = 0,
        step_reward: float = -1.0,
        delivery_reward: float = 1000.0,
        illegal_reward: float = -10.0,
        anomaly_reward: float = -1000.0,
        render_mode: str | None = None,
    ) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise UsageError(f"render_mode must be None, {', '.join(map(repr, modes))}, got {render_mode!r}")
        self.city = make_city(city, city_seed)
        rewards = Rewards(step_reward, delivery_reward, illegal_reward, anomaly_reward)
        for name, value in rewards._asdict().items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_REWARD:
                raise UsageError(f"{name}_reward must be a finite number, got {value!r}")
        self.rewards = Rewards(*map(float, rewards))
        self.tables = _tables(self.city, self.rewards)
        # Gymnasium types the elements of a Discrete as NumPy integers, but a Python int is one too
        self.observation_space = cast("gym.Space[int]", spaces.Discrete(self.city.n_states))
        self.action_space = cast("gym.Space[int]", spaces.Discrete(len(ACTIONS)))
        self.render_mode = render_mode
        self.s: int | None = None
        self.lastaction: int | None = None
        self._view_tables()
        self._screen = self._new_screen()

    def _view_tables(self) -> None:
        # memoryviews: they yield Python numbers, four times faster than NumPy arrays
        columns: tuple[Any, ...] = self.tables[:3]
        views: list[Any] = [memoryview(column.reshape(-1)) for column in columns]
        self._successor, self._reward, self._terminated = views

    def __getstate__(self) -> dict[str, Any]:
        # a memoryview can be neither copied nor pickled
        left = {name: value for name, value in vars(self).items() if not isinstance(value, memoryview)}
        return {**left, "_screen": None}  # nor can a screen

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._view_tables()
        self._screen = self._new_screen()

    def _new_screen(self) -> CityScreen | None:
        if self.render_mode not in PIXELS:
            return None
        from rlbench.envs.drawing import CityScreen  # noqa: PLC0415  (pygame only when pixels are drawn)

        return CityScreen(self.city, self.decode)

    def action_mask(self, state: int) -> NDArray[np.int8]:
        """Returns the action mask of a state, as Gymnasium's Taxi does."""
        mask: NDArray[np.int8] = self.tables.mask[state].copy()
        return mask

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draws a start state, or takes `options["state"]`."""
        super().reset(seed=seed)
        if options and "state" in options:
            self.decode(options["state"])
            self.s = int(options["state"])
        else:
            starts = self.tables.starts
            self.s = int(starts[int(self.np_random.random() * len(starts))])
        self.lastaction = None
        if self._screen is not None:
            self._screen.begin()
            self._show(None)
        return self.s, {"action_mask": self.action_mask(self.s)}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Drives, picks up or drops off.

        Raises:
            ResetNeeded: called before the first reset.
            InvalidAction: the action is not in 0 to 5.
        """
        if self.s is None:
            raise ResetNeeded("call reset() before step()")
        action = _whole(action)
        if not 0 <= action < len(ACTIONS):
            raise InvalidAction(f"action must be in 0 to 5, got {action!r}")
        at = self.s * len(ACTIONS) + action
        self.s, self.lastaction = self._successor[at], action
        reward, terminated = self._reward[at], self._terminated[at]
        delivered = self.is_success(self.s, terminated)
        info = {"action_mask": self.action_mask(self.s), "is_success": delivered}
        if self._screen is not None:
            self._screen.take(action, ACTIONS[action], reward, terminated=terminated, delivered=delivered)
            self._show(action)
        return self.s, reward, terminated, False, info

    def is_success(self, state: int, terminated: bool) -> bool:  # noqa: FBT001
        """Returns whether a step into this state was a delivery: the only end in a zone, for no anomaly is one."""
        return terminated and self._at_zone(state)

    def _at_zone(self, state: int) -> bool:
        row, col, _, _ = self.decode(state)
        return any((row, col) == zone[1:] for zone in self.city.zones)

    def encode(self, row: int, col: int, passenger: int, destination: int) -> int:
        """Returns the observation; passenger = number of zones means in the taxi."""
        zones = len(self.city.zones)
        limits = {"row": self.city.rows, "col": self.city.cols, "passenger": zones + 1, "destination": zones}
        for (name, limit), value in zip(limits.items(), (row, col, passenger, destination), strict=True):
            if not 0 <= value < limit:
                raise UsageError(f"{name} must be in 0 to {limit - 1}, got {value}")
        return ((row * self.city.cols + col) * (zones + 1) + passenger) * zones + destination

    def decode(self, state: int) -> tuple[int, int, int, int]:
        """Returns (row, col, passenger, destination) of an observation."""
        if not 0 <= state < self.city.n_states:
            raise UsageError(f"state must be in 0 to {self.city.n_states - 1}, got {state}")
        rest, destination = divmod(int(state), len(self.city.zones))
        square, passenger = divmod(rest, len(self.city.zones) + 1)
        return *divmod(square, self.city.cols), passenger, destination

    @cached_property
    def initial_state_distrib(self) -> NDArray[np.float64]:
        """The probability of each state at a reset, shape (n_states,)."""
        initial = np.zeros(self.city.n_states)
        initial[self.tables.starts] = 1 / len(self.tables.starts)
        return initial

    @property
    def P(self) -> TransitionView:  # noqa: N802  (the name toy-text users expect)
        """The transitions in toy-text's form, as a view: P[s][a] = [(1.0, next state, reward, terminated)]."""
        return self.tabular_model().P

    def tabular_model(self) -> TabularModel:
        """Returns the complete dynamics as flat arrays."""
        return self._model

    @cached_property
    def _model(self) -> TabularModel:
        pairs = self.tables.reward.size
        return TabularModel(
            n_states=self.city.n_states,
            n_actions=len(ACTIONS),
            offsets=np.arange(pairs + 1),
            probability=np.ones(pairs),
            successor=self.tables.successor.reshape(-1),
            reward=self.tables.reward.reshape(-1),
            terminated=self.tables.terminated.reshape(-1),
            initial=self.initial_state_distrib,
        )

    def compiled_world(self) -> Any:
        """Returns the world that the compiled training loop runs in place of this env."""
        from rlbench.envs._worlds import deterministic_world  # noqa: PLC0415  (numba only when training starts)

        return deterministic_world(self.tabular_model())

    def render(self) -> Any:
        """Returns the city: uint8 (height, width, 3) in "rgb_array", coloured text in "ansi", None in "human".

        In text the taxi is yellow, or green with its passenger, and the destination magenta. In "human" it redraws the
        window, which `reset` and `step` draw too.

        Raises:
            ResetNeeded: called before the first reset.
        """
        if self.render_mode is None:
            gym.logger.warn(f"render() draws nothing without render_mode, one of {self.metadata['render_modes']}")
            return None
        if self.s is None:
            raise ResetNeeded("call reset() before render()")
        if self.render_mode == "rgb_array":
            return cast("CityScreen", self._screen).pixels(self.s)
        if self.render_mode == "ansi":
            return self._text(self.s)
        self._show(None)
        return None

    def close(self) -> None:
        """Closes the window; the env stays usable."""
        if self._screen is not None:
            self._screen.close()

    def _show(self, action: int | None) -> None:
        """Draws the window in "human"; the effect of an action is animated."""
        if self.render_mode == "human" and self._screen is not None and self.s is not None:
            self._screen.show(self.s, 1 / self.metadata["render_fps"], action)

    def _text(self, state: int) -> str:
        row, col, passenger, destination = self.decode(state)
        canvas = [list(line) for line in str(self.city).splitlines()]
        for anomaly in self.city.anomalies:
            _paint(canvas, anomaly, "red")
        if passenger < len(self.city.zones):
            _paint(canvas, self.city.zones[passenger][1:], "blue", bold=True)
        _paint(canvas, self.city.zones[destination][1:], "magenta", bold=True)
        carrying = passenger == len(self.city.zones)
        _paint(canvas, (row, col), "green" if carrying else "yellow", highlight=True)
        action = "" if self.lastaction is None else f"\n  ({ACTIONS[self.lastaction]})"
        return "\n".join("".join(line) for line in canvas) + action


def _whole(action: Any) -> int:
    try:
        return index(action)
    except TypeError:
        raise InvalidAction(f"action must be a whole number, 0 to 5, got {action!r}") from None


def _paint(canvas: list[list[str]], square: tuple[int, int], color: str, **how: bool) -> None:
    row, col = square
    canvas[row + 1][2 * col + 1] = colorize(canvas[row + 1][2 * col + 1], color, **how)


@lru_cache(maxsize=2)
def _tables(city: City, rewards: Rewards) -> Tables:
    """Builds the tables with array operations; the axes are square, passenger, destination, action."""
    zones = len(city.zones)
    shape = (city.rows * city.cols, zones + 1, zones, len(ACTIONS))
    square = np.arange(shape[0])
    to_square, to_passenger = np.empty(shape, np.int32), np.empty(shape, np.int32)
    reward, legal = np.full(shape, rewards.step), np.zeros(shape, dtype=bool)
    delivered = np.zeros(shape, dtype=bool)
    to_square[...] = square[:, None, None, None]
    to_passenger[...] = np.arange(zones + 1)[None, :, None, None]
    for action, target in _moves(city).items():
        to_square[..., action] = target[:, None, None]
        legal[..., action] = (target != square)[:, None, None]
    for zone, (_, row, col) in enumerate(city.zones):
        here = row * city.cols + col
        legal[here, zone, :, PICKUP] = True
        to_passenger[here, zone, :, PICKUP] = zones
        legal[here, zones, :, DROPOFF] = True
        to_passenger[here, zones, :, DROPOFF] = zone
        delivered[here, zones, zone, DROPOFF] = True
    for action in (PICKUP, DROPOFF):
        reward[..., action][~legal[..., action]] = rewards.illegal
    reward[delivered] = rewards.delivery
    anomaly = np.zeros(shape[0], dtype=bool)
    anomaly[[row * city.cols + col for row, col in city.anomalies]] = True
    struck = anomaly[to_square]
    reward[struck] = rewards.anomaly
    successor = (to_square * (zones + 1) + to_passenger) * zones + np.arange(zones, dtype=np.int32)[:, None]
    tables = Tables(
        successor=successor.reshape(-1, len(ACTIONS)),
        reward=reward.reshape(-1, len(ACTIONS)),
        terminated=(delivered | struck).reshape(-1, len(ACTIONS)),
        mask=legal.reshape(-1, len(ACTIONS)).astype(np.int8),
        starts=_starts(shape[0], zones),
    )
    for table in tables:
        table.flags.writeable = False
    return tables


def _moves(city: City) -> dict[int, NDArray[np.int32]]:
    """Returns, for each move, the square it leads to from each square: (squares,) int32."""
    grid = np.arange(city.rows * city.cols, dtype=np.int32).reshape(city.rows, city.cols)
    south, north, east, west = (grid.copy() for _ in range(4))
    south[:-1], north[1:] = grid[1:], grid[:-1]
    east[:, :-1], west[:, 1:] = grid[:, 1:], grid[:, :-1]
    for row, col in city.walls:
        east[row, col], west[row, col + 1] = grid[row, col], grid[row, col + 1]
    return {action: target.reshape(-1) for action, target in enumerate((south, north, east, west))}


def _starts(squares: int, zones: int) -> NDArray[np.int64]:
    """Returns the states whose passenger waits somewhere other than the destination, in ascending order."""
    states = np.arange(squares * (zones + 1) * zones, dtype=np.int64).reshape(squares, zones + 1, zones)
    return states[:, ~np.eye(zones + 1, zones, dtype=bool) & (np.arange(zones + 1) < zones)[:, None]].reshape(-1)
