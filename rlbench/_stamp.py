"""Keeps numba's disk cache honest: it looks at a function's own file, not at those that were inlined into it."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# at the margin: what is imported for types alone stands indented
IMPORT = re.compile(r"^from (rlbench[\w.]*) import (?:\(([^)]*)\)|([^#\n]*))", re.MULTILINE)


def stamp(module: str) -> None:
    """Makes a module's cached functions compile anew when one of its `sources` has changed; called at its end."""
    texts = [text.encode() for _, text in sorted(sources(module).items())]
    digest = hashlib.sha256(b"\0".join(texts)).hexdigest()
    for value in vars(sys.modules[module]).values():
        if getattr(value, "__module__", None) == module:
            with contextlib.suppress(AttributeError):  # numba offers no public way: without one, its own stamp stays
                value._cache._cache_file._source_stamp = digest  # noqa: SLF001


def sources(module: str) -> dict[str, str]:
    """Returns the source of a module and of all of rlbench that it imports, and that those import in turn, by name."""
    found: dict[str, str] = {}
    ahead = [module]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found[name] = Path(str(sys.modules[name].__file__)).read_text(encoding="utf-8")
            ahead += _imports(found[name])
    return found


def _imports(source: str) -> Iterator[str]:
    for package, *names in IMPORT.findall(source):
        for name in re.findall(r"\w+", "".join(names)):
            inside = f"{package}.{name}"
            yield inside if inside in sys.modules else package
