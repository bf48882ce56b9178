"""Migration: chunks that an earlier version wrote in full are stored again without what follows from the rest."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym

from rlbench.agents import AGENTS
from rlbench.envs.making import make_from_spec
from rlbench.errors import RlbenchError, StoreAway, StoreError
from rlbench.store import reading, writers
from rlbench.store.documents import PARTS, ChunkRow, chunk_row, is_walk, record
from rlbench.store.walks import Walk
from rlbench.training.tables import known_table, schedule_of, walked

if TYPE_CHECKING:
    from collections.abc import Callable

    from rlbench.store import EpisodeChunk, RunRecord, Store
    from rlbench.store.documents import Document
    from rlbench.store.records import Span
    from rlbench.store.schedules import Schedule
    from rlbench.store.walks import Table

TABLES = 8  # of different envs, held in memory


class MigrationResult(NamedTuple):
    """The outcome of migrating a run."""

    run: str  # id
    chunks: int  # looked at; what it shares with a run before counts there alone
    migrated: int  # stored again, in fewer bytes
    left: dict[str, int]  # why steps stay as they are, and in how many chunks
    bytes_before: int  # of the chunks that were looked at
    bytes_after: int
    problem: str = ""  # of what is damaged, and stays as it is


class _Outcome(NamedTuple):
    """The outcome of migrating a chunk: its bytes before and after, and why its steps stay as they are, if they do."""

    before: int
    after: int
    why: str = ""
    problem: str = ""


def migrate(
    store: Store,
    *,
    trust: bool = False,
    on_run: Callable[[MigrationResult], object] | None = None,
    on_chunk: Callable[[str, int, int], object] | None = None,
) -> list[MigrationResult]:
    """Stores the chunks of all runs in the newest form, without what follows from the rest of them.

    A chunk is exchanged only if it then reads the same, bit for bit, and takes fewer bytes: its steps for a walk over
    the table of its env, where every one of them follows from it. One chunk is held in memory at a time, and each
    exchange is atomic: whatever ends a migration, the next goes on with the rest. Others may read and write the store
    meanwhile; a run that another process is writing is left as it is.

    Args:
        store: any store that can be written.
        trust: make envs, to know their tables, from whatever the store says, code included.
        on_run: called with the result of each run.
        on_chunk: called with a run's id, how many of its chunks are done, and how many it has.

    Raises:
        StoreError: the store cannot be read or written.
    """
    results = []
    migration = _Migration(store, trust=trust)
    for document in reversed(store.backend.select_runs({}, None)):  # what runs share was written for the oldest
        results.append(migration.migrate_run(document, on_chunk))
        if on_run is not None:
            on_run(results[-1])
    return results


class _Migration:
    """A migration of one run after another."""

    def __init__(self, store: Store, *, trust: bool) -> None:
        self._store = store
        self._done: dict[str, int] = {}  # by the run that wrote them: the number of the next chunk
        self._table_of = lru_cache(TABLES)(lambda spec: _table_of(spec, trust=trust))

    def migrate_run(self, document: Document, on_chunk: Callable[[str, int, int], object] | None) -> MigrationResult:
        """Migrates the chunks of a run that no run before shares."""
        backend, run_id = self._store.backend, str(document.get("id"))
        try:
            run = record(document, backend.now())
            spans = reading.spans_of(backend, document)
            if run.status == "running":
                why = f"another process is writing them ({writers.describe(document)})"
                return MigrationResult(run_id, 0, 0, {why: len(spans)}, 0, 0)
            exploration = _exploration_of(self._store, run)
        except StoreAway:
            raise
        except StoreError as error:
            return MigrationResult(run_id, 0, 0, {}, 0, 0, self._problem(run_id, error))
        outcomes, timesteps = [], 0
        for span in spans:
            if span.number >= self._done.get(span.run, 0):
                outcomes.append(self._migrate_chunk(document, run, span, timesteps, exploration))
                self._done[span.run] = span.number + 1
            timesteps += span.steps
            if on_chunk is not None:
                on_chunk(run_id, span.number + 1, len(spans))
        return _summed(run_id, outcomes)

    def _migrate_chunk(
        self, document: Document, run: RunRecord, span: Span, timesteps: int, exploration: Schedule | None
    ) -> _Outcome:
        before = self._row(document, span)
        size = _size(before)
        try:
            if is_walk(reading.load_part(_Alone(before), run.id, span, "steps", names=())[1]):
                return _Outcome(size, size)
            chunk = reading.chunk_loader(_Alone(before), document)(span)
        except StoreError as error:
            return _Outcome(size, size, problem=self._problem(run.id, error))
        packed, why = self._walked(chunk, run)
        place = {"id": span.run, "chunks": span.number, "timesteps": timesteps}
        place |= {"next_episode": span.first_episode, "next_step": span.first_step}
        after = chunk_row(place, replace(packed, exploration=exploration))
        if _size(after) >= size:
            return _Outcome(size, size, why or ("the newest form would save nothing" if chunk.steps else ""))
        if not reading.chunk_loader(_Alone(after), document)(span).equals(chunk):
            return _Outcome(size, size, "the newest form would not read the same")
        if not self._store.backend.exchange_chunk(run.id, before, after):
            return _Outcome(size, size, "they were changed meanwhile")
        return _Outcome(size, _size(after), why)

    def _problem(self, run_id: str, error: StoreError) -> str:
        """Returns what is wrong with a run; nothing if it was deleted meanwhile."""
        return str(error) if self._store.backend.select_runs({"id": run_id}, 1) else ""

    def _row(self, document: Document, span: Span) -> ChunkRow:
        blobs = (self._store.backend.select_part(document["id"], span, part)[1] for part in PARTS)
        segments, figures, steps = blobs
        return ChunkRow(span, segments or b"", figures or b"", steps, None)

    def _walked(self, chunk: EpisodeChunk, run: RunRecord) -> tuple[EpisodeChunk, str]:
        """Returns a chunk with its steps as a walk, or else as they are, and why."""
        if chunk.steps is None:
            return chunk, ""
        table, why = self._table_of(run.config.env.spec)
        found = walked(chunk, table)
        is_other = table is not None and not isinstance(found.steps, Walk)
        return found, f"they do not follow from the table of {run.env_id} as it is here" if is_other else why


class _Alone:
    """The row of a chunk, read as if it were all of a store."""

    def __init__(self, row: ChunkRow) -> None:
        self._row = row

    def select_part(self, _run_id: str, _span: Span, part: str) -> tuple[bool, bytes | None]:
        return True, getattr(self._row, part)

    def select_table(self, _digest: str) -> bytes | None:
        return None if self._row.table is None else self._row.table.blob


def _size(row: ChunkRow) -> int:
    return sum(len(blob) for blob in (row.segments, row.figures, row.steps) if blob is not None)


def _summed(run_id: str, outcomes: list[_Outcome]) -> MigrationResult:
    return MigrationResult(
        run_id,
        chunks=len(outcomes),
        migrated=sum(one.after < one.before for one in outcomes),
        left=dict(Counter(one.why for one in outcomes if one.why)),
        bytes_before=sum(one.before for one in outcomes),
        bytes_after=sum(one.after for one in outcomes),
        problem=next((one.problem for one in outcomes if one.problem), ""),
    )


def _table_of(spec: str | None, *, trust: bool) -> tuple[Table | None, str]:
    """Returns the table of an env as it is here, or why there is none."""
    if spec is None:
        return None, "their env cannot be made again (it has no spec that can be stored)"
    try:
        env = make_from_spec(spec, trust=trust)
    except (RlbenchError, gym.error.Error, ImportError) as error:
        return None, " ".join(str(error).split())
    with closing(env):
        table = known_table(env)
    return table, "" if table else "their env has no table of transitions, or too large a one"


def _exploration_of(store: Store, run: RunRecord) -> Schedule | None:
    """Returns the schedule of a run's exploration rates, as its agent's parameters and its last checkpoint tell it."""
    agent = run.config.agent
    try:
        parameters: Any = AGENTS[agent.name].Parameters.of(agent.parameters, agent.name)
        rates = parameters.exploration_rates()
    except (RlbenchError, LookupError, AttributeError, TypeError, ValueError, ArithmeticError):
        return None  # an agent that is not known here, or draws its actions otherwise
    ahead = 0, 0
    for last in store.checkpoints(run.id)[-1:]:
        episodes, timesteps = store.counts_at(run.id, last)
        ahead = last.episodes - episodes, last.timesteps - timesteps
    return schedule_of(rates, *ahead)
