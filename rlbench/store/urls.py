"""The addresses of stores: a path, `sqlite:///path`, `memory://` or `mongodb://host/name`."""

from __future__ import annotations

import re

from rlbench.errors import UsageError, unknown_name

CREDENTIALS = re.compile(r"^(?!sqlite:|memory:)([\w+.-]+://[^@:]*):.*@", re.DOTALL)  # up to the last @
SECRETS = re.compile(r"([?&][^=&]*(?:password|token|secret|properties)[^=&]*=)[^&]*", re.IGNORECASE)


def redact(url: str) -> str:
    """Returns the URL with `***` in place of secrets, fit for logs, errors and records."""
    return SECRETS.sub(r"\1***", CREDENTIALS.sub(r"\1:***@", url)) if "://" in url else url


def split_url(url: str, schemes: list[str]) -> tuple[str, str]:
    """Splits the URL of a store into its scheme and the rest; the scheme of a bare path is "sqlite".

    Raises:
        UsageError: the URL is empty or malformed.
        UnknownNameError: no store has this scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "sqlite", _path(url)
    if scheme not in schemes:
        raise unknown_name("kind of store", scheme + "://", [known + "://" for known in schemes])
    if scheme == "sqlite" and separator:
        if not rest.startswith("/"):
            raise UsageError(f"write sqlite:///{rest} (relative path) or sqlite:////{rest} (absolute)")
        rest = _path(rest[1:])
    if scheme == "memory" and rest:
        raise UsageError(f"memory:// takes no name, got {rest!r}: every memory:// is a new, empty store")
    return scheme, rest


def _path(path: str) -> str:
    if not path or "\0" in path:
        raise UsageError(f"a store needs a path or URL, such as sqlite:///rlbench.db, got {path!r}")
    if path == ":memory:" or path.startswith("sqlite:"):
        raise UsageError(f"{path!r} is not a path: write memory:// or sqlite:///rlbench.db")
    return path
