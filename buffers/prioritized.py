"""Prioritized experience replay: the larger the TD error, the likelier the draw (Schaul et al., 2016, proportional)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from rlbench.buffers.columns import INT64, WORD, Column, aligned_zeros, proportion, whole
from rlbench.buffers.uniform import Batch, ReplayBuffer
from rlbench.errors import UsageError
from rlbench.forms import Numbers, Real, UpTo, Whole
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gymnasium import spaces
    from numpy.typing import ArrayLike, NDArray

    from rlbench.forms import Form


sum_tree = LazyModule("rlbench.buffers._sum_tree")


class PrioritizedReplayBuffer(ReplayBuffer):
    """A ring from which transition i is drawn with probability P(i) = p_i^alpha / sum_k p_k^alpha.

    p_i is |TD error| + epsilon as of the last update; a new transition gets the largest p so far (initially 1). A batch
    takes one transition from each of n equal shares of the sum. Its weights, (N P(i))^-beta divided by their maximum
    in the batch, correct the bias.

    Compiled code may update `tree`, `added` and `greatest` itself, through the functions of `_sum_tree`.

    Args:
        capacity: maximum number of transitions; when full, new ones overwrite the oldest.
        observation_space: as for ReplayBuffer.
        action_space: likewise.
        alpha: 0 is uniform, 1 fully proportional.
        beta: how much of the bias the weights correct initially; 1 is all of it.
        beta_final: how much they correct in the end.
        beta_steps: additions (steps, not a share of training) over which beta moves linearly to `beta_final`; None
            keeps it constant.
        epsilon: added to |TD error|, so that transitions without error are still drawn.
        n_step: as for ReplayBuffer.
        gamma: as for ReplayBuffer.
        seed: seed of the buffer's own generator.

    Raises:
        UsageError: as for ReplayBuffer; or alpha or beta is outside [0, 1], or epsilon outside (0, 1].
    """

    kind: ClassVar[str] = "prioritized"
    SETTINGS: ClassVar[dict[str, str]] = {
        **ReplayBuffer.SETTINGS,
        "alpha": "alpha",
        "beta": "beta_initial",
        "beta_final": "beta_final",
        "beta_steps": "beta_steps",
        "epsilon": "epsilon",
    }

    def __init__(
        self,
        capacity: int,
        observation_space: spaces.Space[Any] | Column | None = None,
        action_space: spaces.Space[Any] | Column | None = None,
        *,
        alpha: float = 0.6,
        beta: float = 0.4,
        beta_final: float = 1.0,
        beta_steps: int | None = None,
        epsilon: float = 1e-6,
        n_step: int = 1,
        gamma: float | None = None,
        seed: int | np.random.SeedSequence | None = None,
    ) -> None:
        self.alpha, self.epsilon = proportion("alpha", alpha), proportion("epsilon", epsilon)
        if not epsilon:
            raise UsageError("epsilon must be above 0, got 0: transitions without TD error would never be drawn again")
        self.beta_initial, self.beta_final = proportion("beta", beta), proportion("beta_final", beta_final)
        self.beta_steps = None if beta_steps is None else whole("beta_steps", beta_steps, 1)
        super().__init__(capacity, observation_space, action_space, n_step=n_step, gamma=gamma, seed=seed)

    def _begin(self) -> None:
        super()._begin()
        self.added = np.zeros(2, np.int64)  # transitions ever added; of these, given a priority: see _settle
        self.greatest = np.ones(1)  # the largest p so far

    def _lay_out(self, observation: Column, action: Column) -> None:
        super()._lay_out(observation, action)
        # leaf i (p_i^alpha) at the middle + i, the sum at 1: see _sum_tree.py
        self.tree: NDArray[np.float64] = aligned_zeros(2 * _leaves(self.capacity), np.dtype(np.float64))

    @staticmethod
    def _size(capacity: int, row_size: int) -> int:
        return capacity * row_size + 2 * _leaves(capacity) * WORD

    @property
    def max_priority(self) -> float:
        """The largest p so far, which new transitions get."""
        return float(self.greatest[0])

    @property
    def beta(self) -> float:
        """How much of the bias the weights correct, after the additions so far."""
        if self.beta_steps is None:
            return self.beta_initial
        share = min(1.0, int(self.added[0]) / self.beta_steps)
        return self.beta_initial + (self.beta_final - self.beta_initial) * share

    def add(
        self,
        observation: ArrayLike,
        action: ArrayLike,
        reward: float,
        next_observation: ArrayLike,
        terminated: bool,  # noqa: FBT001  (Gymnasium's own order)
        truncated: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Stores one transition with the largest priority so far; UsageError as for ReplayBuffer."""
        super().add(observation, action, reward, next_observation, terminated, truncated)
        self._added[0] += 1

    def extend(self, transitions: Batch | Sequence[ArrayLike]) -> None:
        """Stores n transitions, given as arrays (n, ...) in the order of a Batch, like n calls of `add`."""
        super().extend(transitions)
        self._added[0] += len(transitions[2])  # type: ignore[arg-type]  # by now one of six arrays of equal length

    def sample(self, batch_size: int, *, balanced: bool = False) -> Batch:
        """Draws `batch_size` transitions with replacement in proportion to p^alpha, with `indices` and `weights`.

        Args:
            batch_size: how many.
            balanced: as for ReplayBuffer, ignoring the priorities; the weights are then 1.

        Raises:
            UsageError: as for ReplayBuffer.
        """
        n = self._checked_size(batch_size)
        if balanced:
            indices = self._draw_balanced(n)
            return self._batch(indices, self._gathered(indices), indices, np.ones(n))
        self._settle()
        indices, weights, lines = np.empty(n, INT64), np.empty(n), np.empty(n * self._width, INT64)
        sum_tree.sample_leaves(self.tree, self._random_words, self.beta, self._lines, indices, weights, lines)
        return self._batch(indices, lines.view(self.rows.dtype), indices, weights)

    def update_priorities(self, indices: ArrayLike, td_errors: ArrayLike) -> None:
        """Sets p_i = |TD error| + epsilon for the transitions of a batch.

        Args:
            indices: (n,), a batch's `indices`; for duplicates the last TD error counts.
            td_errors: (n,), of either sign.

        Raises:
            UsageError: an index is out of range, a TD error is not finite, or the lengths differ; nothing changes.
        """
        errors = _numbers("TD errors", td_errors)
        places = self._places(indices, errors)
        where = self.tree, self._position[1], places
        largest = sum_tree.update_priorities(*where, errors, self.epsilon, self.alpha, self._greatest[0])
        if largest < 0.0:
            self._refuse(places, "TD errors must be finite numbers", errors, np.abs(errors) + self.epsilon)
        self._greatest[0] = largest

    def set_priorities(self, indices: ArrayLike, priorities: ArrayLike) -> None:
        """Sets p_i directly.

        Raises:
            UsageError: as for `update_priorities`, or a priority is not above 0.
        """
        values = _numbers("priorities", priorities)
        places = self._places(indices, values)
        largest = sum_tree.set_priorities(self.tree, self._position[1], places, values, self.alpha, self._greatest[0])
        if largest < 0.0:
            self._refuse(places, "priorities must be finite numbers above 0", values, values)
        self._greatest[0] = largest

    def _places(self, indices: ArrayLike, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        """Returns indices as an array of the shape of `numbers`, (n,), range unchecked; brings the tree up to date."""
        places = np.asarray(indices)
        if places.shape != numbers.shape or places.ndim != 1:
            raise UsageError(f"expected as many indices as numbers, (n,) each, got {places.shape} and {numbers.shape}")
        if places.dtype.kind not in "iu" and places.size:
            raise UsageError(f"indices must be whole numbers, got {places.dtype}")
        self._settle()
        return np.asarray(places, INT64, order="C")

    def _refuse(
        self,
        places: NDArray[np.int64],
        expected: str,
        given: NDArray[np.float64],
        priorities: NDArray[np.float64],
    ) -> NoReturn:
        """Raises UsageError for the first index out of range, or else for the first invalid number."""
        outside = places[(places < 0) | (places >= len(self))]
        if outside.size:
            raise UsageError(f"indices must be from 0 to {len(self) - 1}, got {outside[0]}")
        wrong = given[~((priorities > 0.0) & (priorities <= sum_tree.LARGEST))]
        raise UsageError(f"{expected} up to {sum_tree.LARGEST:g}, got {wrong[0]}")

    def probabilities(self) -> NDArray[np.float64]:
        """Returns P(i) of each row held, (size,)."""
        shares = self._shares()
        return shares / shares.sum()  # type: ignore[no-any-return]  # an array

    def _shares(self) -> NDArray[np.float64]:
        """Returns p_i^alpha of each row held, (size,)."""
        self._settle()
        leaves = len(self.tree) // 2
        return self.tree[leaves : leaves + len(self)].copy()

    def _settle(self) -> None:
        """Gives all transitions added since the last call the largest priority, in one go."""
        if self._added[0] != self._added[1]:
            sum_tree.settle(self.tree, self.cursor, self.capacity, self.added, self.greatest, self.alpha)

    def _priority_quartiles(self) -> NDArray[np.float64]:
        shares = self._shares()
        held = np.ones_like(shares) if self.alpha == 0 else shares ** (1.0 / self.alpha)
        return np.quantile(held, (0.0, 0.25, 0.5, 0.75, 1.0))

    def state_dict(self) -> dict[str, Any]:
        """Returns the complete state as plain arrays and numbers: that of ReplayBuffer, plus the priorities."""
        own = {"shares": self._shares(), "max_priority": self.max_priority, "added": int(self.added[0])}
        return {**super().state_dict(), **own}

    def state_form(self) -> Form:
        """Describes the entries that compiled code relies on: a priority for each row, with a finite sum."""
        least, largest = math.ulp(0.0), sum_tree.LARGEST
        return {
            **super().state_form(),
            "shares": Numbers(np.float64, (UpTo("rows", self.capacity),), least, largest),
            "max_priority": Real(0.0, largest),
            "added": Whole(),
        }

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state from a buffer like this one; raises UsageError for any other."""
        found = super().checked_state(state)
        if found["added"] < len(found["shares"]):
            raise UsageError(f"the state has {len(found['shares'])} rows of {found['added']} added: it is damaged")
        return found

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        held = len(self)
        super().restore(state)
        sum_tree.set_all(self.tree, state["shares"], held)
        self.greatest[:], self.added[:] = state["max_priority"], state["added"]

    @cached_property
    def _added(self) -> memoryview[int]:  # same memory, faster scalar access from Python; likewise below
        return self.added.data

    @cached_property
    def _greatest(self) -> memoryview[float]:
        return self.greatest.data  # type: ignore[return-value]  # float64, unknown to NumPy's types


def _leaves(capacity: int) -> int:
    """Returns the smallest power of two >= capacity."""
    return 1 << (capacity - 1).bit_length()


def _numbers(what: str, values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{what} must be numbers, got {array.dtype}")
    return np.asarray(array, np.float64, order="C")
