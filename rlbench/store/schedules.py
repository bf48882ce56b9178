"""The schedule of an exploration rate, worked out in arithmetic that is the same on every machine."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KINDS = ("constant", "exponential", "multiplicative", "linear")
MOST_COUNT = 2**52  # episodes or steps: a float holds each
BLOCK = 2**13  # rates worked out at once: what arises in between stays in the cache, which takes a quarter of the time
LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # its first 33 bits, and the rest
TAYLOR = [1.0 / math.factorial(power) for power in range(14, 1, -1)]  # of the exponential function, highest first


class Schedule(NamedTuple):
    """The exploration rate at the first step of an episode, by how many episodes or steps came before it."""

    kind: str  # of KINDS
    per_step: bool  # whether it counts steps, not episodes
    initial: float
    final: float
    rate: float  # exponential: decay; multiplicative: factor; linear: the count at which `final` is reached
    before: int  # how many came before the run; packed in a chunk: before its first episode began

    def values(self, lengths: NDArray[np.int64]) -> Floats:
        """Returns the rates of episodes with these lengths: the same on every machine, libm's but for a few ulps."""
        counts = np.cumsum(lengths) - lengths if self.per_step else np.arange(len(lengths))
        rates = (counts + self.before).astype(np.float64)
        with np.errstate(all="ignore"):
            for begin in range(0, len(rates), BLOCK):
                rates[begin : begin + BLOCK] = self._after(rates[begin : begin + BLOCK])
        return rates

    def _after(self, counts: Floats) -> Any:
        if self.kind == "exponential":
            return self.final + (self.initial - self.final) * _exp(-self.rate * counts)
        if self.kind == "multiplicative":
            return np.maximum(self.final, self.initial * _power(self.rate, counts))
        if self.kind == "linear":
            return self.initial + (self.final - self.initial) * np.minimum(1.0, counts / self.rate)
        return np.full(len(counts), self.initial)

    @classmethod
    def of(cls, about: object) -> Schedule:
        """Returns the schedule of packed metadata; ValueError if it is none."""
        if not isinstance(about, dict) or set(about) != set(cls._fields) or about["kind"] not in KINDS:
            raise ValueError(f"a schedule of one of the kinds {', '.join(KINDS)}, got {str(about)[:80]}")
        floats, before = [about[name] for name in ("initial", "final", "rate")], about["before"]
        are_floats = all(type(value) is float and math.isfinite(value) for value in floats)
        has_logarithm = about["kind"] != "multiplicative" or about["rate"] > 0
        is_count = type(before) is int and 0 <= before <= MOST_COUNT
        if not (are_floats and has_logarithm and is_count and type(about["per_step"]) is bool):
            raise ValueError(f"a schedule's numbers, got {str(about)[:80]}")
        return cls(**about)


def _power(factor: float, counts: Floats) -> Floats:
    """Returns a factor above 0 to the power of whole numbers."""
    logarithm = Context(prec=50).ln(Decimal(factor))
    high = float(np.float32(logarithm))  # 24 bits: times a count below 2**29, it is exact
    return _exp(high * counts, float(logarithm - Decimal(high)) * counts)


def _exp(x: Floats, rest: Floats | float = 0.0) -> Floats:
    """Returns e to the power of x + rest, rounded almost as if exact; rest is small beside x.

    NumPy's own differs between machines in the last bit. This adds and multiplies alone, which IEEE 754 defines.
    """
    x = np.clip(x, -800.0, 800.0)  # beyond, it is 0 or infinite
    twos = np.rint(x / LN2[0])
    high, low = x - twos * LN2[0], rest - twos * LN2[1]  # the former is exact
    r = high + low
    lost = (high - r) + low
    series = np.full_like(r, TAYLOR[0])
    for coefficient in TAYLOR[1:]:  # in place: np.polyval takes half as long again
        series *= r
        series += coefficient
    return np.ldexp(1.0 + (r + (lost + r * r * series)), twos.astype(np.int32))
