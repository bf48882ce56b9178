"""Bins as a user asks for them, fitted to observations: they make Box observations fit for a table."""

from __future__ import annotations

import json
import math
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import gymnasium as gym
import numpy as np

from rlbench.envs.cartpole import PRESETS, is_cart_pole
from rlbench.envs.discretize import (
    UNBOUNDED,
    Centers,
    CutPoints,
    Discretize,
    UniformBins,
    bin_counts,
    bins_of,
    inner_edges,
    make_bins,
    n_bins,
    n_dimensions,
)
from rlbench.envs.making import make_from_spec, spec_json
from rlbench.envs.wrapping import as_box, wrap
from rlbench.errors import UsageError
from rlbench.training.parents import bins_of_run, same_bins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from rlbench.envs.discretize import Bins
    from rlbench.training.run import Run

    Rows = NDArray[np.float64]
    Space = gym.spaces.Space[Any]

Asked: TypeAlias = "str | int | Path | Sequence[int] | Mapping[str, Any]"
ARGUMENTS = ("bins", "low", "high", "cuts", "centers", "scale")  # of Discretize
FORMS = "6,6,12,12 (bins of each dimension), kmeans:50, quantile:8, or a JSON file with the arguments of Discretize"
CART_POLE = {"low": list(PRESETS["book"].low), "high": list(PRESETS["book"].high)}  # its space is far larger
SHOWN = 80  # characters of what was given, in an error
SAMPLE = 10_000  # steps of a random policy, where there are no other observations


class Binning(NamedTuple):
    """A request for bins.

    Attributes:
        kind: "counts", "kmeans", "quantile", or "given": nothing is left to fit.
        value: the counts, k, or the arguments of Discretize.
    """

    kind: str
    value: Any


def read_bins(asked: Asked) -> Binning:
    """Reads a request for bins.

    Args:
        asked: a number of bins for each dimension, or one for all ("6,6,12,12", [6, 6, 12, 12], 8); "kmeans:K" or
            "quantile:K"; a JSON file with the arguments of Discretize, or a dict of them.

    Raises:
        UsageError: it is something else.
    """
    found = _of_text(str(asked).strip()) if isinstance(asked, str | Path) else asked
    if isinstance(found, Binning):
        return found
    if isinstance(found, int | list | tuple):
        return Binning("counts", found)
    if not (isinstance(found, dict) and found and found.keys() <= set(ARGUMENTS)):
        raise UsageError(f"bins must be {FORMS}, got {str(found)[:SHOWN]}")
    return Binning("counts", found["bins"]) if found.keys() == {"bins"} else Binning("given", found)


def _of_text(text: str) -> Any:
    """Returns what a text asks for: a Binning, counts, or its JSON, or that of the file which it names."""
    kind, _, count = text.partition(":")
    if kind in {"kmeans", "quantile"} and count.isascii() and count.isdigit() and int(count) > 0:
        return Binning(kind, int(count))
    numbers = [part.strip() for part in text.split(",")]
    if all(number.isascii() and number.isdigit() for number in numbers):
        return int(text) if len(numbers) == 1 else [int(number) for number in numbers]
    try:
        return json.loads(text if text.startswith("{") else Path(text).read_text(encoding="utf-8"))
    except OSError:
        raise UsageError(f"bins must be {FORMS}, got {text!r}, which is no file either") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{text[:SHOWN]} is not JSON ({error}): expected the arguments of Discretize") from None


def binned(env: gym.Env[Any, Any], asked: Asked, observed: Callable[[], Rows] | None = None) -> gym.Env[Any, Any]:
    """Returns an env whose observations are the numbers of bins; a Dict or Tuple is flattened first.

    Args:
        env: with Box observations.
        asked: see `read_bins`.
        observed: returns the observations (n, d) that bins are fitted on; 10,000 steps of a random policy by default.

    Raises:
        UsageError: the bins do not fit the observations.
    """
    flat = as_box(env)
    reach = CART_POLE if is_cart_pole(flat) else None
    return Discretize(flat, **fitted(asked, flat.observation_space, observed or partial(_random_walk, flat), reach))


def fitted(
    asked: Asked, space: Space, observed: Callable[[], Rows], reach: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the arguments of Discretize, all of them plain numbers, for what was asked for.

    Args:
        asked: see `read_bins`.
        space: of the observations.
        observed: returns observations (n, d) to fit bins on; called only if that is needed.
        reach: the lowest and highest cut of each dimension, where they are known.
    """
    binning = read_bins(asked)
    if binning.kind == "given":
        return dict(binning.value)
    if binning.kind == "counts":
        size = math.prod(space.shape or ())
        each = [binning.value] * size if isinstance(binning.value, int) else list(binning.value)
        return {"bins": each, **(reach or _reach(space, observed))}
    rows = _finite(observed())
    if binning.kind == "quantile":
        shares = np.arange(1, binning.value) / binning.value
        return {"cuts": [np.unique(np.quantile(column, shares)).tolist() for column in rows.T]}
    return _centers(rows, binning.value)


def _centers(rows: Rows, k: int) -> dict[str, Any]:
    from rlbench.models import KMeans  # noqa: PLC0415  (scikit-learn's base classes, only for such bins)

    if k > len(rows):
        raise UsageError(f"kmeans:{k} needs as many observations, there are {len(rows):,}")
    scale = rows.std(axis=0)
    scale[scale == 0] = 1.0
    centers = KMeans(k, random_state=0).fit(rows / scale).cluster_centers_ * scale
    return {"centers": centers.tolist(), "scale": scale.tolist()}


def _reach(space: Space, observed: Callable[[], Rows]) -> dict[str, Any]:
    """Returns the lowest and highest cut of each dimension: the bounds of the space, else of the observations."""
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (space.low, space.high))  # type: ignore[attr-defined]
    unbounded = (low <= -UNBOUNDED) | (high >= UNBOUNDED)
    if unbounded.any():
        rows = _finite(observed())
        low, high = np.where(unbounded, rows.min(axis=0), low), np.where(unbounded, rows.max(axis=0), high)
        high = np.where(high > low, high, low + 1.0)  # of a dimension that never changed
    return {"low": low.tolist(), "high": high.tolist()}


def _finite(rows: Rows) -> Rows:
    kept = rows[np.isfinite(rows).all(axis=1)]
    if not len(kept):
        raise UsageError("there are no finite observations to fit bins on: give low and high, or cuts")
    return kept


def _random_walk(env: gym.Env[Any, Any]) -> Rows:
    """Returns what a random policy observes, from seed 0, in another env of the same spec."""
    spec = spec_json(env)
    if spec is None:
        raise UsageError("bins cannot be fitted on an env object without a spec: give low and high, or cuts")
    rows: list[NDArray[np.float64]] = []
    with closing(make_from_spec(spec, trust=True)) as twin:
        twin.action_space.seed(0)
        observation, ended, seed = None, True, 0
        while len(rows) < SAMPLE:
            if ended:
                observation, ended = twin.reset(seed=seed if not rows else None)[0], False
            else:
                observation, _, terminated, truncated, _ = twin.step(twin.action_space.sample())
                ended = terminated or truncated
            rows.append(np.asarray(observation, np.float64).ravel())
    return np.array(rows)


def in_bins(
    env: gym.Env[Any, Any],
    asked: Asked | None,
    usual: Asked | None = None,
    parent: Run | None = None,
    observed: Callable[[], Rows] | None = None,
) -> gym.Env[Any, Any]:
    """Puts an env in the bins that were asked for, else in those that a parent learnt in, else in its usual ones.

    Args:
        env: what the bins go round; one whose observations are no Box stays as it is if none were asked for.
        asked: see `read_bins`.
        usual: of the env's preset.
        parent: the run whose values are taken over.
        observed: see `binned`.

    Raises:
        UsageError: the parent learnt in other bins.
    """
    is_box = isinstance(env.observation_space, gym.spaces.Box)
    if parent is not None:
        learnt = bins_of_run(parent)
        if asked is not None:
            _check_agreement(asked, learnt, parent)
        if learnt is not None:
            return _in_learnt_bins(env, learnt, parent)
    wanted = usual if asked is None and is_box else asked
    return env if wanted is None else binned(env, wanted, observed)


def in_more(run: Run, wrappers: Sequence[str], bins: Asked | None, **extra: Any) -> gym.Env[Any, Any]:
    """Makes the env of a run with more wrappers around it.

    Args:
        run: whose env, in the bins that it learnt in.
        wrappers: see `rlbench.envs.wrapping.wrap`.
        bins: refused unless they are those that it learnt in.
        extra: further arguments of the env.
    """
    return in_bins(wrap(run.make_env(**extra), wrappers), bins, None, run)


def _in_learnt_bins(env: gym.Env[Any, Any], learnt: Bins, parent: Run) -> gym.Env[Any, Any]:
    if isinstance(env.observation_space, gym.spaces.Box):
        return binned(env, arguments_of(learnt))
    if not same_bins(bins_of(env), learnt):
        raise UsageError(f"run {parent.id} learnt in other bins than those of this env")
    return env


def arguments_of(bins: Bins) -> dict[str, Any]:
    """Returns the arguments of Discretize that make these bins, as plain numbers."""
    if isinstance(bins, Centers):
        return {"centers": bins.centers.tolist(), "scale": bins.scale.tolist()}
    if isinstance(bins, CutPoints):
        return {"cuts": [inner_edges(bins, i) for i in range(n_dimensions(bins))]}
    return {"bins": bins.counts.tolist(), "low": bins.low.tolist(), "high": bins.high.tolist()}


def _check_agreement(asked: Asked, learnt: Bins | None, parent: Run) -> None:
    """Refuses bins other than those in which a parent learnt: its values would belong to other states."""
    if learnt is None or not _agrees(read_bins(asked), learnt):
        had = "no bins" if learnt is None else f"{n_bins(learnt):,} other bins"
        raise UsageError(f"run {parent.id} learnt in {had}, not in {asked}: leave the bins out to take over its own")


def _agrees(binning: Binning, bins: Bins) -> bool:
    if binning.kind == "kmeans":
        return isinstance(bins, Centers) and n_bins(bins) == binning.value
    if binning.kind == "quantile":
        return isinstance(bins, CutPoints) and int(bin_counts(bins).max()) == binning.value
    if binning.kind == "counts":
        counts = np.ravel(binning.value)
        is_shaped = isinstance(bins, UniformBins) and counts.size in {1, n_dimensions(bins)}
        return is_shaped and bool((bin_counts(bins) == counts).all())
    space = gym.spaces.Box(-np.inf, np.inf, (n_dimensions(bins),))
    return same_bins(make_bins(space, **binning.value), bins)
