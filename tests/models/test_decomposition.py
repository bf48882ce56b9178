"""PCA: components worked by hand, scikit-learn's contract and figures, and bad input."""
# ruff: noqa: N803, N806 - X is what the field, and scikit-learn's callers, write

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import decomposition as peers
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from rlbench.errors import UnknownNameError, UsageError
from rlbench.models import decomposition
from rlbench.models.decomposition import PCA
from rlbench.models.linear import LogisticRegression

DATA = {"iris": load_iris, "wine": load_wine, "diabetes": load_diabetes, "breast cancer": load_breast_cancer}
LEARNT = ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "mean_")


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on a busy machine wait for each other, many times longer than they work."""
    with threadpool_limits(1):
        yield


@parametrize_with_checks(
    [PCA(), PCA(n_components=1, whiten=True), PCA(n_components=1, solver="randomized", random_state=0)]
)
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_sample_runs_of_the_docstrings_hold():
    assert doctest.testmod(decomposition).failed == 0


def test_the_components_are_those_worked_by_hand():
    # about the mean (1, 1): (-1, -1), (1, 1), (-0.5, 0.5), (0.5, -0.5); squares along (1, 1)/sqrt 2: 4, across: 1
    model = PCA().fit([[0, 0], [2, 2], [0.5, 1.5], [1.5, 0.5]])
    assert model.components_ == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0.5**0.5, -(0.5**0.5)]]))
    assert model.explained_variance_ == pytest.approx([4 / 3, 1 / 3])
    assert model.explained_variance_ratio_ == pytest.approx([0.8, 0.2])
    assert model.singular_values_ == pytest.approx([2, 1])
    assert model.transform([[2, 2]]) == pytest.approx(np.array([[2**0.5, 0]]))


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("n_components", [None, 2, 0.9])
@pytest.mark.parametrize("name", DATA)
def test_everything_learnt_is_that_of_scikit_learn(name, n_components, whiten):
    X = DATA[name]().data
    ours = PCA(n_components, whiten=whiten).fit(X)
    theirs = peers.PCA(n_components, whiten=whiten, svd_solver="full").fit(X)
    for learnt in LEARNT:
        np.testing.assert_allclose(getattr(ours, learnt), getattr(theirs, learnt), rtol=1e-8, atol=1e-8)
    # whitening divides the directions of least variance, and their rounding errors, by almost nothing
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-8, atol=1e-6 if whiten else 1e-8)
    restored = theirs.inverse_transform(theirs.transform(X))
    np.testing.assert_allclose(ours.inverse_transform(ours.transform(X)), restored, rtol=1e-8, atol=1e-8)


def test_many_rows_and_wide_rows_are_decomposed_alike():
    random = np.random.default_rng(0)
    for shape in ((2000, 20), (40, 30), (15, 60)):
        X = random.normal(size=shape) @ np.diag(np.linspace(1, 5, shape[1])) + 100
        ours, theirs = PCA().fit(X), peers.PCA(svd_solver="full").fit(X)
        kept = min(shape[0] - 1, shape[1])  # the last direction of wide rows has no variance and is arbitrary
        np.testing.assert_allclose(ours.components_[:kept], theirs.components_[:kept], atol=1e-8)
        np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, atol=1e-8)


def test_small_variances_next_to_great_ones_keep_their_digits():
    X = np.random.default_rng(0).normal(size=(2000, 3)) * [1e6, 1.0, 1e-3]
    ours, theirs = PCA().fit(X), peers.PCA(svd_solver="full").fit(X)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-6)
    assert ours.explained_variance_[2] == pytest.approx(1e-6, rel=0.1)


def test_the_first_components_are_exact_though_the_last_have_no_variance():
    X = np.column_stack([load_digits().data, np.ones(1797)])
    ours, theirs = PCA(10).fit(X), peers.PCA(10, svd_solver="full").fit(X)
    for learnt in LEARNT:
        np.testing.assert_allclose(getattr(ours, learnt), getattr(theirs, learnt), rtol=1e-8, atol=1e-8)


def test_the_randomized_solver_finds_the_first_components():
    X = load_digits().data
    ours = PCA(5, solver="randomized", random_state=0).fit(X)
    exact = PCA(5).fit(X)
    np.testing.assert_allclose(ours.components_, exact.components_, atol=1e-4)
    np.testing.assert_allclose(ours.explained_variance_ratio_, exact.explained_variance_ratio_, rtol=1e-6)
    again = PCA(5, solver="randomized", random_state=0).fit(X)
    assert ours.components_.tobytes() == again.components_.tobytes()


finite = st.floats(-100, 100, allow_subnormal=False).map(lambda x: round(x, 3))


@given(X=arrays(float, st.tuples(st.integers(2, 30), st.integers(1, 6)), elements=finite))
@settings(max_examples=100)
def test_components_are_orthonormal_signed_and_restore_the_data(X):
    model = PCA().fit(X)
    V = model.components_
    np.testing.assert_allclose(V @ V.T, np.eye(len(V)), atol=1e-9)
    assert (V[np.arange(len(V)), np.abs(V).argmax(axis=1)] > 0).all()
    assert (np.diff(model.explained_variance_) <= 1e-9).all()
    np.testing.assert_allclose(model.inverse_transform(model.transform(X)), X, atol=1e-8)
    assert model.explained_variance_.sum() == pytest.approx(X.var(axis=0, ddof=1).sum(), abs=1e-8)


def test_whitened_columns_have_variance_one_and_are_restored():
    X = load_wine().data
    model = PCA(whiten=True).fit(X)
    Z = model.transform(X)
    np.testing.assert_allclose(np.cov(Z.T), np.eye(13), atol=1e-6)
    np.testing.assert_allclose(model.inverse_transform(Z), X, rtol=1e-9)


def test_a_share_takes_as_many_components_as_explain_it():
    X = load_digits().data
    model = PCA(0.9).fit(X)
    shares = PCA().fit(X).explained_variance_ratio_
    assert shares[: model.n_components_].sum() >= 0.9 > shares[: model.n_components_ - 1].sum()
    assert PCA(1.0).fit(load_iris().data).n_components_ == 4


def test_constant_columns_and_constant_data_are_borne():
    X = np.column_stack([load_iris().data, np.full(150, 3.0)])
    model = PCA(whiten=True).fit(X)
    assert model.explained_variance_[-1] == pytest.approx(0, abs=1e-20)
    assert np.isfinite(model.transform(X)).all()
    flat = PCA(whiten=True).fit(np.ones((4, 2)))
    assert flat.explained_variance_ratio_.tolist() == [0, 0]
    assert flat.transform([[1.0, 1.0]]).tolist() == [[0.0, 0.0]]


def test_columns_are_named_and_searched_in_a_pipeline():
    X, y = load_iris(return_X_y=True)
    assert PCA(2).fit(X).get_feature_names_out().tolist() == ["pca0", "pca1"]
    pipeline = make_pipeline(PCA(), LogisticRegression())
    search = GridSearchCV(pipeline, {"pca__n_components": [1, 3]}).fit(X, y)
    assert search.best_score_ > 0.9


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"n_components": 0}, "n_components must be a whole number >= 1 and <= 4, got 0"),
        ({"n_components": 5}, "got 5"),
        ({"n_components": 1.5}, "n_components as a share must be a number > 0 and <= 1, got 1.5"),
        ({"n_components": "all"}, "n_components must be a whole number"),
        ({"n_components": 0.5, "solver": "randomized"}, "must be a whole number with solver='randomized', got 0.5"),
    ],
)
def test_a_parameter_out_of_range_is_told(named, message):
    with pytest.raises(UsageError, match=message):
        PCA(**named).fit(load_iris().data)


def test_an_unknown_solver_is_told_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="unknown solver 'exakt'; did you mean exact"):
        PCA(solver="exakt").fit(load_iris().data)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[np.nan], [1.0]], "contains NaN"),
        ([[np.inf], [1.0]], "infinity"),
        (np.empty((0, 2)), "0 sample"),
        ([[1.0, 2.0]], "1 sample"),
        ([["a"], ["b"]], "could not convert"),
        ([1.0, 2.0], "Expected 2D array"),
    ],
)
def test_bad_data_raises_the_error_of_scikit_learn(X, message):
    with pytest.raises(ValueError, match=message):
        PCA().fit(X)


def test_wrong_columns_and_unfitted_models_are_refused():
    with pytest.raises(NotFittedError):
        PCA().transform([[1.0]])
    model = PCA(2).fit(load_iris().data)
    with pytest.raises(UsageError, match="X must have 2 columns, one per component, got 3"):
        model.inverse_transform([[1.0, 2.0, 3.0]])
