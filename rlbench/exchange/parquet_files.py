"""Parquet: the flat table with types, nulls for blanks, and the manifest in the file's metadata."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.batches import BATCH_STEPS
from rlbench.exchange.content import Content
from rlbench.exchange.csv_files import table_columns
from rlbench.exchange.flat import SOME_ROWS, Field, Flat, Layout
from rlbench.exchange.manifest import Manifest, plain_numbers
from rlbench.files import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch

ROWS = 2**16  # per row group
PACKED = {"compression": "zstd", "write_page_checksum": True}
KEY = b"rlbench"  # in the file's metadata


def write(path: Path, content: Content) -> None:
    """Writes a run's episodes, results or table.

    Raises:
        UsageError: columns of numbers cannot hold it exactly, or pyarrow is not installed.
    """
    plain_numbers({**content.manifest.columns, **content.manifest.figures}, "parquet")
    pa, pq = _arrow()
    if content.manifest.what == "episodes":
        layout = Layout(content.manifest)
        types = [
            pa.string() if field.dtype.kind == "U" else pa.from_numpy_dtype(_native(field.dtype))
            for field in layout.fields
        ]
        schema = pa.schema(list(zip(layout.names, types, strict=True)), metadata={KEY: content.manifest.to_json()})
        with pq.ParquetWriter(path, schema, **PACKED) as writer:
            for batch in content.batches:
                writer.write_table(_table(pa, schema, layout, batch))
        return
    columns = {name: pa.array(column.astype(_native(column.dtype))) for name, column in table_columns(content).items()}
    table = pa.table(columns).replace_schema_metadata({KEY: content.manifest.to_json()})
    pq.write_table(table, path, row_group_size=ROWS, **PACKED)


def _arrow() -> tuple[Any, Any]:
    return require("pyarrow", "minari", "parquet"), require("pyarrow.parquet", "minari", "parquet")


def _native(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype.newbyteorder("=")


def _table(pa: Any, schema: Any, layout: Layout, batch: Batch) -> Any:
    flat = layout.flatten(batch)
    arrays = [
        _array(pa, kind, field, values, flat.where(field.rows))
        for kind, field, values in zip(schema.types, layout.fields, flat.values, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(pa: Any, kind: Any, field: Field, values: NDArray[Any], where: NDArray[np.bool_]) -> Any:
    if field.rows == SOME_ROWS:
        texts = np.full(len(where), None, object)
        texts[where] = [text or None for text in values.tolist()]
        return pa.array(texts, kind)
    column = np.zeros(len(where), _native(field.dtype))
    column[where] = values
    return pa.array(column, kind, mask=~where)


# ---------------------------------------------------------------------- reading


@contextmanager
def read(path: Path) -> Iterator[Content]:
    """Reads a file that `write` wrote, a batch of episodes at a time; reads only episodes."""
    pa, pq = _arrow()
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        metadata = file.schema_arrow.metadata or {}
        if KEY not in metadata:
            raise UsageError("it has no rlbench manifest: rlbench did not write it")
        manifest = Manifest.from_json(metadata[KEY])
        yield Content(manifest, _batches(pa, file, manifest))


def _batches(pa: Any, file: Any, manifest: Manifest) -> Iterator[Batch]:
    if manifest.what != "episodes":
        return
    layout = Layout(manifest, len(file.schema_arrow.names))
    _check_schema(pa, file.schema_arrow, layout)
    held: list[Any] = []
    for rows in file.iter_batches(batch_size=BATCH_STEPS):
        last = np.flatnonzero(_nulls(rows.column(layout.reward)))[-1:] + 1
        held.append(rows)
        if len(last):
            held[-1] = rows.slice(0, int(last[0]))
            yield layout.batch(_flat(pa.Table.from_batches(held).combine_chunks(), layout))
            held = [rows.slice(int(last[0]))]
    if sum(len(rows) for rows in held):
        raise UsageError("it ends in the middle of an episode")


def _check_schema(pa: Any, schema: Any, layout: Layout) -> None:
    missing = [name for name in layout.names if name not in schema.names]
    if missing:
        raise UsageError(f"the column {missing[0]!r} is missing")
    if schema.names != layout.names:
        raise UsageError(f"the columns must be {', '.join(layout.names)[:200]}, in this order and no others")
    for field, kind in zip(layout.fields, schema.types, strict=True):
        expected = pa.string() if field.dtype.kind == "U" else pa.from_numpy_dtype(_native(field.dtype))
        if kind != expected:
            raise UsageError(f"the column {field.name!r} must be {expected}, got {kind}")


def _nulls(column: Any) -> NDArray[np.bool_]:
    nulls: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _flat(table: Any, layout: Layout) -> Flat:
    columns = [column.combine_chunks() for column in table.columns]
    flat = Flat(_nulls(columns[layout.reward]), [])
    for field, column in zip(layout.fields, columns, strict=True):
        where, is_null = flat.where(field.rows), _nulls(column)
        wrong = np.flatnonzero(~is_null & ~where if field.rows == SOME_ROWS else is_null == where)
        if len(wrong):
            rule = "not be null" if where[wrong[0]] else "be null"
            raise UsageError(f"the column {field.name!r} must {rule} in its row {wrong[0]}")
        flat.values.append(_values(field, column, where))
    return flat


def _values(field: Field, column: Any, where: NDArray[np.bool_]) -> NDArray[Any]:
    if field.rows == SOME_ROWS:
        return np.array([text or "" for text in column.to_pylist()], object)[where]
    found: NDArray[Any] = column.drop_null().to_numpy(zero_copy_only=False)
    return found.astype(field.dtype, copy=False)
