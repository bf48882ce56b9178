"""Who writes a run, and whether that writer is still alive."""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

SILENCE = 60.0  # seconds without a commit after which a writer on another host counts as dead
LIVING: set[str] = set()  # tokens of the stores that are open in this process


def identity(token: str) -> str:
    """Returns what a run's document says of a writer in this process: JSON with host, pid, started and token."""
    pid = os.getpid()
    return json.dumps({"host": _host(), "pid": pid, "started": _started(pid) or "", "token": token})


def is_alive(document: Mapping[str, Any]) -> bool:
    """Returns whether the writer that a run's document names is still at work."""
    who = _parsed(document["writer"])
    if not who:
        return False
    if who["host"] != _host():
        return _seconds_since(document["beat"]) < SILENCE
    if who["pid"] == os.getpid() and who["started"] == (_started(who["pid"]) or ""):
        return who["token"] in LIVING
    return _runs_here(who["pid"], who["started"], document["beat"])


def describe(document: Mapping[str, Any]) -> str:
    """Returns the writer of a run as a reader may look for it: "pid 12 on host"."""
    who = _parsed(document["writer"])
    return f"pid {who['pid']} on {who['host']}" if who else "nobody"


def _parsed(writer: str) -> dict[str, Any]:
    """Returns what a writer says of itself; nothing if there is none or it is unreadable."""
    kinds = {"host": str, "pid": int, "started": str, "token": str}
    with suppress(ValueError, TypeError, RecursionError):
        who = json.loads(writer)
        if isinstance(who, dict) and all(type(who.get(name)) is kind for name, kind in kinds.items()):
            return who
    return {}


def _seconds_since(moment: str) -> float:
    """Returns how far a moment is from now, either way: clocks differ; endless if it is unreadable."""
    try:
        return abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except (ValueError, TypeError):
        return float("inf")


def _runs_here(pid: int, started: str, beat: str) -> bool:
    """Returns whether a process of this host runs, and is the one that started then: numbers are used again."""
    found = _started(pid)
    if found is not None:
        return found == started
    if os.name != "posix":  # elsewhere signal 0 is no mere question
        return _seconds_since(beat) < SILENCE
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is there, and another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


def _started(pid: int) -> str | None:
    """Returns when a process started, in ticks since boot, "" if it has ended; None if this cannot be seen."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()  # its name, in brackets, may hold anything
        return "" if state in "ZX" else fields[18]  # field 22 of all
    except (OSError, ValueError, IndexError):
        return None


@cache
def _host() -> str:
    return socket.gethostname()
