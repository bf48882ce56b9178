"""The manifest of an exported file: the run it came from and the columns it holds."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rlbench.errors import UsageError
from rlbench.store.codec import DTYPE, to_json
from rlbench.store.documents import is_evaluation
from rlbench.store.frames import Column
from rlbench.store.records import STATUSES
from rlbench.texts import has_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from rlbench.training import Run

VERSION = 2  # of the file layout; raised when an older rlbench could not read it
WHATS = ("episodes", "results", "table")
MOST_CHARACTERS = 2**24  # of a manifest
MOST_NUMBERS = 2**26  # in one row of a column
RUN_FIELDS: dict[str, Callable[[Any], bool]] = {  # the fields of a run, each with its check
    "id": lambda value: type(value) is str,
    "env_id": lambda value: type(value) is str,
    "agent_name": lambda value: type(value) is str,
    "seed": lambda value: type(value) is int and 0 <= value < 2**256,
    "status": lambda value: value in STATUSES,
    "created_at": lambda value: type(value) is str,
    "seconds": lambda value: type(value) in (int, float) and 0 <= value < math.inf,
    "config": lambda value: type(value) is dict,
    "evaluation": lambda value: value is None or is_evaluation(value),
    "tags": lambda value: type(value) is list and all(type(text) is str for text in value),
    "parents": lambda value: type(value) is list and all(type(text) is str for text in value),
    "note": lambda value: type(value) is str,
}
OPTIONAL_FIELDS = {"note"}  # left out if there is none, and by files of before


@dataclass(frozen=True)
class Manifest:
    """The head of an exported file, one JSON object.

    Attributes:
        what: "episodes", "results" or "table".
        run: the run's fields, see RUN_FIELDS.
        episodes: the number of episodes in the file.
        columns: the step columns, named as in a store: "observations", "observations/part", ...
        figures: the figures of an episode: "return", "length", ...
        digests: of the values of every column, see `Digests`; empty in files written before they were introduced.
        chunks: where the chunks of the stored run begin, if the format has no other place for it: see `chunks_json`.
        version: of the file layout.
    """

    what: str
    run: dict[str, Any]
    episodes: int = 0
    columns: dict[str, Column] = field(default_factory=dict)
    figures: dict[str, Column] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    chunks: list[Any] = field(default_factory=list)
    version: int = VERSION

    def to_json(self) -> str:
        """Returns the manifest as one line of JSON; UsageError if it is too long to be read again."""
        found = asdict(self)
        text = to_json({"rlbench": found.pop("version"), **found})
        if len(text) > MOST_CHARACTERS:
            raise UsageError(f"the description of this run is longer than {MOST_CHARACTERS:,} characters: choose hdf5")
        return text

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Parses a manifest, checking everything.

        Raises:
            UsageError: it is not a manifest; the message says why.
        """
        if len(text) > MOST_CHARACTERS:
            raise UsageError(f"its manifest is longer than {MOST_CHARACTERS} characters")
        try:
            return cls.of(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"its manifest cannot be read: {error}") from error

    @classmethod
    def of(cls, found: Any) -> Manifest:
        """Builds a manifest from a JSON value; UsageError if it is not one."""
        if type(found) is not dict or type(found.get("rlbench")) is not int:
            raise UsageError("it has no rlbench manifest: rlbench did not write it")
        if found["rlbench"] > VERSION:
            raise UsageError(f"a newer rlbench wrote it (layout {found['rlbench']}): upgrade rlbench to read it")
        run, episodes = found.get("run"), found.get("episodes")
        if found.get("what") not in WHATS or type(run) is not dict or type(episodes) is not int or episodes < 0:
            raise UsageError("its manifest is incomplete: expected what, run and episodes")
        for name, fits in RUN_FIELDS.items():
            if (name in run or name not in OPTIONAL_FIELDS) and not (name in run and fits(run[name])):
                raise UsageError(f"its manifest describes an invalid run: {name} is {str(run.get(name))[:80]!r}")
        known = {name: run[name] for name in RUN_FIELDS if name in run}
        unsafe = next((text for text in _texts_in(known) if has_controls(text.replace("\n", " "))), None)
        if unsafe is not None:
            raise UsageError(f"its manifest holds control characters, which a terminal would obey: {unsafe[:80]!r}")
        columns, figures = _columns(found.get("columns")), _columns(found.get("figures"))
        digests, chunks = _digests(found.get("digests", {})), found.get("chunks", [])
        if type(chunks) is not list:
            raise UsageError("its manifest must list where chunks begin")
        return cls(found["what"], known, episodes, columns, figures, digests, chunks, found["rlbench"])


def _texts_in(value: Any) -> Iterator[str]:
    """Yields every text in a JSON value, names included."""
    if isinstance(value, str):
        yield value
    parts = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _texts_in(part)


def manifest_of(run: Run, what: str, episodes: int = 0) -> Manifest:
    """Returns the manifest of a run's file, without columns yet."""
    known = {name: getattr(run.record, name) for name in RUN_FIELDS}
    known |= {"config": run.record.config.document(), "status": run.status, "seconds": run.seconds}
    empty = {name for name in OPTIONAL_FIELDS if not known[name]}
    return Manifest(what, {name: value for name, value in known.items() if name not in empty}, episodes)


def unknown_run(
    env_id: str = "unknown", agent: str = "unknown", spec: str | None = None, **told: Any
) -> dict[str, Any]:
    """Returns the run fields of a file that another program wrote, as far as they are known.

    Args:
        env_id: of its env.
        agent: the name of its agent.
        spec: of its env, as JSON.
        told: more for the run's configuration.
    """
    return {
        "id": "",
        "env_id": env_id,
        "agent_name": agent,
        "seed": 0,
        "status": "finished",
        "created_at": "",
        "seconds": 0.0,
        "config": {
            "env": {"id": env_id, "spec": spec},
            "agent": {"name": agent, "parameters": {}},
            "budget": {"episodes": None, "total_timesteps": None},
            "engine": "python",
            "record": "all",
            **told,
        },
        "evaluation": None,
        "tags": [],
        "parents": [],
    }


def columns_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Column]:
    """Describes arrays that have a row per step or episode."""
    return {name: Column(array.dtype.str, array.shape[1:]) for name, array in arrays.items()}


def plain_numbers(columns: Mapping[str, Column], kind: str) -> None:
    """Refuses columns that a format cannot hold exactly because it writes numbers as text."""
    for name, column in columns.items():
        dtype = np.dtype(column.dtype)
        if dtype.kind == "c" or dtype.itemsize > 8:  # noqa: PLR2004 bytes
            raise UsageError(f"{kind} cannot hold {name!r} of dtype {dtype} exactly: choose hdf5")


def exactly(values: Any, column: Column, name: str) -> NDArray[Any]:
    """Converts nested lists of Python numbers to an array of the column's dtype and shape, losing nothing.

    Raises:
        UsageError: they are ragged, of another kind, or do not fit the dtype.
    """
    dtype, rows = np.dtype(column.dtype), len(values)
    try:
        with np.errstate(over="raise"):
            array = _whole(values, dtype) if dtype.kind in "iu" else np.array(values).astype(dtype, casting="same_kind")
    except (ValueError, TypeError, OverflowError, FloatingPointError) as error:
        if not rows:
            return np.empty((0, *column.shape), dtype)
        raise UsageError(f"{name} must be {dtype} of shape {column.shape} in every row: {error}") from error
    if array.size == 0 and math.prod((rows, *column.shape)) == 0:
        array = array.reshape(rows, *column.shape)
    if array.shape != (rows, *column.shape):
        raise UsageError(f"{name} must have the shape {column.shape} in every row, got {array.shape[1:]}")
    return array


def _whole(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = np.array(values)
    if array.size and array.dtype.kind not in "iu":  # NumPy makes 2**63 a float, so check each number
        if any(type(number) is not int for number in np.array(values, object).ravel().tolist()):
            raise TypeError("got a value that is not a whole number")
        return np.array(values, dtype)
    if not np.array_equal(array, array.astype(dtype)):
        raise OverflowError(f"got a number that {dtype} cannot hold")
    return array.astype(dtype)


def _columns(found: Any) -> dict[str, Column]:
    if type(found) is not dict:
        raise UsageError("its manifest must map column names to [dtype, shape]")
    return {name: column_of(name, value) for name, value in found.items()}


def _digests(found: Any) -> dict[str, str]:
    if type(found) is not dict or not all(type(value) is str for value in found.values()):
        raise UsageError("its manifest must map the names of columns to their digests")
    return found


def column_of(name: str, value: Any) -> Column:
    """Returns the column that a JSON value [dtype, shape] describes; UsageError if it describes none."""
    dtype, shape = value if type(value) is list and len(value) == len(Column._fields) else ("", [])
    is_dtype = type(dtype) is str and DTYPE.fullmatch(dtype)
    is_shape = type(shape) is list and all(type(n) is int and n >= 0 for n in shape)
    if not is_dtype or not is_shape or math.prod(shape) > MOST_NUMBERS:
        raise UsageError(f"its column {name[:80]!r} must have a dtype and a shape")
    np.dtype(dtype)  # TypeError if no dtype has this size
    return Column(str(dtype), tuple(shape))
