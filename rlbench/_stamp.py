"""Keeps numba's disk cache honest: on its own it checks a function's file, but not the files inlined into it.

And quick: on its own it readies the compiler for every function that it loads.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.core.runtime.nrt import rtsys

if TYPE_CHECKING:
    from collections.abc import Iterator

# unindented only: imports for type checking are indented
IMPORT = re.compile(r"^from (rlbench[\w.]*) import (?:\(([^)]*)\)|([^#\n]*))", re.MULTILINE)


def stamp(module: str) -> str:
    """Recompiles a module's cached functions after a change in any of its `sources`; called at the module's end.

    Returns the stamp, for functions compiled later.
    """
    texts = [text.encode() for _, text in sorted(sources(module).items())]
    digest = hashlib.sha256(b"\0".join(texts)).hexdigest()
    for value in vars(sys.modules[module]).values():
        if getattr(value, "__module__", None) == module:
            put_stamp(value, digest)
    return digest


def put_stamp(function: Any, digest: str) -> None:
    """Stamps one function, if it is a compiled one, and lets it load quickly."""
    with contextlib.suppress(AttributeError):  # no public way: if numba drops this one, its own stamp stays
        function._cache._cache_file._source_stamp = digest  # noqa: SLF001
        function._cache.load_overload = partial(_loaded, function._cache)  # noqa: SLF001


def _loaded(cache: Any, signature: Any, context: Any) -> Any:
    """Returns the compiled code that numba keeps for a signature, or None: numba then compiles it.

    As `FunctionCache.load_overload`, but without all that only compiling takes, scipy.linalg among it: `rlbench train`
    starts in three fifths of the time.
    """
    rtsys.initialize(context)
    try:
        with cache._guard_against_spurious_io_errors():  # noqa: SLF001
            return cache._load_overload(signature, context)  # noqa: SLF001
    except (AttributeError, ImportError):  # kept by another version, for a class that is gone
        cache.flush()
        return None


def sources(module: str) -> dict[str, str]:
    """Returns the source of a module and of every rlbench module it imports, directly or indirectly, by name."""
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
