"""The action values of an agent as an array: what is written to it, the agent goes on from."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.errors import UsageError


class QTable(np.ndarray[Any, np.dtype[np.float64]]):
    """A view of action values, (n_states, n_actions), that keeps the greedy values and actions beside them up to date.

    `q_table[s, a] = x`, with any index, writes through; so do `q_table[s] += x` and `agent.q_table *= 0.5`. All other
    ways to write are refused.
    """

    owner: Any = None  # the agent whose table it is; None for a part of it or a copy

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.owner is not None:
            self.owner.write_q(key, value)
        elif self.flags.writeable:
            super().__setitem__(key, value)
        else:
            raise UsageError("a part of q_table is read-only: give all indices at once, q_table[s, a] = value")

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Returns what is calculated from it as NumPy does from a plain array."""
        return array[()] if return_scalar else array

    # Where the array is read-only these return a new one, which Python assigns to what stands left of the operator.
    # Types: narrower than ndarray's own overloads.
    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        return np.add(self, other, out=self._own())

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc]
        return np.subtract(self, other, out=self._own())

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc]
        return np.multiply(self, other, out=self._own())

    def __itruediv__(self, other: Any) -> Any:  # type: ignore[misc]
        return np.divide(self, other, out=self._own())

    def _own(self) -> QTable | None:
        return self if self.flags.writeable else None
