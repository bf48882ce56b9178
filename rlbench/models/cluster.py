"""k-means clustering, the colour palette of an image, and the elbow curve for choosing k."""
# ruff: noqa: N803 - X is the field's and scikit-learn's name

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from rlbench.errors import UsageError
from rlbench.files import require
from rlbench.models._validation import check_choice, check_number

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

STARTS = {"k-means++": 1, "random": 10}  # runs of n_init="auto", as in scikit-learn
GRAY, RGB, RGBA = 2, 3, 4  # axes of a gray image, channels of a coloured one
BRIGHTEST = 255


class KMeans(TransformerMixin, ClusterMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """k-means clustering: assigns each row to the nearest of k means.

    Minimises the inertia J = sum_i min_k |x_i - c_k|**2 by alternating Lloyd's two steps, neither of which can raise J:
    assign every row to its nearest centre; move every centre to the mean of its rows. A cluster that loses all its rows
    takes the row farthest from its centre. Lloyd, Least Squares Quantization in PCM (1982); the chapter on colour
    palettes of "Hands-On Machine Learning from Scratch" (Valkov). The start is k-means++: rows drawn in proportion to
    their squared distance from the centres so far, each the best of 2 + log k draws (Arthur and Vassilvitskii, 2007).
    `partial_fit` learns one chunk at a time: c_k += sum (x - c_k) / n_k over the chunk's rows of cluster k, where n_k
    counts all rows assigned to it so far (Sculley, Web-Scale K-Means Clustering, 2010). Scale the columns first.

    Args:
        n_clusters: k, from 1 to the number of rows.
        init: "k-means++", "random" (rows drawn uniformly), or centres (n_clusters, n_features).
        n_init: starts, of which the one with the lowest inertia is kept; "auto": 10 for "random", else 1.
        max_iter: maximum passes over the rows.
        tol: stop once the squared moves of the centres sum to at most tol times the mean column variance.
        random_state: seed or generator for the starts.

    Attributes:
        cluster_centers_: c, (n_clusters, n_features).
        labels_: cluster of each row of the last fit or chunk, (n_samples,).
        inertia_: J over those rows.
        counts_: number of rows averaged in each centre, (n_clusters,).
        n_iter_: passes of the start that was kept, or chunks learnt.
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range, or there are fewer rows than clusters.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        >>> from rlbench.models import KMeans
        >>> model = KMeans(2, random_state=0).fit([[1.0, 1.0], [1.0, 3.0], [9.0, 8.0], [9.0, 6.0]])
        >>> sorted(model.cluster_centers_.tolist()), model.inertia_
        ([[1.0, 2.0], [9.0, 7.0]], 4.0)
        >>> bool(model.predict([[0.0, 0.0]])[0] == model.labels_[0])
        True
    """

    inertia_: float

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        init: Any = "k-means++",
        n_init: int | str = "auto",
        max_iter: int = 300,
        tol: float = 1e-4,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - pipelines pass it
        """Learns the centres from X (n_samples, n_features), from scratch."""
        from rlbench.models import _cluster  # noqa: PLC0415 - numba loads only when needed

        starts = self._check_parameters()
        rows = validate_data(self, X, dtype=np.float64, order="C")
        self._need_rows(rows)
        random = check_random_state(self.random_state)
        tol = self.tol * float(rows.var(axis=0).mean()) if self.tol else 0.0
        for start in range(starts):
            centers = self._start(rows, random)
            labels, distances, passes = _cluster.lloyd(rows, centers, self.max_iter, tol)
            if start == 0 or distances.sum() < self.inertia_:
                self.inertia_ = float(distances.sum())
                self.cluster_centers_, self.labels_, self.n_iter_ = centers, labels, passes
        self.counts_ = np.bincount(self.labels_, minlength=self.n_clusters)
        self._warn_of_few_rows()
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None) -> Self:  # noqa: ARG002 - pipelines pass it
        """Learns from a chunk of rows; the first, of at least n_clusters rows, also provides the start."""
        from rlbench.models import _cluster  # noqa: PLC0415 - numba loads only when needed

        self._check_parameters()
        first = not hasattr(self, "cluster_centers_")
        rows = validate_data(self, X, dtype=np.float64, order="C", reset=first)
        if first:
            self._need_rows(rows)
            self.cluster_centers_ = self._start(rows, check_random_state(self.random_state))
            self.counts_ = np.zeros(self.n_clusters, np.int64)
        distances = np.empty(len(rows))
        self.labels_ = np.zeros(len(rows), np.int32)
        _cluster.learn_batch(rows, self.cluster_centers_, self.counts_, self.labels_, distances)
        _cluster.assign(rows, self.cluster_centers_, self.labels_, distances)
        self.inertia_ = float(distances.sum())
        self.n_iter_ = 1 if first else self.n_iter_ + 1
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int32]:
        """Returns the cluster with the centre nearest to each row, (n_samples,), the first on a tie."""
        return self._assigned(X)[0]

    def transform(self, X: ArrayLike) -> Floats:
        """Returns the distance of each row to each centre, (n_samples, n_clusters)."""
        rows = self._rows(X)
        return np.stack([np.sqrt(np.square(rows - center).sum(axis=1)) for center in self.cluster_centers_], axis=1)

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: ARG002 - pipelines pass it
        """Returns minus the inertia of X about the centres: higher is better."""
        return -float(self._assigned(X)[1].sum())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:  # noqa: ARG002 - as scikit-learn calls it
        """Returns the names of the columns of `transform`: kmeans0, kmeans1, ..."""
        check_is_fitted(self)
        return np.array([f"kmeans{k}" for k in range(len(self.cluster_centers_))], dtype=object)

    def _assigned(self, X: ArrayLike) -> tuple[NDArray[np.int32], Floats]:
        """Returns the nearest centre of each row, and its squared distance."""
        from rlbench.models import _cluster  # noqa: PLC0415 - numba loads only when needed

        rows = self._rows(X)
        labels, distances = np.zeros(len(rows), np.int32), np.empty(len(rows))
        _cluster.assign(rows, self.cluster_centers_, labels, distances)
        return labels, distances

    def _rows(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, order="C", reset=False))

    def _check_parameters(self) -> int:
        """Raises UsageError for parameters out of range; returns the number of starts."""
        check_number("n_clusters", self.n_clusters, low=1, integer=True)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("tol", self.tol, low=0)
        named = isinstance(self.init, str)
        if named:
            check_choice("init", self.init, STARTS)
        if isinstance(self.n_init, str):
            check_choice("n_init", self.n_init, ["auto"])
            return STARTS[self.init] if named else 1
        check_number("n_init", self.n_init, low=1, integer=True)
        return int(self.n_init) if named else 1  # given centres give the same result every time

    def _need_rows(self, rows: Floats) -> None:
        if len(rows) < self.n_clusters:
            raise UsageError(f"n_clusters must be at most n_samples={len(rows)}, got {self.n_clusters}")

    def _start(self, rows: Floats, random: Any) -> Floats:
        """Returns a fresh array of initial centres, (n_clusters, n_features)."""
        from rlbench.models import _cluster  # noqa: PLC0415 - numba loads only when needed

        if not isinstance(self.init, str):
            return self._given_centers(rows.shape[1])
        if self.init == "random":
            return np.asarray(rows[random.permutation(len(rows))[: self.n_clusters]])
        draws = random.random_sample((self.n_clusters - 1, 2 + int(np.log(self.n_clusters))))
        return np.asarray(_cluster.plus_plus(rows, random.randint(len(rows)), draws))

    def _given_centers(self, n_features: int) -> Floats:
        centers = check_array(self.init, dtype=np.float64, copy=True, order="C", input_name="init")
        if centers.shape != (self.n_clusters, n_features):
            raise UsageError(f"init must have the shape {(self.n_clusters, n_features)}, got {centers.shape}")
        return np.asarray(centers)

    def _warn_of_few_rows(self) -> None:
        found = np.count_nonzero(self.counts_)
        if found < self.n_clusters:
            warnings.warn(
                f"only {found} of n_clusters={self.n_clusters} clusters hold a row: X has no more distinct rows",
                ConvergenceWarning,
                stacklevel=3,
            )


def elbow(X: ArrayLike, n_clusters: Iterable[int] = range(1, 11), *, random_state: Any = None) -> Floats:
    """Returns the inertia of k-means for each number of clusters, (len(n_clusters),), for an elbow plot.

    The curve bends where more clusters stop lowering it by much: the likely number of groups. Raises like `KMeans.fit`.
    """
    fitted = [KMeans(k, n_init=5, random_state=random_state).fit(X) for k in n_clusters]
    return np.array([model.inertia_ for model in fitted])


def extract_palette(image: Any, n_colors: int = 5, *, random_state: Any = None) -> list[str]:
    """Returns the main colours of an image as "#rrggbb", most frequent first: its k-means centres, rounded.

    `image`: a path, or an array (height, width, 3 or 4) or (height, width) of integers from 0 to 255 or floats from 0
    to 1; opacity is ignored. Returns fewer than `n_colors` if the image has fewer distinct colours. Raises UsageError
    for anything else. Source: the colour-palette chapter of "Hands-On Machine Learning from Scratch" (Valkov).

    >>> import numpy as np
    >>> image = np.zeros((4, 4, 3), np.uint8)
    >>> image[0] = [255, 0, 0]
    >>> extract_palette(image, 2, random_state=0)
    ['#000000', '#ff0000']
    """
    check_number("n_colors", n_colors, low=1, integer=True)
    pixels = _pixels(_read_image(image) if isinstance(image, (str, Path)) else np.asarray(image))
    codes = pixels.astype(np.int64) @ np.array([2**16, 2**8, 1])
    n_clusters = min(n_colors, len(np.unique(codes)))
    model = KMeans(n_clusters, random_state=random_state).fit(pixels)
    by_size = np.argsort(-model.counts_, kind="stable")
    return [_hex(center) for center in model.cluster_centers_[by_size]]


def _read_image(path: str | Path) -> NDArray[Any]:
    pillow = require("PIL.Image", "viewer", "an image file")
    try:
        with pillow.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, pillow.DecompressionBombError) as error:
        raise UsageError(f"image must be a file that Pillow can read, got {path}: {error}") from error


def _pixels(image: NDArray[Any]) -> Floats:
    """Returns an image as rows of red, green and blue from 0 to 255, (n_pixels, 3)."""
    if image.ndim == GRAY:
        image = np.repeat(image[:, :, None], RGB, axis=2)
    if image.ndim != RGB or image.shape[2] not in {RGB, RGBA} or not image.size:
        raise UsageError(
            f"image must be non-empty, of shape (height, width, 3 or 4) or (height, width), got {image.shape}"
        )
    if image.dtype.kind not in "uif":
        raise UsageError(f"image must hold integers from 0 to 255 or floats from 0 to 1, got {image.dtype}")
    brightest = 1 if image.dtype.kind == "f" else BRIGHTEST
    if not (image.min() >= 0 and image.max() <= brightest):  # this form also rejects NaN
        raise UsageError(
            f"image must hold values from 0 to {brightest} ({image.dtype}), got {image.min()} to {image.max()}"
        )
    return np.asarray(image[:, :, :RGB].reshape(-1, RGB) * (BRIGHTEST / brightest), dtype=np.float64)


def _hex(center: Floats) -> str:
    return "#" + "".join(f"{round(float(value)):02x}" for value in center)
