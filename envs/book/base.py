"""What the envs of the book share: `DrawnEnv` shows its states, and `TableEnv` also steps its own table."""

from __future__ import annotations

from bisect import bisect_right
from operator import index
from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from rlbench.envs.book.board import View
    from rlbench.envs.book.screen import TableScreen
    from rlbench.envs.tabular import TabularModel, TransitionView

PIXELS = ("human", "rgb_array")


class DrawnEnv(gym.Env[int, int]):
    """An env with Discrete observations and actions, whose states a view shows.

    Args:
        n_states: the number of observations.
        n_actions: the number of actions.
        view: how its states look.
        render_mode: one of `metadata["render_modes"]`, or None.

    Raises:
        UsageError: the render mode is unknown.
    """

    action_names: tuple[str, ...] = ()
    remembers = False  # whether an episode depends on earlier ones by more than `np_random`
    why_no_table: str | None = None  # where there is none that says all: "changes ..."
    metadata: dict[str, Any] = {  # noqa: RUF012  (as in Gymnasium)
        "render_modes": ["human", "rgb_array", "ansi"],
        "render_fps": 4,
    }

    def __init__(self, n_states: int, n_actions: int, view: View, render_mode: str | None) -> None:
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise UsageError(f"render_mode must be None, {', '.join(map(repr, modes))}, got {render_mode!r}")
        self.render_mode, self.view = render_mode, view
        # Gymnasium types the elements of a Discrete as NumPy integers, but a Python int is one too
        self.observation_space = cast("gym.Space[int]", spaces.Discrete(n_states))
        self.action_space = cast("gym.Space[int]", spaces.Discrete(n_actions))
        self.s: int | None = None
        self._screen: TableScreen | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_screen": None}  # a screen can be neither copied nor pickled

    def render(self) -> Any:
        """Returns the state: uint8 (height, width, 3) in "rgb_array", coloured text in "ansi", None in "human".

        Raises:
            ResetNeeded: called before the first reset.
        """
        if self.render_mode is None:
            gym.logger.warn(f"render() draws nothing without render_mode, one of {self.metadata['render_modes']}")
            return None
        if self.s is None:
            raise ResetNeeded("call reset() before render()")
        if self.render_mode == "ansi":
            return self.view.text(self.s)
        if self.render_mode == "rgb_array":
            return self._shown_by().pixels(self.s)
        self._show()
        return None

    def close(self) -> None:
        """Closes the window; the env stays usable."""
        if self._screen is not None:
            self._screen.close()

    def _checked(self, action: Any) -> int:
        """Returns an action as an int.

        Raises:
            ResetNeeded: called before the first reset.
            InvalidAction: it is not in the action space.
        """
        if self.s is None:
            raise ResetNeeded("call reset() before step()")
        last = int(self.action_space.n) - 1  # type: ignore[attr-defined]  # Discrete
        try:
            number = index(action)
        except TypeError:
            raise InvalidAction(f"action must be a whole number, 0 to {last}, got {action!r}") from None
        if not 0 <= number <= last:
            raise InvalidAction(f"action must be in 0 to {last}, got {number}")
        return number

    def _begin(self) -> None:
        """Shows the state after a reset."""
        if self.render_mode in PIXELS:
            self._shown_by().begin()
            self._show()

    def _follow(self, action: int, reward: float, *, terminated: bool) -> None:
        """Shows the state after a step."""
        if self.render_mode in PIXELS:
            name = self.action_names[action] if self.action_names else str(action)
            self._shown_by().take(name, reward, terminated=terminated)
            self._show()

    def _show(self) -> None:
        if self.render_mode == "human" and self.s is not None:
            self._shown_by().show(self.s, 1 / self.metadata["render_fps"])

    def _shown_by(self) -> TableScreen:
        if self._screen is None:
            from rlbench.envs.book.screen import TableScreen  # noqa: PLC0415  (pygame only when pixels are drawn)

            self._screen = TableScreen(self.view, type(self).__name__.removesuffix("Env"))
        return self._screen


class TableEnv(DrawnEnv):
    """An env that samples its own transition table, as Gymnasium's toy-text envs do.

    A reset draws one random number, and so does every step, even one with a single outcome. An action that a state does
    not allow leaves it as it was, with reward 0. `reset(options={"state": s})` starts in state s.

    Args:
        model: the table.
        view: how its states look.
        render_mode: one of `metadata["render_modes"]`, or None.

    Raises:
        UsageError: the render mode is unknown.
    """

    def __init__(self, model: TabularModel, view: View, render_mode: str | None) -> None:
        super().__init__(model.n_states, model.n_actions, view, render_mode)
        self.use(model, view)

    def use(self, model: TabularModel, view: View) -> None:
        """Goes on by another table of the same states and actions."""
        self._model, self.view = model, view
        self._view_table()
        if self._screen is not None:
            self._screen.look_at(view)

    def _view_table(self) -> None:
        # memoryviews: they yield Python numbers, four times faster than NumPy arrays
        model = self._model
        columns: Any = (model.offsets, model.cumulative, model.successor, model.reward, model.terminated)
        self._columns: tuple[Any, ...] = tuple(memoryview(column) for column in columns)
        self._starts = np.cumsum(model.initial).tolist()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_columns": ()}  # nor can a memoryview

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._view_table()

    @property
    def P(self) -> TransitionView:  # noqa: N802  (the name toy-text users expect)
        """The table in toy-text's form, as a view: P[s][a] = [(probability, next state, reward, terminated), ...]."""
        return self._model.P

    @property
    def initial_state_distrib(self) -> NDArray[np.float64]:
        """The probability of each state at a reset, shape (n_states,)."""
        return self._model.initial

    @property
    def allowed_actions(self) -> NDArray[np.bool_] | None:
        """The actions to choose from in each state, bool (n_states, n_actions); None for all."""
        return self._model.allowed

    def tabular_model(self) -> TabularModel:
        """Returns the complete dynamics as flat arrays."""
        return self._model

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Draws a start state, or takes `options["state"]`.

        Raises:
            UsageError: that is no state.
        """
        super().reset(seed=seed)
        asked = (options or {}).get("state")
        if asked is None:
            self.s = _first_above(self._starts, 0, len(self._starts), self.np_random.random())
        elif asked in self.observation_space:
            self.s = int(asked)
        else:
            raise UsageError(f"state must be in 0 to {self._model.n_states - 1}, got {asked!r}")
        self._begin()
        return self.s, self._info()

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Takes an action and draws what follows.

        Raises:
            ResetNeeded: called before the first reset.
            InvalidAction: the action is not in the action space.
        """
        action = self._checked(action)
        offsets, cumulative, successor, rewards, ends = self._columns
        pair = cast("int", self.s) * self._model.n_actions + action
        row = _first_above(cumulative, offsets[pair], offsets[pair + 1], self.np_random.random())
        self.s, reward, terminated = int(successor[row]), rewards[row], ends[row]
        self._follow(action, reward, terminated=terminated)
        return self.s, reward, terminated, False, self._info()

    def _info(self) -> dict[str, Any]:
        allowed = self._model.allowed
        return {} if allowed is None else {"action_mask": allowed[self.s].astype(np.int8)}


def _first_above(cumulative: Sequence[float], begin: int, end: int, draw: float) -> int:
    """Returns the first index in [begin, end) whose running sum exceeds the draw, else `begin`: categorical_sample."""
    found = bisect_right(cumulative, draw, begin, end)
    return begin if found == end else found
