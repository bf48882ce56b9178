"""Comparison: which of several agents does better, and how sure one can be after a few runs.

Interquartile means, bootstrap intervals and the probability of improvement, see `intervals`.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import RlbenchError, UsageError
from rlbench.evaluation.evaluating import evaluate
from rlbench.intervals import (
    improvement_interval,
    interquartile_interval,
    interquartile_mean,
    probability_of_improvement,
)
from rlbench.store.conditions import UNDECIDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlbench.intervals import Array, Interval
    from rlbench.training import Run

METRICS = ("evaluation", "training")
LAST = 100  # training episodes that the metric "training" looks at
SHOWN = 3  # settings in a label, unless more tell it from another
LONGEST = 24  # characters of a setting in a label


# ------------------------------------------------------------------------------------------------- candidates


class Group(NamedTuple):
    """Runs that differ only in their seed, and what sets them apart from the others."""

    label: str
    runs: tuple[Run, ...]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Groups the runs that differ only in their seed, in the order given.

    Raises:
        UsageError: there are none, or their envs differ.
    """
    check_same_env(runs)
    known: dict[str, list[Run]] = {}
    for run in {run.id: run for run in runs}.values():
        known.setdefault(json.dumps(settings_of(run), sort_keys=True), []).append(run)
    labels = _labels([settings_of(members[0]) for members in known.values()])
    return [Group(label, tuple(members)) for label, members in zip(labels, known.values(), strict=True)]


def check_same_env(runs: Sequence[Run]) -> None:
    """Raises UsageError if there are no runs, or their envs differ."""
    if not runs:
        raise UsageError("name at least one run")
    other = next((run for run in runs if run.env_id != runs[0].env_id), None)
    if other is not None:
        raise UsageError(
            f"run {runs[0].id} is in {runs[0].env_id}, run {other.id} in {other.env_id}: "
            "returns of different envs cannot be compared, choose runs in one"
        )


def settings_of(run: Run) -> dict[str, Any]:
    """Returns what decides a run, except its seed: agent, parameters, env arguments, wrappers, budget, by name."""
    config = run.record.config
    learnt_from = {"learnt from": " ".join(run.record.parents)} if config.was_retrained else {}
    named = {"agent": run.agent_name, **config.settings, **asdict(config.budget), **learnt_from}
    return {name: value for name, value in named.items() if value is not None and name not in UNDECIDING}


def _labels(settings: list[dict[str, Any]]) -> list[str]:
    """Returns labels that differ: of as many settings as that takes, numbered if their texts are cut to the same."""
    names = differing(settings)
    shown = SHOWN
    while len(set(labels := [_label(one, names, shown) for one in settings])) < len(labels) and shown < len(names):
        shown += 1
    seen: Counter[str] = Counter()
    for place, label in enumerate(labels):
        seen[label] += 1
        labels[place] = label if seen[label] == 1 else f"{label} ({seen[label]})"
    return labels


def differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the names of the settings in which candidates differ, besides their agents; first those within one."""
    names = dict.fromkeys(name for one in settings for name in one if name != "agent")
    by_agent = [[one for one in settings if one["agent"] == agent] for agent in {one["agent"] for one in settings}]
    found = [name for name in names if _differs(name, settings)]
    return sorted(found, key=lambda name: not any(_differs(name, members) for members in by_agent))


def _differs(name: str, settings: Sequence[dict[str, Any]]) -> bool:
    """Returns whether a setting has two values, or only some runs of an agent have it: other agents may lack it."""
    values = {json.dumps(one[name]) for one in settings if name in one}
    with_it = {one["agent"] for one in settings if name in one}
    without = {one["agent"] for one in settings if name not in one}
    return len(values) > 1 or bool(with_it & without)


def _label(settings: dict[str, Any], differing: list[str], shown: int) -> str:
    said = [f"{name} {_short(settings[name])}" for name in differing if name in settings]
    return ", ".join([settings["agent"], *said[:shown], *(["..."] if said[shown:] else [])])


def _short(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


# ------------------------------------------------------------------------------------------------- comparison


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of the agents compared.

    Attributes:
        label: its agent, and the settings in which it differs from the others.
        runs: the ids of its runs.
        sample: (n,), the scores from which the figures below are computed.
        mean: of the sample.
        iqm: its interquartile mean.
        interval: the bootstrap interval of the interquartile mean.
        regret: the mean exact regret of its runs; None if no model is known.
        means: the mean score of each run.
        regrets: the exact regret of each run, or None.
    """

    label: str
    runs: tuple[str, ...]
    sample: Array = field(repr=False)
    mean: float
    iqm: float
    interval: Interval
    regret: float | None = None
    means: tuple[float, ...] = ()
    regrets: tuple[float | None, ...] = ()


@dataclass(frozen=True, eq=False)
class Improvement:
    """The probability that a score of one candidate exceeds one of another, with its bootstrap interval."""

    of: int  # index of a candidate
    over: int
    probability: float
    interval: Interval


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of comparing runs of one env.

    Attributes:
        env_id: of all of them.
        metric: "evaluation" (greedy episodes played for this) or "training" (the last episodes of training).
        unit: what a score is: "run" (the mean return of its episodes), or "episode" if a candidate has only one run:
            then intervals say how certain its return is, not what another seed would bring.
        episodes: the most that were scored per run.
        candidates: in the order in which they were given.
        improvements: of each candidate over each other.
    """

    env_id: str
    metric: str
    unit: str
    episodes: int
    candidates: tuple[Candidate, ...]
    improvements: tuple[Improvement, ...]

    @property
    def score(self) -> str:
        """What one score is, in words."""
        return "return of greedy episodes" if self.metric == "evaluation" else "return of last training episodes"

    @property
    def basis(self) -> str:
        """What the scores are, in words."""
        is_played = self.metric == "evaluation"
        what = f"{self.episodes} greedy episodes" if is_played else f"the last {self.episodes} episodes of training"
        if self.unit == "run":
            return f"{self.env_id}; each run counts once, with the mean return of {what}"
        return (
            f"{self.env_id}; {what} of each run. A candidate has one run only: the intervals say how "
            "sure the return of these runs is, not what another seed would bring"
        )

    def improvement(self, of: int, over: int) -> Improvement:
        """Returns the improvement of one candidate over another, by their indices."""
        return next(found for found in self.improvements if (found.of, found.over) == (of, over))


class Scores(NamedTuple):
    """The measurements of one run."""

    returns: Array  # (episodes,)
    regret: float | None = None


def scored(
    groups: Sequence[Group], metric: str = "evaluation", episodes: int = LAST, seed: int = 0, *, pairs: bool = True
) -> Comparison:
    """Scores candidates, one or more, and, if `pairs` says so, compares each with each other; see `compare`."""
    # each run of a candidate plays episodes of its own: the same starts again would count twice
    measured = [[measure(run, metric, episodes, seed + i) for i, run in enumerate(group.runs)] for group in groups]
    by_run = all(len(group.runs) > 1 for group in groups)
    found = tuple(
        _candidate(group, scores, seed, by_run=by_run) for group, scores in zip(groups, measured, strict=True)
    )
    improvements = _improvements(found, seed) if pairs else ()
    env_id = groups[0].runs[0].env_id
    return Comparison(env_id, metric, "run" if by_run else "episode", int(episodes), found, improvements)


def _improvements(found: tuple[Candidate, ...], seed: int) -> tuple[Improvement, ...]:
    """Returns the improvement of each candidate over each other."""
    places = range(len(found))
    later = {(i, j): _improvement(found, i, j, seed) for i in places for j in range(i)}
    return tuple(later[i, j] if i > j else _reversed(later[j, i]) for i in places for j in places if i != j)


def candidates_of(runs: Sequence[Run]) -> list[Group]:
    """Groups the runs of one env to be compared with each other; if all differ only in their seed, one by one."""
    groups = group_runs(runs)
    if len(groups) > 1:
        return groups
    members = groups[0].runs
    if len(members) == 1:
        raise UsageError(f"a comparison needs two runs or more, got run {members[0].id} alone: name another")
    return [Group(f"{groups[0].label}, seed {run.seed}", (run,)) for run in members]


def _candidate(group: Group, scores: list[Scores], seed: int, *, by_run: bool) -> Candidate:
    sample = np.array([one.returns.mean() for one in scores]) if by_run else np.concatenate([s.returns for s in scores])
    regrets = [one.regret for one in scores if one.regret is not None]
    return Candidate(
        label=group.label,
        runs=tuple(run.id for run in group.runs),
        sample=sample,
        mean=float(sample.mean()),
        iqm=interquartile_mean(sample),
        interval=interquartile_interval(sample, seed=seed),
        regret=float(np.mean(regrets)) if len(regrets) == len(scores) else None,
        means=tuple(float(one.returns.mean()) for one in scores),
        regrets=tuple(one.regret for one in scores),
    )


def _improvement(candidates: tuple[Candidate, ...], of: int, over: int, seed: int) -> Improvement:
    x, y = candidates[of].sample, candidates[over].sample
    return Improvement(of, over, probability_of_improvement(x, y), improvement_interval(x, y, seed=seed))


def _reversed(found: Improvement) -> Improvement:
    low, high = found.interval
    return Improvement(found.over, found.of, 1 - found.probability, (1 - high, 1 - low))


def measure(run: Run, metric: str, episodes: int, seed: int) -> Scores:
    """Returns what a run scored; see `compare`."""
    if metric == "evaluation":
        return _evaluated(run, episodes, seed)
    if not len(run.returns):
        raise UsageError(f"run {run.id} finished no training episode: compare it with metric='evaluation'")
    return Scores(run.returns[-episodes:])


def _evaluated(run: Run, episodes: int, seed: int) -> Scores:
    try:
        found = evaluate(run, episodes=episodes, seed=seed)
    except UsageError:
        raise
    except RlbenchError as error:
        raise UsageError(
            f"run {run.id} cannot be evaluated ({error}); metric='training' compares without playing"
        ) from error
    return Scores(found.returns, found.regret)
