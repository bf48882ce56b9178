"""Seals the texts of a run's document: names, parameters, tags, evaluations.

They are encrypted deterministically (AES-SIV), each for its field, so that a backend still finds runs by them: who has
no key sees which are equal, and nothing else of them.
"""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rlbench.files import require
from rlbench.store.sealing import tampered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rlbench.store.documents import Document

FIELDS = (
    *("env_id", "agent_name", "seed", "cache_key", "config", "tags", "note", "evaluation", "cache"),
    *("record_sum", "notes_sum"),  # from which the rest could be guessed
)
FILTERS = {name: name for name in ("env_id", "agent_name", "cache_key")} | dict.fromkeys(
    ("tag", "not_tag", "study"), "tags"
)
NAME = "name"  # the field of a snapshot's name
MARK = "\x1f"  # begins a sealed text: no plain one has control characters
SECRET = 64  # bytes


class SealedFields:
    """Seals and unseals texts with a secret.

    Args:
        secret: SECRET bytes.
        strict: whether a plain text counts as damaged.
    """

    def __init__(self, secret: bytes, *, strict: bool) -> None:
        aead = require("cryptography.hazmat.primitives.ciphers.aead", "secure", "an encrypted store")
        self._cipher, self._strict = aead.AESSIV(secret), strict

    def seal(self, document: Mapping[str, Any]) -> Document:
        """Seals the texts of a document."""
        return _changed(document, self.seal_text)

    def unseal(self, document: Mapping[str, Any]) -> Document:
        """Unseals the texts of a document; what is damaged becomes a text that no checksum fits."""
        return _changed(document, self.unseal_text)

    def seal_filters(self, filters: Mapping[str, str]) -> dict[str, str]:
        """Seals what runs are asked for by."""
        return {
            name: self.seal_text(FILTERS[name], text) if name in FILTERS else text for name, text in filters.items()
        }

    def seal_text(self, field: str, text: str) -> str:
        """Seals a text; an empty or sealed one stays as it is."""
        if not text or text.startswith(MARK):
            return text
        sealed = self._cipher.encrypt(text.encode("utf-8", "surrogatepass"), [field.encode()])
        return MARK + base64.urlsafe_b64encode(sealed).decode()

    def unseal_text(self, field: str, text: str) -> str:
        """Unseals a text."""
        if not text.startswith(MARK):
            return f"{text} (not encrypted)" if text and self._strict else text
        with suppress(ValueError, tampered()):
            sealed = base64.urlsafe_b64decode(text[len(MARK) :])
            return str(self._cipher.decrypt(sealed, [field.encode()]).decode("utf-8", "surrogatepass"))
        return "(altered)"


def _changed(document: Mapping[str, Any], change: Callable[[str, str], str]) -> Document:
    return {name: _change(name, value, change) if name in FIELDS else value for name, value in document.items()}


def _change(name: str, value: Any, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, list):
        return [change(name, text) if isinstance(text, str) else text for text in value]
    return change(name, value) if isinstance(value, str) else value
