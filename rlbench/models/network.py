"""A feed-forward neural network for classification: layers, backpropagation and mini-batches in plain NumPy."""
# ruff: noqa: N803, N806 - X is the field's and scikit-learn's name

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
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
    from collections.abc import Callable
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.floating[Any]]

AUTO_BATCH = 200  # rows per step if batch_size is "auto"
FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as its authors propose


class _Activation(NamedTuple):
    """A hidden layer's function, and its derivative as a function of its output; both work in place."""

    apply: Callable[[Floats], Any]
    times_slope: Callable[[Floats, Floats], Any]  # (errors, outputs): errors *= slope


def _relu(z: Floats) -> None:
    np.maximum(z, 0, out=z)


def _times_relu_slope(errors: Floats, outputs: Floats) -> None:
    errors *= outputs > 0


def _sigmoid(z: Floats) -> None:
    # via tanh: exp(-z) overflows for large negative z
    z *= 0.5
    np.tanh(z, out=z)
    z += 1
    z *= 0.5


def _times_sigmoid_slope(errors: Floats, outputs: Floats) -> None:
    errors *= outputs
    errors *= 1 - outputs


def _tanh(z: Floats) -> None:
    np.tanh(z, out=z)


def _times_tanh_slope(errors: Floats, outputs: Floats) -> None:
    errors *= 1 - outputs**2


ACTIVATIONS = {
    "relu": _Activation(_relu, _times_relu_slope),
    "sigmoid": _Activation(_sigmoid, _times_sigmoid_slope),
    "tanh": _Activation(_tanh, _times_tanh_slope),
}


class _Layers(NamedTuple):
    """All weights and biases as views into one flat array, so that a solver updates them in one operation."""

    flat: Floats
    weights: list[Floats]
    biases: list[Floats]

    @classmethod
    def over(cls, flat: Floats, sizes: list[int]) -> _Layers:
        """Views `flat` as layers of `sizes` units: all weights first, then all biases."""
        weights, biases, end = [], [], 0
        for units, following in pairwise(sizes):
            weights.append(flat[end : end + units * following].reshape(units, following))
            end += units * following
        for units in sizes[1:]:
            biases.append(flat[end : end + units])
            end += units
        return cls(flat, weights, biases)

    @classmethod
    def of(cls, weights: list[Floats], biases: list[Floats]) -> _Layers:
        """Copies learnt weights and biases into one flat array."""
        flat = np.concatenate([part.ravel() for part in (*weights, *biases)])
        return cls.over(flat, [len(weights[0]), *map(len, biases)])


def _size_of(sizes: list[int]) -> tuple[int, int]:
    """Returns the number of weights, and of all parameters, in layers of `sizes` units."""
    weights = sum(units * following for units, following in pairwise(sizes))
    return weights, weights + sum(sizes[1:])


def _softmax(scores: Floats) -> None:
    """Turns scores (n, k) into probabilities in place, shifting each row's largest to 0 first."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)


def _forward(X: Floats, layers: _Layers, activation: _Activation) -> list[Floats]:
    """Returns the outputs of all layers, from X to the class scores (before softmax)."""
    outputs = [X]
    for weights, bias in zip(layers.weights, layers.biases, strict=True):
        if len(outputs) > 1:
            activation.apply(outputs[-1])
        z = outputs[-1] @ weights
        z += bias
        outputs.append(z)
    return outputs


def _backward(
    outputs: list[Floats], codes: NDArray[np.intp], layers: _Layers, gradient: _Layers, activation: _Activation
) -> float:
    """Writes the gradient of the rows' mean cross-entropy and returns that loss. Overwrites the last output."""
    errors, n = outputs[-1], len(codes)
    rows = np.arange(n)
    _softmax(errors)
    chosen = errors[rows, codes]
    loss = -float(np.log(np.maximum(chosen, np.finfo(chosen.dtype).tiny)).mean())
    errors[rows, codes] -= 1
    errors /= n
    for layer in reversed(range(len(layers.weights))):
        np.dot(outputs[layer].T, errors, out=gradient.weights[layer])
        errors.sum(axis=0, out=gradient.biases[layer])
        if layer:
            errors = errors @ layers.weights[layer].T
            activation.times_slope(errors, outputs[layer])
    return loss


def _sgd(network: NeuralNetworkClassifier, flat: Floats, gradient: Floats) -> None:
    """Steps by velocity = momentum * velocity - learning_rate * gradient (Polyak, 1964)."""
    velocity = network.optimizer_state_[0]
    velocity *= network.momentum
    velocity -= network.learning_rate * gradient
    flat += velocity


def _adam(network: NeuralNetworkClassifier, flat: Floats, gradient: Floats) -> None:
    """Steps by the running mean of the gradient over the root of its running mean square (Kingma and Ba, 2015)."""
    mean, square = network.optimizer_state_
    mean += (1 - FIRST_DECAY) * (gradient - mean)
    square += (1 - SECOND_DECAY) * (gradient * gradient - square)
    first, second = 1 - FIRST_DECAY**network.t_, 1 - SECOND_DECAY**network.t_
    flat -= network.learning_rate * np.sqrt(second) / first * mean / (np.sqrt(square) + EPSILON)


SOLVERS = {"adam": _adam, "sgd": _sgd}


class NeuralNetworkClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """A multilayer perceptron with a softmax output, trained by backpropagation on mini-batches.

    Layer l computes a_l = f(a_{l-1} W_l + b_l), the last one P = softmax(a W + b). Minimises

        J = -1/n * sum_i log P(y_i | x_i) + l1 * sum |W| + l2 / 2 * sum W**2

    whose error is (P - Y) / n at the output and (error W^T) * f'(a) in each layer below. Initial weights are uniform
    within sqrt(6 / (units in + units out)) (Glorot and Bengio, 2010), biases 0. Softmax subtracts each row's largest
    score and sigmoid is computed via tanh, so neither overflows. float32 input is computed in float32.

    Source: Rumelhart, Hinton, Williams (1986); chapter "Build your own neural network" of "Hands-On Machine Learning
    from Scratch" (Valkov). Scale the columns first (StandardScaler, or to [0, 1]).

    Args:
        hidden_layer_sizes: units of each hidden layer; () for none, a number for one layer.
        activation: "relu", "sigmoid" or "tanh".
        solver: "adam" or "sgd".
        learning_rate: step size, > 0.
        momentum: fraction of its velocity that sgd keeps, in [0, 1).
        l1: weight of the sum of absolute weights, >= 0.
        l2: weight of half the sum of squared weights, >= 0; biases are never penalised.
        batch_size: rows per step (the last of a pass may have fewer); "auto" for min(200, n_samples).
        max_iter: maximum passes over the rows.
        tol: minimum improvement of the loss (or of the validation score).
        n_iter_no_change: stop after this many passes in a row without improvement.
        early_stopping: whether to hold out rows, monitor the accuracy on them, and keep the best weights.
        validation_fraction: share of the rows held out, in (0, 1).
        random_state: seed or generator for the initial weights, the order of the rows and the hold-out.

    Attributes:
        classes_: sorted labels, (n_classes,).
        coefs_: weights of each layer, (units in, units out).
        intercepts_: biases of each layer, (units out,).
        loss_curve_: J of each pass: the mean over its batches, each taken before its step.
        validation_scores_: accuracy on the held-out rows after each pass, with early_stopping.
        n_iter_: passes made; t_: steps made.
        optimizer_state_: running means (adam) or velocity (sgd): all weights first, then all biases.
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range, y has one class, or the loss is no longer finite.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data.

    Examples:
        XOR, which no linear model can learn:

        >>> from rlbench.models import NeuralNetworkClassifier
        >>> network = NeuralNetworkClassifier((8,), learning_rate=0.05, max_iter=300, random_state=0)
        >>> network.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]).predict([[0, 0], [0, 1], [1, 0], [1, 1]])
        array([0, 1, 1, 0])
    """

    def __init__(
        self,
        hidden_layer_sizes: int | tuple[int, ...] = (100,),
        *,
        activation: str = "relu",
        solver: str = "adam",
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        l1: float = 0.0,
        l2: float = 0.0,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.l1 = l1
        self.l2 = l2
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learns from X (n_samples, n_features) and labels y (n_samples,), from scratch."""
        self._check_parameters()
        rows, labels = validate_data(self, X, y, dtype=(np.float64, np.float32))
        self.classes_, codes = encode_labels(labels, at_least=2)
        self._random = check_random_state(self.random_state)
        held_out = None
        if self.early_stopping:
            rows, held_out, codes = self._hold_out(rows, codes)
        layers = self._first_layers(rows.dtype)
        self._train(layers, rows, codes, held_out)
        self.coefs_, self.intercepts_ = layers.weights, layers.biases
        return self

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Makes one pass over a chunk; `classes` (n_classes,) lists all labels on the first call."""
        self._check_parameters()
        first = not hasattr(self, "coefs_")
        rows, labels = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=first)
        known = getattr(self, "classes_", None)
        self.classes_, codes = encode_more_labels(labels, classes, known, at_least=2)
        if first or not hasattr(self, "_random"):  # a loaded network has no generator
            self._random = check_random_state(self.random_state)
        layers = self._first_layers(rows.dtype) if first else _Layers.of(self.coefs_, self.intercepts_)
        self._one_pass(layers, rows.astype(layers.flat.dtype, copy=False), codes)
        self.coefs_, self.intercepts_ = layers.weights, layers.biases
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Returns the most likely label of each row, (n_samples,)."""
        codes = self._scores(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Returns P(class | row), (n_samples, n_classes), in the order of `classes_`."""
        scores = self._scores(X)
        _softmax(scores)
        return scores

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Returns log P(class | row), (n_samples, n_classes), finite for all finite scores."""
        scores = self._scores(X)
        scores -= scores.max(axis=1, keepdims=True)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))

    def _check_parameters(self) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("solver", self.solver, SOLVERS)
        for units in self._hidden():
            check_number("hidden_layer_sizes", units, low=1, integer=True)
        if self.batch_size != "auto":
            check_number("batch_size", self.batch_size, low=1, integer=True)
        check_number("learning_rate", self.learning_rate, low=0, above=True)
        check_number("momentum", self.momentum, low=0, high=0.9999)
        check_number("l1", self.l1, low=0)
        check_number("l2", self.l2, low=0)
        check_number("max_iter", self.max_iter, low=1, integer=True)
        check_number("tol", self.tol, low=0)
        check_number("n_iter_no_change", self.n_iter_no_change, low=1, integer=True)
        check_number("validation_fraction", self.validation_fraction, low=0, high=0.9999, above=True)

    def _hidden(self) -> list[Any]:
        return list(np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)))

    def _hold_out(self, X: Floats, codes: NDArray[np.intp]) -> tuple[Floats, tuple[Floats, NDArray[np.intp]], Any]:
        """Returns training rows, held-out rows and labels, and training labels; both parts contain all classes."""
        X, X_held, codes, codes_held = train_test_split(
            X, codes, test_size=self.validation_fraction, random_state=self._random, stratify=self.classes_[codes]
        )
        return X, (X_held, codes_held), codes

    def _first_layers(self, dtype: Any) -> _Layers:
        """Returns Glorot's uniform initial weights and zero biases; resets all counters and the solver's state."""
        sizes = [self.n_features_in_, *map(int, self._hidden()), len(self.classes_)]
        layers = _Layers.over(np.zeros(_size_of(sizes)[1], dtype), sizes)
        for weights in layers.weights:
            bound = np.sqrt(6.0 / sum(weights.shape))
            weights[:] = self._random.uniform(-bound, bound, weights.shape)
        self.optimizer_state_ = [np.zeros_like(layers.flat) for _ in range(2 if self.solver == "adam" else 1)]
        self.loss_curve_: list[float] = []
        self.n_iter_ = self.t_ = 0
        return layers

    def _train(self, layers: _Layers, X: Floats, codes: NDArray[np.intp], held_out: Any) -> None:
        """Trains until `n_iter_no_change` passes bring no improvement; with a hold-out, keeps the best weights."""
        best, waited, kept = -np.inf, 0, layers.flat.copy()
        self.validation_scores_: list[float] = []
        for _ in range(self.max_iter):
            self._one_pass(layers, X, codes)
            found = -self.loss_curve_[-1] if held_out is None else self._validate(layers, *held_out)
            waited = 0 if found > best + self.tol else waited + 1
            if found > best:
                best = found
                if held_out is not None:
                    kept[:] = layers.flat
            if waited >= self.n_iter_no_change:
                break
        if held_out is not None:
            layers.flat[:] = kept

    def _one_pass(self, layers: _Layers, X: Floats, codes: NDArray[np.intp]) -> None:
        """Shuffles the rows, makes a step per batch and records the mean loss."""
        n = len(X)
        size = min(AUTO_BATCH, n) if self.batch_size == "auto" else int(self.batch_size)
        gradient = _Layers.over(np.empty_like(layers.flat), [len(layers.weights[0]), *map(len, layers.biases)])
        order, loss = self._random.permutation(n), 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is reported below, with advice
            for start in range(0, n, size):
                rows = order[start : start + size]
                loss += len(rows) * self._one_step(layers, gradient, X[rows], codes[rows])
        if not np.isfinite(loss):
            raise UsageError(
                f"learning_rate must be small enough to descend, got {self.learning_rate}: the loss is no longer "
                "finite; scale the columns (StandardScaler) or lower the rate"
            )
        self.loss_curve_.append(loss / n)
        self.n_iter_ += 1

    def _one_step(self, layers: _Layers, gradient: _Layers, X: Floats, codes: NDArray[np.intp]) -> float:
        """Updates the weights from one batch; returns its loss, penalties included."""
        activation = ACTIVATIONS[self.activation]
        loss = _backward(_forward(X, layers, activation), codes, layers, gradient, activation)
        loss += self._penalise(layers, gradient)
        self.t_ += 1
        SOLVERS[self.solver](self, layers.flat, gradient.flat)
        return loss

    def _penalise(self, layers: _Layers, gradient: _Layers) -> float:
        """Adds the penalties' derivative to the gradient of the weights (not the biases); returns the penalties."""
        n_weights = len(layers.flat) - sum(map(len, layers.biases))
        weights, slope, penalty = layers.flat[:n_weights], gradient.flat[:n_weights], 0.0
        if self.l2:
            slope += self.l2 * weights
            penalty += self.l2 / 2 * float(weights @ weights)
        if self.l1:
            slope += self.l1 * np.sign(weights)
            penalty += self.l1 * float(np.abs(weights).sum())
        return penalty

    def _scores(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        layers = _Layers(self.coefs_[0], self.coefs_, self.intercepts_)
        return _forward(rows, layers, ACTIVATIONS[self.activation])[-1]

    def _validate(self, layers: _Layers, X: Floats, codes: NDArray[np.intp]) -> float:
        """Returns and records the accuracy on held-out rows."""
        scores = _forward(X, layers, ACTIVATIONS[self.activation])[-1]
        self.validation_scores_.append(float((scores.argmax(axis=1) == codes).mean()))
        return self.validation_scores_[-1]
