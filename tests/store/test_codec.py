"""The codec gives back every bit, takes little room, and never trusts a blob."""

import json
import tracemalloc
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlbench.errors import StoreError, UsageError
from rlbench.store import codec

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64, 128)),
    st.just(np.dtype(np.longdouble)),
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)


@st.composite
def any_bits(draw):
    """An array of any dtype and shape, each bit of which is drawn: NaN payloads, -0.0, subnormals."""
    dtype, shape = draw(DTYPES), draw(SHAPES)
    size = int(np.prod(shape)) * dtype.itemsize
    raw = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8)
    return (raw & 1 if dtype.kind == "b" else raw).view(dtype).reshape(shape)


def assert_same(got, put):
    assert got.dtype == put.dtype
    assert got.shape == put.shape
    assert got.tobytes() == put.tobytes()


def round_trip(array):
    [got] = codec.unpack(codec.pack({"x": array}))[0].values()
    return got


@given(any_bits())
def test_every_bit_of_every_array_comes_back(array):
    assert_same(round_trip(array), array)


@given(hnp.arrays(DTYPES, SHAPES))
@example(np.array([-0.0, 0.0]))
@example(np.array([np.nan, np.inf, -np.inf, -1.0]))
@example(np.array([2.0**31, -(2.0**31), 2.0**24 + 1]))
@example(np.array([0x7FF0000000000001], np.uint64).view(np.float64))  # a signalling NaN
@example(np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max]))
@example(np.array([np.iinfo(np.uint64).max], np.uint64))
@example(np.array(3.5, np.float32))
@example(np.empty((0, 3, 2)))
@example(np.empty((3, 0), bool))
@example(np.array([0.0] * 64 + [-0.0]))  # a difference that the first 64 values do not show
@example(np.array([1.0] * 64 + [0.1]))
def test_every_value_comes_back(array):
    assert_same(round_trip(array), array)


@pytest.mark.parametrize("rows", [1, 2, 5000, 70_000])
def test_arrays_larger_than_a_sample_come_back(rows):
    rng = np.random.default_rng(rows)
    for array in (
        rng.integers(0, 500, rows),
        rng.normal(size=(rows, 4)).astype(np.float32).cumsum(0),
        rng.random(rows),
    ):
        assert_same(round_trip(array), array)


def test_views_that_are_not_contiguous_come_back():
    array = np.arange(60).reshape(3, 4, 5)
    for view in (array.T, array[::-1, ::2], np.asfortranarray(array)):
        assert_same(round_trip(view), view)


def test_unpacked_arrays_belong_to_the_caller():
    for array in (np.arange(9, dtype=np.uint8), np.ones(3, bool), np.array([0.1]), np.array([1j])):
        got = round_trip(array)
        got[...] = 0
        assert not got.any()


@given(st.dictionaries(st.text(), any_bits(), max_size=4))
def test_names_order_and_what_is_said_survive(columns):
    about = {"state": 2**127 + 1, "x": [1.5, None, "ü"]}
    arrays, said = codec.unpack(codec.pack(columns, about))
    assert list(arrays) == list(columns)
    assert said == about


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array(["a"]), np.array([b"a"]), np.array(0, "M8[s]"), np.zeros(1, "i4,f8")]
)
def test_objects_strings_and_records_are_refused(array):
    with pytest.raises(UsageError, match="'x' must hold numbers or bools, got dtype"):
        codec.pack({"x": array})


def test_what_json_cannot_say_is_refused():
    for value, complaint in (
        (object(), "holds JSON only"),
        (json.loads("[" * 201 + "]" * 201), "more than 200 levels"),
    ):
        with pytest.raises(UsageError, match=complaint):
            codec.pack({}, {"x": value})


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([0, 255]), "|u1"),
        (np.array([-1, 127]), "|i1"),
        (np.array([0, 499]), "<u2"),
        (np.array([-1000, 1000]), "<i2"),
        (np.array([2**31]), "<u4"),
        (np.array([2**40]), "<i8"),
        (np.array([-1.0, -10.0, 1000.0]), "<i2"),
        (np.array([0.5, 0.25]), "<f4"),
        (np.array([0.1]), "<f8"),
        (np.array([-0.0]), "<f4"),
        (np.array([True]), "|u1"),
    ],
)
def test_values_are_stored_in_the_smallest_dtype_that_holds_them(array, dtype):
    columns, _, _ = codec._read_header(codec.pack({"x": array}))
    assert columns[0].stored == dtype


def test_safecab_like_steps_take_little_room():
    rng = np.random.default_rng(0)
    n = 2**16
    steps = {
        "observations": 20 * rng.integers(-1, 2, n).cumsum() % 500,
        "actions": rng.integers(0, 6, n),
        "rewards": rng.choice([-1.0, -10.0, 1000.0, -1000.0], n, p=[0.8, 0.15, 0.025, 0.025]),
    }
    assert len(codec.pack(steps)) / n <= 1.6


def test_sixty_thousand_episodes_of_figures_take_under_a_megabyte():
    rng = np.random.default_rng(0)
    n = 60_000
    figures = {
        "return": rng.integers(-1000, 1000, n).astype(float),
        "length": rng.geometric(1 / 14, n),
        "exploration_rate": 0.01 + 0.99 * np.exp(-1e-4 * np.arange(n)),
        "explored": rng.binomial(14, 0.1, n),
        "action_counts": rng.multinomial(14, [1 / 6] * 6, n),
    }
    assert len(codec.pack(figures)) < 10**6


# ---------------------------------------------------------------- what is wrong with a blob


def sample():
    return {
        "a": np.arange(40),
        "b": np.array([0.1, -0.0, np.nan]),
        "c": np.array([True, False]),
        "d": np.empty(0),
    }


def test_a_flipped_bit_anywhere_is_found():
    blob = codec.pack(sample(), {"run": "abc"})
    for position in range(len(blob)):
        for bit in (1, 0x80, 0xFF):
            damaged = bytearray(blob)
            damaged[position] ^= bit
            with pytest.raises(StoreError, match="is damaged"):
                codec.unpack(bytes(damaged))


def test_a_blob_is_verified_without_being_unpacked(monkeypatch):
    monkeypatch.setattr(zstandard, "ZstdDecompressor", None)
    blob = codec.pack({"a": np.arange(100), "b": np.ones(3)}, {"who": "me"})
    assert codec.verify(blob) == {"who": "me"}
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 1
        with pytest.raises(StoreError, match=r"this is damaged|this, column '.', is damaged"):
            codec.verify(bytes(damaged), "this")


def test_a_truncated_or_extended_blob_is_found():
    blob = codec.pack(sample())
    for damaged in (*(blob[:size] for size in range(len(blob))), blob + b"\0", blob + blob):
        with pytest.raises(StoreError, match="is damaged"):
            codec.unpack(damaged)


def test_bytes_that_are_encrypted_are_refused_as_such():
    with pytest.raises(StoreError, match="has been encrypted: open the store again, with its key"):
        codec.unpack(codec.SEALED + b"x")


@settings(max_examples=200)
@given(st.binary(max_size=200))
@example(b"\x80\x04\x95cos\nsystem\n")  # a pickle
def test_any_other_bytes_are_refused(blob):
    with pytest.raises(StoreError, match=r"is damaged|has been encrypted"):
        codec.unpack(blob)
    with pytest.raises(StoreError, match="is damaged"):
        codec.unpack(codec.MAGIC + blob)


def test_a_damaged_column_is_named():
    blob = codec.pack({"actions": np.arange(9), "rewards": np.arange(9)})
    with pytest.raises(StoreError, match="run ab, chunk 3, column 'rewards', is damaged: its checksum is wrong"):
        codec.unpack(blob[:-1] + bytes([blob[-1] ^ 1]), "run ab, chunk 3")


def forged(block=zstandard.compress(b"\0" * 8), **changes):  # noqa: B008  (bytes)
    """A blob with right checksums whose header lies."""
    column = codec.Column("x", "<i8", [1], "<i8", False, len(block), zlib.crc32(block))
    header = json.dumps({"about": None, "columns": [column._replace(**changes)]}).encode()
    return codec.PREFIX.pack(codec.MAGIC, len(header), zlib.crc32(header)) + header + block


def test_an_honest_forgery_is_read():
    assert codec.unpack(forged())[0]["x"].tolist() == [0]


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [2**40]},
        {"shape": [2**20, 2**20, 2**20]},
        {"shape": [2**70]},
        {"shape": [-1]},
        {"shape": [1.0]},
        {"shape": [True]},
        {"shape": 1},
        {"shape": [1] * 100},
        {"shape": [0, 2**62]},
        {"dtype": "|O8"},
        {"dtype": "|S8"},
        {"dtype": "<f3"},
        {"dtype": "|b1"},
        {"dtype": "<f8", "stored": "<c16"},
        {"dtype": "<i8", "stored": "<f8"},
        {"stored": "<M8"},
        {"dtype": 8},
        {"name": 3},
        {"name": ["x"]},
        {"size": 2**40},
        {"size": -1},
        {"checksum": 0},
    ],
)
def test_a_header_that_lies_is_refused_and_allocates_nothing(changes):
    blob = forged(**changes)
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="is damaged"):
            codec.unpack(blob)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_frame_that_lies_about_its_size_is_refused():
    block = bytearray(zstandard.ZstdCompressor(write_content_size=True).compress(b"\0" * 300))
    at = block.index(300 - 256)  # zstd writes sizes from 256 less 256
    block[at : at + 2] = (2**16 - 1 - 256).to_bytes(2, "little")
    assert zstandard.frame_content_size(bytes(block)) == 2**16 - 1
    column = codec.Column("x", "|u1", [2**16 - 1], "|u1", False, len(block), zlib.crc32(block))
    header = json.dumps({"about": None, "columns": [column]}).encode()
    prefix = codec.PREFIX.pack(codec.MAGIC, len(header), zlib.crc32(header))
    with pytest.raises(StoreError, match="column 'x', is damaged"):
        codec.unpack(prefix + header + bytes(block))


@pytest.mark.parametrize(
    "header", [b"", b"null", b"[]", b"{}", b'{"columns": 3}', b'{"columns": [3]}', b"[" * 100_000, b"\xff"]
)
def test_a_header_of_another_form_is_refused(header):
    prefix = codec.PREFIX.pack(codec.MAGIC, len(header), zlib.crc32(header))
    with pytest.raises(StoreError, match="its header cannot be read"):
        codec.unpack(prefix + header)


def test_zeros_that_fill_the_memory_are_refused_before_they_do():
    block = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(2**25))
    blob = forged(dtype="<f8", stored="<f8", shape=[2**22], block=block)
    assert len(blob) < 2**12
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=r"its [\d,]+ bytes claim to hold 33,554,432"):
            codec.unpack(blob)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [0, 7])
def test_a_large_array_that_compresses_to_nothing_is_packed_so_that_it_can_be_read_again(value):
    arrays = {"x": np.full((2**21, 2), value, np.int64), "y": np.zeros(3)}
    blob = codec.pack(arrays, {"a": 1})
    assert len(blob) < 2**20
    found, about = codec.unpack(blob)
    assert about == codec.verify(blob) == {"a": 1}
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
