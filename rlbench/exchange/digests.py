"""Digests of the values in a file: they stay the same if another program saves the file again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.store.codec import to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.store import Checkpoint

DIGEST_BYTES = 16


class Digests:
    """Digests of the run, its checkpoint, where chunks begin, and each column's values, however they are batched.

    Args:
        run: the run's fields in the manifest.
        checkpoint: the last one, if the file has it.
    """

    def __init__(self, run: dict[str, Any], checkpoint: Checkpoint | None) -> None:
        self._hashes: dict[str, hashlib.blake2b] = {}
        self._episodes = 0
        self._add("run", _canonical(run))
        self._add("chunks", b"")
        if checkpoint is not None:
            numbers = [checkpoint.episodes, checkpoint.timesteps, checkpoint.numbers]
            self._add("checkpoint", _canonical(numbers))
            for name in sorted(checkpoint.arrays):
                array = checkpoint.arrays[name]
                self._add("checkpoint", _canonical([name, array.dtype.str, array.shape]) + _values(array))

    def add(self, batch: Batch) -> None:
        """Adds the next episodes."""
        for mark in batch.marks:
            self._add("chunks", _canonical([self._episodes + mark.row, mark.step, mark.env_rng]))
        self._episodes += len(batch)
        steps = {f"steps/{name}": column for name, column in batch.steps.items()}
        figures = {f"figures/{name}": column for name, column in batch.figures.items()}
        for name, column in {**steps, **figures, "lengths": batch.lengths, "ends": batch.ends}.items():
            self._add(name, _values(column))

    def _add(self, name: str, values: bytes) -> None:
        self._hashes.setdefault(name, hashlib.blake2b(digest_size=DIGEST_BYTES)).update(values)

    def hexadecimal(self) -> dict[str, str]:
        """Returns the digests of all columns, and of "run", "chunks" (where they begin) and "checkpoint"."""
        return {name: found.hexdigest() for name, found in self._hashes.items()}


def _canonical(value: Any) -> bytes:
    return json.dumps(json.loads(to_json(value)), sort_keys=True).encode()


def _values(column: NDArray[Any]) -> bytes:
    """Returns bytes that are equal for equal numbers: 0.0 equals -0.0, and every NaN every other."""
    if column.dtype.kind in "fc":
        column = np.where(np.isnan(column), column.dtype.type("nan"), column + column.dtype.type(0))
    return np.ascontiguousarray(column, column.dtype.newbyteorder("<")).tobytes()
