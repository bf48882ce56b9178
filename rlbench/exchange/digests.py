"""Digests of the values in a file: they stay the same if another program saves the file again."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch

DIGEST_BYTES = 16


class Digests:
    """A digest of each column, over its values in order, however they are divided into batches."""

    def __init__(self) -> None:
        self._hashes: dict[str, hashlib.blake2b] = {}

    def add(self, batch: Batch) -> None:
        """Takes in the next episodes."""
        steps = {f"steps/{name}": column for name, column in batch.steps.items()}
        figures = {f"figures/{name}": column for name, column in batch.figures.items()}
        for name, column in {**steps, **figures, "lengths": batch.lengths, "ends": batch.ends}.items():
            self._hashes.setdefault(name, hashlib.blake2b(digest_size=DIGEST_BYTES)).update(_values(column))

    def hexadecimal(self) -> dict[str, str]:
        """Returns the digests of all columns."""
        return {name: found.hexdigest() for name, found in self._hashes.items()}


def _values(column: NDArray[Any]) -> bytes:
    """Returns bytes that are equal for equal numbers: 0.0 equals -0.0, and every NaN every other."""
    if column.dtype.kind in "fc":
        column = np.where(np.isnan(column), column.dtype.type("nan"), column + column.dtype.type(0))
    return np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
