"""Where numba keeps what it has compiled, and whether it may compile at all: settled before it is imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from rlbench.errors import UsageError

PRIVATE = 0o700


def check_compiler() -> None:
    """Refuses NUMBA_DISABLE_JIT: the agents dispatch on types, which only numba's compiler does.

    Raises:
        UsageError: it is set.
    """
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}:
        raise UsageError("NUMBA_DISABLE_JIT is set, but agents and buffers are compiled by numba: unset it")


def choose_cache() -> None:
    """Lets numba keep its cache in the temporary folder where it can write neither beside the package nor at home."""
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


def _has_home() -> bool:
    """Whether numba can write to the user's cache folder."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # nobody knows the home of this user
        return False
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return os.access(folder, os.W_OK)
