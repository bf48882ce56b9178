"""Text files, compressed if their name ends in `.gz`, and how much one may unpack to."""

from __future__ import annotations

import gzip
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rlbench.exchange.sealed_files import Place

COMPRESSED = ".gz"
LEVEL = 6  # of gzip: 9 takes twice as long for a hundredth less
FREE = 2**25  # characters that may be held in memory at once, however small the file is
EXPANSION = 64  # times its size: the most that a larger one may need


@contextmanager
def writing(path: Place) -> Iterator[TextIO]:
    """Creates a UTF-8 file to write to; the same text gives the same bytes."""
    with path.open("xb") as raw:
        if path.suffix.lower() != COMPRESSED:
            with io.TextIOWrapper(raw, "utf-8", newline="") as file:
                yield file
            return
        with (
            gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as packed,
            io.TextIOWrapper(packed, "utf-8", newline="") as file,
        ):
            yield file


@contextmanager
def reading(path: Place) -> Iterator[TextIO]:
    """Opens a UTF-8 file, with or without a byte order mark, whatever its line ends."""
    with path.open("rb") as raw:
        packed = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == COMPRESSED else raw
        with io.TextIOWrapper(packed, "utf-8-sig", newline="") as file:
            yield file


def most_held(path: Place) -> int:
    """Returns how many characters of a file may be held at once, so that a small one cannot fill the memory."""
    return max(FREE, EXPANSION * path.stat().st_size)
