"""Reference rows: a bounded sample of the rows a model learnt from, with which later ones are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

ROWS = 2_000  # kept with a model, at most
NUMBERS = 2**18  # likewise: 2 MiB


class RowSample:
    """Keeps a uniform sample of rows that come in chunks: each row draws a key, and those with the least keys stay.

    Args:
        most: the number of rows to keep.
        seed: the same seed and rows give the same sample, whatever the chunks.
    """

    def __init__(self, most: int, seed: int) -> None:
        self._most, self._rng = most, np.random.default_rng([seed, 0])
        self._keys = np.empty(0)
        self._held: list[Array] = []
        self.seen = 0

    def add(self, columns: Sequence[Array]) -> None:
        """Takes a chunk: columns of equal length, the same ones in each chunk."""
        n = len(columns[0])
        rows = [np.arange(self.seen, self.seen + n), *columns]
        keys = np.concatenate([self._keys, self._rng.random(n)])
        held = [np.concatenate(pair) for pair in zip(self._held, rows, strict=True)] if self._held else rows
        self.seen += n
        if len(keys) > self._most:
            kept = np.sort(np.argpartition(keys, self._most)[: self._most])
            keys, held = keys[kept], [column[kept] for column in held]
        self._keys, self._held = keys, held

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The place of each kept row among all that came, ascending."""
        return self._held[0] if self._held else np.empty(0, np.int64)

    @property
    def columns(self) -> list[Array]:
        """The kept rows, in the order in which they came."""
        return self._held[1:]


class ReferenceRows:
    """Collects the reference rows of a model; texts leave none."""

    def __init__(self, n_features: int, seed: int) -> None:
        self._sample = RowSample(max(1, min(ROWS, NUMBERS // max(n_features, 1))), seed)

    def add(self, rows: Any) -> None:
        """Takes rows that the model learns from, (n_rows, n_features)."""
        if isinstance(rows, np.ndarray):
            self._sample.add([rows])

    @property
    def rows(self) -> NDArray[np.float64]:
        """The sample, (rows, n_features)."""
        return self._sample.columns[0] if self._sample.seen else np.empty((0, 0))
