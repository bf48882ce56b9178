"""Files that are written whole or not at all, and read errors as one line that names the file."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from importlib import resources
from typing import TYPE_CHECKING, Any

from rlbench.errors import RlbenchError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_ERRORS = (  # what parsers raise for a damaged file, or one of another format
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    RuntimeError,
    TypeError,
    ValueError,
)


def require(module: str, extra: str, purpose: str) -> Any:
    """Imports an optional package; UsageError names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f'{purpose} needs {module.partition(".")[0]}, which is not installed: pip install "rlbench[{extra}]"'
        ) from error


def packaged(package: str, name: str) -> str:
    """Returns the text of a data file in a package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")


@contextmanager
def written(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yields a draft path to write a file or folder to; on success the draft replaces `path`.

    Args:
        path: the final path.
        overwrite: replace an existing file or Minari dataset.

    Raises:
        UsageError: the path exists and may not be replaced, or its folder is missing.
        StoreError: the path cannot be written; the draft is removed.
    """
    _check_free(path, overwrite=overwrite)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield draft
        _sync(draft)
        _put(draft, path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        _remove(draft)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the errors of parsers into one line that names the file.

    Raises:
        UsageError: the file has another format, or is damaged.
    """
    try:
        yield
    except StoreError:
        raise
    except RlbenchError as error:
        raise UsageError(f"{path} cannot be imported: {error}") from error
    except READ_ERRORS as error:
        raise UsageError(f"{path} cannot be imported: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    if isinstance(error, KeyError):  # its message is only the key
        key = str(error.args[0] if error.args else "something")
        return key if " " in key else f"{key!r} is missing"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def is_dataset(path: Path) -> bool:
    """Returns whether a folder holds a Minari dataset."""
    return (path / "data" / "metadata.json").is_file()


def _check_free(path: Path, *, overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a folder: create it first, or write elsewhere")
    if not os.path.lexists(path):
        return
    if path.is_dir() and (path.is_symlink() or not is_dataset(path)):
        raise UsageError(f"{path} is a folder: name a file in it")
    if not overwrite:
        raise UsageError(f"{path} exists: choose another name, or overwrite it (--force)")
    if not (path.is_dir() or path.is_file()):  # /dev/null, a pipe
        raise UsageError(f"{path} is not a regular file, so it cannot be replaced: choose another name")


def _sync(draft: Path) -> None:
    if draft.is_file():
        with draft.open("r+b") as file:
            os.fsync(file.fileno())


def _put(draft: Path, path: Path) -> None:
    """Moves the draft to its place; an existing folder is moved aside first."""
    if not path.is_dir() or path.is_symlink():
        draft.replace(path)
        return
    old = path.with_name(f"{draft.name}.old")
    path.replace(old)
    try:
        draft.replace(path)
    except OSError:
        old.replace(path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
