"""The spool: a local file that buffers writes while their store is unavailable."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import RlbenchError, StoreError
from rlbench.files import MARKS, is_left_behind, new_mark
from rlbench.store import Checkpoint, EpisodeChunk, open_store
from rlbench.store.records import is_terminated
from rlbench.store.schedules import Schedule
from rlbench.store.walks import Table, Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rlbench.store import Store

KIND = "spool"  # of the snapshots that are its entries
BEGINNING = "rlbench-spool-"  # of the names of the files


class Spool:
    """A local SQLite file of the writes that failed, in order; deleted once all are uploaded.

    It is in the user's state folder, under a unique name. If this process is killed, `recover` finds it.

    Args:
        run_id: the run that is written.
        url: of the unavailable store, without its password.
    """

    def __init__(self, run_id: str, url: str) -> None:
        self._mark, self.url = new_mark(), url
        self.path = str(folder() / f"{BEGINNING}{run_id}-{self._mark}.db")
        self._store = open_store(f"sqlite:///{self.path}")
        self._count = 0

    def put(
        self, run_id: str, chunk: EpisodeChunk | None, checkpoint: Checkpoint | None, *, keep: bool, **progress: Any
    ) -> None:
        """Adds an entry with the arguments for `Store.append`."""
        arrays: dict[str, Any] = {}
        about: dict[str, Any] = {"url": self.url, "keep": keep, "progress": progress}
        if chunk is not None:
            arrays |= {"lengths": chunk.lengths, "ends": chunk.ends, **_named("figures", chunk.figures)}
            arrays |= _steps_arrays(chunk.steps or {})
            about["chunk"] = {
                "first_episode": chunk.first_episode,
                "first_step": chunk.first_step,
                "env_rng": chunk.env_rng,
                "has_steps": chunk.steps is not None,
                "exploration": chunk.exploration and chunk.exploration._asdict(),
            }
        if checkpoint is not None:
            arrays |= _named("checkpoint", checkpoint.arrays)
            numbers = {"episodes": checkpoint.episodes, "timesteps": checkpoint.timesteps}
            about["checkpoint"] = {**numbers, "numbers": checkpoint.numbers}
        self._store.save_snapshot(KIND, f"{run_id}/{self._count:010d}", arrays, about)
        self._count += 1

    def upload(self, target: Store) -> None:
        """Writes all entries to the store, which must be the run's writer, and deletes the file.

        Raises:
            StoreAway: the store is still unavailable.
        """
        upload(self._store, target)
        self.close()
        _delete(self.path)

    def close(self) -> None:
        """Closes the file without deleting it; from now on `recover` may take it."""
        self._store.close()
        MARKS.discard(self._mark)


def folder() -> Path:
    """Returns the folder for spools: in the user's state folder, or, if that is not writable, for temporary files."""
    with suppress(OSError):
        _state().mkdir(parents=True, exist_ok=True)
        if os.access(_state(), os.W_OK):
            return _state()
    return Path(tempfile.gettempdir())


def _state() -> Path:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  (Path.expanduser raises where there is no home)
    states = {"darwin": home / "Library" / "Application Support", "win32": os.environ.get("LOCALAPPDATA", home)}
    return Path(os.environ.get("XDG_STATE_HOME") or states.get(sys.platform, home / ".local" / "state"), "rlbench")


def recover(target: Store) -> dict[str, int]:
    """Uploads the spools left for this store by processes that were killed, or ended while it was unreachable.

    Returns:
        How many entries of each run were uploaded. A spool that does not fit the store stays where it is.
    """
    if target.url.startswith("memory:"):
        return {}
    written: dict[str, int] = {}
    found = (path for place in (_state(), tempfile.gettempdir()) for path in _spools_in(place))
    for path in sorted({path.resolve() for path in found}):
        if is_left_behind(path.name.removeprefix(BEGINNING).partition("-")[2]):
            with suppress(RlbenchError):
                written |= _recover(path, target)
    return written


def _spools_in(place: str | Path) -> list[Path]:
    """Returns the spools in a folder; of one that cannot be read, none."""
    try:
        names = os.listdir(place)  # noqa: PTH208  (each training looks: Path.glob takes ten times as long)
    except OSError:
        return []
    return [Path(place, name) for name in names if name.startswith(BEGINNING) and name.endswith(".db")]


def _recover(path: Path, target: Store) -> dict[str, int]:
    with open_store(f"sqlite:///{path}", create=False) as left:
        names = [info.name for info in left.snapshots(KIND)]
        if any(_place(left.describe_snapshot(KIND, name).get("url")) != _place(target.url) for name in names):
            return {}
        written = upload(left, target, claim=True)
        for run_id in written:
            if target.run(run_id).status == "running":  # the process that trained it is gone
                target.append(run_id, status="interrupted")
    _delete(str(path))
    return written


def _place(url: object) -> str:
    """Returns the address of a store without its options."""
    return str(url).partition("?")[0]


def _delete(path: str) -> None:
    for end in ("", "-wal", "-shm"):
        Path(path + end).unlink(missing_ok=True)


def upload(spool: Store, target: Store, *, claim: bool = False) -> dict[str, int]:
    """Moves the entries of a spool to the store they were meant for.

    Args:
        spool: a store with spool entries; one without is left unchanged.
        target: the store to write to; what it has already is skipped.
        claim: first make `target` the writer of the runs; needed once the process that started them is gone.

    Returns:
        How many entries of each run were uploaded.

    Raises:
        StoreAway: the target does not answer; the remaining entries stay in the spool.
        StoreError: an entry is damaged, the target does not have the run, or another process is writing it.
    """
    written: dict[str, int] = {}
    for info in spool.snapshots(KIND):
        run_id = info.name.partition("/")[0]
        if target.run(run_id).status == "finished":  # its last write seemed to fail, but succeeded
            spool.delete_snapshot(KIND, info.name)
            continue
        if claim and run_id not in written:
            target.claim(run_id, what="upload")
        try:
            _write(target, run_id, *spool.load_snapshot(KIND, info.name))
        except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
            said = str(error) if isinstance(error, RlbenchError) else f"{type(error).__name__}: {error}"
            raise StoreError(f"entry {info.name} of the spool {spool.url} is damaged: {said}") from error
        written[run_id] = written.get(run_id, 0) + 1
        spool.delete_snapshot(KIND, info.name)
    return written


def _write(target: Store, run_id: str, arrays: dict[str, Any], about: dict[str, Any]) -> None:
    """Writes an entry to the store, unless its chunk is there."""
    chunk = _chunk(arrays, about["chunk"]) if "chunk" in about else None
    if chunk is None or not _is_there(target, run_id, chunk):
        checkpoint = _checkpoint(arrays, about["checkpoint"]) if "checkpoint" in about else None
        target.append(run_id, chunk, checkpoint, keep=about["keep"], **about["progress"])


def _named(part: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{part}:{name}": array for name, array in arrays.items()}


def _steps_arrays(steps: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arrays of steps; of a walk, those that are stored, and its table."""
    if isinstance(steps, Walk):
        return _named("walk", steps.packed()) | _named("table", steps.table.arrays._asdict())
    return _named("steps", steps)


def _steps(arrays: dict[str, Any]) -> Mapping[str, Any]:
    """Returns the steps that were put."""
    table = _part(arrays, "table")
    if not table:
        return _part(arrays, "steps")
    known = Table(**{**table, "n_actions": int(table["n_actions"])})
    return Walk.unpacked(known, _part(arrays, "walk"), arrays["lengths"], is_terminated(arrays["ends"]))


def _part(arrays: dict[str, Any], part: str) -> dict[str, Any]:
    prefix = part + ":"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _chunk(arrays: dict[str, Any], about: dict[str, Any]) -> EpisodeChunk:
    return EpisodeChunk(
        first_episode=about["first_episode"],
        first_step=about["first_step"],
        lengths=arrays["lengths"],
        ends=arrays["ends"],
        figures=_part(arrays, "figures"),
        steps=_steps(arrays) if about["has_steps"] else None,
        env_rng=about["env_rng"],
        exploration=Schedule.of(about["exploration"]) if about.get("exploration") else None,
    )


def _checkpoint(arrays: dict[str, Any], about: dict[str, Any]) -> Checkpoint:
    return Checkpoint(about["episodes"], about["timesteps"], _part(arrays, "checkpoint"), about["numbers"])


def _is_there(target: Store, run_id: str, chunk: EpisodeChunk) -> bool:
    """Returns whether a store has a chunk: the write that seemed to fail may have succeeded."""
    last = None
    for last in target.chunks(run_id, figures=False, episodes=[chunk.first_episode]):
        same = (last.first_episode, last.first_step) == (chunk.first_episode, chunk.first_step)
        if same and np.array_equal(last.lengths, chunk.lengths):
            return True
    return False
