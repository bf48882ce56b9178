"""Runs and episodes as flat columns and as pandas DataFrames."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.files import require

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]  # stubs may be there
    from numpy.typing import NDArray

    from rlbench.store.records import Episode

    Array = NDArray[Any]
    Columns = dict[str, Array]


SINGULAR = {"observations": "observation", "actions": "action", "rewards": "reward"}
WIDEST = 2**12  # the most columns that one array is spread over


class Column(NamedTuple):
    """The type of a column."""

    dtype: str  # as NumPy writes it, with the byte order: "<f4"
    shape: tuple[int, ...]  # of one row

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return math.prod(self.shape)


def singular(column: str) -> str:
    """Returns a store's column name in the singular: "observations/x" becomes "observation/x"."""
    head, slash, part = column.partition("/")
    return SINGULAR.get(head, head) + slash + part


def spread(name: str, column: Column) -> list[str]:
    """Returns the names of the flat columns for an array column.

    Raises:
        UsageError: there are none, or more than WIDEST.
    """
    if not 0 < column.width <= WIDEST:
        raise UsageError(
            f"{name!r} has {column.width} numbers per row, columns take 1 to {WIDEST}: choose json, hdf5 or minari"
        )
    return [name] if not column.shape else [f"{name}.{i}" for i in range(column.width)]


def flat_columns(name: str, array: Array) -> dict[str, Array]:
    """Returns an array (rows, ...) as flat columns."""
    names = spread(name, Column(array.dtype.str, array.shape[1:]))
    return dict(zip(names, array.reshape(len(array), len(names)).T, strict=True))


def figures_dataframe(figures: Columns) -> pd.DataFrame:
    """Returns the figures of a run's episodes, one row per episode: "episode", "return", "length", ...

    A figure of several numbers is spread over columns: "action_counts.0", "action_counts.1", ...

    Raises:
        UsageError: pandas is not installed.
    """
    pandas = require("pandas", "plots", "a data frame")
    columns: Columns = {"episode": np.arange(len(figures["return"]))}
    for name, figure in figures.items():
        columns |= flat_columns(name, figure)
    return pandas.DataFrame(columns)


def episodes_dataframe(episodes: Iterable[Episode]) -> pd.DataFrame:
    """Returns the steps of episodes, one row each: "episode", "step", "observation", "action", "reward", ...

    An array is spread over columns ("observation.0", ...); each part of a Dict observation has its own
    ("observation/position"). An episode's final observation, `episode.observations[-1]`, is left out: no step follows.

    Raises:
        UsageError: pandas is not installed.
    """
    pandas = require("pandas", "plots", "a data frame")
    tables = list(map(_steps, episodes))
    if not tables:
        return pandas.DataFrame({name: [] for name in ("episode", "step", "reward", "terminated", "truncated")})
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return pandas.DataFrame(columns)


def _steps(episode: Episode) -> Columns:
    length = len(episode)
    last = np.arange(length) == length - 1
    return {
        "episode": np.full(length, episode.index),
        "step": np.arange(length),
        **_tree("observations", episode.observations, length),
        **_tree("actions", episode.actions, length),
        "reward": episode.rewards,
        "terminated": last & episode.terminated,
        "truncated": last & episode.truncated,
        **({} if episode.explored is None else {"explored": episode.explored}),
    }


def _tree(name: str, values: NDArray[Any] | dict[str, NDArray[Any]], length: int) -> Columns:
    found = (
        {f"{name}/{part}": column for part, column in values.items()} if isinstance(values, dict) else {name: values}
    )
    columns: Columns = {}
    for key, column in found.items():
        columns |= flat_columns(singular(key), column[:length])
    return columns
