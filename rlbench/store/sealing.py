"""Seals blobs with AES-256-GCM: each under a data key of its writer, which the user's key wraps.

A sealed blob is `SEALED | name of the data key | counter | ciphertext | tag`. Its place ("run 3f2a, chunk 3, steps") is
authenticated with it, so a blob that was moved is refused. A data key is random and belongs to one open store in one
process, which counts what it seals: a key and a counter, the nonce, are never used twice. The data keys lie in the
store as snapshots, wrapped by the user's key: another key wraps them anew, and no blob is written for it.
"""

from __future__ import annotations

import os
import secrets
import struct
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rlbench.errors import StoreError
from rlbench.files import require
from rlbench.keys import SIZE
from rlbench.store import codec
from rlbench.store.documents import intact, now
from rlbench.store.records import SnapshotInfo

if TYPE_CHECKING:
    from rlbench.keys import Key
    from rlbench.store.backend import Backend

HEAD = struct.Struct(">4s8sQ")  # magic, name of the data key, counter
KIND = "data-key"  # of the snapshots that hold the wrapped data keys
LISTS = "lists"  # the name of the data key for the texts of runs, in a store where these are encrypted too
NONCE = 12  # bytes
HOW = "give its key by --key-file FILE or RLBENCH_KEY_FILE"


class Wrapped(NamedTuple):
    """A data key as a store keeps it.

    Attributes:
        name: of the data key: 16 hexadecimal digits.
        key: the id of the user's key that wraps it.
        strict: whether everything in the store was sealed when it was made: nothing plain is read any more.
        sealed: nonce, the encrypted data key, and tag, in hex.
    """

    name: str
    key: str
    strict: bool
    sealed: str

    @classmethod
    def of(cls, name: str, secret: bytes, key: Key, *, strict: bool) -> Self:
        """Wraps a data key."""
        nonce = secrets.token_bytes(NONCE)
        sealed = nonce + aes(key.secret).encrypt(nonce, secret, _about(name, strict=strict))
        return cls(name, key.id, strict, sealed.hex())

    def check(self, key: Key) -> None:
        """Refuses another key than the one that wraps it."""
        if key.id != self.key:
            raise StoreError(f"the store is encrypted with the key {self.key}, not with {key.id}: {HOW}")

    def unwrap(self, key: Key) -> bytes:
        """Returns the data key; StoreError if it is damaged, or if the key is another."""
        self.check(key)
        about = _about(self.name, strict=self.strict)
        try:
            sealed = bytes.fromhex(self.sealed)
            return bytes(aes(key.secret).decrypt(sealed[:NONCE], sealed[NONCE:], about))
        except (ValueError, tampered()) as error:
            raise StoreError(f"the data key {self.name} is damaged: restore the store from a backup") from error


class Keyring:
    """The data keys of a store, and the user's key that opens them.

    Args:
        backend: holds the data keys.
        key: the user's; None without one.

    Attributes:
        wrapped: the data keys, by name.
    """

    def __init__(self, backend: Backend, key: Key | None) -> None:
        self._backend, self.key = backend, key
        self.wrapped: dict[str, Wrapped] = {}
        self._ciphers: dict[bytes, Any] = {}
        self._own = (0, b"", 0)  # what this object seals with: the process, and the data key with its counter there
        self._lock = threading.Lock()
        self.read()

    @property
    def is_strict(self) -> bool:
        """Whether nothing plain is read."""
        return any(wrapped.strict for wrapped in self.wrapped.values())

    def read(self) -> None:
        """Reads the data keys that the store has got since."""
        for info in self._backend.select_snapshots(KIND):
            if info.name not in self.wrapped:
                self._read_one(info.name)

    def seal(self, blob: bytes, place: str) -> bytes:
        """Seals a blob for its place; StoreError without the key."""
        with self._lock:
            self.prepare()
            process, name, counter = self._own
            self._own = process, name, counter + 1
        return HEAD.pack(codec.SEALED, name, counter) + _encrypted(self._ciphers[name], counter, blob, place)

    def prepare(self) -> None:
        """Makes the data key for what this process seals; StoreError without the user's key."""
        if self._own[0] != os.getpid():  # a fork would count on with the same data key
            self._own = os.getpid(), self.begin(strict=self.is_strict or self._is_empty()), 0

    def unseal(self, blob: bytes, place: str) -> bytes:
        """Returns what was sealed for a place; of a store that is not strict, a plain blob as it is.

        Raises:
            StoreError: the key is missing or another, or the blob was altered or belongs elsewhere; it names the place.
        """
        if not is_sealed(blob):
            if self.is_strict:
                raise StoreError(f"{place} is damaged: it is not encrypted, as all of this store is")
            return blob
        try:
            _, name, counter = HEAD.unpack_from(blob)
            return _decrypted(self._cipher(name, place), counter, blob[HEAD.size :], place)
        except (struct.error, tampered()) as error:
            raise StoreError(f"{place} is damaged: it was altered, or belongs to something else") from error

    def put(self, wrapped: Wrapped) -> None:
        """Keeps a data key in the store, in place of one of the same name."""
        moment = now()
        about = {"kind": KIND, "name": wrapped.name, "created_at": moment, "numbers": wrapped._asdict()}
        blob = codec.pack({}, about)
        self._backend.put_snapshot(SnapshotInfo(KIND, wrapped.name, moment, len(blob)), blob)
        self.wrapped[wrapped.name] = wrapped

    def lists(self) -> bytes | None:
        """Returns the data key for the texts of runs; None if they are plain; StoreError without the user's key."""
        wrapped = self.wrapped.get(LISTS)
        return wrapped and wrapped.unwrap(self.needed(f"the list of runs in {self._backend.url}"))

    def drop(self, name: str) -> None:
        """Deletes a data key: nothing that it sealed can be read any more."""
        self._backend.remove_snapshot(KIND, name)
        del self.wrapped[name]

    def needed(self, what: str) -> Key:
        """Returns the user's key; StoreError without it, which names what it is needed for."""
        if self.key is None:
            raise StoreError(f"{what} is encrypted: {HOW}")
        return self.key

    def checked(self) -> Key:
        """Returns the user's key; StoreError without it, or if any data key is wrapped by another."""
        key = self.needed(f"the store {self._backend.url}")
        for wrapped in self.wrapped.values():
            wrapped.check(key)
        return key

    def begin(self, *, strict: bool) -> bytes:
        """Makes a data key for blobs, and returns its name; StoreError without the user's key."""
        name, secret = secrets.token_bytes(8), secrets.token_bytes(SIZE)
        self.add(name.hex(), secret, strict=strict)
        self._ciphers[name] = aes(secret)
        return name

    def add(self, name: str, secret: bytes, *, strict: bool) -> None:
        """Keeps a new data key; StoreError without the user's key, or if the store has another."""
        self.put(Wrapped.of(name, secret, self.checked(), strict=strict))

    def _is_empty(self) -> bool:
        """Returns whether the store holds nothing yet that might be plain."""
        return not (self.wrapped or self._backend.select_runs({}, 1) or self._backend.select_snapshots(None))

    def _read_one(self, name: str) -> Wrapped | None:
        blob = self._backend.select_snapshot(KIND, name)
        if blob is None:
            return None
        where = f"the data key {name}"
        numbers = intact(blob, where, {"kind": KIND, "name": name}).get("numbers", {})
        kinds = {"name": str, "key": str, "strict": bool, "sealed": str}
        if {field: type(value) for field, value in numbers.items()} != kinds or numbers["name"] != name:
            raise StoreError(f"{where} is damaged: restore the store from a backup")
        self.wrapped[name] = Wrapped(**numbers)
        return self.wrapped[name]

    def _cipher(self, name: bytes, place: str) -> Any:
        """Returns the cipher of a data key."""
        if name not in self._ciphers:
            key = self.needed(place)
            wrapped = self.wrapped.get(name.hex()) or self._read_one(name.hex())
            if wrapped is None:
                raise StoreError(f"{place} is damaged: it was encrypted for another store")
            self._ciphers[name] = aes(wrapped.unwrap(key))
        return self._ciphers[name]


def is_sealed(blob: object) -> bool:
    """Returns whether a blob is sealed."""
    return isinstance(blob, bytes) and blob.startswith(codec.SEALED)


def _encrypted(cipher: Any, counter: int, blob: bytes, place: str) -> bytes:
    return bytes(cipher.encrypt(counter.to_bytes(NONCE, "big"), blob, place.encode()))


def _decrypted(cipher: Any, counter: int, blob: bytes, place: str) -> bytes:
    return bytes(cipher.decrypt(counter.to_bytes(NONCE, "big"), blob, place.encode()))


def _about(name: str, *, strict: bool) -> bytes:
    """Returns what is authenticated with a wrapped data key."""
    return f"{KIND} {name} {strict}".encode()


def aes(secret: bytes) -> Any:
    """Returns the cipher of a key; MissingPackageError without the package that has it."""
    return require("cryptography.hazmat.primitives.ciphers.aead", "secure", "an encrypted store").AESGCM(secret)


def tampered() -> type[Exception]:
    """Returns the error that a cipher raises for what was altered."""
    found: type[Exception] = require("cryptography.exceptions", "secure", "an encrypted store").InvalidTag
    return found
