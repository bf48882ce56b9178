"""Fitted estimators as plain arrays and JSON, and back, bit for bit, without pickle or eval.

The document of an estimator is `{"class": name, "parameters": {...}, "state": {...}}`. What JSON cannot express is an
object whose one key begins with `$`: `{"$array": key}` stands for an array stored beside it, `{"$dict": ...}` for a
dict. Only the classes of `rlbench.models`, and scikit-learn's StandardScaler, are ever instantiated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import RlbenchError, StoreError, UsageError
from rlbench.modelling.soundness import FORMS, check_estimator
from rlbench.random_state import check_positions

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]

SCALER = "StandardScaler"
NUMERIC = "biufc"
TEXTS = "UO"  # dtype kinds of arrays of labels
WIDEST = 64  # times what its texts need: a NumPy array of texts gives each the room of the longest
DAMAGES = (LookupError, AttributeError, OverflowError, RecursionError, StopIteration, TypeError, ValueError)


def pack_estimator(estimator: Any) -> tuple[dict[str, Any], Arrays]:
    """Returns a fitted estimator as a JSON-able document, and the arrays it refers to.

    Raises:
        UsageError: the class is not one of ours, or a value cannot be stored, such as a function.
    """
    arrays: Arrays = {}
    return _packed_estimator(estimator, arrays, ""), arrays


def unpack_estimator(document: Any, arrays: Arrays) -> Any:
    """Returns the estimator given to `pack_estimator`, with the same parameters and bit-identical arrays.

    Raises:
        StoreError: the document is damaged, or names a class that is not one of ours.
    """
    try:
        return _unpacked_estimator(document, arrays)
    except RlbenchError as error:
        raise StoreError(f"a stored model is damaged: {error}") from error
    except DAMAGES as error:
        raise StoreError(f"a stored model is damaged: {type(error).__name__}: {error}") from error


# ------------------------------------------------------------------ packing


def _packed_estimator(estimator: Any, arrays: Arrays, path: str) -> dict[str, Any]:
    name = type(estimator).__name__
    if name not in FORMS or type(estimator) is not _class_of(name):
        raise UsageError(f"only the estimators of rlbench.models can be stored, got {name}")
    parameters = estimator.get_params(deep=False)
    state = {key: value for key, value in vars(estimator).items() if key not in parameters}
    packed = {
        part: {key: _packed(value, arrays, f"{path}{key}") for key, value in values.items()}
        for part, values in (("parameters", parameters), ("state", state))
    }
    return {"class": name, **packed}


def _packed(value: Any, arrays: Arrays, path: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    for kind, pack in PACKERS:
        if isinstance(value, kind):
            return pack(value, arrays, path)
    if hasattr(value, "get_params"):
        return {"$estimator": _packed_estimator(value, arrays, f"{path}.")}
    raise UsageError(f"{path} of the model cannot be stored: got a {type(value).__name__}, not an array or number")


def _packed_array(array: NDArray[Any], arrays: Arrays, path: str) -> dict[str, Any]:
    if array.dtype.names:
        fields = [[name, _packed_array(array[name], arrays, f"{path}.{name}")] for name in array.dtype.names]
        return {"$record": fields, "align": bool(array.dtype.isalignedstruct)}
    if array.dtype.kind in NUMERIC:
        arrays[path] = array
        is_fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        return {"$array": path, "order": "F" if is_fortran else "C"}
    if array.dtype.kind in TEXTS and array.ndim == 1:
        texts = [_packed(value, arrays, f"{path}[{i}]") for i, value in enumerate(array.tolist())]
        return {"$labels": texts, "dtype": array.dtype.str}
    raise UsageError(f"{path} of the model cannot be stored: expected an array of numbers or labels, got {array.dtype}")


def _packed_scalar(value: np.generic, _arrays: Arrays, path: str) -> dict[str, Any]:
    if value.dtype.kind not in "biufU":
        raise UsageError(f"{path} of the model cannot be stored: expected a number or text, got a {value.dtype}")
    return {"$scalar": value.item(), "dtype": value.dtype.str}


def _packed_dict(value: dict[Any, Any], arrays: Arrays, path: str) -> dict[str, Any]:
    """Packs a dict as pairs: they keep the order, and keys may be of any type or text."""
    return {"$dict": [[key, _packed(found, arrays, f"{path}.{key}")] for key, found in value.items()]}


def _packed_random(value: np.random.RandomState, arrays: Arrays, path: str) -> dict[str, Any]:
    state: Any = value.get_state(legacy=False)
    arrays[path] = state["state"]["key"]
    rest = {"pos": state["state"]["pos"], "has_gauss": state["has_gauss"], "gauss": state["gauss"]}
    return {"$random": path, **rest}


def _packed_items(name: str) -> Callable[[Any, Arrays, str], dict[str, Any]]:
    def pack(values: Any, arrays: Arrays, path: str) -> dict[str, Any]:
        ordered = values if isinstance(values, list | tuple) else sorted(values)
        return {name: [_packed(value, arrays, f"{path}[{i}]") for i, value in enumerate(ordered)]}

    return pack


PACKERS: tuple[tuple[Any, Callable[[Any, Arrays, str], dict[str, Any]]], ...] = (
    (np.ndarray, _packed_array),
    (np.generic, _packed_scalar),
    (dict, _packed_dict),
    (list, _packed_items("$list")),
    (tuple, _packed_items("$tuple")),
    (set, _packed_items("$set")),
    (frozenset, _packed_items("$frozenset")),
    (np.random.RandomState, _packed_random),
)


# ------------------------------------------------------------------ unpacking


def _class_of(name: str) -> Any:
    if name not in FORMS:
        raise ValueError(f"unknown estimator {name!r}")
    if name == SCALER:
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415  (an extra)

        return StandardScaler
    from rlbench import models  # noqa: PLC0415  (scikit-learn, an extra)

    return getattr(models, name)


def _unpacked_estimator(document: Any, arrays: Arrays) -> Any:
    parts = {
        part: {str(key): _unpacked(value, arrays) for key, value in document[part].items()}
        for part in ("parameters", "state")
    }
    estimator = _class_of(document["class"])(**parts["parameters"])
    vars(estimator).update(parts["state"])
    if parts["state"]:  # otherwise it is not fitted yet
        check_estimator(estimator)
    return estimator


def _unpacked(value: Any, arrays: Arrays) -> Any:
    if not isinstance(value, dict):
        return value
    name = next(iter(value))
    return UNPACKERS[name](value, arrays)


def _unpacked_array(value: Any, arrays: Arrays) -> NDArray[Any]:
    return np.array(arrays[value["$array"]], order=value["order"])


def _unpacked_record(value: Any, arrays: Arrays) -> NDArray[Any]:
    fields = {name: _unpacked_array(field, arrays) for name, field in value["$record"]}
    first = next(iter(fields.values()))
    types = np.dtype([(name, field.dtype) for name, field in fields.items()], align=value["align"])
    made = np.empty(first.shape, types)
    for name, field in fields.items():
        made[name] = field
    return made


def _unpacked_labels(value: Any, arrays: Arrays) -> NDArray[Any]:
    labels = [_unpacked(label, arrays) for label in value["$labels"]]
    made: NDArray[Any] = np.empty(0, np.dtype(value["dtype"]))
    if made.dtype.kind not in TEXTS or len(labels) * made.itemsize > room_for(labels):
        raise ValueError(f"labels of {made.dtype} do not fit these {len(labels)}")
    made = np.empty(len(labels), made.dtype)
    made[:] = labels
    return made


def room_for(texts: list[Any]) -> int:
    """Returns the bytes that an array of these texts may take: one long text would widen all the short ones."""
    return WIDEST * sum(8 + 4 * len(text) for text in texts if isinstance(text, str)) + WIDEST * len(texts)


def _unpacked_random(value: Any, arrays: Arrays) -> np.random.RandomState:
    made = np.random.RandomState(0)
    state: Any = {
        "bit_generator": "MT19937",
        "state": {"key": arrays[value["$random"]], "pos": value["pos"]},
        "has_gauss": value["has_gauss"],
        "gauss": value["gauss"],
    }
    check_positions(state)
    made.set_state(state)
    return made


def _unpacked_items(name: str, kind: Callable[[Any], Any]) -> Callable[[Any, Arrays], Any]:
    return lambda value, arrays: kind([_unpacked(item, arrays) for item in value[name]])


UNPACKERS: dict[str, Callable[[Any, Arrays], Any]] = {
    "$array": _unpacked_array,
    "$record": _unpacked_record,
    "$labels": _unpacked_labels,
    "$scalar": lambda value, _: np.dtype(value["dtype"]).type(value["$scalar"]),
    "$dict": lambda value, arrays: {key: _unpacked(found, arrays) for key, found in value["$dict"]},
    "$list": _unpacked_items("$list", list),
    "$tuple": _unpacked_items("$tuple", tuple),
    "$set": _unpacked_items("$set", set),
    "$frozenset": _unpacked_items("$frozenset", frozenset),
    "$random": _unpacked_random,
    "$estimator": lambda value, arrays: _unpacked_estimator(value["$estimator"], arrays),
}
