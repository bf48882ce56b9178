"""What a study measures: a number for each run, and one for all seeds of a combination."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.checks import is_whole_number
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError, unknown_name
from rlbench.intervals import bootstrap_interval, interquartile_interval, interquartile_mean, mean_interval
from rlbench.planning import score_policy, solve
from rlbench.settings import parse_value
from rlbench.training.playing import play

if TYPE_CHECKING:
    from collections.abc import Callable

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.agents import Agent
    from rlbench.intervals import Interval
    from rlbench.planning import PolicyScore
    from rlbench.training import Run

    Array = NDArray[np.float64]

OBJECTIVES = ("regret", "return", "area", "area:FROM", "steps-to:THRESHOLD")
AGGREGATES = ("mean", "iqm", "q0 to q100")
EPISODES = 100  # greedy ones that a return is sampled from, where no exact one is known
WINDOW = 100  # episodes of training, in whose mean return a threshold is reached
LAST_FROM = 999_999  # episodes that "area" may leave out
HUGE, NEARLY_HUGE = 1e300, 1e290  # a mean of many values of which one is huge is nearly so
INTERVALS = {"mean": mean_interval, "iqm": interquartile_interval}  # of others the percentile bootstrap
QUANTILE = re.compile(r"q(\d{1,3}(?:\.\d{1,6})?)")


class Objective(NamedTuple):
    """What is measured of a run.

    "regret": how far the greedy policy's exact return lies below the optimum. "return": its exact return, or the mean
    return of 100 greedy episodes, drawn alike for all runs of a seed. "area": the mean return of all episodes of
    training; "area:500" leaves the first 500 out. "steps-to": how many steps it trained until the mean return of 100
    episodes reached the threshold, infinitely many if it did not.
    """

    name: str
    threshold: float = math.nan  # of "area": how many of the first episodes do not count

    def __str__(self) -> str:
        return self.name if math.isnan(self.threshold) else f"{self.name}:{self.threshold:g}"

    @property
    def is_loss(self) -> bool:
        """Whether less of it is better."""
        return self.name in ("regret", "steps-to")


def objective_of(text: str) -> Objective:
    """Reads an objective: one of OBJECTIVES with numbers for the words; UsageError for anything else."""
    name, colon, threshold = str(text).partition(":")
    if name in OBJECTIVES[:3] and not colon:
        return Objective(name)
    value = parse_value(threshold)
    if name == "area" and is_whole_number(value, most=LAST_FROM):
        return Objective(name, float(value))
    if name == "area":
        raise UsageError(f"the objective area takes how many episodes to leave out, such as area:500, got {text!r}")
    if name == "steps-to" and type(value) in (int, float) and math.isfinite(value):
        return Objective(name, float(value))
    if name == "steps-to":
        raise UsageError(f"the objective steps-to takes the return to reach, such as steps-to:-15, got {text!r}")
    raise unknown_name("objective", text, OBJECTIVES)


def aggregate_of(text: str) -> Callable[[Array], Any]:
    """Returns the statistic that mean, iqm or q0 to q100 (a percentile) names, along the last axis."""
    found = QUANTILE.fullmatch(str(text))
    if text == "mean":
        return lambda values: values.mean(axis=-1)
    if text == "iqm":
        return interquartile_mean
    if found is not None and float(found[1]) <= 100:  # noqa: PLR2004  (percent)
        return lambda values: np.percentile(values, float(found[1]), axis=-1)
    raise unknown_name("aggregate", text, AGGREGATES)


def value_of(values: Array, aggregate: str) -> float:
    """Returns the statistic of the values of some seeds."""
    return float(_unbounded(aggregate_of(aggregate)(_bounded(values))))


def interval_of(values: Array, aggregate: str) -> Interval:
    """Returns the 95 % bootstrap interval of the statistic of the values of some seeds."""
    statistic = aggregate_of(aggregate)
    if aggregate in INTERVALS and np.isfinite(values).all():
        return INTERVALS[aggregate](values)
    low, high = _unbounded(np.array(bootstrap_interval(_bounded(values), statistic)))
    return float(low), float(high)


def _bounded(values: Array) -> Array:
    """Returns values with huge numbers in place of infinite ones: between these nothing can be interpolated."""
    return np.clip(values, -HUGE, HUGE)


def _unbounded(values: Any) -> Any:
    return np.where(np.abs(values) < NEARLY_HUGE, values, np.copysign(np.inf, values))


@dataclass
class Judge:
    """Measures the runs of one combination, which share an env and its table."""

    objective: Objective
    _env: gym.Env[Any, Any] | None = field(default=None, init=False)
    _model: TabularModel | None = field(default=None, init=False)
    _inexact: str = field(default="", init=False)  # why there is no model

    def value(self, run: Run) -> float:
        """Returns what a run is worth.

        Raises:
            UsageError: it has no exact value, or no episode.
        """
        if self.objective.name == "area":
            left_out = 0 if math.isnan(self.objective.threshold) else int(self.objective.threshold)
            return float(_some(run.returns[left_out:]).mean())
        if self.objective.name == "steps-to":
            return steps_to(run.returns, run.lengths, self.objective.threshold)
        agent = run.agent
        env = self._met(run, agent)
        if self.objective.name == "regret":
            return self._score(agent).regret
        if self._model is not None and agent.greedy_policy() is not None:
            return self._score(agent).exact_return
        return float(play(env, agent, EPISODES, run.seed).returns.mean())

    def close(self) -> None:
        """Closes the env."""
        if self._env is not None:
            self._env.close()

    def _met(self, run: Run, agent: Agent) -> gym.Env[Any, Any]:
        """Returns the env, which is made for the first run."""
        if self._env is None:
            self._env = run.make_same_env(agent)
            try:
                self._model = TabularModel.from_env(self._env)
            except UsageError as error:
                self._inexact = str(error)
        return self._env

    def _score(self, agent: Agent) -> PolicyScore:
        policy = agent.greedy_policy()
        if self._model is None or policy is None:
            raise UsageError(f"there is no exact value: {self._inexact or f'{agent.name} has no greedy policy'}")
        return score_policy(self._model, policy, solve(self._model))


def is_exact(env: gym.Env[Any, Any], agent: Agent) -> bool:
    """Returns whether the exact value of an agent's greedy policy can be computed."""
    try:
        TabularModel.from_env(env)
    except UsageError:
        return False
    return agent.greedy_policy() is not None


def steps_to(returns: Array, lengths: NDArray[np.int64], threshold: float) -> float:
    """Returns after how many steps the mean return of the last 100 episodes reached a threshold; inf if never."""
    if len(returns) < WINDOW:
        return math.inf
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    reached = np.flatnonzero((sums[WINDOW:] - sums[:-WINDOW]) / WINDOW >= threshold)
    return math.inf if not len(reached) else float(np.sum(lengths[: reached[0] + WINDOW]))


def _some(returns: Array) -> Array:
    if not len(returns):
        raise UsageError("no episode of training ended that counts: train longer")
    return returns
