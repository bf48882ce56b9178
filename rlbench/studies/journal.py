"""What Optuna notes of a tuning, kept in the store: a journal as its `JournalStorage` reads and writes one."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlbench.errors import StoreError
from rlbench.store import copying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench.store import Store

KIND = "journal of "  # begins the kind of its records


class Journal:
    """Optuna's notes of a study, numbered without gaps; each number is given once, however many processes write.

    A record is a snapshot that is added, never replaced, and named by the number of its first note. There is nothing
    of Optuna's `BaseJournalSnapshot`, which would have to be unpickled.
    """

    def __init__(self, store: Store, study: str) -> None:
        self._store, self._kind = store, KIND + study
        self._notes: list[str] = []  # JSON
        self._draft: list[str] | None = None

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Returns the notes from a number on.

        Raises:
            StoreError: the journal is damaged.
        """
        if self._draft is None:
            self._catch_up()
        known = len(self._notes)
        lines = self._notes[log_number_from:] + (self._draft or [])[max(0, log_number_from - known) :]
        return [json.loads(line) for line in lines]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Adds notes."""
        lines = [json.dumps(log) for log in logs]
        if self._draft is not None:
            self._draft += lines
            return
        while lines and not self._add(lines):
            self._catch_up()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Adds what is noted meanwhile all at once in the end, or nothing of it.

        Raises:
            StoreError: another process has added to the journal since this one read it.
        """
        self._draft = []
        try:
            yield
            if self._draft and not self._add(self._draft):
                study = self._kind.removeprefix(KIND)
                raise StoreError(f"another process is working on the study {study}: wait until it has ended")
        finally:
            self._draft = None

    def _add(self, lines: list[str]) -> bool:
        if not self._store.add_snapshot(self._kind, f"{len(self._notes):012}", {"notes": lines}):
            return False
        self._notes += lines
        return True

    def _catch_up(self) -> None:
        """Reads what has been added since."""
        for info in self._store.snapshots(self._kind):
            if int(info.name) < len(self._notes):
                continue
            notes = self._store.load_snapshot(self._kind, info.name)[1]["notes"]
            if int(info.name) > len(self._notes) or not notes:
                raise StoreError(f"the {self._kind} is damaged: note {len(self._notes)} is missing")
            self._notes += notes


def is_one(kind: str) -> bool:
    """Returns whether snapshots of a kind are the records of a journal."""
    return kind.startswith(KIND)


def copy_journal(source: Store, target: Store, study: str) -> None:
    """Copies what another store does not have of the journal of a study.

    Raises:
        StoreError: that has notes of its own.
    """
    ours, theirs = source.snapshots(KIND + study), target.snapshots(KIND + study)
    if theirs != ours[: len(theirs)] and ours != theirs[: len(ours)]:
        raise StoreError(
            f"{target.url} has trials of its own of the study {study}: finish it there, or delete it there first"
        )
    copying.copy_snapshots(source, target, ours[len(theirs) :])


def delete_journal(store: Store, study: str) -> None:
    """Deletes the journal of a study, the last record first: what is left has no gap."""
    for info in reversed(store.snapshots(KIND + study)):
        store.delete_snapshot(info.kind, info.name)
