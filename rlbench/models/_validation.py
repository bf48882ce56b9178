"""Checks that several estimators share: of parameters and of class labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_number(
    name: str, value: Any, *, low: float, high: float = math.inf, above: bool = False, integer: bool = False
) -> None:
    """Raises UsageError unless low <= value <= high (low < value if `above`), and whole if `integer`."""
    kinds: Any = (int, np.integer) if integer else (int, float, np.integer, np.floating)
    inside = isinstance(value, kinds) and not isinstance(value, bool) and low <= value <= high
    if inside and not (above and value == low):
        return
    kind = "a whole number" if integer else "a number"
    bounds = f"{'>' if above else '>='} {low}" + ("" if high == math.inf else f" and <= {high}")
    raise UsageError(f"{name} must be {kind} {bounds}, got {value!r}")


def check_choice(name: str, value: Any, known: Any) -> None:
    """Raises UnknownNameError unless `value` is one of the `known` names."""
    if not isinstance(value, str) or value not in known:
        raise unknown_name(name, str(value), known)


def encode_labels(y: Any, *, at_least: int = 1) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Returns the sorted classes of labels `y` (n_samples,), `at_least` this many, and each label's index in them."""
    check_classification_targets(y)
    classes, codes = np.unique(column_or_1d(y), return_inverse=True)
    _need_classes(classes, at_least)
    return classes, codes


def encode_more_labels(
    y: Any, classes: Any, known: NDArray[Any] | None, *, at_least: int = 1
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Returns all classes and the codes of a chunk's labels `y`, for `partial_fit`.

    `classes` are those passed to this call, required on the first; `known` those of earlier calls, None on the first.
    """
    y = column_or_1d(y)
    assert_all_finite(y, input_name="y")
    check_classification_targets(y)
    if known is None and classes is None:
        raise UsageError("classes must be passed on the first call to partial_fit: a chunk may lack some of them")
    named: NDArray[Any] = np.asarray(known) if classes is None else np.unique(classes)
    if known is not None and not np.array_equal(named, known):
        raise UsageError(f"classes must be those of the first call, {known}, got {named}")
    _need_classes(named, at_least)
    unseen = np.setdiff1d(y, named)
    if len(unseen):
        raise UsageError(f"y must contain only the classes {named}, also got {unseen}")
    return named, np.asarray(np.searchsorted(named, y))


def _need_classes(classes: NDArray[Any], at_least: int) -> None:
    if len(classes) < at_least:
        raise UsageError(f"y must contain at least {at_least} classes, got {len(classes)} class: {classes.tolist()}")
