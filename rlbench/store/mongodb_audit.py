"""The audit log in a MongoDB database, without transactions: an act waits in the document that it changes.

The update that changes a document, and makes a run begin, a tag change or a run vanish, also adds the act to its
`acts`: that is atomic. Then the act is entered as the next document of the log, whose `_id` is its number, so that of
two that want the same place one tries again; then it is taken out of the document. Whoever opens the store enters what
a killed process left waiting. The id of an act, which its entry keeps, shows that it has been entered.

What is deleted is first emptied to its acts, so that nobody finds it, and removed once they are entered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rlbench.errors import StoreError
from rlbench.store.audit import HEADS, Act, Entry, Head, following, follows
from rlbench.store.mongodb_driver import hasty
from rlbench.store.mongodb_layout import insert
from rlbench.store.mongodb_rows import new_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rlbench.store.documents import Document
    from rlbench.store.mongodb_layout import Collections

TRIES = 1000  # to get a place: each that is lost is another process's
NONE_WAIT = {"acts.0": {"$exists": False}}
EMPTIED: dict[str, Document] = {  # what is left of a document that was deleted, by its collection
    "runs": {"number": None, "status": None, **NONE_WAIT},
    "snapshots": {"row": None, "pending.0": {"$exists": False}, **NONE_WAIT},
}


class Waiting(NamedTuple):
    """An act that waits in a document, and where the log ended, as far as is known, before it was put there."""

    id: str
    act: Act
    seen: Head | None

    @classmethod
    def of(cls, found: Any) -> Self:
        """Reads it from a document; nothing in it is trusted to be text."""
        known = found if isinstance(found, dict) else {}
        return cls(str(known.get("id")), Act(*(str(known.get(name)) for name in Act._fields)), None)

    def document(self) -> Document:
        """Returns it as a document keeps it."""
        return {"id": self.id, **self.act._asdict()}

    def pushed(self) -> Document:
        """Returns the update that adds it to a document."""
        return {"$push": {"acts": self.document()}}


def pulled(entered: Iterable[Waiting]) -> Document:
    """Returns the update that takes acts out of a document."""
    return {"$pull": {"acts": {"id": {"$in": [waiting.id for waiting in entered]}}}}


class Log:
    """Enters acts.

    Args:
        collections: of the store, for writes that are waited for.
        url: of the store.
    """

    def __init__(self, collections: Collections, url: str) -> None:
        self._store, self._url = collections, url
        self._seen: Head | None = None

    def waiting(self, act: Act) -> Waiting:
        """Returns an act that is to wait in a document."""
        return Waiting(new_name(), act, self._seen)

    def enter(self, waiting: Waiting, *, precedes: bool = False) -> None:
        """Enters an act at the end of the log, unless that was done.

        One that `precedes` a write that is waited for need not be itself: it lies before that in the server's journal.
        """
        log = hasty(self._store.audit) if precedes else self._store.audit
        head = waiting.seen or self.head()
        for _ in range(TRIES):
            if head != waiting.seen and self._store.audit.find_one({"act": {"$eq": waiting.id}}, {"_id": 1}):
                return  # by a process that opened the store, no earlier than the act was put into the document
            entry = following(head, waiting.act)
            if insert(log, _row(waiting.id, entry)):
                self._seen, HEADS[self._url] = Head(entry.number, entry.hash), entry.hash
                return
            head = self.head()
        raise StoreError("other processes keep writing to the audit log: try again")

    def settle(self, kind: str, name: object, acts: Iterable[Waiting], *, emptied: bool = False) -> None:
        """Enters the acts that wait in a document of "runs" or "snapshots", and takes them out of it.

        One that was emptied is removed.
        """
        entered = []
        for waiting in acts:
            self.enter(waiting)
            entered.append(waiting)
        key, collection = {"_id": {"$eq": name}}, hasty(getattr(self._store, kind))
        if entered:
            collection.update_one(key, pulled(entered))
        if emptied:
            collection.delete_one({**key, **EMPTIED[kind]})

    def settle_all(self) -> None:
        """Enters whatever waits, and removes what was emptied."""
        for kind in EMPTIED:
            found = list(getattr(self._store, kind).find({"acts.id": {"$gt": ""}}, {"acts": 1}))
            for each in found:
                self.settle(kind, each["_id"], map(Waiting.of, each["acts"]), emptied=True)

    def continue_by(self, entries: Sequence[Entry]) -> bool:
        """Adds entries of another log; False unless the first of them follows the last here."""
        if not follows(self.head(), entries):
            return False
        return all(insert(self._store.audit, _row(new_name(), entry)) for entry in entries)

    def head(self) -> Head:
        """Returns where the log ends."""
        last = self._store.audit.find_one({"_id": {"$gte": 0}}, {"hash": 1}, sort=[("_id", -1)])
        return Head() if last is None else Head(int(last["_id"]), str(last.get("hash")))

    def entries(self) -> Iterator[Entry]:
        """Yields the log as it is stored."""
        names = Entry._fields[1:]
        for found in self._store.audit.find({}, sort=[("_id", 1)]):
            number: Any = int(found["_id"]) if isinstance(found["_id"], int) else found["_id"]
            yield Entry.of(number, *(found.get(name) for name in names))


def _row(act_id: str, entry: Entry) -> Document:
    return {"_id": entry.number, "act": act_id, **entry.act._asdict(), "hash": entry.hash}
