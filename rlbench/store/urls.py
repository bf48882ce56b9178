"""The addresses of stores: a path, `sqlite:///path`, `memory://` or `mongodb://host/name`."""

from __future__ import annotations

import re
from pathlib import Path

from rlbench.errors import UsageError, unknown_name

PATH = re.compile(
    r"sqlite:|memory:|(?!.*://)([/.~]|[A-Za-z]:[\\/])", re.DOTALL
)  # an address that begins like this has no password
CREDENTIALS = re.compile(r"^((?:[\w+.-]+:/+|(?![\w+.-]+:/))[^:]*):.*@", re.DOTALL)  # up to the last @
MISSING_AT = re.compile(r"^([\w+.-]+://[^@:/?\[]*):(?!\d*(?:[,/?]|$))[^@/?]*(?=[/?]|$)")  # no port: a password
SECRETS = re.compile(r"([?&][^=&]*(?:password|token|secret|properties)[^=&]*=)[^&]*", re.IGNORECASE)
HIDDEN = "***"  # stands in place of a secret


def redact(url: str) -> str:
    """Returns the URL, even a malformed one, with `***` in place of secrets, fit for logs, errors and records."""
    if PATH.match(url):
        return url
    return SECRETS.sub(rf"\1{HIDDEN}", MISSING_AT.sub(rf"\1:{HIDDEN}", CREDENTIALS.sub(rf"\1:{HIDDEN}@", url)))


def split_url(url: str, schemes: list[str]) -> tuple[str, str]:
    """Splits the URL of a store into its scheme and the rest; the scheme of a bare path is "sqlite".

    Raises:
        UsageError: the URL is empty or malformed.
        UnknownNameError: no store has this scheme.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        _check_is_path(url, schemes)
        scheme, rest = "sqlite", _path(url)
    if scheme not in schemes:
        raise unknown_name("kind of store", redact(scheme) + "://", [known + "://" for known in schemes])
    if scheme == "sqlite" and separator:
        if not rest.startswith("/"):
            shown = redact(rest)
            raise UsageError(f"write sqlite:///{shown} (relative path) or sqlite:////{shown} (absolute)")
        rest = _path(rest[1:])
    if scheme == "memory" and rest:
        raise UsageError(f"memory:// takes no name, got {redact(rest)!r}: every memory:// is a new, empty store")
    return scheme, rest


def _path(path: str) -> str:
    if not path or "\0" in path:
        raise UsageError(f"a store needs a path or URL, such as sqlite:///rlbench.db, got {path!r}")
    if path == ":memory:" or path.startswith("sqlite:"):
        raise UsageError(f"{path!r} is not a path: write memory:// or sqlite:///rlbench.db")
    return path


def _check_is_path(path: str, schemes: list[str]) -> None:
    """Refuses a malformed address, without repeating it: it may hold a password, and must not become a file."""
    begins = path.strip().lower()
    is_address = any(begins.startswith(f"{scheme}:") for scheme in schemes if scheme != "sqlite")
    has_password = "@" in path.partition(":")[2]
    if is_address or (has_password and not (Path(path).is_absolute() and Path(path).parent.is_dir())):
        raise UsageError(
            "a malformed address of a store, not repeated here since it may hold a password: "
            "write mongodb://user:password@host/name, or sqlite:///FILE for a file of this name"
        )
