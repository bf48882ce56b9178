"""JSON: one document, one episode per line: {"about": ..., "checkpoint": ..., "episodes": [{...}, ...]}.

The columns of an episode have the same names as in a store: T + 1 "observations", T "actions", "rewards", ...
Numbers round-trip exactly; NaN and infinities are written as Python's json module does.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange import text_files
from rlbench.exchange.batches import Batch, gathered
from rlbench.exchange.content import Content
from rlbench.exchange.flat import marks_json, marks_of
from rlbench.exchange.manifest import Manifest, column_of, exactly, plain_numbers
from rlbench.store import Checkpoint
from rlbench.store.codec import to_json
from rlbench.store.frames import Column
from rlbench.store.records import end_code, has_last_row, is_terminated, is_truncated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rlbench.exchange.sealed_files import Place

READ = 2**16  # characters at a time, more if a value is longer
MOST_VALUE = 2**30  # characters of one value: an episode
TOKEN = 16  # characters: an error this close to the end of what was read may be a token cut in two


def write(path: Place, content: Content) -> None:
    """Writes a run's episodes with its last checkpoint, or its results, or its table.

    Raises:
        UsageError: a column has a dtype that JSON cannot hold exactly.
    """
    manifest = content.manifest
    plain_numbers({**manifest.columns, **manifest.figures}, "json")
    with text_files.writing(path) as file:
        file.write(f'{{"about": {manifest.to_json()}')
        if manifest.what == "table" and content.table is not None:
            file.write(f',\n"table": {to_json(content.table)}')
        elif manifest.what == "results":
            _write_list(file, "results", _results(content))
        else:
            if content.checkpoint is not None:
                file.write(f',\n"checkpoint": {_checkpoint_json(content.checkpoint)}')
            _write_list(file, "episodes", (text for batch in content.batches for text in _episodes(batch)))
        file.write("}\n")


def _write_list(file: TextIO, name: str, items: Iterator[dict[str, Any]]) -> None:
    file.write(f',\n"{name}": [')
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        file.write(to_json(item))
    file.write("\n]")


def _results(content: Content) -> Iterator[dict[str, Any]]:
    for episode in range(content.manifest.episodes):
        yield {"episode": episode, **{name: column[episode] for name, column in content.figures.items()}}


def _episodes(batch: Batch) -> Iterator[dict[str, Any]]:
    stops = np.cumsum(batch.lengths)
    marked = {mark.row for mark in batch.marks}
    for row, (stop, length) in enumerate(zip(stops.tolist(), batch.lengths.tolist(), strict=True)):
        start, end = stop - length, int(batch.ends[row])
        columns = {
            name: column[start + row : stop + row + 1] if has_last_row(name) else column[start:stop]
            for name, column in batch.steps.items()
        }
        yield {
            "episode": batch.episodes[row],
            **({"chunks": marks_json(batch, row)} if row in marked else {}),
            **columns,
            "terminated": is_terminated(end),
            "truncated": is_truncated(end),
            "figures": {name: column[row] for name, column in batch.figures.items()},
        }


def _checkpoint_json(checkpoint: Checkpoint) -> str:
    columns = {name: Column(array.dtype.str, array.shape) for name, array in checkpoint.arrays.items()}
    plain_numbers(columns, "json")
    arrays = {name: {**columns[name]._asdict(), "data": array} for name, array in checkpoint.arrays.items()}
    place = {"episodes": checkpoint.episodes, "timesteps": checkpoint.timesteps}
    return to_json({**place, "numbers": checkpoint.numbers, "arrays": arrays})


# ---------------------------------------------------------------------- reading


@contextmanager
def read(path: Place) -> Iterator[Content]:
    """Reads a file that `write` wrote, an episode at a time; white space may differ, the order of the parts may not."""
    with text_files.reading(path) as file:
        text = _Text(file, text_files.most_held(path))
        text.take("{")
        if text.key("about", "rlbench") == "rlbench":
            raise UsageError("it only describes the CSV file that it lies beside: import that one")
        manifest = Manifest.of(text.value())
        yield Content(manifest, *_parts(text, manifest), keeps_checkpoint=True)


def _parts(text: _Text, manifest: Manifest) -> tuple[Iterator[Batch], Checkpoint | None]:
    if manifest.what != "episodes":
        return iter(()), None
    text.take(",")
    checkpoint = None
    if text.key("checkpoint", "episodes") == "checkpoint":
        checkpoint = _checkpoint(text.value())
        text.take(",")
        text.key("episodes")
    return _batches(text, manifest), checkpoint


class _Text:
    """A JSON document read value by value, holding at most one in memory."""

    def __init__(self, file: TextIO, most: int) -> None:
        self._file, self._most = file, min(most, MOST_VALUE)
        self._held, self._at, self._read = "", 0, 0
        self._decoder = json.JSONDecoder()

    def take(self, *expected: str) -> str:
        """Consumes and returns the next character; UsageError unless it is one of the expected ones."""
        found = self._peek()
        if found not in expected:
            raise UsageError(f"expected {' or '.join(expected)} at character {self._read + self._at}, got {found!r}")
        self._at += 1
        return found

    def key(self, *expected: str) -> str:
        """Consumes a key and its colon and returns the key; UsageError unless it is one of the expected ones."""
        found = self.value()
        if found not in expected:
            raise UsageError(f"expected {' or '.join(map(repr, expected))}, got {str(found)[:80]!r}")
        self.take(":")
        return str(found)

    def is_next(self, character: str) -> bool:
        """Returns whether this character comes next."""
        return self._peek() == character

    def value(self) -> Any:
        """Consumes and returns a whole value."""
        self._peek()
        while True:
            try:
                value, stop = self._decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                is_cut_off = error.msg.startswith("Unterminated string") or error.pos > len(self._held) - TOKEN
                if not (is_cut_off and self._more()):
                    raise UsageError(f"invalid JSON at character {self._read + error.pos}: {error.msg}") from error
            else:
                if stop < len(self._held) or not self._more():
                    self._at = stop
                    return value

    def _peek(self) -> str:
        """Returns the next character other than white space; "" at the end."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def _more(self) -> bool:
        """Reads more, at least doubling what is held; False at the end."""
        rest = self._held[self._at :]
        if len(rest) > self._most:
            raise UsageError(f"it has a value of more than {self._most} characters")
        more = self._file.read(max(READ, len(rest)))
        self._held, self._at, self._read = rest + more, 0, self._read + self._at
        return bool(more)


def _batches(text: _Text, manifest: Manifest) -> Iterator[Batch]:
    yield from gathered(_read_episodes(text, manifest))


def _read_episodes(text: _Text, manifest: Manifest) -> Iterator[Batch]:
    text.take("[")
    while not text.is_next("]"):
        yield _episode(text.value(), manifest)
        if not text.is_next("]"):
            text.take(",")
    text.take("]")
    text.take("}")
    text.take("")


def _episode(found: Any, manifest: Manifest) -> Batch:
    if type(found) is not dict or type(found.get("episode")) is not int or type(found.get("figures")) is not dict:
        raise UsageError(f"an episode must be an object with its number and its figures, got {str(found)[:80]}")
    where = f"in episode {found['episode']}"
    if any(type(found.get(name)) is not bool for name in ("terminated", "truncated")):
        raise UsageError(f"{where} terminated and truncated must be true or false")
    steps = {name: _column(found, name, column, where) for name, column in manifest.columns.items()}
    figures = {name: _figure(found["figures"], name, column, where) for name, column in manifest.figures.items()}
    length = len(steps.get("rewards", ()))
    return Batch(
        np.array([found["episode"]], np.int64),
        np.array([length], np.int64),
        np.array([end_code(found["terminated"], found["truncated"])], np.uint8),
        {name: _sized(column, length + has_last_row(name), f"{where} {name}") for name, column in steps.items()},
        figures,
        tuple(marks_of(0, found.get("chunks", []))),
    )


def _column(found: dict[str, Any], name: str, column: Column, where: str) -> Any:
    if type(found.get(name)) is not list:
        raise UsageError(f"{where} the column {name!r} is missing")
    return exactly(found[name], column, f"{where} {name}")


def _figure(found: dict[str, Any], name: str, column: Column, where: str) -> Any:
    if name not in found:
        raise UsageError(f"{where} the figure {name!r} is missing")
    return exactly([found[name]], column, f"{where} the figure {name}")


def _sized(column: Any, rows: int, what: str) -> Any:
    if len(column) != rows:
        raise UsageError(f"{what} must have {rows} rows, got {len(column)}")
    return column


def _checkpoint(found: dict[str, Any]) -> Checkpoint:
    arrays = {}
    for name, array in found["arrays"].items():
        column = column_of(name, [array["dtype"], array["shape"]])
        arrays[name] = np.asarray(exactly([array["data"]], column, name)[0])
    return checked_checkpoint(found["episodes"], found["timesteps"], arrays, found["numbers"])


def checked_checkpoint(episodes: Any, timesteps: Any, arrays: dict[str, Any], numbers: Any) -> Checkpoint:
    """Builds a checkpoint from a file's values; UsageError if they do not make one."""
    counts = all(type(count) is int and count >= 0 for count in (episodes, timesteps))
    if not counts or type(numbers) is not dict or type(numbers.get("agent")) is not dict:
        raise UsageError("its checkpoint is incomplete: expected episodes, timesteps and the agent's numbers")
    return Checkpoint(episodes, timesteps, arrays, numbers)
