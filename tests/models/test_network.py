"""The neural network: XOR, digits, its gradient against differences, scikit-learn's contract, and bad input."""
# ruff: noqa: N803, N806 - X, W and C are what the field, and scikit-learn's callers, write

from __future__ import annotations

import copy
import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from rlbench.errors import UsageError
from rlbench.models import LogisticRegression, NeuralNetworkClassifier, network

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float), np.array([0, 1, 1, 0])


@parametrize_with_checks(
    [
        NeuralNetworkClassifier((20,), learning_rate=0.01, max_iter=100),
        NeuralNetworkClassifier((20,), learning_rate=0.01, max_iter=30, early_stopping=True, validation_fraction=0.3),
    ]
)
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_sample_runs_of_the_docstrings_hold():
    assert doctest.testmod(network).failed == 0


@pytest.mark.parametrize("activation", network.ACTIVATIONS)
@pytest.mark.parametrize(("solver", "learning_rate", "max_iter"), [("adam", 0.05, 500), ("sgd", 0.5, 3000)])
def test_it_solves_xor_which_no_linear_model_can(activation, solver, learning_rate, max_iter):
    X, y = XOR
    model = NeuralNetworkClassifier(
        (8,),
        activation=activation,
        solver=solver,
        learning_rate=learning_rate,
        max_iter=max_iter,
        tol=0,
        n_iter_no_change=max_iter,
        random_state=0,
    )
    assert model.fit(X, y).predict(X).tolist() == [0, 1, 1, 0]
    assert model.loss_curve_[-1] < 0.05
    assert LogisticRegression().fit(X, y).score(X, y) < 1


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, random_state=0)


@pytest.mark.parametrize(
    ("hidden", "solver", "rate"), [((32,), "adam", 0.01), ((32, 16), "adam", 0.01), (64, "sgd", 0.1)]
)
def test_it_reads_digits(digits, hidden, solver, rate):
    train, test, y_train, y_test = digits
    model = NeuralNetworkClassifier(
        hidden, solver=solver, learning_rate=rate, batch_size=64, max_iter=40, random_state=0
    )
    assert model.fit(train, y_train).score(test, y_test) >= 0.96


@pytest.mark.parametrize(
    ("load", "n_splits"), [(load_iris, 12), (load_wine, 8), (load_breast_cancer, 4), (load_digits, 2)]
)
def test_it_is_as_accurate_as_scikit_learns_network(load, n_splits):
    X, y = load(return_X_y=True)
    X, alike = StandardScaler().fit_transform(X), {"max_iter": 60, "n_iter_no_change": 60}
    ours, theirs = [], []
    for seed in range(n_splits):
        train, test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=y)
        model = NeuralNetworkClassifier((32,), learning_rate=0.01, random_state=seed, **alike).fit(train, y_train)
        peer = MLPClassifier((32,), learning_rate_init=0.01, random_state=seed, **alike)
        with pytest.warns(ConvergenceWarning):
            peer.fit(train, y_train)
        ours.append(model.score(test, y_test))
        theirs.append(peer.score(test, y_test))
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), hidden=st.lists(st.integers(1, 5), max_size=3))
def test_backpropagation_gives_the_slope_of_the_loss(activation, seed, hidden):
    random = np.random.default_rng(seed)
    model = NeuralNetworkClassifier(tuple(hidden), activation=activation, l1=0.01, l2=0.1, random_state=0)
    X, codes = random.normal(size=(7, 3)), random.integers(0, 3, 7)
    model.n_features_in_, model.classes_, model._random = 3, np.arange(3), np.random.RandomState(0)
    layers = model._first_layers(float)
    layers.flat[:] = random.normal(size=layers.flat.shape)
    gradient = network._Layers.of(layers.weights, layers.biases)

    def loss():
        found = network._forward(X, layers, network.ACTIVATIONS[activation])
        loss = network._backward(found, codes, layers, gradient, network.ACTIVATIONS[activation])
        return loss + model._penalise(layers, gradient)

    loss()
    expected, differences = gradient.flat.copy(), np.empty_like(gradient.flat)
    for place in range(len(layers.flat)):
        there = layers.flat[place]
        layers.flat[place] = there + 1e-6
        ahead = loss()
        layers.flat[place] = there - 1e-6
        differences[place] = (ahead - loss()) / 2e-6
        layers.flat[place] = there
    np.testing.assert_allclose(expected, differences, atol=1e-6)


def test_the_first_step_of_sgd_is_the_one_worked_by_hand():
    # one row (1, 2), no hidden layer, all weights 0: P = (1/2, 1/2), loss log 2, errors (1/2 - 1, 1/2) for class 0
    model = NeuralNetworkClassifier((), solver="sgd", learning_rate=0.1)
    model.n_features_in_, model.classes_, model._random = 2, np.arange(2), np.random.RandomState(0)
    layers = model._first_layers(float)
    layers.flat[:] = 0
    model._one_pass(layers, np.array([[1.0, 2.0]]), np.array([0]))
    assert model.loss_curve_ == pytest.approx([np.log(2)])
    np.testing.assert_allclose(layers.weights[0], [[0.05, -0.05], [0.1, -0.1]])
    np.testing.assert_allclose(layers.biases[0], [0.05, -0.05])


def test_the_first_step_of_adam_is_as_long_as_the_learning_rate():
    model = NeuralNetworkClassifier((), learning_rate=0.1)
    model.n_features_in_, model.classes_, model._random = 2, np.arange(2), np.random.RandomState(0)
    layers = model._first_layers(float)
    layers.flat[:] = 0
    model._one_pass(layers, np.array([[1.0, 2.0]]), np.array([0]))
    np.testing.assert_allclose(layers.weights[0], [[0.1, -0.1], [0.1, -0.1]], rtol=1e-6)


def test_without_a_hidden_layer_it_is_logistic_regression():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = NeuralNetworkClassifier(
        (), solver="sgd", learning_rate=0.5, max_iter=3000, n_iter_no_change=3000, l2=0.01, random_state=0
    )
    logistic = LogisticRegression(C=1 / (0.01 * len(X))).fit(X, y)
    np.testing.assert_allclose(model.fit(X, y).predict_proba(X), logistic.predict_proba(X), atol=1e-3)


def test_l1_leaves_more_weights_near_zero_than_none(digits):
    train, _, y_train, _ = digits
    near_zero = [
        (
            np.abs(
                NeuralNetworkClassifier((16,), l1=l1, max_iter=30, learning_rate=0.01, random_state=0)
                .fit(train, y_train)
                .coefs_[0]
            )
            < 0.01
        ).mean()
        for l1 in (0, 0.001)
    ]
    assert near_zero[1] > near_zero[0] + 0.3


def test_l2_shrinks_the_weights(digits):
    train, _, y_train, _ = digits
    free, bound = (
        NeuralNetworkClassifier((16,), l2=l2, max_iter=20, learning_rate=0.01, random_state=0).fit(train, y_train)
        for l2 in (0, 0.1)
    )
    assert np.abs(bound.coefs_[0]).sum() < np.abs(free.coefs_[0]).sum() / 2


def test_early_stopping_says_by_its_label_which_class_has_too_few_rows():
    X, y = np.arange(20.0)[:, None], ["b", "c"] * 9 + ["b", "rare"]
    with pytest.raises(ValueError, match=r"too few.*\['rare'\]"):
        NeuralNetworkClassifier(early_stopping=True).fit(X, y)


def test_early_stopping_keeps_the_weights_that_were_best_on_the_held_out_rows(digits):
    train, test, y_train, y_test = digits
    model = NeuralNetworkClassifier(
        (32,), learning_rate=0.02, early_stopping=True, n_iter_no_change=5, tol=0, random_state=0
    ).fit(train, y_train)
    assert model.n_iter_ == len(model.validation_scores_) < 200
    best = int(np.argmax(model.validation_scores_))
    assert best == model.n_iter_ - 6
    shorter = clone(model).set_params(max_iter=best + 1).fit(train, y_train)
    assert all((ours == theirs).all() for ours, theirs in zip(model.coefs_, shorter.coefs_, strict=True))
    assert model.score(test, y_test) > 0.95


def test_training_stops_once_the_loss_no_longer_falls():
    model = NeuralNetworkClassifier((4,), learning_rate=1e-9, n_iter_no_change=3, random_state=0).fit(*XOR)
    assert model.n_iter_ == 4


def test_the_same_seed_gives_the_same_network_and_another_seed_another(digits):
    train, _, y_train, _ = digits
    first, second, other = (
        NeuralNetworkClassifier((8,), max_iter=2, random_state=seed).fit(train, y_train).coefs_[0] for seed in (0, 0, 1)
    )
    assert (first == second).all()
    assert (first != other).any()


def test_passes_of_partial_fit_equal_one_fit(digits):
    train, _, y_train, _ = digits
    whole = NeuralNetworkClassifier((8,), max_iter=4, random_state=0).fit(train, y_train)
    parts = NeuralNetworkClassifier((8,), random_state=0)
    for _ in range(4):
        parts.partial_fit(train, y_train, classes=range(10))
    assert parts.loss_curve_ == whole.loss_curve_
    assert all((ours == theirs).all() for ours, theirs in zip(parts.coefs_, whole.coefs_, strict=True))


def test_a_copied_network_learns_on_as_the_original(digits):
    train, _, y_train, _ = digits
    model = NeuralNetworkClassifier((8,), max_iter=2, random_state=0).fit(train, y_train)
    twin = copy.deepcopy(model)
    for each in (model, twin):
        each.partial_fit(train, y_train)
    assert all((ours == theirs).all() for ours, theirs in zip(model.coefs_, twin.coefs_, strict=True))


def test_a_network_without_its_generator_as_after_loading_learns_on():
    model = NeuralNetworkClassifier((8,), max_iter=2, random_state=0).fit(*XOR)
    del model._random
    assert model.partial_fit(*XOR).n_iter_ == 3


def test_chunks_that_do_not_fit_in_memory_are_learnt_one_by_one(digits):
    train, test, y_train, y_test = digits
    model = NeuralNetworkClassifier((32,), learning_rate=0.01, random_state=0)
    for _ in range(20):
        for rows in np.array_split(np.arange(len(train)), 5):
            model.partial_fit(train[rows], y_train[rows], classes=range(10))
    assert model.score(test, y_test) > 0.94
    assert model.n_iter_ == 100


def test_single_precision_stays_single(digits):
    train, test, y_train, _ = digits
    model = NeuralNetworkClassifier((8,), max_iter=2, random_state=0).fit(train.astype(np.float32), y_train)
    assert model.coefs_[0].dtype == model.predict_proba(test.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("activation", network.ACTIVATIONS)
def test_scores_of_any_size_give_finite_probabilities(activation):
    model = NeuralNetworkClassifier((4,), activation=activation, max_iter=5, random_state=0).fit(*XOR)
    model.coefs_ = [weights * 1e6 for weights in model.coefs_]
    X = XOR[0] * 1e6
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    assert np.isfinite(model.predict_log_proba(X)).all()
    assert not np.isnan(model.predict_proba(X)).any()


def test_labels_may_be_words_and_it_drops_into_a_pipeline():
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    pipeline = make_pipeline(StandardScaler(), NeuralNetworkClassifier((16,), learning_rate=0.02, random_state=0))
    assert pipeline.fit(X, names).score(X, names) > 0.95


# --- bad input


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[np.nan], [1.0]], [0, 1], "NaN"),
        ([[np.inf], [1.0]], [0, 1], "infinity"),
        (np.empty((0, 2)), [], "minimum of 1 is required"),
        ([["a"], ["b"]], [0, 1], "could not convert string to float"),
        ([[1.0], [2.0]], [0.5, 1.7], "Unknown label type"),
        ([[1.0], [2.0]], [3, 3], "y must contain at least 2 classes"),
        ([[1.0]], [3], "y must contain at least 2 classes"),
        ([[1.0], [2.0]], None, "requires y to be passed"),
    ],
)
def test_bad_rows_and_labels_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        NeuralNetworkClassifier().fit(X, y)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes must be a whole number >= 1, got 0"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes must be a whole number >= 1, got 2.5"),
        ({"hidden_layer_sizes": "many"}, "hidden_layer_sizes must be a whole number >= 1, got 'many'"),
        ({"activation": "relo"}, "unknown activation 'relo'; did you mean relu"),
        ({"solver": "lbfgs"}, "unknown solver 'lbfgs'; known: adam, sgd"),
        ({"batch_size": "all"}, "batch_size must be a whole number >= 1, got 'all'"),
        ({"learning_rate": -1}, "learning_rate must be a number > 0, got -1"),
        ({"momentum": 1}, "momentum must be a number >= 0 and <= 0.9999, got 1"),
        ({"l1": -1}, "l1 must be a number >= 0, got -1"),
        ({"l2": None}, "l2 must be a number >= 0, got None"),
        ({"max_iter": 0}, "max_iter must be a whole number >= 1, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a number > 0 and <= 0.9999, got 1.0"),
    ],
)
def test_a_wrong_parameter_is_told_at_fit(parameters, message):
    with pytest.raises(UsageError, match=message):
        NeuralNetworkClassifier(**parameters).fit(*XOR)


def test_a_loss_that_overflows_is_told_with_the_remedy():
    with pytest.raises(UsageError, match="learning_rate must be small enough to descend, got 1e\\+200"):
        NeuralNetworkClassifier((4, 4), solver="sgd", learning_rate=1e200, random_state=0).fit(XOR[0] * 1e100, XOR[1])


def test_predicting_asks_for_fit_first_and_for_the_same_columns():
    model = NeuralNetworkClassifier((2,), max_iter=1)
    with pytest.raises(NotFittedError):
        model.predict([[0.0, 1.0]])
    with pytest.raises(ValueError, match="3 features"):
        model.fit(*XOR).predict([[0.0, 1.0, 2.0]])


def test_partial_fit_wants_all_classes_named_first_and_no_others_later():
    model = NeuralNetworkClassifier((2,))
    with pytest.raises(UsageError, match="classes must be passed on the first call"):
        model.partial_fit(*XOR)
    model.partial_fit(*XOR, classes=[0, 1])
    with pytest.raises(UsageError, match="also got \\[5\\]"):
        model.partial_fit(XOR[0], [0, 1, 1, 5])
