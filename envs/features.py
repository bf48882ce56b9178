"""Features: named, readable properties of an env's states, such as squares, passengers and physical quantities."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np

from rlbench.envs.actions import action_names
from rlbench.envs.cities import MOVES
from rlbench.envs.discretize import Centers, bin_counts, bins_of, inner_edges, n_bins, n_dimensions
from rlbench.envs.flattening import FlattenDiscrete, parts_of
from rlbench.envs.layouts import layout_of
from rlbench.envs.making import wrappers_of
from rlbench.envs.quantities import quantities_of
from rlbench.envs.transparent import found_by_class
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.envs.discretize import Bins
    from rlbench.envs.flattening import Part
    from rlbench.envs.layouts import Layout

CAB_NOTE = (
    "The goal is the waiting passenger, and once they are in the taxi their destination; rows are counted from the "
    "north and columns from the west, from 0."
)
SIDES = dict(zip(("south", "north", "east", "west"), MOVES.values(), strict=True))  # rows, columns


class Feature(NamedTuple):
    """A property of a state: a yes/no question or a quantity.

    Attributes:
        yes, no: the wording of the answers 1 and 0; empty for a quantity.
        name: of a quantity.
        edge: converts a threshold on the column that the tree sees to a value of the quantity, as text.
    """

    yes: str = ""
    no: str = ""
    name: str = ""
    edge: Callable[[float], str] = lambda threshold: f"{threshold:.3g}"

    @property
    def is_whole(self) -> bool:
        """Whether it is a quantity of whole numbers."""
        return self.edge is _whole

    def ask(self, threshold: float) -> tuple[str, bool]:
        """Returns a question and whether "yes" means values up to the threshold."""
        return (f"{self.yes}?", False) if self.yes else (f"{self.name} < {self.edge(threshold)}?", True)


class FeatureTable(NamedTuple):
    """The states of an env as rows of features."""

    rows: NDArray[np.float64]  # (n_states, n_features)
    features: tuple[Feature, ...]
    actions: tuple[str, ...]  # their names; empty if unknown
    note: str = ""  # explains the wording


def features_of(env: gym.Env[Any, Any]) -> FeatureTable:
    """Returns the states of an env with Discrete observations as rows of meaningful features.

    For SafeCab and Taxi: where the taxi is, whether it carries, where its goal is and what is next to it; for a grid:
    row and column; for bins: the binned quantities; for numbered parts: each part; else: the number of the observation.

    Raises:
        UsageError: the observations are not Discrete.
    """
    bins, layout, actions = bins_of(env), layout_of(env), action_names(env)
    if bins is not None:
        return _of_bins(bins, tuple(quantities_of(env, n_dimensions(bins))), actions)
    parts = _parts(env)
    if len(parts) > 1:
        return _of_parts(parts, _features_of(parts, env), actions)
    if layout is not None:
        return _of_trips(layout) if layout.is_trip else _of_grid(layout)
    n = int(getattr(env.observation_space, "n", 0))
    if not n:
        raise UsageError(f"{env} needs Discrete observations: only tabular policies can be explained")
    numbers = np.arange(n, dtype=np.float64)[:, None]
    return FeatureTable(numbers, (Feature(name="the observation", edge=_whole),), actions)


def _whole(threshold: float) -> str:
    return str(int(np.floor(threshold)) + 1)


PLACE = (Feature(name="the row", edge=_whole), Feature(name="the column", edge=_whole))


def _of_grid(layout: Layout) -> FeatureTable:
    states = layout.states[0, 0]
    rows = np.empty((states.size, 2))
    rows[states.reshape(-1)] = np.argwhere(np.ones(states.shape))
    return FeatureTable(rows, PLACE, layout.actions)


class _Cab(NamedTuple):
    """All states of a taxi, in columns of shape (n_states,)."""

    passenger: NDArray[np.int64]  # a zone; the number of zones: in the taxi
    destination: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]


def _of_trips(layout: Layout) -> FeatureTable:
    cab = _Cab(*(np.empty(layout.states.size, np.int64) for _ in range(4)))
    for part, places in zip(cab, np.indices(layout.states.shape), strict=True):
        part[layout.states.reshape(-1)] = places.reshape(-1)
    columns: list[tuple[Feature, NDArray[Any]]] = [*_about_the_goal(layout, cab), *_about_the_way(layout, cab)]
    columns += zip(PLACE, (cab.row, cab.column), strict=True)
    asked = [(feature, column) for feature, column in columns if len(np.unique(column)) > 1]  # the others are constant
    rows = np.stack([column for _, column in asked], axis=1).astype(np.float64)
    return FeatureTable(rows, tuple(feature for feature, _ in asked), layout.actions, CAB_NOTE)


def _about_the_goal(layout: Layout, cab: _Cab) -> Iterator[tuple[Feature, NDArray[Any]]]:
    """Yields whether the taxi carries and where its goal is: the waiting passenger, else the destination."""
    places = {letter: at for at, letter in layout.letters.items()}
    zones = np.array([places[name] for name in layout.col_names])
    carrying = cab.passenger == len(zones)
    target = np.where(carrying, cab.destination, np.minimum(cab.passenger, len(zones) - 1))
    down, right = zones[target, 0] - cab.row, zones[target, 1] - cab.column
    is_there = (down == 0) & (right == 0)
    yield Feature("carrying", "not carrying"), carrying
    yield Feature("at the waiting passenger", "no passenger waits here"), ~carrying & is_there
    yield Feature("carrying and at the destination", "nobody to drop off here"), carrying & is_there
    for side, (rows, columns) in SIDES.items():
        ahead = rows * down + columns * right > 0
        yield Feature(f"the goal is further {side}", f"the goal is not further {side}"), ahead
    yield Feature(name="rows to the goal", edge=_whole), np.abs(down)
    yield Feature(name="columns to the goal", edge=_whole), np.abs(right)
    for zone, name in enumerate(layout.col_names):
        yield Feature(f"the goal is {name}", f"the goal is not {name}"), target == zone


def _about_the_way(layout: Layout, cab: _Cab) -> Iterator[tuple[Feature, NDArray[Any]]]:
    """Yields the obstacles next to the taxi."""
    shape = layout.panel_shape
    hazard, wall = np.zeros(shape, bool), np.zeros(shape, bool)
    for place in layout.hazards:
        hazard[place] = True
    for place in layout.walls:
        wall[place] = True
    for side, (rows, columns) in SIDES.items():
        row, column = cab.row + rows, cab.column + columns
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        there = hazard[row.clip(0, shape[0] - 1), column.clip(0, shape[1] - 1)] & inside
        yield Feature(f"an anomaly is {side}", f"no anomaly is {side}"), there
    behind = wall[cab.row, (cab.column - 1).clip(0)] & (cab.column > 0)
    yield Feature("a wall is east", "no wall is east"), wall[cab.row, cab.column]
    yield Feature("a wall is west", "no wall is west"), behind


CARDS = (  # of Blackjack
    Feature(name="the player's sum", edge=_whole),
    Feature(name="the dealer's card", edge=_whole),
    Feature("a usable ace", "no usable ace"),
)
PARTS = {("gymnasium.envs.toy_text.blackjack", "BlackjackEnv"): CARDS}


def _features_of(parts: Sequence[Part], env: gym.Env[Any, Any]) -> tuple[Feature, ...]:
    """Returns the features of the parts of an observation, of an env known here or by their keys."""
    known = found_by_class(PARTS, env) or ()
    return known if len(known) == len(parts) else tuple(map(_feature_of, parts))


def _of_bins(bins: Bins, names: Sequence[str], actions: tuple[str, ...]) -> FeatureTable:
    if isinstance(bins, Centers):
        return FeatureTable(bins.centers, tuple(Feature(name=name) for name in names), actions)
    places = np.stack(np.unravel_index(np.arange(n_bins(bins)), tuple(bin_counts(bins))), axis=1)
    features = tuple(Feature(name=name, edge=_edge_of(inner_edges(bins, i))) for i, name in enumerate(names))
    return FeatureTable(places.astype(np.float64), features, actions)


def _parts(env: gym.Env[Any, Any]) -> list[Part]:
    """Returns the parts of an observation that is their number; none if it is not."""
    observing = (layer for layer in wrappers_of(env) if isinstance(layer, gym.ObservationWrapper))
    outermost = next(observing, None)
    return list(parts_of(outermost.env.observation_space)) if isinstance(outermost, FlattenDiscrete) else []


def _feature_of(part: Part) -> Feature:
    return Feature(name=f"part {part.name}" if part.name[:1].isdigit() else part.name, edge=_whole)


def _of_parts(parts: Sequence[Part], features: Sequence[Feature], actions: tuple[str, ...]) -> FeatureTable:
    sizes = [part.size for part in parts]
    places = np.stack(np.unravel_index(np.arange(math.prod(sizes)), sizes), axis=1)
    values = places + [part.start for part in parts]
    return FeatureTable(values.astype(np.float64), tuple(features), actions)


def _edge_of(edges: Sequence[float]) -> Callable[[float], str]:
    """Returns a function from a threshold between two bins to the edge between them, as text."""
    return lambda threshold: f"{edges[int(np.floor(threshold))]:.3g}"
