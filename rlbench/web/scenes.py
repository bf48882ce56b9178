"""An episode as its page draws it: what the whole of it needs once, then spans of steps, in what JSON holds."""

from __future__ import annotations

import math
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from rlbench.envs.actions import action_names
from rlbench.envs.cartpole import DIMENSIONS, is_cart_pole
from rlbench.envs.layouts import layout_of
from rlbench.envs.making import id_of
from rlbench.errors import RlbenchError, UsageError
from rlbench.plots.retracing import values_then
from rlbench.store.records import row_of
from rlbench.viewer.again import begin_stored
from rlbench.viewer.installed import env_or_reason, fits
from rlbench.viewer.quantities import quantities_of
from rlbench.viewer.rides import pace_of, table_of
from rlbench.viewer.value_maps import value_map
from rlbench.web.reels import Reel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.envs.layouts import Layout
    from rlbench.plots.retracing import Then
    from rlbench.store import Episode
    from rlbench.training import Run

SPAN = 500  # steps that are sent at once
BARS = 1000  # of the timeline: longer episodes are summed up, and no extreme is lost
LONGEST = 200  # characters of an observation
DIGITS = 7  # of an action value
RETRACED = 200_000_000  # steps whose updates are repeated: some 20 s
DRAWING = Lock()  # an env and pygame are used by one thread at a time


class World:
    """What the episodes of a run have in common: its env, where the states lie, what was learnt.

    Attributes:
        run: the run.
        env: its env as it is installed here, or None.
        why: why there is none.
        layout: where its states lie, if that is known.
        names: of the actions; empty if unknown.
        table: the learnt table, (n_states, n_actions), or None.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.env, self.why = env_or_reason(run)
        self.layout: Layout | None = None if self.env is None else layout_of(self.env)
        self.names = action_names(self.env)
        self.table: NDArray[Any] | None = _attempt(lambda: table_of(run))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(n_states,) where each state lies: counted over the squares of the first panel, then of the next."""
        states = np.zeros(0, np.int64) if self.layout is None else self.layout.states.ravel()
        places = np.full(int(states.max(initial=-1)) + 1, -1)
        places[states] = np.arange(len(states))
        return places

    def panel(self, number: int, table: NDArray[Any] | None) -> dict[str, Any] | None:
        """Returns the values and the best actions of a panel by a table; None if nobody knows them, or the panel."""
        layout = self.layout
        if layout is None or table is None or len(table) != layout.states.size:
            return None
        columns = layout.states.shape[1]
        if not 0 <= number < layout.states.shape[0] * columns:
            return None
        found = value_map(table, layout, divmod(number, columns))
        known = found.low <= found.high
        return {
            "values": rounded(found.values.ravel()),
            "shares": rounded(found.shares.ravel(), 3),
            "best": found.best.ravel().tolist(),
            "low": plain(found.low) if known else None,
            "high": plain(found.high) if known else None,
        }


class Scene:
    """An episode, ready to be drawn.

    Attributes:
        world: what it has in common with the others.
        episode: the episode.
        kind: "map" or "cart", which the page draws from numbers; "frames", which the env draws; or "table".
        why: why it is a table.
    """

    def __init__(self, world: World, episode: Episode) -> None:
        self.world, self.episode = world, episode
        self.cart: NDArray[np.float64] | None = None
        self.kind, self.why = self._kind()
        self.totals = np.concatenate([[0.0], np.cumsum(episode.rewards)])
        self._reel: Reel | None = None

    def _kind(self) -> tuple[str, str]:
        env, layout = self.world.env, self.world.layout
        if env is None:
            return "table", self.world.why
        if not fits(env, self.episode):
            return "table", f"its observations are unknown to {id_of(env)}"
        if layout is not None and not layout.inside:
            return "map", ""
        if is_cart_pole(env):
            return self._carted(env)
        if "rgb_array" in env.metadata.get("render_modes", ()):
            return "frames", ""
        return "table", f"{id_of(env)} draws no pictures"

    def _carted(self, env: gym.Env[Any, Any]) -> tuple[str, str]:
        try:
            with DRAWING:
                found = quantities_of(env, self.episode, self._begin)
        except RlbenchError as error:
            return "table", str(error)
        if found is None:
            return "table", "played again, the episode differs from what is stored"
        self.cart = found.values
        return "cart", ""

    def _begin(self, env: gym.Env[Any, Any]) -> Any:
        return begin_stored(self.world.run, env, self.episode.index)

    def head(self) -> dict[str, Any]:
        """Returns what the page needs once, with the first steps."""
        layout, table = self.world.layout, self.world.table
        return {
            "length": len(self.episode),
            "span": SPAN,
            "kind": self.kind,
            "why": self.why,
            "end": self.episode.end,
            "pace": pace_of(self.world.env),
            "actions": list(self.world.names),
            "layout": None if layout is None or self.kind == "table" else _told(layout),
            "cart": self._track(),
            "has_values": table is not None and _is_index(self.episode.observations),
            "has_then": table is not None and self.world.run.agent_name == "q-learning",
            "timeline": timeline(self.episode),
            "steps": self.steps(0, SPAN),
        }

    def _track(self) -> dict[str, Any] | None:
        if self.cart is None or self.world.env is None:
            return None
        world: Any = self.world.env.unwrapped
        sizes = {"limit": world.x_threshold, "lean": world.theta_threshold_radians, "pole": 2 * world.length}
        return {**{name: plain(float(size)) for name, size in sizes.items()}, "names": list(DIMENSIONS.items())}

    @cached_property
    def then(self) -> Then:
        """The action values as they were while the episode was played; UsageError if they are not known."""
        run = self.world.run
        if run.timesteps > RETRACED:
            raise UsageError(f"the run has {run.timesteps:,} steps: values by then are worked out up to {RETRACED:,}")
        return values_then(run, self.episode.index)

    def panel(self, number: int, *, then: bool = False) -> dict[str, Any] | None:
        """Returns the values of a panel: as they were in the end, or when the episode began; None if unknown."""
        return self.world.panel(number, self.then.table if then else self.world.table)

    def steps(self, start: int, stop: int, *, then: bool = False) -> dict[str, Any]:
        """Returns the steps from `start` to before `stop`, 0 to T: each with what led to it, and where it stands.

        Args:
            start: the first.
            stop: one after the last.
            then: the action values as they were at each step, not in the end.
        """
        episode, stop = self.episode, min(stop, len(self.episode) + 1)
        seen = range(start, stop)
        came = range(max(start, 1) - 1, stop - 1)  # the actions that led to them; the start has none
        none = [None] * (len(seen) - len(came))
        explored = None if episode.explored is None else [*none, *episode.explored[came.start : came.stop].tolist()]
        return {
            "from": start,
            "observation": [said(row_of(episode.observations, step)) for step in seen],
            "action": [*none, *(said(row_of(episode.actions, step)) for step in came)],
            "reward": [*none, *map(plain, episode.rewards[came.start : came.stop].tolist())],
            "total": list(map(plain, self.totals[start:stop].tolist())),
            "explored": explored,
            "place": self._places(start, stop),
            "cart": None if self.cart is None else [rounded(row) for row in self.cart[start:stop]],
            "values": list(map(rounded, self.then.values[start:stop])) if then else self._values(start, stop),
        }

    def _places(self, start: int, stop: int) -> list[int] | None:
        if self.world.layout is None or self.kind == "table":
            return None
        return self.world.places[np.asarray(self.episode.observations)[start:stop]].tolist()  # type: ignore[no-any-return]

    def _values(self, start: int, stop: int) -> list[list[Any] | None] | None:
        table, observations = self.world.table, self.episode.observations
        if table is None or not _is_index(observations):
            return None
        states = np.asarray(observations)[start:stop].tolist()
        return [rounded(table[state]) if 0 <= state < len(table) else None for state in states]

    def picture(self, step: int) -> bytes:
        """Returns the env's own picture of a step, as PNG.

        Raises:
            StoreError: the env cannot draw it.
            UsageError: the page draws it itself, or a package is missing that draws.
        """
        if self.kind != "frames":
            raise UsageError("this episode has no pictures of the env's own")
        with DRAWING:
            if self._reel is None:
                self._reel = Reel(self.world.run.make_env, self.episode, self._begin)
            return self._reel.picture(step)


def timeline(episode: Episode) -> dict[str, Any]:
    """Returns the lowest and the highest reward in each of at most BARS parts of an episode, and the share explored."""
    length = len(episode)
    bars = min(length, BARS)
    if not bars:
        return {"low": [], "high": [], "explored": None}
    starts = np.arange(bars) * length // bars
    low, high = np.minimum.reduceat(episode.rewards, starts), np.maximum.reduceat(episode.rewards, starts)
    explored = None
    if episode.explored is not None:
        explored = rounded(np.add.reduceat(episode.explored.astype(float), starts) / np.diff([*starts, length]), 3)
    return {"low": list(map(plain, low.tolist())), "high": list(map(plain, high.tolist())), "explored": explored}


def _told(layout: Layout) -> dict[str, Any]:
    """Returns a layout without the states."""
    rows, cols = layout.panel_shape
    return {
        "rows": rows,
        "cols": cols,
        "panels": list(layout.states.shape[:2]),
        "row_names": list(layout.row_names),
        "col_names": list(layout.col_names),
        "row_title": layout.row_title,
        "col_title": layout.col_title,
        "letters": [[*at, letter] for at, letter in layout.letters.items()],
        "hazards": [list(at) for at in layout.hazards],
        "blocks": [list(at) for at in layout.blocks],
        "walls": [list(at) for at in layout.walls],
        "arrows": {str(action): list(way) for action, way in layout.arrows.items()},
        "inside": layout.inside,
        "is_trip": layout.is_trip,
    }


def _is_index(observations: Any) -> bool:
    return not isinstance(observations, dict) and np.ndim(observations) == 1 and observations.dtype.kind in "iu"


def said(value: Any) -> Any:
    """Returns an observation or action as a whole number, or as a text of bounded length."""
    if type(value) is int and abs(value) < 2**53:  # what JavaScript holds
        return value
    text = str(_shortened(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _shortened(value: Any) -> Any:
    """Returns the floats in a value with six digits."""
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_shortened(part) for part in value[:LONGEST]]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def rounded(row: NDArray[Any], digits: int = DIGITS) -> list[Any]:
    """Returns numbers with this many digits."""
    return [plain(float(f"{value:.{digits}g}")) for value in np.asarray(row, np.float64).tolist()]


def plain(value: float) -> float | str:
    """Returns a number; as text if JSON has no such number."""
    return value if math.isfinite(value) else str(value)


def _attempt(make: Callable[[], Any]) -> Any:
    """Returns what `make` returns; None if it cannot be made."""
    try:
        return make()
    except (RlbenchError, gym.error.Error, ImportError):
        return None
