"""The spool: a local file that buffers writes while their store is unavailable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.store import Checkpoint, EpisodeChunk, open_store

if TYPE_CHECKING:
    from rlbench.store import Store

KIND = "spool"  # of the snapshots that are its entries


class Spool:
    """A local SQLite file of the writes that failed, in order; deleted once all are uploaded.

    Args:
        path: of the file.
        url: of the unavailable store, without its password.
    """

    def __init__(self, path: str, url: str) -> None:
        self.path, self.url = path, url
        self._store = open_store(path)
        self._count = len(self._store.snapshots(KIND))

    def put(
        self, run_id: str, chunk: EpisodeChunk | None, checkpoint: Checkpoint | None, *, keep: bool, **progress: Any
    ) -> None:
        """Adds an entry with the arguments for `Store.append`."""
        arrays: dict[str, Any] = {}
        about: dict[str, Any] = {"url": self.url, "keep": keep, "progress": progress}
        if chunk is not None:
            arrays |= {"lengths": chunk.lengths, "ends": chunk.ends, **_named("figures", chunk.figures)}
            arrays |= _named("steps", chunk.steps or {})
            about["chunk"] = {
                "first_episode": chunk.first_episode,
                "first_step": chunk.first_step,
                "env_rng": chunk.env_rng,
                "has_steps": chunk.steps is not None,
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
        for end in ("", "-wal", "-shm"):
            Path(self.path + end).unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file without deleting it."""
        self._store.close()


def upload(spool: Store, target: Store, *, claim: bool = False) -> dict[str, int]:
    """Moves the entries of a spool to the store they were meant for.

    Args:
        spool: a store with spool entries; one without is left unchanged.
        target: the store to write to; chunks that it has already are skipped.
        claim: first make `target` the writer of the runs; needed once the process that started them is gone.

    Returns:
        How many entries of each run were uploaded.

    Raises:
        StoreAway: the target does not answer; the remaining entries stay in the spool.
        StoreError: the target does not have the run, or another process is writing it.
    """
    written: dict[str, int] = {}
    for info in spool.snapshots(KIND):
        run_id = info.name.partition("/")[0]
        if claim and run_id not in written:
            target.claim(run_id)
        arrays, about = spool.load_snapshot(KIND, info.name)
        chunk = _chunk(arrays, about["chunk"]) if "chunk" in about else None
        if chunk is None or not _is_there(target, run_id, chunk):
            checkpoint = _checkpoint(arrays, about["checkpoint"]) if "checkpoint" in about else None
            target.append(run_id, chunk, checkpoint, keep=about["keep"], **about["progress"])
        written[run_id] = written.get(run_id, 0) + 1
        spool.delete_snapshot(KIND, info.name)
    return written


def _named(part: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{part}:{name}": array for name, array in arrays.items()}


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
        steps=_part(arrays, "steps") if about["has_steps"] else None,
        env_rng=about["env_rng"],
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
