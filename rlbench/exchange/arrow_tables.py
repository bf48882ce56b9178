"""The flat table with types, as Arrow holds it: nulls for blanks, and the manifest in the metadata of its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.exchange.csv_files import table_columns
from rlbench.exchange.flat import SOME_ROWS, Field, Flat, Layout
from rlbench.exchange.manifest import Manifest, plain_numbers
from rlbench.exchange.text_files import EXPANSION
from rlbench.files import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.exchange.content import Content

KEY = b"rlbench"  # in the schema's metadata
FREE = 2**26  # bytes of an episode that a small file may unpack to


def arrow() -> Any:
    """Returns pyarrow; UsageError if it is not installed."""
    return require("pyarrow", "minari", "a table of Arrow")


def schema_and_tables(content: Content, kind: str, *, next_observations: bool) -> tuple[Any, Iterator[Any]]:
    """Returns a run's episodes, results or table as Arrow tables, and their schema.

    Raises:
        UsageError: columns of numbers cannot hold it exactly.
    """
    manifest = content.manifest
    plain_numbers({**manifest.columns, **manifest.figures}, kind)
    pa, metadata = arrow(), {KEY: manifest.to_json()}
    if manifest.what == "episodes":
        layout = Layout(manifest, next_observations=next_observations)
        fields = [(field.name, pa.from_numpy_dtype(_native(field.dtype))) for field in layout.fields]
        schema = pa.schema(fields, metadata=metadata)
        return schema, (_table(pa, schema, layout, batch) for batch in content.batches)
    columns = {name: pa.array(column.astype(_native(column.dtype))) for name, column in table_columns(content).items()}
    table = pa.table(columns).replace_schema_metadata(metadata)
    return table.schema, iter([table])


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
    column = np.zeros(len(where), _native(field.dtype))
    column[where] = values
    return pa.array(column, kind, mask=~where)


# ---------------------------------------------------------------------- reading


def manifest_of(schema: Any) -> Manifest:
    """Returns the manifest in a schema; UsageError if it has none."""
    if KEY not in (schema.metadata or {}):
        raise UsageError("it has no rlbench manifest: rlbench did not write it")
    return Manifest.from_json(schema.metadata[KEY])


def batches(found: Iterable[Any], schema: Any, manifest: Manifest, size: int) -> Iterator[Batch]:
    """Yields whole episodes from record batches.

    Args:
        found: the record batches.
        schema: theirs.
        manifest: of the file.
        size: of the file, in bytes: an episode may not claim much more.

    Raises:
        UsageError: they are not the table that the manifest describes.
    """
    if manifest.what != "episodes":
        return
    pa, layout = arrow(), Layout(manifest, schema.names)
    _check_schema(pa, schema, layout)
    held: list[Any] = []
    for rows in found:
        stop = _whole_rows(rows, layout, has_more=bool(held))
        if stop:
            yield _batch(pa.Table.from_batches([*held, rows.slice(0, stop)]), layout)
            held = []
        held.append(rows.slice(stop))
        if sum(rows.nbytes for rows in held) > max(FREE, EXPANSION * size):
            raise UsageError("it has an episode that claims more than a file of its size can hold")
    held = [rows for rows in held if len(rows)]
    if held and layout.is_old:
        raise UsageError("it ends in the middle of an episode")
    if held:
        yield _batch(pa.Table.from_batches(held), layout)


def _whole_rows(rows: Any, layout: Layout, *, has_more: bool) -> int:
    """Returns how many rows complete episodes: those before the last that begins, or up to the last that is closed."""
    if layout.is_old:
        return int(np.max(np.flatnonzero(_nulls(rows.column(layout.reward))) + 1, initial=0))
    begins = np.flatnonzero(_begins(rows.column(1)))
    return int(begins[-1]) if len(begins) and (has_more or begins[-1]) else 0


def _begins(steps: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = steps.fill_null(1).to_numpy(zero_copy_only=False) == 0
    return found


def _batch(table: Any, layout: Layout) -> Batch:
    columns = [column.combine_chunks() for column in table.columns]
    return layout.batch(_flat(columns, layout))


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


def _flat(columns: list[Any], layout: Layout) -> Flat:
    for field, column in zip(layout.fields[:2], columns[:2], strict=True):
        _check_nulls(field, column, np.ones(len(column), np.bool_))
    episodes, steps = (column.to_numpy(zero_copy_only=False) for column in columns[:2])
    flat = layout.rows(episodes, steps, ~_nulls(columns[layout.reward]))
    for field, column in zip(layout.fields, columns, strict=True):
        where = flat.where(field.rows)
        _check_nulls(field, column, where)
        flat.values.append(_values(field, column, where))
    return flat


def _check_nulls(field: Field, column: Any, where: NDArray[np.bool_]) -> None:
    is_null = _nulls(column)
    wrong = np.flatnonzero(~is_null & ~where if field.rows == SOME_ROWS else is_null == where)
    if len(wrong):
        rule = "not be null" if where[wrong[0]] else "be null"
        raise UsageError(f"the column {field.name!r} must {rule} in its row {wrong[0]}")


def _values(field: Field, column: Any, where: NDArray[np.bool_]) -> NDArray[Any]:
    if field.rows == SOME_ROWS:
        return np.array([text or "" for text in column.to_pylist()], object)[where]
    found: NDArray[Any] = column.drop_null().to_numpy(zero_copy_only=False)
    return found.astype(field.dtype, copy=False)
