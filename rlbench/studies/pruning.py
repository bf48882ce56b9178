"""How trials are given up early: by successive halving of their number, or in view of their first seeds."""

from __future__ import annotations

import math
import re
from functools import cache
from typing import NamedTuple

import numpy as np

from rlbench.errors import UsageError

HALVING = re.compile(r"halving(?::(\d{1,3})(?::(\d))?)?")
RACING = re.compile(r"seeds(?::(0?\.\d{1,6}))?")
FORMS = "halving, halving:FACTOR, halving:FACTOR:RUNGS, seeds or seeds:ERROR"
FACTOR, RUNGS, ERROR = 3, 3, 0.05
MOST_OF_ERROR = 0.5
GROWTH = 1.5  # of the number of seeds between two looks at them


class Halving(NamedTuple):
    """Successive halving (Jamieson & Talwalkar, 2016): of the trials that come to a rung, one in `factor` goes on.

    The lowest of the rungs is a training of 1 / factor ** (rungs - 1) of the whole. A trial is compared with all that
    have come to its rung so far, those of its round included (as Li et al., 2020, compare them).
    """

    factor: int = FACTOR
    rungs: int = RUNGS


class Racing(NamedTuple):
    """Stopping early over seeds: a trial that is worse than the best so far on too many of its first seeds.

    The seeds come in an order that is drawn for each trial. Hence a trial that is worse than the best on half of all
    seeds at most is given up with a probability of `error` at most, over all looks together, whatever the values are:
    `limits` counts the orders in which that happens.
    """

    error: float = ERROR


Pruning = Halving | Racing


def pruning_of(text: str) -> Pruning | None:
    """Reads how to prune; None for not at all, which is ""; UsageError for anything else."""
    halving, racing = HALVING.fullmatch(str(text)), RACING.fullmatch(str(text))
    if halving is not None:
        found = Halving(int(halving[1] or FACTOR), int(halving[2] or RUNGS))
        if min(found) < 2:  # noqa: PLR2004  (else nothing would be given up)
            raise UsageError(f"the factor and the rungs of halving are 2 or more, got {text!r}")
        return found
    if racing is not None:
        error = float(racing[1] or ERROR)
        if not 0 < error <= MOST_OF_ERROR:
            raise UsageError(
                f"the error rate of pruning by seeds lies above 0, and is {MOST_OF_ERROR} at most: {text!r}"
            )
        return Racing(error)
    if text:
        raise UsageError(f"prune takes {FORMS}, got {text!r}")
    return None


# ---------------------------------------------------------------------- the looks at some seeds


@cache
def limits(seeds: int, error: float) -> dict[int, int]:
    """Returns on how many seeds a trial must be worse to be given up, by the number of seeds when it is looked at.

    A trial that is worse on half of all seeds, in an order drawn at random, is given up with a probability of at most
    `error`: it is spent as early as it allows.
    """
    worse, chances = seeds // 2, np.array([1.0])  # of each number of worse seeds among those so far, not given up
    found: dict[int, int] = {}
    spent, looks = 0.0, _looks(seeds, error)
    for n in range(1, seeds):
        number = np.arange(len(chances))
        up = chances * np.clip(worse - number, 0, None) / (seeds - n + 1)
        chances = np.append(chances - up, 0) + np.append(0, up)
        if n in looks:
            tails = np.append(np.cumsum(chances[::-1])[::-1], 0)
            found[n] = int(np.argmax(spent + tails <= error))
            spent += float(tails[found[n]])
            chances[found[n] :] = 0
    return {n: limit for n, limit in found.items() if limit <= n}


def _looks(seeds: int, error: float) -> list[int]:
    """Returns after how many seeds to look: first when a trial that is worse on all of them can be given up."""
    chance, n = 1.0, 0
    while n < seeds - 1 and (n == 0 or chance > error):
        chance *= max(0, seeds // 2 - n) / (seeds - n)
        n += 1
    found = []
    while n < seeds:
        found.append(n)
        n = math.ceil(GROWTH * n)
    return found
