"""Linear and logistic regression: worked numbers, scikit-learn's contract and figures, and bad input."""
# ruff: noqa: N803, N806 - X, W and C are what the field, and scikit-learn's callers, write

from __future__ import annotations

import doctest
import subprocess
import sys
import warnings

import numpy as np
import pytest
import sklearn.linear_model as peers
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import rlbench.models
from rlbench.errors import UnknownNameError, UsageError
from rlbench.models import LinearRegression, LogisticRegression, linear

SPENT = np.array([[50], [10], [20], [5], [95], [70], [100], [200], [0]], dtype=float)
SENT_DISCOUNT = np.array([0, 1, 1, 1, 0, 0, 0, 0, 1])
CLASSIFICATIONS = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}


def expected_failures(estimator):
    """Descent alone: the checks share one learning rate between columns of size 1 and of size 100, unscaled."""
    if getattr(estimator, "solver", None) == "gradient-descent" and isinstance(estimator, LinearRegression):
        return {"check_regressors_train": "the rate small enough for the widest columns is too small for these"}
    return {}


@parametrize_with_checks(
    [
        LinearRegression(),
        LinearRegression(solver="gradient-descent", learning_rate=1e-5),  # the checks do not scale their columns
        LogisticRegression(),
        LogisticRegression(solver="gradient-descent", learning_rate=1e-4),
    ],
    expected_failed_checks=expected_failures,
)
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", rlbench.models.__all__)
def test_every_public_name_is_listed_for_completion(name):
    assert name in dir(rlbench.models)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Perceptron'"):
        _ = rlbench.models.Perceptron


def test_importing_the_room_loads_no_estimator_and_the_estimators_load_no_environment_and_no_numba():
    code = (
        "import sys, rlbench.models as m; assert 'sklearn' not in sys.modules;"
        "m.LinearRegression, m.TextClassifier, m.NeuralNetworkClassifier, m.KMeans(), m.RandomForestRegressor();"
        "assert not {'gymnasium', 'numba', 'rlbench.training', 'rlbench.envs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_sample_runs_of_the_docstrings_hold():
    assert doctest.testmod(linear).failed == 0


# --- linear regression


def test_a_line_through_three_points_is_found_exactly():
    model = LinearRegression().fit([[1.0], [2.0], [3.0]], [3.0, 5.0, 7.0])
    assert model.coef_ == pytest.approx([2.0])
    assert model.intercept_ == pytest.approx(1.0)
    assert model.predict([[10.0]]) == pytest.approx([21.0])


def test_the_closed_form_equals_that_of_scikit_learn():
    X, y = load_diabetes(return_X_y=True)
    for fit_intercept in (True, False):
        ours = LinearRegression(fit_intercept=fit_intercept).fit(X, y)
        theirs = peers.LinearRegression(fit_intercept=fit_intercept).fit(X, y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-8)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-8)
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-8)


def test_columns_that_repeat_each_other_share_the_weight():
    x = np.arange(6.0)
    model = LinearRegression().fit(np.column_stack([x, x, np.ones(6)]), 4 * x + 1)
    np.testing.assert_allclose(model.coef_, [2, 2, 0], atol=1e-12)
    assert model.intercept_ == pytest.approx(1)


def test_one_row_is_predicted_as_it_is():
    assert LinearRegression().fit([[1.0, 2.0]], [3.0]).predict([[1.0, 2.0]]) == pytest.approx([3.0])


def test_gradient_descent_takes_the_step_worked_by_hand():
    # w = b = 0: gradient of w -(1*2 + 3*4)/2 = -7, of b -(2 + 4)/2 = -3; loss (4 + 16)/4 = 5
    model = LinearRegression(solver="gradient-descent", learning_rate=0.1, max_iter=1).fit([[1.0], [3.0]], [2.0, 4.0])
    assert model.coef_ == pytest.approx([0.7])
    assert model.intercept_ == pytest.approx(0.3)
    assert model.loss_history_ == pytest.approx([5.0])


@pytest.mark.parametrize(("batch_size", "learning_rate"), [(None, 0.1), (64, 0.005)])
def test_gradient_descent_reaches_the_fit_of_the_closed_form(batch_size, learning_rate):
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    model = LinearRegression(
        solver="gradient-descent",
        learning_rate=learning_rate,
        max_iter=5000,
        batch_size=batch_size,
        random_state=0,
    )
    closed = peers.LinearRegression().fit(train, y_train)
    assert model.fit(train, y_train).score(test, y_test) == pytest.approx(closed.score(test, y_test), rel=0.01)
    assert model.score(train, y_train) == pytest.approx(closed.score(train, y_train), rel=0.01)


def test_the_loss_of_full_gradient_descent_never_rises():
    X, y = load_diabetes(return_X_y=True)
    model = LinearRegression(solver="gradient-descent", learning_rate=0.1)
    model.fit(StandardScaler().fit_transform(X), y)
    assert len(model.loss_history_) == model.n_iter_ == 1000
    assert (np.diff(model.loss_history_) <= 0).all()


def test_gradient_descent_without_an_intercept_goes_through_the_origin():
    model = LinearRegression(solver="gradient-descent", fit_intercept=False, learning_rate=0.1)
    assert model.fit([[1.0], [2.0]], [2.0, 4.0]).predict([[0.0], [3.0]]) == pytest.approx([0.0, 6.0])
    assert model.intercept_ == 0
    assert model.n_iter_ < 1000  # the gradient fell to tol earlier


def test_too_large_a_learning_rate_is_told_with_the_remedy():
    X = np.arange(50.0)[:, None] * 100
    with pytest.raises(UsageError, match=r"learning_rate must be small enough to descend, got 0\.1.*StandardScaler"):
        LinearRegression(solver="gradient-descent", learning_rate=0.1).fit(X, X[:, 0])


def test_the_same_seed_draws_the_same_batches():
    X, y = load_diabetes(return_X_y=True)
    first, second, other = (
        LinearRegression(solver="gradient-descent", max_iter=3, batch_size=10, random_state=seed).fit(X, y).coef_
        for seed in (0, 0, 1)
    )
    assert (first == second).all()
    assert (first != other).any()


# --- logistic regression


@pytest.mark.parametrize(
    "model", [LogisticRegression(), LogisticRegression(solver="gradient-descent", learning_rate=0.001, max_iter=50_000)]
)
def test_who_spent_10_is_sent_a_discount_and_who_spent_250_is_not(model):
    model.fit(SPENT, SENT_DISCOUNT)
    assert model.predict([[10], [250]]).tolist() == [1, 0]
    assert model.score(SPENT, SENT_DISCOUNT) == 1.0


def test_logistic_descent_takes_the_step_worked_by_hand():
    # W = 0: P = 1/2; gradient of w (-1/2 * 1 + 1/2 * 3)/2 = 1/2, of b 0; the loss is log 2
    model = LogisticRegression(solver="gradient-descent", learning_rate=0.5, max_iter=1).fit([[1.0], [3.0]], [1, 0])
    assert model.coef_ == pytest.approx(np.array([[-0.25]]))
    assert model.intercept_ == pytest.approx([0.0])
    assert model.loss_history_ == pytest.approx([np.log(2)])


@pytest.mark.parametrize(
    "data", [pytest.param(name, marks=[pytest.mark.long] * (name == "digits")) for name in CLASSIFICATIONS]
)  # digits: 4 seconds each
@pytest.mark.parametrize("C", [0.1, 1.0])
def test_newton_reaches_the_minimum_of_scikit_learn(data, C):
    X, y = CLASSIFICATIONS[data](return_X_y=True)
    X = StandardScaler().fit_transform(X)
    train, test, y_train, y_test = train_test_split(X, y, random_state=0)
    ours = LogisticRegression(C=C, tol=1e-9).fit(train, y_train)
    theirs = peers.LogisticRegression(C=C, tol=1e-9, max_iter=10_000).fit(train, y_train)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(test), theirs.predict_proba(test), atol=1e-4)
    np.testing.assert_allclose(
        _shifted(ours.decision_function(test)), _shifted(theirs.decision_function(test)), atol=1e-3
    )
    assert ours.score(test, y_test) == pytest.approx(theirs.score(test, y_test), rel=0.01)


def _shifted(scores):
    """Centres each row: scores of three or more classes are defined up to a constant per row."""
    return scores if scores.ndim == 1 else scores - scores.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("data", ["wine", "breast cancer"])
def test_newton_copes_with_columns_of_very_different_scale(data):
    X, y = CLASSIFICATIONS[data](return_X_y=True)
    ours = LogisticRegression().fit(X, y)
    theirs = peers.LogisticRegression(solver="newton-cholesky", tol=1e-8).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("batch_size", [None, 32])
def test_gradient_descent_reaches_the_accuracy_of_scikit_learn(batch_size):
    X, y = load_iris(return_X_y=True)
    train, test, y_train, y_test = train_test_split(StandardScaler().fit_transform(X), y, random_state=1)
    ours = LogisticRegression(solver="gradient-descent", batch_size=batch_size, random_state=0).fit(train, y_train)
    theirs = peers.LogisticRegression().fit(train, y_train)
    assert ours.score(test, y_test) == pytest.approx(theirs.score(test, y_test), rel=0.01)


def test_both_solvers_find_the_same_weights():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    newton = LogisticRegression(C=0.1).fit(X, y)
    descent = LogisticRegression(C=0.1, solver="gradient-descent", learning_rate=0.5, max_iter=5000).fit(X, y)
    np.testing.assert_allclose(newton.coef_, descent.coef_, atol=1e-4)
    assert descent.n_iter_ < 5000


def test_the_intercept_is_not_penalised():
    X = np.zeros((10, 1))
    model = LogisticRegression(C=1e-6).fit(X, [1] * 8 + [0] * 2)
    assert model.predict_proba(X[:1])[0, 1] == pytest.approx(0.8, abs=1e-5)
    assert LogisticRegression(fit_intercept=False).fit(X, [1] * 8 + [0] * 2).intercept_.tolist() == [0]


def test_a_stronger_penalty_shrinks_the_weights():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    sizes = [np.abs(LogisticRegression(C=C).fit(X, y).coef_).sum() for C in (0.001, 0.1, 10)]
    assert sizes == sorted(sizes)


def test_scores_of_any_size_give_finite_probabilities():
    X = np.array([[-1e6], [-1.0], [1.0], [1e6]])
    for y in ([0, 0, 1, 1], [0, 1, 1, 2]):
        model = LogisticRegression().fit(X[1:3].repeat(2, axis=0) if max(y) == 1 else X / 1e6, y)
        model.coef_ = model.coef_ * 1e4
        chances, logs = model.predict_proba(X), model.predict_log_proba(X)
        assert np.isfinite(logs).all()
        np.testing.assert_allclose(chances.sum(axis=1), 1)
        np.testing.assert_allclose(np.exp(logs), chances, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_newton_learns_from_tiny_and_huge_values_as_from_others(scale):
    X, y = make_classification(200, 4, random_state=0)
    plain = LogisticRegression(C=np.inf).fit(X, y)
    scaled = LogisticRegression(C=np.inf, tol=1e-6 * scale).fit(X * scale, y)
    np.testing.assert_allclose(scaled.predict_proba(X * scale), plain.predict_proba(X), atol=1e-3)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=8))
def test_sigmoid_is_a_probability_and_mirrors_itself(scores):
    scores = np.array(scores)
    chances = linear.sigmoid(scores)
    assert ((chances >= 0) & (chances <= 1)).all()
    np.testing.assert_allclose(chances + linear.sigmoid(-scores), 1)


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=8))
def test_softmax_sums_to_one_and_has_a_finite_logarithm(scores):
    scores = np.array([scores])
    assert linear.softmax(scores).sum() == pytest.approx(1)
    np.testing.assert_allclose(np.exp(linear.log_softmax(scores)), linear.softmax(scores), atol=1e-15)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.booleans())
def test_the_gradient_and_the_hessian_are_those_of_the_loss(seed, n_classes, intercept):
    random = np.random.default_rng(seed)
    X, codes = random.normal(size=(12, 3)), np.arange(12) % n_classes
    model = LogisticRegression(C=0.7, fit_intercept=intercept)
    model.classes_, model.n_samples_seen_ = np.arange(n_classes), 12
    objective = model._objective(X, codes)
    W, direction = (random.normal(size=model._zeros(objective).shape) for _ in range(2))

    def at(t):
        moved = W + t * direction
        scores = objective.scores(moved)
        return objective.value(moved, scores), objective.gradient(moved, objective.family.mean(scores))

    (ahead, slope_ahead), (behind, slope_behind) = at(1e-5), at(-1e-5)
    means = objective.family.mean(objective.scores(W))
    assert (ahead - behind) / 2e-5 == pytest.approx((objective.gradient(W, means) * direction).sum(), abs=1e-7)
    np.testing.assert_allclose((slope_ahead - slope_behind) / 2e-5, objective.curve(means, direction), atol=1e-7)


def test_labels_may_be_words():
    model = LogisticRegression().fit(SPENT, np.where(SENT_DISCOUNT, "send", "keep"))
    assert model.classes_.tolist() == ["keep", "send"]
    assert model.predict([[10], [250]]).tolist() == ["send", "keep"]


def test_chunks_that_do_not_fit_in_memory_are_learnt_one_by_one():
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    model = LogisticRegression(learning_rate=0.3, batch_size=10)
    for _ in range(30):
        for rows in np.array_split(order, 5):
            model.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert model.score(X, y) >= 0.95
    assert model.n_iter_ == len(model.loss_history_) == 150
    assert model.n_samples_seen_ == 30 * 150
    assert model.loss_history_[-1] < model.loss_history_[0] / 3


def test_partial_fit_goes_on_from_fit():
    model = LogisticRegression().fit(SPENT, SENT_DISCOUNT)
    before = model.coef_.copy()
    model.partial_fit(SPENT / 100, SENT_DISCOUNT)
    assert 0 < np.abs(model.coef_ - before).max() < 0.1


def test_it_drops_into_pipelines_and_searches():
    X, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.01, 1.0]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.95
    assert cross_val_score(LinearRegression(), *load_diabetes(return_X_y=True), cv=3).min() > 0.4


# --- bad input


@pytest.mark.parametrize("model", [LinearRegression(), LogisticRegression()])
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[np.nan], [1.0]], [0, 1], "NaN"),
        ([[np.inf], [1.0]], [0, 1], "infinity"),
        ([], [], "Expected 2D array"),
        (np.empty((0, 2)), [], "minimum of 1 is required"),
        ([["a"], ["b"]], [0, 1], "could not convert string to float"),
        ([[1.0], [2.0]], [0, 1, 1], "inconsistent numbers of samples"),
        ([[1.0], [2.0]], None, "requires y to be passed"),
        ([[1.0], [2.0]], [0, np.nan], "NaN"),
    ],
)
def test_bad_rows_and_labels_are_refused_in_scikit_learns_words(model, X, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)


def test_one_class_is_not_enough():
    with pytest.raises(UsageError, match=r"y must contain at least 2 classes, got 1 class: \[7\]"):
        LogisticRegression().fit([[1.0], [2.0]], [7, 7])


def test_a_continuous_target_is_no_label():
    with pytest.raises(ValueError, match="Unknown label type"):
        LogisticRegression().fit([[1.0], [2.0]], [0.5, 1.7])


def test_a_constant_column_gets_no_weight():
    X = np.column_stack([SPENT[:, 0], np.zeros(len(SPENT))])
    model = LogisticRegression().fit(X, SENT_DISCOUNT)
    assert model.coef_[0, 1] == 0


def test_predicting_asks_for_fit_first_and_for_the_same_columns():
    for model in (LinearRegression(), LogisticRegression()):
        with pytest.raises(NotFittedError):
            model.predict([[1.0]])
        model.fit(SPENT, SENT_DISCOUNT)
        with pytest.raises(ValueError, match="2 features"):
            model.predict([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("classes", "y", "message"),
    [
        (None, [0, 1], "classes must be passed on the first call"),
        ([0, 1], [0, 2], r"y must contain only the classes \[0 1\], also got \[2\]"),
        ([3], [3, 3], "y must contain at least 2 classes"),
    ],
)
def test_partial_fit_wants_all_classes_named_first_and_remembers_nothing_of_a_refusal(classes, y, message):
    model = LogisticRegression()
    with pytest.raises(UsageError, match=message):
        model.partial_fit([[1.0], [2.0]], y, classes=classes)
    model.partial_fit([[1.0], [2.0]], [0, 5], classes=[0, 5])
    with pytest.raises(UsageError, match="classes must be those of the first call"):
        model.partial_fit([[1.0], [2.0]], [0, 5], classes=[0, 5, 6])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be a number > 0, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number > 0, got nan"),
        ({"max_iter": 0}, "max_iter must be a whole number >= 1, got 0"),
        ({"max_iter": 1.5}, "max_iter must be a whole number >= 1, got 1.5"),
        ({"tol": -1}, "tol must be a number >= 0, got -1"),
        ({"batch_size": True}, "batch_size must be a whole number >= 1, got True"),
        ({"C": 0}, "C must be a number > 0, got 0"),
        ({"solver": "newtown"}, "unknown solver 'newtown'; did you mean newton"),
        ({"solver": None}, "unknown solver 'None'"),
    ],
)
def test_a_wrong_parameter_is_told_at_fit(parameters, message):
    with pytest.raises(UsageError, match=message):
        LogisticRegression(**parameters).fit(SPENT, SENT_DISCOUNT)


def test_the_linear_solvers_have_their_own_names():
    with pytest.raises(UnknownNameError, match="closed-form"):
        LinearRegression(solver="closedform").fit(SPENT, SENT_DISCOUNT)


def test_values_too_large_to_be_squared_are_refused():
    with pytest.raises(UsageError, match=r"X must be between -1e\+100 and 1e\+100, got a larger value"):
        LogisticRegression().fit(SPENT * 1e160, SENT_DISCOUNT)


def test_newton_says_when_it_could_not_converge():
    with pytest.warns(ConvergenceWarning, match="max_iter=2 Newton steps"):
        LogisticRegression(max_iter=2).fit(*load_iris(return_X_y=True))


def test_separable_classes_without_a_penalty_still_end():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=np.inf).fit([[0.0], [1.0]], [0, 1])
    assert model.predict([[0.0], [1.0]]).tolist() == [0, 1]


def test_a_chunk_whose_loss_overflows_is_told_and_changes_no_weight():
    model = LogisticRegression().partial_fit(SPENT / 100, SENT_DISCOUNT, classes=[0, 1])
    before = model.coef_.copy()
    with pytest.raises(UsageError, match="learning_rate must be small enough to descend"):
        model.set_params(learning_rate=1e200).partial_fit(SPENT * 1e200, SENT_DISCOUNT)
    assert (model.coef_ == before).all()


@pytest.mark.parametrize("settings", [{}, {"C": np.inf, "max_iter": 50}, {"solver": "gradient-descent"}])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_intercepts_of_several_classes_are_centred_as_in_scikit_learn(settings):
    X, y = load_iris(return_X_y=True)
    model = LogisticRegression(**settings).fit(StandardScaler().fit_transform(X), y)
    assert model.intercept_.sum() == pytest.approx(0, abs=1e-9)
    assert model.coef_.sum(axis=0) == pytest.approx(np.zeros(4), abs=1e-9)
    if not settings:
        theirs = peers.LogisticRegression(tol=1e-8).fit(StandardScaler().fit_transform(X), y)
        np.testing.assert_allclose(model.intercept_, theirs.intercept_, atol=1e-3)
