"""The JSON of a run as MongoDB keeps it: documents that its users can query, which read back as the very same text.

A query names a setting by its path: `db.rlbench_runs.find({"config.agent.parameters.gamma": 0.9})`. In a key the
characters ".", "$" and NUL, which mean something to MongoDB, are written "%2E", "%24" and "%00", and "%" itself "%25".
Text that no document holds exactly (whole numbers beyond 64 bits, lone surrogates, foreign formatting), or only a large
one, stays text.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rlbench.errors import UsageError
from rlbench.store.codec import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rlbench.store.documents import Document

JSON = ("config", "evaluation", "cache")
DEEPEST = 80  # levels in a field: MongoDB stores 100 in all
LARGEST = 2**20  # bytes of a field as a document: it may take more room than its text
ESCAPES = {character: f"%{ord(character):02X}" for character in "%.$\0"}
ESCAPED = {escape: character for character, escape in ESCAPES.items()}


def to_fields(document: Mapping[str, Any]) -> Document:
    """Returns fields of a run's document as MongoDB keeps them."""
    named = {("_id" if name == "id" else name): value for name, value in document.items()}
    return {**named, **{name: _kept(named[name]) for name in JSON if isinstance(named.get(name), str)}}


def from_field(value: Any) -> Any:
    """Returns the text of a field in JSON; a foreign value as it is."""
    if isinstance(value, dict | list):
        with suppress(UsageError, ValueError):
            return _text(value)
    return value


def _kept(text: str) -> Any:
    import bson  # noqa: PLC0415  (an extra)

    with suppress(ValueError, RecursionError, OverflowError, UsageError, bson.errors.BSONError):
        document = _renamed(json.loads(text), _escape)
        encoded = bson.encode({"": document})
        is_exact = isinstance(document, dict | list) and _text(bson.decode(encoded)[""]) == text
        if is_exact and len(encoded) <= LARGEST:
            return document
    return text


def _text(document: Any) -> str:
    text = to_json(document)
    return to_json(_renamed(document, _unescape)) if "%" in text else text


def _renamed(value: Any, rename: Callable[[str], str], levels: int = DEEPEST) -> Any:
    """Renames the keys of all dicts in a JSON value; ValueError if it has too many levels."""
    if levels < 0:
        raise ValueError(f"more than {DEEPEST} levels")
    if isinstance(value, dict):
        return {rename(key): _renamed(part, rename, levels - 1) for key, part in value.items()}
    if isinstance(value, list):
        return [_renamed(part, rename, levels - 1) for part in value]
    return value


def _escape(key: str) -> str:
    return re.sub(r"[%.$\0]", lambda found: ESCAPES[found[0]], key)


def _unescape(key: str) -> str:
    return re.sub("%(?:25|2E|24|00)", lambda found: ESCAPED[found[0]], key)
