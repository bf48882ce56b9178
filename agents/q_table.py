"""The action values of an agent as an array that can be read and written."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlbench.errors import UsageError


class QTable(np.ndarray[Any, np.dtype[np.float64]]):
    """A view of action values, (n_states, n_actions); writing to it updates the agent's greedy values and actions too.

    `q_table[s, a] = x`, with any index, writes through, as do `q_table[s] += x` and `agent.q_table *= 0.5`. Any other
    way of writing is refused.
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
        """Returns results of calculations as plain arrays and scalars."""
        return array[()] if return_scalar else array

    # If the array is read-only, these return a new one, which Python assigns to the left-hand side.
    # The ignored types: ndarray has many overloads.
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
