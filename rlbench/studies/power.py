"""`power`: how many seeds it takes to tell two settings apart, by simulation from the spread that was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.evaluation.comparison import group_runs, scored
from rlbench.intervals import wilson_interval
from rlbench.plots.parameters import Measured, Parameter, parameter_figure
from rlbench.settings import parse_settings, write_setting
from rlbench.studies.study import DIGITS, Study
from rlbench.studies.telling import MOST, SIMULATIONS, Rates, first_above, paired_interval, rates, rough_number
from rlbench.studies.telling import welch_interval as unpaired_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rlbench.intervals import Interval
    from rlbench.training import Run

    Array = NDArray[np.float64]
    Choice = str | Mapping[str, Any]

ALPHA, POWER = 0.05, 0.8
LEAST, MOST_OF_RATE = 1e-4, 0.5  # of an error rate
AMISS = 1.5  # times the error rate that the test is made for
POINTS = 40  # of a curve, at most
FEW = 20  # seeds, from which a spread is known within about a third
CHOICE = "agent=NAME,PARAMETER=VALUE,..."


class Setting(NamedTuple):
    """One of two settings: what it is called, and its values (n,), with the seeds that gave them."""

    label: str
    seeds: tuple[int, ...]
    values: Array


@dataclass(frozen=True, eq=False)
class Power:
    """How many seeds it takes to tell two settings apart, as `power` returns it.

    Attributes:
        labels: of the two.
        seeds: how many each was measured with.
        means: of their values.
        what: the values are, in words.
        difference: of the first from the second, on the mean.
        interval: its confidence interval, of 1 - alpha.
        spread: the standard deviation of the differences of pairs; else that of the values, root mean square of both.
        is_paired: whether the values of a seed are compared with each other.
        alpha: the error rate that the test is made for.
        power: the probability of telling them apart that is asked for.
        needed: how many seeds each of them needs; None if that is more than 1,000.
        needed_interval: its 95 % interval by the error of the simulation, whose end is None likewise.
        numbers: (n,) numbers of seeds from 2 to 1,000.
        curve: (n,) the probability of telling them apart with each.
        false_curve: (n,) the measured error rate of the test with each: how often it does where they do not differ.
    """

    labels: tuple[str, str]
    seeds: tuple[int, int]
    means: tuple[float, float]
    what: str
    difference: float
    interval: Interval
    spread: float
    is_paired: bool
    alpha: float
    power: float
    needed: int | None
    needed_interval: tuple[int | None, int | None]
    numbers: NDArray[np.int64] = field(repr=False)
    curve: Array = field(repr=False)
    false_curve: Array = field(repr=False)

    @property
    def test(self) -> str:
        """The test by which they are told apart, in words."""
        return "the paired t-test" if self.is_paired else "Welch's t-test"

    @property
    def false_alarms(self) -> float:
        """The measured error rate of the test with the seeds that are needed, else with 1,000."""
        return float(self.false_curve[(self.needed or MOST) - 2])

    @property
    def notes(self) -> list[str]:
        """What to bear in mind, a sentence each."""
        found = []
        if self.difference == 0:
            found.append("the two do not differ at all on the mean: no number of seeds tells them apart")
        elif self.spread == 0:
            found.append("they differ by the same on all seeds: there is no spread to simulate")
        elif self.interval[0] <= 0 <= self.interval[1]:
            found.append("these seeds do not tell them apart: there may be no difference, or one the other way")
        if self.spread > 0 and min(self.seeds) < FEW:
            found.append(f"the spread was measured with {min(self.seeds)} seeds only, which may be far off")
        if self.false_alarms > AMISS * self.alpha:
            found.append("the values are far from a bell curve: with these seeds the test errs more often than it says")
        return found

    def plot(self, **look: Any) -> Figure:
        """Draws the probability of telling them apart over the number of seeds (extra `plots`); `look` as in `draw`."""
        last = min(MOST, max(10, 2 * (self.needed or MOST)))
        shown = np.unique(np.linspace(2, last, POINTS).round().astype(int)) - 2
        curve, false = self.curve[shown], self.false_curve[shown]
        measured = [
            Measured("told apart", curve, *wilson_interval(curve * SIMULATIONS, SIMULATIONS)),
            Measured("wanted", np.full(len(shown), self.power)),
            Measured("false alarms", false, *wilson_interval(false * SIMULATIONS, SIMULATIONS)),
        ]
        seeds = Parameter("seeds of each", tuple(self.numbers[shown].tolist()))
        label, title = "probability", f"{' and '.join(self.labels)}, {self.test}"
        return parameter_figure(measured, [seeds], label, title, is_loss=False, **look)

    def __str__(self) -> str:
        low, high = self.interval
        how = "paired by seed" if self.is_paired else "not paired"
        lines = [
            *(
                f"{letter}  {label}: mean {self.what} {mean:.4g} of {count} seeds"
                for letter, label, mean, count in zip("AB", self.labels, self.means, self.seeds, strict=True)
            ),
            f"  difference   {self.difference:.4g} ({100 * (1 - self.alpha):g}% interval {low:.4g} to {high:.4g}), "
            f"spread {self.spread:.4g}, {how}",
            f"  needed       {self._needed()}",
            f"  test         {self.test}, two-sided at {self.alpha:g}; {self._alarms()}",
        ]
        return "\n".join([*lines, *(f"  note         {note}" for note in self.notes)])

    def _needed(self) -> str:
        if self.difference == 0:
            return "no number of seeds is enough"
        target = f"to tell them apart with a probability of {self.power:g}"
        if self.needed is None:
            spread = self.spread if self.is_paired else self.spread * math.sqrt(2)
            about = float(f"{rough_number(self.difference, spread, self.alpha, self.power):.2g}")
            return f"more than {MOST:,} seeds each {target}, about {about:,.0f} by the normal distribution"
        low, high = (f"more than {MOST:,}" if one is None else f"{one:,}" for one in self.needed_interval)
        return f"{self.needed:,} seeds each {target} ({low} to {high}, by {SIMULATIONS:,} simulations)"

    def _alarms(self) -> str:
        with_seeds = f"with {self.needed or MOST:,} seeds"
        return f"it tells {100 * self.false_alarms:.1f} % of simulated pairs apart that do not differ, {with_seeds}"


def power(
    what: Study | Sequence[Run],
    a: Choice | None = None,
    b: Choice | None = None,
    *,
    alpha: float = ALPHA,
    power: float = POWER,
    paired: bool | None = None,
    seed: int = 0,
) -> Power:
    """Returns how many seeds it takes to tell two settings apart, by simulation from the spread that was measured.

        found = rlbench.power(study, {"agent": "sarsa", "gamma": 0.9}, {"agent": "q-learning", "gamma": 0.9})
        print(found, found.needed)

    Values are drawn with replacement from those of the seeds that were measured, with 2, 3 ... 1,000 seeds each, and
    tested 5,000 times: by the paired t-test, or Welch's (Colas, Sigaud and Oudeyer, "How many random seeds?", 2018).
    What is measured of the simulation is thus its own; that the true difference and spread are the measured ones, it
    takes for granted.

    Args:
        what: a study, or runs of two settings, which `compare` would group.
        a: of a study one of its combinations, as a dict or a text "agent=sarsa,gamma=0.9": what tells it from the
            others. By default the best one.
        b: another. By default the next that `Study.compare` has: the best of another agent, if there is one.
        alpha: the error rate of the test, two-sided.
        power: the probability of telling them apart that is wanted.
        paired: compare the values of each seed with each other; by default where both have the same seeds.
        seed: of the simulation.

    Raises:
        UsageError: these are not two settings with two finite values each, or an argument is wrong.
    """
    _check_rate("alpha", alpha, LEAST, MOST_OF_RATE)
    _check_rate("power", power, 0.0, 1.0)
    if isinstance(what, Study):
        settings, measured = _of_study(what, a, b), what.settings.objective
    elif a is not None or b is not None:
        raise UsageError("a and b choose combinations of a study: name runs of two settings alone")
    else:
        settings, measured = _of_runs(what), "return"
    for one in settings:
        _check_values(one)
    has_pairs = sorted(settings[0].seeds) == sorted(settings[1].seeds)
    if paired and not has_pairs:
        raise UsageError("pairs need the same seeds, each once: leave out paired=True, or train both with the same")
    return _simulated(settings, measured, alpha, power, seed, is_paired=has_pairs if paired is None else paired)


def _check_rate(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least < value < most:
        raise UsageError(f"{name} must lie between {least:g} and {most:g}, got {value!r}")


def _check_values(one: Setting) -> None:
    if len(one.values) < 2:  # noqa: PLR2004  (one has no spread)
        raise UsageError(f"{one.label} has {len(one.values)} values: train it with two seeds at least, better 20")
    if not np.isfinite(one.values).all():
        raise UsageError(f"{one.label} has infinite values, of which there is no mean: choose another objective")


# ---------------------------------------------------------------------- the two settings


def _of_study(study: Study, a: Choice | None, b: Choice | None) -> tuple[Setting, Setting]:
    first = None if a is None else _chosen(study, a, "a")
    second = None if b is None else _chosen(study, b, "b")
    others = iter([] if first is not None and second is not None else study.compared())
    left = (number for number in others if number not in (first, second))
    first = next(left, None) if first is None else first
    second = next(left, None) if second is None else second
    if first is None or second is None or first == second:
        raise UsageError(f"{study.name} has one combination with values here, and power compares two: choose another")
    return _shared(study, first, second), _shared(study, second, first)


def _shared(study: Study, number: int, other: int) -> Setting:
    """Returns a combination with the seeds that another has too, if they share any."""
    known = ~np.isnan(study.values[number])
    common = known & ~np.isnan(study.values[other])
    places = np.flatnonzero(common if common.any() else known)
    seeds = tuple(study.settings.seeds[place] for place in places.tolist())
    values = [float(format(value, DIGITS)) for value in study.values[number, places].tolist()]  # equal ones are equal
    return Setting(study.row(number).label, seeds, np.array(values))


def _chosen(study: Study, asked: Choice, name: str) -> int:
    """Returns the number of the combination that a choice fits, which must be one."""
    wanted = parse_settings(asked.split(","), f"--{name}") if isinstance(asked, str) else dict(asked)
    known = {"agent", *(axis.name for axis in study.settings.axes)}
    strange = next((one for one in wanted if one not in known), None)
    if strange is not None:
        raise UsageError(
            f"{name} names {strange!r}, which {study.name} does not vary: it takes {', '.join(sorted(known))}"
        )
    fitting = [number for number in range(study.asked) if _fits(study, number, wanted)]
    if len(fitting) == 1:
        return fitting[0]
    told = ",".join(f"{one}={write_setting(value)}" for one, value in wanted.items()) or "nothing"
    few = ", ".join(study.row(number).label for number in fitting[:3]) or "see `rlbench studies show`"
    raise UsageError(f"{name} ({told}) fits {len(fitting):,} combinations of {study.name}, not one: {few}")


def _fits(study: Study, number: int, wanted: dict[str, Any]) -> bool:
    agent, parameters = study.combination(number)
    found = {"agent": agent, **parameters}
    return all(name in found and _are_same(found[name], value) for name, value in wanted.items())


def _are_same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _of_runs(runs: Sequence[Run]) -> tuple[Setting, Setting]:
    if not isinstance(runs, Sequence):
        raise UsageError(f"power takes a study, or runs of two settings, got {type(runs).__name__}")
    groups = group_runs(runs)
    if len(groups) != 2:  # noqa: PLR2004  (a and b)
        raise UsageError(f"power compares two settings, and these runs have {len(groups)}: choose runs of two")
    found = scored(groups).candidates
    first, second = (
        Setting(one.label, tuple(run.seed for run in group.runs), np.array(one.means))
        for one, group in zip(found, groups, strict=True)
    )
    return first, second


# ---------------------------------------------------------------------- the simulation


def _simulated(
    settings: tuple[Setting, Setting], measured: str, alpha: float, power: float, seed: int, *, is_paired: bool
) -> Power:
    x, y = (one.values[np.argsort(one.seeds)] for one in settings)
    samples = (x - y,) if is_paired else (x, y)
    difference, low, high = paired_interval(x - y, alpha) if is_paired else unpaired_interval(x, y, alpha)
    spread = math.sqrt(float(np.mean([one.var(ddof=1) for one in samples])))
    numbers = np.arange(2, MOST + 1)
    if spread == 0:
        always = np.full(len(numbers), SIMULATIONS * int(difference != 0))
        found = Rates(always, np.zeros_like(always))
    else:
        found = rates(samples, difference, alpha, seed)
    curve = found.told / SIMULATIONS
    worst, best = wilson_interval(found.told, SIMULATIONS)
    needed = first_above(curve, power)
    return Power(
        labels=(settings[0].label, settings[1].label),
        seeds=(len(x), len(y)),
        means=(float(x.mean()), float(y.mean())),
        what=measured,
        difference=difference,
        interval=(low, high),
        spread=spread,
        is_paired=is_paired,
        alpha=alpha,
        power=power,
        needed=None if difference == 0 else needed,
        needed_interval=(first_above(best, power), first_above(worst, power)),
        numbers=numbers,
        curve=curve,
        false_curve=found.false / SIMULATIONS,
    )
