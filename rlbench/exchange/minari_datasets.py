"""Minari datasets: a folder `name-v0/data` that `minari.load_dataset` reads, through Minari's own storage."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from rlbench.errors import UsageError
from rlbench.exchange.batches import Batch, Mark, gathered
from rlbench.exchange.content import Content, left_out
from rlbench.exchange.flat import marks_json, marks_of
from rlbench.exchange.hdf5_files import Disk
from rlbench.exchange.manifest import MOST_CHARACTERS, Manifest, columns_of, unknown_run
from rlbench.exchange.minari_episodes import (
    DATASET,
    MAIN,
    Hdf5Episodes,
    cast_if_exact,
    columns,
    opened,
    space_of,
    unfit,
)
from rlbench.files import is_dataset, require
from rlbench.store.codec import to_json
from rlbench.store.columns import parts
from rlbench.store.records import end_code, has_last_row, is_terminated, is_truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import gymnasium as gym
    from numpy.typing import NDArray

    from rlbench.exchange.minari_episodes import Episodes
    from rlbench.store.frames import Column

    Space = gym.spaces.Space[Any]

TAKEN = ("episodes",)  # all that this format can hold of a run; other formats hold everything
KEY = "rlbench"  # in the dataset's metadata: the manifest
DATASET_ID = re.compile(r"(?:[-\w/]*[-\w]/)?[-\w]+?-v\d+")  # Minari's format


def _are_texts(value: Any) -> bool:
    return type(value) is list and all(type(text) is str for text in value)


DATA_FORMATS = ("hdf5", "arrow", "parquet")
RETURNED: dict[str, Callable[[Any], bool]] = {  # what an imported run keeps for the next export, each with its check
    "author": _are_texts,
    "author_email": _are_texts,
    "code_permalink": lambda value: type(value) is str,
    "combined_datasets": _are_texts,
    "num_episodes_average_score": lambda value: type(value) is int,
    "ref_max_score": lambda value: type(value) in (int, float),
    "ref_min_score": lambda value: type(value) in (int, float),
    "requirements": _are_texts,
}
KNOWN = ("dataset_id", "algorithm_name", "description", "eval_env_spec", "minari_version", *RETURNED)
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


def write(path: Path, content: Content, *, env: gym.Env[Any, Any] | None, name: str, data_format: str = "hdf5") -> None:
    """Writes a run's episodes.

    Args:
        path: the dataset's folder.
        content: the episodes, with the run's manifest.
        env: the run's env, for its spec and spaces; None if it cannot be made.
        name: the dataset's id.
        data_format: how Minari stores them, one of DATA_FORMATS.

    Raises:
        UsageError: Minari cannot hold an episode, or is not installed.
    """
    minari, storages = _minari(data_format)
    both = _spaces(env, content.manifest)
    path.mkdir()
    storage = storages.MinariStorage.new(
        path.absolute() / "data",  # Minari cannot compute the size of a relative path
        *both,
        env_spec=None if env is None else env.spec,
        data_format=data_format,
        **_lossless(storages),
    )
    storage.update_metadata(_about(content.manifest, name, minari.__version__))
    get_size, storage.get_size = storage.get_size, lambda: 0.0  # it looks at every file, for every episode
    first = 0
    with _checking(storage) as check:
        for batch in content.batches:
            storage.update_episodes([_buffer(minari, batch, row, both, data_format) for row in range(len(batch))])
            check()
            storage.update_episode_metadata(_metadatas(batch), range(first, first + len(batch)))
            check()
            first += len(batch)
    storage.update_metadata({"dataset_size": float(get_size())})


@contextmanager
def _checking(storage: Any) -> Iterator[Callable[[], None]]:
    """Yields a function that raises if something could not be written: on an HDF5 file of its own, h5py crashes."""
    if storage.FORMAT != "hdf5":
        yield lambda: None
        return
    with closing(Disk(storage.data_path / MAIN, "r+b")) as disk:
        storage._file_path = disk  # noqa: SLF001
        yield disk.check


def _about(manifest: Manifest, name: str, version: str) -> dict[str, Any]:
    """Returns the metadata of a dataset: the manifest, and what Minari knew of the run if it came from there."""
    run = manifest.run
    return {
        **_returned(run["config"].get("minari")),
        "dataset_id": name,
        "minari_version": version,
        "algorithm_name": run["agent_name"],
        "description": f"Run {run['id']} of {run['agent_name']} on {run['env_id']}, seed {run['seed']}.",
        KEY: manifest.to_json(),
    }


def _returned(known: Any) -> dict[str, Any]:
    found = {name: known[name] for name in known if name in RETURNED} if type(known) is dict else {}
    fitting = {name: value for name, value in found.items() if RETURNED[name](value)}
    return {name: set(value) if name.startswith("author") else value for name, value in fitting.items()}


def _minari(data_format: str) -> tuple[Any, Any]:
    require("PIL", "minari", DATASET)  # Minari imports it without declaring it
    require("h5py" if data_format == "hdf5" else "pyarrow", "minari", DATASET)
    return require("minari", "minari", DATASET), require("minari.dataset.minari_storage", "minari", DATASET)


def _lossless(storages: Any) -> dict[str, Any]:
    """Returns the option that keeps Minari from encoding images as JPEG; older versions always do."""
    is_known = "jpeg_encoding" in inspect.signature(storages.MinariStorage.new).parameters
    return {"jpeg_encoding": False} if is_known else {}


def _buffer(minari: Any, batch: Batch, row: int, both: tuple[Space, Space], data_format: str) -> Any:
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
    if data_format != "hdf5":  # Minari cannot read arrays of one dimension again from Arrow, only lists
        infos = {name: column.tolist() if column.ndim == 1 else column for name, column in infos.items()}
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
    if name not in columns:
        raise UsageError(f"Minari cannot hold a run without {name}: choose another format")
    return columns[name].astype(space.dtype, copy=False)


def _metadatas(batch: Batch) -> Iterator[dict[str, Any]]:
    marked = {mark.row for mark in batch.marks}
    for row, episode in enumerate(batch.episodes.tolist()):
        figures = {f"figures/{name}": column[row].tolist() for name, column in batch.figures.items()}
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
        expected = {part.name: part.space for part in parts(space, name)}
    except UsageError:
        return False
    return expected.keys() == found.keys() and all(
        (part.shape or ()) == found[key].shape and np.can_cast(found[key].dtype, np.dtype(part.dtype))
        for key, part in expected.items()
    )


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
def read(path: Path, ids: Sequence[int] | None = None) -> Iterator[Content]:
    """Reads the episodes of any Minari dataset, without making its env.

    One of ours that Minari has changed since keeps what is known of the run, but neither its figures nor its chunks.

    Args:
        path: the dataset's folder, or the `data` in it.
        ids: Minari's numbers of the episodes to read; by default of all that are there.
    """
    folder = path / "data" if is_dataset(path) else path
    metadata = _metadata(folder)
    ours = Manifest.from_json(metadata[KEY]) if type(metadata.get(KEY)) is str else None
    with opened(folder, metadata["data_format"]) as episodes:
        reader = _Reader(episodes, metadata, ids)
        if ours is not None and reader.ids == list(range(ours.episodes)):
            yield Content(ours, gathered(reader.episodes(ours)))
            return
        found = reader.episodes(None)
        first = next(found, None)
        columns = {} if first is None else columns_of(first.steps)
        run = _foreign_run(metadata) if ours is None else ours.run
        manifest = Manifest("episodes", run, len(reader.ids), columns, {})
        yield Content(manifest, gathered(_same_columns(first, found)), notes=tuple(reader.notes(ours)))


def _metadata(folder: Path) -> dict[str, Any]:
    if not (folder / "metadata.json").is_file():
        raise UsageError("it is not a Minari dataset: it has no data/metadata.json")
    with (folder / "metadata.json").open(encoding="utf-8") as file:
        text = file.read(2 * MOST_CHARACTERS)
    found = json.loads(text)
    if type(found) is not dict or found.get("data_format") not in DATA_FORMATS:
        raise UsageError(f"its metadata must give a data_format: {', '.join(DATA_FORMATS)}")
    return found


class _Reader:
    """Reads the episodes of a dataset one after another."""

    def __init__(self, episodes: Episodes, metadata: dict[str, Any], ids: Sequence[int] | None) -> None:
        self._episodes = episodes
        self.ids = episodes.ids if ids is None else [int(number) for number in ids]
        self._count = metadata.get("total_episodes")
        if type(self._count) is not int or self._count < 0:
            raise UsageError(f"its metadata must give total_episodes, a whole number >= 0, got {str(self._count)[:80]}")
        self._is_encoded = bool(metadata.get("jpeg_encoding", True))
        self._spaces = {
            name: space_of(metadata.get(f"{name.removesuffix('s')}_space"), f"{name.removesuffix('s')}_space")
            for name in ("observations", "actions")
        }

    def notes(self, ours: Manifest | None) -> Iterator[str]:
        """Yields what is imported differently from what the dataset holds or promises."""
        if ours is not None:
            yield f"{ours.episodes} episodes were exported, the dataset now has {len(self.ids)}: figures are made anew"
        if self._count != len(self._episodes.ids):
            yield f"its metadata promises {self._count} episodes, it holds {len(self._episodes.ids)}"
        missing = [part for name, space in self._spaces.items() for part in unfit(name, space)]
        missing += self._unused(self.ids[0]) if self.ids else []
        yield from left_out(missing)

    def _unused(self, index: int) -> list[str]:
        """Returns what an episode holds beside its steps."""
        episode, metadata = self._episodes.episode(index), self._episodes.metadata(index)
        has_infos = "infos" in self._episodes.names(episode)
        infos = self._episodes.names(self._episodes.part(episode, "infos")) if has_infos else []
        options = [name for name in ("seed", "options") if any(key.split("/")[0] == name for key in metadata)]
        return [*(f"infos/{name}" for name in infos), *(f"the {name} of each reset" for name in options)]

    def episodes(self, ours: Manifest | None) -> Iterator[Batch]:
        """Yields an episode at a time."""
        for number, index in enumerate(self.ids):
            episode, metadata = self._episodes.episode(index), self._episodes.metadata(index)
            steps = self._steps(episode, index, ours)
            length = len(steps["rewards"])
            if metadata.get("total_steps", length) != length:
                raise UsageError(f"episode {index} must have {metadata['total_steps']} rewards and ends, got {length}")
            yield Batch(
                np.array([int(metadata.get("episode", index)) if ours else number], np.int64),
                np.array([length], np.int64),
                np.array([self._end(episode, index, length)], np.uint8),
                steps,
                _figures(metadata, ours),
                _marks(metadata) if ours else (),
            )

    def _steps(self, episode: Any, index: int, ours: Manifest | None) -> dict[str, NDArray[Any]]:
        steps = {
            name: column if has_last_row(name) else self._cut(column)
            for part, space in self._spaces.items()
            for name, column in columns(self._episodes, episode, part, space, is_encoded=self._is_encoded).items()
        }
        steps |= {"rewards": self._column(episode, "rewards"), **self._others(episode, ours)}
        length = len(steps["rewards"])
        for name, column in steps.items():
            if column.shape[:1] != (length + has_last_row(name),):
                raise UsageError(
                    f"episode {index} must have {length + has_last_row(name)} rows of {name}, got {column.shape}"
                )
        if ours is None:
            return {**steps, "rewards": cast_if_exact(steps["rewards"], "<f8")}
        return {name: _as(steps, name, column) for name, column in ours.columns.items()}

    def _column(self, episode: Any, name: str) -> NDArray[Any]:
        return self._cut(self._episodes.numbers(self._episodes.part(episode, name), ()))

    def _cut(self, column: NDArray[Any]) -> NDArray[Any]:
        return column[: max(0, len(column) - self._episodes.extra_rows)]

    def _others(self, episode: Any, ours: Manifest | None) -> dict[str, NDArray[Any]]:
        """Returns the columns that we put among Minari's infos."""
        columns = {} if ours is None else ours.columns
        names = [name for name in columns if name.partition("/")[0] not in COLUMNS]
        infos = self._episodes.part(episode, "infos") if names else None
        return {name: self._info(infos, name, columns[name].shape) for name in names}

    def _info(self, infos: Any, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        for key in name.split("/") if isinstance(self._episodes, Hdf5Episodes) else [name]:
            infos = self._episodes.part(infos, key)
        return self._episodes.numbers(infos, shape)[1:]

    def _end(self, episode: Any, index: int, length: int) -> int:
        flags = [self._column(episode, name) for name in ("terminations", "truncations")]
        if any(flag.shape != (length,) for flag in flags):
            raise UsageError(f"episode {index} must have {length} rewards and ends, got {len(flags[0])}")
        if any(flag[:-1].any() for flag in flags):
            raise UsageError(f"episode {index} ends before its last step")
        return int(end_code(*(bool(flag[-1:].any()) for flag in flags)))


def _as(steps: dict[str, NDArray[Any]], name: str, column: Column) -> NDArray[Any]:
    """Returns a column in the dtype that it had when it was exported: Arrow holds it in that of its space."""
    if name not in steps:
        raise UsageError(f"{name!r} is missing")
    found, dtype = steps[name], np.dtype(column.dtype)
    return found if found.dtype == dtype else found.astype(dtype)


def _figures(metadata: dict[str, Any], ours: Manifest | None) -> dict[str, NDArray[Any]]:
    return {
        name: np.asarray(metadata[f"figures/{name}"], column.dtype).reshape(1, *column.shape)
        for name, column in (ours.figures if ours else {}).items()
    }


def _marks(metadata: dict[str, Any]) -> tuple[Mark, ...]:
    return tuple(marks_of(0, json.loads(metadata["chunks"]))) if "chunks" in metadata else ()


def _same_columns(first: Batch | None, others: Iterator[Batch]) -> Iterator[Batch]:
    """Yields all episodes in the dtypes of the first; UsageError if one has other columns, or does not fit them."""
    if first is None:
        return
    expected = columns_of(first.steps)
    yield first
    for batch in others:
        steps = {
            name: cast_if_exact(column, expected[name].dtype) if name in expected else column
            for name, column in batch.steps.items()
        }
        if columns_of(steps) != expected:
            raise UsageError(f"episode {batch.episodes[0]} has other columns, dtypes or shapes than the first")
        yield dataclasses.replace(batch, steps=steps)


def _foreign_run(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns the run fields of a dataset that another program wrote, as far as they are known."""
    spec = metadata.get("env_spec")
    spec = spec if type(spec) is str else None
    known = {name: metadata[name] for name in KNOWN if name in metadata}
    agent, name = str(metadata.get("algorithm_name") or "unknown"), str(metadata.get("dataset_id") or "unknown")
    return unknown_run(str(json.loads(spec)["id"]) if spec else name, agent, spec, minari=known)
