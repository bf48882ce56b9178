"""Decision trees (CART): greedy splits, cost-complexity pruning, and export as text."""
# ruff: noqa: N803 - X is the field's and scikit-learn's name

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from rlbench.errors import UsageError
from rlbench.models._validation import check_choice, check_number, encode_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

NO_LIMIT = 2**31 - 1
LEAF = -1
ROUNDING = 1e-12  # of the root's impurity: alphas this close count as equal


class PruningPath(NamedTuple):
    """The subtrees that pruning produces in turn: the alpha at which each starts, and its impurity."""

    ccp_alphas: Floats  # ascending, the first 0
    impurities: Floats


def read_rows(estimator: Any, *data: Any, **named: Any) -> Any:
    """Returns X as float32, and y if given, as scikit-learn's `validate_data` reads and checks them."""
    with np.errstate(over="ignore"):  # validate_data rejects the overflow as too large
        return validate_data(estimator, *data, dtype=np.float32, order="C", **named)


def presort(X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Returns X (n, d) transposed (d, n), and the row order (d, n) that sorts each column."""
    columns = np.ascontiguousarray(X.T)
    return columns, np.argsort(columns, axis=1, kind="stable").astype(np.int32)


def count_features(max_features: Any, n_features: int) -> int:
    """Returns how many features a split tries, for None (all), a number, a share, "sqrt" or "log2"."""
    named = {"sqrt": np.sqrt, "log2": np.log2}
    if isinstance(max_features, str):
        check_choice("max_features", max_features, named)
        return max(1, int(named[max_features](n_features)))
    if max_features is None:
        return n_features
    if isinstance(max_features, (float, np.floating)):
        check_number("max_features as a share", max_features, low=0, high=1, above=True)
        return max(1, int(max_features * n_features))
    check_number("max_features", max_features, low=1, high=n_features, integer=True)
    return int(max_features)


def check_growth(tree: Any) -> None:
    """Raises UsageError if `max_depth`, `min_samples_leaf` or `ccp_alpha` is out of range."""
    if tree.max_depth is not None:
        check_number("max_depth", tree.max_depth, low=1, integer=True)
    check_number("min_samples_leaf", tree.min_samples_leaf, low=1, integer=True)
    check_number("ccp_alpha", tree.ccp_alpha, low=0)


def grow(presorted: Any, targets: Any, n_values: int, criterion: int, tree: Any, seed: int) -> Any:
    """Grows and prunes a tree with the parameters of `tree`; returns its nodes and values."""
    from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

    columns, order = presorted
    max_depth = NO_LIMIT if tree.max_depth is None else min(int(tree.max_depth), NO_LIMIT)
    leaf = min(int(tree.min_samples_leaf), NO_LIMIT)
    limits = _tree.Limits(max_depth, leaf, count_features(tree.max_features, len(columns)))
    weighed = targets.weights[order] > 0
    if not weighed.any():  # older versions of scikit-learn do not check
        raise UsageError("sample_weight must have a positive entry, got only zeros")
    order = order[weighed].reshape(len(order), -1)
    nodes, values = _tree.grow(columns, order, targets, n_values, criterion, limits, np.uint64(seed))
    return prune(nodes, values, float(tree.ccp_alpha)) if tree.ccp_alpha > 0 else (nodes, values)


def prune(nodes: NDArray[np.void], values: Floats, ccp_alpha: float) -> tuple[NDArray[np.void], Floats]:
    """Returns the smallest subtree that minimises impurity + ccp_alpha * leaves (Breiman et al., chapter 3)."""
    from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

    order, alphas, _ = _tree.weakest_links(nodes)
    collapsed = np.zeros(len(nodes), bool)
    collapsed[order[alphas[1:] <= ccp_alpha + ROUNDING * nodes["impurity"][0]]] = True
    kept = _tree.reachable(nodes, collapsed)
    new_index = np.cumsum(kept) - 1
    for side in ("left", "right"):
        nodes[side] = np.where(collapsed | (nodes[side] == LEAF), LEAF, new_index[nodes[side]])
    nodes["feature"][collapsed] = LEAF
    nodes["threshold"][collapsed] = 0.0
    return nodes[kept], values[kept]


def importances(nodes: NDArray[np.void], n_features: int) -> Floats:
    """Returns each feature's share of the total impurity decrease, (n_features,)."""
    gains = np.zeros(n_features)
    inner = nodes[nodes["left"] != LEAF]
    mass = nodes["weight"] * nodes["impurity"]
    np.add.at(gains, inner["feature"], inner["weight"] * inner["impurity"] - mass[inner["left"]] - mass[inner["right"]])
    return gains / gains.sum() if gains.sum() > 0 else gains


class _DecisionTree(BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """What both trees share: growing, pruning, and walking from the root to a row's leaf."""

    CRITERIA: ClassVar[dict[str, int]]  # name -> code of _tree

    nodes_: NDArray[np.void]
    values_: Floats
    n_features_in_: int

    def cost_complexity_pruning_path(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> PruningPath:
        """Returns the alphas at which a tree for X and y loses branches, and its impurity from each alpha on."""
        from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

        whole = type(self)(**{**self.get_params(), "ccp_alpha": 0.0}).fit(X, y, sample_weight)
        return PruningPath(*_tree.weakest_links(whole.nodes_)[1:])

    def apply(self, X: ArrayLike) -> NDArray[np.intp]:
        """Returns the index in `nodes_` of the leaf that each row of X reaches, (n_samples,)."""
        from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

        check_is_fitted(self)
        rows = read_rows(self, X, reset=False)
        leaves = np.empty(len(rows), np.intp)
        _tree.leaves_of(self.nodes_, 0, rows, leaves)
        return leaves

    def get_depth(self) -> int:
        """Returns the number of splits on the longest path."""
        from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

        check_is_fitted(self)
        return int(_tree.depths_of(self.nodes_).max())

    def get_n_leaves(self) -> int:
        """Returns the number of leaves."""
        check_is_fitted(self)
        return int((self.nodes_["left"] == LEAF).sum())

    @property
    def feature_importances_(self) -> Floats:
        """Each feature's share of the total impurity decrease, (n_features,)."""
        check_is_fitted(self)
        return importances(self.nodes_, self.n_features_in_)

    def _learn(self, X: NDArray[np.float32], codes: Any, values: Any, sample_weight: Any, n_values: int) -> None:
        from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        targets = _tree.Targets(codes.astype(np.int32), values.astype(np.float64), weights)
        seed = check_random_state(self.random_state).randint(1, NO_LIMIT)
        criterion = self.CRITERIA[self.criterion]
        self.nodes_, self.values_ = grow(presort(X), targets, n_values, criterion, self, seed)

    def _check_parameters(self) -> None:
        check_choice("criterion", self.criterion, self.CRITERIA)
        check_growth(self)


class DecisionTreeRegressor(RegressorMixin, _DecisionTree):  # type: ignore[misc] # scikit-learn carries no types
    """A regression tree: splits x[feature] <= threshold, each chosen to leave the least variance.

    A node t holds N_t of N rows; its value is their mean, its impurity R(t) = 1/N_t * sum (y_i - mean)**2. Over all
    features and all midpoints between neighbouring values, the split into L and R minimises

        N_L / N_t * R(L) + N_R / N_t * R(R)

    with ties going to the first feature, until no node can be split. With ccp_alpha > 0 the branches below t then
    collapse, weakest first, wherever (R(t) - R(branch)) / (leaves - 1) <= ccp_alpha, each R weighted by N_t / N.
    Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984), chapters 8 and 3; the tree of the
    house-price chapter of "Hands-On Machine Learning from Scratch" (Valkov). Columns are sorted once and stay sorted
    through all splits: O(features * rows) per level. X is stored as float32, as in scikit-learn.

    Args:
        criterion: "squared_error", the variance.
        max_depth: maximum splits from root to leaf; None for no limit.
        min_samples_leaf: minimum rows in a leaf.
        max_features: features tried per split, drawn anew each time: a number, a share as float, "sqrt", "log2"; None
            for all.
        ccp_alpha: penalty per leaf in cost-complexity pruning, >= 0.
        random_state: seed or generator for the draw of features.

    Attributes:
        nodes_: structured array (n_nodes,), the root first and parents before children: "left" and "right" (indices,
            -1 in a leaf), "feature", "threshold", "n_samples", "weight", "impurity".
        values_: mean of each node, (n_nodes, 1).
        feature_importances_: each feature's share of the total impurity decrease, (n_features,).
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        >>> from rlbench.models import DecisionTreeRegressor
        >>> from rlbench.models.tree import export_text
        >>> rooms, price = [[1], [2], [3], [6], [7]], [100, 110, 105, 300, 340]
        >>> model = DecisionTreeRegressor(max_depth=1).fit(rooms, price)
        >>> model.predict([[2], [9]])
        array([105., 320.])
        >>> print(export_text(model, feature_names=["rooms"]))
        |--- rooms <= 4.50
        |   |--- value: [105.00]
        |--- rooms >  4.50
        |   |--- value: [320.00]
        <BLANKLINE>
    """

    CRITERIA: ClassVar[dict[str, int]] = {"squared_error": 0}

    def __init__(
        self,
        *,
        criterion: str = "squared_error",
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        max_features: float | str | None = None,
        ccp_alpha: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.ccp_alpha = ccp_alpha
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Grows a tree for X (n_samples, n_features) and numbers y (n_samples,), rows weighted by `sample_weight`."""
        self._check_parameters()
        rows, numbers = read_rows(self, X, y, y_numeric=True)
        self._learn(rows, np.zeros(len(rows)), numbers, sample_weight, 1)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Returns the mean of the leaf that each row reaches, (n_samples,)."""
        leaves = self.apply(X)
        return np.asarray(self.values_[leaves, 0])


class DecisionTreeClassifier(ClassifierMixin, _DecisionTree):  # type: ignore[misc] # scikit-learn carries no types
    """A classification tree: splits x[feature] <= threshold, each chosen to leave the purest children.

    A node's value is p, the class shares among its rows, and its impurity

        gini: 1 - sum_c p_c**2        entropy: -sum_c p_c log2 p_c

    A split minimises the impurity of its children, weighted by their rows; growing and cost-complexity pruning are
    those of `DecisionTreeRegressor`. Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984),
    chapters 4 and 3. X is stored as float32, as in scikit-learn.

    Args:
        criterion: "gini" or "entropy".
        max_depth: maximum splits from root to leaf; None for no limit.
        min_samples_leaf: minimum rows in a leaf.
        max_features: features tried per split, drawn anew each time: a number, a share as float, "sqrt", "log2"; None
            for all.
        ccp_alpha: penalty per leaf in cost-complexity pruning, >= 0.
        random_state: seed or generator for the draw of features.

    Attributes:
        classes_: sorted labels, (n_classes,).
        nodes_: structured array (n_nodes,), the root first and parents before children: "left" and "right" (indices,
            -1 in a leaf), "feature", "threshold", "n_samples", "weight", "impurity".
        values_: class shares of each node, (n_nodes, n_classes).
        feature_importances_: each feature's share of the total impurity decrease, (n_features,).
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data, and for continuous labels.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> from rlbench.models import DecisionTreeClassifier
        >>> from rlbench.models.tree import export_text
        >>> iris = load_iris()
        >>> model = DecisionTreeClassifier(max_depth=2).fit(iris.data, iris.target_names[iris.target])
        >>> print(export_text(model, feature_names=iris.feature_names))
        |--- petal length (cm) <= 2.45
        |   |--- class: setosa
        |--- petal length (cm) >  2.45
        |   |--- petal width (cm) <= 1.75
        |   |   |--- class: versicolor
        |   |--- petal width (cm) >  1.75
        |   |   |--- class: virginica
        <BLANKLINE>
    """

    CRITERIA: ClassVar[dict[str, int]] = {"gini": 1, "entropy": 2}

    def __init__(
        self,
        *,
        criterion: str = "gini",
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        max_features: float | str | None = None,
        ccp_alpha: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.ccp_alpha = ccp_alpha
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Grows a tree for X (n_samples, n_features) and labels y (n_samples,), rows weighted by `sample_weight`."""
        self._check_parameters()
        rows, labels = read_rows(self, X, y)
        self.classes_, codes = encode_labels(labels)
        self._learn(rows, codes, np.ones(len(rows)), sample_weight, len(self.classes_))
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Returns the most frequent label of the leaf that each row reaches, (n_samples,)."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Returns the class shares of the leaf that each row reaches, (n_samples, n_classes)."""
        leaves = self.apply(X)
        return self.values_[leaves]

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Returns the logarithms of `predict_proba`, (n_samples, n_classes); -inf for a share of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))


def export_text(
    tree: DecisionTreeClassifier | DecisionTreeRegressor,
    *,
    feature_names: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    max_depth: int = 10,
    decimals: int = 2,
) -> str:
    """Returns a fitted tree as text, one split or leaf per line, in the layout of scikit-learn's `export_text`.

    Below `max_depth` splits, only a branch's depth is shown. Raises UsageError unless there is one name per feature or
    class, and scikit-learn's NotFittedError.
    """
    check_is_fitted(tree)
    check_number("max_depth", max_depth, low=0, integer=True)
    check_number("decimals", decimals, low=0, integer=True)
    features = _names("feature_names", feature_names, [f"feature_{i}" for i in range(tree.n_features_in_)])
    classes = _names("class_names", class_names, [str(label) for label in getattr(tree, "classes_", [])])
    return "".join(f"{line}\n" for line in _lines(tree, features, classes, max_depth, decimals))


def _names(what: str, names: Sequence[str] | None, default: list[str]) -> list[str]:
    """Returns the given names as text, or the defaults if None; raises UsageError for a wrong number of names."""
    if names is None:
        return default
    if len(names) != len(default):
        raise UsageError(f"{what} must contain {len(default)} names, got {len(names)}")
    return [str(name) for name in names]


def _lines(tree: Any, features: list[str], classes: list[str], max_depth: int, decimals: int) -> Iterator[str]:
    """Yields the lines of a tree from the root down; uses a stack, as a branch may exceed Python's recursion limit."""
    stack: list[tuple[int, int, str]] = [(0, 0, "")]  # node, its depth, the answer that leads to it
    while stack:
        node, depth, answer = stack.pop()
        if answer:
            yield _indent(depth - 1) + answer
        entry = tree.nodes_[node]
        if entry["left"] == LEAF:
            yield _indent(depth) + _leaf(tree.values_[node], classes, decimals)
        elif depth > max_depth:
            yield f"{_indent(depth)}truncated branch of depth {_height(tree.nodes_, node)}"
        else:
            name, threshold = features[entry["feature"]], f"{entry['threshold']:.{decimals}f}"
            stack.append((int(entry["right"]), depth + 1, f"{name} >  {threshold}"))
            stack.append((int(entry["left"]), depth + 1, f"{name} <= {threshold}"))


def _indent(depth: int) -> str:
    return "|   " * depth + "|--- "


def _leaf(value: Floats, classes: list[str], decimals: int) -> str:
    return f"class: {classes[value.argmax()]}" if classes else f"value: [{value[0]:.{decimals}f}]"


def _height(nodes: NDArray[np.void], node: int) -> int:
    """Returns the number of levels of a branch, including its root."""
    level, height = np.array([node]), 0
    while len(level):
        inner = nodes[level]
        level = np.concatenate([inner[side][inner["left"] != LEAF] for side in ("left", "right")])
        height += 1
    return height
