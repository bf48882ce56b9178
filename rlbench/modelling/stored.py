"""Stored models: each is a separate, versioned record in the same store as the runs, and is read back bit for bit."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench._version import __version__
from rlbench.errors import StoreError, UsageError
from rlbench.modelling.kinds import KINDS
from rlbench.modelling.model import Model
from rlbench.modelling.packing import pack_estimator, unpack_estimator
from rlbench.store.documents import label
from rlbench.store.reading import ID_BEGINNING

if TYPE_CHECKING:
    from rlbench.store import Store

SNAPSHOT = "model"  # the kind of snapshot in the store
MODEL_FORMAT = 1  # of the stored document; a later format is refused with a message
DOCUMENT = "document"  # the array that holds the estimators' JSON as bytes: arrays are compressed, and it may be large
RATING_NAMES = ("users", "items")
MODEL_NAME = re.compile(r"[^@\s]{1,150}")


class Entry(NamedTuple):
    """A stored model in a listing."""

    id: str
    name: str
    version: int
    kind: str
    created_at: str
    size: int  # bytes
    about: dict[str, Any]

    @property
    def title(self) -> str:
        """Its name and version: "tree-iris@2"."""
        return f"{self.name}@{self.version}"


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
    version = 1 + max((entry.version for entry in models(store) if entry.name == name), default=0)
    document, arrays = pack_estimator(model.estimator)
    packed = {f"estimator/{key}": array for key, array in arrays.items()}
    documents = {"estimator": document, "scaler": None}
    if model.scaler is not None:
        documents["scaler"], arrays = pack_estimator(model.scaler)
        packed |= {f"scaler/{key}": array for key, array in arrays.items()}
    documents |= {part: getattr(model, part).tolist() for part in RATING_NAMES}
    packed[DOCUMENT] = np.frombuffer(json.dumps(documents).encode(), np.uint8)
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
    """
    entry = find_model(store, ref)
    arrays, numbers = store.load_snapshot(SNAPSHOT, entry.id)
    try:
        documents = json.loads(arrays[DOCUMENT].tobytes())
        estimator, scaler = (
            unpack_estimator(documents[part], _part_of(arrays, part)) if documents[part] else None
            for part in ("estimator", "scaler")
        )
        named = {part: np.array(documents[part]) for part in RATING_NAMES}
        return Model(
            entry.kind,
            estimator,
            scaler,
            numbers["about"],
            **named,
            id=entry.id,
            name=entry.name,
            version=entry.version,
            created_at=entry.created_at,
        )
    except StoreError as error:
        raise StoreError(f"model {entry.id}: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"model {entry.id} is damaged: {type(error).__name__}: {error}") from error


def models(store: Store) -> list[Entry]:
    """Returns all stored models, newest first, without their arrays.

    Raises:
        StoreError: a model is damaged, or was stored by a later version of rlbench.
    """
    found = []
    for info in store.snapshots(SNAPSHOT):
        numbers = store.describe_snapshot(SNAPSHOT, info.name)
        found.append(_entry(info.name, info.created_at, info.size, numbers))
    return sorted(found, key=lambda entry: (entry.created_at, entry.id), reverse=True)


def find_model(store: Store, ref: str) -> Entry:
    """Returns the entry of a model, given a ref as for `load_model`; StoreError if not exactly one matches."""
    word, entries = str(ref).strip(), models(store)
    if word == "latest":
        found = entries[:1]
    else:
        found = [entry for entry in entries if word in (entry.title, entry.id)]
        found = found or [entry for entry in entries if entry.name == word][:1]
        if not found and ID_BEGINNING.fullmatch(word.lower()):
            found = [entry for entry in entries if entry.id.startswith(word.lower())]
    if not found:
        known = ", ".join(entry.title for entry in entries[:5]) or "none: `rlbench model train tree` makes one"
        raise StoreError(f"there is no model {ref!r} in {store.url}; known: {known}")
    if len({entry.id for entry in found}) > 1:
        raise StoreError(f"model {ref!r} is ambiguous, it could be {' or '.join(e.id for e in found)}: give its id")
    return found[0]


def delete_model(store: Store, ref: str) -> Entry:
    """Deletes a model and returns its entry."""
    entry = find_model(store, ref)
    store.delete_snapshot(SNAPSHOT, entry.id)
    return entry


def _entry(model_id: str, created_at: str, size: int, numbers: dict[str, Any]) -> Entry:
    try:
        if numbers["format"] > MODEL_FORMAT:
            raise StoreError(
                f"model {model_id} was stored by rlbench {numbers['rlbench']}: read it with that version or a later one"
            )
        if numbers["kind"] not in KINDS:
            raise StoreError(f"model {model_id} has the kind {numbers['kind']!r}, unknown to this version of rlbench")
        name, version, kind, about = (numbers[key] for key in ("name", "version", "kind", "about"))
    except (KeyError, TypeError) as error:
        raise StoreError(f"model {model_id} is damaged: its record lacks {error}") from error
    return Entry(model_id, name, version, kind, created_at, size, about)


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
