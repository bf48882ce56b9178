"""A tuning: a study whose trials a sampler chose, and what the best of them is worth on other seeds."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from rlbench.checks import whole_number
from rlbench.errors import UsageError, unknown_name
from rlbench.studies.figure import trials_figure
from rlbench.studies.searching import SAMPLERS, is_in
from rlbench.studies.settings import MOST_RUNS, Combination, Settings
from rlbench.studies.study import DIGITS, Study
from rlbench.training.many import checked_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure

    from rlbench.studies.axes import Axis

MOST_TRIALS = 100_000


@dataclass(frozen=True)
class TuningSettings(Settings):
    """A tuning as it was asked for.

    Attributes:
        ranges: the names of the axes that stand for all values between their two.
        trials: how many.
        round: how many of them are chosen before what came of these is told.
        sampler: "tpe", "random" or "grid".
        seed: of the sampler.
        test_seeds: those that the best trial is tested with.
    """

    ranges: tuple[str, ...]
    trials: int
    round: int
    sampler: str
    seed: int
    test_seeds: tuple[int, ...]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Reads the document of settings; whatever it raises, the document is not one."""
        found = super().of(
            {**document, "ranges": tuple(document["ranges"]), "test_seeds": tuple(document["test_seeds"])}
        )
        check_tuning(found)
        return found

    @property
    def combinations(self) -> int:
        """How many trials there are."""
        return self.trials

    def variants(self, axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
        """Yields the values and the ends of the ranges of its axes, each alone: there may be very many together."""
        return ({axis.name: value} for axis in axes for value in axis.values)

    def allows(self, parameters: dict[str, Any]) -> bool:
        """Returns whether a trial may have these parameters."""
        return parameters.keys() == {axis.name for axis in self.axes} and all(
            is_in(axis, parameters[axis.name], is_range=axis.name in self.ranges) for axis in self.axes
        )

    def for_test(self) -> TuningSettings:
        """Returns the settings of the test of a trial beside the preset."""
        return replace(self, seeds=self.test_seeds, test_seeds=(), trials=2, sampler="random")

    def order(self) -> list[int]:
        """Returns the combinations in the order in which a grid tries them: so that a part of it is spread."""
        return [int(number) for number in np.random.default_rng(self.seed).permutation(self.grid)]


def check_tuning(settings: TuningSettings) -> None:
    """Refuses settings that no tuning can have."""
    whole_number("trials", settings.trials)
    whole_number("round", settings.round)
    whole_number("seed", settings.seed, least=0)
    if settings.sampler not in SAMPLERS:
        raise unknown_name("sampler", settings.sampler, SAMPLERS)
    if settings.trials > MOST_TRIALS:
        raise UsageError(f"a tuning has at most {MOST_TRIALS:,} trials, got {settings.trials:,}")
    if settings.sampler == "grid" and settings.ranges:
        raise UsageError(f"a grid takes values: give {settings.ranges[0]} as a,b,c, lo..hi:n or lo..hi:n:log")
    if settings.sampler == "grid" and settings.grid > MOST_RUNS:
        raise UsageError(f"a grid has at most {MOST_RUNS:,} combinations, got {settings.grid:,}: take a random sampler")
    if settings.sampler == "grid" and settings.trials > settings.grid:
        raise UsageError(f"the grid has {settings.grid:,} combinations, fewer than {settings.trials:,} trials")
    both = sorted(set(settings.seeds) & set(checked_seeds(settings.test_seeds) if settings.test_seeds else ()))
    if both:
        raise UsageError(f"seeds and test seeds must be apart, or the test says nothing: both have {both[0]}")


@dataclass(eq=False, repr=False)
class Tuning(Study):
    """A study whose trials a sampler chose, as `tune` returns it and `load_study` reads it back.

    Attributes:
        parameters: of the trials that were asked for so far, in order.
        test: the best trial and what the preset gives without the search, with the test seeds; None until all trials
            have ended.
    """

    unit: ClassVar[str] = "trials"

    settings: TuningSettings
    parameters: list[dict[str, Any]] = field(default_factory=list, repr=False)
    test: Tuning | None = None

    @property
    def asked(self) -> int:
        """How many of its trials were asked for so far."""
        return len(self.parameters)

    @property
    def parts(self) -> list[Study]:
        """The study, and its test if that has begun."""
        return [self, *([] if self.test is None else [self.test])]

    def combination(self, index: int) -> Combination:
        """Returns a trial by its number."""
        return Combination(self.settings.agents[0], self.parameters[index] if index < self.asked else {})

    def _score(self, combination: int) -> float:
        """Returns the objective of a trial; a seed that failed is no small thing, so that it has none then."""
        return super()._score(combination) if not self.failed[combination].any() else math.nan

    def take_over(self, other: Study) -> None:
        """Takes what another process found of the same tuning, its later trials too."""
        if isinstance(other, Tuning):
            self.parameters += other.parameters[self.asked :]
            self._take_test(other)
        super().take_over(other)

    def _take_test(self, other: Tuning) -> None:
        if self.test is None:
            self.test = other.test
        elif other.test is not None:
            self.test.take_over(other.test)

    def plot(self, **look: Any) -> Figure:
        """Draws the value of each trial and the best so far (extra `plots`); `look` is as in `plots.draw`."""
        return trials_figure(self.settings, self.scores[: self.asked], **look)

    def forget_failures(self) -> None:
        """Keeps what failed: the trials that followed were chosen in view of it."""

    @property
    def are_trials_done(self) -> bool:
        """Whether every trial has ended."""
        return self.done == self.settings.runs

    @property
    def is_done(self) -> bool:
        """Whether every trial has ended, and the test."""
        return self.are_trials_done and (not self.has_test or (self.test is not None and self.test.are_trials_done))

    @property
    def has_test(self) -> bool:
        """Whether there is something to test, and seeds to do it with."""
        return bool(self.settings.test_seeds) and not math.isnan(self.best.value)

    @property
    def hash(self) -> str:
        """The SHA-256 hash of the parameters and values of all trials in their order; empty until it is done."""
        if not self.is_done:
            return ""
        told = [
            [parameters, [format(value, DIGITS) for value in values]]
            for parameters, values in zip(self.parameters, self.values.tolist(), strict=True)
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def tested(self) -> list[dict[str, Any]]:
        """The parameters that the test compares: the best ones, and those of the preset."""
        return [self.best.parameters, {}]
