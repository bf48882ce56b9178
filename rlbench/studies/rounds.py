"""The trials of a tuning, round by round, some of which are given up on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rlbench.studies.objectives import value_of
from rlbench.studies.pruning import Halving, limits
from rlbench.studies.tuned import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.studies.pruning import Pruning
    from rlbench.studies.tuned import Tuning
    from rlbench.studies.working import Worker


class Leg(NamedTuple):
    """What the trials of a round are trained for next: in a part of the tuning, with this many seeds each."""

    part: Tuning
    seeds: int


class Pruner:
    """Has the trials of a tuning trained round by round, in legs, and gives some up after each.

    What it decides depends on what came of the trials of this round and of those before, and on nothing else: a tuning
    that goes on decides again all that it knows.
    """

    def __init__(self, study: Tuning, how: Pruning) -> None:
        self._study, self._how = study, how
        self._next = 0  # the first trial of a round that is not over

    def finish(self, worker: Worker) -> bool:
        """Trains what was asked for; returns whether that is done: no signal came."""
        for begun in self._rounds():
            if not self._finish_round(begun, worker):
                return False
            self._next = begun.stop
        return True

    def _rounds(self) -> Iterator[range]:
        size = self._study.settings.round
        for first in range(self._next, self._study.asked, size):
            yield range(first, min(first + size, self._study.asked))

    def _finish_round(self, begun: range, worker: Worker) -> bool:
        turn: Sequence[int] = begun
        legs = legs_of(self._study, self._how)
        for number, leg in enumerate(legs, start=1):
            leg.part.turn = Turn(turn, leg.seeds)
            if not worker.finish(leg.part, of=self._study):
                return False
            if number < len(legs):
                failed = [trial for trial in turn if leg.part.failed[trial].any()]
                turn = [trial for trial in turn if trial not in failed]
                worse = self._worse(leg, turn, begun)
                self._study.stop([*failed, *worse], number)
                turn = [trial for trial in turn if trial not in worse]
        return True

    def _worse(self, leg: Leg, turn: Sequence[int], begun: range) -> list[int]:
        """Returns which trials of the round `begun` are given up after a leg, of those whose turn it was."""
        if isinstance(self._how, Halving):
            return _behind(self._study.losses(leg.part.scores[: begun.stop]), turn, self._how.factor)
        scores = self._study.losses(self._study.scores[: begun.start])
        if np.isnan(scores).all():
            return []
        limit = limits(len(self._study.settings.seeds), self._how.error)[leg.seeds]
        return [trial for trial in turn if _loses(self._study, trial, int(np.nanargmin(scores)), leg.seeds, limit)]


def legs_of(study: Tuning, how: Pruning) -> list[Leg]:
    """Returns the rungs, or the looks at the first seeds, and the whole training last."""
    seeds = len(study.settings.seeds)
    if isinstance(how, Halving):
        return [Leg(part, seeds) for part in (*study.rungs, study)]
    return [Leg(study, count) for count in (*limits(seeds, how.error), seeds)]


def _behind(losses: NDArray[np.float64], turn: Sequence[int], factor: int) -> list[int]:
    """Returns which trials are not among the best of all that came to a rung, one in `factor`."""
    known = np.sort(losses[~np.isnan(losses)])
    last = known[max(1, len(known) // factor) - 1] if len(known) else np.nan
    return [trial for trial in turn if losses[trial] > last]  # as good as the last one goes on as well


def _loses(study: Tuning, trial: int, best: int, seeds: int, limit: int) -> bool:
    """Returns whether a trial is worse than the best on so many of its first seeds as the limit, and together."""
    both = study.values[[trial, best]][:, study.settings.seed_order(trial)[:seeds]]
    ours, theirs = study.losses(both)
    together, others = study.losses(np.array([value_of(values, study.settings.aggregate) for values in both]))
    return bool((ours > theirs).sum() >= limit and together > others)
