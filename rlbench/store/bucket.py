"""A bucket in the cloud, through obstore: its address, its requests, and its errors in one line."""

from __future__ import annotations

import ipaddress
import os
import re
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from rlbench.errors import StoreAway, StoreError, UsageError
from rlbench.files import require
from rlbench.store.backend import TRIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

CLOUDS = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}  # scheme of an address: its class in obstore
BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
FOLDER = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._=@+ -]{1,200}")  # one in a prefix
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
INSISTS = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")  # obstore's own variables
LIMITS = {"connect_timeout": "4s", "timeout": "120s"}  # the latter for a request with all that it sends
RETRIES = {  # obstore's default goes on for three minutes
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=20),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
BATCH = 1000  # objects per request of a list
PIECE = 2**24  # bytes of an object that are sent or fetched in one request, where it may be several
LARGE = 2**32  # bytes: none of the clouds takes more in one request
STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
CODE = re.compile(r"<Code>(\w{1,80})</Code>")
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what your cloud takes instead"
DENIED = f"cannot use the store {{}}: access is denied{{}}; {CREDENTIALS}, of a user who may do this"
CARELESS = "its server overwrites what another process has just written; use one with conditional writes"
EXPLANATIONS: tuple[tuple[tuple[str, ...], type[StoreError], str], ...] = (  # what obstore says, and what we say
    (
        ("169.254.169.254", "metadata.google.internal", "169.254.170.2"),  # where it looks for credentials last
        StoreError,
        f"cannot use the store {{}}: it needs credentials; {CREDENTIALS}",
    ),
    (NO_BUCKET, StoreError, "cannot use the store {}: its bucket does not exist; make it, or check the name"),
    (("status code: 401", "status code: 403"), StoreError, DENIED),  # it knows them from some requests only
    (
        ("status code: 507", "QuotaExceeded", "StorageFull", "NotEnoughSpace"),
        StoreError,
        "cannot use the store {}: it is full{}; make room and try again",
    ),
    (("status code: 501",), StoreError, f"cannot use the store {{}}: {CARELESS}"),
    (("configured region",), StoreError, "cannot use the store {}: its bucket is in another region; set AWS_REGION"),
    (
        ("status code: 5", "status code: 429"),
        StoreAway,
        "cannot use the store {}: its server is failing or busy{}; try again later",
    ),
    (
        ("HTTP error", "timed out"),
        StoreAway,
        "cannot reach the store {}: start its server, or check the address in the environment",
    ),
)

Version = dict[str, str]  # of an object, as obstore names it: its e-tag, and what its cloud has beside it


class Found(NamedTuple):
    """An object as it was read."""

    blob: bytes
    version: Version
    modified: datetime  # on the clock of the server


class Listed(NamedTuple):
    """An object in a list."""

    path: str
    size: int
    e_tag: str | None


class Bucket:
    """Objects under a prefix of a bucket.

    Every failure is a StoreError that names `url`; no error holds a credential.

    Attributes:
        url: the address of the prefix.
        is_away: whether the last request had no answer.
    """

    def __init__(self, url: str, store: Any) -> None:
        self.url, self._store, self.is_away = url, store, False
        self._obstore, self._process = driver(), os.getpid()

    def get(self, path: str, most: int = LARGE) -> Found | None:
        """Returns an object, nothing of one with more than `most` bytes; None if it does not exist."""
        with self._asking() as obstore:
            try:
                result = obstore.get(self._store, path)
                size, version = result.meta["size"], _version(result.meta)
                blob = b"" if size > most else self._whole(path, result, size)
                return Found(blob, version, result.meta["last_modified"])
            except FileNotFoundError as error:
                _check_bucket(error)
        return None

    def _whole(self, path: str, result: Any, size: int) -> bytes:
        if size <= PIECE:
            return bytes(result.bytes().to_bytes())
        return b"".join(self.get_range(path, first, PIECE) or b"" for first in range(0, size, PIECE))

    def get_beginning(self, path: str, size: int) -> Found | None:
        """Returns the first bytes of an object; None if it does not exist, or is empty."""
        with self._asking() as obstore:
            try:
                result = obstore.get(self._store, path, options={"range": (0, size)})
                return Found(result.bytes().to_bytes(), _version(result.meta), result.meta["last_modified"])
            except FileNotFoundError as error:
                _check_bucket(error)
            except obstore.exceptions.BaseError as error:
                _check_range(error)
        return None

    def get_range(self, path: str, start: int, size: int) -> bytes | None:
        """Returns `size` bytes of an object, or fewer where it ends; None if it does not exist, or ends before."""
        with self._asking() as obstore:
            try:
                return bytes(obstore.get_range(self._store, path, start=start, length=size).to_bytes()) if size else b""
            except FileNotFoundError as error:
                _check_bucket(error)
            except obstore.exceptions.BaseError as error:
                _check_range(error)
        return None

    def has(self, path: str) -> bool:
        """Returns whether an object exists."""
        with self._asking() as obstore:
            try:
                obstore.head(self._store, path)
            except FileNotFoundError:
                return False
        return True

    def add(self, path: str, blob: bytes) -> None:
        """Writes an object whose name tells its content, unless it is there."""
        if len(blob) > PIECE:  # in several requests, which cannot be conditional
            if not self.has(path):
                self.replace(path, blob)
            return
        for _ in range(TRIES):  # a server may refuse one that is being written by another process
            if self._put(path, blob, "create") is not None or self.has(path):
                return
        raise StoreError(f"cannot use the store {self.url}: other processes keep writing {path}; try again")

    def replace(self, path: str, blob: bytes) -> None:
        """Writes an object in place of any other."""
        self._put(path, blob, "overwrite")

    def put_file(self, path: str, file: Path) -> None:
        """Writes a file, piece by piece, in place of any other object."""
        with self._asking() as obstore:
            obstore.put(self._store, path, file)

    def exchange(self, path: str, blob: bytes, version: Version | None) -> Version | None:
        """Writes an object in place of this version, None: only if there is none; returns its version.

        None, writing nothing, if another process was faster.
        """
        written = self._put(path, blob, "create" if version is None else version)
        if written is not None:
            return written
        found = self.get(path)  # what we wrote ourselves, if only the answer was lost
        return found.version if found is not None and found.blob == blob else None

    def _put(self, path: str, blob: bytes, mode: str | Version) -> Version | None:
        if len(blob) > LARGE:
            raise StoreError(f"cannot use the store {self.url}: a record of {len(blob):,} bytes is too large for it")
        with self._asking() as obstore:
            try:
                return _version(obstore.put(self._store, path, blob, mode=mode))
            except (obstore.exceptions.AlreadyExistsError, obstore.exceptions.PreconditionError):
                return None
            except FileNotFoundError as error:  # the object to replace, or the bucket
                if isinstance(mode, str):
                    raise
                _check_bucket(error)
        return None

    def check_conditions(self, path: str, blob: bytes) -> None:
        """Raises StoreError if the server overwrites this object, though it is asked to only if nobody else has."""
        another = {"e_tag": '"another"', "version": "0"}
        if self._put(path, blob, "create") is not None or self._put(path, blob, another) is not None:
            raise StoreError(f"cannot use the store {self.url}: {CARELESS}")

    def list(self, folder: str, after: str = "") -> list[Listed]:
        """Returns the objects in a folder, by name, from the first after `after` on."""
        with self._asking() as obstore:
            offset = f"{folder}/{after}" if after else None
            batches = obstore.list(self._store, folder or None, offset=offset, chunk_size=BATCH)
            return [_listed(one) for batch in batches for one in batch]

    def is_empty(self) -> bool:
        """Returns whether there is no object at all."""
        with self._asking() as obstore:
            return not next(iter(obstore.list(self._store, chunk_size=1)), [])

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes objects; those that do not exist do no harm."""
        chosen = list(paths)
        if chosen:
            with self._asking() as obstore:
                obstore.delete(self._store, chosen)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        if os.getpid() != self._process:  # obstore's threads are not there: it would wait for ever
            raise StoreError(f"cannot use the store {self.url} in a process that was forked: start it with spawn")
        try:
            with explained(self.url):
                yield self._obstore
        except StoreAway:
            self.is_away = True
            raise
        self.is_away = False


def driver() -> Any:
    """Returns the module obstore; MissingPackageError if it is not installed."""
    require("obstore.store", "cloud", "a store in the cloud")
    return require("obstore", "cloud", "a store in the cloud")


def open_bucket(url: str, rest: str) -> Bucket:
    """Opens `BUCKET/PREFIX` of the cloud that the scheme of the URL names, with the credentials of the environment.

    Raises:
        UsageError: the address is malformed, obstore is not installed, or the server would be asked without TLS.
        StoreError: the settings in the environment are refused.
    """
    scheme = url.partition(":")[0]
    name, *folders = rest.rstrip("/").split("/")
    if not BUCKET.fullmatch(name) or not all(map(FOLDER.fullmatch, folders)):
        raise UsageError(
            f"a malformed address of a store, not repeated here since it may hold a secret: write {scheme}://BUCKET"
            f"/PREFIX, letters, digits and ._-; credentials come from the environment ({CREDENTIALS})"
        )
    place, options = "/".join((name, *folders)), {**LIMITS, "allow_http": _may_go_plain()}
    made = getattr(driver().store, CLOUDS[scheme])
    with explained(f"{scheme}://{place}"):
        store = made(name, prefix="/".join(folders) or None, client_options=options, retry_config=RETRIES)
    return Bucket(f"{scheme}://{place}", store)


def _may_go_plain() -> bool:
    """Returns whether a server is asked without TLS: one on this machine, or if the environment insists on it."""
    insists = any(os.environ.get(name, "").lower() in ("1", "true") for name in INSISTS)
    plain = [name for name in ENDPOINTS if os.environ.get(name, "").lower().startswith("http:")]
    for name in plain:
        if not insists and not _is_here(urlsplit(os.environ[name]).hostname or ""):
            raise UsageError(f"{name} must begin with https://, or http:// only for a server on this machine")
    return insists or bool(plain)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns the errors of obstore into a one-line StoreError; what it quotes may hold a secret, and is left out."""
    exceptions = driver().exceptions
    try:
        yield
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise StoreError(DENIED.format(url, _reason(error))) from None
    except (exceptions.BaseError, OSError, ValueError) as error:
        raise _explained(url, error) from None


def _explained(url: str, error: Exception) -> StoreError:
    text = str(error)
    kind, words = next(
        ((kind, words) for signs, kind, words in EXPLANATIONS if any(sign in text for sign in signs)),
        (StoreError, "cannot use the store {}: its server refuses it{}"),
    )
    return kind(words.format(url, _reason(error)))


def _status(error: Exception) -> str:
    found = STATUS.search(str(error))
    return found[1].strip() if found else ""


def _check_bucket(error: FileNotFoundError) -> None:
    """Raises an error again that says that the bucket does not exist, not only an object."""
    if any(sign in str(error) for sign in NO_BUCKET):
        raise error


def _check_range(error: Exception) -> None:
    """Raises an error again, unless it says that an object ends before a range begins."""
    if not _status(error).startswith("416"):
        raise error


def _reason(error: Exception) -> str:
    """Returns what the server said, as far as it is sure to be no secret."""
    code = CODE.search(str(error))
    said = ", ".join(filter(None, (_status(error), code and code[1])))
    return f" ({said})" if said else ""


def _version(meta: Any) -> Version:
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name) is not None}


def _listed(meta: Any) -> Listed:
    return Listed(meta["path"], meta["size"], meta.get("e_tag"))
