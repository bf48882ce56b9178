"""Export and import: a run to a file of any format, and back."""

from __future__ import annotations

import dataclasses
import itertools
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.envs.again import lasting_spec
from rlbench.envs.making import id_of, make_env
from rlbench.errors import RlbenchError, UsageError, unknown_name
from rlbench.exchange import text_files
from rlbench.exchange.batches import chosen, chunks_of, figured, finite, first_episodes, whole_episodes
from rlbench.exchange.content import Content
from rlbench.exchange.delivery import delivered, is_in_cloud
from rlbench.exchange.digests import Digests
from rlbench.exchange.flat import chunks_json
from rlbench.exchange.manifest import WHATS, columns_of, manifest_of
from rlbench.exchange.sealed_files import ENDING, is_sealed_file, sealed_path
from rlbench.files import check_free, path_of, reading, written
from rlbench.store import Checkpoint, RunConfig, Store
from rlbench.store.records import IMPORTED
from rlbench.store.sealed import is_encrypted

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import gymnasium as gym
    from minari import MinariDataset
    from numpy.typing import NDArray

    from rlbench.exchange.batches import Batch
    from rlbench.exchange.manifest import Manifest
    from rlbench.exchange.sealed_files import Place
    from rlbench.store import RunRecord
    from rlbench.store.frames import Column
    from rlbench.training import Run

FORMATS = {
    "csv": "rlbench.exchange.csv_files",
    "json": "rlbench.exchange.json_files",
    "parquet": "rlbench.exchange.parquet_files",
    "feather": "rlbench.exchange.feather_files",
    "hdf5": "rlbench.exchange.hdf5_files",
    "minari": "rlbench.exchange.minari_datasets",
}
EXTENSIONS = {
    ".csv": "csv",
    ".csv.gz": "csv",
    ".json": "json",
    ".json.gz": "json",
    ".parquet": "parquet",
    ".feather": "feather",
    ".arrow": "feather",
    ".hdf5": "hdf5",
    ".h5": "hdf5",
}
PURPOSE = "import"  # of the writer of a run that is being imported: if it is killed, the next import deletes the run


class Exported(NamedTuple):
    """What an export wrote."""

    path: Path | str
    format: str
    what: str
    episodes: int


def export(
    run: Run,
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002  (its name everywhere)
    *,
    what: str = "episodes",
    indices: Iterable[int] | slice | None = None,
    data_format: str | None = None,
    next_observation: bool = False,
    overwrite: bool = False,
    encrypt: bool = False,
) -> Exported:
    """Writes a run to a file, or to a folder for Minari; memory does not grow with the length of the run.

    What is encrypted, or comes from an encrypted store, is readable by its owner alone (mode 0600).

    Args:
        run: whose episodes, results or table to write.
        path: the destination; it is replaced only once the file is complete. Or an address in the cloud, such as
            `s3://bucket/run.csv`, where the file goes once it is complete.
        format: one of FORMATS; by default taken from the path's extension.
        what: "episodes" (every step and the figures of each episode; json and hdf5 add the last checkpoint, including
            the table), "results" (only the figures: the learning curve) or "table" (the action values). Minari takes
            only episodes.
        indices: which episodes, all by default; each is written once, in order. Unfinished ones are left out.
        data_format: how Minari stores the episodes: "hdf5" (the default), "arrow" or "parquet".
        next_observation: in a table (csv, parquet, feather), whether each row has the next observation; by default the
            last row of each episode has its final one.
        overwrite: replace an existing file or Minari dataset.
        encrypt: write the file encrypted, with the key that the environment gives (RLBENCH_KEY_FILE); `import_run`
            reads it with the same key. Nothing of it lies on the disk unencrypted at any time.

    Raises:
        UsageError: an argument is wrong, the run lacks what is asked for, the format cannot hold it exactly, or the
            format's package is not installed; or there is no key to encrypt with.
        StoreError: the file cannot be written, or the store is damaged; no partial file is left.
    """
    with delivered(path, overwrite=overwrite) as place:
        done = _export(
            run,
            place,
            format,
            what,
            indices,
            data_format=data_format,
            next_observation=next_observation,
            overwrite=overwrite,
            encrypt=encrypt,
        )
    return done._replace(path=str(path)) if is_in_cloud(path) else done


def _export(
    run: Run,
    path: Path,
    wanted: str | None,
    what: str,
    indices: Iterable[int] | slice | None,
    *,
    data_format: str | None,
    next_observation: bool,
    overwrite: bool,
    encrypt: bool,
) -> Exported:
    kind = _format(path, wanted)
    if what not in WHATS:
        raise unknown_name("thing to export", what, WHATS)
    module = import_module(FORMATS[kind])
    taken = getattr(module, "TAKEN", WHATS)
    if what not in taken:
        raise UsageError(f"{kind} takes only {' and '.join(taken)}, not {what}: choose another format")
    if encrypt:
        _check_encrypting(path, module, kind)
    options = _options(module, f"{kind} of {what}", data_format, next_observation=next_observation)
    content = CONTENTS[what](run, _indices(run, indices, what))
    if not hasattr(module, "FLAT"):  # these have a place of their own for the beginnings of chunks
        content = dataclasses.replace(content, manifest=dataclasses.replace(content.manifest, chunks=[]))
    beside = module.beside(path) if hasattr(module, "beside") else None
    for place in filter(None, (path, beside)):
        check_free(place, overwrite=overwrite)
    private = encrypt or is_encrypted(run.store.backend)
    creating = partial(_created, overwrite=overwrite, private=private, encrypt=encrypt)
    with creating(path) as draft:
        with _dataset(module, run, path) as dataset:
            module.write(draft, content, **options, **dataset)
        if beside is not None:  # the file itself cannot hold its manifest
            with creating(beside) as described, text_files.writing(described) as file:
                file.write(f"{content.manifest.to_json()}\n")
        run.store.enter("export", run.id)  # before the file appears: none that does is not in the log
    return Exported(path, kind, what, content.manifest.episodes)


@contextmanager
def _created(path: Path, *, overwrite: bool, private: bool, encrypt: bool) -> Iterator[Place]:
    """Yields the place to write a new file to, which is `path` once it is whole."""
    with written(path, overwrite=overwrite, private=private) as draft:
        yield sealed_path(draft) if encrypt else draft


def _check_encrypting(path: Path, module: Any, kind: str) -> None:
    """Refuses to encrypt what is no file, or without a key."""
    if hasattr(module, "dataset_id"):
        raise UsageError(f"{kind} writes a folder, which cannot be encrypted: choose another format")
    sealed_path(path)


def _options(module: Any, wanted: str, data_format: str | None, *, next_observation: bool) -> dict[str, Any]:
    """Returns the options of a format's writer; UsageError if another format has them."""
    options: dict[str, Any] = {}
    if next_observation:
        if not hasattr(module, "FLAT") or not wanted.endswith("episodes"):
            raise UsageError(f"next observations are columns of a table of episodes: leave them out for {wanted}")
        options["next_observations"] = True
    if data_format is not None:
        if not hasattr(module, "DATA_FORMATS"):
            raise UsageError(f"a data format is a choice that Minari offers: leave it out for {wanted}")
        if data_format not in module.DATA_FORMATS:
            raise unknown_name("data format", data_format, module.DATA_FORMATS)
        options["data_format"] = data_format
    return options


@contextmanager
def _dataset(module: Any, run: Run, path: Path) -> Iterator[dict[str, Any]]:
    """Yields what only a dataset needs: its id, and the run's env while it is written."""
    if not hasattr(module, "dataset_id"):
        yield {}
        return
    env = _env_of(run)
    try:
        yield {"env": env, "name": module.dataset_id(path)}
    finally:
        if env is not None:
            env.close()


def _env_of(run: Run) -> gym.Env[Any, Any] | None:
    """Returns the run's env; None if it cannot be made here."""
    with suppress(Exception):  # an env may raise anything if a dependency is missing
        return run.make_env()
    return None


def _format(path: Path, kind: str | None) -> str:
    if kind is None:
        name = path.name.lower().removesuffix(ENDING)
        kind = next((kind for ending, kind in EXTENSIONS.items() if name.endswith(ending)), None)
    if kind is None:
        raise UsageError(f"{path.name!r} does not name a format: end it in {', '.join(EXTENSIONS)}, or pass one")
    if kind not in FORMATS:
        raise unknown_name("format", kind, FORMATS)
    return kind


def _indices(run: Run, indices: Iterable[int] | slice | None, what: str) -> NDArray[np.int64] | None:
    """Returns the indices of the chosen episodes, sorted; None for all."""
    if indices is None:
        return None
    if what != "episodes":
        raise UsageError(f"indices choose episodes: leave them out to export a run's {what}")
    if isinstance(indices, slice):
        return np.sort(np.arange(run.episodes, dtype=np.int64)[indices])
    wanted = np.array(list(indices))
    if wanted.size and wanted.dtype.kind not in "iu":
        raise UsageError(f"indices must be whole numbers, got {wanted.dtype}")
    wanted = wanted.astype(np.int64)
    missing = wanted[(wanted < -run.episodes) | (wanted >= run.episodes)]
    if len(missing):
        raise UsageError(f"run {run.id} has no episode {missing[0]}: it has {run.episodes} (0 to {run.episodes - 1})")
    return np.unique(wanted % max(1, run.episodes))


# ---------------------------------------------------------------------- what is exported


def _episodes(run: Run, indices: NDArray[np.int64] | None) -> Content:
    first = next(_batches(run, indices), None)
    manifest = manifest_of(run, "episodes", run.episodes if indices is None else len(indices))
    if first is not None:
        manifest = dataclasses.replace(manifest, columns=columns_of(first.steps), figures=columns_of(first.figures))
    checkpoint = run.store.checkpoint(run.id)
    digests, chunks = Digests(manifest.run, checkpoint), []
    for batch in _alike(_batches(run, indices), manifest):  # a pass of its own: the file begins with the digests
        digests.add(batch)
        chunks += chunks_json(batch)
    manifest = dataclasses.replace(manifest, digests=digests.hexadecimal(), chunks=chunks)
    return Content(manifest, _batches(run, indices), checkpoint)


def _batches(run: Run, indices: NDArray[np.int64] | None) -> Iterator[Batch]:
    chunks = run.store.chunks(run.id, episodes=None if indices is None else indices.tolist())
    batches = first_episodes(whole_episodes(chunks, run.id), run.episodes)
    return batches if indices is None else chosen(batches, indices)


def _alike(batches: Iterable[Batch], manifest: Manifest) -> Iterator[Batch]:
    """Passes batches on; UsageError if a batch's columns differ from the manifest's."""
    for batch in batches:
        _check_alike(columns_of(batch.steps), manifest.columns, batch)
        _check_alike(columns_of(batch.figures), manifest.figures, batch)
        yield batch


def _check_alike(found: dict[str, Column], expected: dict[str, Column], batch: Batch) -> None:
    different = [name for name in {**expected, **found} if found.get(name) != expected.get(name)]
    if different:
        name = different[0]
        raise UsageError(
            f"the column {name!r} changes in episode {batch.episodes[0]} or later: "
            f"it was {expected.get(name)}, it is {found.get(name)}"
        )


def _results(run: Run, _: NDArray[np.int64] | None) -> Content:
    manifest = manifest_of(run, "results", run.episodes)
    return Content(dataclasses.replace(manifest, figures=columns_of(run.figures)), figures=run.figures)


def _table(run: Run, _: NDArray[np.int64] | None) -> Content:
    checkpoint = run.store.checkpoint(run.id)
    table = None if checkpoint is None else checkpoint.arrays.get("q_table")
    if table is None or table.ndim != 2:  # noqa: PLR2004  (states, actions)
        raise UsageError(f"run {run.id} has no table of action values: its agent is {run.agent_name}")
    return Content(manifest_of(run, "table"), table=table)


CONTENTS = {"episodes": _episodes, "results": _results, "table": _table}


# ---------------------------------------------------------------------- import


def import_run(
    path: str | os.PathLike[str] | MinariDataset,
    store: Store,
    format: str | None = None,  # noqa: A002
    *,
    env: str | gym.Env[Any, Any] | None = None,
) -> RunRecord:
    """Imports the episodes of a file as a new run of a store, tagged "imported".

    Observations, actions, rewards, ends and figures are bit-identical to the exported ones, and the run's env, agent,
    seed, configuration and chunk boundaries are the same. Its id is new and its cache key empty: the training cache
    never uses it. A Minari dataset may come from any program; its env need not be installed. A file is not trusted:
    nothing that its env spec names is run here, nor later unless it is known to be harmless. What a run cannot hold,
    such as Minari's infos, is left out, and named in the note of the new run.

    Args:
        path: a file of `export`, or the folder of a Minari dataset; or a `minari.MinariDataset`, split or filtered or
            whole.
        store: the destination.
        format: one of FORMATS; by default taken from the path's extension, and Minari for a folder.
        env: the env that was played, or its id, if the file does not tell: a CSV file that lost the `.csv.json` beside
            it, or a Minari dataset without an env.

    Returns:
        The record of the new run.

    Raises:
        UsageError: the file does not exist, is damaged, or holds no episodes or a reward that is not finite; the
            message names the file and the place. Nothing is left in the store.
        StoreError: the store cannot be written.
    """
    ids = getattr(path, "episode_indices", None)
    path, kind = check_source(path if ids is None else path.storage.data_path, format)  # type: ignore[union-attr]
    module = import_module(FORMATS[kind])
    with _made(env) as made, reading(path):
        options = {"ids": ids} if ids is not None else {"env": made} if kind == "csv" else {}
        with module.read(path, **options) as content:
            if content.manifest.what != "episodes":
                raise UsageError(f"it holds a run's {content.manifest.what}: only episodes can be imported")
            return _imported(store, content if made is None else _played_in(made, content))


@contextmanager
def _made(env: str | gym.Env[Any, Any] | None) -> Iterator[gym.Env[Any, Any] | None]:
    """Makes the env that a caller names, and closes it; passes on the caller's own."""
    if not isinstance(env, str):
        yield env
        return
    with closing(make_env(env)) as made:
        yield made


def _played_in(env: gym.Env[Any, Any], content: Content) -> Content:
    """Returns content of a file that does not tell its env; UsageError if it tells another."""
    run = content.manifest.run
    known = run["config"].get("env", {})
    if run["id"] or known.get("spec") is not None:
        if run["env_id"] != id_of(env):
            raise UsageError(f"it was played in {run['env_id']}, not in {id_of(env)}: do not name an env")
        return content
    config = {**run["config"], "env": {"id": id_of(env), "spec": lasting_spec(env)}}
    manifest = dataclasses.replace(content.manifest, run={**run, "env_id": id_of(env), "config": config})
    return dataclasses.replace(content, manifest=manifest)


def check_source(path: str | os.PathLike[str], format: str | None = None) -> tuple[Place, str]:  # noqa: A002
    """Returns a path to import and its format; UsageError if there is none, or without the key of an encrypted one."""
    path = path_of(path)
    if not path.exists():
        raise UsageError(f"cannot import {path}: it does not exist")
    if not (path.is_file() or path.is_dir()):  # reading a pipe would block forever
        raise UsageError(f"{path} is neither a file nor a folder")
    if path.is_dir() and format not in {None, "minari"}:
        raise UsageError(f"{path} is a folder, but {format} is a file format: name the file")
    kind = "minari" if path.is_dir() else _format(path, format)
    return _readable(path) if is_sealed_file(path) else path, kind


def _readable(path: Path) -> Place:
    """Returns the place of an encrypted file, after trying the key."""
    with reading(path), (place := sealed_path(path)).open("rb"):
        return place


def _imported(store: Store, content: Content) -> RunRecord:
    store.sweep(PURPOSE)
    store = Store(store.backend, purpose=PURPOSE)
    known, chunks = content.manifest.run, chunks_of(_checked(content))
    first = next(chunks, None)
    tags = [*known["tags"], *([] if IMPORTED in known["tags"] else [IMPORTED])]
    made = store.create_run(
        known["env_id"],
        known["agent_name"],
        seed=known["seed"],
        config=RunConfig.of(known["config"]),
        tags=tags,
        parents=known["parents"],
        note="; ".join(filter(None, (known.get("note"), *content.notes))),
        what="import",
    )
    try:
        for chunk in itertools.chain([] if first is None else [first], chunks):
            store.append(made.id, chunk)
        status = "finished" if known["status"] == "finished" else "interrupted"
        checkpoint = _checkpoint(content.checkpoint, store.run(made.id))
        if known["evaluation"] is not None:
            store.update_run(made.id, evaluation=known["evaluation"])
        progress = {"seconds": known["seconds"], "status": status}
        store.append(made.id, checkpoint=checkpoint, keep=checkpoint is not None, **progress)
        return store.run(made.id)
    except BaseException:
        with suppress(RlbenchError):
            store.delete_run(made.id)
        raise


def _checked(content: Content) -> Iterator[Batch]:
    """Checks the batches that are read, and passes them on."""
    episodes, digests = 0, Digests(content.manifest.run, content.checkpoint)
    for batch in content.batches:
        if "rewards" not in batch.steps:
            raise UsageError("it has no column of rewards")
        episodes += len(batch)
        digests.add(batch)
        yield figured(finite(batch))
    other = f", or remove {content.described_by} to import them as they are" if content.described_by else ""
    if episodes != content.manifest.episodes:
        raise UsageError(f"expected {content.manifest.episodes} episodes, got {episodes}: export the run again{other}")
    found = digests.hexadecimal()
    for name, expected in content.manifest.digests.items():
        is_kept = name != "checkpoint" or content.keeps_checkpoint
        if is_kept and found.get(name) != expected:
            raise UsageError(f"the values of {name!r} are not those that were exported: export the run again{other}")


def _checkpoint(checkpoint: Checkpoint | None, record: RunRecord) -> Checkpoint | None:
    """Returns the checkpoint for the imported run: training resumes from it only if it is at the run's end."""
    if checkpoint is None:
        return None
    fits = (checkpoint.episodes, checkpoint.timesteps) == (record.episodes, record.timesteps)
    unfinished = not fits or bool(checkpoint.numbers.get("unfinished_episode", True))
    numbers = {**checkpoint.numbers, "unfinished_episode": unfinished}
    return Checkpoint(checkpoint.episodes, checkpoint.timesteps, checkpoint.arrays, numbers)
