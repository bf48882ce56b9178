"""Parquet: the flat table with types, nulls for blanks, and the manifest in the file's metadata."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rlbench.exchange import arrow_tables
from rlbench.exchange.batches import BATCH_STEPS
from rlbench.exchange.content import Content
from rlbench.exchange.sealed_files import opened
from rlbench.files import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rlbench.exchange.sealed_files import Place

FLAT = True  # it holds the flat table
ROWS = 2**16  # per row group
PACKED = {"compression": "zstd", "write_page_checksum": True}


def write(path: Place, content: Content, *, next_observations: bool = False) -> None:
    """Writes a run's episodes, results or table.

    Raises:
        UsageError: columns of numbers cannot hold it exactly, or pyarrow is not installed.
    """
    parquet = _parquet()
    schema, tables = arrow_tables.schema_and_tables(content, "parquet", next_observations=next_observations)
    with opened(path, "xb") as sink, parquet.ParquetWriter(sink, schema, **PACKED) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROWS)


def _parquet() -> Any:
    return require("pyarrow.parquet", "minari", "parquet")


@contextmanager
def read(path: Place) -> Iterator[Content]:
    """Reads a file that `write` wrote, a batch of episodes at a time; reads only episodes."""
    with opened(path, "rb") as source, _parquet().ParquetFile(source, page_checksum_verification=True) as file:
        manifest, rows = arrow_tables.manifest_of(file.schema_arrow), file.iter_batches(batch_size=BATCH_STEPS)
        yield Content(manifest, arrow_tables.batches(rows, file.schema_arrow, manifest, path.stat().st_size))
