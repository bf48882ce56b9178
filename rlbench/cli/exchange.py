"""`rlbench export` and `rlbench import`: runs out to files of other programs, and in again."""

from __future__ import annotations

import re

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.options import (
    env_filter_option,
    examples,
    find_run,
    force_option,
    json_option,
    out_option,
    store_option,
    trust_option,
)
from rlbench.cli.output import print_json, say
from rlbench.errors import UsageError
from rlbench.exchange import check_source
from rlbench.exchange.manifest import WHATS
from rlbench.exchange.minari_datasets import DATA_FORMATS
from rlbench.exchange.transfer import FORMATS
from rlbench.store.sealed import is_encrypted

EPISODE_RANGE = re.compile(r"(-?\d{1,15})|(-?\d{1,15})?:(-?\d{1,15})?")

format_option = click.option(
    "--format",
    "kind",
    type=click.Choice(list(FORMATS)),
    help="By default taken from the file extension; minari writes a folder.",
)


@click.command(
    epilog=examples(
        "rlbench export latest --out run.hdf5",
        "rlbench export best --env safecab --what results --out curve.csv",
        "rlbench export latest --out steps.csv.gz --next-observation",
        "rlbench export latest --out run.hdf5.sealed --encrypt --key-file rlbench.key",
        "rlbench export latest --out s3://bucket/curves/run.csv --what results",
        "rlbench export latest --format minari --out datasets/safecab-v0 --episodes 0:100",
    )
)
@click.argument("run", shell_complete=completing.runs)
@out_option("Where to write: a file, or for minari a folder; also in the cloud.", "path", required=True)
@format_option
@click.option(
    "--what",
    type=click.Choice(WHATS),
    default="episodes",
    show_default=True,
    help="Every step, the learning curve (a row per episode), or the agent's table.",
)
@click.option(
    "--episode",
    "--episodes",
    "episodes",
    metavar="A:B",
    help="Only these episodes: 7, 0:100, -10: (the last ten) or 0:10,50.",
)
@click.option(
    "--next-observation",
    is_flag=True,
    help="In a table, a column with the next observation in every row.",
)
@click.option("--data-format", type=click.Choice(DATA_FORMATS), help="How Minari stores the episodes; by default hdf5.")
@click.option(
    "--encrypt", is_flag=True, help="Encrypt the file with the key; `rlbench import` reads it again with the same."
)
@force_option
@trust_option
@env_filter_option
@store_option
@json_option
def export(
    run: str,
    path: str,
    kind: str | None,
    what: str,
    episodes: str | None,
    next_observation: bool,  # noqa: FBT001
    data_format: str | None,
    encrypt: bool,  # noqa: FBT001
    force: bool,  # noqa: FBT001
    env_filter: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001
    trust: bool,  # noqa: FBT001
) -> None:
    """Write RUN to a file: csv, json, parquet, feather, hdf5, or a Minari dataset.

    RUN is an id, a unique beginning of one, latest, or best. What is written can be imported again, exactly. A file
    .csv.gz or .json.gz is packed; a CSV file is described by another beside it, such as run.csv.json. --encrypt
    encrypts a file of any format, which may then be called run.json.sealed. To s3://bucket/run.csv, gs:// or az:// the
    file goes once it is complete.
    """
    with rlbench.open_store(store, create=False) as opened:
        needs = "agent" if what == "table" else "episodes"
        found = rlbench.Run(find_run(opened, run, env_filter, needs=needs), opened, trust=trust)
        indices = None if episodes is None else _indices(episodes, found.episodes)
        written = rlbench.export(
            found,
            path,
            kind,
            what=what,
            indices=indices,
            data_format=data_format,
            next_observation=next_observation,
            overwrite=force,
            encrypt=encrypt,
        )
        if is_encrypted(opened.backend) and not encrypt:
            say(f"{written.path} is plain, though the store is encrypted: --encrypt encrypts it too", err=True)
    if as_json:
        counts = {"what": written.what, "format": written.format, "episodes": written.episodes}
        print_json({"run": found.id, **counts, "path": str(written.path)})
    else:
        counted = "" if what == "table" else f", {written.episodes:,} episodes"
        say(f"run {found.id}: {what} written to {written.path} ({written.format}{counted})")


@click.command(
    "import",
    epilog=examples(
        "rlbench import run.hdf5",
        "rlbench import datasets/safecab-v0 --json",
        "rlbench import alone.csv --env CartPole-v1",
    ),
)
@click.argument("path", shell_complete=completing.file)
@format_option
@click.option(
    "--env",
    metavar="ENV",
    shell_complete=completing.envs,
    help="The env that was played, if the file does not tell it.",
)
@store_option
@json_option
def import_(path: str, kind: str | None, env: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Import the episodes in PATH as a new run.

    PATH is what `rlbench export` wrote, encrypted or not, or the folder of any Minari dataset, whose env need not be
    installed. Another program may have saved a CSV file again. What cannot be imported is named.
    """
    check_source(path, kind)  # before a store is made
    with rlbench.open_store(store) as opened:
        record = rlbench.import_run(path, opened, kind, env=env)
    counts = {"episodes": record.episodes, "timesteps": record.timesteps}
    if as_json:
        known = {"run": record.id, "env_id": record.env_id, "agent": record.agent_name, "seed": record.seed}
        print_json({**known, **counts, "tags": record.tags, "note": record.note})
    else:
        say(
            f"run {record.id}: {record.agent_name} on {record.env_id}, "
            f"{record.episodes:,} episodes, {record.timesteps:,} steps, imported from {path}"
        )
        if record.note:
            say(record.note, err=True)


def _indices(text: str, count: int) -> list[int]:
    """Parses --episodes: a number, A:B, or several of these separated by commas."""
    found: list[int] = []
    for part in map(str.strip, text.split(",")):
        match = EPISODE_RANGE.fullmatch(part)
        if not match:
            raise UsageError(f"--episodes takes a number or A:B, such as 0:100, got {part!r}")
        single, start, stop = (int(bound) if bound else None for bound in match.groups())
        found += range(count)[slice(start, stop)] if single is None else [single]
    return found
