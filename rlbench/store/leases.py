"""Who uploads to a bucket and who frees space in it: never both at once, so nothing is deleted that is needed.

An upload writes objects before the manifest that names them, and until then nobody can tell them from what is left
over. Hence it first says in the bucket that it is under way, then looks whether somebody deletes; who deletes says so
first, then looks for uploads. Whatever comes between, one of the two sees the other. Nobody waits for a process that
was killed: on this machine it is known to be gone, and one on another machine once it has been silent for an hour.
"""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from rlbench.errors import StoreError
from rlbench.store import writers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rlbench.store.bucket import Bucket, Found

UPLOADS, COLLECTING = "uploads", "collecting"
LIFE = 3600.0  # seconds without a sign after which a process on another machine counts as dead
BEAT = 60.0  # seconds between two signs
PATIENCE = timedelta(seconds=LIFE - writers.SILENCE)
BATCH = 1000  # objects that are deleted in one request


class Lease:
    """The right of a process to add objects to a bucket, and to delete them."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket, self._token = bucket, secrets.token_hex(8)
        self._path = f"{UPLOADS}/{self._token}"
        self._who = writers.identity(self._token).encode()
        self._said = 0.0  # when it last gave a sign; 0: never

    def hold(self) -> None:
        """Says that an upload is under way, unless it has just done so.

        Raises:
            StoreError: another process frees space, or this one has been silent for so long that others may have.
        """
        silence = time.time() - self._said
        if silence < BEAT:
            return
        if self._said and silence > LIFE:
            self.release()
            raise StoreError(f"the upload to {self._bucket.url} paused for too long: start it again, and it goes on")
        is_new, self._said = not self._said, time.time()
        writers.LIVING.add(self._token)
        self._bucket.replace(self._path, self._who)
        if is_new and self._is_alive(self._bucket.get(COLLECTING)):
            self.release()
            raise self._busy("freeing space in")

    def release(self) -> None:
        """Says that the upload has ended; a server that is away learns it from the end of this process."""
        if self._said and not self._bucket.is_away:
            with suppress(StoreError):
                self._bucket.delete([self._path])
        self._said = 0.0
        writers.LIVING.discard(self._token)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lets this process delete objects; StoreError while another uploads, or deletes."""
        is_held = bool(self._said)
        self.hold()
        try:
            found = self._bucket.get(COLLECTING)
            is_taken = self._is_alive(found)
            if is_taken or self._bucket.exchange(COLLECTING, self._who, found and found.version) is None:
                raise self._busy("freeing space in")
            try:
                self._refuse_uploads()
                yield
            finally:
                self._bucket.delete([COLLECTING])
        finally:
            if not is_held:
                self.release()

    def delete(self, paths: Iterable[str]) -> None:
        """Deletes objects, while it is alone; StoreError if it has been for so long that others may not wait."""
        chosen, begun = sorted(paths), time.time()
        for first in range(0, len(chosen), BATCH):
            if time.time() - begun > LIFE / 2:
                raise StoreError(f"freeing space in {self._bucket.url} took too long: start it again, and it goes on")
            self._bucket.delete(chosen[first : first + BATCH])

    def _refuse_uploads(self) -> None:
        others = [one.path for one in self._bucket.list(UPLOADS) if one.path != self._path]
        if any(self._is_alive(self._bucket.get(path)) for path in others):
            raise self._busy("uploading to")
        self._bucket.delete(others)

    def _is_alive(self, found: Found | None) -> bool:
        """Returns whether a sign is that of another process that lives."""
        if found is None or found.blob == self._who:
            return False
        own = self._bucket.get(self._path)  # both times are on the clock of the server
        sign = {"writer": found.blob.decode(errors="replace"), "beat": found.modified.isoformat()}
        return own is None or writers.is_alive(sign, own.modified - PATIENCE)

    def _busy(self, what: str) -> StoreError:
        return StoreError(f"another process is {what} {self._bucket.url}: try again once it has ended")
