"""Minari datasets: a folder `name-v0/data` that `minari.load_dataset` reads, through Minari's own storage."""

from __future__ import annotations

import inspect
import json
import math
import os
import re
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UsageError
from rlbench.exchange.batches import Batch, Mark, gathered
from rlbench.exchange.content import Content
from rlbench.exchange.flat import marks_json, marks_of
from rlbench.exchange.hdf5_files import FREE as MOST_PACKED
from rlbench.exchange.hdf5_files import Disk, held, inside
from rlbench.exchange.manifest import MOST_CHARACTERS, Manifest, columns_of
from rlbench.files import is_dataset, require
from rlbench.store.codec import to_json
from rlbench.store.columns import parts
from rlbench.store.records import end_code, has_last_row, is_terminated, is_truncated

if TYPE_CHECKING:
    from collections.abc import Iterator

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.store.frames import Column

    Space = gym.spaces.Space[Any]

TAKEN = ("episodes",)  # all that this format can hold of a run; other formats hold everything
KEY = "rlbench"  # in the dataset's metadata: the manifest
DATASET_ID = re.compile(r"(?:[-\w/]*[-\w]/)?[-\w]+?-v\d+")  # Minari's format
KNOWN = ("dataset_id", "algorithm_name", "author", "author_email", "code_permalink", "description", "minari_version")
MAIN = "main_data.hdf5"  # in the dataset's folder
FREE = 2**20  # numbers that the bounds of spaces may take; more only if the metadata writes them out
PLAIN_DTYPE = re.compile(r"bool|(u?int|float|complex)\d{1,3}")  # as Minari writes it
COLUMNS = ("rewards", "observations", "actions")  # which Minari knows


def dataset_id(path: Path) -> str:
    """Returns the id by which Minari finds the dataset in a folder, or else the folder's name.

    Minari looks in the folder of the environment variable MINARI_DATASETS_PATH. A name without a version gets `-v0`.
    """
    root = os.environ.get("MINARI_DATASETS_PATH")
    name = path.name
    with suppress(ValueError):
        name = path.resolve().relative_to(Path(root or path.parent).resolve()).as_posix()
    if DATASET_ID.fullmatch(name):
        return name
    plain = re.sub(r"[^-\w]", "_", path.name)
    return plain if DATASET_ID.fullmatch(plain) else f"{plain}-v0"


def write(path: Path, content: Content, *, env: gym.Env[Any, Any] | None, name: str) -> None:
    """Writes a run's episodes.

    Args:
        path: the dataset's folder.
        content: the episodes, with the run's manifest.
        env: the run's env, for its spec and spaces; None if it cannot be made.
        name: the dataset's id.

    Raises:
        UsageError: Minari cannot hold an episode, or is not installed.
    """
    minari, storages = _minari()
    manifest = content.manifest
    observations, actions = _spaces(env, manifest)
    path.mkdir()
    storage = storages.MinariStorage.new(
        path.absolute() / "data",  # Minari cannot compute the size of a relative path
        observations,
        actions,
        env_spec=None if env is None else env.spec,
        data_format="hdf5",
        **_lossless(storages),
    )
    run = manifest.run
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": minari.__version__,
            "algorithm_name": run["agent_name"],
            "description": f"Run {run['id']} of {run['agent_name']} on {run['env_id']}, seed {run['seed']}.",
            KEY: manifest.to_json(),
        }
    )
    first = 0
    with closing(Disk(storage.data_path / MAIN, "r+b")) as disk:
        storage._file_path = disk  # noqa: SLF001  (a full disk would crash h5py)
        for batch in content.batches:
            storage.update_episodes([_buffer(minari, batch, row, (observations, actions)) for row in range(len(batch))])
            disk.check()
            storage.update_episode_metadata(_metadatas(batch), range(first, first + len(batch)))
            disk.check()
            first += len(batch)


def _minari() -> tuple[Any, Any]:
    require("h5py", "minari", "minari")
    require("PIL", "minari", "minari")  # Minari imports it without declaring it
    return require("minari", "minari", "minari"), require("minari.dataset.minari_storage", "minari", "minari")


def _lossless(storages: Any) -> dict[str, Any]:
    """Returns the option that keeps Minari from encoding images as JPEG; older versions always do."""
    is_known = "jpeg_encoding" in inspect.signature(storages.MinariStorage.new).parameters
    return {"jpeg_encoding": False} if is_known else {}


def _buffer(minari: Any, batch: Batch, row: int, both: tuple[Space, Space]) -> Any:
    stop = int(batch.lengths[: row + 1].sum())
    start, end = stop - int(batch.lengths[row]), int(batch.ends[row])
    if start == stop:
        raise UsageError(
            f"Minari cannot hold episodes without steps, such as episode {batch.episodes[row]}: leave it out"
        )
    columns = {
        name: column[start + row : stop + row + 1] if has_last_row(name) else column[start:stop]
        for name, column in batch.steps.items()
    }
    flags = np.zeros((2, stop - start), np.bool_)
    flags[:, -1] = is_terminated(end), is_truncated(end)
    others = {name: column for name, column in columns.items() if name.partition("/")[0] not in COLUMNS}
    # Minari's infos start with the reset's: a row of zeros
    infos = {name: np.concatenate([np.zeros_like(column[:1]), column]) for name, column in others.items()}
    return minari.data_collector.EpisodeBuffer(
        observations=_nested(both[0], columns, "observations"),
        actions=_nested(both[1], columns, "actions"),
        rewards=columns["rewards"],
        terminations=flags[0],
        truncations=flags[1],
        infos=infos,
    )


def _nested(space: Space, columns: dict[str, NDArray[Any]], name: str) -> Any:
    """Nests columns like the space: dicts and tuples of arrays."""
    if isinstance(space, spaces.Dict):
        return {key: _nested(inner, columns, f"{name}/{key}") for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_nested(inner, columns, f"{name}/{i}") for i, inner in enumerate(space.spaces))
    return columns[name]


def _metadatas(batch: Batch) -> Iterator[dict[str, Any]]:
    marked = {mark.row for mark in batch.marks}
    for row, episode in enumerate(batch.episodes.tolist()):
        figures = {f"figures/{name}": column[row] for name, column in batch.figures.items()}
        chunks = {"chunks": to_json(marks_json(batch, row))} if row in marked else {}
        yield {"episode": episode, **figures, **chunks}


# ---------------------------------------------------------------------- spaces


def _spaces(env: gym.Env[Any, Any] | None, manifest: Manifest) -> tuple[Space, Space]:
    """Returns the env's spaces, or the widest that the columns allow if the env's do not fit them."""
    names = ("observations", "actions")
    given = (None, None) if env is None else (env.observation_space, env.action_space)
    observations, actions = (_fitting(space, manifest, name) for space, name in zip(given, names, strict=True))
    return observations, actions


def _fitting(space: Space | None, manifest: Manifest, name: str) -> Space:
    found = {key: column for key, column in manifest.columns.items() if key.partition("/")[0] == name}
    if space is not None and (not found or _fits(space, found, name)):
        return space
    return _widest(found, name)


def _fits(space: Space, found: dict[str, Column], name: str) -> bool:
    try:
        expected = {part.name: part.space.shape or () for part in parts(space, name)}
    except UsageError:
        return False
    return expected == {key: column.shape for key, column in found.items()}


def _widest(found: dict[str, Column], name: str) -> Space:
    """Returns the widest space that the columns allow."""
    if not found:
        return spaces.Discrete(1)
    if name in found:
        return _box(found[name])
    heads = dict.fromkeys(key.removeprefix(f"{name}/").partition("/")[0] for key in found)
    return spaces.Dict({head: _widest(_under(found, f"{name}/{head}"), f"{name}/{head}") for head in heads})


def _under(found: dict[str, Column], name: str) -> dict[str, Column]:
    return {key: column for key, column in found.items() if key == name or key.startswith(f"{name}/")}


def _box(column: Column) -> Space:
    dtype = np.dtype(column.dtype).newbyteorder("=")
    if dtype.kind == "b":
        return spaces.Box(0, 1, column.shape, np.int8)
    if dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, column.shape, dtype.type)
    limits = np.iinfo(dtype)
    return spaces.Box(limits.min, limits.max, column.shape, dtype.type)


# ---------------------------------------------------------------------- reading


@contextmanager
def read(path: Path) -> Iterator[Content]:
    """Reads the episodes of any Minari dataset, without making its env."""
    folder = path / "data" if is_dataset(path) else path
    metadata = _metadata(folder)
    storage = _storage(folder, metadata)
    count = metadata.get("total_episodes")
    if type(count) is not int or count < 0:
        raise UsageError(f"its metadata must give total_episodes, a whole number >= 0, got {str(count)[:80]}")
    ours = Manifest.from_json(metadata[KEY]) if type(metadata.get(KEY)) is str else None
    with _guard(folder, metadata) as check:
        episodes = _episodes(storage, count, check, ours)
        if ours is not None:
            yield Content(ours, gathered(episodes))
            return
        first = next(episodes, None)
        columns = {} if first is None else columns_of(first.steps)
        manifest = Manifest("episodes", _foreign_run(metadata), count, columns, {})
        yield Content(manifest, gathered(_same_columns(first, episodes)))


def _metadata(folder: Path) -> dict[str, Any]:
    if not (folder / "metadata.json").is_file():
        raise UsageError("it is not a Minari dataset: it has no data/metadata.json")
    with (folder / "metadata.json").open(encoding="utf-8") as file:
        text = file.read(2 * MOST_CHARACTERS)
    found = json.loads(text)
    if type(found) is not dict or found.get("data_format") not in ("hdf5", "arrow", "parquet"):
        raise UsageError("its metadata must give a data_format: hdf5, arrow or parquet")
    return found


def _storage(folder: Path, metadata: dict[str, Any]) -> Any:
    _minari()
    storages = require("minari.dataset._storages", "minari", "minari")
    deserialize = require("minari.serialization", "minari", "minari").deserialize_space
    described = []
    for name in ("observation_space", "action_space"):
        if type(metadata.get(name)) is not str:
            raise UsageError(f"its metadata must describe its {name}: recreate the dataset with a newer Minari")
        _check_space(metadata[name])
        described.append(deserialize(metadata[name]))
    cls = storages.get_minari_storage(metadata["data_format"])
    is_known = "jpeg_encoding" in inspect.signature(cls.__init__).parameters
    encoded = {"jpeg_encoding": bool(metadata.get("jpeg_encoding", True))} if is_known else {}
    return cls(folder.absolute(), *described, **encoded)


def _check_space(text: str) -> None:
    """Refuses a space that would take more memory than its description: its bounds are written out there.

    Raises:
        UsageError: its arrays would be larger, or not of numbers.
    """
    described = list(_spaces_in(json.loads(text)))
    taken = sum(abs(math.prod(space["shape"])) for space in described if "shape" in space)
    if taken > max(FREE, len(text)):
        raise UsageError(f"its metadata describes a space of {taken:,} numbers, but does not hold them")
    for dtype in (space["dtype"] for space in described if "dtype" in space):
        if type(dtype) is not str or not PLAIN_DTYPE.fullmatch(dtype):
            raise UsageError(f"its metadata describes a space of {str(dtype)[:80]!r}, not of numbers")


def _spaces_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yields the spaces in a JSON value, and those that they are made of."""
    if isinstance(value, dict) and isinstance(value.get("type"), str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _spaces_in(part)


@contextmanager
def _guard(folder: Path, metadata: dict[str, Any]) -> Iterator[Any]:
    """Yields a function that checks, before Minari reads an episode, that it is stored in the file itself."""
    if metadata["data_format"] != "hdf5" or not metadata["total_episodes"]:  # an empty dataset has an empty file
        yield lambda _: None
        return
    h5py = require("h5py", "minari", "minari")
    with h5py.File(folder / MAIN, "r") as file:
        yield lambda index: _check_episode(h5py, file, index)


def _check_episode(h5py: Any, file: Any, index: int) -> None:
    claimed = sum(_claims(h5py, file, f"episode_{index}"))
    if claimed > max(MOST_PACKED, file.id.get_filesize()):
        raise UsageError(f"episode {index} claims {claimed:,} bytes but does not hold them")


def _claims(h5py: Any, group: Any, name: str) -> Iterator[int]:
    """Yields how many bytes each array of a group would take."""
    found = inside(h5py, group, name)
    if isinstance(found, h5py.Group):
        for key in found:
            yield from _claims(h5py, found, key)
    elif found.dtype.kind != "O":  # Minari's strings and images have variable length
        yield math.prod(held(h5py, found, name).shape) * found.dtype.itemsize


def _episodes(storage: Any, count: int, check: Any, ours: Manifest | None) -> Iterator[Batch]:
    stored, metadatas = storage.get_episodes(range(count)), storage.get_episode_metadata(range(count))
    for index in range(count):
        check(index)
        metadata = next(iter(metadatas))
        yield _episode(index, _one(storage, stored, index), metadata, ours)


def _one(storage: Any, stored: Any, index: int) -> dict[str, Any]:
    # arrow files return batches of rows, several for a long episode: read each episode separately
    found = next(iter(stored if storage.FORMAT == "hdf5" else storage.get_episodes([index])), None)
    if found is None:
        raise UsageError(f"episode {index} is missing")
    return dict(found)


def _episode(index: int, found: dict[str, Any], metadata: dict[str, Any], ours: Manifest | None) -> Batch:
    rewards, terminations, truncations = (
        np.asarray(found[name]) for name in ("rewards", "terminations", "truncations")
    )
    length = len(rewards)
    if (
        metadata.get("total_steps", length) != length
        or terminations.shape != (length,)
        or truncations.shape != (length,)
    ):
        raise UsageError(f"episode {index} must have {metadata.get('total_steps')} rewards and ends, got {length}")
    if terminations[:-1].any() or truncations[:-1].any():
        raise UsageError(f"episode {index} ends before its last step")
    steps = {
        **_flat(found["observations"], "observations"),
        **_flat(found["actions"], "actions"),
        "rewards": rewards,
        **_others(found, ours),
    }
    for name, column in steps.items():
        if column.shape[:1] != (length + has_last_row(name),):
            raise UsageError(
                f"episode {index} must have {length + has_last_row(name)} rows of {name}, got {column.shape}"
            )
    number = int(metadata.get("episode", index)) if ours else index
    return Batch(
        np.array([number], np.int64),
        np.array([length], np.int64),
        np.array([end_code(terminations[-1:].any(), truncations[-1:].any())], np.uint8),
        steps,
        _figures(metadata, ours),
        _marks(metadata) if ours else (),
    )


def _flat(value: Any, name: str) -> dict[str, NDArray[Any]]:
    """Flattens nested dicts and tuples of arrays to columns."""
    if isinstance(value, dict | tuple):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: column for part, below in inner for key, column in _flat(below, f"{name}/{part}").items()}
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise UsageError(f"{name} must be numbers, got {array.dtype}")
    return {name: array}


def _others(found: dict[str, Any], ours: Manifest | None) -> dict[str, NDArray[Any]]:
    names = [] if ours is None else [name for name in ours.columns if name.partition("/")[0] not in COLUMNS]
    infos = found.get("infos") or {}
    return {name: np.asarray(infos[name])[1:] for name in names}


def _figures(metadata: dict[str, Any], ours: Manifest | None) -> dict[str, NDArray[Any]]:
    kept = metadata.get("figures", {})
    return {
        name: np.asarray(kept[name], column.dtype).reshape(1, *column.shape)
        for name, column in (ours.figures if ours else {}).items()
    }


def _marks(metadata: dict[str, Any]) -> tuple[Mark, ...]:
    return tuple(marks_of(0, json.loads(metadata["chunks"]))) if "chunks" in metadata else ()


def _same_columns(first: Batch | None, others: Iterator[Batch]) -> Iterator[Batch]:
    """Yields all episodes; UsageError if the columns of one differ from the first's."""
    if first is None:
        return
    expected = columns_of(first.steps)
    yield first
    for batch in others:
        if columns_of(batch.steps) != expected:
            raise UsageError(f"episode {batch.episodes[0]} has other columns, dtypes or shapes than the first")
        yield batch


def _foreign_run(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns the run fields of a dataset that another program wrote, as far as they are known."""
    spec = metadata.get("env_spec")
    spec = spec if type(spec) is str else None
    known = {name: metadata[name] for name in KNOWN if name in metadata}
    agent, name = str(metadata.get("algorithm_name") or "unknown"), str(metadata.get("dataset_id") or "unknown")
    env_id = str(json.loads(spec)["id"]) if spec else name
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
            "minari": known,
        },
        "evaluation": None,
        "tags": [],
        "parents": [],
    }
