"""Comparing runs of one env, or of several by normalized scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.checks import finite, whole_number
from rlbench.envs.tabular import TabularModel
from rlbench.errors import UsageError, unknown_name
from rlbench.evaluation.comparison import (
    LAST,
    METRICS,
    Candidate,
    Comparison,
    Improvement,
    candidates_of,
    group_runs,
    measure,
    scored,
)
from rlbench.intervals import (
    improvement_interval,
    interquartile_mean,
    probability_of_improvement,
    stratified_interval,
)
from rlbench.planning import policy_evaluation, solve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rlbench.evaluation.comparison import Group
    from rlbench.intervals import Array, Interval
    from rlbench.training import Run

    Scales = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class CandidateAcross(Candidate):
    """One of the agents compared over several envs; its sample is of normalized scores.

    Attributes:
        scores: (runs, envs), the normalized score of each run.
        median: over the envs, of the mean score in each.
        optimality_gap: how far the scores lie below 1 on average, those above it counted as 1.
        gap_interval: its bootstrap interval.
    """

    scores: Array = field(kw_only=True, repr=False)
    median: float = field(kw_only=True)
    optimality_gap: float = field(kw_only=True)
    gap_interval: Interval = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class ComparisonAcross(Comparison):
    """The result of comparing runs of several envs, as Agarwal et al. (2021) recommend and `rliable` computes.

    A score is (return - low) / (high - low) by the scale of its env. Means, interquartile means and intervals are those
    of all scores of a candidate, resampled within each env (stratified bootstrap); a probability of improvement is the
    mean over the envs. `plots.profile(found.scores)` draws performance profiles.

    Attributes:
        env_ids: the envs.
        scales: (low, high) of each: the returns that count as 0 and 1.
        candidates: a `CandidateAcross` for each agent.
    """

    candidates: tuple[CandidateAcross, ...]
    env_ids: tuple[str, ...] = field(kw_only=True)
    scales: tuple[tuple[float, float], ...] = field(kw_only=True)

    @property
    def score(self) -> str:
        """What one score is, in words."""
        return f"normalized {super().score}"

    @property
    def basis(self) -> str:
        """What the scores are, in words."""
        known = [f"{env_id} {low:g} to {high:g}" for env_id, (low, high) in zip(self.env_ids, self.scales, strict=True)]
        return f"scores from 0 to 1: {', '.join(known)}; each run counts once in its env, with its mean return"

    @property
    def scores(self) -> dict[str, Array]:
        """The normalized scores (runs, envs) of each candidate, by label."""
        return {one.label: one.scores for one in self.candidates}


def compare(
    runs: Sequence[Run],
    *,
    metric: str = "evaluation",
    episodes: int = LAST,
    seed: int = 0,
    scales: Scales | None = None,
) -> Comparison:
    """Compares runs; those that differ only in their seed form one candidate.

    If all differ only in their seed, each run is a candidate. Runs of several envs are compared by normalized scores:
    each agent needs as many runs in each env, two or more.

    Args:
        runs: two or more.
        metric: "evaluation" plays greedy episodes; "training" takes the last episodes of training, which explored.
        episodes: how many of each run.
        seed: of the resampling, and of the episodes played: a candidate's first run plays with it, its second with the
            next number, and so on.
        scales: of several envs, by id: the returns that count as 0 and 1. By default those of the uniform policy and of
            the best one, where the env's table is known.

    Returns:
        A Comparison; of several envs a ComparisonAcross.

    Raises:
        UsageError: fewer than two runs, an unknown metric, a run without it, or envs that cannot be compared.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    whole_number("episodes", episodes)
    env_ids = tuple(dict.fromkeys(run.env_id for run in runs))
    if len(env_ids) < 2:  # noqa: PLR2004  (several)
        return scored(candidates_of(runs), metric, episodes, seed)
    members = _members([group_runs([run for run in runs if run.env_id == env_id]) for env_id in env_ids])
    scale = tuple(_scale(scales or {}, next(iter(members.values()))[place][0]) for place in range(len(env_ids)))
    candidates = tuple(_candidate(label, of, metric, episodes, seed, scale) for label, of in members.items())
    return ComparisonAcross(
        env_id=", ".join(env_ids),
        metric=metric,
        unit="run",
        episodes=int(episodes),
        candidates=candidates,
        improvements=_improvements([one.scores for one in candidates], seed),
        env_ids=env_ids,
        scales=scale,
    )


def _members(groups: list[list[Group]]) -> dict[str, list[tuple[Run, ...]]]:
    """Returns the runs of each candidate, env by env: of one agent, or of one label if agents have several settings."""
    names = [[group.runs[0].agent_name for group in of_env] for of_env in groups]
    if any(len(set(of_env)) < len(of_env) for of_env in names):
        names = [[group.label for group in of_env] for of_env in groups]
    for of_env, in_env in zip(names, groups, strict=True):
        if sorted(of_env) != sorted(names[0]):
            first, other = ("; ".join(sorted(labels)) for labels in (names[0], of_env))
            raise UsageError(
                f"each agent needs runs in each env: {groups[0][0].runs[0].env_id} has {first}, "
                f"{in_env[0].runs[0].env_id} has {other}"
            )
    found = [
        dict(zip(of_env, (group.runs for group in in_env), strict=True))
        for of_env, in_env in zip(names, groups, strict=True)
    ]
    members = {name: [of_env[name] for of_env in found] for name in names[0]}
    for name, of in members.items():
        counts = [len(runs) for runs in of]
        if min(counts) < 2 or len(set(counts)) > 1:  # noqa: PLR2004  (a spread needs two)
            raise UsageError(f"{name} has {counts} runs in the envs: give as many in each, two or more")
    return members


def _scale(scales: Scales, run: Run) -> tuple[float, float]:
    """Returns the returns that count as 0 and 1 in a run's env."""
    if run.env_id in scales:
        low, high = (finite(f"a scale of {run.env_id}", value) for value in scales[run.env_id])
    else:
        env = run.make_same_env(run.agent)
        try:
            model = TabularModel.from_env(env)
            low, high = policy_evaluation(model, "uniform").expected_return, solve(model).optimal_return
        except UsageError as error:
            raise UsageError(f"say which returns count as 0 and 1 in {run.env_id} (scales): {error}") from None
        finally:
            env.close()
    if not (np.isfinite([low, high]).all() and low < high):
        raise UsageError(
            f"the scale of {run.env_id} must rise from one number to another, got {low:g} to {high:g}: give scales"
        )
    return low, high


def _candidate(
    label: str,
    members: list[tuple[Run, ...]],
    metric: str,
    episodes: int,
    seed: int,
    scale: tuple[tuple[float, float], ...],
) -> CandidateAcross:
    measured = [[measure(run, metric, episodes, seed + i) for i, run in enumerate(runs)] for runs in members]
    returns = np.array([[one.returns.mean() for one in of_env] for of_env in measured]).T
    low, high = np.array(scale).T
    scores = (returns - low) / (high - low)
    regrets = tuple(one.regret for of_env in measured for one in of_env)
    return CandidateAcross(
        label=label,
        runs=tuple(run.id for runs in members for run in runs),
        sample=scores.reshape(-1),
        mean=float(scores.mean()),
        iqm=float(_interquartile(scores)),
        interval=stratified_interval(scores, _interquartile, seed=seed),
        means=tuple(returns.T.reshape(-1).tolist()),
        regrets=regrets,
        scores=scores,
        median=float(np.median(scores.mean(axis=0))),
        optimality_gap=float(_gap(scores)),
        gap_interval=stratified_interval(scores, _gap, seed=seed),
    )


def _interquartile(scores: Array) -> Any:
    return interquartile_mean(scores.reshape(*scores.shape[:-2], -1))


def _gap(scores: Array) -> Any:
    return 1 - np.minimum(scores, 1).mean(axis=(-2, -1))


def _improvements(scores: Sequence[Array], seed: int) -> tuple[Improvement, ...]:
    return tuple(
        Improvement(
            of, over, _probability(scores[of], scores[over]), improvement_interval(scores[of], scores[over], seed=seed)
        )
        for of in range(len(scores))
        for over in range(len(scores))
        if of != over
    )


def _probability(x: Array, y: Array) -> float:
    return float(np.mean([probability_of_improvement(ours, theirs) for ours, theirs in zip(x.T, y.T, strict=True)]))
