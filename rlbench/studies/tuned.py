"""A tuning: a study whose trials a sampler chose, and what the best of them is worth on other seeds."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np

from rlbench.checks import whole_number
from rlbench.envs.making import full_id
from rlbench.errors import UsageError, unknown_name
from rlbench.studies.figure import trials_figure
from rlbench.studies.objectives import objective_of, value_of
from rlbench.studies.pruning import Halving, Racing, limits, pruning_of
from rlbench.studies.searching import SAMPLERS, is_in
from rlbench.studies.settings import MOST_RUNS, Combination, Settings
from rlbench.studies.study import DIGITS, Pruned, Row, Study
from rlbench.training.budgets import budget_config, budget_of
from rlbench.training.many import checked_seeds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rlbench.studies.axes import Axis

MOST_TRIALS = 100_000
OF_SEEDS = 1  # tells the generator of an order of seeds from that of the sampler


class Turn(NamedTuple):
    """The trials whose turn it is, and with how many seeds, each in its own order."""

    trials: Sequence[int]
    seeds: int


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
        prune: how trials are given up early, see `pruning_of`; "" for not at all.
    """

    ranges: tuple[str, ...]
    trials: int
    round: int
    sampler: str
    seed: int
    test_seeds: tuple[int, ...]
    prune: str

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """Reads the document of settings; whatever it raises, the document is not one."""
        tuples = {name: tuple(document[name]) for name in ("ranges", "test_seeds")}
        found = super().of({"prune": "", **document, **tuples})
        check_tuning(found)
        return found

    def document(self) -> dict[str, Any]:
        """Returns the settings as JSON values; those of before there was pruning have no word of it."""
        return {name: value for name, value in super().document().items() if name != "prune" or value}

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
        return replace(self, seeds=self.test_seeds, test_seeds=(), trials=2, sampler="random", prune="")

    def seed_order(self, trial: int) -> NDArray[np.int64]:
        """Returns the places of the seeds in the order in which a trial that may be given up is trained with them."""
        drawn = np.random.default_rng([self.seed, trial, OF_SEEDS]).permutation(len(self.seeds))
        return drawn.astype(np.int64)

    @property
    def legs(self) -> int:
        """In how many legs a trial is trained that is not given up."""
        how = pruning_of(self.prune)
        if isinstance(how, Halving):
            return how.rungs
        return 1 if how is None else 1 + len(limits(len(self.seeds), how.error))

    @property
    def length(self) -> int:
        """Of a training, in episodes, or in steps where only these are limited."""
        return self.episodes or self.total_timesteps or 0

    @property
    def budget(self) -> str:
        """The same, in words."""
        return f"{self.length:,} {'episodes' if self.episodes else 'steps'}"

    def with_length(self) -> TuningSettings:
        """Returns the same settings, which say how long a training is: else its preset says."""
        whole = budget_config(budget_of(self.episodes, self.total_timesteps, self.tuned, full_id(self.env)))
        return replace(self, episodes=whole.episodes, total_timesteps=whole.total_timesteps)

    def rungs(self, how: Halving) -> list[TuningSettings]:
        """Returns the settings of the shorter trainings of halving, the shortest first."""
        found = [self]
        for _ in range(how.rungs - 1):
            lengths = found[-1].episodes, found[-1].total_timesteps
            episodes, steps = (None if one is None else -(-one // how.factor) for one in lengths)
            found.append(replace(self, episodes=episodes, total_timesteps=steps, prune=""))
        if not all(longer.length > shorter.length for longer, shorter in pairwise(found)):
            raise UsageError(f"a training of {self.budget} is too short for {how.rungs} rungs: train longer")
        return found[:0:-1]

    def beginning(self, request: dict[str, Any]) -> dict[str, Any]:
        """Returns a request for a shorter training as one that explores like this one: it is its prefix, bit by bit.

        What exploration depends on is said in steps then, as `agent_for` says it of the whole.
        """
        given = request["agent_kwargs"]
        fraction = self.tuned.parameters(request["agent"], given).get("exploration_fraction")
        if fraction is None or self.total_timesteps is None:
            return request
        absolute = {"exploration_fraction": None, "exploration_steps": fraction * self.total_timesteps}
        return {**request, "agent_kwargs": {**given, **absolute}}

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
    check_pruning(settings)
    both = sorted(set(settings.seeds) & set(checked_seeds(settings.test_seeds) if settings.test_seeds else ()))
    if both:
        raise UsageError(f"seeds and test seeds must be apart, or the test says nothing: both have {both[0]}")


def check_pruning(settings: TuningSettings) -> None:
    """Refuses pruning that no tuning can have."""
    how = pruning_of(settings.prune)
    if isinstance(how, Racing) and not limits(len(settings.seeds), how.error):
        raise UsageError(
            f"with {len(settings.seeds)} seeds none can be spared at an error rate of {how.error:g}: take more"
        )
    if isinstance(how, Halving) and settings.length:
        shortest, objective = settings.rungs(how)[0], settings.objective and objective_of(settings.objective)
        if objective and objective.name == "area" and shortest.episodes and shortest.episodes <= objective.threshold:
            raise UsageError(f"{settings.objective} leaves nothing of the shortest rung, of {shortest.budget}")


@dataclass(eq=False, repr=False)
class Tuning(Study):
    """A study whose trials a sampler chose, as `tune` returns it and `load_study` reads it back.

    Attributes:
        parameters: of the trials that were asked for so far, in order.
        test: the best trial and what the preset gives without the search, with the test seeds; None until all trials
            have ended.
        rungs: of halving: the same trials in shorter trainings, the shortest first.
        whole: of a rung: the settings of the whole training.
        stopped: (trials,) after which rung or look a trial was given up, from 1; 0 if it was not.
        turn: the trials that are to be trained next, and with how many seeds; None: all.
    """

    unit: ClassVar[str] = "trials"

    settings: TuningSettings
    parameters: list[dict[str, Any]] = field(default_factory=list, repr=False)
    test: Tuning | None = None
    rungs: list[Tuning] = field(default_factory=list, repr=False)
    whole: TuningSettings | None = field(default=None, repr=False)
    stopped: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    turn: Turn | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Makes the rungs, unless it is a copy that has them."""
        if not len(self.stopped):
            self.stopped = np.zeros(self.settings.trials, np.int64)
        how = pruning_of(self.settings.prune)
        if isinstance(how, Halving) and not self.rungs:
            self.rungs = [self._rung(settings) for settings in self.settings.rungs(how)]

    def _rung(self, settings: TuningSettings) -> Tuning:
        found = Tuning.new(self.name, settings, self.store)
        found.whole, found.parameters = self.settings, self.parameters
        return found

    @property
    def asked(self) -> int:
        """How many of its trials were asked for so far."""
        return len(self.parameters)

    @property
    def parts(self) -> list[Study]:
        """The study, its rungs, and its test if that has begun."""
        return [self, *self.rungs, *([] if self.test is None else [self.test])]

    def combination(self, index: int) -> Combination:
        """Returns a trial by its number."""
        return Combination(self.settings.agents[0], self.parameters[index] if index < self.asked else {})

    def _score(self, combination: int) -> float:
        """Returns the objective of a trial; it has none if a seed failed, which is no small thing, or if given up."""
        has_none = self.failed[combination].any() or self.stopped[combination]
        return math.nan if has_none else super()._score(combination)

    # ------------------------------------------------------------------ trials that are given up

    def request(self, combination: int) -> dict[str, Any]:
        """Returns the arguments of `train` for a trial, except its seed and store."""
        request = super().request(combination)
        return request if self.whole is None else self.whole.beginning(request)

    def wanted(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yields what is to be done next: trials, and the places of their seeds."""
        every, turn = super().wanted(), self.turn
        if turn is None:
            yield from ((trial, places) for trial, places in every if not self.stopped[trial])
            return
        for trial in turn.trials:
            places = np.sort(self.settings.seed_order(trial)[: turn.seeds])
            yield trial, places[~self.known_of(trial)[places]]

    @property
    def left(self) -> int:
        """How many runs are to be done next at most."""
        return super().left if self.turn is None else sum(len(places) for _, places in self.wanted())

    @property
    def ended(self) -> NDArray[np.bool_]:
        """(trials,) whether nothing is left to be done of each."""
        found: NDArray[np.bool_] = super().ended | (self.stopped > 0)
        return found

    @property
    def due(self) -> int:
        """How many runs there are to be in the end, as far as is known: without those of trials that were given up."""
        return super().due - int((~self.known[self.stopped > 0]).sum())

    def stop(self, trials: list[int], leg: int) -> None:
        """Gives trials up after a rung or look, from 1."""
        self.stopped[trials] = leg
        self.scores[trials] = math.nan

    def pruned(self, trial: int) -> Pruned | None:
        """Returns what is known of a trial that was given up; None for one that was not, or failed."""
        part = self.rungs[self.stopped[trial] - 1] if self.rungs else self
        if not self.stopped[trial] or part.failed[trial].any():
            return None
        values = part.seed_values(trial)
        after = part.settings.budget if self.rungs else f"{len(values)} of {len(self.settings.seeds)} seeds"
        return Pruned(value_of(values, self.settings.aggregate), after)

    @property
    def pruned_trials(self) -> int:
        """How many trials were given up."""
        return sum(self.pruned(trial) is not None for trial in np.flatnonzero(self.stopped).tolist())

    @property
    def effort(self) -> float:
        """The share of the training that all trials in full would be, which those so far took."""
        shares = self.known.mean(axis=1)
        for number, rung in enumerate(self.rungs, start=1):
            shares[self.stopped == number] = rung.settings.length / self.settings.length
        return float(shares[: self.asked].mean()) if self.asked else 0.0

    def row(self, combination: int) -> Row:
        """Returns a trial with its value, or with what was known of it when it was given up."""
        found, pruned = super().row(combination), self.pruned(combination)
        return found if pruned is None else found._replace(interval=None, pruned=pruned)

    @property
    def ranking(self) -> NDArray[np.int64]:
        """The numbers of the trials, the best first; those without a value last, of which who came furthest first."""
        return np.lexsort((-self.stopped, self.losses(self.scores)))[: self.asked]

    def losses(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns values, the lower the better."""
        return values if self.objective.is_loss else -values

    # ------------------------------------------------------------------ how far it is

    def take_over(self, other: Study) -> None:
        """Takes what another process found of the same tuning, its later trials too."""
        if isinstance(other, Tuning):
            self.parameters += other.parameters[self.asked :]
            self._take_test(other)
            np.copyto(self.stopped, other.stopped, where=self.stopped == 0)
            for mine, theirs in zip(self.rungs, other.rungs, strict=True):
                mine.take_over(theirs)
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
        return bool(self.ended.all())

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
        all_values = np.hstack([*(rung.values for rung in self.rungs), self.values])
        told = [
            [parameters, [format(value, DIGITS) for value in values]]
            for parameters, values in zip(self.parameters, all_values.tolist(), strict=True)
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    @property
    def tested(self) -> list[dict[str, Any]]:
        """The parameters that the test compares: the best ones, and those of the preset."""
        return [self.best.parameters, {}]
