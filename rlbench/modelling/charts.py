"""Charts: each function takes figures and an optional `ax`, draws on it and returns it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    axes_or_new,
    plain,
    styled,
    whole_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

SHADES = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK)  # of groups and classes; yellow is hard to see
NAMED = 12  # classes: up to here, counts are written into the squares
MOST_GROUPS = 10  # with a colour and a legend entry
FEW_POINTS = 20  # of a line: up to here, each one is marked
TOP = 12  # features or words in a list
LEVELS = 4  # of a tree: deeper ones are illegible
DARK = 0.5  # on a colour scale: text above it is white
NARROW, LEAF_WIDTH, WIDE_LEAF, LEVEL_HEIGHT = 3.6, 0.95, 1.2, 0.8  # inches of a tree: the narrowest, leaf, level
LEAF, CHILDREN = -1, ("left", "right")
PLANE = 2  # dimensions of a plot


# ------------------------------------------------------------------ one chart each


def confusion(counts: ArrayLike, classes: Sequence[Any], ax: Axes | None = None) -> Axes:
    """Draws how often each class was predicted for each true class.

    Args:
        counts: (n_classes, n_classes), a row per true class, a column per predicted class.
        classes: the names of the classes.
        ax: where to draw; a new figure's by default.
    """
    table = np.asarray(counts)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    with styled():
        ax = axes_or_new(ax)
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
        names = [plain(name) for name in classes]
        tilted = max(map(len, names)) > 3 and len(names) > 3  # noqa: PLR2004  (short names fit)
        ax.set_xticks(range(len(names)), names, rotation=45 if tilted else 0, ha="right" if tilted else "center")
        ax.set_yticks(range(len(names)), names)
        ax.set(xlabel="predicted class", ylabel="true class")
        ax.grid(visible=False)
        ax.spines[:].set_visible(False)
        if len(names) <= NAMED:
            for (row, column), count in np.ndenumerate(table):
                color = "white" if shares[row, column] > DARK else BLACK
                ax.text(column, row, f"{count:,}" if count else "", ha="center", va="center", color=color, fontsize=8)
    return ax


def clusters(
    rows: ArrayLike,
    labels: ArrayLike,
    centers: ArrayLike,
    ax: Axes | None = None,
    *,
    names: Sequence[str] = ("first column", "second column"),
) -> Axes:
    """Draws rows (n, d >= 2) in the colour of their cluster, and the centres (k, d) on top.

    Two columns are drawn as they are, with their names; more columns, along two principal components.
    """
    points, middles = np.asarray(rows, dtype=np.float64), np.asarray(centers, dtype=np.float64)
    named = np.asarray(labels)
    if points.shape[1] > PLANE:
        from rlbench.models import PCA  # noqa: PLC0415  (an extra)

        plane = PCA(PLANE).fit(points)
        points, middles = plane.transform(points), plane.transform(middles)
        names = ("first component", "second component")
    with styled():
        ax = axes_or_new(ax)
        for k in range(len(middles)):
            chosen = points[named == k]
            ax.scatter(chosen[:, 0], chosen[:, 1], s=10, color=SHADES[k % len(SHADES)], alpha=0.6, linewidths=0)
        ax.scatter(
            middles[:, 0], middles[:, 1], s=90, marker="X", color=BLACK, edgecolors="white", label="centres", zorder=3
        )
        ax.set(xlabel=plain(names[0]), ylabel=plain(names[1]))
        ax.legend(loc="best")
    return ax


def components(rows: ArrayLike, targets: ArrayLike | None, ax: Axes | None = None) -> Axes:
    """Draws rows (n, >= 2) along the first two components, in the colour of their targets (n,), if given."""
    seen = np.asarray(rows, dtype=np.float64)
    with styled():
        ax = axes_or_new(ax)
        right = None if targets is None else np.asarray(targets)
        if right is None or right.dtype.kind == "f" or len(np.unique(right)) > MOST_GROUPS:
            drawn = ax.scatter(seen[:, 0], seen[:, 1], s=10, c=BLUE if right is None else _heights(right), linewidths=0)
            if right is not None:
                ax.figure.colorbar(drawn, ax=ax, label="target")
        else:
            for number, label in enumerate(np.unique(right)):
                chosen = seen[right == label]
                marker = "osD"[number // len(SHADES) % 3]
                ax.scatter(
                    chosen[:, 0], chosen[:, 1], s=12, marker=marker, color=SHADES[number % len(SHADES)], linewidths=0,
                    label=plain(label), alpha=0.8,
                )  # fmt: skip
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        ax.set(xlabel="first component", ylabel="second component")
    return ax


def _heights(targets: NDArray[Any]) -> Any:
    """Returns targets as positions on a colour scale; labels by their order."""
    return targets if targets.dtype.kind == "f" else np.unique(targets, return_inverse=True)[1]


def explained_variance(ratios: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draws the share of the variance that each component explains, and the cumulative share."""
    shares = np.asarray(ratios, dtype=np.float64)
    places = np.arange(1, len(shares) + 1)
    with styled():
        ax = axes_or_new(ax)
        ax.bar(places, shares, color=BLUE, label="each")
        ax.plot(places, np.cumsum(shares), color=ORANGE, marker="o", markersize=3, label="together")
        ax.set(xlabel="component", ylabel="share of the variance", ylim=(0, 1.04))
        whole_numbers(ax.xaxis)
        ax.legend(loc="center right")
    return ax


def loss_curve(
    lines: Mapping[str, ArrayLike],
    ax: Axes | None = None,
    *,
    xlabel: str = "pass over the data",
    ylabel: str = "loss",
) -> Axes:
    """Draws the loss pass by pass, one line per name."""
    with styled():
        ax = axes_or_new(ax)
        for number, (name, values) in enumerate(lines.items()):
            heights = np.asarray(values, dtype=np.float64)
            marker = "o" if len(heights) <= FEW_POINTS else None
            ax.plot(
                np.arange(1, len(heights) + 1), heights, color=SHADES[number], label=name, marker=marker, markersize=3
            )
        ax.set(xlabel=xlabel, ylabel=ylabel)
        whole_numbers(ax.xaxis)
        if len(lines) > 1:
            ax.legend(loc="best")
    return ax


def learning_curve(
    rows: ArrayLike, train: ArrayLike, test: ArrayLike, ax: Axes | None = None, *, ylabel: str = "score"
) -> Axes:
    """Draws the training and test scores (n,) over the number of training rows (n,)."""
    with styled():
        ax = axes_or_new(ax)
        ax.plot(rows, train, color=ORANGE, marker="o", markersize=4, label="rows learnt from")
        ax.plot(rows, test, color=BLUE, marker="o", markersize=4, label="rows held out")
        ax.set(xlabel="rows learnt from", ylabel=ylabel)
        ax.set_xlim(left=0)
        ax.legend(loc="best")
    return ax


def elbow(n_clusters: ArrayLike, inertias: ArrayLike, chosen: int | None = None, ax: Axes | None = None) -> Axes:
    """Draws the inertia over the number of clusters, and marks the number `chosen`."""
    places, heights = np.asarray(n_clusters), np.asarray(inertias, dtype=np.float64)
    with styled():
        ax = axes_or_new(ax)
        ax.plot(places, heights, color=BLUE, marker="o", markersize=4)
        if chosen is not None and chosen in places:
            at = int(np.flatnonzero(places == chosen)[0])
            ax.scatter([chosen], [heights[at]], s=45, color=VERMILION, zorder=3, label=f"{chosen}, as trained")
            ax.legend(loc="best")
        ax.set(xlabel="clusters", ylabel="inertia", ylim=(0, None))
        whole_numbers(ax.xaxis)
    return ax


def predictions(right: ArrayLike, answers: ArrayLike, ax: Axes | None = None, *, name: str = "target") -> Axes:
    """Draws predicted numbers over the true ones (n,); on the line they are equal."""
    x, y = np.asarray(right, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    with styled():
        ax = axes_or_new(ax)
        ax.plot([low, high], [low, high], color=GREY, linewidth=1)
        ax.scatter(x, y, s=12, color=BLUE, alpha=0.6, linewidths=0)
        ax.set(xlabel=plain(name), ylabel=plain(f"{name}, predicted"))
    return ax


def importances(names: Sequence[str], shares: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draws the importance of each feature, largest first, at most TOP features."""
    heights = np.asarray(shares, dtype=np.float64)
    order = np.argsort(-heights, kind="stable")[:TOP]
    with styled():
        ax = axes_or_new(ax)
        ax.barh(np.arange(len(order))[::-1], heights[order], color=BLUE)
        ax.set_yticks(np.arange(len(order))[::-1], [plain(names[i]) for i in order])
        ax.set(xlabel="share of the impurity decrease")
        ax.grid(visible=False, axis="y")
    return ax


def scores(rows: ArrayLike, right: ArrayLike, model: Any, ax: Axes | None = None, *, name: str = "x") -> Axes:
    """Draws the probability of the second class over one column (n,), and the rows of both classes."""
    x, labels = np.asarray(rows, dtype=np.float64).ravel(), np.asarray(right)
    places = np.linspace(x.min(), x.max(), 200)
    with styled():
        ax = axes_or_new(ax)
        ax.plot(places, model.predict_proba(places[:, None])[:, 1], color=BLUE)
        for number, label in enumerate(model.classes_):
            at = x[labels == label]
            ax.scatter(at, np.full(len(at), float(number)), s=28, color=(VERMILION, ORANGE)[number], label=plain(label))
        ax.set(xlabel=plain(name), ylabel=plain(f"probability of {model.classes_[1]}"), ylim=(-0.06, 1.06))
        ax.legend(loc="center right")
    return ax


def words(classifier: Any, ax: Axes | None = None, *, n: int = TOP) -> Axes:
    """Draws the words of a two-class TextClassifier that speak most for either class, by their log odds."""
    names = list(classifier.tokenizer_.vocabulary_)
    logs = classifier.naive_bayes_.feature_log_prob_
    odds = logs[1] - logs[0] if len(logs) > 1 else logs[0]
    order = np.argsort(odds, kind="stable")
    chosen = np.unique(np.concatenate([order[: n // 2], order[-(n // 2) :]]))
    chosen = chosen[np.argsort(odds[chosen], kind="stable")]
    with styled():
        ax = axes_or_new(ax)
        ax.barh(range(len(chosen)), odds[chosen], color=np.where(odds[chosen] > 0, BLUE, VERMILION).tolist())
        ax.set_yticks(range(len(chosen)), [plain(names[i]) for i in chosen])
        first, second = (plain(label) for label in classifier.classes_[:2])
        ax.set(xlabel=f"speaks for {first} (left) or {second} (right): log odds")
        ax.grid(visible=False, axis="y")
    return ax


# ------------------------------------------------------------------ trees


class _Box(NamedTuple):
    """The position and text of a node of a drawn tree."""

    x: float
    depth: int
    text: str
    color: str
    parent: int  # index of a box, -1 for the root
    answer: str


def tree(
    model: Any,
    ax: Axes | None = None,
    *,
    features: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    levels: int = LEVELS,
    ask: Callable[[int, float], tuple[str, bool]] | None = None,
) -> Axes:
    """Draws a fitted decision tree: a question in each box, its answers below, leaves in the colour of their class.

    Args:
        model: `DecisionTreeClassifier` or `DecisionTreeRegressor`.
        ax: where to draw; a new figure's by default, as wide as the tree needs.
        features: names of the columns.
        classes: names of the classes.
        levels: the depth to which questions are shown; "..." stands for deeper ones.
        ask: takes the number of the feature and the threshold; returns the question in other words, and whether yes
            leads to the left.
    """
    named = list(features) if features is not None else [f"feature {i}" for i in range(model.n_features_in_)]
    labels = list(classes) if classes is not None else [str(label) for label in getattr(model, "classes_", [])]
    say = ask or (lambda feature, threshold: (f"{named[feature]} <= {threshold:.3g}", True))
    boxes = _boxes(model, say, labels, levels)
    with styled():
        ax = axes_or_new(ax, tree_size(model, levels))
        ax.set_axis_off()
        ax.grid(visible=False)
        for box in boxes:
            if box.parent >= 0:
                above = boxes[box.parent]
                ax.plot([above.x, box.x], [-above.depth, -box.depth], color=GREY, linewidth=0.8, zorder=1)
                ax.text(
                    (above.x + box.x) / 2, -(above.depth + box.depth) / 2, box.answer, fontsize=7, color=GREY,
                    ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
                )  # fmt: skip
        for box in boxes:
            style = {"boxstyle": "round,pad=0.35", "facecolor": box.color, "edgecolor": GREY, "linewidth": 0.6}
            ax.text(box.x, -box.depth, box.text, ha="center", va="center", fontsize=7, bbox=style, zorder=2)
        width = max(box.x for box in boxes)
        ax.set(xlim=(-0.6, width + 0.6), ylim=(-max(box.depth for box in boxes) - 0.5, 0.5))
    return ax


def tree_size(model: Any, levels: int = LEVELS, *, wide: bool = False) -> tuple[float, float]:
    """Returns the size of the chart of a tree in inches; `wide` if its questions are sentences."""
    boxes = _boxes(model, lambda _, __: ("", True), [], levels)
    parents = {box.parent for box in boxes}
    leaves = sum(1 for at in range(len(boxes)) if at not in parents)
    depth = max(box.depth for box in boxes)
    return max(NARROW, (WIDE_LEAF if wide else LEAF_WIDTH) * leaves), 0.9 + LEVEL_HEIGHT * depth


def _boxes(model: Any, say: Callable[[int, float], tuple[str, bool]], labels: list[str], levels: int) -> list[_Box]:
    """Lays out a tree: leaves side by side, each question centred above its children."""
    boxes: list[_Box] = []
    next_leaf = 0

    def place(node: int, depth: int, parent: int, answer: str) -> float:
        nonlocal next_leaf
        entry, at = model.nodes_[node], len(boxes)
        boxes.append(_Box(0.0, depth, "", PALE, parent, answer))
        if entry["left"] == LEAF or depth == levels:
            x = float(next_leaf)
            next_leaf += 1
            text, color = _leaf_text(model, node, labels)
            text = text if entry["left"] == LEAF else f"...\n{text}"
        else:
            asked, yes_is_left = say(int(entry["feature"]), float(entry["threshold"]))
            words = ("yes", "no") if yes_is_left else ("no", "yes")
            below = [place(int(entry[side]), depth + 1, at, word) for side, word in zip(CHILDREN, words, strict=True)]
            x, text, color = sum(below) / 2, plain(asked), "white"
        boxes[at] = boxes[at]._replace(x=x, text=text, color=color)
        return x

    place(0, 0, -1, "")
    return boxes


def _leaf_text(model: Any, node: int, labels: list[str]) -> tuple[str, str]:
    value, rows = model.values_[node], int(model.nodes_["n_samples"][node])
    if not hasattr(model, "classes_"):
        return f"{value[0]:.4g}\n{rows:,} rows", PALE
    best = int(value.argmax())
    name = plain(labels[best]) if labels else ""
    return f"{name}\n{value[best]:.0%} of {rows:,}", _tinted(SHADES[best % len(SHADES)])


def _tinted(color: str) -> str:
    """Returns a lighter colour, on which black text is legible."""
    parts = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - 0.35 * (255 - part)):02x}" for part in parts)
