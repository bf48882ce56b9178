"""What took long to make is kept for the requests that follow."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Key = TypeVar("Key")
Thing = TypeVar("Thing")


class Shelf(Generic[Key, Thing]):
    """The last few things that were made, by their keys; threads share it."""

    def __init__(self, most: int) -> None:
        self._most, self._things, self._lock = most, OrderedDict[Key, Thing](), Lock()

    def get(self, key: Key, make: Callable[[], Thing]) -> Thing:
        """Returns the thing with a key; makes it if it is not there, and lets go of the one not used for longest."""
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                return self._things[key]
        thing = make()
        with self._lock:
            self._things[key] = thing
            while len(self._things) > self._most:
                self._things.popitem(last=False)
        return thing
