"""A study: many runs of one env, over agents, parameters and seeds, and what they are worth."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from rlbench._shown import Shown
from rlbench.errors import UsageError
from rlbench.files import require
from rlbench.intervals import improvement_interval, probability_of_improvement
from rlbench.settings import write_setting
from rlbench.studies.figure import study_figure
from rlbench.studies.objectives import interval_of, objective_of, value_of
from rlbench.training import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from pandas import DataFrame

    from rlbench.intervals import Interval
    from rlbench.store import SnapshotInfo, Store
    from rlbench.studies.objectives import Objective
    from rlbench.studies.settings import Combination, Settings
    from rlbench.studies.trials import Trial

MOST_COMPARED = 10  # combinations of a single agent
NONE = (math.nan, math.nan)  # in place of an interval
MOST_REASONS = 20  # that a study keeps of trials that failed
DIGITS = ".9g"  # of the values in a hash: the last ones of a linear solve may differ between machines


class Pruned(NamedTuple):
    """What was known of a trial when it was given up."""

    value: float  # the objective so far
    after: str  # how much of it: "4 of 8 seeds", "200 episodes"

    def __str__(self) -> str:
        return f"{self.value:.4g} after {self.after}"


class Row(NamedTuple):
    """A combination in a study's table.

    Attributes:
        agent: its name.
        parameters: what the study varies; an argument of the env is "env." and its name.
        seeds: how many seeds have a value.
        value: the objective over these seeds; NaN if there are none.
        interval: its 95 % bootstrap interval; None for fewer than two seeds.
        pruned: what was known of a trial of a tuning when it was given up; its value is NaN then.
    """

    agent: str
    parameters: dict[str, Any]
    seeds: int
    value: float
    interval: Interval | None
    pruned: Pruned | None = None

    @property
    def label(self) -> str:
        """The agent and the parameters, as text."""
        return " ".join([self.agent, *(f"{name}={write_setting(value)}" for name, value in self.parameters.items())])


class Candidate(NamedTuple):
    """A combination, and how probable it is that with one seed it does better than the best with another."""

    row: Row
    probability: float | None  # None for the best itself
    interval: Interval | None  # its 95 % bootstrap interval


class Failure(NamedTuple):
    """A trial that raised an error."""

    combination: int
    seed: int
    reason: str


@dataclass(eq=False)
class Study(Shown):
    """A study, as `sweep` returns it and `load_study` reads it back.

    Attributes:
        name: by which the store knows it.
        settings: what was asked for.
        store: where its runs live.
        values: (combinations, seeds) the objective of each run, NaN where it is not known.
        failed: (combinations, seeds) whether the trial raised an error.
        failures: the first of them, with their reasons.
        seconds: how long it took, over all the times that it was worked on.
        stored: the record of it that was last read or written, with all that it knew; None if there is none.
    """

    unit: ClassVar[str] = "combinations"  # what it consists of

    name: str
    settings: Settings
    store: Store
    values: NDArray[np.float64] = field(repr=False)
    failed: NDArray[np.bool_] = field(repr=False)
    failures: list[Failure] = field(default_factory=list, repr=False)
    seconds: float = 0.0
    stored: SnapshotInfo | None = field(default=None, repr=False, kw_only=True)

    @classmethod
    def new(cls, name: str, settings: Any, store: Store) -> Self:
        """Returns a study without any result."""
        shape = settings.combinations, len(settings.seeds)
        return cls(name, settings, store, np.full(shape, np.nan), np.zeros(shape, np.bool_))

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """(combinations,) the objective over the seeds of each, NaN where none has a value."""
        return np.array([self._score(number) for number in range(self.settings.combinations)])

    @property
    def asked(self) -> int:
        """How many of its combinations are known so far."""
        return self.settings.combinations

    @property
    def parts(self) -> list[Study]:
        """The study, and its test if it has one."""
        return [self]

    def combination(self, index: int) -> Combination:
        """Returns a combination by its number."""
        return self.settings.combination(index)

    @cached_property
    def objective(self) -> Objective:
        """What it measures."""
        return objective_of(self.settings.objective)

    # ------------------------------------------------------------------ how far it is

    @property
    def known(self) -> NDArray[np.bool_]:
        """(combinations, seeds) whether a trial has ended, with a value or an error."""
        return ~np.isnan(self.values) | self.failed

    def known_of(self, combination: int) -> NDArray[np.bool_]:
        """(seeds,) the same for a combination."""
        known: NDArray[np.bool_] = ~np.isnan(self.values[combination]) | self.failed[combination]
        return known

    @property
    def done(self) -> int:
        """How many runs have ended."""
        return int(self.known.sum())

    @property
    def ended(self) -> NDArray[np.bool_]:
        """(combinations,) whether nothing is left to be done of each."""
        found: NDArray[np.bool_] = np.all(self.known, axis=1)
        return found

    @property
    def due(self) -> int:
        """How many runs there are to be in the end."""
        return self.settings.runs

    @property
    def left(self) -> int:
        """How many runs are to be done next at most."""
        return self.asked * len(self.settings.seeds) - self.done

    def wanted(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yields what is to be done next: combinations, and the places of their seeds."""
        for combination in range(self.asked):
            yield combination, np.flatnonzero(~self.known_of(combination))

    def request(self, combination: int) -> dict[str, Any]:
        """Returns the arguments of `train` for a combination, except its seed and store."""
        return self.settings.request(self.combination(combination))

    @property
    def is_done(self) -> bool:
        """Whether every run has ended."""
        return self.done == self.settings.runs

    def take(self, combination: int, places: NDArray[np.int64], trials: list[Trial]) -> None:
        """Takes what came of some seeds of a combination; `places` are those of the seeds."""
        for place, trial in zip(places.tolist(), trials, strict=False):
            self.values[combination, place] = trial.value
            self.failed[combination, place] = math.isnan(trial.value)
            if math.isnan(trial.value) and len(self.failures) < MOST_REASONS:
                reason = trial.reason or "its value is not a number"
                self.failures.append(Failure(combination, self.settings.seeds[place], reason))
        self.scores[combination] = self._score(combination)

    def take_over(self, other: Study) -> None:
        """Takes what another process found of the same study, where this one knows nothing."""
        new = other.known & ~self.known
        np.copyto(self.values, other.values, where=new)
        self.failed |= other.failed & new
        if self.failed.any():
            told = [*self.failures, *(one for one in other.failures if one not in self.failures)]
            self.failures[:] = told[:MOST_REASONS]
        for combination in np.flatnonzero(new.any(axis=1)).tolist():
            self.scores[combination] = self._score(combination)
        self.seconds = max(self.seconds, other.seconds)

    def forget_failures(self) -> None:
        """Lets what failed be tried again."""
        self.failed[:] = False
        self.failures.clear()

    # ------------------------------------------------------------------ what came of it

    def row(self, combination: int) -> Row:
        """Returns a combination with its value."""
        agent, parameters = self.combination(combination)
        values = self.seed_values(combination)
        return Row(agent, parameters, len(values), float(self.scores[combination]), self._interval(values))

    def _score(self, combination: int) -> float:
        values = self.seed_values(combination)
        return value_of(values, self.settings.aggregate) if len(values) else math.nan

    def _interval(self, values: NDArray[np.float64]) -> Interval | None:
        return interval_of(values, self.settings.aggregate) if len(values) > 1 else None

    def seed_values(self, combination: int) -> NDArray[np.float64]:
        """Returns the values of the seeds of a combination that have one, in the order of the seeds."""
        values = self.values[combination]
        found: NDArray[np.float64] = values[~np.isnan(values)]
        return found

    @property
    def ranking(self) -> NDArray[np.int64]:
        """Their numbers, the best first, those without a value last."""
        return np.argsort(self.scores if self.objective.is_loss else -self.scores, kind="stable")[: self.asked]

    @property
    def table(self) -> list[Row]:
        """The combinations, the best first."""
        return [self.row(number) for number in self.ranking.tolist()]

    @property
    def best(self) -> Row:
        """The best combination."""
        return self.row(int(self.ranking[0]) if self.asked else 0)

    @property
    def hash(self) -> str:
        """The SHA-256 hash of the settings and of the values in their order; empty until it is done."""
        if not self.is_done:
            return ""
        found = hashlib.sha256(self.settings.digest.encode())
        for values in self.values:
            found.update(json.dumps([format(value, DIGITS) for value in values.tolist()]).encode())
        return found.hexdigest()

    def runs(self) -> list[Run]:
        """Returns its runs in the store, the first made first."""
        return [Run(record, self.store) for record in reversed(self.store.runs(study=self.name))]

    def plot(self, **look: Any) -> Figure:
        """Draws the objective over the parameters (extra `plots`); `look` is as in `plots.draw`: `title`, `size` ..."""
        intervals = [self.row(number).interval or NONE for number in range(self.settings.combinations)]
        return study_figure(self.settings, self.scores, np.array(intervals), **look)

    def compare(self) -> list[Candidate]:
        """Compares the best combination of each agent, or the ten best of a single one, with the best of all."""
        best, *others = self.compared()
        first = self._merits(best)
        found = [Candidate(self.row(best), None, None)]
        for number in others:
            own = self._merits(number)
            improvement = probability_of_improvement(own, first), improvement_interval(own, first)
            found.append(Candidate(self.row(number), *improvement))
        return found

    def compared(self) -> list[int]:
        """Returns the numbers of the combinations that `compare` compares, the best first."""
        ranked = [number for number in self.ranking.tolist() if not math.isnan(self.scores[number])]
        if not ranked:
            raise UsageError(f"the study {self.name} has no values yet: `rlbench resume {self.name}` goes on")
        if len(self.settings.agents) == 1:
            return ranked[:MOST_COMPARED]
        best_of: dict[int, int] = {}
        for number in ranked:
            best_of.setdefault(number // self.settings.grid, number)
        return list(best_of.values())

    def _merits(self, combination: int) -> NDArray[np.float64]:
        """Returns the values of the seeds of a combination, the higher the better."""
        values = self.seed_values(combination)
        return -values if self.objective.is_loss else values

    def to_dataframe(self) -> DataFrame:
        """Returns the values as a pandas DataFrame, a row a run (extra `plots`)."""
        pandas = require("pandas", "plots", "a data frame")
        columns: dict[str, list[Any]] = defaultdict(list)
        for agent, parameters, seed, value in self._runs():
            for name, told in {"agent": agent, **parameters, "seed": seed, self.objective.name: value}.items():
                columns[name].append(told)
        return pandas.DataFrame(columns)

    def _runs(self) -> Iterator[tuple[str, dict[str, Any], int, float]]:
        for number, values in enumerate(self.values[: self.asked].tolist()):
            agent, parameters = self.combination(number)
            for seed, value in zip(self.settings.seeds, values, strict=True):
                yield agent, parameters, seed, value

    def __repr__(self) -> str:
        asked = self.settings
        sizes = f"{asked.combinations:,} {self.unit} x {len(asked.seeds):,} seeds"
        done = f"{self.done:,} of {self.due:,} runs"
        return f"{type(self).__name__}({self.name}: {', '.join(asked.agents)} on {asked.env}, {sizes}, {done})"
