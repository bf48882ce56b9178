"""Files that are written whole or not at all, and read errors as one line that names the file."""

from __future__ import annotations

import glob
import importlib
import os
import re
import secrets
import shutil
import socket
import struct
import zlib
from contextlib import contextmanager, suppress
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlbench.errors import MissingPackageError, RlbenchError, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST = 100  # characters of a file's name that its draft's name keeps
ASIDE = ".old"  # ends the name of a dataset that was moved aside for a new one
MARK = re.compile(r"(?P<host>[0-9a-f]{8})-(?P<pid>\d{1,10})-[0-9a-f]{8}")
MARKS: set[str] = set()  # of the files that this process still needs
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
    struct.error,
    zlib.error,
)


def require(module: str, extra: str, purpose: str) -> Any:
    """Imports an optional package; MissingPackageError names the extra that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = error.name or module  # or what the package itself needs
        raise MissingPackageError(f"{purpose} needs {missing.partition('.')[0]}", missing, extra) from error


def check_installed(module: str, extra: str, purpose: str) -> None:
    """As `require`, for a package that takes long to import: it only looks whether it is there."""
    with suppress(ImportError):
        if find_spec(module) is not None:
            return
    raise MissingPackageError(f"{purpose} needs {module}", module, extra)


def packaged(package: str, name: str) -> str:
    """Returns the text of a data file in a package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")


@contextmanager
def written(path: Path, *, overwrite: bool, private: bool = False) -> Iterator[Path]:
    """Yields a draft path to write a file or folder to; on success the draft replaces `path`.

    A replaced file keeps its mode; a new one has the mode it was written with, which follows the umask. The draft of a
    process that was killed is removed by the next one that writes to the same path.

    Args:
        path: the final path.
        overwrite: replace an existing file or Minari dataset.
        private: nobody but its owner may read it, at any moment, whatever the umask and the mode of what it replaces.

    Raises:
        UsageError: the path exists and may not be replaced, or its folder is missing.
        StoreError: the path cannot be written; the draft is removed.
    """
    _sweep(path)
    check_free(path, overwrite=overwrite)
    mark = new_mark()
    draft = path.with_name(f"{_beginning(path)}{mark}.part{path.suffix}")
    whole = draft / path.name if private else draft
    try:
        if private:
            draft.mkdir(0o700)
        yield whole
        if private:
            whole.chmod(0o700 if whole.is_dir() else 0o600)
        elif path.is_file():
            shutil.copymode(path, whole)
        _sync(whole)
        _put(whole, path, path.with_name(f"{draft.name}{ASIDE}"))
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for left in _named(path, draft.name):  # SQLite puts files of its own beside it
            _remove(left)
        MARKS.discard(mark)


@contextmanager
def reading(path: object, verb: str = "imported") -> Iterator[None]:
    """Turns the errors of parsers into one line that names the file, and says what it cannot be.

    Raises:
        UsageError: the file has another format, or is damaged.
    """
    try:
        yield
    except StoreError:
        raise
    except RlbenchError as error:
        raise UsageError(f"{path} cannot be {verb}: {error}") from error
    except READ_ERRORS as error:
        raise UsageError(f"{path} cannot be {verb}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    if isinstance(error, KeyError):  # its message is only the key
        key = str(error.args[0] if error.args else "something")
        return key if " " in key else f"{key!r} is missing"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8: save it as such"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def path_of(path: str | os.PathLike[str]) -> Path:
    """Returns a path as a Path; UsageError if no file can have it."""
    if not str(path) or "\0" in str(path):
        raise UsageError(f"expected a path, got {str(path)!r}")
    return Path(path)


def is_dataset(path: Path) -> bool:
    """Returns whether a folder holds a Minari dataset."""
    return (path / "data" / "metadata.json").is_file()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises UsageError if a path exists and may not be replaced, or its folder is missing."""
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


def _beginning(path: Path) -> str:
    """Returns how the names of a path's drafts begin: hidden, and short enough for a file name."""
    return f".{path.stem[:LONGEST]}."


def _named(path: Path, beginning: str) -> list[Path]:
    """Returns the files and folders beside a path whose names begin like this."""
    return list(path.parent.glob(glob.escape(beginning) + "*"))


def _sweep(path: Path) -> None:
    """Removes a path's drafts left by killed processes; puts back a dataset that one had moved aside."""
    for draft in _named(path, _beginning(path)):
        if not is_left_behind(draft.name.removeprefix(_beginning(path))):
            continue
        if draft.name.endswith(ASIDE) and not os.path.lexists(path):
            draft.replace(path)
        _remove(draft)


def new_mark() -> str:
    """Returns a mark for the name of a file, which tells others whether this process still needs the file."""
    mark = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    MARKS.add(mark)
    return mark


def is_left_behind(name: str) -> bool:
    """Returns whether a name begins with a mark whose process has surely ended; one on another host may still run."""
    mark = MARK.match(name)
    if mark is None or mark["host"] != _host() or os.name != "posix":  # elsewhere signal 0 would kill the process
        return False
    if int(mark["pid"]) == os.getpid():
        return mark[0] not in MARKS
    try:
        os.kill(int(mark["pid"]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


@cache
def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _sync(draft: Path) -> None:
    if draft.is_file():
        with draft.open("r+b") as file:
            os.fsync(file.fileno())


def _put(draft: Path, path: Path, old: Path) -> None:
    """Moves the draft to its place; a folder that is there is moved aside first, to `old`."""
    if not path.is_dir() or path.is_symlink():
        draft.replace(path)
        _sync_folder(path.parent)
        return
    path.replace(old)
    try:
        draft.replace(path)
    except OSError:
        old.replace(path)
        raise
    _remove(old)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system supports it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
