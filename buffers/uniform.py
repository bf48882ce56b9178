"""The uniform replay buffer: a ring of transitions, all equally likely (Lin, 1992; Mnih et al., 2015)."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, Protocol, Self, cast

import numpy as np

from rlbench.buffers.columns import (
    FIELDS,
    INT64,
    UNKNOWN,
    WORD,
    BoxColumn,
    Column,
    aligned_zeros,
    check_memory,
    column_again,
    column_like,
    column_of,
    proportion,
    range_of,
    row_struct,
    row_type,
    whole,
)
from rlbench.errors import UsageError
from rlbench.forms import FINITE, MOST, Form, GeneratorState, Numbers, UpTo, Whole, checked
from rlbench.lazy import LazyModule
from rlbench.random_state import generator_state, new_generator, set_generator_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gymnasium import spaces
    from numpy.typing import ArrayLike, NDArray


kernels = LazyModule("rlbench.buffers._kernels")
storing = LazyModule("rlbench.buffers._storing")
sfc64 = LazyModule("rlbench.buffers._sfc64")


class Batch(NamedTuple):
    """A minibatch of n transitions, one array per column.

    With `n_step` above 1, a row spans several steps of an episode: `rewards` are discounted sums; `next_observations`,
    `terminations` and `truncations` are those of the last step. The target is then
    `rewards + discounts * ~terminations * value(next_observations)`.
    """

    observations: NDArray[Any]  # (n, *observation shape)
    actions: NDArray[Any]  # (n, *action shape)
    rewards: NDArray[np.float64]  # (n,)
    next_observations: NDArray[Any]  # (n, *observation shape)
    terminations: NDArray[np.bool_]  # (n,)
    truncations: NDArray[np.bool_]  # (n,)
    discounts: NDArray[np.float64] | None = None  # (n,): gamma ** number of steps, if the buffer has a gamma
    indices: NDArray[np.int64] | None = None  # (n,): for update_priorities; prioritized only
    weights: NDArray[np.float64] | None = None  # (n,): importance-sampling weights, at most 1; prioritized only


@dataclass(frozen=True, kw_only=True)
class BufferStats:
    """Statistics of a buffer's contents.

    Attributes:
        size: transitions held.
        capacity: maximum number of transitions.
        nbytes: memory, in bytes.
        fill: size / capacity.
        pairs: distinct state-action pairs held; None if observations or actions are not Discrete.
        coverage: pairs / all possible pairs; None if these are unknown.
        rarest: transitions of the rarest pair held.
        commonest: transitions of the most frequent pair.
        oldest_age: additions since the oldest transition was added.
        expected_age: mean age, in additions, of a transition that `sample` draws.
        priorities: minimum, quartiles and maximum of the priorities held, (5,); None if the buffer has none.
    """

    size: int
    capacity: int
    nbytes: int
    fill: float
    pairs: int | None
    coverage: float | None
    rarest: int | None
    commonest: int | None
    oldest_age: int | None
    expected_age: float | None
    priorities: NDArray[np.float64] | None


class Snapshots(Protocol):
    """What a buffer needs from a store."""

    def save_snapshot(self, kind: str, name: str, arrays: dict[str, Any], numbers: dict[str, Any]) -> Any:
        """Stores arrays and numbers under a name."""

    def load_snapshot(self, kind: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns them."""


class _Pairs(NamedTuple):
    """The rows of a ring, sorted by state-action pair."""

    order: NDArray[np.int64]  # (size,): rows, pair by pair
    starts: NDArray[np.int64]  # (pairs,): index in `order` where each pair starts
    counts: NDArray[np.int64]  # (pairs,)


class ReplayBuffer:
    """A ring of `capacity` transitions, sampled uniformly with replacement.

    Each transition is one packed row of a structured array, so a draw touches one or two cache lines instead of six.
    Compiled code may write `rows` and `cursor` itself, and must then call `changed()`.

    Args:
        capacity: maximum number of transitions; when full, new ones overwrite the oldest.
        observation_space: Discrete or Box, of any shape and dtype. Without both, the first transition decides: an array
            by its shape and dtype, a whole number by being one.
        action_space: likewise.
        n_step: rewards summed in a sampled return; fewer if the episode ends or the newest transition is reached.
        gamma: discount of these returns; required for n_step above 1.
        seed: seed of the buffer's own generator.

    Raises:
        UsageError: a parameter is out of range, a space is neither Discrete nor Box, or the memory does not suffice.
    """

    kind: ClassVar[str] = "uniform"
    sources: tuple[str, ...] = ()  # ids of the stored runs that it was filled from
    SETTINGS: ClassVar[dict[str, str]] = {"n_step": "n_step", "gamma": "gamma"}  # parameter -> attribute

    def __init__(
        self,
        capacity: int,
        observation_space: spaces.Space[Any] | Column | None = None,
        action_space: spaces.Space[Any] | Column | None = None,
        *,
        n_step: int = 1,
        gamma: float | None = None,
        seed: int | np.random.SeedSequence | None = None,
    ) -> None:
        self.n_step, self.gamma = whole("n_step", n_step, 1), None if gamma is None else proportion("gamma", gamma)
        if gamma is None and self.n_step > 1:
            raise UsageError(f"n_step={n_step} needs a discount: pass gamma, such as gamma=0.99")
        if (observation_space is None) is not (action_space is None):
            raise UsageError("give both spaces, or neither: then the first transition determines them")
        self.capacity = whole("capacity", capacity, 1)  # in transitions
        self._rng = new_generator(seed)
        self._begin()
        self._lay_out(column_of("an observation", observation_space), column_of("an action", action_space))

    def _begin(self) -> None:
        """Allocates what does not depend on the spaces."""
        self.cursor = np.zeros(2, dtype=np.int64)  # next row to write, rows filled; an array for compiled code
        self._position = self.cursor.data  # same memory, faster scalar access from Python
        self._pairs: tuple[list[int], _Pairs] | None = None  # at this cursor; None after a row has changed

    def _lay_out(self, observation: Column, action: Column) -> None:
        """Allocates the rows, once; none while the spaces are unknown."""
        needed = self.bytes_needed(self.capacity, observation, action)
        check_memory(f"a buffer of {self.capacity:,} transitions", needed)
        self.observation, self.action = observation, action
        for name in ("_extending", "_lines", "_width"):  # they belong to the rows before
            vars(self).pop(name, None)
        dtype, is_known = row_type(observation, action), observation.shape != UNKNOWN
        self.rows: NDArray[np.void] = aligned_zeros(self.capacity if is_known else 0, dtype)
        self._row_size = dtype.itemsize
        self._adding: Any = is_known and (  # everything `add` reads, in one tuple; the rows as plain bytes
            self.rows.view(np.uint8).data,
            dtype.itemsize,
            row_struct(dtype, self.observation, self.action).pack_into,
            self.observation.dtype if isinstance(self.observation, BoxColumn) else None,  # no array has dtype None
            self.observation.shape,
            self.observation.encode,
            self.action.encode,
            self._position,
            self.capacity,
        )

    @contextmanager
    def _learning(self, observation: Column, action: Column) -> Iterator[None]:
        """Lays out the rows once the spaces are known; undoes it if storing fails."""
        unknown = self.observation, self.action
        self._lay_out(observation, action)
        try:
            yield
        except UsageError:
            self._lay_out(*unknown)
            raise

    @classmethod
    def bytes_needed(
        cls, capacity: int, observation_space: spaces.Space[Any] | Column, action_space: spaces.Space[Any] | Column
    ) -> int:
        """Returns the bytes that a buffer would take, without allocating it; UsageError as for the buffer itself."""
        columns = column_of("an observation", observation_space), column_of("an action", action_space)
        return cls._size(whole("capacity", capacity, 1), row_type(*columns).itemsize)

    @staticmethod
    def _size(capacity: int, row_size: int) -> int:
        return capacity * row_size

    @classmethod
    def load(cls, store: Snapshots, name: str) -> Self:
        """Loads a buffer that `save` stored: the same rows, cursor and generator.

        Raises:
            StoreError: the store has no buffer of this name, or it is damaged.
            UsageError: it is a buffer of another kind.
        """
        arrays, numbers = store.load_snapshot("buffer", name)
        kind = numbers.get("kind", "uniform")
        if kind != cls.kind:
            raise UsageError(f"the buffer {name!r} is {kind}, not {cls.kind}: load it by that class of rlbench.buffers")
        return cls._again({**arrays, **numbers})

    @classmethod
    def _again(cls, state: dict[str, Any]) -> Self:
        """Rebuilds a buffer from its state; UsageError if it is damaged."""
        settings = {name: state[name] for name in cls.SETTINGS if name in state}
        buffer = cls(checked(state, {"capacity": Whole(1)})["capacity"], **settings)
        buffer.load_state_dict(state)
        return buffer

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles by state: views of the rows' memory cannot be copied."""
        return self._again, (self.state_dict(),)

    def save(self, store: Snapshots, name: str) -> None:
        """Saves the whole buffer in a store, replacing one of the same name."""
        state = self.state_dict()
        arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
        numbers = {key: value for key, value in state.items() if key not in arrays}
        store.save_snapshot("buffer", name, arrays, {**numbers, "kind": self.kind})

    @property
    def rng(self) -> np.random.Generator:
        """The generator used for sampling; compiled code advances its words."""
        return self._rng

    @property
    def nbytes(self) -> int:
        """The buffer's memory, in bytes."""
        return self._size(self.capacity, self._row_size)

    def __len__(self) -> int:
        return self._position[1]

    # ------------------------------------------------------------------ storing

    def add(
        self,
        observation: ArrayLike,
        action: ArrayLike,
        reward: float,
        next_observation: ArrayLike,
        terminated: bool,  # noqa: FBT001  (Gymnasium's own order)
        truncated: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Stores one transition.

        Raises:
            UsageError: a value is not in its space, or the reward is not finite; nothing is stored.
        """
        if reward.__class__ is not float:
            reward = _number(reward)
        if reward - reward != 0.0:  # inf or nan; faster than two comparisons
            raise UsageError(f"a reward must be a finite number, got {reward}")
        adding = self._adding
        if not adding:
            self._add_first(observation, action, reward, next_observation, terminated, truncated)
            return
        memory, size, pack_into, dtype, shape, encode, encode_action, cursor, capacity = adding
        position = cursor[0]
        o: Any = observation
        following: Any = next_observation
        # `encode` inlined for arrays of the right dtype and shape: each call would cost a tenth of the time
        plain = o.__class__ is ARRAY and o.dtype is dtype and o.shape == shape
        o = o.tobytes() if plain else encode(o)
        plain = following.__class__ is ARRAY and following.dtype is dtype and following.shape == shape
        following = following.tobytes() if plain else encode(following)
        pack_into(  # all or nothing: every value has been checked
            memory,
            position * size,
            o,
            encode_action(action),
            reward,
            following,
            1 if terminated else 0,
            1 if truncated else 0,
        )
        if cursor[1] == position:  # not full yet
            cursor[1] = position + 1
        position += 1
        cursor[0] = position if position < capacity else 0
        self._pairs = None

    def extend(self, transitions: Batch | Sequence[ArrayLike]) -> None:
        """Stores n transitions, given as arrays (n, ...) in the order of a Batch, like n calls of `add`.

        Raises:
            UsageError: as for `add`, or the lengths differ; nothing is stored.
        """
        if len(transitions) < len(FIELDS):
            raise UsageError(f"expected {len(FIELDS)} arrays, the first of a Batch, got {len(transitions)}")
        if not self._adding:
            self._extend_first(transitions)
            return
        if not self._store_at_once(transitions):
            self._store_columns(self._checked(transitions))
        self._pairs = None

    def _add_first(self, observation: Any, action: Any, *others: Any) -> None:
        """Stores the first transition of a buffer, which determines its spaces."""
        with self._learning(column_like("an observation", observation), column_like("an action", action)):
            ReplayBuffer.add(self, observation, action, *others)

    def _extend_first(self, transitions: Any) -> None:
        """Stores the first transitions of a buffer; the very first determines its spaces."""
        observations, actions = transitions[:2]
        if np.size(transitions[2]) and len(observations) and len(actions):
            columns = column_like("an observation", observations[0]), column_like("an action", actions[0])
            with self._learning(*columns):
                ReplayBuffer.extend(self, transitions)

    def _store_at_once(self, transitions: Batch | Sequence[ArrayLike]) -> bool:
        """Stores arrays already in the buffer's dtypes by compiled code; returns False for others and invalid ones."""
        words, action_words, store_rows, ring, cursor, layout = self._extending
        o, a, r, following, terminated, truncated = transitions[: len(FIELDS)]
        try:
            lists = words(o), action_words(a), r, words(following), terminated, truncated
            return store_rows(ring, cursor, layout, *lists)  # type: ignore[no-any-return]  # a bool
        except (AttributeError, TypeError, ValueError):  # not arrays, or not C-ordered, or other dtypes
            return False

    def end_episode(self) -> None:
        """Marks the newest transition as truncated, unless it is terminated, so that no return extends past it."""
        newest = self._position[0] - 1
        if len(self) and not self.rows["terminated"][newest]:
            self.rows["truncated"][newest] = True

    def changed(self) -> None:
        """Tells the buffer that compiled code has written rows, so that it recounts the pairs."""
        self._pairs = None

    def _checked(self, transitions: Batch | Sequence[ArrayLike]) -> list[NDArray[Any]]:
        """Returns the six columns as arrays of their dtypes and equal length."""
        observations, actions, rewards, nexts, terminated, truncated = cast("Any", transitions[: len(FIELDS)])
        columns = [
            self.observation.array(observations),
            self.action.array(actions),
            _plain("rewards", rewards, _FLOAT),
            self.observation.array(nexts),
            _plain("terminations", terminated, _BOOL),
            _plain("truncations", truncated, _BOOL),
        ]
        n = len(columns[2]) if columns[2].ndim else -1
        expected = (n, *self.observation.shape), (n, *self.action.shape), (n,)
        places = zip(columns, [0, 1, 2, 0, 2, 2], strict=True)
        if not all(column.shape == expected[kind] for column, kind in places):
            shapes = ", ".join(str(column.shape) for column in columns)
            raise UsageError(
                f"expected arrays (n, *{self.observation.shape}), (n, *{self.action.shape}), (n,), "
                f"(n, *{self.observation.shape}), (n,), (n,), got {shapes}"
            )
        return columns

    def _store_columns(self, columns: list[NDArray[Any]]) -> None:
        observations, actions, rewards, nexts, *_ = columns
        wrong = ~np.isfinite(rewards) | self.action.outside(actions)
        wrong |= self.observation.outside(observations) | self.observation.outside(nexts)
        if wrong.any():
            self._refuse_row(columns, int(wrong.argmax()))
        n = len(rewards)
        kept = slice(max(0, n - self.capacity), n)
        at = (self.cursor[0] + np.arange(n)[kept]) % self.capacity
        for field, column in zip(FIELDS, columns, strict=True):
            self.rows[field][at] = column[kept]
        self.cursor[:] = (self.cursor[0] + n) % self.capacity, min(self.capacity, len(self) + n)

    def _refuse_row(self, columns: list[NDArray[Any]], i: int) -> None:
        """Raises what `add` would raise for transition i."""
        observations, actions, rewards, nexts, *_ = columns
        try:
            for observation in (observations[i], nexts[i]):
                self.observation.encode(observation)
            self.action.encode(actions[i])
        except UsageError as error:
            raise UsageError(f"transition {i}: {error}") from None
        raise UsageError(f"transition {i}: a reward must be a finite number, got {rewards[i]}")

    # ------------------------------------------------------------------ sampling

    def sample(self, batch_size: int, *, balanced: bool = False) -> Batch:
        """Draws `batch_size` transitions with replacement; it may exceed the number held.

        Args:
            batch_size: how many.
            balanced: draw a state-action pair uniformly, then one of its transitions uniformly; re-sorts the pairs if
                the buffer has changed.

        Raises:
            UsageError: the buffer is empty, the batch size is below 1, or `balanced` and a space is a Box.
        """
        n, filled = self._checked_size(batch_size), self._position[1]
        if balanced:
            indices = self._draw_balanced(n)
            return self._batch(indices, self._gathered(indices))
        if self.n_step > 1:
            indices = np.empty(n, np.int64)
            kernels.draw_rows(self._random_words, filled, indices)
            return self._batch(indices, self._gathered(indices))
        lines = np.empty(n * self._width, INT64)
        # one uniform per row, floor(u * n): compiled loops draw the same numbers
        kernels.sample_rows(self._random_words, filled, self._lines, lines, n)
        chosen = lines.view(self.rows.dtype)
        return _batch_of(chosen, None if self.gamma is None else np.full(n, self.gamma))

    def _checked_size(self, batch_size: int) -> int:
        if not self._position[1]:
            raise UsageError("cannot sample from an empty buffer: add transitions first")
        return batch_size if batch_size.__class__ is int and batch_size > 0 else whole("batch_size", batch_size, 1)

    def _gathered(self, indices: NDArray[np.int64]) -> NDArray[np.void]:
        lines = np.empty(len(indices) * self._width, INT64)
        kernels.gather_rows(self._lines, indices, lines)
        return lines.view(self.rows.dtype)

    def _batch(self, indices: NDArray[np.int64], chosen: NDArray[np.void], *about: NDArray[Any]) -> Batch:
        """Returns the (n-step) batch that starts at rows `indices`, gathered as `chosen`, with columns `about`."""
        if self.n_step == 1:
            return _batch_of(chosen, None if self.gamma is None else np.full(len(indices), self.gamma), *about)
        last, returns, discounts = np.empty_like(indices), np.empty(len(indices)), np.empty(len(indices))
        columns = (self.rows["reward"], self.rows["terminated"], self.rows["truncated"])
        kernels.n_step_returns(*columns, self.cursor, self.n_step, self.gamma, indices, last, returns, discounts)
        end = _batch_of(self._gathered(last), discounts, *about)
        return end._replace(observations=chosen["observation"], actions=chosen["action"], rewards=returns)

    def _draw_balanced(self, n: int) -> NDArray[np.int64]:
        pairs = self._counted_pairs()
        if pairs is None:
            raise UsageError("balanced sampling needs Discrete observations and actions: it counts state-action pairs")
        u = self._rng.random((2, n))
        pair = (u[0] * len(pairs.starts)).astype(np.int64)
        chosen: NDArray[np.int64] = pairs.order[pairs.starts[pair] + (u[1] * pairs.counts[pair]).astype(np.int64)]
        return chosen

    # ------------------------------------------------------------------ contents

    def stats(self) -> BufferStats:
        """Returns its fill, coverage and age."""
        n, pairs = len(self), self._counted_pairs()
        possible = (self.observation.stop - self.observation.low) * (self.action.stop - self.action.low)
        counts = None if pairs is None else pairs.counts
        ages = (self.cursor[0] - 1 - np.arange(n)) % self.capacity
        return BufferStats(
            size=n,
            capacity=self.capacity,
            nbytes=self.nbytes,
            fill=n / self.capacity,
            pairs=None if counts is None else len(counts),
            coverage=None if counts is None or possible > MOST else len(counts) / possible,
            rarest=None if counts is None or not n else int(counts.min()),
            commonest=None if counts is None or not n else int(counts.max()),
            oldest_age=n - 1 if n else None,
            expected_age=float(self.probabilities() @ ages) if n else None,
            priorities=self._priority_quartiles() if n else None,
        )

    def probabilities(self) -> NDArray[np.float64]:
        """Returns the probability that `sample` draws each row held, (size,)."""
        return np.full(len(self), 1.0 / max(1, len(self)))

    def _priority_quartiles(self) -> NDArray[np.float64] | None:
        return None

    def _counted_pairs(self) -> _Pairs | None:
        """Returns the rows by state-action pair, re-sorted if the buffer has changed; None if a space is a Box."""
        if self.observation.low == self.observation.stop or self.action.low == self.action.stop:
            return None
        at = self.cursor.tolist()
        if self._pairs is None or self._pairs[0] != at:
            held = self.rows[: len(self)]
            _, state = np.unique(held["observation"], return_inverse=True)
            actions, action = np.unique(held["action"], return_inverse=True)
            numbers = state * len(actions) + action
            order = np.argsort(numbers, kind="stable")
            _, starts, counts = np.unique(numbers[order], return_index=True, return_counts=True)
            self._pairs = at, _Pairs(order, starts, counts)
        return self._pairs[1]

    # ------------------------------------------------------------------ state

    def state_dict(self) -> dict[str, Any]:
        """Returns the complete state as plain arrays and numbers: filled rows by column, cursor, generator."""
        filled = self.rows[: len(self)]
        columns = {f"rows/{field}": filled[field].copy() for field in FIELDS}
        return {**columns, **self._about(), "position": int(self.cursor[0]), "rng": generator_state(self._rng)}

    def _about(self) -> dict[str, Any]:
        """Returns what two buffers must have in common to exchange states."""
        ranges = {"observation_range": range_of(self.observation), "action_range": range_of(self.action)}
        settings = {name: getattr(self, attribute) for name, attribute in self.SETTINGS.items()}
        return {"capacity": self.capacity, **settings, **ranges}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state that `state_dict` returned.

        Raises:
            UsageError: it is damaged, or comes from a buffer with another capacity, other settings or other spaces;
                nothing has changed.
        """
        if self._adding:
            self.restore(self.checked_state(state))
            return
        columns = [
            column_again(f"an {name}", state.get(f"rows/{name}"), state.get(f"{name}_range"))
            for name in ("observation", "action")
        ]
        with self._learning(*columns):
            self.restore(self.checked_state(state))

    def state_form(self) -> Form:
        """Describes the entries of a state that compiled code relies on."""
        rows = UpTo("rows", self.capacity)
        flags = Numbers(np.bool_, (rows,))
        return {
            "rows/observation": self.observation.form(rows),
            "rows/action": self.action.form(rows),
            "rows/reward": Numbers(np.float64, (rows,), -FINITE, FINITE),
            "rows/next_observation": self.observation.form(rows),
            "rows/terminated": flags,
            "rows/truncated": flags,
            "position": Whole(0, self.capacity - 1),
            "rng": GeneratorState(self._rng),
        }

    def checked_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Returns the entries of a state from a buffer like this one; raises UsageError for any other."""
        for name, own in self._about().items():
            found = state.get(name, own)  # earlier versions stored fewer settings
            if isinstance(found, np.ndarray) or found != own:
                raise UsageError(f"the state comes from a buffer with {name} {found}, this one has {own}")
        entries = checked(state, self.state_form())
        n, position = len(entries["rows/reward"]), entries["position"]
        if n not in (position, self.capacity):
            raise UsageError(f"the state has {n} rows and writes at {position}: it is damaged")
        return entries

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over a checked state."""
        n = len(state["rows/reward"])
        for field in FIELDS:
            self.rows[field][:n] = state[f"rows/{field}"]
        self.cursor[:] = state["position"], n
        set_generator_state(self._rng, state["rng"])
        self._pairs = None

    # ------------------------------------------------------------------ for compiled code, made on first use

    @cached_property
    def _extending(self) -> tuple[Any, ...]:
        """Everything `_store_at_once` reads, in one tuple."""
        widths = [column.dtype.itemsize * math.prod(column.shape) for column in (self.observation, self.action)]
        if not all(width and width % WORD == 0 for width in widths):
            return _refuse_words, _refuse_words, storing.store_rows, None, None, None
        ranges = [self.observation.low, self.observation.stop, self.action.low, self.action.stop]
        layout = np.array([*ranges, *(width // WORD for width in widths)])
        ring = self._lines.reshape(self.capacity, -1)
        return self.observation.words, self.action.words, storing.store_rows, ring, self.cursor, layout

    @cached_property
    def _random_words(self) -> NDArray[np.uint64]:
        words: NDArray[np.uint64] = sfc64.live_words(self._rng)
        return words

    @cached_property
    def _lines(self) -> NDArray[np.int64]:
        return self.rows.view(INT64)

    @cached_property
    def _width(self) -> int:
        return self._row_size // WORD


ARRAY, _FLOAT, _BOOL = np.ndarray, np.dtype(np.float64), np.dtype(np.bool_)


def _plain(what: str, values: ArrayLike, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns numbers or flags as an array of `dtype`; UsageError if they are neither."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"{what} must be an array of {dtype}, got {array.dtype}")
    return array.astype(dtype)


def _refuse_words(_: Any) -> NoReturn:
    """Replaces a column's `words` if its values do not fill whole words."""
    raise ValueError


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UsageError(f"a reward must be a number, got {value!r}") from None


def _batch_of(
    rows: NDArray[np.void],
    discounts: NDArray[np.float64] | None = None,
    indices: NDArray[np.int64] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> Batch:
    return Batch(
        rows["observation"],
        rows["action"],
        rows["reward"],
        rows["next_observation"],
        rows["terminated"],
        rows["truncated"],
        discounts,
        indices,
        weights,
    )
