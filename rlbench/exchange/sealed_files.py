"""Files that are encrypted block by block while they are written: nothing plain ever lies on the disk.

A sealed file is `MAGIC | id of the user's key | salt | its size, sealed | blocks`. Each block is a nonce, up to BLOCK
encrypted bytes and their tag, and is authenticated with its number. The file's own key follows from the user's and the
salt, so that its nonces may count what was sealed.
"""

from __future__ import annotations

import hmac
import io
import os
import secrets
import struct
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

from rlbench.errors import UsageError
from rlbench.keys import SIZE, given_key
from rlbench.store.sealing import HOW, NONCE, aes, tampered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer, WriteableBuffer

    from rlbench.keys import Key

    Place: TypeAlias = "Path | SealedPath"  # of a file

MAGIC = b"rlbench sealed 1\n"
ENDING = ".sealed"  # may follow the ending that tells the format
BLOCK = 2**16  # bytes
TAG = 16  # bytes
SLOT = NONCE + BLOCK + TAG
LENGTH = struct.Struct(">Q")
HEAD = struct.Struct(f">{len(MAGIC)}s8s{SIZE}s{NONCE + LENGTH.size + TAG}s")


def is_sealed_file(path: Path) -> bool:
    """Returns whether a path is that of a sealed file."""
    with suppress(OSError), path.open("rb") as file:  # whoever reads it says why it cannot be read
        return file.read(len(MAGIC)) == MAGIC
    return False


class SealedPath:
    """The path of a sealed file: as far as formats need one, it acts as the path of a plain file does.

    Args:
        path: where the sealed file is, or will be.
        key: opens it.
    """

    def __init__(self, path: Path, key: Key) -> None:
        self._path, self._key = path, key
        self.name, self.suffix = path.name, PurePath(path.name.removesuffix(ENDING)).suffix

    def __str__(self) -> str:
        return str(self._path)

    def with_name(self, name: str) -> SealedPath:
        """Returns the path of a file beside it."""
        return SealedPath(self._path.with_name(name), self._key)

    def is_file(self) -> bool:
        """Returns whether the file exists."""
        return self._path.is_file()

    def stat(self) -> os.stat_result:
        """Returns what the system knows of the file."""
        return self._path.stat()

    def open(self, mode: str, buffering: int = -1) -> Any:
        """Opens it to read ("rb") or to be written anew ("xb", "x+b"), in binary.

        Raises:
            UsageError: it was not encrypted, is damaged, or the key is another.
        """
        raw = SealedFile(self._path.open(mode.replace("xb", "x+b"), buffering=0), self._key, is_new="x" in mode)
        if not buffering:
            return raw
        return io.BufferedWriter(raw, BLOCK) if "x" in mode else io.BufferedReader(raw, BLOCK)


@contextmanager
def opened(path: Place, mode: str) -> Iterator[Any]:
    """Yields what a library opens by itself: a plain path as it is, of a sealed file the open file."""
    if not isinstance(path, SealedPath):
        yield path
        return
    with path.open(mode) as file:
        yield file


def sealed_path(path: Path) -> SealedPath:
    """Returns the path of a file that the given key seals or opens; UsageError without one."""
    if (key := given_key()) is None:
        raise UsageError(f"to encrypt a file, or to read an encrypted one, takes a key: {HOW}")
    return SealedPath(path, key)


class SealedFile(io.RawIOBase):
    """An open sealed file, plain to its reader and writer; it may be read and written anywhere.

    Args:
        file: the file itself, unbuffered.
        key: gives the file's own key.
        is_new: it is empty and open for writing.

    Raises:
        UsageError: it is not sealed, it is damaged, or the key is another.
    """

    def __init__(self, file: Any, key: Key, *, is_new: bool) -> None:
        self._file, self._is_new = file, is_new
        self._sealed = self._at = self._size = 0  # how often something was sealed; in bytes
        self._number, self._block, self._is_changed = -1, bytearray(), False  # the block that is held
        self._key_id = key.id.encode()
        try:
            self._salt, size = (secrets.token_bytes(SIZE), b"") if is_new else self._read_head(key)
            self._cipher = aes(hmac.digest(key.secret, b"rlbench file" + self._salt, "sha256"))
            if not is_new:
                self._size = LENGTH.unpack(self._opened(size, "size"))[0]
        except BaseException:
            self._is_new = False  # there is nothing to write when it is closed
            file.close()
            raise

    def _read_head(self, key: Key) -> tuple[bytes, bytes]:
        """Returns the salt and the sealed size."""
        found = self._file.read(HEAD.size)
        if len(found) < HEAD.size or not found.startswith(MAGIC):
            raise UsageError("it is not encrypted, or was cut off")
        _, key_id, salt, size = HEAD.unpack(found)
        if key_id != self._key_id:
            raise UsageError(f"it is encrypted with another key than {key.id}: {HOW}")
        return salt, size

    # ------------------------------------------------------------------ a file

    def readable(self) -> bool:
        """Returns True."""
        return True

    def writable(self) -> bool:
        """Returns whether it is new."""
        return self._is_new

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns where it is read or written next."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to an offset from the start, from here or from the end; returns where that is."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, target: WriteableBuffer) -> int:
        """Reads up to the end of a block; returns how many bytes."""
        view = memoryview(target).cast("B")
        start = self._at % BLOCK
        found = self._held(self._at // BLOCK)[start : start + len(view)] if self._at < self._size else b""
        view[: len(found)] = found
        self._at += len(found)
        return len(found)

    def write(self, data: ReadableBuffer) -> int:
        """Writes up to the end of a block; returns how many bytes."""
        if self._at > self._size:
            self.truncate(self._at)
        start = self._at % BLOCK
        part = memoryview(data).cast("B")[: BLOCK - start]
        block = self._held(self._at // BLOCK)
        block[start : start + len(part)] = part
        self._is_changed = True
        self._at += len(part)
        self._size = max(self._size, self._at)
        return len(part)

    def truncate(self, size: int | None = None) -> int:
        """Cuts the file, or extends it by zeros."""
        size = self._at if size is None else size
        while self._size < size:
            block = self._held(self._size // BLOCK)
            block.extend(bytes(min(BLOCK, size - self._size // BLOCK * BLOCK) - len(block)))
            self._is_changed = True
            self._size = self._size // BLOCK * BLOCK + len(block)
        if size < self._size:
            del self._held(size // BLOCK)[size % BLOCK :]
            self._size, self._is_changed = size, True
        return size

    def close(self) -> None:
        """Writes what is held, and the head, without which the file opens nothing."""
        if self.closed:
            return
        try:
            if self._is_new:
                self._write_held()
                size = self._closed(LENGTH.pack(self._size), "size")
                self._file.seek(0)
                self._write_all(HEAD.pack(MAGIC, self._key_id, self._salt, size))
        finally:
            self._file.close()
            super().close()

    # ------------------------------------------------------------------ its blocks

    def _held(self, number: int) -> bytearray:
        """Returns a block, which is held until another is asked for."""
        if number != self._number:
            self._write_held()
            self._block, self._number = bytearray(self._read_block(number)), number
        return self._block

    def _read_block(self, number: int) -> bytes:
        size = min(BLOCK, self._size - number * BLOCK)
        if size <= 0:
            return b""
        self._file.seek(HEAD.size + number * SLOT)
        found = self._opened(self._file.read(NONCE + size + TAG), f"block {number}")
        if len(found) != size:
            raise UsageError("it is damaged: it was cut off")
        return found

    def _write_held(self) -> None:
        if self._is_changed:
            self._is_changed = False
            self._file.seek(HEAD.size + self._number * SLOT)
            self._write_all(self._closed(self._block, f"block {self._number}"))

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _closed(self, data: bytes | bytearray, place: str) -> bytes:
        self._sealed += 1
        nonce = self._sealed.to_bytes(NONCE, "big")
        return nonce + bytes(self._cipher.encrypt(nonce, data, place.encode()))

    def _opened(self, data: bytes, place: str) -> bytes:
        try:
            return bytes(self._cipher.decrypt(data[:NONCE], data[NONCE:], place.encode()))
        except (ValueError, tampered()) as error:
            raise UsageError("it is damaged: it was altered or cut off") from error
