"""The committed rows of a run, as its document in MongoDB lists them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rlbench.errors import StoreError
from rlbench.store.documents import Piece, outlasts, pieces, shares
from rlbench.store.records import CheckpointInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench.store.documents import Document


class Rows(NamedTuple):
    """The committed rows of a run, as listed in its document."""

    pieces: list[Piece]
    chunks: int
    revision: str  # changes with every update, and is never reused
    attempts: list[list[Any]]  # [first number, token]: the token of the chunks from this number on
    checkpoints: list[list[Any]]  # [*CheckpointInfo, name of the row], oldest first

    @classmethod
    def of(cls, document: Document) -> Self:
        """Reads them from a run's document; StoreError if they are damaged."""
        try:
            document = plain(document)
            rows, written = document["rows"], pieces_of(document)
            found = cls(written, document["chunks"], rows["revision"], rows["attempts"], rows["checkpoints"])
            if all(found._is_sound()):
                return found
        except (KeyError, TypeError):
            pass
        raise StoreError(f"run {document['_id']} is damaged: it does not say which of its rows count")

    def _is_sound(self) -> Iterator[bool]:
        yield type(self.chunks) is int and type(self.revision) is str
        yield from ([type(part) for part in attempt] == [int, str] for attempt in self.attempts)
        yield from (len(row) == len(CheckpointInfo._fields) + 1 for row in self.checkpoints)
        yield from (type(row[1]) is int and type(row[-1]) is str for row in self.checkpoints)

    def token(self, number: object) -> str | None:
        """Returns the token under which a chunk was written; None if it does not count."""
        if type(number) is not int or not 0 <= number < self.chunks:
            return None
        return next((token for first, token in reversed(self.attempts) if first <= number), None)

    def owner(self, number: int) -> str | None:
        """Returns the run that wrote a chunk."""
        begun = (piece.owner for piece in reversed(self.pieces) if piece.first <= number)
        return next(begun, None) if number < self.chunks else None

    def shared(self, document: Document) -> Rows:
        """Returns what a run shares that begins with the first chunks."""
        attempts = [attempt for attempt in self.attempts if attempt[0] < document["chunks"]]
        is_shared = shares(document)
        checkpoints = [row for row in self.checkpoints if is_shared(CheckpointInfo(*row[:-1]))]
        return Rows(pieces(document), document["chunks"], new_name(), attempts, checkpoints)

    def with_chunk(self, number: int, token: str) -> Rows:
        """Returns them with one more chunk at the end."""
        same = self.attempts and self.attempts[-1][1] == token
        attempts = self.attempts if same else [*self.attempts, [number, token]]
        return self._replace(chunks=number + 1, attempts=attempts)

    def with_checkpoint(self, info: CheckpointInfo, name: str) -> Rows:
        """Returns them with a new checkpoint, which replaces all that are not kept."""
        kept = [row for row in self.checkpoints if outlasts(info)(CheckpointInfo(*row[:-1]))]
        return self._replace(checkpoints=sorted([*kept, [*info, name]], key=lambda row: row[1]))

    def renamed(self, old: str | None, new: str) -> Rows:
        """Returns them with another name for the row of a checkpoint."""
        return self._replace(checkpoints=[[*row[:-1], new if row[-1] == old else row[-1]] for row in self.checkpoints])

    def document(self) -> Document:
        """Returns them as stored in a run's document."""
        return {"revision": self.revision, "attempts": self.attempts, "checkpoints": self.checkpoints}

    def counts(self, name: str) -> bool:
        """Returns whether the row of this name counts."""
        owner, *place = name.split("/")
        if not place:
            return any(row[-1] == name for row in self.checkpoints)
        number = int(place[0]) if place[0].isdecimal() else -1
        return (self.owner(number), self.token(number)) == (owner, place[1])


def new_name() -> str:
    """Returns a name for a row, a revision or an attempt that nobody has used."""
    return secrets.token_hex(8)


def chunk_name(run_id: str, number: object, token: object) -> str:
    """Returns the name of the row of a chunk."""
    return f"{run_id}/{number}/{token}"


def pieces_of(document: Document) -> list[Piece]:
    """Returns the pieces that a run consists of; StoreError if they are damaged."""
    return pieces({"id": document["_id"], "owners": document.get("owners"), "chunks": document.get("chunks")})


def plain(value: Any) -> Any:
    """Returns a value with plain integers: the driver has its own type for large ones."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return list(map(plain, value))
    return int(value) if isinstance(value, int) and type(value) is not bool else value
