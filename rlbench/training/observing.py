"""Stored steps as a table sees them: observations are numbers already or put in bins, with or without the env."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np

from rlbench.agents.base import restrict, sizes_of
from rlbench.envs.discretize import Discretize, bin_indices, bins_of, make_bins, n_bins
from rlbench.envs.flattening import FlattenDiscrete, flattened, numbering
from rlbench.envs.making import spec_json, wrappers_of
from rlbench.envs.wrapping import wrap
from rlbench.errors import StoreError, UsageError
from rlbench.store.columns import Layout, check_columns, parts, unflatten
from rlbench.store.records import has_last_row
from rlbench.training.binning import arguments_of, fitted, in_bins
from rlbench.training.code import check_same_code
from rlbench.training.stored import chunks_with_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.envs.discretize import Bins
    from rlbench.store import EpisodeChunk
    from rlbench.store.config import EnvConfig
    from rlbench.training.binning import Asked
    from rlbench.training.run import Run

    Space = gym.spaces.Space[Any]
    Steps = Mapping[str, NDArray[Any]]

# wrappers that see one observation or one reward at a time
ONE_BY_ONE = (gym.wrappers.TransformObservation, gym.wrappers.TransformReward, Discretize, FlattenDiscrete)
MOST_ROWS = 100_000  # stored observations that bins are fitted on; of more, evenly spaced ones
NEEDED = "needs Discrete observations: give bins=, a number for each dimension ('6,6,12,12'), kmeans:K or quantile:K"


def rows_of(steps: Steps) -> NDArray[np.float64]:
    """Returns the observations of step columns as rows of numbers, (n, d)."""
    return np.asarray(steps["observations"], np.float64).reshape(len(steps["observations"]), -1)


class Sight(NamedTuple):
    """How stored steps become rows of a table.

    Attributes:
        env: what the record of a run that learns from them says of its env.
        n_states, n_actions: the size of the table.
        numbered: turns step columns into those that a table can index with.
        restrict: restricts an agent to the actions that the env allows.
    """

    env: EnvConfig
    n_states: int
    n_actions: int
    numbered: Callable[[Steps], Steps] = lambda steps: steps
    restrict: Callable[[Agent], None] = lambda _: None

    def chunks(self, run: Run) -> Iterator[EpisodeChunk]:
        """Reads the chunks of a run as the table sees them."""
        for chunk in chunks_with_steps(run):
            yield replace(chunk, steps=self.numbered(chunk.steps or {}))


def sight_of(runs: Sequence[Run], asked: Asked | None, usual: Asked | None, wrappers: Sequence[str] = ()) -> Sight:
    """Returns how the steps of runs of one env become rows of a table.

    Args:
        runs: which; bins are fitted on all of their observations.
        asked: the bins that were asked for.
        usual: those of the env's preset.
        wrappers: through which the steps are seen; see `rlbench.envs.wrapping.wrap`.

    Raises:
        UsageError: bins are needed and there are none, or the bins or wrappers do not fit the steps.
    """
    config = runs[0].record.config.env
    try:
        env = runs[0].make_same_env()
    except (StoreError, gym.error.Error, ImportError):
        if wrappers or (config.spec is not None and config.id in gym.registry):  # registered, but not as the spec asks
            raise
        return _by_steps(runs, config, asked if asked is not None else usual)
    with closing(env):
        for run in runs[1:]:
            check_same_code(run.record, env)
        if not wrappers:
            return _by_env(runs, config, env, asked, usual)
        outer = wrap(env, wrappers)
        through = _seen_through(env, outer)
        sight = _by_env(runs, replace(config, spec=spec_json(outer)), outer, asked, usual, through)
        return sight._replace(numbered=lambda steps: sight.numbered(through(steps)))


def _seen_through(env: gym.Env[Any, Any], outer: gym.Env[Any, Any]) -> Callable[[Steps], Steps]:
    """Returns how stored steps of an env look through the wrappers around it.

    Raises:
        UsageError: one of them needs more than a single observation or reward, or changes the actions.
    """
    layers = list(takewhile(lambda layer: layer is not env, wrappers_of(outer)))[::-1]
    for layer in layers:
        if not isinstance(layer, ONE_BY_ONE) or layer.action_space != env.action_space:
            raise UsageError(
                f"{type(layer).__name__} cannot be put around stored steps, only what changes each observation or each "
                "reward by itself: record or train in it"
            )
    observe = [layer.observation for layer in layers if isinstance(layer, gym.ObservationWrapper)]
    reward = [layer.reward for layer in layers if isinstance(layer, gym.RewardWrapper)]
    layout = Layout(outer.observation_space, "observations")
    first = parts(env.observation_space, "observations")[0].name

    def seen(steps: Steps) -> Steps:
        check_columns(env.observation_space, steps, "observations")
        stored = (unflatten(env.observation_space, steps, "observations", i) for i in range(len(steps[first])))
        rows = [layout.copy(_through(observe, row)) for row in stored]
        others = {name: column for name, column in steps.items() if not has_last_row(name)}
        rewards = np.array([_through(reward, value) for value in steps["rewards"].tolist()], np.float64)
        return {**others, "rewards": rewards, **layout.columns(rows)}

    return seen


def _through(functions: Iterable[Callable[[Any], Any]], value: Any) -> Any:
    for function in functions:
        value = function(value)
    return value


def _by_env(
    runs: Sequence[Run],
    config: EnvConfig,
    env: gym.Env[Any, Any],
    asked: Asked | None,
    usual: Asked | None,
    through: Callable[[Steps], Steps] = lambda steps: steps,
) -> Sight:
    """Returns how steps become rows of a table, as `env` gives them; `through` makes them so from stored ones."""

    def rows(steps: Steps) -> NDArray[np.float64]:
        check_columns(env.observation_space, steps, "observations")
        columns = parts(env.observation_space, "observations")
        return np.concatenate([_flat(part.space, steps[part.name]) for part in columns], axis=1)

    seen = in_bins(env, asked, usual, observed=lambda: _sample(runs, lambda steps: rows(through(steps))))
    table = flattened(seen)
    if table is env:
        return Sight(config, *sizes_of(env, "retrain"), restrict=partial(restrict, env=env))
    sight = Sight(replace(config, spec=spec_json(table)), *sizes_of(table, "retrain"))
    bins = bins_of(seen)
    if bins is None:
        return sight._replace(numbered=partial(_numbered, env.observation_space, env.action_space))
    return sight._replace(numbered=lambda steps: _in_bins(bins, rows, steps))


def _in_bins(bins: Bins, rows: Callable[[Steps], NDArray[np.float64]], steps: Steps) -> Steps:
    others = {name: column for name, column in steps.items() if not has_last_row(name)}
    return {**others, "observations": bin_indices(bins, rows(steps))}


def _numbered(observations: Space, actions: Space, steps: Steps) -> Steps:
    """Returns step columns with the values of finite spaces numbered as FlattenDiscrete does."""
    found = {
        "observations": _numbers(observations, steps, "observations"),
        "actions": _numbers(actions, steps, "actions"),
    }
    return {**{name: column for name, column in steps.items() if name.partition("/")[0] not in found}, **found}


def _numbers(space: Space, steps: Steps, name: str) -> NDArray[np.int64]:
    encode = numbering(space).encode
    check_columns(space, steps, name)
    count = len(steps[parts(space, name)[0].name])
    return np.array([encode(unflatten(space, steps, name, i)) for i in range(count)], np.int64)


def _by_steps(runs: Sequence[Run], config: EnvConfig, asked: Asked | None) -> Sight:
    first = next((chunk.steps for run in runs for chunk in chunks_with_steps(run)), None) or {}
    column = first.get("observations")
    n_states, n_actions = _sizes(runs)
    if column is None:
        raise UsageError(
            f"run {runs[0].id} stores observations in parts: they need its env {runs[0].env_id}, installed here"
        )
    if asked is None and column.dtype.kind == "f":
        raise UsageError(f"run {runs[0].id} {NEEDED}")
    if asked is None:
        return Sight(config, n_states, n_actions)
    space = gym.spaces.Box(-np.inf, np.inf, column.shape[1:])
    bins = make_bins(space, **fitted(asked, space, lambda: _sample(runs, rows_of)))
    seen = Sight(replace(config, bins=arguments_of(bins)), n_bins(bins), n_actions)
    return seen._replace(numbered=lambda steps: _in_bins(bins, rows_of, steps))


def _sizes(runs: Sequence[Run]) -> tuple[int, int]:
    """Returns the number of states and actions of runs, from their records, else from their steps."""
    agent = runs[0].record.config.agent
    largest = {"observations": (agent.n_states or 0) - 1, "actions": (agent.n_actions or 0) - 1}
    for name in [name for name, found in largest.items() if found < 0]:
        for chunk in (chunk for run in runs for chunk in chunks_with_steps(run)):
            column = (chunk.steps or {}).get(name)
            if column is not None and column.ndim == 1 and column.dtype.kind in "iu":
                largest[name] = max(largest[name], int(column.max(initial=0)))
    return largest["observations"] + 1, largest["actions"] + 1


def _sample(runs: Sequence[Run], rows: Callable[[Steps], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Returns observations of runs, evenly spaced."""
    every = -(-sum(run.timesteps for run in runs) // MOST_ROWS)
    return np.concatenate([rows(chunk.steps or {})[::every] for run in runs for chunk in chunks_with_steps(run)])


def _flat(space: Space, column: NDArray[Any]) -> NDArray[np.float64]:
    """Returns a part's column as FlattenObservation has it: a Discrete part is one column a value."""
    if isinstance(space, gym.spaces.Discrete):
        one_hot: NDArray[np.float64] = np.eye(int(space.n))[column - int(space.start)]
        return one_hot
    if isinstance(space, gym.spaces.MultiDiscrete):
        raise UsageError(f"bins need Box observations, got a part {space}: record the env in FlattenObservation")
    return np.asarray(column, np.float64).reshape(len(column), -1)
