"""`rlbench store ...`: info, check, audit, sql, copy, backup, migrate, compact, prune, key, encrypt, ..."""

from __future__ import annotations

import re
import sys
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.compiling import says_that_it_compiles
from rlbench.cli.groups import Group
from rlbench.cli.listing import print_runs
from rlbench.cli.options import (
    examples,
    find_run,
    force_option,
    json_option,
    key_option,
    limit_option,
    name_key_option,
    store_option,
    trust_option,
)
from rlbench.cli.output import cell, print_csv, print_json, print_table, say
from rlbench.errors import UsageError
from rlbench.files import path_of, written
from rlbench.keys import Key, name_key, read_key
from rlbench.lazy import LazyModule
from rlbench.store import Store, checking, copying, encrypting, pruning, spool
from rlbench.store import audit as logs
from rlbench.store.pseudonyms import Pseudonyms, pseudonymise
from rlbench.store.sealed import as_stored
from rlbench.store.sql import answered, columns_of
from rlbench.texts import strict_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rlbench import modelling
    from rlbench.replaying import MigrationResult
    from rlbench.store.copying import CopyResult
    from rlbench.studies import copying as moving
    from rlbench.studies.copying import StudyCopy
else:  # Gymnasium only where there are studies
    modelling, moving = map(LazyModule, ("rlbench.modelling", "rlbench.studies.copying"))

ROWS = 100  # of an answer that a table shows
HASH = re.compile("[0-9a-f]{64}")
AUDIT = ("entry", "when", "who", "what", "record")
LONGEST = 60  # characters of a text in it, where there are several columns
SLOW = 500_000  # steps: reading more takes seconds
MIGRATED = ("chunks", "migrated", "bytes_before", "bytes_after")  # of a migration


@click.group(cls=Group, epilog=examples("rlbench store info", "rlbench store check"))
def store() -> None:
    """Maintain a store: count its records, check, query, copy, back up, prune, encrypt."""


@store.command(epilog=examples("rlbench store info", "rlbench store info --store mongodb://127.0.0.1/rl"))
@store_option
@json_option
def info(store: str, as_json: bool) -> None:  # noqa: FBT001  (click calls by name)
    """Count the records in the store."""
    with rlbench.open_store(store, create=False) as opened:
        found = {"store": opened.url, **checking.info(opened)}
    if as_json:
        print_json(found)
        return
    say(str(found.pop("store")))
    encrypted = "yes" if found.pop("encrypted") else "no"
    for name, count in found.items():
        say(f"  {name:<12}{count:>16,}")
    say(f"  {'encrypted':<12}{encrypted:>16}")


@store.command(epilog=examples("rlbench store check", "rlbench store check 3f2a"))
@click.argument("run", required=False, shell_complete=completing.runs)
@store_option
@json_option
def check(run: str | None, store: str, as_json: bool) -> int:  # noqa: FBT001
    """Verify every checksum and reference, of RUN or of all, and name what is damaged.

    The exit code is 1 if anything is.
    """
    with rlbench.open_store(store, create=False) as opened:
        damages = list(checking.check(opened, run))
        runs = 1 if run else len(opened.runs(study="all"))
    if as_json:
        print_json({"store": opened.url, "runs": runs, "damages": [damage._asdict() for damage in damages]})
        return int(bool(damages))
    for damage in damages:
        where = f"run {damage.run}, {damage.where}" if damage.run else damage.where
        say(f"{where}: {damage.problem}")
    say(f"{opened.url}: {runs:,} runs checked, {len(damages) or 'nothing'} damaged")
    return int(bool(damages))


@store.command(
    epilog=examples(
        "rlbench store audit",
        "rlbench store audit --verify --head $(cat head)",
        "rlbench store audit --export audit.jsonl",
    )
)
@click.option("--verify", is_flag=True, help="Say only whether the log is intact.")
@click.option("--head", metavar="HASH", help="A hash that was kept elsewhere: an entry must have it.")
@click.option(
    "--export",
    "path",
    metavar="FILE",
    shell_complete=completing.file,
    help="Write all entries to a file as well, a JSON object a line.",
)
@force_option
@limit_option
@store_option
@json_option
def audit(
    verify: bool,  # noqa: FBT001  (click calls by name)
    head: str | None,
    path: str | None,
    force: bool,  # noqa: FBT001
    limit: int,
    store: str,
    as_json: bool,  # noqa: FBT001
) -> int:
    """Show who did what to which record and when, the latest last, and whether the log is intact.

    Each entry has the SHA-256 of the one before: one that was changed, removed or put elsewhere is named with its
    place. A log whose end was cut off, or that was written anew, is found by --head, a hash that an earlier command
    printed. The exit code is 1 if the log is not intact.
    """
    if head is not None and not HASH.fullmatch(head):
        raise UsageError(f"--head takes a hash of 64 hexadecimal digits, as commands print it, got {head!r:.80}")
    with rlbench.open_store(store, create=False) as opened:
        entries = opened.entries()
    found = list(logs.problems(entries, head or ""))
    if path is not None:
        with written(path_of(path), overwrite=force) as draft:
            draft.write_text("".join(f"{strict_json(entry._asdict())}\n" for entry in entries), "utf-8")
    last = entries[-1].hash if entries else ""
    if as_json:
        told = {"entries": [entry._asdict() for entry in entries], "intact": not found, "head": last}
        print_json({"store": opened.url, **told, "problems": found})
        return int(bool(found))
    if not verify and entries:
        print_table(AUDIT, [(str(one.number), one.when[:19].replace("T", " "), *one[2:5]) for one in entries[-limit:]])
    for problem in found:
        say(problem)
    ends = f", head {last}" if last else ""
    say(f"{opened.url}: {len(entries):,} entries, {'not intact' if found else 'intact'}{ends}")
    return int(bool(found))


@store.command(
    epilog=examples(
        "rlbench store sql",
        'rlbench store sql "select agent_name, avg(mean_return) from runs group by agent_name"',
        'rlbench store sql "select action, count(*) from steps group by action" latest --csv',
    )
)
@click.argument("query", required=False)
@click.argument("runs", nargs=-1, shell_complete=completing.runs)
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, every row.")
@store_option
@json_option
def sql(
    query: str | None,
    runs: tuple[str, ...],
    as_csv: bool,  # noqa: FBT001
    store: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Answer QUERY, one SELECT over the tables runs, episodes and steps, with the rows of RUNS or of all runs.

    Without QUERY, list the tables and their columns. The store is only read: nothing is written into it, and a query
    reads no more of it than it names. Tags, studies, parents, parameters, env_kwargs, evaluation and config are JSON:
    parameters ->> 'learning_rate'. The table shows the first 100 rows, and of several columns the beginnings of long
    texts; --csv and --json print all.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json are two ways to print: choose one")
    with rlbench.open_store(store, create=False, read_only=True) as opened:
        refs = [find_run(opened, ref).id for ref in runs] or None
        if query is None:
            _print_columns(opened, as_json=as_json)
            return
        with answered(opened.backend, query, refs, on_damaged=_leave_out, on_rows=_tell_progress) as (columns, rows):
            if as_json:
                print_json({"columns": columns, "rows": [list(map(_exact, row)) for row in rows]})
            elif as_csv:
                print_csv(columns, rows)
            else:
                _print_answer(columns, list(islice(rows, ROWS)), rows)


def _print_columns(opened: Store, *, as_json: bool) -> None:
    tables = columns_of(opened.backend, opened.runs(study="all", on_damaged=_leave_out))
    if as_json:
        print_json({"tables": tables})
    else:
        print_table(("table", "columns"), [(name, ", ".join(columns)) for name, columns in tables.items()])


def _print_answer(columns: list[str], found: list[tuple[Any, ...]], rest: Iterator[tuple[Any, ...]]) -> None:
    numbers = [name for n, name in enumerate(columns) if all(isinstance(row[n], int | float | None) for row in found)]
    texts = [list(map(cell, row)) for row in found]
    longest = LONGEST if len(columns) > 1 else sys.maxsize
    print_table(columns, [[_shortened(text, longest) for text in row] for row in texts], right=numbers)
    if any(len(text) > longest for row in texts for text in row):
        say("long texts are cut: --csv and --json print all", err=True)
    if next(rest, None) is not None:
        say(f"these are the first {ROWS} rows: --csv and --json print all", err=True)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _exact(value: Any) -> Any:
    return cell(value) if isinstance(value, bytes) else value


def _leave_out(_run_id: str, problem: str) -> None:
    say(f"{problem}: it is left out", err=True)


def _tell_progress(done: int, total: int) -> None:
    if total > SLOW:
        _show_progress("reading steps", done, total)


def _show_progress(what: str, done: int, total: int) -> None:
    """Shows how much is done, on a terminal, in a line that vanishes in the end."""
    if sys.stderr.isatty():
        end = "\r\x1b[K" if done >= total else ""
        click.echo(f"\r{what}: {done / total:4.0%} of {total:,}{end}", nl=False, err=True)


@store.command(
    epilog=examples(
        "rlbench store copy rlbench.db mongodb://127.0.0.1/rl",
        "rlbench store copy rlbench.db s3://bucket/prefix",
        "rlbench store copy a.db b.db 3f2a",
        "rlbench store copy a.db b.db --study cliff",
    )
)
@click.argument("source", shell_complete=completing.file)
@click.argument("target", shell_complete=completing.file)
@click.argument("runs", nargs=-1)
@click.option("--study", metavar="STUDY", help="Copy this study, with its runs, instead.")
@key_option
@json_option
def copy(source: str, target: str, runs: tuple[str, ...], study: str | None, as_json: bool) -> int:  # noqa: FBT001
    """Copy RUNS, a study, or everything, from the store SOURCE to the store TARGET.

    Runs keep their ids, and the copies equal them record by record. Runs that are there already are not copied again;
    an interrupted copy continues where it stopped; damaged runs are named and left out, and the exit code is 1. To a
    study that is there already, what only SOURCE knows is added. If SOURCE is the spool of a training whose store went
    away, its steps are uploaded to the run that they belong to.
    """
    if study is not None and runs:
        raise UsageError("RUNS and --study are two things to copy: give one of the two")

    def tell(result: CopyResult) -> None:
        _tell_problem(result)
        if not result.problem and not as_json:
            say(f"run {result.run}: {result.action} ({result.chunks:,} chunks, {result.size:,} bytes)")

    with rlbench.open_store(source, create=False) as one, rlbench.open_store(target) as other:
        uploaded = {**spool.upload(one, other, claim=True), **spool.recover(other)}
        for run, entries in uploaded.items() if not as_json else ():
            say(f"run {run}: uploaded from the spool ({entries:,} entries)")
        results, copied = _copied(one, other, runs, study, tell)
        for each in copied:
            _tell_study(each, as_json=as_json)
        if as_json:
            places = {"source": one.url, "target": other.url, "uploaded": uploaded}
            found = {"runs": [result._asdict() for result in results], "studies": [each._asdict() for each in copied]}
            print_json({**places, **found})
    return int(any([*(result.problem for result in results), *(each.problem for each in copied)]))


def _copied(
    source: Store, target: Store, runs: tuple[str, ...], study: str | None, tell: Callable[[CopyResult], object]
) -> tuple[list[CopyResult], list[StudyCopy]]:
    if study is not None:
        results, copied = moving.copy_study(source, target, study, on_run=tell)
        return results, [copied]
    if runs or not source.snapshots("study"):
        return copying.copy(source, target, runs or None, on_run=tell), []
    return moving.copy_all(source, target, on_run=tell)


def _tell_study(result: StudyCopy, *, as_json: bool) -> None:
    if result.problem:
        say(f"{result.problem}: it is not copied", err=True)
    elif not as_json:
        say(f"study {result.study}: {result.action}")


@store.command(
    epilog=examples("rlbench store backup rlbench-2026-11-21.db", "rlbench store backup --to s3://bucket/backups/lab")
)
@click.argument("path", required=False, shell_complete=completing.file)
@click.option(
    "--to", metavar="URL", shell_complete=completing.file, help="Back up into the store at this address instead."
)
@store_option
@json_option
def backup(path: str | None, to: str | None, store: str, as_json: bool) -> int:  # noqa: FBT001
    """Write a snapshot of the store to the new SQLite file PATH, or keep one elsewhere up to date.

    A file is consistent even while others write to the store. With --to, such as s3://bucket/prefix, each run is as of
    the moment it was copied; what is there already is not sent again, and what was deleted here stays there.
    """
    if (path is None) == (to is None):
        raise UsageError("a backup goes to a new file PATH, or with --to URL into another store: give one of the two")
    with rlbench.open_store(store, create=False) as opened:
        if path is None:
            return _back_up(opened, str(to), as_json=as_json)
        written = copying.backup(opened, path)
    size = written.stat().st_size
    if as_json:
        print_json({"store": opened.url, "backup": str(written), "bytes": size})
    else:
        say(f"{opened.url} is kept in {path} ({size:,} bytes)")
    return 0


def _back_up(source: Store, to: str, *, as_json: bool) -> int:
    with rlbench.open_store(to) as target:
        results, studies = _copied(source, target, (), None, _tell_problem)
    problems = [each for each in studies if each.problem]
    for each in problems:
        _tell_study(each, as_json=as_json)
    damaged, sent = sum(bool(result.problem) for result in results), sum(result.size for result in results)
    if as_json:
        told = {"store": source.url, "backup": target.url, "bytes": sent}
        print_json({**told, "runs": len(results) - damaged, "damaged": damaged})
    else:
        say(f"{source.url} is kept in {target.url} ({len(results) - damaged:,} runs, {sent:,} bytes sent)")
    return int(bool(damaged or problems))


def _tell_problem(result: CopyResult) -> None:
    if result.problem:
        say(f"{result.problem}: it is not copied", err=True)


@store.command(epilog=examples("rlbench store migrate", "rlbench store migrate --store mongodb://127.0.0.1/rl"))
@store_option
@trust_option
@json_option
@says_that_it_compiles
def migrate(store: str, trust: bool, as_json: bool) -> int:  # noqa: FBT001
    """Store again, in fewer bytes, what an earlier version of rlbench wrote.

    Steps that follow from the transition table of their env, and figures that follow from the steps, are no longer
    written out: a chunk is exchanged only if it then reads the same, bit for bit. Everything else stays as it is, and
    is named. It can be stopped, even killed, at any moment: the same command goes on. Others may use the store
    meanwhile; a run that another process is writing is left as it is. If anything is damaged, it is named, and the
    exit code is 1. `rlbench store compact` then gives the freed space back to the disk.
    """
    from rlbench.replaying import migration  # noqa: PLC0415  (Gymnasium)

    def tell(result: MigrationResult) -> None:
        if result.problem:
            say(f"{result.problem}: it stays as it is", err=True)
        if not as_json and (result.migrated or result.left):
            say(f"run {result.run}: {_migrated(result._asdict())}")
            for why, chunks in result.left.items():
                say(f"  steps of {chunks:,} stay as they are: {why}")

    def show(run: str, done: int, total: int) -> None:
        if not as_json:
            _show_progress(f"run {run}, chunks", done, total)

    with rlbench.open_store(store, create=False) as opened:
        results = migration.migrate(opened, trust=trust, on_run=tell, on_chunk=show)
    counts = {name: sum(getattr(result, name) for result in results) for name in MIGRATED}
    if as_json:
        left = sum((Counter(result.left) for result in results), Counter())
        print_json({"store": opened.url, **counts, "left": left, "runs": [result._asdict() for result in results]})
    else:
        say(f"{opened.url}: {_migrated(counts)}")
    return int(any(result.problem for result in results))


def _migrated(counts: dict[str, Any]) -> str:
    chunks, migrated, before, after = (counts[name] for name in MIGRATED)
    return f"{migrated:,} of {chunks:,} chunks migrated ({before:,} bytes before, {after:,} now)"


@store.command(epilog=examples("rlbench store compact"))
@store_option
@json_option
def compact(store: str, as_json: bool) -> None:  # noqa: FBT001
    """Free the space of deleted runs."""
    with rlbench.open_store(store, create=False) as opened:
        before = checking.info(opened)["bytes"]
        opened.backend.compact()
        after = checking.info(opened)["bytes"]
    if as_json:
        print_json({"store": opened.url, "bytes_before": before, "bytes": after})
    else:
        say(f"{opened.url}: {before:,} bytes before, {after:,} now")


@store.command(
    epilog=examples(
        "rlbench store prune --keep-last 5 --keep-best 1", "rlbench store prune --keep-best 3 --older-than 30d --yes"
    )
)
@click.option("--keep-last", type=click.IntRange(min=0), metavar="N", help="Keep the newest N of each env and agent.")
@click.option("--keep-best", type=click.IntRange(min=0), metavar="N", help="Keep the N with the highest evaluations.")
@click.option("--older-than", metavar="AGE", help="Keep what was begun since, such as 12h, 30d or 8w ago.")
@click.option("--yes", is_flag=True, help="Delete them; without it they are only listed.")
@store_option
@json_option
def prune(
    keep_last: int | None,
    keep_best: int | None,
    older_than: str | None,
    yes: bool,  # noqa: FBT001  (click calls by name)
    store: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Show the runs that nothing keeps, of each env and agent, and with --yes delete them.

    A run is kept if any of the options keeps it. Runs in training, runs with a tag or a note, and those of studies are
    kept always; episodes that a kept run shares stay with it. `rlbench store compact` then gives the space back.
    """
    age = None if older_than is None else pruning.age_of(older_than)
    with rlbench.open_store(store, create=False) as opened:
        found = pruning.superfluous(opened, keep_last=keep_last, keep_best=keep_best, older_than=age)
        if found and not as_json:
            print_runs(found)
        for run in found if yes else ():
            opened.delete_run(run.id, what="prune")
    if as_json:
        print_json({"store": opened.url, "deleted" if yes else "would_delete": [run.id for run in found]})
    elif not found:
        say(f"{opened.url}: every run is kept")
    else:
        say(f"{opened.url}: {len(found):,} runs " + ("deleted" if yes else "would be deleted: --yes deletes them"))


@store.command(epilog=examples("rlbench store key --out rlbench.key", "rlbench store key > rlbench.key"))
@click.option(
    "--out", metavar="FILE", shell_complete=completing.file, help="Write it to a new file that only you read."
)
@json_option
def key(out: str | None, as_json: bool) -> None:  # noqa: FBT001
    """Print a new key for encrypted stores.

    Keep it apart from the store, and keep a copy: without it, what it encrypted is lost.
    """
    made = Key.new()
    if out is not None:
        made.write(out)
        say(f"the key {made.id} is in {out}: keep a copy elsewhere", err=as_json)
    if as_json:
        print_json({"id": made.id} if out is not None else {"id": made.id, "key": made.text()})
    elif out is None:
        say(made.text())


@store.command(
    epilog=examples(
        "rlbench store encrypt --key-file rlbench.key", "rlbench store encrypt --encrypt-figures --key-file rlbench.key"
    )
)
@click.option("--encrypt-figures", is_flag=True, help="Encrypt names, parameters, tags, notes and evaluations as well.")
@store_option
@json_option
def encrypt(encrypt_figures: bool, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Encrypt what the store holds, or make a new store that is encrypted.

    Episodes, checkpoints, buffers and models are encrypted with the key (AES-256-GCM), each for its place; from then on
    whoever reads or trains needs the key. What `rlbench runs` lists stays readable, unless --encrypt-figures encrypts
    it too: then counts, times and statuses stay. It can be stopped, even killed, at any moment: the same command goes
    on.
    """
    encrypting.check_key()
    with rlbench.open_store(store) as opened:
        count = encrypting.encrypt(opened, figures=encrypt_figures)
    _tell_blobs(opened, "encrypted", count, as_json=as_json)


@store.command(epilog=examples("rlbench store decrypt --key-file rlbench.key"))
@store_option
@json_option
def decrypt(store: str, as_json: bool) -> None:  # noqa: FBT001
    """Decrypt everything that the store holds; it needs no key any more."""
    encrypting.check_key()
    with rlbench.open_store(store, create=False) as opened:
        count = encrypting.decrypt(opened)
    _tell_blobs(opened, "decrypted", count, as_json=as_json)


def _tell_blobs(opened: Store, done: str, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"store": opened.url, done: count})
    else:
        say(f"{opened.url}: {count:,} records {done}")


@store.command("rotate-key", epilog=examples("rlbench store rotate-key --key-file old.key --new-key-file new.key"))
@click.option(
    "--new-key-file", metavar="FILE", required=True, shell_complete=completing.file, help="The key from now on."
)
@store_option
@json_option
def rotate_key(new_key_file: str, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Hand the store over to a new key: the old one then opens nothing.

    The data is not written again: only the keys that encrypt it are, which are themselves encrypted with yours. Whoever
    has copied the store and knows the old key can still read that copy.
    """
    encrypting.check_key()
    with rlbench.open_store(store, create=False) as opened:
        count = encrypting.rotate(opened, read_key(new_key_file))
    if as_json:
        print_json({"store": opened.url, "data_keys": count})
    else:
        say(f"{opened.url}: {count:,} data keys are encrypted with the new key")


@store.command(
    "pseudonymise",
    epilog=examples(
        "rlbench store pseudonymise --key-file rlbench.key",
        "rlbench store pseudonymise --only Ada --only 'Grace Hopper' --key-file rlbench.key",
        "rlbench store pseudonymise --show Ada --key-file rlbench.key",
    ),
)
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="NAME",
    help="Replace only this name, as a word in tags and notes; may be repeated.",
)
@click.option("--show", metavar="NAME", help="Print the pseudonym of a name, and change nothing.")
@name_key_option
@store_option
@json_option
def pseudonymise_command(
    names: tuple[str, ...],
    show: str | None,
    store: str,
    as_json: bool,  # noqa: FBT001  (click calls by name)
) -> None:
    """Replace names in tags, the hosts of trainings that were killed, and the users of recommenders, for good.

    A name becomes a keyed hash of it (HMAC-SHA-256): the same name the same one, and nothing leads back. Of a tag such
    as person:Ada what follows the label is replaced, else all of it; in notes only what --only names. What was done
    is in the lineage of a run and the record of a model. It can be killed at any moment: the same command goes on.
    """
    if (key := name_key()) is None:
        raise UsageError("pseudonyms take a key: give --name-key-file FILE, or the store's key by --key-file FILE")
    pseudonyms = Pseudonyms(key, names)
    if show is not None:
        print_json({"pseudonym": pseudonyms.of(show), "key": key.id}) if as_json else say(pseudonyms.of(show))
        return
    with rlbench.open_store(store, create=False) as opened:
        plain = Store(as_stored(opened.backend))
        models = 0 if names else modelling.pseudonymise_models(plain, pseudonyms)
        runs = pseudonymise(plain, pseudonyms)
    if as_json:
        print_json({"store": opened.url, "key": key.id, "runs": runs, "models": models})
    else:
        say(f"{opened.url}: names replaced in {runs:,} runs and {models:,} models, by the key {key.id}")
