"""The errors a user can cause: each message is one line and says what was expected, what came, and what to do."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


LISTED = 12  # known names in a message if none is similar
# the passwords in URLs; our own advice, mongodb://user:password@host, shows none
PASSWORDS = re.compile(r"(?<![\w+.-])(?!sqlite:|memory:)([\w+.-]+:/+[^\s/@:'\"]*):(?!password@)[^\s'\"]*@")


class RlbenchError(Exception):
    """The base class of all errors that rlbench raises on purpose; none shows the password of a URL."""

    def __str__(self) -> str:
        return without_passwords(super().__str__())


class UsageError(RlbenchError, ValueError):
    """An argument is wrong; the message says what was expected and what came."""


class UnknownNameError(UsageError):
    """A name is not in its registry; the message suggests the nearest ones."""


class StoreError(RlbenchError):
    """A store cannot be opened, read or written."""


class StoreAway(StoreError):  # noqa: N818  (an error, but of the server: the store is away)
    """The server of a store does not answer; whether it made the failed write is unknown."""


class CheckFailedError(RlbenchError, AssertionError):
    """An env, its model or an agent breaks a promise; the message says which one first."""


def without_passwords(text: str) -> str:
    """Returns a text with `***` in place of the password of every URL in it."""
    return PASSWORDS.sub(r"\1:***@", text)


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """Returns the error for `name`, with the nearest `known` names: "did you mean ...?"."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names[:LISTED])}{more}"
    return UnknownNameError(f"unknown {kind} {name!r}; {hint}")
