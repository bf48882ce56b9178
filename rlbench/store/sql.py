"""SQL over a store: `runs`, `episodes` and `steps` as tables of a private, temporary SQLite database.

The store itself is only read. A query fills no tables and columns but those it names; what outgrows SQLite's cache goes
to a temporary file, which ends with the query.
"""

from __future__ import annotations

import math
import re
import sqlite3
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError
from rlbench.store import reading
from rlbench.store.documents import record
from rlbench.store.frames import singular
from rlbench.store.records import has_last_row
from rlbench.texts import escaped, strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from rlbench.store.backend import Backend
    from rlbench.store.reading import Ref
    from rlbench.store.records import EpisodeChunk, RunRecord

    Array = NDArray[Any]
    Row = tuple[Any, ...]
    Shapes = dict[str, tuple[int, ...]]

MOST_STEPS = 10_000_000  # rows of `steps`, unless runs are named: more take minutes
WIDEST = 64  # numbers in a row of an array that get a column each; more of them are one JSON array
CACHE = 2**18  # KiB of a query's tables and results in memory
EVERY = 2**62  # rows
PATIENCE = 100_000  # SQLite's instructions between two looks for Ctrl-C
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
DISK = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}
NAMED = re.compile(r"\b(runs|episodes|steps)\b", re.IGNORECASE | re.ASCII)
FIRST = re.compile(  # the first rows alone, which SQLite takes in the order in which they were filled in
    r"\s*select\s(?:(?!\b(?:from|distinct|union|intersect|except)\b)[^()])+\s"
    r"from\s+(?:episodes|steps)\s+limit\s+(\d{1,9})\s*;?\s*",
    re.IGNORECASE | re.ASCII,  # SQLite takes other letters and spaces for parts of names
)
INT64 = 2**63


class Answer(NamedTuple):
    """The answer to a query."""

    columns: list[str]
    rows: Iterator[Row]


class Source(NamedTuple):
    """Where a column takes its numbers from."""

    name: str  # of an array of a chunk
    part: int | None = None  # which number of its rows; None: the whole row
    is_next: bool = False  # of the observation after the step


class Table(NamedTuple):
    """A table with a row for each episode or step of the chunks."""

    part: str  # of a chunk: the one whose arrays become columns
    size: Callable[[EpisodeChunk], int]  # the rows that a chunk has in it
    own: dict[str, Callable[[EpisodeChunk], Array]]  # the columns that are made here
    sources: Callable[[Shapes], dict[str, Source]]  # the others


# ---------------------------------------------------------------------- runs


def _evaluated(name: str) -> Callable[[RunRecord], Any]:
    return lambda run: (run.evaluation or {}).get(name)


RUNS: dict[str, Callable[[RunRecord], Any]] = {
    "run": lambda run: run.id,
    "env_id": lambda run: run.env_id,
    "agent_name": lambda run: run.agent_name,
    "seed": lambda run: run.seed,
    "status": lambda run: run.status,
    "created_at": lambda run: run.created_at,
    "episodes": lambda run: run.episodes,
    "timesteps": lambda run: run.timesteps,
    "seconds": lambda run: run.seconds,
    "checkpoints": lambda run: run.checkpoints,
    "mean_return": _evaluated("mean_return"),  # of the latest evaluation, as the next two
    "success_rate": _evaluated("success_rate"),
    "regret": _evaluated("regret"),
    "preset": lambda run: run.config.preset,
    "engine": lambda run: run.config.engine,
    "note": lambda run: run.note,
    "tags": lambda run: run.tags,  # JSON, as all that follow
    "studies": lambda run: run.studies,
    "parents": lambda run: run.parents,
    "parameters": lambda run: run.config.agent.parameters,
    "env_kwargs": lambda run: run.config.env.made_with.get("kwargs"),
    "evaluation": lambda run: run.evaluation,
    "config": lambda run: run.config.document(),
}


def _cell(value: Any) -> Any:
    """Returns what SQLite can hold of a value: JSON for lists and dicts, text for whole numbers beyond 64 bits."""
    if isinstance(value, str):
        return escaped(value)  # a foreign config may hold characters that SQLite refuses
    if value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if -INT64 <= value < INT64 else str(value)
    return strict_json(value)


# ---------------------------------------------------------------------- episodes and steps


def _episode_of_each_step(chunk: EpisodeChunk) -> Array:
    return np.repeat(chunk.first_episode + np.arange(len(chunk.lengths)), chunk.lengths)


def _place_of_each_step(chunk: EpisodeChunk) -> Array:
    begun = np.array(chunk.starts[:-1])
    begun[0] -= chunk.first_step
    places: Array = np.arange(chunk.n_steps) - np.repeat(begun, chunk.lengths)
    return places


def _figure_sources(shapes: Shapes) -> dict[str, Source]:
    return _distinct([pair for name, shape in shapes.items() for pair in _spread(name, Source(name), shape)], EPISODES)


def _step_sources(shapes: Shapes) -> dict[str, Source]:
    found = [pair for name, shape in shapes.items() for pair in _spread(singular(name), Source(name), shape)]
    observed = [(name, source) for name, source in found if has_last_row(source.name)]
    after = [(f"next_{name}", source._replace(is_next=True)) for name, source in observed]
    return _distinct([*observed, *(pair for pair in found if pair not in observed), *after], STEPS)


def _spread(name: str, source: Source, shape: tuple[int, ...]) -> Iterator[tuple[str, Source]]:
    """Yields the columns of an array whose rows have this shape."""
    if not shape or not 0 < math.prod(shape) <= WIDEST:
        yield name, source
        return
    yield from ((f"{name}_{part}", source._replace(part=part)) for part in range(math.prod(shape)))


def _distinct(found: Iterable[tuple[str, Source]], own: Iterable[str]) -> dict[str, Source]:
    """Names columns in lower case, without quotes: SQLite reads "observation/x" and "observation/X" as one name."""
    taken = {"run", *own}
    named = {}
    for name, source in found:
        plain = re.sub(r"\W", "_", name.lower())
        while plain in taken:
            plain += "_"
        taken.add(plain)
        named[plain] = source
    return named


EPISODES: dict[str, Callable[[EpisodeChunk], Array]] = {
    "episode": lambda chunk: chunk.first_episode + np.arange(chunk.episodes),
    "terminated": lambda chunk: chunk.terminations[: chunk.episodes],
    "truncated": lambda chunk: chunk.truncations[: chunk.episodes],
}
STEPS: dict[str, Callable[[EpisodeChunk], Array]] = {
    "episode": _episode_of_each_step,
    "step": _place_of_each_step,
    "terminated": lambda chunk: chunk.on_last_steps(chunk.terminations),
    "truncated": lambda chunk: chunk.on_last_steps(chunk.truncations),
}
TABLES = {
    "episodes": Table("figures", lambda chunk: chunk.episodes, EPISODES, _figure_sources),
    "steps": Table("steps", lambda chunk: chunk.n_steps if chunk.steps else 0, STEPS, _step_sources),
}


def _rows(table: Table, run: RunRecord, chunk: EpisodeChunk, wanted: Sequence[str]) -> Iterator[Row]:
    """Yields the wanted columns of a chunk, row by row; what the chunk lacks is NULL."""
    arrays = {**chunk.figures, **(chunk.steps or {})}
    sources = table.sources({name: np.shape(array)[1:] for name, array in arrays.items()})
    columns: list[Iterable[Any]] = []
    for name in wanted:
        if name in table.own:
            columns.append(table.own[name](chunk).tolist())
        elif name in sources:
            columns.append(_numbers(chunk, arrays, sources[name]))
        else:
            columns.append(repeat(run.id if name == "run" else None, table.size(chunk)))
    return zip(*columns, strict=True)


def _numbers(chunk: EpisodeChunk, arrays: dict[str, Array], source: Source) -> Iterable[Any]:
    array = arrays[source.name]
    if has_last_row(source.name):
        array = array[_before_a_step(chunk, is_next=source.is_next)]
    if source.part is not None:
        array = array.reshape(len(array), -1)[:, source.part]
    return _plain(array)


def _before_a_step(chunk: EpisodeChunk, *, is_next: bool) -> NDArray[np.bool_]:
    """Returns which observations a step follows; with `is_next`, which follow a step."""
    ends = np.cumsum(chunk.lengths + 1)
    is_kept = np.ones(ends[-1], np.bool_)
    is_kept[ends - chunk.lengths - 1 if is_next else ends - 1] = False
    return is_kept


def _plain(array: Array) -> Iterable[Any]:
    """Returns rows as SQLite holds them: arrays are JSON, numbers beyond 64 bits rounded, complex ones text."""
    if array.dtype.kind == "c":
        return map(str, array.tolist())
    if array.ndim > 1:
        return map(strict_json, array)  # one at a time: as text, a chunk of pictures takes gigabytes
    is_beyond = array.dtype.kind == "u" and array.size and array.max() >= INT64
    numbers: list[Any] = (array.astype(np.float64) if is_beyond or array.dtype.kind == "f" else array).tolist()
    return numbers


# ---------------------------------------------------------------------- queries


def columns_of(
    backend: Backend, runs: Sequence[RunRecord], tables: Iterable[str] = ("runs", *TABLES)
) -> dict[str, list[str]]:
    """Returns the columns of the tables, as far as they are asked for."""
    return {name: list(RUNS) if name == "runs" else _columns(backend, runs, TABLES[name]) for name in tables}


def _columns(backend: Backend, runs: Iterable[RunRecord], table: Table) -> list[str]:
    """Returns the columns of all chunks: those of one may have more figures, or other observations, than another's."""
    found: dict[str, Source] = {}
    for run in runs:
        for span in reading.spans_of(backend, reading.find(backend, run)):
            found |= table.sources(reading.row_shapes(backend, run.id, span, table.part))
    numbered = [name for name in ("episode", "step") if name in table.own]
    return ["run", *numbered, *found, *(name for name in table.own if name not in numbered)]


@contextmanager
def answered(
    backend: Backend,
    query: str,
    runs: Iterable[Ref] | None = None,
    *,
    on_damaged: Callable[[str, str], object] | None = None,
    on_rows: Callable[[int, int], object] | None = None,
) -> Iterator[Answer]:
    """Answers a query; the rows can be read until the context ends.

    Args:
        backend: of the store.
        query: one SELECT of SQLite's dialect.
        runs: the runs in the tables; None: all whose record is intact.
        on_damaged: called with the id of each other run, and what is wrong with it.
        on_rows: called with the number of steps that are filled in, and that of all.

    Raises:
        UsageError: SQLite refuses the query, or it reads more than MOST_STEPS steps of runs that were not named.
        StoreError: a run does not exist or is damaged, or the disk is full.
        KeyboardInterrupt: it was stopped.
    """
    _check_text(query)
    chosen = _every(backend, on_damaged) if runs is None else [_run(backend, ref) for ref in runs]
    with _explained(), closing(sqlite3.connect("", isolation_level=None)) as database:
        reads = _declared(database, query, columns_of(backend, chosen, _named(query)))
        most = _most_rows(query)
        if runs is None and "steps" in reads and most == EVERY:
            _check_size(chosen)
        database.execute("BEGIN")  # one transaction for all rows: one for each takes several times as long
        for table, found in reads.items():
            columns = found or ["run"]  # to count rows, one column does
            _fill(database, table, columns, islice(_table_rows(backend, chosen, table, columns, on_rows), most))
        database.execute("COMMIT")
        database.set_authorizer(_allow)
        cursor = database.execute(query)
        if cursor.description is None:
            raise UsageError("the query returns no rows: it must be a SELECT")
        yield Answer([column[0] for column in cursor.description], cursor)


def _check_text(query: str) -> None:
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"SQL: {error}") from error


def _named(query: str) -> list[str]:
    """Returns the tables whose names occur in a query."""
    return list(dict.fromkeys(found.lower() for found in NAMED.findall(query)))


def _most_rows(query: str) -> int:
    """Returns how many rows answer a query that looks at the first rows of one table; of any other, EVERY."""
    found = FIRST.fullmatch(query)
    return int(found[1]) if found else EVERY


def _declared(database: sqlite3.Connection, query: str, tables: dict[str, list[str]]) -> dict[str, list[str]]:
    """Makes the tables, empty, and returns the columns of each that the query reads."""
    database.execute(f"PRAGMA cache_size = -{CACHE}")
    database.execute("PRAGMA journal_mode = OFF")
    database.text_factory = partial(str, encoding="utf-8", errors="replace")  # JSON may hold lone surrogates
    database.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')")  # makes them, which a query may not
    database.set_progress_handler(_listen, PATIENCE)
    for table, columns in tables.items():
        database.execute(f"CREATE TABLE {table} ({_quoted(columns)})")
    read = {table: found for table, columns in tables.items() if (found := _joining(query, columns))}

    def note(action: int, table: str | None, column: str | None, *_: str | None) -> int:
        name = str(table).lower()  # as the query writes it, where it reads no column
        if action == sqlite3.SQLITE_READ and name in tables:
            read.setdefault(name, set()).add(str(column))
        return _allow(action)

    database.set_authorizer(note)
    database.execute(f"EXPLAIN {query}")
    database.set_authorizer(None)
    return {table: [name for name in tables[table] if name in columns] for table, columns in read.items()}


def _listen() -> int:
    """Lets Python, which hears no signal while SQLite computes, raise here what one asks for: that ends the query."""
    return 0


def _joining(query: str, columns: Iterable[str]) -> set[str]:
    """Returns the columns by which a query may join tables: SQLite tells an authorizer of no read for USING."""
    words = {word.lower() for word in re.findall(r"\w+", query)}
    if "natural" in words:
        return set(columns)
    return words.intersection(columns) if "using" in words else set()


def _allow(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in ALLOWED else sqlite3.SQLITE_DENY


def _check_size(runs: Sequence[RunRecord]) -> None:
    total = sum(run.timesteps for run in runs if run.config.keeps_steps)
    if total > MOST_STEPS:
        raise UsageError(
            f"the query reads {total:,} steps, and takes at most {MOST_STEPS:,} unless runs are named: give runs=[...]"
        )


def _fill(database: sqlite3.Connection, name: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    places = ", ".join("?" * len(columns))
    database.executemany(f"INSERT INTO {name} ({_quoted(columns)}) VALUES ({places})", rows)  # noqa: S608  quoted


def _table_rows(
    backend: Backend,
    runs: Sequence[RunRecord],
    table: str,
    columns: Sequence[str],
    on_rows: Callable[[int, int], object] | None,
) -> Iterator[Row]:
    if table == "runs":
        return (tuple(_cell(RUNS[name](run)) for name in columns) for run in runs)
    return chain.from_iterable(_rows_by_chunk(backend, runs, TABLES[table], columns, on_rows))


def _rows_by_chunk(
    backend: Backend,
    runs: Sequence[RunRecord],
    table: Table,
    columns: Sequence[str],
    on_rows: Callable[[int, int], object] | None,
) -> Iterator[Iterator[Row]]:
    done, total = 0, sum(run.timesteps for run in runs)
    for run in runs:
        for chunk in _chunks(backend, run, table.part):
            if table.size(chunk):
                yield _rows(table, run, chunk, columns)
            done += chunk.n_steps
            if on_rows is not None:
                on_rows(done, total)


def _every(backend: Backend, on_damaged: Callable[[str, str], object] | None) -> list[RunRecord]:
    return reading.listed(backend, {}, None, None, on_damaged)


def _run(backend: Backend, ref: Ref) -> RunRecord:
    return record(reading.find(backend, ref), backend.now())


def _chunks(backend: Backend, run: RunRecord, part: str) -> Iterator[EpisodeChunk]:
    document = reading.find(backend, run)
    load = reading.chunk_loader(backend, document, figures=part == "figures", steps=part == "steps")
    return map(load, reading.spans_of(backend, document))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)  # without quotes in them, see `_distinct`


@contextmanager
def _explained() -> Iterator[None]:
    """Turns SQLite's complaints into one line."""
    try:
        yield
    except (sqlite3.Error, sqlite3.Warning) as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from None
        message = " ".join(escaped(str(error)).split())
        if code in DISK:
            raise StoreError(f"the query needs room for temporary files: {message}; name fewer runs") from error
        if code == sqlite3.SQLITE_AUTH:
            message = "a query can only read: it must be one SELECT"
        elif message.startswith("no such"):
            message += "; `rlbench store sql` lists the tables and their columns"
        raise UsageError(f"SQL: {message}") from error
