"""The writer of a run, and whether it is still alive."""

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

BEAT = 15.0  # seconds between two signs of life of a writer
SILENCE = 300.0  # seconds without one after which a writer on another host counts as dead: more than clocks differ
LIVING: set[str] = set()  # tokens of the stores open in this process


def identity(token: str, purpose: str = "") -> str:
    """Returns the identity of a writer in this process, for a run's document: JSON of host, pid, started, token."""
    pid = os.getpid()
    who = {"host": _host(), "pid": pid, "started": _began(pid), "token": token}
    return json.dumps({**who, "purpose": purpose} if purpose else who)


def purpose(document: Mapping[str, Any]) -> str:
    """Returns what the writer of a run writes it for, such as "import"; "" if it trains it."""
    return str(_parsed(document["writer"]).get("purpose", ""))


def is_alive(document: Mapping[str, Any], moment: datetime | None = None) -> bool:
    """Returns whether the writer named in a run's document is still alive.

    Args:
        document: of the run.
        moment: the time on the clock that wrote its beat; None: on this machine's.
    """
    moment = moment or datetime.now(UTC)
    who = _parsed(document["writer"])
    if not who:
        return False
    if who["host"] != _host():
        return _silence(document["beat"], moment) < SILENCE
    if who["pid"] == os.getpid() and who["started"] == _began(os.getpid()):
        return who["token"] in LIVING
    return _runs_here(who["pid"], who["started"], _silence(document["beat"], moment))


def describe(document: Mapping[str, Any]) -> str:
    """Returns the writer of a run for messages: "pid 12 on host"."""
    who = _parsed(document["writer"])
    return f"pid {who['pid']} on {who['host']}" if who else "nobody"


def _parsed(writer: str) -> dict[str, Any]:
    """Returns the identity of a writer; empty if there is none or it is unreadable."""
    kinds = {"host": str, "pid": int, "started": str, "token": str}
    with suppress(ValueError, TypeError, RecursionError):
        who = json.loads(writer)
        if isinstance(who, dict) and all(type(who.get(name)) is kind for name, kind in kinds.items()):
            return who
    return {}


def _silence(beat: str, moment: datetime) -> float:
    """Returns the seconds since a beat, never negative since clocks differ; infinity if it is unreadable."""
    try:
        return max(0.0, (moment - datetime.fromisoformat(beat)).total_seconds())
    except (ValueError, TypeError):
        return float("inf")


def _runs_here(pid: int, started: str, silence: float) -> bool:
    """Returns whether the process `pid` of this host is running and started at `started`: pids are reused."""
    found = _started(pid)
    if found is not None:
        return found == started
    if os.name != "posix":  # elsewhere signal 0 would kill the process
        return silence < SILENCE
    try:
        os.kill(pid, 0)
    except PermissionError:  # it exists and belongs to another user
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return pid > 0


def _started(pid: int) -> str | None:
    """Returns when a process started, in ticks since boot; "" if it has ended, None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *fields = stat.rpartition(")")[2].split()  # the name, in parentheses, may contain anything
        return "" if state in "ZX" else fields[18]  # field 22 of the file
    except (OSError, ValueError, IndexError):
        return None


@cache
def _began(pid: int) -> str:
    """Returns when this process started; cached, since every running record asks, by pid, which a fork changes."""
    return _started(pid) or ""


@cache
def _host() -> str:
    return socket.gethostname()
