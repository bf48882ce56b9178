"""The key that opens encrypted stores: 32 bytes in a file, in the environment, or behind a command."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rlbench.errors import UsageError
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    import base64
    import hashlib
    import secrets
    import shlex
    import subprocess
    from collections.abc import Callable, Iterator
else:  # 8 ms for every command, and few have a key
    base64, hashlib, secrets, shlex, subprocess = map(
        LazyModule, ("base64", "hashlib", "secrets", "shlex", "subprocess")
    )

SIZE = 32  # bytes
KEY_FILE, KEY, KEY_COMMAND = "RLBENCH_KEY_FILE", "RLBENCH_KEY", "RLBENCH_KEY_COMMAND"
NAME_KEY_FILE = "RLBENCH_NAME_KEY_FILE"  # of the key that makes pseudonyms, if it is another
LONGEST = 4096  # bytes of a key file: a key takes less than 70
PATIENCE = 60.0  # seconds that a command may take: it may ask a person
MAKES_ONE = "`rlbench store key --out FILE` makes one"


class Key:
    """A key: its bytes are never shown, its id is.

    Attributes:
        secret: the 32 bytes.
        id: 8 characters that tell it from others and give nothing away.
    """

    __slots__ = ("id", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret, self.id = secret, hashlib.sha256(b"rlbench key\0" + secret).hexdigest()[:8]

    def __repr__(self) -> str:
        return f"<Key {self.id}>"

    @classmethod
    def new(cls) -> Key:
        """Returns a key that nobody has."""
        return cls(secrets.token_bytes(SIZE))

    @classmethod
    def parse(cls, text: str, where: str) -> Key:
        """Reads a key from hex or base64; UsageError, which names `where` it came from and repeats none of it."""
        packed = "".join(text.split())
        for decode in (bytes.fromhex, _from_base64):
            with suppress(ValueError):
                if len(secret := decode(packed)) == SIZE:
                    return cls(secret)
        raise UsageError(f"{where} must hold {SIZE} bytes as hex or base64: {MAKES_ONE}")

    def text(self) -> str:
        """Returns it as hex, as a key file holds it."""
        return self.secret.hex()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a new file that only its owner reads; UsageError if there is one, or it cannot be written."""
        try:
            file = os.open(Path(path).expanduser(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise UsageError(
                f"{os.fspath(path)} exists already: a key is never overwritten, give a new file"
            ) from error
        except OSError as error:
            raise UsageError(f"the key cannot be written to {os.fspath(path)}: {error.strerror}") from error
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(self.text() + "\n")


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def read_key(path: str | os.PathLike[str]) -> Key:
    """Reads the key in a file; UsageError if it cannot be read or holds none."""
    where = f"the key file {os.fspath(path)}"
    try:
        with Path(path).expanduser().open("rb") as file:
            content = file.read(LONGEST)
    except OSError as error:
        raise UsageError(f"{where} cannot be read ({error.strerror}): give the path of one, {MAKES_ONE}") from error
    return Key.parse(content.decode("ascii", "replace"), where)


def given_key() -> Key | None:
    """Returns the key that the environment gives, by at most one of its three variables; None without one.

    Raises:
        UsageError: several are set, or what is set gives no key.
    """
    given = {name: os.environ[name] for name in SOURCES if os.environ.get(name)}
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} both give a key: set one of them")
    return next((SOURCES[name](value) for name, value in given.items()), None)


def name_key() -> Key | None:
    """Returns the key that makes pseudonyms: one of its own, else that of stores; None without either."""
    path = os.environ.get(NAME_KEY_FILE)
    return read_key(path) if path else given_key()


@contextmanager
def using(path: str, variable: str = KEY_FILE) -> Iterator[None]:
    """Gives the key in a file meanwhile, whatever the environment gives, to processes that are started too."""
    others = SOURCES if variable in SOURCES else (variable,)
    before = {name: os.environ.pop(name) for name in others if name in os.environ}
    os.environ[variable] = path
    try:
        yield
    finally:
        del os.environ[variable]
        os.environ.update(before)


@cache  # each store that is opened asks, and the command may ask a person
def _printed(command: str) -> Key:
    """Returns the key that a command prints; it runs without a shell."""
    where = f"what the command in {KEY_COMMAND} prints"
    try:
        done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, check=True, timeout=PATIENCE)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = f"the command in {KEY_COMMAND} failed ({type(error).__name__})"
        raise UsageError(f"{why}: it must print a key") from error
    return Key.parse(done.stdout[:LONGEST].decode("ascii", "replace"), where)


SOURCES: dict[str, Callable[[str], Key]] = {
    KEY_FILE: read_key,
    KEY: lambda text: Key.parse(text, KEY),
    KEY_COMMAND: _printed,
}
