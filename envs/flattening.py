"""Finite spaces as one Discrete: a wrapper that numbers observations and actions 0, 1, 2 ...

A number is row-major mixed radix, the first part most significant: index = ((i_0 * n_1) + i_1) * n_2 + i_2 ...,
where i_k counts the values of part k from its lowest. The parts of a Dict are in its key order.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

LARGEST = 2**63 - 1  # values of a Discrete space
TABLE = 10_000_000  # values of a table that is made without being asked for
KINDS = "a Discrete, MultiDiscrete, MultiBinary, Box of whole numbers, or Tuple or Dict of these"


class Numbering(NamedTuple):
    """The values of a finite space, numbered from 0."""

    size: int
    encode: Callable[[Any], int]  # from a value to its number; ValueError, TypeError or LookupError if it is no value
    decode: Callable[[int], Any]  # and back


class Part(NamedTuple):
    """A whole number within the values of a finite space; the values are numbered by its parts in order."""

    name: str  # the keys that lead to it: "agent 0"; empty for a Discrete space itself
    start: int
    size: int


class FlattenDiscrete(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Numbers the observations, and the actions, of an env whose spaces are finite, such as Blackjack's.

    Finite are Discrete (from any start), MultiDiscrete, MultiBinary, a Box of whole numbers, and a Tuple or Dict of
    these. An action space that is not finite stays as it is.

    Raises:
        UsageError: the observation space is not finite; later, an observation outside its space.

    Example:
        >>> env = FlattenDiscrete(gym.make("Blackjack-v1"))
        >>> env.observation_space
        Discrete(704)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        self._number()

    def _number(self) -> None:
        size, self._encode, _ = _numbered(self.env.observation_space)
        self.observation_space = spaces.Discrete(size)
        self._decode: Callable[[int], Any] = lambda action: action
        if is_finite(self.env.action_space):
            n_actions, _, self._decode = _numbered(self.env.action_space)
            self.action_space = spaces.Discrete(n_actions)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the functions, which are made again: they cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name not in {"_encode", "_decode"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._number()

    def observation(self, observation: Any) -> int:
        """Returns the number of an observation."""
        try:
            return self._encode(observation)
        except (ValueError, TypeError, LookupError, OverflowError):
            raise UsageError(
                f"the env gave the observation {observation!r}, which is not in its space {self.env.observation_space}"
            ) from None

    def step(self, action: int) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        """Takes the action of a number."""
        return super().step(self._decode(action))


def flattened(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Returns an env with finite observations and actions numbered from 0, if a table can have a row for each.

    The env itself comes back where they already are, or where the observations are not finite or too many.
    """
    found = [space for space in (env.observation_space, env.action_space) if is_finite(space)]
    is_tabular = is_finite(env.observation_space) and math.prod(map(count, found)) <= TABLE
    return FlattenDiscrete(env) if is_tabular and not all(map(_counts_from_0, found)) else env


def _counts_from_0(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Discrete) and space.start == 0


def count(space: spaces.Space[Any]) -> int:
    """Returns how many values a finite space has, or some number beyond LARGEST if there are more."""
    return numbering(space).size


def is_finite(space: spaces.Space[Any]) -> bool:
    """Returns whether the values of a space can be numbered."""
    if isinstance(space, spaces.Box):
        return bool(space.dtype.kind in "iu" and math.prod(space.shape))
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return all(map(is_finite, space.values() if isinstance(space, spaces.Dict) else space))
    return isinstance(space, tuple(_NUMBERINGS))


def _numbered(space: spaces.Space[Any]) -> Numbering:
    if not is_finite(space):
        raise UsageError(f"FlattenDiscrete needs {KINDS}, got {space}")
    found = numbering(space)
    if found.size > LARGEST:
        raise UsageError(f"{space} has more values than Discrete can hold")
    return found


def numbering(space: Any) -> Numbering:
    """Returns how the values of a finite space are numbered."""
    return next(number(space) for kind, number in _NUMBERINGS.items() if isinstance(space, kind))


def parts_of(space: Any) -> Iterator[Part]:
    """Yields the parts of a finite space, the most significant first."""
    if isinstance(space, spaces.Tuple | spaces.Dict):
        for key, inner in space.items() if isinstance(space, spaces.Dict) else enumerate(space):
            yield from (part._replace(name=f"{key} {part.name}".rstrip()) for part in parts_of(inner))
    elif isinstance(space, spaces.Discrete):
        yield Part("", int(space.start), int(space.n))
    else:
        lowest, sizes = _box_reach(space) if isinstance(space, spaces.Box) else _choices_reach(space)
        for i, (start, size) in enumerate(zip(lowest.ravel().tolist(), sizes, strict=True)):
            yield Part(str(i) if len(sizes) > 1 else "", int(start), size)


def _number_discrete(space: spaces.Discrete) -> Numbering:
    start, size = int(space.start), int(space.n)
    return Numbering(size, lambda value: _place(value, start, size), lambda number: start + int(number))


def _place(value: Any, start: int, size: int) -> int:
    """Returns the place of a whole number among `size` ones from `start`."""
    place = int(value) - start
    if place + start != value or not 0 <= place < size:
        raise ValueError
    return place


def _box_reach(space: spaces.Box) -> tuple[NDArray[Any], list[int]]:
    """Returns the lowest value in each place of a Box, and how many values there are."""
    bounds = zip(space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
    return space.low, [int(high) - int(low) + 1 for low, high in bounds]


def _choices_reach(space: spaces.MultiDiscrete | spaces.MultiBinary) -> tuple[NDArray[Any], list[int]]:
    sizes = np.broadcast_to(np.asarray(getattr(space, "nvec", 2)), space.shape)
    return np.broadcast_to(np.asarray(getattr(space, "start", 0)), space.shape), sizes.ravel().tolist()


def _number_array(space: spaces.Space[Any], lowest: NDArray[Any], sizes: list[int]) -> Numbering:
    shape, starts = space.shape, lowest.ravel().tolist()

    def encode(value: Any) -> int:
        array = np.asarray(value)
        if array.shape != shape:
            raise ValueError
        number = 0
        for part, start, size in zip(array.ravel().tolist(), starts, sizes, strict=True):
            number = number * size + _place(part, start, size)
        return number

    def decode(number: int) -> Any:
        values = [start + place for start, place in zip(starts, _places(number, sizes), strict=True)]
        return np.array(values, space.dtype).reshape(shape)

    return Numbering(_product(sizes), encode, decode)


def _product(sizes: list[int]) -> int:
    """Returns the product of sizes, or some number beyond LARGEST: the product for a picture would be very long."""
    product = 1
    for size in sizes:
        product *= size
        if product > LARGEST:
            break
    return product


def _places(number: int, sizes: list[int]) -> list[int]:
    """Returns the digits of a number in mixed radix."""
    places = []
    for size in reversed(sizes):
        number, place = divmod(int(number), size)
        places.append(place)
    return places[::-1]


def _number_parts(keys: Iterable[Any], space: Any, gathered: Callable[[Iterable[tuple[Any, Any]]], Any]) -> Numbering:
    parts = {key: numbering(space[key]) for key in keys}
    sizes = [part.size for part in parts.values()]

    def encode(value: Any) -> int:
        if len(value) != len(parts):
            raise ValueError
        number = 0
        for key, part in parts.items():
            number = number * part.size + part.encode(value[key])
        return number

    def decode(number: int) -> Any:
        places = zip(parts.items(), _places(number, sizes), strict=True)
        return gathered((key, part.decode(place)) for (key, part), place in places)

    return Numbering(_product(sizes), encode, decode)


_NUMBERINGS: dict[type, Callable[[Any], Numbering]] = {
    spaces.Discrete: _number_discrete,
    spaces.MultiDiscrete: lambda space: _number_array(space, *_choices_reach(space)),
    spaces.MultiBinary: lambda space: _number_array(space, *_choices_reach(space)),
    spaces.Box: lambda space: _number_array(space, *_box_reach(space)),
    spaces.Tuple: lambda space: _number_parts(range(len(space)), space, lambda parts: tuple(part for _, part in parts)),
    spaces.Dict: lambda space: _number_parts(space.keys(), space, dict),
}
