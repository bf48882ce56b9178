"""Hostile states: what is loaded from a store or a file may have been edited, so every entry is mutated in many ways.

Mutated states are loaded in a process of their own, since they may crash it.
"""

import multiprocessing
import random
import resource
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from rlbench.errors import RlbenchError

NUMBERS = (-1, 10**9, 2**64, float("nan"), 1e301, None, "x", [1, 2, 3])
INTEGERS = (-1, 4, 10**6, 2**31 - 1, 2**62, -(2**62))
FLOATS = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 0.0)
MEMORY = 200 * 2**20  # bytes that a hostile state may take


def mutations(value, rng):
    """Yields what an entry of a state may have become, including arrays of 10**9 entries that take no memory yet."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: kept for name, kept in value.items() if name != key}
            yield from ({**value, key: mutated} for mutated in mutations(inner, rng))
        yield {}
    elif isinstance(value, np.ndarray):
        yield np.broadcast_to(value.dtype.type(0), (10**9,))  # no memory, unless somebody copies it
        yield np.broadcast_to(value.dtype.type(0), (10**9, *value.shape[1:]))
        yield from arrays_like(value, rng)
    elif isinstance(value, list | tuple):
        yield from ([*value[:i], mutated, *value[i + 1 :]] for i in range(len(value)) for mutated in NUMBERS)
    yield from NUMBERS


def arrays_like(value, rng):
    """Yields arrays of other shapes, dtypes and values."""
    yield from (value[:0], value[None], value.ravel(), np.concatenate([value, value]), value.astype(complex))
    yield from (value.astype(kind) for kind in (np.int8, np.uint64, np.float64, str))
    extremes = {"b": (True, False), "i": INTEGERS, "u": (0, 4, 255)}.get(value.dtype.kind, FLOATS)
    for extreme in extremes:
        for where in (slice(None), rng.integers(max(1, value.size))):
            mutated = value.copy()
            with np.errstate(all="ignore"):
                if value.size:
                    mutated.flat[where] = np.array(extreme).astype(value.dtype)
            yield mutated


class Outcomes:
    """What became of mutated states: how many were refused, how many taken, and what else happened."""

    def __init__(self, share):
        self.refused, self.taken, self.complaints = 0, 0, []
        self._before, self._share, self._rng = _peak(), share, random.Random(0)  # noqa: S311

    def of(self, name, load_and_use):
        """Tries one, or leaves it out: only a share of them is tried."""
        if self._rng.random() >= self._share:
            return
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                load_and_use()
            self.taken += 1
        except RlbenchError as error:
            self.refused += 1
            if "\n" in str(error) or len(str(error)) > 400:
                self.complaints.append(f"{name}: {error}")
        except Exception as error:  # noqa: BLE001  (what is looked for)
            self.complaints.append(f"{name}: {type(error).__name__}: {error}")

    def told(self):
        """Returns the numbers and the complaints; one may be about memory."""
        grown = _peak() - self._before
        return self.refused, self.taken, [*self.complaints, *([f"took {grown >> 20} MB"] if grown > MEMORY else [])]


def _peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_another_process(function, *arguments):
    """Returns what a function returns in a new process; AssertionError if it crashes."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise AssertionError(f"{function.__name__}{arguments} crashed") from None
