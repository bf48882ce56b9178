"""A recommender: matrix factorisation of ratings into user and item factors, by stochastic gradient descent."""
# ruff: noqa: N803 - X is the field's and scikit-learn's name

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from rlbench.errors import UsageError
from rlbench.models._validation import check_number

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

START = 0.1  # standard deviation of the initial item factors
LONG_TAIL = 20  # times the median: ratings up to more are counts with a long tail, such as plays
DIVERGED = 10  # times the error of a constant
HELD_BACK = 5  # `score` predicts every fifth rating of a user from the others


class Ratings(NamedTuple):
    """Ratings as parallel arrays: user, item and value of each."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: Floats


def read_ratings(X: Any) -> Ratings:
    """Returns the entries of X (n_users, n_items): the nonzero ones of an array, the stored ones of a sparse matrix."""
    entries = sparse.coo_array(X)
    entries.sum_duplicates()
    users, items = entries.coords
    return Ratings(users.astype(np.int32), items.astype(np.int32), entries.data.astype(np.float64))


def hold_out_per_user(
    X: ArrayLike, n_held_out: int = 15, *, at_least: int = 35, random_state: Any = None
) -> tuple[Any, Any]:
    """Splits the ratings X into two CSR matrices (n_users, n_items), training and validation.

    For every user with `at_least` ratings, `n_held_out` drawn without replacement go to validation; users with fewer
    are used only for training. The split and its defaults are those of the recommender chapter of "Hands-On Machine
    Learning from Scratch" (Valkov). Raises UsageError unless 1 <= n_held_out <= at_least, and scikit-learn's ValueError
    for bad X.
    """
    check_number("n_held_out", n_held_out, low=1, integer=True)
    check_number("at_least", at_least, low=n_held_out, integer=True)
    rated = check_array(X, accept_sparse="csr", dtype=np.float64)
    ratings, random = read_ratings(rated), check_random_state(random_state)
    held_out = np.zeros(len(ratings.values), bool)
    for entries in _entries_of_users(ratings, rated.shape[0]):
        if len(entries) >= at_least:
            held_out[random.permutation(entries)[:n_held_out]] = True
    return _matrix(ratings, ~held_out, rated.shape), _matrix(ratings, held_out, rated.shape)


def _entries_of_users(ratings: Ratings, n_users: int) -> list[NDArray[np.intp]]:
    """Returns the indices of each user's entries."""
    order = np.argsort(ratings.users, kind="stable")
    return np.split(order, np.searchsorted(ratings.users[order], np.arange(1, n_users)))


def _matrix(ratings: Ratings, chosen: NDArray[np.bool_], shape: Any) -> Any:
    entries = ratings.values[chosen], (ratings.users[chosen], ratings.items[chosen])
    return sparse.csr_array(entries, shape=shape)


class MatrixFactorization(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """A recommender that models user u's rating of item i by a bias and a few factors of each.

    With the mean m and standard deviation d of all ratings,

        r_ui ~ m + d * (b_u + c_i + p_u . q_i)

    where b_u is the user's generosity, c_i the item's popularity, p_u the user's tastes and q_i the item's traits. They
    minimise the squared error of the *known* ratings plus regularization * (b_u**2 + c_i**2 + |p_u|**2 + |q_i|**2) by
    stochastic gradient descent: with e the error of one rating, p_u += learning_rate * (e q_i - regularization p_u),
    likewise the others, one rating at a time in an order drawn anew each epoch. Of counts with a long tail, such as how
    often a song was played, a few are a hundred d above m, and squared errors see only those; log(1 + r / unit) is
    learnt in their place, and predictions are counts again, unit * (exp(m + d * (...) + v / 2) - 1): the mean of a
    lognormal count if v is the mean squared error of its logarithm. Koren, Bell and Volinsky, Matrix
    Factorization Techniques for Recommender Systems (2009); the recommender chapter of "Hands-On Machine Learning from
    Scratch" (Valkov), which has no b, c, m and d.

    A user without ratings gets the most popular items (p_u = 0, b_u = 0). A user with ratings whom `fit` has not seen
    gets b_u and p_u by ridge regression on q (`transform`).

    Args:
        n_factors: length of p_u and q_i.
        n_epochs: passes over the ratings.
        learning_rate: step size of the descent, > 0, for ratings scaled to standard deviation 1.
        regularization: weight of the penalty, >= 0.
        log: whether to learn the logarithms of the ratings, which must then be >= 0; by default (None) if none is
            negative and the largest is over 20 times the median.
        random_state: seed or generator for the initial factors and the order of the ratings.

    Attributes:
        user_factors_, item_factors_: p (n_users, n_factors) and q (n_items, n_factors).
        user_bias_, item_bias_: b (n_users,) and c (n_items,).
        mean_, scale_: m and d, of the logarithms if these are learnt.
        unit_: the smallest rating above 0 if logarithms are learnt, else 0.
        spread_: v, of the last pass.
        rated_items_, rated_ends_: the items that each user has rated, one user after another, and the end of each
            user's items in it, (n_users,).
        train_rmse_, validation_rmse_: root mean squared error after each epoch, (n_epochs,), of the ratings or of the
            logarithms that are learnt; the latter is empty without validation.
        n_users_, n_features_in_: number of users and items.

    Raises:
        UsageError: a parameter is out of its range, no entry is rated, or the descent diverges.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        Two users like the first two films, two the last two; the fifth has rated only one film:

        >>> from rlbench.models import MatrixFactorization
        >>> stars = [[5, 4, 1, 1], [4, 5, 0, 1], [1, 1, 5, 4], [1, 0, 4, 5], [5, 0, 0, 0]]
        >>> model = MatrixFactorization(n_factors=2, n_epochs=500, random_state=0).fit(stars)
        >>> model.recommend(4, 1)
        array([1])
        >>> bool(model.train_rmse_[-1] < 0.3 < model.train_rmse_[0])
        True
    """

    validation_rmse_: Floats

    def __init__(
        self,
        n_factors: int = 10,
        *,
        n_epochs: int = 20,
        learning_rate: float = 0.02,
        regularization: float = 0.05,
        log: bool | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.log = log
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: Any = None, *, validation: ArrayLike | None = None) -> Self:  # noqa: ARG002 - pipelines pass it
        """Learns from ratings X (n_users, n_items), from scratch; 0, or absent if sparse, means not rated.

        Records the error on `validation`, a matrix of the same shape (see `hold_out_per_user`), after each epoch.
        """
        self._check_parameters()
        rated = validate_data(self, X, accept_sparse="csr", dtype=np.float64)
        held_out = None if validation is None else self._read_validation(validation, rated.shape)
        ratings, random = read_ratings(rated), check_random_state(self.random_state)
        self._begin(ratings, rated.shape, random)
        for _ in range(self.n_epochs):
            self._learn(ratings, random)
            if held_out is not None:
                self.validation_rmse_ = np.append(self.validation_rmse_, _rms(self._errors(held_out)))
        return self

    def partial_fit(self, X: ArrayLike, y: Any = None, *, users: ArrayLike | None = None) -> Self:  # noqa: ARG002 - as above
        """Makes one pass over a chunk of ratings (n_rows, n_items); row j belongs to user `users[j]`, or j if None.

        New users are added; the mean, standard deviation and unit stay those of the first chunk.
        """
        self._check_parameters()
        first = not hasattr(self, "item_factors_")
        rated = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=first)
        who = self._read_users(users, rated.shape[0])
        ratings = read_ratings(rated)
        ratings = ratings._replace(users=who[ratings.users].astype(np.int32))
        n_users = max(int(who.max()) + 1, 0 if first else self.n_users_)
        random = check_random_state(self.random_state)
        if first:
            self._begin(ratings, (n_users, rated.shape[1]), random)
        else:
            self._widen(n_users)
            self._remember(ratings)
        self._learn(ratings, random)
        return self

    def predict_pairs(self, users: ArrayLike, items: ArrayLike) -> Floats:
        """Returns the expected rating of each (user, item) pair of indices, (n_pairs,).

        A user whom `fit` has not seen gets each item's average; raises UsageError for an unknown item.
        """
        check_is_fitted(self)
        whom = self._indices("users", users)
        which = self._indices("items", items, self.n_features_in_)
        if whom.shape != which.shape:
            raise UsageError(f"users and items must pair up, got {len(whom)} and {len(which)}")
        known = whom < self.n_users_
        row = np.where(known, whom, 0)
        taste = (self.user_factors_[row] * self.item_factors_[which]).sum(axis=1) + self.user_bias_[row]
        return self._ratings_of(self.item_bias_[which] + np.where(known, taste, 0.0))

    def recommend(self, user: int | ArrayLike | None, n: int = 10, *, include_rated: bool = False) -> NDArray[np.intp]:
        """Returns the n items with the highest expected ratings, best first, without those that `user` has rated.

        `user` is an index, or the ratings (n_items,) of a new user. None, or an index that `fit` has not seen, returns
        the most popular items. Returns fewer than n if the user has fewer items left to rate.
        """
        check_is_fitted(self)
        check_number("n", n, low=1, integer=True)
        scores, rated = self._scores(user)
        best = np.argsort(-scores, kind="stable")
        return best[:n] if include_rated else best[~rated[best]][:n]

    def transform(self, X: ArrayLike) -> Floats:
        """Returns b_u and p_u, (n_rows, 1 + n_factors), for rows of ratings (n_rows, n_items) of any users.

        They minimise the penalised error of the row's ratings with the items fixed: ridge regression.
        """
        check_is_fitted(self)
        rated = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        ratings = read_ratings(rated)
        return np.stack([self._fold_in(ratings, entries) for entries in _entries_of_users(ratings, rated.shape[0])])

    def inverse_transform(self, X: ArrayLike) -> Floats:
        """Returns the expected ratings (n_rows, n_items) of users with the b_u and p_u that `transform` returns."""
        check_is_fitted(self)
        tastes = check_array(X, dtype=np.float64)
        if tastes.shape[1] != self.n_factors + 1:
            raise UsageError(f"X must have 1 + n_factors = {self.n_factors + 1} columns, got {tastes.shape[1]}")
        expected = tastes[:, :1] + self.item_bias_ + tastes[:, 1:] @ self.item_factors_.T
        return self._ratings_of(expected)

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: ARG002 - searches pass it
        """Returns minus the root mean squared error of predicting some ratings of each row of X from the others.

        0 is best. Every fifth rating of a row is held back; b_u and p_u come from the rest. Rows may therefore belong
        to users whom `fit` has not seen, as in cross-validation (strong generalisation; Marlin, 2004).
        """
        check_is_fitted(self)
        rated = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        ratings = _some(read_ratings(rated))
        errors = []
        for entries in _entries_of_users(ratings, rated.shape[0]):
            back = np.arange(len(entries)) % HELD_BACK == 0
            expected = self.inverse_transform(self._fold_in(ratings, entries[~back])[None])[0]
            errors.append(expected[ratings.items[entries[back]]] - ratings.values[entries[back]])
        return -_rms(np.concatenate(errors))

    def rmse(self, X: ArrayLike) -> float:
        """Returns the root mean squared error on ratings X (n_users_, n_items) of the users of `fit`."""
        check_is_fitted(self)
        ratings = self._read_validation(X, (self.n_users_, self.n_features_in_))
        return _rms(self._ratings_of(self._scores_of(ratings)) - ratings.values)

    def __sklearn_tags__(self) -> Any:
        """Tells scikit-learn that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_parameters(self) -> None:
        check_number("n_factors", self.n_factors, low=1, integer=True)
        check_number("n_epochs", self.n_epochs, low=1, integer=True)
        check_number("learning_rate", self.learning_rate, low=0, above=True)
        check_number("regularization", self.regularization, low=0)
        if self.log is not None and not isinstance(self.log, bool | np.bool_):
            raise UsageError(f"log must be True, False or None, got {self.log!r}")

    def _begin(self, ratings: Ratings, shape: Any, random: Any) -> None:
        """Sets all attributes to their values before the first epoch."""
        n_users, n_items = shape
        values = _some(ratings).values
        self.unit_ = float(values[values > 0].min(initial=np.inf)) if self._learns_logarithms(values) else 0.0
        learnt = self._learnt(values)
        self.mean_, self.scale_ = float(learnt.mean()), float(learnt.std()) or 1.0
        self.spread_, self.n_users_ = 0.0, n_users
        self.user_bias_, self.item_bias_ = np.zeros(n_users), np.zeros(n_items)
        # user factors start at 0, and stay there for users without ratings; the items' break the symmetry
        self.user_factors_ = np.zeros((n_users, self.n_factors))
        self.item_factors_ = START * random.standard_normal((n_items, self.n_factors))
        self.item_factors_[np.bincount(ratings.items, minlength=n_items) == 0] = 0.0
        self.rated_items_, self.rated_ends_ = np.empty(0, np.int32), np.zeros(n_users, np.int64)
        self._remember(ratings)
        self.train_rmse_, self.validation_rmse_ = np.empty(0), np.empty(0)

    def _learns_logarithms(self, values: Floats) -> bool:
        if self.log is not None:
            return bool(self.log and values.max() > 0)
        return bool(values.min() >= 0 and values.max() > LONG_TAIL * np.median(values) > 0)

    def _learnt(self, values: Floats) -> Floats:
        """Returns ratings as they are learnt: their logarithms, or themselves."""
        if not self.unit_:
            return values
        if values.min(initial=0.0) < 0:
            raise UsageError(f"ratings must be >= 0 to learn their logarithms, got {values.min():g}: set log=False")
        return np.log1p(values / self.unit_)

    def _ratings_of(self, scores: Floats) -> Floats:
        """Returns the ratings that scores mean, b_u + c_i + p_u . q_i: undoes the scaling and the logarithm."""
        learnt = self.mean_ + self.scale_ * scores
        if not self.unit_:
            return np.asarray(learnt)
        return np.asarray(self.unit_ * np.expm1(np.maximum(learnt + self.spread_ / 2, 0.0)))

    def _widen(self, n_users: int) -> None:
        """Makes room for users up to `n_users`."""
        more = n_users - self.n_users_
        self.user_bias_ = np.append(self.user_bias_, np.zeros(more))
        self.user_factors_ = np.vstack([self.user_factors_, np.zeros((more, self.n_factors))])
        self.rated_ends_ = np.append(self.rated_ends_, np.full(more, len(self.rated_items_)))
        self.n_users_ = n_users

    def _remember(self, ratings: Ratings) -> None:
        """Adds the items rated to those recorded before."""
        counts = np.diff(self.rated_ends_, prepend=0)
        users = np.append(np.repeat(np.arange(self.n_users_), counts), ratings.users)
        items = np.append(self.rated_items_, ratings.items)
        pairs = np.unique(users * self.n_features_in_ + items)
        self.rated_items_ = (pairs % self.n_features_in_).astype(np.int32)
        self.rated_ends_ = np.searchsorted(pairs, np.arange(1, self.n_users_ + 1) * self.n_features_in_)

    def _learn(self, ratings: Ratings, random: Any) -> None:
        """Makes one pass over the ratings, if there are any, and records their error after it."""
        from rlbench.models import _recommender  # noqa: PLC0415 - numba loads only when needed

        if not len(ratings.values):
            return
        order = random.permutation(len(ratings.values))
        learnt = self._learnt(ratings.values)
        settings = float(self.learning_rate), float(self.regularization)
        targets = (learnt - self.mean_) / self.scale_
        _recommender.sgd_pass(ratings.users, ratings.items, targets, order, self._model(), *settings)
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported below, with advice
            error = _rms(self._errors(ratings))
        if not error <= DIVERGED * max(self.scale_, _rms(learnt - self.mean_)):
            advice = "" if self.unit_ else ", or learn the logarithms of counts with a long tail (log=True)"
            raise UsageError(
                f"learning_rate must be small enough to descend, got {self.learning_rate}: the factors overflow in "
                f"epoch {len(self.train_rmse_) + 1}; lower it{advice}"
            )
        share = len(order) / len(self.rated_items_)  # of a chunk among all ratings so far
        self.spread_ += share * (error**2 - self.spread_)
        self.train_rmse_ = np.append(self.train_rmse_, error)

    def _model(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.user_bias_, self.item_bias_, self.user_factors_, self.item_factors_

    def _scores_of(self, ratings: Ratings) -> Floats:
        from rlbench.models import _recommender  # noqa: PLC0415 - numba loads only when needed

        scores = np.empty(len(ratings.values))
        _recommender.predict_pairs(ratings.users, ratings.items, self._model(), scores)
        return scores

    def _errors(self, ratings: Ratings) -> Floats:
        """Returns the errors of ratings as they are learnt, (n,)."""
        return np.asarray(self.mean_ + self.scale_ * self._scores_of(ratings) - self._learnt(ratings.values))

    def _scores(self, user: Any) -> tuple[Floats, NDArray[np.bool_]]:
        """Returns each item's score, (n_items,), and whether it is already rated."""
        rated = np.zeros(self.n_features_in_, bool)
        if user is None:
            return self.item_bias_, rated
        if np.ndim(user) == 0:
            check_number("user", user, low=0, integer=True)
            if user >= self.n_users_:
                return self.item_bias_, rated
            start = self.rated_ends_[user - 1] if user else 0
            rated[self.rated_items_[start : self.rated_ends_[user]]] = True
            return self.item_bias_ + self.item_factors_ @ self.user_factors_[user], rated
        row = check_array(np.atleast_2d(np.asarray(user)), dtype=np.float64, input_name="user")
        scores = self.inverse_transform(self.transform(row))[0]
        return scores, row[0] != 0

    def _fold_in(self, ratings: Ratings, entries: NDArray[np.intp]) -> Floats:
        """Returns b_u and p_u, (1 + n_factors,), of a user with these entries of `ratings`; 0 if there are none."""
        items = ratings.items[entries]
        traits = np.column_stack([np.ones(len(items)), self.item_factors_[items]])
        targets = (self._learnt(ratings.values[entries]) - self.mean_) / self.scale_ - self.item_bias_[items]
        # as in the descent, the penalty counts once per rating; its root, as extra rows, turns ridge into least squares
        penalty = np.sqrt(self.regularization * len(items)) * np.eye(traits.shape[1])
        padded = np.append(targets, np.zeros(len(penalty)))
        return np.asarray(np.linalg.lstsq(np.vstack([traits, penalty]), padded, rcond=None)[0])

    def _read_validation(self, X: Any, shape: tuple[int, ...]) -> Ratings:
        held_out = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="validation")
        if held_out.shape != shape:
            raise UsageError(f"validation must have the shape {shape} of the ratings learnt from, got {held_out.shape}")
        return _some(read_ratings(held_out))

    def _read_users(self, users: ArrayLike | None, n_rows: int) -> NDArray[np.int64]:
        """Returns the user of each row of a chunk."""
        if users is None:
            return np.arange(n_rows)
        found = self._indices("users", users)
        if len(found) != n_rows:
            raise UsageError(f"users must name one user per row, {n_rows} in all, got {len(found)}")
        return found

    def _indices(self, what: str, values: ArrayLike, below: float = np.inf) -> NDArray[np.int64]:
        """Returns indices (n,); raises UsageError unless they are whole numbers >= 0 and < `below`."""
        found = np.atleast_1d(np.asarray(values))
        if found.ndim != 1 or found.dtype.kind not in "ui" or (found < 0).any() or (found >= below).any():
            bound = "" if below == np.inf else f" and < {below}"
            raise UsageError(f"{what} must be whole numbers >= 0{bound}, got {values!r}")
        return found.astype(np.int64)


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.square(errors).mean()))


def _some(ratings: Ratings) -> Ratings:
    """Returns the ratings; raises UsageError if there are none."""
    if not len(ratings.values):
        raise UsageError("the ratings must have an entry other than 0, got none: 0 means not rated")
    return ratings
