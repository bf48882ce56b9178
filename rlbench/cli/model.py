"""`rlbench model ...`: train supervised and unsupervised models, keep them beside the runs, look at them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import rlbench
from rlbench.cli import completing
from rlbench.cli.groups import Group
from rlbench.cli.options import (
    examples,
    force_option,
    json_option,
    name_key_option,
    out_option,
    seed_option,
    store_option,
)
from rlbench.cli.output import confirm_deletion, print_json, print_table, say
from rlbench.errors import UsageError
from rlbench.files import written
from rlbench.lazy import LazyModule
from rlbench.settings import parse_settings
from rlbench.texts import to_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rlbench import modelling
    from rlbench.modelling import Entry, Model, figures, kinds
    from rlbench.modelling import data as data_files
else:  # NumPy only when a command runs, not for its --help
    modelling, data_files, figures, kinds = (
        LazyModule(f"rlbench.modelling{name}") for name in ("", ".data", ".figures", ".kinds")
    )

LISTING = ("id", "model", "kind", "data", "rows", "figure", "trained")
LIST_RIGHT = ("rows",)
LIST_OPTIONAL = ("trained", "rows", "kind")  # the first to go on a narrow terminal
MOST_PRINTED = 20  # whose confusion matrix is printed
DECIMALS = ".4f"
PREDICTED_AT_ONCE = 10_000  # rows of a file


@click.group(cls=Group, epilog=examples("rlbench model train tree", "rlbench model list", "rlbench model show latest"))
def model() -> None:
    """Train, store and inspect supervised and unsupervised models.

    MODEL is an id, a unique beginning of one, a name such as tree-iris (its newest version), tree-iris@1, or latest.
    """


@model.command(
    epilog=examples(
        "rlbench model train tree --data iris --set max_depth=3",
        "rlbench model train k-means --set n_clusters=3",
        "rlbench model train linear --data houses.csv --target SalePrice --features GrLivArea,GarageCars",
        "rlbench model train text --data reviews.csv --target sentiment --chunk-rows 5000",
    )
)
@click.argument("kind", shell_complete=completing.model_kinds)
@click.option(
    "--data",
    metavar="NAME|FILE",
    shell_complete=completing.file,
    help="iris, digits, wine, diabetes, breast-cancer, or a CSV file; by default iris, or diabetes for numbers.",
)
@click.option("--target", metavar="COLUMN", help="The column to predict; for a recommender, the ratings.")
@click.option("--features", metavar="A,B,C", help="The columns of a file to learn from; all others by default.")
@click.option("--drop", "dropped", multiple=True, metavar="COLUMN", help="Leave out this column; may be repeated.")
@click.option(
    "--hash",
    "hashed",
    multiple=True,
    metavar="COLUMN",
    help="Learn from keyed hashes of this column, never from its values; may be repeated.",
)
@name_key_option
@click.option("--set", "settings", multiple=True, metavar="K=V", help="A parameter of the model; may be repeated.")
@click.option("--name", metavar="NAME", help="By default the kind and the data, such as tree-iris.")
@click.option(
    "--test-size",
    type=float,
    metavar="SHARE",
    help="Share of the rows held out for testing; by default 0.25, and 0 for k-means and pca.",
)
@click.option(
    "--scale/--no-scale", default=None, help="Scale columns to mean 0 and deviation 1; the default depends on the kind."
)
@click.option(
    "--chunk-rows",
    type=int,
    metavar="N",
    help="Read a file N rows at a time; by default 10,000 for files over 256 MiB.",
)
@click.option(
    "--passes", type=int, metavar="N", default=1, show_default=True, help="Passes over a file read in chunks."
)
@click.option("--encoding", metavar="NAME", help="Encoding of the file, such as latin-1; UTF-8 by default.")
@seed_option
@store_option
@json_option
def train(
    kind: str,
    data: str | None,
    target: str | None,
    features: str | None,
    dropped: tuple[str, ...],
    hashed: tuple[str, ...],
    settings: tuple[str, ...],
    name: str | None,
    test_size: float | None,
    scale: bool | None,  # noqa: FBT001  (click calls by name)
    chunk_rows: int | None,
    passes: int,
    encoding: str | None,
    seed: int,
    store: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Train a KIND of model, measure it on held-out rows, and store it.

    KIND: linear, logistic, tree, tree-regressor, forest, k-means, pca, naive-bayes, text, recommender or network. A
    file has the names of its columns in the first line. A file larger than memory is learnt chunk by chunk.
    """
    kinds.kind_named(kind)
    with rlbench.open_store(store) as opened:
        trained = modelling.train_model(
            kind,
            data or ("diabetes" if modelling.KINDS[kind].task == kinds.NUMBERS else "iris"),
            target=target,
            features=_names(features),
            dropped=dropped,
            hashed=hashed,
            settings=parse_settings(settings, "--set"),
            seed=seed,
            test_size=test_size,
            scale=scale,
            chunk_rows=chunk_rows,
            passes=passes,
            encoding=encoding,
            progress=not as_json,
        )
        stored = modelling.save_model(opened, trained, name)
    if as_json:
        print_json(_document(stored))
    else:
        say("\n".join(_described(stored)))


@model.command("list", epilog=examples("rlbench model list", "rlbench model list --kind tree --json"))
@click.option("--kind", metavar="KIND", shell_complete=completing.model_kinds, help="Only models of this kind.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", default=20, show_default=True, help="At most this many."
)
@store_option
@json_option
def list_models(kind: str | None, limit: int, store: str, as_json: bool) -> None:  # noqa: FBT001
    """List the stored models, newest first.

    The figure is the accuracy, the R2, the explained variance, or the error of ratings, on rows that were held out if
    there are any; of k-means it is the mean squared distance from the centre.
    """
    if kind is not None:
        kinds.kind_named(kind)
    with rlbench.open_store(store, create=False) as opened:
        found = [entry for entry in modelling.models(opened) if kind in (None, entry.kind)][:limit]
    if as_json:
        print_json({"models": [_summary(entry) for entry in found]})
    elif not found:
        say("no models fit" if kind else "no models yet: train one with `rlbench model train tree`")
    else:
        print_table(LISTING, map(_row, found), right=LIST_RIGHT, optional=LIST_OPTIONAL)


@model.command(epilog=examples("rlbench model show latest", "rlbench model show tree-iris@1 --json"))
@click.argument("model", metavar="MODEL", shell_complete=completing.models)
@store_option
@json_option
def show(model: str, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Show what MODEL was trained on, how well it does, and the rules of a tree."""
    found = _loaded(store, model)
    if as_json:
        print_json(_document(found))
        return
    say("\n".join([*_described(found), *_details(found)]))


@model.command(
    epilog=examples(
        "rlbench model predict tree-iris --row 5.1,3.5,1.4,0.2",
        "rlbench model predict linear-houses --data new.csv --out prices.csv",
        "rlbench model predict recommender-plays --row 17",
    )
)
@click.argument("model", metavar="MODEL", shell_complete=completing.models)
@click.option("--row", "rows", multiple=True, metavar="A,B,C", help="Values, a text, or a user; may be repeated.")
@click.option(
    "--data",
    metavar="FILE",
    shell_complete=completing.file,
    help="A CSV file with the columns the model was trained on.",
)
@out_option("Write the predictions for --data to a new CSV file, whatever its size.")
@click.option("--encoding", metavar="NAME", help="Encoding of the file, such as latin-1; UTF-8 by default.")
@force_option
@name_key_option
@store_option
@json_option
def predict(
    model: str,
    rows: tuple[str, ...],
    data: str | None,
    out: str | None,
    encoding: str | None,
    force: bool,  # noqa: FBT001
    store: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Ask MODEL for the class, the number or the cluster of each row.

    A recommender names ten items for each user. A file is read and answered in chunks.
    """
    if bool(rows) == bool(data):
        raise UsageError("say what is asked: either --row, once or more, or --data FILE")
    if out and not data:
        raise UsageError("--out needs a data file: give --data FILE, or leave out --out")
    found = _loaded(store, model)
    answers = _answers_of_rows(found, rows) if rows else _answers_of_file(found, data or "", encoding)
    if out:
        n = _write(out, _heading(found), answers, overwrite=force)
        print_json({"model": found.id, "out": out, "rows": n}) if as_json else say(f"wrote {out} ({n:,} rows)")
    elif as_json:
        print_json({"model": found.id, "predictions": list(answers)})
    else:
        for answer in answers:
            say(_said(answer))


@model.command(epilog=examples("rlbench model compare tree-iris logistic-iris", "rlbench model compare 3f2a 77b0"))
@click.argument("refs", metavar="MODEL...", nargs=-1, required=True, shell_complete=completing.models)
@store_option
@json_option
def compare(refs: tuple[str, ...], store: str, as_json: bool) -> None:  # noqa: FBT001
    """Compare models side by side, on held-out rows where there are any.

    They must answer with the same thing, and have been measured on the same rows and target: otherwise no figure ranks
    them, and the command says what differs.
    """
    with rlbench.open_store(store, create=False) as opened:
        entries = {entry.id: entry for entry in (modelling.find_model(opened, ref).sound() for ref in refs)}
    found = list(entries.values())
    names = [list(_figures(entry)[1]) for entry in found]
    if any(own != names[0] for own in names):
        compared = ", ".join(dict.fromkeys(f"{entry.kind} ({modelling.KINDS[entry.kind].task})" for entry in found))
        raise UsageError(f"models that answer with different things do not compare: {compared}")
    _check_same_rows(found)
    if as_json:
        print_json({"models": [_summary(entry) for entry in found]})
        return
    shown = [[entry.title, _figures(entry)[0], *map(_number, _figures(entry)[1].values())] for entry in found]
    print_table(("model", "on", *names[0]), shown, right=names[0])


@model.command(epilog=examples("rlbench model plot latest", "rlbench model plot tree-iris --kind tree --out tree.svg"))
@click.argument("model", metavar="MODEL", shell_complete=completing.models)
@click.option(
    "--kind",
    metavar="KIND",
    help="confusion, predictions, clusters, elbow, variance, components, loss, learning, tree, importance or words; "
    "by default the first that fits.",
)
@out_option("A .png, .svg or .pdf; by default a PNG named after model and kind.")
@store_option
@json_option
def plot(model: str, kind: str | None, out: str | None, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Draw a picture of MODEL and write it to a file.

    Clusters, elbow, components, predictions and learning read the data again, where they came from.
    """
    figures.check(kind, out)
    found = _loaded(store, model)
    chosen = kind or figures.kinds_of(found)[0]
    path = figures.save(figures.draw(found, chosen), out or f"{found.name}-{found.version}-{chosen}.png")
    if as_json:
        print_json({"model": found.id, "kind": chosen, "out": str(path)})
    else:
        say(f"wrote {path}")


@model.command(epilog=examples("rlbench model delete tree-iris@1", "rlbench model delete 3f2a 77b0 --yes"))
@click.argument("refs", metavar="MODEL...", nargs=-1, required=True, shell_complete=completing.models)
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def delete(refs: tuple[str, ...], yes: bool, store: str, as_json: bool) -> None:  # noqa: FBT001
    """Delete models, after you confirm."""
    with rlbench.open_store(store, create=False) as opened:
        found = list({entry.id: entry for entry in (modelling.find_model(opened, ref) for ref in refs)}.values())
        if not yes:
            confirm_deletion("model", list(map(_row, found)))
        for entry in found:
            modelling.delete_model(opened, entry.id)
    if as_json:
        print_json({"deleted": [entry.id for entry in found]})
    else:
        say(f"deleted {', '.join(f'{entry.title} ({entry.id})' for entry in found)}")


def _loaded(store: str, ref: str) -> Model:
    with rlbench.open_store(store, create=False) as opened:
        return modelling.load_model(opened, ref)


def _names(text: str | None) -> list[str] | None:
    """Splits A,B,C as CSV does: a name that holds a comma stands between quotes."""
    return None if text is None else [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


# ------------------------------------------------------------------ what is asked


def _answers_of_rows(found: Model, rows: tuple[str, ...]) -> Iterator[Any]:
    if found.task == "ratings":
        for row in rows:
            if not found.knows(row):
                say(f"{row!r} is no {found.features[0]} in the data: what follows are the overall favourites", err=True)
        return iter([found.recommend(row).tolist() for row in rows])
    if found.task == "texts":
        return iter(found.predict(list(rows)).tolist())
    return iter(found.predict([_values(found, row) for row in rows]).tolist())


def _values(found: Model, row: str) -> list[Any]:
    cells = row.split(",")
    if len(cells) != len(found.features):
        names = ", ".join(found.features[:8]) + (", ..." if len(found.features) > 8 else "")  # noqa: PLR2004
        raise UsageError(f"--row takes {len(found.features)} values ({names}), got {len(cells)}")
    are_texts = [name in found.hashes for name in found.features]
    if not all(is_text or data_files.is_number(cell) for is_text, cell in zip(are_texts, cells, strict=True)):
        raise UsageError(f"--row takes numbers, got {row!r}")
    return [cell if is_text else float(cell) for is_text, cell in zip(are_texts, cells, strict=True)]


def _answers_of_file(found: Model, path: str, encoding: str | None) -> Iterator[Any]:
    withheld = modelling.withheld_of(found, found.features)
    file = modelling.CsvFile(path, encoding=encoding, withheld=withheld)
    columns = file.columns(found.features)
    for cells in file.chunks(PREDICTED_AT_ONCE):
        if found.task == "ratings":
            rows: Any = list(zip(*(cells.labels(column) for column in columns), strict=True))
        else:
            rows = cells.texts(columns[0]) if found.task == "texts" else cells.numbers(columns)
        yield from found.predict(rows).tolist()


def _heading(found: Model) -> list[str]:
    if found.task == "components":
        return [f"component {number + 1}" for number in range(len(found.estimator.components_))]
    return [found.about["data"]["target"] or "cluster"]


def _write(path: str, heading: list[str], answers: Iterable[Any], *, overwrite: bool) -> int:
    n = 0
    with written(Path(path), overwrite=overwrite) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(map(to_cell, heading))
        for answer in answers:
            cells = answer if isinstance(answer, list) else [answer]
            writer.writerow([to_cell(cell) if isinstance(cell, str) else cell for cell in cells])
            n += 1
    return n


def _said(answer: Any) -> str:
    if isinstance(answer, list):
        return ",".join(map(_said, answer))
    return f"{answer:.6g}" if isinstance(answer, float) else str(answer)


# ------------------------------------------------------------------ what is said


def _figures(entry: Entry | Model) -> tuple[str, dict[str, float | None]]:
    """Returns where a model was measured, and its figures, the first the most telling."""
    metrics = entry.about["metrics"]
    part = "test" if metrics["test"] else "train"
    found = metrics[part]
    names = ("accuracy", "macro_f1", "r2", "rmse", "mae", "explained_variance", "mean_squared_distance")
    where = f"{found['rows']:,} rows {'held out' if part == 'test' else 'learnt from'}"
    return where, {name: found[name] for name in names if name in found}


def _number(value: float | None) -> str:
    return "-" if value is None else format(value, DECIMALS) if abs(value) < 1e4 else f"{value:.6g}"  # noqa: PLR2004


def _row(entry: Entry) -> list[str]:
    trained = entry.created_at[:19].replace("T", " ")
    if entry.problem:
        return [entry.id, entry.title, "", "", "", entry.problem, trained]
    _, figures = _figures(entry)
    name, value = next(iter(figures.items()))
    source = entry.about["data"]["source"].replace("\\", "/").rpartition("/")[2]
    rows = entry.about["data"]["rows"] + entry.about["data"]["test_rows"]
    figure = f"{name.replace('_', ' ')} {_number(value)}"
    return [entry.id, entry.title, entry.kind, source, f"{rows:,}", figure, trained]


def _summary(entry: Entry) -> dict[str, Any]:
    return {
        "model": entry.id,
        "name": entry.name,
        "version": entry.version,
        "kind": entry.kind,
        "created_at": entry.created_at,
        "bytes": entry.size,
        **({"damaged": entry.problem} if entry.problem else entry.about),
    }


def _document(found: Model) -> dict[str, Any]:
    return {
        "model": found.id,
        "name": found.name,
        "version": found.version,
        "kind": found.kind,
        "created_at": found.created_at,
        "estimator": type(found.estimator).__name__,
        "parameters": _parameters(found),
        "scaled": found.scaler is not None,
        **found.about,
    }


def _parameters(found: Model) -> dict[str, Any]:
    named = found.estimator.get_params(deep=False)
    return {name: value if _is_plain(value) else repr(value) for name, value in named.items()}


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | list | tuple)


def _described(found: Model) -> list[str]:
    data = found.about["data"]
    n = len(data["features"])
    by_logarithms = bool(getattr(found.estimator, "unit_", 0))  # of ratings
    scaled = ", scaled" if found.scaler is not None else ", by logarithms" if by_logarithms else ""
    lines = [
        f"{found.name}@{found.version} ({found.id}): {type(found.estimator).__name__} on {data['source']}, "
        f"{data['rows']:,} rows learnt from and {data['test_rows']:,} held out, "
        f"{n} column{'s' if n > 1 else ''}{scaled}, {found.about['seconds']:.2f} s"
    ]
    for part, text in (("train", "learnt from"), ("test", "held out")):
        metrics = found.about["metrics"][part]
        if metrics:
            values = [f"{name.replace('_', ' ')} {_number(value)}" for name, value in _named(metrics)]
            lines.append(f"  {text:<12}{', '.join(values)}")
    return lines


def _named(metrics: dict[str, Any]) -> list[tuple[str, float | None]]:
    return [
        (name, value)
        for name, value in metrics.items()
        if (isinstance(value, float) or value is None) and name != "rows"
    ]


def _details(found: Model) -> Iterator[str]:
    settings = ", ".join(f"{name}={value}" for name, value in _parameters(found).items())
    yield f"  parameters  {settings}"
    yield f"  data        {found.about['data']['fingerprint'][:16]}... (SHA-256), seed {found.about['seed']}"
    if "dropped" in found.about["data"]:
        yield f"  dropped     {', '.join(found.about['data']['dropped'])}"
    for name, key in found.hashes.items():
        yield f"  hashed      {name}, by the key {key}"
    metrics = found.about["metrics"]["test"] or found.about["metrics"]["train"]
    if "report" in metrics:
        yield from _report(metrics)
    if "sizes" in metrics:
        yield f"  clusters of {', '.join(f'{size:,}' for size in metrics['sizes'])} rows"
    if "ratios" in metrics:
        shares = ", ".join(f"{share:.4f}" for share in metrics["ratios"][:10])
        yield f"  variance    {shares}{', ...' if len(metrics['ratios']) > 10 else ''}"  # noqa: PLR2004  (a line)
    if hasattr(found.estimator, "nodes_") and not hasattr(found.estimator, "roots_"):
        from rlbench.models import export_text  # noqa: PLC0415  (scikit-learn)

        yield ""
        yield export_text(found.estimator, feature_names=found.features).rstrip("\n")


def _report(metrics: dict[str, Any]) -> Iterator[str]:
    width = max(map(len, [*metrics["classes"], "class"]))
    yield ""
    yield f"  {'class':<{width}}  precision  recall      f1    rows"
    for name, found in metrics["report"].items():
        numbers = f"{found['precision']:>9.4f}  {found['recall']:.4f}  {found['f1']:.4f}  {found['rows']:>6,}"
        yield f"  {name:<{width}}  {numbers}"
    if len(metrics["classes"]) <= MOST_PRINTED:
        cell = max(4, max(len(f"{count:,}") for row in metrics["confusion"] for count in row) + 1)
        yield ""
        yield "  right (a row) and answered (a column, in the same order)"
        for name, row in zip(metrics["classes"], metrics["confusion"], strict=True):
            yield f"  {name:<{width}}  {''.join(f'{count:>{cell},}' for count in row)}"


def _check_same_rows(entries: list[Entry]) -> None:
    """Refuses models whose figures do not rank them, saying what differs."""
    for what, advice, known in COMPARED:
        found = {entry.title: known(entry) for entry in entries}
        first, *others = found
        other = next((title for title in others if found[title] != found[first]), None)
        if other:
            told = f"{first} {found[first]}, {other} {found[other]}"
            raise UsageError(f"these models do not compare, they were measured {what} ({told}): {advice}")


def _rows_measured(entry: Entry) -> str:
    data = entry.about["data"]
    if not data["test_size"]:
        return "all rows"
    chunks = f" in chunks of {data['chunk_rows']:,}" if data["chunk_rows"] else ""
    return f"{data['test_size']:g} of the rows, seed {entry.about['seed']}{chunks}"


def _distances(entry: Entry) -> str:
    """Returns between what distances are measured, for the kinds that have no target to measure by."""
    data = entry.about["data"]
    if modelling.KINDS[entry.kind].task not in (kinds.GROUPS, kinds.COMPONENTS):
        return "any"
    return f"{', '.join(data['features'])}{', scaled' if data.get('scaled') else ''}"


COMPARED: tuple[tuple[str, str, Callable[[Entry], str]], ...] = (  # what must be the same, and what to do otherwise
    ("on different data", "train them on the same", lambda entry: f"SHA-256 {entry.about['data']['fingerprint'][:12]}"),
    ("by different targets", "train them for the same", lambda entry: entry.about["data"]["target"]),
    ("on different rows of the same data", "give the same --seed, --test-size and --chunk-rows", _rows_measured),
    ("in different units", "give the same columns (--features), scaled or not", _distances),
)
