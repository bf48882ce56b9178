"""Tensors of the Open Inference Protocol: what comes in is checked, what goes out is read back the same."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rlbench.errors import UsageError
from rlbench.web.tensors import BYTES, DTYPES, datatype_of, read_request, write_response

NUMBERS = [name for name in DTYPES if name != BYTES]


def request(**changes):
    tensor = {"name": "x", "datatype": "INT64", "shape": [2], "data": [1, 2]}
    return json.dumps({"inputs": [{**tensor, **changes}]}).encode()


@st.composite
def tensors(draw):
    dtype = DTYPES[draw(st.sampled_from(NUMBERS))]
    shape = draw(arrays.array_shapes(max_dims=2, max_side=4))
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    return draw(arrays.arrays(dtype, shape, elements=elements and arrays.from_dtype(dtype, **elements)))


@given(tensors(), st.booleans())
@settings(max_examples=60)
def test_what_is_written_is_read_back_the_same_in_json_and_in_binary(array, in_binary):
    body, head = write_response({}, {"x": array}, {"x": in_binary}, {})
    document = json.loads(body[:head])
    again = json.dumps({"inputs": document["outputs"]}).encode()
    found = read_request(again + body[len(body[:head]) :], None if head is None else str(len(again))).inputs["x"]
    assert datatype_of(found) == datatype_of(array)
    np.testing.assert_array_equal(found, array)


@given(st.lists(st.text(max_size=5), max_size=4), st.booleans())
@settings(max_examples=40)
def test_texts_too(texts, in_binary):
    texts = [text.encode(errors="ignore").decode() for text in texts]
    body, head = write_response({}, {"x": np.array(texts, dtype=object)}, {"x": in_binary}, {})
    again = json.dumps({"inputs": json.loads(body[:head])["outputs"]}).encode()
    found = read_request(again + body[len(body[:head]) :], None if head is None else str(len(again)))
    assert found.inputs["x"].tolist() == texts


def test_what_is_not_finite_is_null_in_json():
    body, _ = write_response({}, {"x": np.array([1.0, np.nan, np.inf])}, {"x": False}, {})
    assert json.loads(body)["outputs"][0]["data"] == [1.0, None, None]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "must be a JSON object"),
        (b"[]", "must be a JSON object, got []"),
        (b"{", "must be a JSON object"),
        (b"\xff", "must be a JSON object"),
        (b'{"inputs": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "must be a JSON object"),
        (b'{"inputs": 1}', "inputs must be a list of objects"),
        (b'{"inputs": [1]}', "inputs must be a list of objects"),
        (b'{"inputs": [{}]}', "name must be a text"),
        (b'{"inputs": [], "parameters": []}', "parameters must be an object"),
        (b'{"inputs": [], "parameters": {"binary_data_output": 1}}', "binary_data_output must be true or false"),
        (b'{"inputs": [], "id": 7}', "id must be a text"),
        (request(datatype="INT65"), "the datatype must be one of BOOL"),
        (request(datatype=None), "datatype must be a text"),
        (request(shape=2), "the shape must be a list of whole numbers"),
        (request(shape=[-2]), "the shape must be a list of whole numbers"),
        (request(shape=[True, 2]), "the shape must be a list of whole numbers"),
        (request(shape=[2**70, 0]), "the shape must be a list of whole numbers"),
        (request(shape=[1, 1, 2]), "a shape has at most 2 axes"),
        (request(shape=[3]), "takes 3 values, got 2"),
        (request(data=None), "its data must be a list"),
        (request(data="12"), "its data must be a list"),
        (request(data=[1, [2]]), "in lists of the same length"),
        (request(data=[1, "2"]), "its data must be INT64"),
        (request(data=[1, None]), "its data must be INT64"),
        (request(data=[1, 2.0]), "its data must be INT64"),
        (request(data=[True, False]), "its data must be INT64"),
        (request(data=[1, 2**80]), "its data must be INT64"),
        (request(data=[1, 300], datatype="UINT8"), "UINT8 goes from 0 to 255"),
        (request(data=[1, -1], datatype="UINT64"), "UINT64 goes from 0 to"),
        (request(data=[1, 2], datatype="BYTES"), "its data must be BYTES"),
        (request(data=["a", "b"], datatype="FP32"), "its data must be FP32"),
        (request(parameters={"binary_data_size": 8}), "0 bytes are left for its binary data, not 8"),
        (request(parameters={"binary_data_size": -1}), "0 bytes are left"),
        (request(parameters={"binary_data_size": "8"}), "0 bytes are left"),
        (json.dumps({"inputs": [json.loads(request())["inputs"][0]] * 2}).encode(), "input 'x' comes twice"),
    ],
)
def test_a_malformed_request_is_refused_in_one_line(body, said):
    with pytest.raises(UsageError, match=said.replace("[", r"\[")) as caught:
        read_request(body)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("length", ["", "-1", "1.5", "9" * 30, "٣", "1000"])
def test_a_header_that_says_no_length_is_refused(length):
    with pytest.raises(UsageError, match="must be a number of bytes up to the body's"):
        read_request(request(), length)


def in_binary(data, **changes):
    head = request(parameters={"binary_data_size": len(data)}, **changes)
    return head + data, str(len(head))


@pytest.mark.parametrize(
    ("data", "datatype", "said"),
    [
        (b"12345678", "INT64", r"INT64 of shape \[2\] takes 16 bytes, got 8"),
        (b"\x05\x00\x00\x00ab", "BYTES", "end within a text"),
        (b"\x05\x00", "BYTES", "end within a text"),
        (struct.pack("<I", 1) + b"\xff", "BYTES", "must be UTF-8"),
        (struct.pack("<I", 1) + b"a", "BYTES", "takes 2 texts, got 1"),
    ],
)
def test_binary_data_that_do_not_fit_are_refused(data, datatype, said):
    with pytest.raises(UsageError, match=said):
        read_request(*in_binary(data, datatype=datatype))


def test_what_follows_the_binary_data_is_refused():
    body, length = in_binary(b"1234567812345678")
    with pytest.raises(UsageError, match="3 bytes follow the inputs"):
        read_request(body + b"123", length)


@given(st.binary(max_size=40), st.text("0123456789", max_size=3))
@settings(max_examples=100)
def test_no_bytes_break_the_reader(body, length):
    for header in (None, length):
        try:
            read_request(body, header)
        except UsageError:
            continue
