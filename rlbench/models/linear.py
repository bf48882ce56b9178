"""Linear and logistic regression: a linear predictor, a loss on top of it, and solvers that minimise it."""
# ruff: noqa: N803, N806 - X, W and C are the field's and scikit-learn's names

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from rlbench.errors import UsageError
from rlbench.models._validation import (
    check_choice,
    check_number,
    encode_labels,
    encode_more_labels,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

PARTIAL_FIT_BATCH = 32  # rows per step of partial_fit if batch_size is None
ARMIJO = 1e-4  # share of the predicted descent that a Newton step must achieve
HALVINGS = 40  # of a Newton step, before giving up: the descent is lost in rounding
LARGEST = 1e100  # the squares of such values, summed over many rows, are still finite
FLAT = 1e-300  # curvature below which a direction counts as flat


class _Family(NamedTuple):
    """What the scores X @ W mean: the mean they predict, the loss, and its second derivative."""

    mean: Callable[[Floats], Floats]
    loss: Callable[[Floats, Floats], float]
    curve: Callable[[Floats, Floats], Floats]  # (means, direction of the scores) -> change of the means


def sigmoid(scores: Floats) -> Floats:
    """Returns 1 / (1 + exp(-scores)), computed so that exp cannot overflow."""
    small = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1.0, small) / (1.0 + small))


def softmax(scores: Floats) -> Floats:
    """Returns exp(scores) over its row sum; scores (n, k) are first shifted so that each row's largest is 0."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def log_softmax(scores: Floats) -> Floats:
    """Returns the logarithm of `softmax(scores)` (n, k), finite for all finite scores."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _half_squared_error(scores: Floats, targets: Floats) -> float:
    return float(np.square(scores - targets).sum() / (2 * len(scores)))


def _log_loss(scores: Floats, targets: Floats) -> float:
    return float((np.logaddexp(0.0, scores) - targets * scores).sum() / len(scores))


def _cross_entropy(scores: Floats, targets: Floats) -> float:
    return float(-(targets * log_softmax(scores)).sum() / len(scores))


def _softmax_curve(means: Floats, direction: Floats) -> Floats:
    share = means * direction
    return np.asarray(share - means * share.sum(axis=1, keepdims=True))


GAUSSIAN = _Family(lambda scores: scores, _half_squared_error, lambda _, direction: direction)
BINARY = _Family(sigmoid, _log_loss, lambda means, direction: means * (1.0 - means) * direction)
MULTINOMIAL = _Family(softmax, _cross_entropy, _softmax_curve)


@dataclass(frozen=True)
class _Objective:
    """The mean loss of the rows plus sum(penalty * W**2) / 2, as a function of the weights W (d, k)."""

    X: Floats  # (n, d); the last column is 1 if there is an intercept
    targets: Floats  # (n, k)
    family: _Family
    penalty: Floats  # (d, 1)

    def scores(self, W: Floats) -> Floats:
        """Returns X @ W (n, k) in column-major order: sums over the few classes of a row are several times faster."""
        return np.asarray((W.T @ self.X.T).T)

    def value(self, W: Floats, scores: Floats) -> float:
        """Returns the objective at W, given its scores X @ W."""
        return self.family.loss(scores, self.targets) + 0.5 * float((self.penalty * W**2).sum())

    def gradient(self, W: Floats, means: Floats) -> Floats:
        """Returns X^T (means - targets) / n + penalty * W: the same for all three families."""
        return np.asarray(self.X.T @ (means - self.targets) / len(self.X) + self.penalty * W)

    def curve(self, means: Floats, direction: Floats) -> Floats:
        """Returns the product of the Hessian and a direction (d, k), without forming the Hessian."""
        return np.asarray(
            self.X.T @ self.family.curve(means, self.scores(direction)) / len(self.X) + self.penalty * direction
        )

    def steepness(self, means: Floats) -> Floats:
        """Returns the diagonal of the Hessian (d, k) of a classification, as a preconditioner."""
        diagonal = np.square(self.X).T @ (means * (1.0 - means)) / len(self.X) + self.penalty
        return np.asarray(np.where(diagonal > 0, diagonal, 1.0))

    def batches(self, batch_size: int | None, order: NDArray[np.intp] | None = None) -> Iterator[_Objective]:
        """Yields the objective of `batch_size` rows at a time, in `order`; of all rows at once for None."""
        n = len(self.X)
        if batch_size is None or batch_size >= n:
            yield self
            return
        rows = np.arange(n) if order is None else order
        for start in range(0, n, batch_size):
            chosen = rows[start : start + batch_size]
            yield replace(self, X=self.X[chosen], targets=self.targets[chosen])


class _Descent(NamedTuple):
    """The outcome of a descent: the weights, the loss at each pass, and whether the gradient vanished."""

    weights: Floats
    losses: list[float]
    converged: bool


@np.errstate(over="ignore", invalid="ignore")  # _need_descent reports divergence with advice
def _one_pass(W: Floats, batches: Iterator[_Objective], learning_rate: float) -> tuple[float, float]:
    """Steps W in place down the gradient of each batch; returns the mean loss and the largest gradient entry."""
    loss, steepest, rows = 0.0, 0.0, 0
    for batch in batches:
        scores = batch.scores(W)
        gradient = batch.gradient(W, batch.family.mean(scores))
        loss += batch.value(W, scores) * len(scores)
        steepest = max(steepest, float(np.abs(gradient).max()))
        rows += len(scores)
        W -= learning_rate * gradient
    return loss / rows, steepest


def _gradient_descent(objective: _Objective, W: Floats, settings: Any) -> _Descent:
    """Descends by W -= learning_rate * gradient, as in the book; raises UsageError if it diverges."""
    random = check_random_state(settings.random_state)
    losses: list[float] = []
    for _ in range(settings.max_iter):
        order = None if settings.batch_size is None else random.permutation(len(objective.X))
        loss, steepest = _one_pass(W, objective.batches(settings.batch_size, order), settings.learning_rate)
        losses.append(loss)
        _need_descent(W, losses, settings.learning_rate)
        if steepest <= settings.tol:
            return _Descent(W, losses, converged=True)
    return _Descent(W, losses, converged=False)


def _need_descent(W: Floats, losses: list[float], learning_rate: float) -> None:
    """Raises UsageError if the weights are no longer finite or the loss is far above its first value."""
    if np.isfinite(W).all() and losses[-1] <= 10 * losses[0] + 1:
        return
    raise UsageError(
        f"learning_rate must be small enough to descend, got {learning_rate}: the loss went from {losses[0]:.3g} "
        f"to {losses[-1]:.3g} in {len(losses)} passes; scale the columns (StandardScaler) or lower the rate"
    )


def _newton(objective: _Objective, W: Floats, settings: Any) -> _Descent:
    """Descends by Newton steps H d = -gradient, solved by conjugate gradients, halved until the loss falls."""
    scores = objective.scores(W)
    losses = [objective.value(W, scores)]
    for _ in range(settings.max_iter):
        means = objective.family.mean(scores)
        gradient = objective.gradient(W, means)
        if np.abs(gradient).max() <= settings.tol:
            return _Descent(W, losses, converged=True)
        step = _newton_step(objective, means, gradient)
        slope = float((gradient * step).sum())
        found = _line_search(objective, W, scores, step, (losses[-1], slope)) if slope < 0 else None
        if found is None:
            break
        W, scores, loss = found
        losses.append(loss)
    return _Descent(W, losses, converged=False)


def _newton_step(objective: _Objective, means: Floats, gradient: Floats) -> Floats:
    """Solves H step = -gradient by preconditioned conjugate gradients, more precisely near the minimum."""
    steepness = objective.steepness(means)
    step, residual = np.zeros_like(gradient), -gradient
    scaled = residual / steepness
    direction, energy = scaled, float((residual * scaled).sum())
    goal = energy * min(0.25, energy**0.5)
    for _ in range(2 * gradient.size + 10):
        bent = objective.curve(means, direction)
        curvature = float((direction * bent).sum())
        if curvature <= FLAT:  # a flat direction: nothing to solve
            break
        length = energy / curvature
        step = step + length * direction
        residual = residual - length * bent
        scaled = residual / steepness
        energy, last = float((residual * scaled).sum()), energy
        if energy <= goal:
            break
        direction = scaled + (energy / last) * direction
    return step


def _line_search(
    objective: _Objective, W: Floats, scores: Floats, step: Floats, start: tuple[float, float]
) -> tuple[Floats, Floats, float] | None:
    """Returns weights, scores and loss after the longest of step, step/2, ... that descends, else None."""
    loss, slope = start
    change, length = objective.scores(step), 1.0
    for _ in range(HALVINGS):
        moved, moved_scores = W + length * step, scores + length * change
        reached = objective.value(moved, moved_scores)
        if reached <= loss + ARMIJO * length * slope + 1e-15 * abs(loss):
            return moved, moved_scores, reached
        length /= 2
    return None


def _with_ones(X: Floats, *, fit_intercept: bool) -> Floats:
    """Returns X with a column of ones appended, whose weight is the intercept."""
    return np.hstack([X, np.ones((len(X), 1))]) if fit_intercept else X


def _check_descent(model: Any) -> None:
    """Raises UsageError if a parameter of the descent is out of range."""
    check_number("learning_rate", model.learning_rate, low=0, above=True)
    check_number("max_iter", model.max_iter, low=1, integer=True)
    check_number("tol", model.tol, low=0)
    if model.batch_size is not None:
        check_number("batch_size", model.batch_size, low=1, integer=True)


class LinearRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Ordinary least squares with one or more variables, in closed form or by gradient descent.

    Predicts y = X w + b and minimises J(w, b) = 1 / (2 n) * sum_i (x_i w + b - y_i)**2. The closed form is
    w = pinv(X - mean) (y - mean), by singular value decomposition: the shortest w if several minimise J (collinear
    columns). Gradient descent starts at zero and repeats w -= learning_rate * X^T (X w + b - y) / n.

    Source: Gauss (1809); the gradient descent follows "Hands-On Machine Learning from Scratch" (Valkov), chapter
    on house prices. It needs scaled columns (StandardScaler); if it diverges, it raises.

    Args:
        solver: "closed-form" or "gradient-descent".
        fit_intercept: whether b is learnt or 0.
        learning_rate: step size of the gradient descent, > 0.
        max_iter: maximum passes of the gradient descent over the rows.
        tol: stop the descent once no entry of the gradient exceeds it, in units of y times units of X.
        batch_size: rows per step of the descent, drawn without replacement; None for all.
        random_state: seed or generator for the order of the batches.

    Attributes:
        coef_: w, (n_features,).
        intercept_: b.
        loss_history_: J before each pass of the descent, (n_iter_,); only the final J in closed form.
        n_iter_: passes made; 1 in closed form.
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range, or the descent diverges.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        >>> from rlbench.models import LinearRegression
        >>> model = LinearRegression().fit([[1.0], [2.0], [3.0]], [3.0, 5.0, 7.0])
        >>> print(model.coef_.round(6), round(model.intercept_, 6), model.predict([[10.0]]).round(6))
        [2.] 1.0 [21.]
        >>> by_descent = LinearRegression(solver="gradient-descent", learning_rate=0.1)
        >>> by_descent.fit([[-1.0], [0.0], [1.0]], [3.0, 5.0, 7.0]).predict([[8.0]]).round(3)
        array([21.])
        >>> by_descent.loss_history_[:3].round(3)
        array([13.833, 11.286,  9.213])
    """

    def __init__(
        self,
        *,
        solver: str = "closed-form",
        fit_intercept: bool = True,
        learning_rate: float = 0.01,
        max_iter: int = 1000,
        tol: float = 1e-6,
        batch_size: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learns w and b from X (n_samples, n_features) and y (n_samples,)."""
        check_choice("solver", self.solver, LINEAR_SOLVERS)
        _check_descent(self)
        rows, targets = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        LINEAR_SOLVERS[self.solver](self, rows, targets.astype(np.float64, copy=False))
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Returns X w + b, (n_samples,)."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(rows @ self.coef_ + self.intercept_)

    def _fit_closed_form(self, X: Floats, y: Floats) -> None:
        x_mean, y_mean = (X.mean(axis=0), y.mean()) if self.fit_intercept else (np.zeros(X.shape[1]), 0.0)
        self.coef_ = np.linalg.lstsq(X - x_mean, y - y_mean, rcond=None)[0]
        self.intercept_ = float(y_mean - x_mean @ self.coef_)
        self.loss_history_ = np.array([_half_squared_error(X @ self.coef_ + self.intercept_, y)])
        self.n_iter_ = 1

    def _fit_gradient_descent(self, X: Floats, y: Floats) -> None:
        X = _with_ones(X, fit_intercept=self.fit_intercept)
        objective = _Objective(X, y[:, None], GAUSSIAN, np.zeros((X.shape[1], 1)))
        descent = _gradient_descent(objective, np.zeros((X.shape[1], 1)), self)
        weights = descent.weights[:, 0]
        self.coef_ = weights[:-1].copy() if self.fit_intercept else weights
        self.intercept_ = float(weights[-1]) if self.fit_intercept else 0.0
        self.loss_history_ = np.array(descent.losses)
        self.n_iter_ = len(descent.losses)


LINEAR_SOLVERS = {
    "closed-form": LinearRegression._fit_closed_form,  # noqa: SLF001 - its own
    "gradient-descent": LinearRegression._fit_gradient_descent,  # noqa: SLF001 - its own
}
LOGISTIC_SOLVERS = {"newton": _newton, "gradient-descent": _gradient_descent}


class LogisticRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Logistic regression for two or more classes, with an L2 penalty.

    Two classes: P(y=1 | x) = sigmoid(x w + b); k classes: P(y=c | x) = softmax(x W + b)_c. Minimises

        J(W, b) = -1/n * sum_i log P(y_i | x_i) + 1 / (2 C n) * sum W**2

    whose gradient is X^T (P - Y) / n + W / (C n). "newton" solves H d = -gradient by preconditioned conjugate
    gradients, using only Hessian-vector products, and halves d until the loss falls (Nocedal and Wright, Numerical
    Optimization, algorithm 7.1); "gradient-descent" repeats W -= learning_rate * gradient, as in the chapter on smart
    discounts of "Hands-On Machine Learning from Scratch" (Valkov). Both compute log P directly, so large scores neither
    overflow nor lose precision. Gradient descent needs scaled columns (StandardScaler).

    Args:
        C: inverse strength of the penalty, > 0; numpy.inf for none. The intercept is never penalised.
        solver: "newton" or "gradient-descent".
        fit_intercept: whether b is learnt or 0.
        learning_rate: step size of gradient descent and of partial_fit, > 0.
        max_iter: maximum Newton steps, or passes of gradient descent over the rows.
        tol: stop once no entry of the gradient of J exceeds it.
        batch_size: rows per step of gradient descent, drawn without replacement; None for all.
        random_state: seed or generator for the order of the batches.

    Attributes:
        classes_: sorted labels, (n_classes,).
        coef_: W transposed, (1, n_features) for two classes, else (n_classes, n_features).
        intercept_: b, (1,) or (n_classes,).
        loss_history_: J at each gradient over all rows; for partial_fit, the mean loss of each chunk.
        n_iter_: gradients computed over all rows, or chunks learnt.
        n_samples_seen_: rows learnt from.
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range, y has one class, or the descent diverges.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        Customers who have spent little get a discount:

        >>> from rlbench.models import LogisticRegression
        >>> spent = [[50], [10], [20], [5], [95], [70], [100], [200], [0]]
        >>> model = LogisticRegression().fit(spent, [0, 1, 1, 1, 0, 0, 0, 0, 1])
        >>> model.predict([[10], [250]])
        array([1, 0])
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        solver: str = "newton",
        fit_intercept: bool = True,
        learning_rate: float = 0.1,
        max_iter: int = 1000,
        tol: float = 1e-6,
        batch_size: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.C = C
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.tol = tol
        self.batch_size = batch_size
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learns from X (n_samples, n_features) and labels y (n_samples,), from scratch."""
        self._check_parameters()
        rows, labels = validate_data(self, X, y, dtype=np.float64)
        if np.abs(rows).max() > LARGEST:
            raise UsageError(f"X must be between -{LARGEST} and {LARGEST}, got a larger value: scale the columns")
        self.classes_, codes = encode_labels(labels, at_least=2)
        self.n_samples_seen_ = len(codes)
        objective = self._objective(rows, codes)
        descent = LOGISTIC_SOLVERS[self.solver](objective, self._zeros(objective), self)
        if self.solver == "newton" and not descent.converged:
            self._warn_of_no_convergence()
        self._keep(descent.weights)
        self.loss_history_ = np.array(descent.losses)
        self.n_iter_ = len(descent.losses)
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Makes one pass of gradient descent over a chunk, in steps of batch_size rows (32 if None).

        `classes` (n_classes,) lists all labels on the first call. The penalty's weight is 1 / (C * rows seen so far).
        """
        self._check_parameters()
        first = not hasattr(self, "coef_")
        rows, labels = validate_data(self, X, y, dtype=np.float64, reset=first)
        known = getattr(self, "classes_", None)
        self.classes_, codes = encode_more_labels(labels, classes, known, at_least=2)
        self.n_samples_seen_ = len(codes) + getattr(self, "n_samples_seen_", 0)
        objective = self._objective(rows, codes)
        W = self._zeros(objective) if first else self._weights()
        loss, _ = _one_pass(W, objective.batches(self.batch_size or PARTIAL_FIT_BATCH), self.learning_rate)
        _need_descent(W, [loss], self.learning_rate)
        self._keep(W)
        self.loss_history_ = np.append(getattr(self, "loss_history_", []), loss)
        self.n_iter_ = getattr(self, "n_iter_", 0) + 1
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Returns the scores: (n_samples,) for two classes, > 0 meaning the second, else (n_samples, n_classes)."""
        scores = self._scores(X)
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Returns the most likely label of each row, (n_samples,)."""
        scores = self._scores(X)
        codes = (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Returns P(class | row), (n_samples, n_classes), in the order of `classes_`."""
        scores = self._scores(X)
        if scores.shape[1] > 1:
            return softmax(scores)
        return np.hstack([sigmoid(-scores), sigmoid(scores)])

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Returns log P(class | row), (n_samples, n_classes), finite for all finite scores."""
        scores = self._scores(X)
        if scores.shape[1] > 1:
            return log_softmax(scores)
        return np.hstack([-np.logaddexp(0.0, scores), -np.logaddexp(0.0, -scores)])

    def _check_parameters(self) -> None:
        check_choice("solver", self.solver, LOGISTIC_SOLVERS)
        check_number("C", self.C, low=0, above=True)
        _check_descent(self)

    def _objective(self, X: Floats, codes: NDArray[np.intp]) -> _Objective:
        """Returns the objective for rows X and label codes; its targets indicate class 1, or every class."""
        binary = len(self.classes_) == 2  # noqa: PLR2004 - two classes share one score
        targets = codes[:, None].astype(float) if binary else np.asfortranarray(np.eye(len(self.classes_))[codes])
        X = _with_ones(X, fit_intercept=self.fit_intercept)
        penalty = np.full((X.shape[1], 1), 1.0 / (self.C * self.n_samples_seen_))
        if self.fit_intercept:
            penalty[-1] = 0.0
        return _Objective(X, targets, BINARY if binary else MULTINOMIAL, penalty)

    def _zeros(self, objective: _Objective) -> Floats:
        return np.zeros((objective.X.shape[1], objective.targets.shape[1]))

    def _weights(self) -> Floats:
        """Returns the weights in the objective's layout, (n_features + 1, k)."""
        rows = [self.coef_.T, self.intercept_[None]] if self.fit_intercept else [self.coef_.T]
        return np.vstack(rows)

    def _keep(self, W: Floats) -> None:
        """Keeps the weights; of several classes only the differences matter, so each column's mean over them is 0."""
        if W.shape[1] > 1:
            W = W - W.mean(axis=1, keepdims=True)
        self.coef_ = W[: self.n_features_in_].T.copy()
        self.intercept_ = W[-1].copy() if self.fit_intercept else np.zeros(W.shape[1])

    def _scores(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(rows @ self.coef_.T + self.intercept_)

    def _warn_of_no_convergence(self) -> None:
        warnings.warn(
            f"the gradient did not fall to tol={self.tol} in max_iter={self.max_iter} Newton steps: the classes may be "
            "separable (lower C), the columns badly scaled (StandardScaler), or tol below rounding error",
            ConvergenceWarning,
            stacklevel=3,
        )
