"""Principal component analysis: the directions in which data varies most, and projection onto them."""
# ruff: noqa: N803 - X is the field's and scikit-learn's name

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from rlbench.errors import UsageError
from rlbench.models._validation import check_choice, check_number

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

OVERSAMPLES = 10  # extra directions that the randomized solver draws
POWER_PASSES = 7  # power iterations that sharpen them
TALL = 10  # rows per column from which X^T X is tried
CONDITION = 1e-6  # ratio of smallest to largest s**2 above which 10 digits survive
SOLVERS = ("exact", "randomized")


def singular_values(X: Floats, k: int) -> tuple[Floats, Floats]:
    """Returns s (descending) and Vt of X = U diag(s) Vt, the first k to at least 10 digits.

    For many rows, Vt diagonalises the small X^T X, several times faster. But squaring costs small s their digits, so if
    the k-th is far below the largest, s and Vt are taken from R in X = QR, which shares both.
    """
    n, n_features = X.shape
    if n >= TALL * n_features:
        squares, directions = np.linalg.eigh(X.T @ X)
        if squares[-k] > CONDITION * squares[-1]:
            return np.sqrt(squares[: -k - 1 : -1]), np.ascontiguousarray(directions[:, : -k - 1 : -1].T)
    _, s, directions = np.linalg.svd(np.linalg.qr(X, mode="r") if n > n_features else X, full_matrices=False)
    return s, directions


def randomized_singular_values(X: Floats, k: int, random: Any) -> tuple[Floats, Floats]:
    """Returns the k largest s and their Vt, from a basis of X times random directions (Halko et al., 2011)."""
    basis = X @ random.standard_normal((X.shape[1], min(k + OVERSAMPLES, *X.shape)))
    for _ in range(POWER_PASSES):
        basis = X @ np.linalg.qr(X.T @ np.linalg.qr(basis)[0])[0]
    _, s, directions = np.linalg.svd(np.linalg.qr(basis)[0].T @ X, full_matrices=False)
    return s[:k], directions[:k]


def with_fixed_signs(directions: Floats) -> Floats:
    """Returns the rows, each with its sign chosen so that the entry of largest magnitude is positive."""
    largest = np.abs(directions).argmax(axis=1)
    signs = np.where(directions[np.arange(len(directions)), largest] < 0, -1.0, 1.0)
    return np.asarray(directions * signs[:, None])


class PCA(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Principal component analysis: projects rows onto the orthogonal directions in which they vary most.

    After centring the columns, X = U diag(s) Vt (singular value decomposition). The rows of Vt are the components,
    s**2 / (n - 1) is the variance along each, and Z = X Vt.T is the projection: of all linear maps to this many
    dimensions, the one from which X is reconstructed with the least squared error (Eckart and Young, 1936). Whitening
    divides each column of Z by its standard deviation s / sqrt(n - 1). Pearson, On Lines and Planes of Closest Fit
    (1901); Jolliffe, Principal Component Analysis (2002). The entry of largest magnitude in each component is made
    positive, so the same data always gives the same signs.

    Args:
        n_components: how many; a float < 1 for as many as explain that share of the variance; None for all.
        whiten: whether `transform` divides by the standard deviations.
        solver: "exact", or "randomized" for few components of large data (Halko, Martinsson and Tropp, 2011).
        random_state: seed or generator of the randomized solver; the exact one draws nothing.

    Attributes:
        components_: Vt, (n_components_, n_features).
        explained_variance_: s**2 / (n - 1), (n_components_,), descending.
        explained_variance_ratio_: shares of the variance of X, 0 if X has none.
        singular_values_: s, (n_components_,).
        mean_: column means, (n_features,).
        n_components_, n_samples_, n_features_in_: number of components, rows and columns.

    Raises:
        UsageError: a parameter is out of its range.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data, or a single row.

    Examples:
        >>> from rlbench.models import PCA
        >>> model = PCA(n_components=1).fit([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
        >>> model.components_.round(4), model.explained_variance_ratio_.round(4)
        (array([[0.4472, 0.8944]]), array([1.]))
        >>> model.inverse_transform(model.transform([[4.0, 8.0]])).round(6)
        array([[4., 8.]])
    """

    def __init__(
        self,
        n_components: float | None = None,
        *,
        whiten: bool = False,
        solver: str = "exact",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.whiten = whiten
        self.solver = solver
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - pipelines pass it
        """Learns the components of X (n_samples >= 2, n_features)."""
        check_choice("solver", self.solver, SOLVERS)
        rows = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._check_components(min(rows.shape))
        self.mean_ = rows.mean(axis=0)
        centred = rows - self.mean_
        s, directions = self._decompose(centred)
        variances = s**2 / (len(rows) - 1)
        total = float(np.square(centred).sum()) / (len(rows) - 1)
        ratios = variances / total if total > 0 else np.zeros_like(variances)
        kept = self._count(ratios)
        self.components_ = with_fixed_signs(directions[:kept])
        self.explained_variance_, self.explained_variance_ratio_ = variances[:kept], ratios[:kept]
        self.singular_values_ = s[:kept]
        self.n_components_, self.n_samples_ = kept, len(rows)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Projects the rows onto the components, (n_samples, n_components_)."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        # centre first: projecting large means would lose the digits of the small differences
        return np.asarray((rows - self.mean_) @ self.components_.T / self._deviations())

    def inverse_transform(self, X: ArrayLike) -> Floats:
        """Reconstructs rows (n_samples, n_features) from their projections X (n_samples, n_components_)."""
        check_is_fitted(self)
        seen = check_array(X, dtype=np.float64)
        if seen.shape[1] != self.n_components_:
            raise UsageError(f"X must have {self.n_components_} columns, one per component, got {seen.shape[1]}")
        return np.asarray(seen * self._deviations() @ self.components_ + self.mean_)

    @property
    def _n_features_out(self) -> int:
        """The number of columns that the mixin names."""
        return int(self.n_components_)

    def _check_components(self, most: int) -> None:
        if self.n_components is None:
            return
        if isinstance(self.n_components, (float, np.floating)):
            check_number("n_components as a share", self.n_components, low=0, high=1, above=True)
            if self.solver == "randomized":
                raise UsageError(
                    f"n_components must be a whole number with solver='randomized', got {self.n_components}"
                )
        else:
            check_number("n_components", self.n_components, low=1, high=most, integer=True)

    def _decompose(self, centred: Floats) -> tuple[Floats, Floats]:
        k = int(self.n_components) if isinstance(self.n_components, (int, np.integer)) else min(centred.shape)
        if self.solver == "exact":
            return singular_values(centred, k)
        return randomized_singular_values(centred, k, check_random_state(self.random_state))

    def _count(self, ratios: Floats) -> int:
        """Returns how many components to keep."""
        if self.n_components is None:
            return len(ratios)
        if isinstance(self.n_components, (float, np.floating)):
            enough = int(np.searchsorted(np.cumsum(ratios), self.n_components, side="right")) + 1
            return min(enough, len(ratios))
        return int(self.n_components)

    def _deviations(self) -> Any:
        """Returns the divisors of the columns of Z, 1 for a component without variance."""
        if not self.whiten:
            return 1.0
        deviations = np.sqrt(self.explained_variance_)
        negligible = np.finfo(np.float64).eps * max(deviations.max(), np.finfo(np.float64).tiny)
        return np.where(deviations > negligible, deviations, 1.0)
