"""The audit log: who did what to which record, and when, each entry with the SHA-256 of the one before.

    hash = SHA-256 of the JSON text [hash before, number, when, who, what, record]

without blanks and in ASCII, as `json.dumps(..., separators=(",", ":"))` writes it; the first entry has the number 1,
and "" before it. So an entry cannot be changed, removed or put elsewhere unless every hash after it changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

COMPACT = json.JSONEncoder(separators=(",", ":"))
SNAPSHOTS = {  # kinds of snapshots whose making and deleting is entered, their names being ids: how it is called
    "model": ("train", "delete"),
    "token": ("token", "revoke"),
}
HEADS: dict[str, str] = {}  # by the URLs of stores, the hash of the last entry that this process made: to be told
TOKEN: ContextVar[str] = ContextVar("TOKEN", default="")  # the id of the one by which somebody is here


class Act(NamedTuple):
    """What an entry says. It holds ids, never names or contents.

    Attributes:
        when: ISO 8601, UTC.
        who: user@host, and the token by which a server was asked.
        what: in a word: "train", "delete".
        record: the id of a run; "model ID"; "token ID"; "" for the whole store.
    """

    when: str
    who: str
    what: str
    record: str


class Entry(NamedTuple):
    """An entry of the log: its place, counted from 1, an act, and their hash."""

    number: int
    when: str
    who: str
    what: str
    record: str
    hash: str

    @classmethod
    def of(cls, number: Any, *rest: Any) -> Self:
        """Returns an entry as it is stored; what somebody has put there instead of a text is written out."""
        return cls(number, *(value if isinstance(value, str) else repr(value) for value in rest))

    @property
    def act(self) -> Act:
        """What it says."""
        return Act(*self[1:5])


class Head(NamedTuple):
    """Where the log ends: the last number and its hash."""

    number: int = 0
    hash: str = ""


def following(head: Head, act: Act) -> Entry:
    """Returns the entry of an act after the last one."""
    number = head.number + 1
    return Entry(number, *act, _hash(head.hash, number, act))


def follows(head: Head, entries: Sequence[Entry]) -> bool:
    """Returns whether the first of some entries is the next of a log that ends here."""
    return bool(entries) and following(head, entries[0].act) == entries[0]


def problems(entries: Iterable[Entry], head: str = "") -> Iterator[str]:
    """Yields what is wrong with a log, each with its place.

    Args:
        entries: all, in the order of their numbers.
        head: a hash that was kept elsewhere: one of them must have it.
    """
    before, is_there = Head(), not head
    for entry in entries:
        is_there |= entry.hash == head
        if type(entry.number) is not int or entry.number <= before.number:
            yield f"{entry.number!r:.40} is the number of no entry"
            continue
        if entry.number != before.number + 1:
            yield _missing(before.number + 1, entry.number - 1)
        elif entry.hash != _hash(before.hash, entry.number, entry.act):
            after = f" or put there, after entry {before.number}" if before.number else ""
            yield f"entry {entry.number} was changed{after}: its hash is another"
        before = Head(entry.number, entry.hash)
    if not is_there:
        yield f"no entry has the hash {head}: the log was cut off after entry {before.number}, or written anew"


def who() -> str:
    """Returns who acts in this process: user@host, and the token by which it was asked, if one was."""
    token = TOKEN.get()
    return f"{_user(os.getpid())}, token {token}" if token else _user(os.getpid())


@contextmanager
def asked_by(token: str) -> Iterator[None]:
    """Says in the entries that are written meanwhile by which token, given by its id, a server was asked."""
    before = TOKEN.set(token)
    try:
        yield
    finally:
        TOKEN.reset(before)


@cache
def _user(_pid: int) -> str:
    """Returns user@host, where that can be by the user that the system knows, not by what the environment says."""
    try:
        import pwd  # noqa: PLC0415  (not on Windows)

        name = pwd.getpwuid(os.geteuid()).pw_name
    except ImportError:
        name = os.environ.get("USERNAME", "unknown")
    except KeyError:  # nobody has named this user
        name = str(os.geteuid())
    return f"{name}@{socket.gethostname()}"


def _hash(before: str, number: int, act: Act) -> str:
    text = COMPACT.encode([before, number, *act])
    return hashlib.sha256(text.encode()).hexdigest()


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
