"""Feather, the file format of Arrow: the flat table with types, nulls for blanks, the manifest in its schema."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlbench.errors import UsageError
from rlbench.exchange import arrow_tables
from rlbench.exchange.content import Content
from rlbench.exchange.sealed_files import opened
from rlbench.exchange.text_files import EXPANSION
from rlbench.files import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench.exchange.sealed_files import Place

FLAT = True  # it holds the flat table
ROWS = 2**14  # per record batch
PACKED = "lz4"  # which every reader of Feather knows
MAGIC = 8  # bytes before the first message of a file
LENGTH = struct.Struct("<q")  # before each compressed buffer: what it unpacks to; -1: it is not compressed
BUFFERS, COMPRESSION = 2, 3  # fields of a record batch, in Arrow's Message.fbs
HEADER = 2  # field of a message


def write(path: Place, content: Content, *, next_observations: bool = False) -> None:
    """Writes a run's episodes, results or table.

    Raises:
        UsageError: columns of numbers cannot hold it exactly, or pyarrow is not installed.
    """
    pa = _arrow()
    schema, tables = arrow_tables.schema_and_tables(content, "feather", next_observations=next_observations)
    options = pa.ipc.IpcWriteOptions(compression=PACKED)
    with opened(path, "xb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        for table in tables:
            writer.write_table(table, max_chunksize=ROWS)


def _arrow() -> Any:
    require("pyarrow.ipc", "minari", "feather")
    return arrow_tables.arrow()


@contextmanager
def _mapped(path: Place) -> Iterator[Any]:
    """Opens a file for Arrow, without reading it if it is plain."""
    with opened(path, "rb") as source:
        pa = arrow_tables.arrow()
        with pa.PythonFile(source) if source is not path else pa.memory_map(str(path)) as file:
            yield file


@contextmanager
def read(path: Place) -> Iterator[Content]:
    """Reads a file that `write` wrote, a record batch at a time; reads only episodes."""
    pa = _arrow()
    with _mapped(path) as file:
        schema = pa.ipc.open_file(file).schema
    manifest = arrow_tables.manifest_of(schema)
    yield Content(manifest, arrow_tables.batches(record_batches(path), schema, manifest, path.stat().st_size))


def record_batches(path: Place) -> Iterator[Any]:
    """Yields the record batches of a file.

    Raises:
        UsageError: one would unpack to much more than a file of this size can hold.
    """
    pa, size = _arrow(), path.stat().st_size
    with _mapped(path) as file:
        schema = pa.ipc.open_file(file).schema
        file.seek(MAGIC)
        messages = pa.ipc.MessageReader.open_stream(file)
        messages.read_next_message()  # the schema
        for message in messages:
            if message.type != "record batch":
                raise UsageError(f"expected record batches, got a {message.type}")
            claimed = sum(_unpacked(message))
            if claimed > max(arrow_tables.FREE, EXPANSION * size):
                raise UsageError(f"it claims {claimed:,} bytes in one piece but does not hold them")
            yield pa.ipc.read_record_batch(message, schema)


def _unpacked(message: Any) -> Iterator[int]:
    """Yields how many bytes each compressed buffer of a record batch claims to unpack to."""
    head, body = bytes(message.metadata), message.body
    batch = _table_in(head, _table(head, 0), HEADER)
    vector = _offset(head, batch, BUFFERS)
    if not vector or not _offset(head, batch, COMPRESSION):  # the file is as large as what it holds
        return
    start = vector + _u32(head, vector)
    for number in range(_u32(head, start)):
        offset, length = struct.unpack_from("<qq", head, start + 4 + 16 * number)
        if length:
            yield max(length, LENGTH.unpack(bytes(body[offset : offset + LENGTH.size]))[0])


# A flat buffer is read by hand: pyarrow has checked it, but does not say what it claims before it unpacks it.


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _table(data: bytes, at: int) -> int:
    return at + _u32(data, at)


def _offset(data: bytes, table: int, field: int) -> int:
    """Returns where a field of a table is; 0 if it is absent."""
    fields = table - int(struct.unpack_from("<i", data, table)[0])
    size, entry = struct.unpack_from("<H", data, fields)[0], 4 + 2 * field
    found = struct.unpack_from("<H", data, fields + entry)[0] if entry < size else 0
    return table + int(found) if found else 0


def _table_in(data: bytes, table: int, field: int) -> int:
    at = _offset(data, table, field)
    if not at:
        raise UsageError("it has a message without a header")
    return _table(data, at)
