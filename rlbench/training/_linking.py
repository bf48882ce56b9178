"""Compiles a function anew for each kind of world or learner, whose own functions become part of it."""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

from numba import njit

from rlbench._stamp import put_stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_DOOR: Any = {"no_cfunc_wrapper": True}  # from C, which nobody takes: a sixteenth of the time to compile


def compiled(function: Callable[..., Any], parts: Mapping[str, Callable[..., Any]], digest: str, **options: Any) -> Any:
    """Returns a function, compiled with the parts that it calls by their names; the same one each time.

    `digest` is the stamp of the function's module; `options` are numba's.
    """
    return _compiled(function, tuple(parts.items()), digest, tuple(options.items()))


@cache
def _compiled(
    function: Callable[..., Any],
    parts: tuple[tuple[str, Callable[..., Any]], ...],
    digest: str,
    options: tuple[tuple[str, Any], ...],
) -> Any:
    made = njit(cache=True, nogil=True, **NO_DOOR, **dict(options))(_linked(function, dict(parts)))
    put_stamp(made, digest)
    return made


def _linked(function: Callable[..., Any], parts: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    """Returns a copy of a function that calls these parts by their names, and has them inlined.

    numba inlines them before it infers types. What it dispatches by type, with overloads, it infers twice: of the
    seconds that each pair of world and learner takes to compile, that would be a third.
    """
    called = {name: part for name, part in parts.items() if name in function.__code__.co_names}
    inlined = {name: njit(inline="always")(_linked(part, parts)) for name, part in called.items()}
    return FunctionType(function.__code__, function.__globals__ | inlined, function.__name__)
