"""Keeps numba's disk cache honest: it looks at a function's own file, not at those that were inlined into it."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def stamp(function: Any, *modules: ModuleType) -> None:
    """Makes a cached function compile anew when its own file or one of these modules has changed."""
    paths = [function.py_func.__code__.co_filename, *(str(module.__file__) for module in modules)]
    sources = b"\0".join(Path(path).read_bytes() for path in paths)
    with contextlib.suppress(AttributeError):  # numba offers no public way: without one, its own stamp stays
        function._cache._cache_file._source_stamp = hashlib.sha256(sources).hexdigest()  # noqa: SLF001
