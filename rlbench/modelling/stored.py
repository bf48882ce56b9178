"""Stored models: each is a separate, versioned record in the same store as the runs, and is read back bit for bit."""

from __future__ import annotations

import dataclasses
import json
import operator
import re
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench._version import __version__
from rlbench.errors import RlbenchError, StoreError, UsageError
from rlbench.files import require
from rlbench.modelling.kinds import KINDS, RATINGS, TEXTS
from rlbench.modelling.model import Model
from rlbench.modelling.packing import pack_estimator, room_for, unpack_estimator
from rlbench.names import ID_BEGINNING
from rlbench.store.documents import label

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from rlbench.store import SnapshotInfo, Store
    from rlbench.store.pseudonyms import Pseudonyms

SNAPSHOT = "model"  # the kind of snapshot in the store
MODEL_FORMAT = 1  # of the stored document; a later format is refused with a message
DOCUMENT = "document"  # the array that holds the estimators' JSON as bytes: arrays are compressed, and it may be large
REFERENCE = "reference"  # the array of reference rows; models stored before it have none
RATING_NAMES = ("users", "items")
MODEL_NAME = re.compile(r"[^@\s]{1,150}")
ABOUT: dict[Callable[[Any], Any], type] = {  # what every listing shows of a model, and its type
    operator.itemgetter("seed"): int,
    lambda about: about["data"]["source"]: str,
    lambda about: about["data"]["rows"]: int,
    lambda about: about["data"]["test_rows"]: int,
    lambda about: (about["metrics"]["test"] or about["metrics"]["train"])["rows"]: int,
}


class Entry(NamedTuple):
    """A stored model in a listing."""

    id: str
    name: str
    version: int
    kind: str
    created_at: str
    size: int  # bytes
    about: dict[str, Any]
    problem: str = ""  # why it cannot be read; then it has neither a name nor a kind

    @property
    def title(self) -> str:
        """Its name and version: "tree-iris@2"."""
        return "damaged" if self.problem else f"{self.name}@{self.version}"

    def sound(self) -> Entry:
        """Returns itself; StoreError if it is damaged."""
        if self.problem:
            raise StoreError(f"{self.problem}: `rlbench model delete {self.id}` removes it")
        return self


def save_model(store: Store, model: Model, name: str | None = None) -> Model:
    """Stores a model under a new id, as the next version of its name; returns it with both.

    Args:
        store: the store.
        model: the model, as returned by `train_model`.
        name: by default the kind and the data, such as "tree-iris".

    Raises:
        UsageError: the name contains blanks or @, or could be an id.
        StoreError: the store cannot be written.
    """
    name = _checked_name(name or _default_name(model))
    document, arrays = pack_estimator(model.estimator)
    packed = {f"estimator/{key}": array for key, array in arrays.items()}
    documents = {"estimator": document, "scaler": None}
    if model.scaler is not None:
        documents["scaler"], arrays = pack_estimator(model.scaler)
        packed |= {f"scaler/{key}": array for key, array in arrays.items()}
    documents |= {part: getattr(model, part).tolist() for part in RATING_NAMES}
    if len(model.reference):
        packed[REFERENCE] = model.reference
    packed[DOCUMENT] = np.frombuffer(json.dumps(documents).encode(), np.uint8)
    version = _next_version(store, name)
    numbers = {
        "format": MODEL_FORMAT,
        "rlbench": __version__,
        "name": name,
        "version": version,
        "kind": model.kind,
        "about": model.about,
    }
    info = store.save_snapshot(SNAPSHOT, secrets.token_hex(6), packed, numbers)
    return dataclasses.replace(model, id=info.name, name=name, version=version, created_at=info.created_at)


def load_model(store: Store, ref: str) -> Model:
    """Reads a stored model, bit for bit as it was saved.

    Args:
        store: the store.
        ref: an id or a unique prefix of one, a name ("tree-iris": its newest version; "tree-iris@1"), or "latest".

    Raises:
        StoreError: no model matches, or it is damaged.
        UsageError: scikit-learn is not installed.
    """
    entry = find_model(store, ref).sound()
    require("sklearn", "models", "a stored model")
    arrays, numbers = store.load_snapshot(SNAPSHOT, entry.id)
    try:
        documents = json.loads(arrays[DOCUMENT].tobytes())
        estimator, scaler = (
            unpack_estimator(documents[part], _part_of(arrays, part)) if documents[part] else None
            for part in ("estimator", "scaler")
        )
        named = {part: _names(documents[part]) for part in RATING_NAMES}
        _check_fit(entry.kind, estimator, numbers["about"], named)
        return Model(
            entry.kind,
            estimator,
            scaler,
            numbers["about"],
            **named,
            reference=_reference(arrays, numbers["about"]),
            id=entry.id,
            name=entry.name,
            version=entry.version,
            created_at=entry.created_at,
        )
    except StoreError as error:
        raise StoreError(f"model {entry.id}: {error}") from error
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
        raise StoreError(f"model {entry.id} is damaged: {said}") from error


def _names(found: Any) -> NDArray[Any]:
    """Returns the names of users or items as an array."""
    names = [name for name in found if isinstance(name, str | int)]
    widest = max((4 * len(name) for name in names if isinstance(name, str)), default=8)
    if len(names) < len(found) or len(names) * widest > room_for(names):
        raise UsageError("the names of users and items must be texts or whole numbers")
    return np.array(names)


def _reference(arrays: dict[str, Any], about: Any) -> NDArray[np.float64]:
    """Returns the reference rows; UsageError if they are not those of its columns."""
    rows: NDArray[np.float64] = arrays.get(REFERENCE, np.empty((0, 0)))
    width = len(about["data"]["features"])
    if len(rows) and (rows.dtype != np.float64 or rows.shape[1:] != (width,) or not np.isfinite(rows).all()):
        raise UsageError(f"its reference must be finite numbers in {width} columns, got {rows.dtype} {rows.shape}")
    return rows


def _check_fit(kind: str, estimator: Any, about: Any, named: dict[str, NDArray[Any]]) -> None:
    """Refuses a model whose estimator is not of its kind, or takes other columns than it says."""
    if type(estimator).__name__ != KINDS[kind].estimator:
        raise UsageError(f"{kind} must hold a {KINDS[kind].estimator}, got {type(estimator).__name__}")
    features = about["data"]["features"]
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise UsageError(f"its features must be names, got {features!r:.80}")
    hashed = about["data"].get("hashed", {})
    if not isinstance(hashed, dict) or not all(isinstance(key, str) for key in hashed.values()):
        raise UsageError(f"its hashed columns must name keys, got {hashed!r:.80}")
    task = KINDS[kind].task
    if task == RATINGS:
        if len(features) != 2:  # noqa: PLR2004  (a user and an item)
            raise UsageError(f"it must name the columns of users and items, got {features!r:.80}")
        wanted = {"users": estimator.n_users_, "items": estimator.n_features_in_}
        if {name: len(names) for name, names in named.items()} != wanted:
            raise UsageError(f"it must name {wanted['users']} users and {wanted['items']} items")
    elif task != TEXTS and len(features) != estimator.n_features_in_:
        takes = f"its {type(estimator).__name__} takes {estimator.n_features_in_}"
        raise UsageError(f"it names {len(features)} features, but {takes}")


def models(store: Store) -> list[Entry]:
    """Returns all stored models, newest first, without their arrays; damaged ones say what their problem is."""
    found = [_listed(store, info) for info in store.snapshots(SNAPSHOT)]
    return sorted(found, key=lambda entry: (entry.created_at, entry.id), reverse=True)


def find_model(store: Store, ref: str) -> Entry:
    """Returns the entry of a model, given a ref as for `load_model`; StoreError if not exactly one matches."""
    word, entries = str(ref).strip(), models(store)
    if word == "latest":
        found = [entry for entry in entries if not entry.problem][:1] or entries[:1]
    else:
        found = [entry for entry in entries if word in (entry.title, entry.id)]
        found = found or [entry for entry in entries if word and entry.name == word][:1]
        if not found and ID_BEGINNING.fullmatch(word.lower()):
            found = [entry for entry in entries if entry.id.startswith(word.lower())]
    if not found:
        known = ", ".join(entry.title for entry in entries[:5]) or "none: `rlbench model train tree` makes one"
        raise StoreError(f"there is no model {ref!r} in {store.url}; known: {known}")
    if len({entry.id for entry in found}) > 1:
        raise StoreError(f"model {ref!r} is ambiguous, it could be {' or '.join(e.id for e in found)}: give its id")
    return found[0]


def delete_model(store: Store, ref: str) -> Entry:
    """Deletes a model and returns its entry; a damaged one can be deleted by its id. Its version is never reused."""
    entry = find_model(store, ref)
    store.delete_snapshot(SNAPSHOT, entry.id)
    return entry


def pseudonymise_models(store: Store, pseudonyms: Pseudonyms) -> int:
    """Replaces the users that recommenders name by pseudonyms; returns how many models it changed.

    Each model is changed at once, and its record of the data says so; a call that was killed is finished by the next.

    Raises:
        StoreError: a recommender is damaged, or another process changes one at the same time.
    """
    told, count = {info.name: info for info in store.snapshots(SNAPSHOT)}, 0
    for entry in models(store):
        if entry.problem or KINDS[entry.kind].task != RATINGS:
            continue
        model = load_model(store, entry.id)  # what a stranger wrote is checked there
        users = model.features[0]
        if users in model.hashes:
            continue
        arrays, numbers = store.load_snapshot(SNAPSHOT, entry.id)
        documents = json.loads(arrays[DOCUMENT].tobytes())
        documents["users"] = [pseudonyms.of(str(name)) for name in documents["users"]]
        arrays[DOCUMENT] = np.frombuffer(json.dumps(documents).encode(), np.uint8)
        numbers["about"]["data"]["hashed"] = {**model.hashes, users: pseudonyms.key.id}
        if not store.amend_snapshot(told[entry.id], numbers, arrays, what="pseudonymise"):
            raise StoreError(f"other processes keep changing model {entry.id}: try again")
        count += 1
    return count


def _listed(store: Store, info: SnapshotInfo) -> Entry:
    try:
        return _entry(info, store.describe_snapshot(SNAPSHOT, info.name))
    except RlbenchError as error:
        return Entry(str(info.name), "", 0, "", str(info.created_at), info.size, {}, str(error))


def _entry(info: SnapshotInfo, numbers: dict[str, Any]) -> Entry:
    try:
        if numbers["format"] > MODEL_FORMAT:
            raise StoreError(
                f"model {info.name} was stored by rlbench {numbers['rlbench']}: "
                "read it with that version or a later one"
            )
        if numbers["kind"] not in KINDS:
            raise StoreError(f"model {info.name} has the kind {numbers['kind']!r}, unknown to this version of rlbench")
        name, version, kind, about = (numbers[key] for key in ("name", "version", "kind", "about"))
        typed = [(name, str), (version, int), *((find(about), kind) for find, kind in ABOUT.items())]
    except (KeyError, TypeError) as error:
        raise StoreError(f"model {info.name} is damaged: its record lacks {error}") from error
    if not all(type(value) is kind for value, kind in typed):
        raise StoreError(f"model {info.name} is damaged: its record has a value of the wrong type")
    return Entry(info.name, name, version, kind, info.created_at, info.size, about)


def _next_version(store: Store, name: str) -> int:
    """Reserves the next version of a name: no other save gets it, not even once this model is deleted."""
    given = [entry.version for entry in models(store) if entry.name == name]  # saved before versions were reserved
    for title in store.reserved(SNAPSHOT):
        of, _, version = title.rpartition("@")
        given += [int(version)] if of == name and version.isdecimal() else []
    next_one = 1 + max(given, default=0)
    while not store.reserve(SNAPSHOT, f"{name}@{next_one}"):
        next_one += 1
    return next_one


def _part_of(arrays: dict[str, Any], part: str) -> dict[str, Any]:
    return {key.removeprefix(f"{part}/"): array for key, array in arrays.items() if key.startswith(f"{part}/")}


def _default_name(model: Model) -> str:
    source = str(model.about["data"]["source"]).replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[@\s]+", "-", f"{model.kind}-{source.rpartition('.')[0] or source}")[:150]


def _checked_name(name: str) -> str:
    label("the name of a model", name)
    if not MODEL_NAME.fullmatch(name) or ID_BEGINNING.fullmatch(name) or name == "latest":
        raise UsageError(
            f"a model's name must have 1 to 150 characters, no blanks and no @, and not look like an id, got {name!r}"
        )
    return name
