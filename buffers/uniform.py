"""The uniform replay buffer: a ring of transitions, each as likely as any other (Lin, 1992; Mnih et al., 2015)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from gymnasium import spaces

from rlbench.errors import UsageError
from rlbench.random_state import generator_state, new_generator, set_generator_state

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class Batch(NamedTuple):
    """A minibatch of n transitions, one array a column."""

    observations: NDArray[Any]  # (n, *observation shape)
    actions: NDArray[Any]  # (n, *action shape)
    rewards: NDArray[np.float64]  # (n,)
    next_observations: NDArray[Any]  # (n, *observation shape)
    terminations: NDArray[np.bool_]  # (n,)
    truncations: NDArray[np.bool_]  # (n,)


class Snapshots(Protocol):
    """What a buffer asks of a store."""

    def save_snapshot(self, kind: str, name: str, arrays: dict[str, Any], numbers: dict[str, Any]) -> Any:
        """Keeps arrays and numbers under a name."""

    def load_snapshot(self, kind: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns them."""


FIELDS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")


class ReplayBuffer:
    """A ring of `capacity` transitions, sampled uniformly with replacement.

    One packed row a transition (a structured array), so that drawing one touches one or two cache lines, not six.

    Args:
        capacity: how many transitions it holds; the oldest makes room.
        observation_space: Discrete or Box, of any shape and dtype.
        action_space: likewise.
        seed: of the buffer's own generator.

    Raises:
        UsageError: a capacity below 1, or a space that is neither Discrete nor Box.
    """

    def __init__(
        self,
        capacity: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        seed: int | np.random.SeedSequence | None = None,
    ) -> None:
        if capacity < 1:
            raise UsageError(f"capacity must be at least 1 transition, got {capacity}")
        self.rows = _allocated(capacity, _row_type(observation_space, action_space))
        self.cursor = np.zeros(2, dtype=np.int64)  # next row to write, rows filled: an array, so compiled code moves it
        self.rng = new_generator(seed)

    @classmethod
    def load(cls, store: Snapshots, name: str) -> Self:
        """Reads a buffer back that `save` kept: the same rows, cursor and generator.

        Raises:
            StoreError: the store has no such buffer, or it is damaged.
        """
        arrays, numbers = store.load_snapshot("buffer", name)
        columns = [arrays[f"rows/{field}"] for field in FIELDS]
        buffer = cls.__new__(cls)
        buffer.rows = _allocated(numbers["capacity"], _packed([(c.dtype, c.shape[1:]) for c in columns]))
        buffer.cursor, buffer.rng = np.zeros(2, dtype=np.int64), new_generator()
        buffer.load_state_dict({**arrays, **numbers})
        return buffer

    def save(self, store: Snapshots, name: str) -> None:
        """Keeps the whole buffer in a store, in place of one of the same name."""
        state = self.state_dict()
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        numbers = {key: value for key, value in state.items() if key not in arrays}
        store.save_snapshot("buffer", name, arrays, numbers)

    @property
    def capacity(self) -> int:
        """The number of transitions that fit."""
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """The memory of the rows, in bytes."""
        return self.rows.nbytes

    def __len__(self) -> int:
        return int(self.cursor[1])

    def add(
        self,
        observation: ArrayLike,
        action: ArrayLike,
        reward: float,
        next_observation: ArrayLike,
        terminated: bool,  # noqa: FBT001  (Gymnasium's own order)
        truncated: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Stores one transition."""
        position, filled = self.cursor
        self.rows[position] = (observation, action, reward, next_observation, terminated, truncated)
        self.cursor[0] = (position + 1) % self.capacity
        self.cursor[1] = max(filled, position + 1)

    def extend(self, transitions: Batch) -> None:
        """Stores n transitions, given as a Batch of arrays (n, ...): the same as n calls of `add`."""
        n = len(transitions.rewards)
        kept = slice(max(0, n - self.capacity), n)
        at = (self.cursor[0] + np.arange(n)[kept]) % self.capacity
        for field, column in zip(FIELDS, transitions, strict=True):
            self.rows[field][at] = column[kept]
        self.cursor[:] = (self.cursor[0] + n) % self.capacity, min(self.capacity, len(self) + n)

    def sample(self, batch_size: int) -> Batch:
        """Draws `batch_size` transitions uniformly, with replacement.

        Raises:
            UsageError: the buffer is empty, or the batch size is below 1.
        """
        if not len(self):
            raise UsageError("cannot sample from an empty buffer: add transitions first")
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, got {batch_size}")
        # one uniform a row, floor(u * n): the compiled loop draws the same numbers
        chosen = self.rows[(self.rng.random(batch_size) * len(self)).astype(np.int64)]
        return Batch(*(chosen[field] for field in FIELDS))

    def state_dict(self) -> dict[str, Any]:
        """Returns all there is to it as plain arrays and numbers: filled rows column by column, cursor, generator."""
        filled = self.rows[: len(self)]
        columns = {f"rows/{field}": filled[field].copy() for field in FIELDS}
        return {**columns, "capacity": self.capacity, "position": int(self.cursor[0]), "rng": generator_state(self.rng)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over a state that `state_dict` returned.

        Raises:
            UsageError: it is of a buffer of another capacity.
        """
        if state["capacity"] != self.capacity:
            raise UsageError(f"the state is of a buffer of capacity {state['capacity']}, this one has {self.capacity}")
        n = len(state["rows/reward"])
        for field in FIELDS:
            self.rows[field][:n] = state[f"rows/{field}"]
        self.cursor[:] = state["position"], n
        set_generator_state(self.rng, state["rng"])


def _allocated(capacity: int, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    """Allocates the rows, once; refuses at once what would run the machine out of memory later."""
    size, there = capacity * dtype.itemsize, _memory()
    if size > there:
        raise UsageError(
            f"a buffer of {capacity:,} transitions takes {size / 1e9:,.1f} GB, this machine has {there / 1e9:,.1f} GB: "
            "ask for a smaller capacity (buffer_size)"
        )
    return np.zeros(capacity, dtype=dtype)


def _memory() -> float:
    """Returns the bytes of memory of this machine; without end where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _row_type(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> np.dtype[np.void]:
    observation, action = _field_type(observation_space), _field_type(action_space)
    return _packed([observation, action, np.float64, observation, np.bool_, np.bool_])


def _packed(types: list[Any]) -> np.dtype[np.void]:
    return np.dtype(list(zip(FIELDS, types, strict=True)), align=True)


def _field_type(space: spaces.Space[Any]) -> Any:
    if isinstance(space, spaces.Discrete):
        return np.int64
    if isinstance(space, spaces.Box):
        return (space.dtype, space.shape)
    raise UsageError(f"a replay buffer holds Discrete and Box spaces, got {space}")
