"""Tensors of the Open Inference Protocol (V2): JSON or binary in, JSON or binary out, checked before they are used.

The binary form is the protocol's extension `binary_tensor_data`: a request whose header Inference-Header-Content-Length
says how many bytes of JSON come first, then the data of those inputs whose parameters have a `binary_data_size`.
"""

from __future__ import annotations

import json
import math
import struct
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from rlbench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]

BYTES = "BYTES"  # the protocol's texts
DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
    BYTES: np.dtype(object),
}
JSON_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}  # kinds of NumPy's: what JSON data may be for each datatype
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MOST_AXES = 2  # no input has more
MOST_ROWS = 2**31
HEADER = "inference-header-content-length"
LENGTH = struct.Struct("<I")  # before each text in binary data


class Asked(NamedTuple):
    """A request for inference."""

    inputs: dict[str, Array]
    outputs: dict[str, bool]  # those asked for by name, each in binary or not
    in_binary: bool  # whether the others are to come in binary
    parameters: dict[str, Any]
    id: str


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


ENCODER = json.JSONEncoder(separators=(",", ":"))
DECODER = json.JSONDecoder(parse_constant=_refuse)


def read_json(body: bytes) -> dict[str, Any]:
    """Returns a JSON object; UsageError if it is anything else."""
    try:
        found = DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the body must be a JSON object: {str(error) or 'it is nested too deep'}"[:200]) from None
    if type(found) is not dict:
        raise UsageError(f"the body must be a JSON object, got {_shown(found)}")
    return found


def read_request(body: bytes, json_length: str | None = None) -> Asked:
    """Reads the body of a request for inference.

    Args:
        body: of the request.
        json_length: its header Inference-Header-Content-Length; None without one.

    Raises:
        UsageError: it is malformed; the message says what was expected.
    """
    length = _length(json_length, len(body))
    document, rest = read_json(body[:length]), memoryview(body)[length:]
    listed = _list_of_objects(document, "inputs")
    inputs: dict[str, Array] = {}
    for one in listed:
        name = _text(one, "name")
        if name in inputs:
            raise UsageError(f"input {name!r} comes twice")
        inputs[name], rest = _read_tensor(name, one, rest)
    if rest:
        raise UsageError(f"{len(rest)} bytes follow the inputs: each has a binary_data_size")
    parameters = _object(document, "parameters")
    in_binary = _flag(parameters, "binary_data_output")
    outputs = {
        _text(one, "name"): _flag(_object(one, "parameters"), "binary_data", default=in_binary)
        for one in _list_of_objects(document, "outputs")
    }
    return Asked(inputs, outputs, in_binary, parameters, _text(document, "id") if "id" in document else "")


def _length(header: str | None, size: int) -> int:
    if header is None:
        return size
    if not (header.isascii() and header.isdigit() and len(header) < 19 and int(header) <= size):  # noqa: PLR2004
        raise UsageError(f"{HEADER} must be a number of bytes up to the body's {size}, got {_shown(header)}")
    return int(header)


def _read_tensor(name: str, one: dict[str, Any], rest: memoryview) -> tuple[Array, memoryview]:
    """Returns a tensor, and what is left of the binary data."""
    datatype, shape = _text(one, "datatype"), one.get("shape")
    if datatype not in DTYPES:
        raise UsageError(f"input {name!r}: the datatype must be one of {', '.join(DTYPES)}, got {_shown(datatype)}")
    if type(shape) is not list or not all(type(n) is int and 0 <= n <= MOST_ROWS for n in shape):
        raise UsageError(f"input {name!r}: the shape must be a list of whole numbers, got {_shown(shape)}")
    if len(shape) > MOST_AXES:
        raise UsageError(f"input {name!r}: a shape has at most {MOST_AXES} axes, got {len(shape)}")
    size = _object(one, "parameters").get("binary_data_size")
    if size is None:
        return _of_json(name, datatype, shape, one.get("data")), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise UsageError(f"input {name!r}: {len(rest)} bytes are left for its binary data, not {_shown(size)}")
    return _of_bytes(name, datatype, shape, rest[:size]), rest[size:]


def _of_json(name: str, datatype: str, shape: list[int], data: Any) -> Array:
    if type(data) is not list:
        raise UsageError(f"input {name!r}: its data must be a list, got {_shown(data)}")
    try:
        values = np.array(data, dtype=object if datatype == BYTES else None)
    except ValueError:  # lists of different lengths
        raise UsageError(f"input {name!r}: its data must be numbers in lists of the same length") from None
    if values.size != math.prod(shape):
        raise UsageError(f"input {name!r}: the shape {shape} takes {math.prod(shape)} values, got {values.size}")
    if datatype == BYTES:
        are_right = all(type(value) is str for value in values.flat)
    else:
        are_right = values.dtype.kind in JSON_KINDS[DTYPES[datatype].kind] or not values.size
    if not are_right:
        raise UsageError(f"input {name!r}: its data must be {datatype}, got {_shown(data)}")
    return _in_range(name, datatype, values).reshape(shape)


def _in_range(name: str, datatype: str, values: Array) -> Array:
    """Returns numbers in a datatype that can hold them."""
    dtype = DTYPES[datatype]
    if dtype.kind in "iu" and values.dtype != dtype and values.size:
        limits = np.iinfo(dtype)
        if int(values.min()) < limits.min or int(values.max()) > limits.max:
            raise UsageError(f"input {name!r}: {datatype} goes from {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):  # what a float cannot hold is infinite, and looked at later
        return values.astype(dtype)


def _of_bytes(name: str, datatype: str, shape: list[int], data: memoryview) -> Array:
    if datatype == BYTES:
        texts = np.array(_texts(name, data), dtype=object)
        if len(texts) != math.prod(shape):
            raise UsageError(f"input {name!r}: the shape {shape} takes {math.prod(shape)} texts, got {len(texts)}")
        return texts.reshape(shape)
    expected = math.prod(shape) * DTYPES[datatype].itemsize
    if len(data) != expected:
        raise UsageError(f"input {name!r}: {datatype} of shape {shape} takes {expected} bytes, got {len(data)}")
    if datatype == "BOOL":  # a byte each, which may be any
        return np.frombuffer(data, np.uint8).astype(np.bool_).reshape(shape)
    return np.frombuffer(data, DTYPES[datatype]).reshape(shape)


def _texts(name: str, data: memoryview) -> list[str]:
    found, at = [], 0
    while at < len(data):
        start = at + LENGTH.size
        if start > len(data) or (at := start + LENGTH.unpack_from(data, start - LENGTH.size)[0]) > len(data):
            raise UsageError(f"input {name!r}: its binary data end within a text")
        try:
            found.append(str(data[start:at], "utf-8"))
        except UnicodeDecodeError:
            raise UsageError(f"input {name!r}: its texts must be UTF-8") from None
    return found


# ---------------------------------------------------------------------- answers


def datatype_of(array: Array) -> str:
    """Returns the datatype that an array is sent as."""
    return NAMES.get(array.dtype.newbyteorder("<"), BYTES)


def write_response(
    known: Mapping[str, Any], outputs: Mapping[str, Array], names: Mapping[str, bool], about: Mapping[str, Any]
) -> tuple[bytes, int | None]:
    """Returns the body of an answer, and how many bytes of it are JSON; None if all are.

    Args:
        known: what it says beside its outputs.
        outputs: the tensors by name.
        names: of the outputs that are wanted, each in binary or not.
        about: parameters of outputs.
    """
    listed, blobs = [], []
    for name, in_binary in names.items():
        array = outputs[name]
        one: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        parameters = dict(about.get(name, {}))
        if in_binary:
            blobs.append(_blob(array))
            parameters["binary_data_size"] = len(blobs[-1])
        else:
            one["data"] = [str(value) for value in array.flat] if one["datatype"] == BYTES else _json_data(array)
        listed.append({**one, "parameters": parameters} if parameters else one)
    head = ENCODER.encode({**known, "outputs": listed}).encode()
    return (b"".join([head, *blobs]), len(head)) if blobs else (head, None)


def _json_data(array: Array) -> list[Any]:
    """Returns numbers in row-major order; what is not finite is no JSON and becomes null."""
    data: list[Any] = (array.ravel() if array.ndim > 1 else array).tolist()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return [value if math.isfinite(value) else None for value in data]
    return data


def _blob(array: Array) -> bytes:
    if datatype_of(array) != BYTES:
        return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
    texts: Iterable[bytes] = (str(value).encode() for value in array.flat)
    return b"".join(LENGTH.pack(len(text)) + text for text in texts)


# ---------------------------------------------------------------------- what JSON holds


def _shown(value: Any) -> str:
    return " ".join(repr(value).split())[:100]


def _text(document: Mapping[str, Any], name: str) -> str:
    found = document.get(name)
    if type(found) is not str:
        raise UsageError(f"{name} must be a text, got {_shown(found)}")
    return found


def _flag(document: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    found = document.get(name, default)
    if type(found) is not bool:
        raise UsageError(f"{name} must be true or false, got {_shown(found)}")
    return found


def _object(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = document.get(name, {})
    if type(found) is not dict:
        raise UsageError(f"{name} must be an object, got {_shown(found)}")
    return found


def _list_of_objects(document: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = document.get(name, [])
    if type(found) is not list or not all(type(one) is dict for one in found):
        raise UsageError(f"{name} must be a list of objects, got {_shown(found)}")
    return found
