"""Texts for other programs: a terminal, a spreadsheet and a parser of JSON get nothing that they stumble over."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

# C0, DEL and C1; bidirectional marks and overrides, line separators; lone surrogates
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins like this
QUOTE = "'"  # before a cell: a spreadsheet takes what follows as text


def has_controls(text: str) -> bool:
    """Returns whether a text holds control characters, bidirectional ones included."""
    return not text.isprintable() and CONTROLS.search(text) is not None


def escaped(text: str) -> str:
    r"""Returns a text with its control characters escaped: ESC becomes `\x1b`, a line break `\n`."""
    if text.isprintable():  # no control character is, and this test is ten times faster
        return text
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def to_cell(text: str) -> str:
    """Returns a text as a cell of a CSV file that no spreadsheet computes; `from_cell` undoes it exactly."""
    return f"{QUOTE}{text}" if text.startswith((*FORMULA, QUOTE)) else text


def from_cell(cell: str) -> str:
    """Returns the text from which `to_cell` made a cell."""
    return cell.removeprefix(QUOTE)


def strict_json(value: object) -> str:
    """Returns a value as JSON that any program reads: NaN and infinities are null, NumPy's arrays are lists."""
    return json.dumps(_plain(value), allow_nan=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def comparable(text: str) -> str:
    """Returns a text without what one does not see: blanks around it, and how letters with marks are composed (NFC)."""
    return unicodedata.normalize("NFC", text).strip()
