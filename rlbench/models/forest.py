"""Random forests: the average of many trees, each grown on a bootstrap sample of the rows."""
# ruff: noqa: N803 - X is the field's and scikit-learn's name

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from rlbench.errors import UsageError
from rlbench.models._validation import check_number
from rlbench.models.tree import LEAF, NO_LIMIT, DecisionTreeRegressor, check_growth, grow, presort, read_rows

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


class RandomForestRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """The mean of many `DecisionTreeRegressor`s, each grown on n rows drawn with replacement from the n given.

    A single deep tree has low bias but high variance; the mean of B trees with variance s**2 and correlation r has
    variance r s**2 + (1 - r) s**2 / B. Drawing rows anew for each tree, and features for each split (`max_features`),
    lowers r. Breiman, Random Forests (2001); the exercise at the end of the house-price chapter of "Hands-On Machine
    Learning from Scratch" (Valkov).

    Args:
        n_estimators: number of trees.
        max_depth: maximum splits from root to leaf; None for no limit.
        min_samples_leaf: minimum distinct rows in a leaf.
        max_features: features tried per split, drawn anew each time: a number, a share as float, "sqrt", "log2"; None
            for all.
        bootstrap: whether each tree draws its rows; otherwise all grow on all rows.
        ccp_alpha: penalty per leaf in cost-complexity pruning, >= 0.
        random_state: seed or generator for the draws of rows and features.

    Attributes:
        nodes_: the nodes of all trees, one tree after another, as in `DecisionTreeRegressor`.
        values_: mean of each node, (n_nodes, 1).
        roots_: index of each tree's root, (n_estimators,).
        estimators_: the trees as `DecisionTreeRegressor`s, built on access.
        feature_importances_: each feature's share of the impurity decrease, mean over the trees, (n_features,).
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        >>> from sklearn.datasets import load_diabetes
        >>> from rlbench.models import DecisionTreeRegressor, RandomForestRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> forest = RandomForestRegressor(n_estimators=50, random_state=0).fit(X[:300], y[:300])
        >>> tree = DecisionTreeRegressor().fit(X[:300], y[:300])
        >>> bool(forest.score(X[300:], y[300:]) > 0.35 > 0 > tree.score(X[300:], y[300:]))
        True
    """

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        max_depth: int | None = None,
        min_samples_leaf: int = 1,
        max_features: float | str | None = None,
        bootstrap: bool = True,
        ccp_alpha: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.ccp_alpha = ccp_alpha
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Grows the trees for X (n_samples, n_features) and numbers y (n_samples,)."""
        check_number("n_estimators", self.n_estimators, low=1, integer=True)
        check_growth(self)
        if not isinstance(self.bootstrap, (bool, np.bool_)):
            raise UsageError(f"bootstrap must be True or False, got {self.bootstrap!r}")
        rows, numbers = read_rows(self, X, y, y_numeric=True)
        random = check_random_state(self.random_state)
        presorted = presort(rows)  # once for all trees
        self._plant([self._tree(presorted, numbers, random) for _ in range(self.n_estimators)])
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Returns the mean over the trees of the values of the leaves that each row reaches, (n_samples,)."""
        from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

        check_is_fitted(self)
        rows = read_rows(self, X, reset=False)
        total, leaves = np.zeros(len(rows)), np.empty(len(rows), np.intp)
        for root in self.roots_:
            _tree.leaves_of(self.nodes_, root, rows, leaves)
            total += self.values_[leaves, 0]
        return total / len(self.roots_)

    @property
    def estimators_(self) -> list[DecisionTreeRegressor]:
        """The trees, each as a fitted `DecisionTreeRegressor`."""
        check_is_fitted(self)
        return [self._tree_at(start, end) for start, end in self._bounds()]

    @property
    def feature_importances_(self) -> Floats:
        """Each feature's share of the impurity decrease, mean over the trees, (n_features,)."""
        return np.asarray(np.mean([tree.feature_importances_ for tree in self.estimators_], axis=0))

    def _tree(self, presorted: Any, y: NDArray[Any], random: Any) -> tuple[NDArray[np.void], Floats]:
        from rlbench.models import _tree  # noqa: PLC0415 - numba loads only when needed

        n = len(y)
        times = np.bincount(random.randint(0, n, n), minlength=n) if self.bootstrap else np.ones(n)
        targets = _tree.Targets(np.zeros(n, np.int32), y.astype(np.float64), times.astype(np.float64))
        nodes, values = grow(presorted, targets, 1, _tree.VARIANCE, self, random.randint(1, NO_LIMIT))
        return nodes, values

    def _plant(self, trees: list[tuple[NDArray[np.void], Floats]]) -> None:
        """Concatenates the trees, shifting their links."""
        sizes = [len(nodes) for nodes, _ in trees]
        self.roots_ = np.cumsum([0, *sizes[:-1]])
        self.nodes_ = np.concatenate([_moved(nodes, root) for (nodes, _), root in zip(trees, self.roots_, strict=True)])
        self.values_ = np.concatenate([values for _, values in trees])

    def _bounds(self) -> list[tuple[int, int]]:
        return list(zip(self.roots_, [*self.roots_[1:], len(self.nodes_)], strict=True))

    def _tree_at(self, start: int, end: int) -> DecisionTreeRegressor:
        names = DecisionTreeRegressor().get_params().keys() & self.get_params().keys()
        tree = DecisionTreeRegressor(**{name: getattr(self, name) for name in names})
        tree.nodes_, tree.values_ = _moved(self.nodes_[start:end], -start), self.values_[start:end]
        tree.n_features_in_ = self.n_features_in_
        return tree


def _moved(nodes: NDArray[np.void], by: int) -> NDArray[np.void]:
    """Returns the nodes with their links shifted by `by`."""
    nodes = nodes.copy()
    for side in ("left", "right"):
        nodes[side][nodes[side] != LEAF] += by
    return nodes
