"""Packs named arrays into one compressed blob with checksums, and unpacks them bit for bit.

A blob is `MAGIC | header size | crc32 of the header | header | blocks`. The header is JSON: `about` (the caller's
metadata) and one entry per column; each column is one zstd block with its own checksum.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import zstandard

from rlbench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

MAGIC = b"RLB1"
SEALED = b"RLBE"  # begins what was encrypted
PREFIX = struct.Struct("<4sII")  # magic, bytes of the header, crc32 of the header
ZSTD = zstandard.ZstdCompressionParameters.from_level(  # level 3 gains nothing here
    1,
    min_match=7,  # shorter matches in this data are coincidences: without them blobs are smaller and made faster
    write_content_size=True,
)
SAMPLE = 2**12  # bytes of a column to try with and without differences
FEW_PLANES = 16  # up to this many, copying them one by one is faster than a transpose
FREE = 2**23  # bytes that any blob may unpack to
EXPANSION = 64  # times its size, and no more, it may unpack to beyond that: a few kilobytes cannot fill the memory
DEEPEST = 200  # levels of lists and dicts in JSON: whoever goes through it needs a call or two for each
NARROW_INTEGERS = tuple(  # each with its limits
    (np.dtype(kind), int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    for kind in ("<u1", "<i1", "<u2", "<i2", "<u4", "<i4")
)
INT32_MIN, INT32_MAX = int(np.iinfo(np.int32).min), int(np.iinfo(np.int32).max)
DTYPE = re.compile(r"[<>|][biufc]\d{1,2}")


class _Tools(threading.local):
    """The zstd contexts of a thread: a new compressor would fault its memory in again for every chunk."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(compression_params=ZSTD)
        self.decompressor = zstandard.ZstdDecompressor()


TOOLS = _Tools()


class Column(NamedTuple):
    """The header's entry for a column."""

    name: str
    dtype: str  # of the array
    shape: list[int]
    stored: str  # the dtype it is stored in; bools are stored as packed bits
    differences: bool  # each row is stored as its difference from the previous one
    size: int  # bytes of the compressed block
    checksum: int  # crc32 of the compressed block


def to_json(value: object) -> str:
    """Returns `value` as JSON; numpy scalars and arrays become numbers and lists.

    Raises:
        UsageError: it holds something that JSON cannot represent.
    """
    try:
        return _shallow(ENCODER.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"a record holds JSON only (numbers, strings, lists, dicts): {error}") from error


def from_json(text: str) -> Any:
    """Parses JSON; ValueError if it is none or has more than DEEPEST levels, RecursionError if it has far more."""
    return json.loads(_shallow(text))


def _shallow(text: str) -> str:
    if text.count("[") + text.count("{") > DEEPEST:  # only then it may be deep
        parts = [json.loads(text)]
        for _ in range(DEEPEST + 1):
            nested = [
                part.values() if isinstance(part, dict) else part for part in parts if isinstance(part, dict | list)
            ]
            parts = list(itertools.chain.from_iterable(nested))
        if parts:
            raise ValueError(f"it has more than {DEEPEST} levels")
    return text


def pack(columns: Mapping[str, Array], about: object = None, *, free: int = FREE) -> bytes:
    """Packs arrays of any bool or numeric dtype and any shape, together with a JSON value.

    Args:
        columns: the arrays, by name.
        about: the JSON value.
        free: bytes that need not be backed by the size of the blob; one that unpacks to more than that and EXPANSION
            times its size is padded.

    Raises:
        UsageError: a column has another dtype (objects, strings), or `about` is not JSON.
    """
    with np.errstate(all="ignore"):  # lossy casts are found by comparing bits
        packed = [_pack_column(TOOLS.compressor, name, np.asarray(array)) for name, array in columns.items()]
    header = to_json({"about": about, "columns": [column for column, _ in packed]}).encode()
    header += b" " * _padding([column for column, _ in packed], len(header), free)
    prefix = PREFIX.pack(MAGIC, len(header), zlib.crc32(header))
    return b"".join((prefix, header, *(block for _, block in packed)))


def unpack(blob: bytes, where: str = "blob", names: Collection[str] | None = None) -> tuple[dict[str, Array], Any]:
    """Returns the arrays, or only those with these names, and the `about` passed to `pack`.

    Args:
        blob: what `pack` made.
        where: names it in errors.
        names: of the arrays to unpack; None for all.

    Raises:
        StoreError: the blob is damaged, or claims more than its bytes can hold.
    """
    columns, about, blocks = _opened(blob, where)
    arrays, decompressor = {}, TOOLS.decompressor
    for column, block in zip(columns, blocks, strict=True):
        if names is not None and column.name not in names:
            continue
        try:
            arrays[column.name] = _unpack_column(decompressor, column, block)
        except (ValueError, TypeError, zstandard.ZstdError) as error:
            raise StoreError(f"{where}, column {column.name!r}, is damaged: {error}") from error
    return arrays, about


def described(blob: bytes, where: str = "blob") -> tuple[dict[str, tuple[int, ...]], Any]:
    """Returns the shapes of the arrays in a blob by name, and its `about`, from its header alone.

    Raises:
        StoreError: the header is damaged, or claims more than the blob can hold.
    """
    columns, about, _ = _opened(blob, where)
    return {column.name: tuple(column.shape) for column in columns}, about


def verify(blob: bytes, where: str = "blob") -> Any:
    """Verifies every checksum and returns the `about` passed to `pack`, without unpacking the arrays.

    Raises:
        StoreError: the blob is damaged.
    """
    columns, about, blocks = _opened(blob, where)
    for column, block in zip(columns, blocks, strict=True):
        if zlib.crc32(block) != column.checksum:
            raise StoreError(f"{where}, column {column.name!r}, is damaged: its checksum is wrong")
    return about


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"got an object of type {type(value).__name__}")


ENCODER = json.JSONEncoder(separators=(",", ":"), default=_plain)


def _unpacked(columns: list[Column]) -> int:
    """Returns how many bytes these columns unpack to."""
    sizes = (max(np.dtype(column.dtype).itemsize, np.dtype(column.stored).itemsize) for column in columns)
    return sum(math.prod(column.shape) * size for column, size in zip(columns, sizes, strict=True))


# ---------------------------------------------------------------- writing


def _padding(columns: list[Column], header: int, free: int) -> int:
    """Returns how many bytes of padding keep a blob from unpacking to more than `free` and EXPANSION times its size."""
    held = PREFIX.size + header + sum(column.size for column in columns)
    return max(0, -((free - _unpacked(columns)) // EXPANSION) - held)


def _pack_column(compressor: zstandard.ZstdCompressor, name: str, array: Array) -> tuple[Column, bytes]:
    if array.dtype.kind not in "biufc":
        raise UsageError(f"column {name!r} must hold numbers or bools, got dtype {array.dtype}")
    stored = _narrow(np.ascontiguousarray(array))
    stored = stored.astype(stored.dtype.newbyteorder("<"), copy=False)
    differences, block = _compress(compressor, _words(stored)) if stored.size else (False, b"")
    column = Column(
        name, array.dtype.str, list(array.shape), stored.dtype.str, differences, len(block), zlib.crc32(block)
    )
    return column, block


def _narrow(array: Array) -> Array:
    """Returns the array in the smallest dtype that restores every bit."""
    kind = array.dtype.kind
    if kind == "b":
        return np.packbits(array.reshape(-1))
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if kind in "iu" and array.size:
        return _narrow_integers(array)
    if array.dtype in (np.float32, np.float64) and array.size:
        return _narrow_floats(array)
    return array


def _narrow_integers(array: Array) -> Array:
    return array.astype(_smallest(int(array.min()), int(array.max()), array.dtype), copy=False)


def _smallest(low: int, high: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Returns the smallest integer dtype that holds `low` to `high`, or `dtype` if none is smaller."""
    for smaller, least, most in NARROW_INTEGERS:
        if smaller.itemsize < dtype.itemsize and least <= low and high <= most:
            return smaller
    return dtype


def _narrow_floats(array: Array) -> Array:
    low, high = array.min(), array.max()
    if low >= INT32_MIN and high <= INT32_MAX:  # False for NaN
        integers = _cast(array, _smallest(int(low), int(high), np.dtype(np.int32)))
        if integers is not None:
            return integers
    floats = _cast(array, np.dtype(np.float32)) if array.itemsize > 4 else None  # noqa: PLR2004 bytes of a float32
    return array if floats is None else floats


def _cast(array: Array, dtype: np.dtype[Any]) -> Array | None:
    """Returns the array in `dtype`, or None if a bit would be lost (-0.0, the payload of a NaN)."""
    if _exact(array.reshape(-1)[:64], dtype) is None:  # most failures show in the first values
        return None
    return _exact(array, dtype)


def _exact(array: Array, dtype: np.dtype[Any]) -> Array | None:
    cast, bits = array.astype(dtype), np.dtype(f"u{array.itemsize}")
    return cast if np.array_equal(cast.astype(array.dtype).view(bits), array.view(bits)) else None


def _words(array: Array) -> Array:
    """Views an array as rows of unsigned integers, (rows, words per row)."""
    rows = array.reshape(len(array), -1)
    return rows.view(f"<u{math.gcd(array.itemsize, 8)}")


def _compress(compressor: zstandard.ZstdCompressor, words: Array) -> tuple[bool, bytes]:
    """Compresses the byte planes of the words or of their differences, whichever makes a sample smaller."""
    sample = words[: max(2, SAMPLE // words[0].nbytes)]
    plain = compressor.compress(_planes(sample).data)
    changes = compressor.compress(_planes(_differences(sample)).data)
    differences = len(changes) < len(plain)
    if len(sample) == len(words):
        return differences, changes if differences else plain
    return differences, compressor.compress(_planes(_differences(words) if differences else words).data)


def _differences(words: Array) -> Array:
    changes = words.copy()
    changes[1:] -= words[:-1]  # wraps around, so nothing is lost
    return changes


def _planes(words: Array) -> Array:
    """Returns all first bytes, then all second bytes, ...: similar bytes together compress better."""
    if words.dtype == np.uint16 and words.shape[1] == 1:  # the most frequent case: three times faster
        planes = np.empty((2, len(words)), np.uint8)
        np.copyto(planes[0], words[:, 0], casting="unsafe")
        np.right_shift(words[:, 0], 8, out=planes[1], casting="unsafe")
        return planes
    return np.ascontiguousarray(words.view(np.uint8).T)


# ---------------------------------------------------------------- reading


def _opened(blob: bytes, where: str) -> tuple[list[Column], Any, list[memoryview]]:
    if isinstance(blob, bytes) and blob.startswith(SEALED):  # a damaged store holds anything in its place
        raise StoreError(f"{where} has been encrypted: open the store again, with its key")
    try:
        columns, about, body = _read_header(blob)
    except (ValueError, TypeError, KeyError, RecursionError, struct.error) as error:
        raise StoreError(f"{where} is damaged: its header cannot be read ({error})") from error
    return columns, about, _blocks(columns, body)


def _read_header(blob: bytes) -> tuple[list[Column], Any, memoryview]:
    magic, size, checksum = PREFIX.unpack_from(blob)
    header = blob[PREFIX.size : PREFIX.size + size]
    if magic != MAGIC or len(header) != size or zlib.crc32(header) != checksum:
        raise ValueError("its checksum is wrong")
    content = json.loads(header)
    columns = [_checked(Column(*fields)) for fields in content["columns"]]
    if _unpacked(columns) > FREE + EXPANSION * len(blob):
        raise ValueError(f"its {len(blob):,} bytes claim to hold {_unpacked(columns):,}")
    body = memoryview(blob)[PREFIX.size + size :]
    if sum(column.size for column in columns) != len(body):
        raise ValueError("its length is wrong")
    return columns, content["about"], body


def _checked(column: Column) -> Column:
    numbers = [column.size, column.checksum, *column.shape]
    if not all(type(number) is int and number >= 0 for number in numbers) or type(column.name) is not str:
        raise ValueError("sizes must be whole numbers, and names strings")
    if not (DTYPE.fullmatch(column.dtype) and DTYPE.fullmatch(column.stored)):
        raise ValueError("dtypes must be bools or numbers")
    return column


def _blocks(columns: list[Column], body: memoryview) -> list[memoryview]:
    bounds = itertools.accumulate((column.size for column in columns), initial=0)
    return [body[start:end] for start, end in itertools.pairwise(bounds)]


def _unpack_column(decompressor: zstandard.ZstdDecompressor, column: Column, block: memoryview) -> Array:
    if zlib.crc32(block) != column.checksum:
        raise ValueError("its checksum is wrong")
    dtype, stored = np.dtype(column.dtype), np.dtype(column.stored)
    if not _may_restore(stored, dtype):
        raise ValueError(f"{stored} cannot hold {dtype}")
    count = math.prod(column.shape)
    size = -(-count // 8) if dtype.kind == "b" else count * stored.itemsize
    raw = _decompress(decompressor, block, size)
    if not count:
        return np.empty(column.shape, dtype)
    n_rows = len(raw) if dtype.kind == "b" else (column.shape or [1])[0]
    rows = _rows(raw, n_rows, stored, differences=column.differences)
    return _widen(rows, dtype, count).reshape(column.shape)


def _widen(rows: Array, dtype: np.dtype[Any], count: int) -> Array:
    if dtype.kind == "b":
        return np.unpackbits(rows, count=count).view(np.bool_)
    with np.errstate(all="ignore"):  # signalling NaNs are expected
        return rows.astype(dtype, copy=not rows.flags.writeable)


def _may_restore(stored: np.dtype[Any], dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return stored == np.uint8
    if stored.kind in "iu":
        return dtype.kind in "iuf"
    return stored == dtype.newbyteorder("<") or (stored == "<f4" and dtype in ("<f8", ">f8"))


def _decompress(decompressor: zstandard.ZstdDecompressor, block: memoryview, size: int) -> Array:
    """Decompresses a block, after checking that it holds exactly `size` bytes."""
    if not size and not block.nbytes:
        return np.empty(0, np.uint8)
    if zstandard.frame_content_size(block) != size:
        raise ValueError(f"it claims {size} bytes, but does not hold them")
    return np.frombuffer(decompressor.decompress(block, allow_extra_data=False), np.uint8)


def _rows(raw: Array, rows: int, stored: np.dtype[Any], *, differences: bool) -> Array:
    """Reassembles byte planes into (rows, values per row) of the stored dtype."""
    words = _interleave(raw.reshape(-1, rows)).view(f"<u{math.gcd(stored.itemsize, 8)}")
    if differences:
        words = np.cumsum(words, axis=0, dtype=words.dtype)
    return words.view(stored)


def _interleave(planes: Array) -> Array:
    """Returns the transpose, contiguous; a single plane is not copied."""
    if len(planes) == 1:
        return planes.T
    rows = np.empty(planes.shape[::-1], np.uint8)
    if len(planes) > FEW_PLANES:
        rows[:] = planes.T
        return rows
    for column, plane in zip(rows.T, planes, strict=True):
        column[:] = plane
    return rows
