"""Plots of models; matplotlib is imported on the first drawing.

    from rlbench.modelling import figures

    figures.save(figures.draw(model, "confusion"), "confusion.png")

The charts themselves, to draw on your own axes, are in `rlbench.modelling.charts`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import StoreError, UsageError, unknown_name
from rlbench.modelling import charts
from rlbench.modelling.charts import MOST_GROUPS, NAMED, PLANE
from rlbench.modelling.data import BUILT_IN, CsvFile, Dataset
from rlbench.modelling.kinds import CLASSES, COMPONENTS, GROUPS, NUMBERS, RATINGS, TEXTS, new_estimator
from rlbench.modelling.model import withheld_of
from rlbench.modelling.plan import Plan, Split, load_dataset, new_scaler, split
from rlbench.plots.style import check_path, new_figure, plain, save, styled

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rlbench.modelling.model import Model

__all__ = ["MODEL_PICTURES", "check", "draw", "kinds_of", "losses", "save"]

CLOUD_POINTS = 2000  # in a scatter plot: more would merge into a blot
SQUARE_SIDE = 0.42  # inches of a class in a confusion matrix
SHARES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the training rows, in a learning curve
MOST_ROWS = 20_000  # of a data set, when a plot trains on it again


class Picture(NamedTuple):
    """A kind of plot: the function that draws it, a description, the models it fits, and its size."""

    function: Callable[[Model, Axes], Any]
    text: str
    fits: Callable[[Model], bool]
    size: Callable[[Model], tuple[float, float]] = lambda _: (4.6, 3.3)


def _has(name: str) -> Callable[[Model], bool]:
    return lambda model: hasattr(model.estimator, name)


def _has_held_out_score(model: Model) -> bool:
    return model.task in (CLASSES, NUMBERS, TEXTS)


def _of_task(*tasks: str) -> Callable[[Model], bool]:
    return lambda model: model.task in tasks


def _draw_confusion(model: Model, ax: Axes) -> None:
    part = "test" if model.about["metrics"]["test"] else "train"
    figures = model.about["metrics"][part]
    charts.confusion(figures["confusion"], figures["classes"], ax)
    rows = "rows held out" if part == "test" else "rows learnt from"
    ax.set_title(f"{_title(model)}: {figures['accuracy']:.1%} of {figures['rows']:,} {rows} right")


def _draw_clusters(model: Model, ax: Axes) -> None:
    if len(model.features) < PLANE:
        raise UsageError("a plot of clusters needs at least two columns: draw the elbow")
    rows = model.prepared(_some_rows(_data_of(model)).rows)
    charts.clusters(rows, model.estimator.predict(rows), model.estimator.cluster_centers_, ax, names=model.features)
    ax.set_title(_title(model))


def _draw_elbow(model: Model, ax: Axes) -> None:
    from rlbench.models import elbow as inertias_of  # noqa: PLC0415  (an extra)

    rows = model.prepared(_some_rows(_data_of(model), MOST_ROWS).rows)
    most = min(max(MOST_GROUPS, model.estimator.n_clusters + 2), len(np.unique(rows, axis=0)))
    places = range(1, most + 1)
    charts.elbow(
        list(places), inertias_of(rows, places, random_state=model.about["seed"]), model.estimator.n_clusters, ax
    )
    ax.set_title(_title(model))


def _draw_variance(model: Model, ax: Axes) -> None:
    charts.explained_variance(model.estimator.explained_variance_ratio_, ax)
    ax.set_title(_title(model))


def _draw_components(model: Model, ax: Axes) -> None:
    if len(model.estimator.components_) < PLANE:
        raise UsageError("a plot of components needs at least two of them: train with n_components=2 or more")
    some = _some_rows(_data_of(model))
    charts.components(model.predict(some.rows)[:, :2], some.targets, ax)
    ax.set_title(_title(model))


def _draw_loss(model: Model, ax: Axes) -> None:
    lines = {name: values for name, values in losses(model.estimator).items() if len(values)}
    if not lines:
        raise UsageError(f"{model.kind} kept no loss: it learns in a single step")
    error = "error of the logarithms" if getattr(model.estimator, "unit_", 0) else "root mean squared error"
    size = model.about["data"]["chunk_rows"]
    xlabel = f"chunk of {size:,} rows" if size else "pass over the data"
    charts.loss_curve(lines, ax, xlabel=xlabel, ylabel=error if model.task == RATINGS else "loss")
    ax.set_title(_title(model))


LOSSES = {"loss_history_": "loss", "loss_curve_": "loss", "train_rmse_": "training", "validation_rmse_": "validation"}


def losses(estimator: Any) -> dict[str, NDArray[np.float64]]:
    """Returns the losses that an estimator kept, pass by pass, by name; empty if it keeps none."""
    return {text: np.asarray(getattr(estimator, name)) for name, text in LOSSES.items() if hasattr(estimator, name)}


def _has_losses(model: Model) -> bool:
    return any(len(values) > 1 for values in losses(model.estimator).values())


def _draw_learning(model: Model, ax: Axes) -> None:
    parts = _parts_of(model)
    if not len(parts.test_targets):
        raise UsageError("a learning curve needs held-out rows: train with test_size above 0")
    counts = sorted({max(2, round(share * len(parts.targets))) for share in SHARES})
    order = np.random.default_rng(model.about["seed"]).permutation(len(parts.targets))
    measured = [_score(model, parts, order[:count]) for count in counts]
    kept = [(count, pair) for count, pair in zip(counts, measured, strict=True) if pair is not None]
    name = "R2" if model.task == NUMBERS else "accuracy"
    train, test = zip(*(pair for _, pair in kept), strict=True)
    charts.learning_curve([count for count, _ in kept], train, test, ax, ylabel=name)
    ax.set_title(_title(model))


def _score(model: Model, parts: Split, chosen: NDArray[np.intp]) -> tuple[float, float] | None:
    """Trains a new estimator of the same kind on some rows, and scores it on those and on the held-out rows."""
    estimator = new_estimator(model.kind, model.about["settings"], model.about["seed"])
    targets = parts.targets[chosen]
    if model.task != NUMBERS and len(np.unique(targets)) < 2:  # noqa: PLR2004  (with one class there is nothing to learn)
        return None
    if isinstance(parts.rows, list):
        rows, test_rows = [parts.rows[i] for i in chosen], parts.test_rows
    else:
        rows, test_rows = parts.rows[chosen], parts.test_rows
        if model.scaler is not None:
            scaler = new_scaler().fit(rows)
            rows, test_rows = scaler.transform(rows), scaler.transform(test_rows)
    estimator.fit(rows, targets)
    return float(estimator.score(rows, targets)), float(estimator.score(test_rows, parts.test_targets))


def _draw_tree(model: Model, ax: Axes) -> None:
    charts.tree(model.estimator, ax, features=model.features)
    ax.set_title(_title(model))


def _draw_predictions(model: Model, ax: Axes) -> None:
    parts = _parts_of(model)
    held = bool(len(parts.test_targets))
    rows, right = (parts.test_rows, parts.test_targets) if held else (parts.rows, parts.targets)
    charts.predictions(right[:CLOUD_POINTS], model.predict(rows[:CLOUD_POINTS]), ax, name=model.about["data"]["target"])
    figures = model.about["metrics"]["test" if held else "train"]
    ax.set_title(f"{_title(model)}: R2 {figures['r2']:.3f}, {'rows held out' if held else 'rows learnt from'}")


def _draw_importances(model: Model, ax: Axes) -> None:
    charts.importances(model.features, model.estimator.feature_importances_, ax)
    ax.set_title(_title(model))


def _draw_words(model: Model, ax: Axes) -> None:
    charts.words(model.estimator, ax)
    ax.set_title(_title(model))


def _confusion_size(model: Model) -> tuple[float, float]:
    classes = len(model.estimator.classes_)
    side = 2.4 + SQUARE_SIDE * min(classes, 2 * NAMED)
    return side + 0.8, side


MODEL_PICTURES = {
    "confusion": Picture(
        _draw_confusion, "which classes are mistaken for which", _of_task(CLASSES, TEXTS), _confusion_size
    ),
    "predictions": Picture(_draw_predictions, "predicted numbers over the true ones", _of_task(NUMBERS)),
    "clusters": Picture(_draw_clusters, "groups and their centres", _of_task(GROUPS)),
    "elbow": Picture(_draw_elbow, "inertia over the number of clusters", _of_task(GROUPS)),
    "variance": Picture(_draw_variance, "variance explained by the components", _of_task(COMPONENTS)),
    "components": Picture(_draw_components, "rows along the first two components", _of_task(COMPONENTS)),
    "loss": Picture(_draw_loss, "the loss, pass by pass", _has_losses),
    "learning": Picture(_draw_learning, "the score over the number of training rows", _has_held_out_score),
    "tree": Picture(
        _draw_tree,
        "the questions of a tree",
        lambda model: model.kind in ("tree", "tree-regressor"),
        lambda model: charts.tree_size(model.estimator),
    ),
    "importance": Picture(_draw_importances, "how much each column counts", _has("feature_importances_")),
    "words": Picture(
        _draw_words,
        "the words that distinguish two classes",
        lambda model: model.task == TEXTS and len(model.estimator.classes_) == 2,  # noqa: PLR2004  (odds of two)
    ),
}


def kinds_of(model: Model) -> list[str]:
    """Returns the names of the plots that fit a model; the first is the default."""
    return [name for name, picture in MODEL_PICTURES.items() if picture.fits(model)]


def draw(model: Model, kind: str | None = None) -> Figure:
    """Draws a plot of a model for a file.

    Args:
        model: just trained, or read from a store. Plots that need its data read them again from their source.
        kind: one of MODEL_PICTURES; by default the first that fits.

    Raises:
        UsageError: the plot does not fit the model, or matplotlib is missing.
        StoreError: its data are gone or have changed.
    """
    fitting = kinds_of(model)
    name = kind or fitting[0]
    if name not in MODEL_PICTURES:
        raise unknown_name("plot of a model", name, MODEL_PICTURES)
    if name not in fitting:
        raise UsageError(f"{name} does not fit a {model.kind} model: draw {', '.join(fitting)}")
    with styled():
        figure = new_figure(MODEL_PICTURES[name].size(model))
        MODEL_PICTURES[name].function(model, figure.subplots())
    return figure


def check(kind: str | None = None, path: str | Path | None = None) -> None:
    """Checks the options before anything is read.

    Raises:
        UsageError: an unknown plot or file extension, or matplotlib is missing.
    """
    if kind is not None and kind not in MODEL_PICTURES:
        raise unknown_name("plot of a model", kind, MODEL_PICTURES)
    if path is not None:
        check_path(path)
    with styled():
        pass


def _title(model: Model) -> str:
    return plain(f"{model.name}@{model.version}" if model.name else model.kind)


# ------------------------------------------------------------------ the data behind the plots


def _data_of(model: Model) -> Dataset:
    """Reads a model's data again; StoreError if they are gone or have changed."""
    found = model.about["data"]
    source = found["source"]
    if source not in BUILT_IN:
        if not Path(source).is_file():
            raise StoreError(f"the data of this model are gone: {source}; draw a plot that does not need them")
        if CsvFile(source, encoding=found["encoding"]).fingerprint() != found["fingerprint"]:
            raise StoreError(f"{source} has changed since this model was trained on it: train again")
    return load_dataset(_plan_of(model))


def _plan_of(model: Model) -> Plan:
    found = model.about["data"]
    named = found["source"] not in BUILT_IN
    return Plan(
        model.kind,
        found["source"],
        (found["target"] or None) if named else None,
        tuple(found["features"]) if named else None,
        model.about["settings"],
        model.about["seed"],
        found["test_size"],
        model.scaler is not None,
        found["chunk_rows"],
        found["passes"],
        found["encoding"],
        progress=False,
        withheld=withheld_of(model, model.hashes),
    )


def _parts_of(model: Model) -> Split:
    found = model.about["data"]
    if found["chunk_rows"] is not None:
        raise UsageError("this plot needs all rows at once, but the file was read in chunks: draw another one")
    return split(_data_of(model), found["test_size"], model.about["seed"], by_class=model.task in (CLASSES, TEXTS))


def _some_rows(data: Dataset, most: int = CLOUD_POINTS) -> Dataset:
    """Returns a data set, reduced to at most `most` evenly spaced rows."""
    if len(data) <= most:
        return data
    chosen = np.linspace(0, len(data) - 1, most).astype(int)
    targets = None if data.targets is None else data.targets[chosen]
    return Dataset(data.source, data.rows[chosen], targets, data.features, data.target, data.fingerprint)
