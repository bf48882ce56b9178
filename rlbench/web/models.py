"""The pages of stored models: their metrics, what they confuse, and their versions side by side.

All of it stands in the record of a model: its estimator is not unpacked, and no file is read that a store may name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.routing import Route

from rlbench.errors import StoreError
from rlbench.modelling import models
from rlbench.web.pages import page, whole_number, whole_store

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from rlbench.modelling import Entry

LISTED = 100  # models on a page
CLASSES = 60  # most, in a confusion matrix
VERSIONS = 12  # most, side by side
HEAT = 9  # shades of a count
DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)  # what a record may lead to
MEASURES = ("accuracy", "macro_f1", "r2", "rmse", "mae", "inertia", "mean_squared_distance", "explained_variance")


class Confusion(NamedTuple):
    """What a classifier confuses: a row for each true class."""

    part: str  # "test" or "train"
    classes: list[str]
    rows: list[tuple[str, list[tuple[int, int]], dict[str, float]]]  # class, (count, shade) by prediction, its report


def table(request: Request) -> Response:
    """Lists the models, newest first."""
    entries, begin = models(whole_store(request)), whole_number(request, "from", 0)
    shown = [(entry, headline(entry)) for entry in entries[begin : begin + LISTED]]
    return page(request, "models.html", shown=shown, begin=begin, count=len(entries), most=LISTED)


def show(request: Request) -> Response:
    """Shows a model, by its name (the newest version), its name and version, or its id."""
    entries, ref = models(whole_store(request)), request.path_params["model"]
    fitting = [one for one in entries if ref in (one.title, one.id)] or [one for one in entries if one.name == ref]
    if not fitting:
        raise HTTPException(404, f"there is no model {ref!r:.80} in this store")
    entry = fitting[0].sound()
    versions = [one for one in entries if one.name == entry.name and not one.problem][:VERSIONS]
    try:
        known: dict[str, Any] = {
            "metrics": {part: measures(entry, part) for part in ("train", "test")},
            "confusion": confusion(entry),
            "sizes": _sizes(entry),
            "settings": _settings(entry),
            "versions": [(one, _settings(one), measures(one, _part(one))) for one in versions],
        }
    except DAMAGED as error:
        raise StoreError(f"model {entry.id} is damaged: {type(error).__name__} in its record") from error
    return page(request, "model.html", entry=entry, **known)


def _part(entry: Entry) -> str:
    """Returns which rows measure a model: those held out, if there are any."""
    return "test" if entry.about["metrics"]["test"] else "train"


def measures(entry: Entry, part: str) -> dict[str, float]:
    """Returns the figures of a model on its training or test rows; none if there are no such rows."""
    found = entry.about["metrics"][part] or {}
    return {name: float(found[name]) for name in MEASURES if found.get(name) is not None}


def headline(entry: Entry) -> str:
    """Returns the figure by which a model is known, in words; "" for a damaged one."""
    try:
        found = measures(entry, _part(entry))
    except DAMAGED:
        return ""
    return next((f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.items()), "")


def confusion(entry: Entry) -> Confusion | None:
    """Returns what a classifier confuses; None for any other model, and for one of very many classes."""
    part = _part(entry)
    found = entry.about["metrics"][part]
    counts = found.get("confusion")
    if counts is None or len(counts) > CLASSES:
        return None
    classes = [str(name) for name in found["classes"]]
    if any(len(row) != len(classes) for row in [counts, *counts]):
        raise ValueError("a confusion matrix of another size")
    rows = []
    for name, row in zip(classes, counts, strict=True):
        total = sum(row) or 1
        shades = [(int(count), -(-HEAT * int(count) // total)) for count in row]
        report = found["report"][name]
        rows.append((name, shades, {key: float(report[key]) for key in ("precision", "recall", "f1")}))
    return Confusion(part, classes, rows)


def _sizes(entry: Entry) -> list[tuple[str, float, str]]:
    """Returns the sizes of groups, or the shares of components, as (name, share, words)."""
    found = entry.about["metrics"]["train"]
    sizes, ratios = found.get("sizes"), found.get("ratios")
    if sizes:
        largest = max(map(int, sizes)) or 1
        return [(f"group {k}", int(size) / largest, f"{int(size):,} rows") for k, size in enumerate(sizes[:CLASSES])]
    return [(f"component {k + 1}", float(ratio), f"{float(ratio):.1%}") for k, ratio in enumerate(ratios or [])][
        :CLASSES
    ]


def _settings(entry: Entry) -> dict[str, Any]:
    data = entry.about["data"]
    known = ("rows", "test_rows", "scaled", "passes")
    return {**entry.about["settings"], "seed": entry.about["seed"], **{name: data.get(name) for name in known}}


routes = [Route("/models", table), Route("/models/{model}", show)]
