"""Pseudonyms for the names that runs tell: the same name gives the same one, and without the key nobody learns whose.

A pseudonym is an HMAC of the name. Nothing leads back from it, but whoever has the key can ask for that of a name.
"""

from __future__ import annotations

import hmac
import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from rlbench.errors import StoreError
from rlbench.store.documents import is_ours, notes_sum, sound
from rlbench.store.encrypting import check_that_nobody_writes
from rlbench.store.records import IMPORTED, PSEUDONYMISED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rlbench.keys import Key
    from rlbench.store import Store
    from rlbench.store.documents import Document

FORM = re.compile(r"p-[0-9a-f]{16}")
LABEL = re.compile(r"[^:=]*[:=]\s*")  # of a tag such as person:Ada or by=Ada


class Pseudonyms:
    """The pseudonyms that a key gives.

    Args:
        key: the same key gives the same ones.
        names: the only names that are replaced in texts, as whole words; none: in tags all, and in notes nothing.
    """

    def __init__(self, key: Key, names: Iterable[str] = ()) -> None:
        self.key, wanted = key, sorted(names, key=len, reverse=True)
        self._names = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, wanted))})(?!\w)") if wanted else None

    def of(self, name: str) -> str:
        """Returns the pseudonym of a name; a pseudonym stays as it is."""
        if FORM.fullmatch(name):
            return name
        digest = hmac.digest(self.key.secret, b"rlbench pseudonym " + name.encode("utf-8", "surrogatepass"), "sha256")
        return f"p-{digest.hex()[:16]}"

    def in_tag(self, tag: str) -> str:
        """Returns a tag with pseudonyms: what follows a label, such as person:, or all of it."""
        if is_ours(tag) or tag == IMPORTED:
            return tag
        if self._names is not None:
            return self.in_note(tag)
        label = found[0] if (found := LABEL.match(tag)) and found.end() < len(tag) else ""
        return label + self.of(tag[len(label) :])

    def in_note(self, note: str) -> str:
        """Returns a note with pseudonyms for the names that were given."""
        return note if self._names is None else self._names.sub(lambda found: self.of(found[0]), note)

    def in_writer(self, writer: str) -> str:
        """Returns the identity of a writer that has ended, without the name of its host."""
        with suppress(ValueError, TypeError, KeyError, RecursionError):
            who = json.loads(writer)
            return json.dumps({**who, "host": self.of(str(who["host"]))})
        return writer


def pseudonymise(store: Store, pseudonyms: Pseudonyms) -> int:
    """Replaces names in the tags, the notes and the hosts of all runs; returns how many runs it changed.

    Each run is changed at once, and says so in its lineage; a call that was killed is finished by the next. The space
    of what was replaced is freed in the end, so that nothing of it is left in a file.

    Raises:
        StoreError: another process is writing a run, or changes one at the same time; or a run is damaged.
    """
    backend, count = store.backend, 0
    check_that_nobody_writes(backend)
    for before in map(sound, backend.select_runs({}, None)):
        changes = _changes(before, pseudonyms)
        if changes:
            changes["notes_sum"] = notes_sum({**before, **changes})
            act = store.act("pseudonymise", before["id"])
            if not backend.commit(before["id"], {"notes_sum": before["notes_sum"]}, changes, act=act):
                raise StoreError(f"other processes keep changing run {before['id']}: try again")
            count += 1
    backend.compact()
    return count


def _changes(before: Document, pseudonyms: Pseudonyms) -> Document:
    """Returns the fields of a run that change."""
    after = {
        "tags": list(map(pseudonyms.in_tag, before["tags"])),
        "note": pseudonyms.in_note(before["note"]),
        "writer": pseudonyms.in_writer(before["writer"]),
    }
    changes = {name: value for name, value in after.items() if value != before[name]}
    mark = PSEUDONYMISED + pseudonyms.key.id
    if changes and mark not in before["tags"]:
        changes["tags"] = [mark, *after["tags"]]
    return changes
