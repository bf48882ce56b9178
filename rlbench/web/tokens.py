"""Tokens: who may use what is served to other machines. The store keeps their digests, never the tokens themselves."""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import RlbenchError, StoreError, UsageError, unknown_name
from rlbench.files import reading
from rlbench.store import open_store
from rlbench.store.documents import label
from rlbench.web.door import check
from rlbench.web.guards import Grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from rlbench.store import SnapshotInfo, Store
    from rlbench.web.door import Door

KIND = "token"  # of its records: snapshots without arrays, which every store keeps
ROLES = ("read", "write", "admin")
BYTES = 32  # of a token, at random
MOST_DAYS = 36_500


class Token(NamedTuple):
    """What a store knows of a token."""

    id: str
    role: str
    digest: str  # SHA-256 of the token, hexadecimal
    created_at: str  # ISO 8601
    expires_at: str  # likewise; "": never
    env_id: str  # only runs of this env; "": of any
    tag: str  # only runs with this tag; "": with any or none

    @property
    def has_expired(self) -> bool:
        """Whether it is too old."""
        return bool(self.expires_at) and datetime.now(UTC) >= datetime.fromisoformat(self.expires_at)

    @property
    def grant(self) -> Grant:
        """What it allows."""
        return Grant(self.role, self.env_id, self.tag, self.id)


def create(
    store: Store, role: str = "read", *, days: float | None = None, env_id: str = "", tag: str = ""
) -> tuple[str, Token]:
    """Makes a token; returns it, which nothing tells again, and what the store keeps of it.

    Args:
        store: keeps the digest.
        role: "read", "write" or "admin".
        days: after which it expires; None: never.
        env_id: only for runs of this env.
        tag: only for runs with this tag.

    Raises:
        UsageError: the role is unknown, or the days are not above 0.
    """
    if role not in ROLES:
        raise unknown_name("role", role, ROLES)
    if days is not None and not 0 < days <= MOST_DAYS:
        raise UsageError(f"a token lasts more than 0 and at most {MOST_DAYS:,} days, got {days}")
    scope = {name: label(name, value) if value else "" for name, value in (("env_id", env_id), ("tag", tag))}
    expires_at = "" if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    token = secrets.token_urlsafe(BYTES)
    known = {"role": role, "digest": _digest(token), "expires_at": expires_at, **scope}
    token_id = secrets.token_hex(4)
    while not store.add_snapshot(KIND, token_id, known):
        token_id = secrets.token_hex(4)
    return token, _read(store, next(info for info in store.snapshots(KIND) if info.name == token_id))


def tokens(store: Store) -> list[Token]:
    """Returns the tokens of a store, oldest first.

    Raises:
        StoreError: the record of one is damaged.
    """
    return sorted((_read(store, info) for info in store.snapshots(KIND)), key=lambda token: token.created_at)


def revoke(store: Store, token_id: str) -> None:
    """Deletes a token, by its id; from now on it is refused.

    Raises:
        StoreError: there is none with this id.
    """
    known = [info.name for info in store.snapshots(KIND)]
    if token_id not in known:
        raise StoreError(f"there is no token {token_id!r} in {store.url}; known: {', '.join(known) or 'none'}")
    store.delete_snapshot(KIND, token_id)


def tokens_in(path: Path) -> list[str]:
    """Returns the tokens in a file, one a line, which may do everything; UsageError if it holds none."""
    with reading(path):
        found = path.read_text(encoding="utf-8").split()
    if not found or not all(token.isascii() and len(token) >= BYTES for token in found):
        raise UsageError(f"{path} must hold tokens of {BYTES} characters or more, one a line")
    return found


def grants(store: Store, given: Iterable[str] = ()) -> Callable[[str], Grant | None]:
    """Returns a function from a token to what it allows; None for one that is unknown, expired or revoked.

    It asks the store each time, so that a token is refused as soon as it is revoked; if the store does not answer, it
    refuses those that the store knows.

    Args:
        store: whose tokens are taken.
        given: further tokens, which may do everything.
    """
    digests = [_digest(token) for token in given]
    read: dict[SnapshotInfo, Token] = {}

    def known() -> Iterator[Token]:
        for info in store.snapshots(KIND):
            with suppress(RlbenchError):  # a damaged one opens nothing
                read[info] = read.get(info) or _read(store, info)
                yield read[info]

    def grant_of(token: str) -> Grant | None:
        given_digest, allowed = _digest(token), [(digest, Grant(token=digest[:8])) for digest in digests]
        with suppress(RlbenchError):
            allowed += [(one.digest, one.grant) for one in known() if not one.has_expired]
        # all are compared, each in constant time: how long it takes tells nothing of them
        fitting = [grant for digest, grant in allowed if compare_digest(digest, given_digest)]
        return fitting[0] if fitting else None

    return grant_of


def admission(door: Door, store: Store) -> Callable[[str], Grant | None] | None:
    """Returns who may come in by a door, as `grants` does; None where nobody needs a token.

    Raises:
        UsageError: other machines can reach it, and there is no token for them, or no TLS.
    """
    given = _given(door)
    has_tokens = bool(given or store.snapshots(KIND))
    check(door, has_tokens=has_tokens)
    is_open = door.is_local and not given
    return None if is_open or not has_tokens else grants(store, given)


def store_behind(door: Door, url: str, *, create: bool = False) -> Store:
    """Opens the store behind a door, but makes none for a door that is refused.

    Raises:
        UsageError: the door is refused, as far as its options tell: of tokens, `admission` asks the store.
        StoreError: the store cannot be opened.
    """
    given = _given(door)
    check(door, has_tokens=bool(given or door.tls_cert))
    return open_store(url, create=create and bool(given or door.is_open))


def _given(door: Door) -> list[str]:
    return [] if door.token_file is None else tokens_in(door.token_file)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _read(store: Store, info: SnapshotInfo) -> Token:
    numbers = store.describe_snapshot(KIND, info.name)
    known: dict[str, Any] = {"id": info.name, "created_at": info.created_at}
    known |= {name: numbers.get(name) for name in Token._fields if name not in known}
    if not _is_sound(known):
        raise StoreError(f"token {info.name} is damaged: `rlbench token revoke {info.name}` removes it")
    return Token(**known)


def _is_sound(known: dict[str, Any]) -> bool:
    if not all(isinstance(value, str) for value in known.values()) or known["role"] not in ROLES:
        return False
    try:
        return not known["expires_at"] or datetime.fromisoformat(known["expires_at"]).tzinfo is not None
    except ValueError:
        return False
