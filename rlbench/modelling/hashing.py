"""What is kept from a model: columns that are dropped, and columns of which it learns hashes alone.

A hashed value is its pseudonym; among numbers, it is the number from 0 to 1 that the pseudonym spells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rlbench.errors import UsageError
from rlbench.keys import name_key
from rlbench.store.pseudonyms import FORM, Pseudonyms

if TYPE_CHECKING:
    from collections.abc import Iterable

HOW = "give --name-key-file FILE, or set RLBENCH_NAME_KEY_FILE"


class Withheld(NamedTuple):
    """The columns of a file that a model does not see as they are.

    Attributes:
        dropped: the names of those it does not see at all.
        hashed: of those it sees hashed.
        pseudonyms: hash them.
    """

    dropped: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    pseudonyms: Pseudonyms | None = None

    @classmethod
    def of(cls, dropped: Iterable[str], hashed: Iterable[str]) -> Withheld:
        """Returns the columns withheld, with the given key; UsageError without one, or if a column is both."""
        out, changed = tuple(dict.fromkeys(dropped)), tuple(dict.fromkeys(hashed))
        both = next((name for name in out if name in changed), None)
        if both is not None:
            raise UsageError(f"the column {both!r} is either dropped or hashed: leave one out")
        return cls(out, changed, given_pseudonyms() if changed else None)

    @property
    def record(self) -> dict[str, object]:
        """What a model's record says of them; empty if there are none."""
        known = {"dropped": list(self.dropped), "hashed": {}}
        if self.pseudonyms is not None:
            known["hashed"] = dict.fromkeys(self.hashed, self.pseudonyms.key.id)
        return {name: value for name, value in known.items() if value}

    def hash(self, text: str) -> str:
        """Returns the pseudonym of a cell."""
        return text if self.pseudonyms is None else self.pseudonyms.of(text.strip())


def given_pseudonyms(key_id: str | None = None) -> Pseudonyms:
    """Returns the pseudonyms of the given key; UsageError without one, or if its id is another than `key_id`."""
    key = name_key()
    if key is None:
        raise UsageError(f"hashing takes a key: {HOW}")
    if key_id is not None and key.id != key_id:
        raise UsageError(f"the model was trained with names hashed by the key {key_id}, not by {key.id}: {HOW}")
    return Pseudonyms(key)


def fraction(pseudonym: str) -> float:
    """Returns the number from 0 to 1 that a pseudonym spells."""
    return (int(pseudonym.removeprefix("p-"), 16) >> 11) / 2**53  # below 1: a float has 53 bits


def is_pseudonym(text: str) -> bool:
    """Returns whether a text has the form of a pseudonym."""
    return FORM.fullmatch(text) is not None
