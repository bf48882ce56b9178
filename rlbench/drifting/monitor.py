"""An alarm with a budget: so many rows to a false alarm, calibrated on the training data itself.

Rows are counted in windows, of 500 by default. At the end of each, its counts are compared with the reference's, column
by column: numbers by the squared distance of their distribution functions over 20 bins (Cramer & von Mises), categories
by chi-square. Each is measured in its own standard deviations without drift, and the largest decides.

Where to alarm is found by simulation: thousands of windows are drawn from the reference, in whole units, and compared
with a reference that is itself drawn anew, because the real one is a sample too. What few windows exceed has an
exponential tail (peaks over threshold: Davison & Smith, 1990), which says where one in as many windows as wished lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.checks import whole_number
from rlbench.drifting.comparing import blocks_of
from rlbench.drifting.effects import shares
from rlbench.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.drifting.samples import Sample

    Array = NDArray[Any]
    Floats = NDArray[np.float64]
    Places = NDArray[np.int64]

ROWS_PER_ALARM = 100_000
WINDOW = 500  # rows, but at most half of the reference's
WINDOW_UNITS = 50  # such as episodes: a window is long enough for as many, up to ...
LEAST_WINDOW, MOST_WINDOW = 20, 5_000  # rows
BINS = 20  # of numbers
LEAST_EXPECTED = 5  # rows of a window in one place; rare categories are counted together
RAREST = 1e-3  # share of a category, in the denominator of its chi-square
FEW = 6  # rows of a window that are no reason for an alarm
REFERENCES = 1_000  # drawn for the calibration ...
BLOCKS = 2_000  # ... from at most as many parts: a model keeps 2,000 rows, a file may have 100,000
WINDOWS_EACH = 4
AT_ONCE = 2**21  # values counted at a time
SAFETY = 0.75  # of the budget is aimed at: the reference is a sample, and so is what was drawn from it
TAIL = 0.1  # the share of the windows whose excess is fitted


class State(NamedTuple):
    """What a monitor has seen.

    Attributes:
        rows: all that came.
        windows: the whole windows among them.
        alarms: the windows that raised an alarm.
        is_alarm: whether the last whole window did.
        columns: the names of the columns that did in it.
        score: its largest distance, in standard deviations above the mean without drift.
        threshold: the score above which a window raises an alarm.
    """

    rows: int
    windows: int
    alarms: int
    is_alarm: bool
    columns: tuple[str, ...]
    score: float
    threshold: float


class Monitor:
    """Watches rows as they come; what it says depends on the rows alone, not on how they are batched.

        monitor = Monitor(reference)
        state = monitor.observe(rows)

    Args:
        reference: the training data; its columns are the rows' columns.
        rows_per_alarm: the budget: on average one false alarm in so many rows without drift, at least `window`.
        window: the rows that are compared at a time: more see smaller drift, later. By default 500, up to 5,000 where
            the reference consists of long episodes, and at most half of its rows.
        seed: of the calibration.

    Attributes:
        state: as of the last `observe`.
        budget: the rows to a false alarm.

    Raises:
        UsageError: a number is out of range.
    """

    def __init__(
        self, reference: Sample, *, rows_per_alarm: int = ROWS_PER_ALARM, window: int | None = None, seed: int = 0
    ) -> None:
        self.window = whole_number("window", _window_for(reference) if window is None else window, most=MOST_WINDOW)
        self.budget = whole_number("rows_per_alarm", rows_per_alarm, least=self.window)
        self.names = reference.names
        self._counters = [_Counter.of(column, reference.units, self.window) for column in reference.columns.values()]
        self._held = np.empty((self.window, len(self.names)), np.int64)  # places, until a window is whole
        self._fill = 0
        null = _Null.of(reference, self._counters, self.window, seed)
        self._shares, self._mean, self._deviation = null.shares, null.mean, null.deviation
        self.state = State(0, 0, 0, False, (), 0.0, null.threshold(SAFETY * self.window / self.budget))

    def observe(self, rows: Any) -> State:
        """Takes rows, (n, columns), or (n,) of one column; returns the state after them.

        Raises:
            UsageError: they have another width, or are not finite numbers where the reference has numbers.
        """
        places = self._places(rows)
        first = 0
        while first < len(places):
            taken = places[first : first + self.window - self._fill]
            self._held[self._fill : self._fill + len(taken)] = taken
            self._fill += len(taken)
            first += len(taken)
            self.state = self.state._replace(rows=self.state.rows + len(taken))
            if self._fill == self.window:
                self._close()
        return self.state

    def _places(self, rows: Any) -> Places:
        array = np.asarray(rows)
        array = array[:, None] if array.ndim == 1 and len(self.names) == 1 else array
        if array.ndim != 2 or array.shape[1] != len(self.names):  # noqa: PLR2004  (rows of columns)
            raise UsageError(f"rows must be (n, {len(self.names)}), got the shape {np.shape(rows)}")
        return np.stack([counter.places(array[:, i]) for i, counter in enumerate(self._counters)], axis=1)

    def _close(self) -> None:
        """Compares a whole window."""
        counts = [np.bincount(self._held[:, i], minlength=one.size) for i, one in enumerate(self._counters)]
        found = [
            float(one.distance(count / self.window, share))
            for one, count, share in zip(self._counters, counts, self._shares, strict=True)
        ]
        scores = (np.array(found) - self._mean) / self._deviation
        state, beyond = self.state, scores > self.state.threshold
        self.state = state._replace(
            windows=state.windows + 1,
            alarms=state.alarms + bool(beyond.any()),
            is_alarm=bool(beyond.any()),
            columns=tuple(name for name, is_beyond in zip(self.names, beyond, strict=True) if is_beyond),
            score=float(scores.max()),
        )
        self._fill = 0


def rows_of(sample: Sample, reference: Sample) -> Array:
    """Returns a sample's rows as a monitor of the reference takes them, (rows, columns)."""
    columns = [sample.columns[name] for name in reference.names]
    is_mixed = len({column.dtype.kind for column in columns}) > 1
    return np.stack([column.astype(object) if is_mixed else column for column in columns], axis=1)


class _Counter(NamedTuple):
    """How a column is counted: numbers between edges; categories by what they are, rare ones with their neighbours.

    Categories that the reference lacks have a place of their own. As many of them are due as rows of the reference have
    a category of which only one unit knows (Good & Turing; Good, 1953).
    """

    edges: Array  # of bins; of categories, those of the reference, sorted
    size: int
    is_number: bool
    groups: Places  # (edges,), the place of each category
    unknown: float  # the share of the rows whose category is due to be new

    @classmethod
    def of(cls, column: Array, units: Places, window: int) -> _Counter:
        if column.dtype.kind == "f":
            edges = np.unique(np.quantile(column, np.arange(1, BINS) / BINS))
            return cls(edges, len(edges) + 1, is_number=True, groups=np.empty(0, np.int64), unknown=0.0)
        values, at, counts = np.unique(column, return_inverse=True, return_counts=True)
        expected = np.cumsum(counts) * window / len(column)
        _, groups = np.unique((expected - expected[0]) // LEAST_EXPECTED, return_inverse=True)
        pairs = np.unique(at * (units[-1] + 1) + units)
        is_alone = np.bincount(pairs // (units[-1] + 1)) == 1
        unknown = float(counts[is_alone].sum() / len(column))
        return cls(values, int(groups[-1]) + 2, is_number=False, groups=groups, unknown=unknown)

    def places(self, column: Array) -> Places:
        """Returns the place of each value, (rows,); a category that the reference lacks has the last."""
        if self.is_number:
            column = np.asarray(column.astype(np.float64) if column.dtype.kind == "O" else column)
            if column.dtype.kind not in "biuf" or not np.isfinite(column).all():
                raise UsageError("rows must hold finite numbers where the training data do")
            return np.searchsorted(self.edges, column, side="left")
        values = column.astype(str) if self.edges.dtype.kind == "U" else np.asarray(column, np.int64)
        at = np.minimum(np.searchsorted(self.edges, values), len(self.edges) - 1)
        return np.where(self.edges[at] == values, self.groups[at], self.size - 1)

    def expected(self, counts: Any) -> Floats:
        """Returns the shares that are due, (..., size), after these counts of the reference."""
        due = shares(counts)
        if not self.is_number:
            due[..., -1] = self.unknown
        return due

    def grain(self, window: int) -> float:
        """Returns the distance that a few rows make where there were none: a column that was constant has no other."""
        return (FEW / window) ** 2 if self.is_number else (1 / window) ** 2 / RAREST

    def distance(self, ours: Floats, reference: Floats) -> Floats:
        """Returns how far shares (..., size) are from the reference's."""
        apart = ours - reference
        if self.is_number:
            return np.asarray((np.cumsum(apart, axis=-1) ** 2).sum(axis=-1))
        return np.asarray((apart**2 / np.maximum(reference, RAREST)).sum(axis=-1))


class _Null(NamedTuple):
    """What windows look like without drift."""

    shares: list[Floats]  # of the reference, by column
    mean: Floats  # of the distances, by column
    deviation: Floats
    largest: Floats  # (windows,), the score of each

    @classmethod
    def of(cls, reference: Sample, counters: list[_Counter], window: int, seed: int) -> _Null:
        rng = np.random.default_rng([seed, 2])
        places = [one.places(column) for one, column in zip(counters, reference.columns.values(), strict=True)]
        blocks, n = blocks_of(reference, BLOCKS), min(reference.n_units, BLOCKS)
        weights = rng.multinomial(n, np.full(n, 1 / n), REFERENCES)
        windows = _drawn_windows(reference, counters, places, window, rng)
        distances, own = [], []
        for counter, at, ours in zip(counters, places, windows, strict=True):
            by_block = np.bincount(blocks * counter.size + at, minlength=n * counter.size)
            drawn = counter.expected(weights @ by_block.reshape(-1, counter.size))
            distances.append(counter.distance(ours / window, np.repeat(drawn, WINDOWS_EACH, axis=0)))
            own.append(counter.expected(np.bincount(at, minlength=counter.size)))
        found = np.array(distances)
        mean = found.mean(axis=1)
        deviation = np.maximum(found.std(axis=1), [counter.grain(window) for counter in counters])
        return cls(own, mean, deviation, ((found - mean[:, None]) / deviation[:, None]).max(axis=0))

    def threshold(self, share: float) -> float:
        """Returns the score that this share of the windows exceeds without drift."""
        if share >= TAIL:
            return float(np.quantile(self.largest, 1 - share))
        start = float(np.quantile(self.largest, 1 - TAIL))
        excess = self.largest[self.largest > start] - start
        if not len(excess):  # every column is constant
            return start + 1
        mean = float(excess.mean()) * (1 + 1 / np.sqrt(len(excess)))  # one standard error on the safe side
        return start + float(mean * np.log(TAIL / share))


def _window_for(reference: Sample) -> int:
    """Returns how many rows to compare at a time."""
    wanted = max(WINDOW, WINDOW_UNITS * len(reference) // reference.n_units)
    return max(LEAST_WINDOW, min(wanted, MOST_WINDOW, len(reference) // 2))


def _drawn_windows(
    reference: Sample, counters: list[_Counter], places: list[Places], window: int, rng: np.random.Generator
) -> list[Places]:
    """Counts windows of streams of units that are drawn from the reference: by column, (windows, size)."""
    at_once = max(1, AT_ONCE // window)
    found: list[list[Places]] = [[] for _ in counters]
    for first in range(0, REFERENCES * WINDOWS_EACH, at_once):
        rows = _stream(reference, min(at_once, REFERENCES * WINDOWS_EACH - first), window, rng)
        for counts, counter, at in zip(found, counters, places, strict=True):
            numbered = at[rows] + counter.size * np.arange(len(rows))[:, None]
            counts.append(np.bincount(numbered.ravel(), minlength=len(rows) * counter.size).reshape(len(rows), -1))
    return [np.concatenate(counts) for counts in found]


def _stream(reference: Sample, n: int, window: int, rng: np.random.Generator) -> Places:
    """Returns the rows of n windows, one after another in a stream of whole units drawn at random, (n, window)."""
    lengths = np.bincount(reference.units)
    starts = np.cumsum(lengths) - lengths
    drawn = rng.integers(len(lengths), size=-(-n * window // int(lengths.min())))
    drawn = drawn[: int(np.searchsorted(np.cumsum(lengths[drawn]), n * window)) + 1]
    stops = np.cumsum(lengths[drawn])
    rows: Places = np.repeat(starts[drawn] - (stops - lengths[drawn]), lengths[drawn]) + np.arange(stops[-1])
    return rows[: n * window].reshape(n, window)
