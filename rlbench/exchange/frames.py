"""Runs and episodes as pandas data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.exchange.files import require
from rlbench.exchange.flat import flat_columns, singular

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd  # type: ignore[import-untyped, import-not-found, unused-ignore]  # stubs may be there
    from numpy.typing import NDArray

    from rlbench.store import Episode
    from rlbench.training import Run

    Columns = dict[str, NDArray[Any]]


def run_dataframe(run: Run) -> pd.DataFrame:
    """Returns the figures of a run, a row an episode: "episode", "return", "length", ...

    A figure of several numbers is spread over columns: "action_counts.0", "action_counts.1", ...

    Raises:
        UsageError: pandas is not installed.
    """
    pandas = require("pandas", "plots", "a data frame")
    columns: Columns = {"episode": np.arange(run.episodes)}
    for name, figure in run.figures.items():
        columns |= flat_columns(name, figure)
    return pandas.DataFrame(columns)


def episodes_dataframe(episodes: Iterable[Episode]) -> pd.DataFrame:
    """Returns the steps of episodes, a row each: "episode", "step", "observation", "action", "reward", ...

    An array is spread over columns ("observation.0", ...), a Dict observation has its parts in theirs
    ("observation/position"). The observation in which an episode ended is no step's: `episode.observations[-1]`.

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
