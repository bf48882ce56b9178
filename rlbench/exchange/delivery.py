"""Where an export is written that goes to a bucket in the cloud: to a temporary folder first."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rlbench.errors import UsageError
from rlbench.files import path_of
from rlbench.store.bucket import CLOUDS, open_bucket

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from rlbench.store.bucket import Bucket


@contextmanager
def delivered(path: str | os.PathLike[str], *, overwrite: bool) -> Iterator[Path]:
    """Yields where to write: `path` itself, or a file or folder of its name that goes to the bucket in the end.

    Args:
        path: a path, or `s3://bucket/folder/name`, `gs://` or `az://`.
        overwrite: replace what is there.

    Raises:
        UsageError: the address is malformed, or there is something at it.
        StoreError: the bucket cannot be written to.
    """
    address = str(path)
    if not is_in_cloud(address):
        yield path_of(path)
        return
    folder, _, name = address.rstrip("/").rpartition("/")
    bucket = open_bucket(folder, folder.partition("://")[2])
    if not overwrite and (bucket.has(name) or bucket.list(name)):
        raise UsageError(f"{bucket.url}/{name} exists: choose another name, or overwrite it (--force)")
    with tempfile.TemporaryDirectory(prefix="rlbench-export-") as local:
        yield Path(local, path_of(name))
        _deliver(Path(local), bucket)


def is_in_cloud(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path is the address of something in the cloud."""
    scheme, separator, _ = str(path).partition("://")
    return bool(separator) and scheme in CLOUDS


def _deliver(folder: Path, bucket: Bucket) -> None:
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            bucket.put_file(file.relative_to(folder).as_posix(), file)
