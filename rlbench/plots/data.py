"""The data behind the plots, read from runs: figures, tables, visits, evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rlbench.agents.prediction import Prediction
from rlbench.envs.actions import action_name
from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.evaluation.comparison import group_runs, settings_of
from rlbench.store.records import EVALUATION, OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from rlbench.evaluation import Evaluation
    from rlbench.store import EpisodeChunk
    from rlbench.training import Run

    Array = NDArray[np.float64]

MOST_STATES = 2**24  # counted where the number of states is not known
MOST_EPISODES = 10_000  # of an evaluation that is drawn

Figures: TypeAlias = "Mapping[str, NDArray[Any]]"


def is_run(data: Any) -> bool:
    """Returns whether this is a Run, without importing the training code."""
    return hasattr(data, "record") and hasattr(type(data), "figures")  # asked of the run itself, it reads them


def are_runs(data: Any) -> bool:
    """Returns whether this is a Run, or a list or tuple of some."""
    return is_run(data) or (isinstance(data, list | tuple) and len(data) > 0 and all(map(is_run, data)))


def title_of(data: Any) -> str:
    """Returns the title for a plot of runs; empty for plain numbers."""
    runs = runs_in(data)
    if not runs:
        return ""
    first, settings = runs[0], [settings_of(run) for run in runs]
    if any(one != settings[0] for one in settings):
        return str(first.env_id)
    return f"{first.agent_name} on {first.env_id}, " + (
        f"seed {first.seed}" if len(runs) == 1 else f"{len(runs)} seeds"
    )


def runs_in(data: Any) -> list[Run]:
    """Returns the runs in the data of a plot: a run, several, or a dict of these by label; none in plain numbers."""
    parts = data.values() if isinstance(data, Mapping) else [data]
    return [run for part in parts if are_runs(part) for run in listed(part)]


def listed(data: Any) -> list[Any]:
    """Returns runs as a list, or anything else alone in one."""
    return list(data) if isinstance(data, list | tuple) else [data]


def seeds_of(data: Any) -> list[Any]:
    """Returns what belongs into one plot: a run or several that differ only in their seed, or arrays.

    Raises:
        UsageError: the runs differ in more than their seed.
    """
    if are_runs(data) and len(group_runs(listed(data))) > 1:
        raise UsageError("the runs differ in more than their seed: draw those of one setting, or use plots.draw")
    return listed(data) if are_runs(data) else [data]


def figures_of(data: Run | Figures, *names: str) -> Figures:
    """Returns the figures of a run's episodes, or those given, checked.

    Raises:
        UsageError: one of the names is missing, or no episode has ended.
    """
    figures: Figures = data if isinstance(data, Mapping) else data.figures
    owner = "the figures have" if isinstance(data, Mapping) else f"run {data.id} has"
    missing = [name for name in names if name not in figures]
    if missing and len(figures.get("return", [1])):
        raise UsageError(f"{owner} no {missing[0]!r}: only runs trained by rlbench record it")
    if missing or not len(figures[names[0]]):
        raise UsageError(f"{owner} no finished episode: nothing to draw")
    return figures


def returns_of(run: Run) -> Array:
    """Returns the return of each episode of a run, (episodes,); UsageError if none has ended."""
    return np.asarray(figures_of(run, "return")["return"], dtype=np.float64)


def action_names_of(data: Any, count: int) -> list[str]:
    """Returns the names of a run's actions, or their numbers if its env is unknown."""
    names = data.action_names() if is_run(data) else ()
    return [action_name(names, action, "action {}") for action in range(count)]


def action_of(run: Run, action: int | str | None) -> tuple[int, str]:
    """Returns the number and the name of an action of a run.

    Raises:
        UsageError: no action has this number or name.
    """
    names = action_names_of(run, np.asarray(figures_of(run, "action_counts")["action_counts"]).shape[1])
    if action is None:
        raise UsageError(f"name an action: a number from 0 to {len(names) - 1}, or a name ({', '.join(names)})")
    if isinstance(action, str) and not action.isdecimal():
        if action not in names:
            raise unknown_name("action", action, names)
        return names.index(action), action
    if isinstance(action, bool) or not 0 <= int(action) < len(names):
        raise UsageError(f"run {run.id} has the actions 0 to {len(names) - 1}, got {action!r}")
    return int(action), names[int(action)]


def taken_of(run: Run, action: int, state: int | None = None) -> tuple[Array, Array]:
    """Returns, per episode, how often an action was taken and how often any was: (episodes,) each.

    Args:
        run: the run.
        action: the number of the action.
        state: count only the actions in this state.

    Raises:
        StoreError: a state is given, but the run kept no steps.
        UsageError: the observations are not Discrete, or the state was never seen.
    """
    if state is None:
        counts = np.asarray(figures_of(run, "action_counts")["action_counts"], dtype=np.float64)
        return counts[:, action], counts.sum(axis=1)
    from rlbench.training.stored import transitions  # noqa: PLC0415

    taken, chances = np.zeros(run.episodes + 1), np.zeros(run.episodes + 1)
    for chunk in chunks_of(run):
        discrete(run, chunk, "observations")
        steps = transitions(chunk)
        here = steps.observations == state
        add_to_episodes(chances, chunk, here.astype(np.float64))
        add_to_episodes(taken, chunk, (here & (steps.actions == action)).astype(np.float64))
    if not chances[: run.episodes].any():
        raise UsageError(f"run {run.id} never acted in state {state!r}: no share of actions to draw")
    return taken[: run.episodes], chances[: run.episodes]


def predicts(run: Any) -> bool:
    """Returns whether it is a run of an agent that learns what a given policy is worth."""
    return is_run(run) and isinstance(run.agent, Prediction)


def table_of(run: Run) -> Array:
    """Returns the action values of a run's agent, (n_states, n_actions); of one that predicts its state values.

    Raises:
        UsageError: the agent keeps none.
        StoreError: the run has no checkpoint.
    """
    if isinstance(run.agent, Prediction):
        return run.agent.state_values[:, None]
    table = getattr(run.agent, "q_table", None)
    if table is None:
        raise UsageError(f"the agent of run {run.id}, {run.agent_name}, keeps no action values: nothing to draw")
    return np.asarray(table, dtype=np.float64)


def initial_value_of(run: Run) -> float:
    """Returns the initial value of the table."""
    return float(run.record.config.agent.parameters.get("initial_value", 0.0))


def visits_of(run: Run, n_states: int | None = None) -> NDArray[np.int64]:
    """Counts how often each state was observed in training, starts and ends included: (n_states,).

    Raises:
        StoreError: the run kept no steps, or observed a state that its agent does not know.
        UsageError: the observations are not Discrete.
    """
    from rlbench.training.stored import check_range  # noqa: PLC0415  (numba)

    n_states = n_states or run.record.config.agent.n_states or 0
    counts = np.zeros(n_states, np.int64)
    for chunk in chunks_of(run):
        observed = _observed_once(chunk, discrete(run, chunk, "observations"))
        check_range("observation", observed, n_states or MOST_STATES)
        found = np.bincount(observed, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts


def is_evaluated(run: Run) -> bool:
    """Returns whether a run was evaluated while it was trained."""
    return EVALUATION[0] in run.figures


def evaluations_of(run: Run) -> tuple[NDArray[np.int64], Array]:
    """Returns after how many episodes a run was evaluated, and the mean returns with their intervals, (3, points).

    Raises:
        UsageError: it ended before its first evaluation.
    """
    found = np.array([run.figures[name] for name in EVALUATION], dtype=np.float64)
    at = np.flatnonzero(~np.isnan(found[0]))
    if not len(at):
        raise UsageError(f"run {run.id} ended before its first evaluation: nothing to draw")
    return at + 1, found[:, at]


def evaluation_of(run: Run, episodes: int | None = None) -> Evaluation:
    """Evaluates a run with the settings of its last evaluation, or with 100 episodes and its own seed.

    Whatever a stored evaluation says, MOST_EPISODES are enough for a picture.
    """
    from rlbench.evaluation import evaluate  # noqa: PLC0415  (numba only when a policy is played)

    known = run.record.evaluation or {}
    episodes = episodes or min(known.get("episodes") or 100, MOST_EPISODES)
    return evaluate(run, episodes=episodes, seed=known.get("seed", run.seed))


def optimum_of(run: Run) -> float | None:
    """Returns the best possible return in a run's env; None if the env cannot be solved exactly."""
    known = run.record.evaluation or {}
    return known["optimal_return"] if "optimal_return" in known else evaluation_of(run).optimal_return


def chunks_of(run: Run) -> Iterator[EpisodeChunk]:
    """Yields the chunks of a run with their steps; StoreError if it kept none."""
    for chunk in run.store.chunks(run.id, figures=False):
        if chunk.steps is None:
            raise StoreError(f"run {run.id} kept no steps (--record none): train with --record all to draw this")
        yield chunk


def discrete(run: Run, chunk: EpisodeChunk, name: str) -> NDArray[np.int64]:
    """Returns a column of a chunk's steps as numbers from 0 on; UsageError if they are anything else."""
    column = (chunk.steps or {}).get(name)
    if column is None or column.ndim != 1 or column.dtype.kind not in "iu" or column.min(initial=0) < 0:
        raise UsageError(f"the {name} of run {run.id} are not Discrete: only numbers from 0 on can be counted")
    return column.astype(np.int64, copy=False)


def _observed_once(chunk: EpisodeChunk, observations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Leaves out an open episode's last observation: the next chunk repeats it."""
    return observations[:-1] if chunk.ends[-1] == OPEN else observations


def add_to_episodes(sums: Array, chunk: EpisodeChunk, values: Array) -> None:
    """Adds one value a step of a chunk to the sums of their episodes, (episodes,)."""
    episodes = chunk.first_episode + np.repeat(np.arange(len(chunk.lengths)), chunk.lengths)[: len(values)]
    inside = np.searchsorted(episodes, len(sums))  # an episode cut off by the end of the run may have no figures
    np.add.at(sums, episodes[:inside], values[:inside])
