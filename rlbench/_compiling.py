"""Where numba caches compiled code, and whether it may compile at all: both are settled before it is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rlbench.errors import UsageError
from rlbench.lazy import LazyModule

if TYPE_CHECKING:
    import tempfile
else:  # 10 ms, needed by few
    tempfile = LazyModule("tempfile")

PRIVATE = 0o700


def check_compiler() -> None:
    """Refuses NUMBA_DISABLE_JIT: the agents dispatch on types, which only numba's compiler does.

    Raises:
        UsageError: it is set.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        raise UsageError("NUMBA_DISABLE_JIT is set, but agents and buffers are compiled by numba: unset it")


def choose_cache() -> None:
    """Puts numba's cache in the temporary folder if it can write neither beside the package nor at home."""
    if "NUMBA_CACHE_DIR" in os.environ or os.access(Path(__file__).parent, os.W_OK) or _has_home():
        return
    folder = Path(tempfile.gettempdir()) / f"rlbench-numba-{os.getuid()}"
    try:
        folder.mkdir(PRIVATE, exist_ok=True)
        found = folder.lstat()
        is_ours = found.st_uid == os.getuid() and not found.st_mode & 0o077 and not folder.is_symlink()
    except OSError:
        is_ours = False
    # numba unpickles what lies there: never in a folder that somebody else may write to
    os.environ["NUMBA_CACHE_DIR"] = str(folder) if is_ours else tempfile.mkdtemp(prefix="rlbench-numba-")


def is_cold() -> bool:
    """Whether numba has yet to compile a training loop here, as its folders show: asking numba takes half a second."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folders = [Path(chosen)] if chosen else [Path(__file__).parent / "training", _user_cache() / "numba"]
    index = "*/_kernel.run_chunk-*.py{}{}*.nbi".format(*sys.version_info)
    return not any(found for folder in folders for found in folder.glob(index))


def _has_home() -> bool:
    """Whether numba can write to the user's cache folder."""
    folder = _user_cache()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_absolute() and os.access(folder, os.W_OK)


def _user_cache() -> Path:
    """Returns the user's cache folder; a relative path if this user has no known home."""
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache"))  # noqa: PTH111  (it never fails)
