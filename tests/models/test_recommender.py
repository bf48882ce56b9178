"""The recommender: a step worked by hand, held-out ratings, newcomers, chunks, and bad input."""
# ruff: noqa: N803, N806 - X is what the field, and scikit-learn's callers, write

from __future__ import annotations

import doctest
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

from rlbench.errors import UsageError
from rlbench.models import _recommender, recommender
from rlbench.models.recommender import MatrixFactorization, hold_out_per_user

STARS = np.array([[5, 4, 1, 1], [4, 5, 0, 1], [1, 1, 5, 4], [1, 0, 4, 5], [5, 0, 0, 0]])


def tastes(n_users=120, n_items=60, known=0.5, noise=0.2, seed=0):
    """Ratings of about 1 to 9 from two tastes per user, of which a share is known."""
    random = np.random.default_rng(seed)
    ratings = 5 + random.normal(size=(n_users, 2)) @ random.normal(size=(2, n_items))
    ratings += noise * random.normal(size=ratings.shape)
    return np.where(random.random(ratings.shape) < known, ratings, 0.0)


@parametrize_with_checks([MatrixFactorization(2, n_epochs=5), MatrixFactorization(random_state=0, regularization=0)])
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_sample_runs_of_the_docstrings_hold():
    assert doctest.testmod(recommender).failed == 0


@pytest.mark.long  # an interpreter of its own
def test_importing_the_recommender_loads_no_numba_and_no_environment():
    code = (
        "import sys, rlbench.models.recommender as r; r.MatrixFactorization();"
        "assert not {'gymnasium', 'numba', 'rlbench.training', 'rlbench.envs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- learning


@pytest.mark.parametrize("sgd_pass", [_recommender.sgd_pass, _recommender.sgd_pass.py_func], ids=["compiled", "plain"])
def test_a_step_is_the_one_worked_by_hand(sgd_pass):
    # e = 3 - (0.5 + 0.5 + 1 * 2) = 0 would learn nothing; with a rating of 4, e = 1
    model = np.array([0.5]), np.array([0.5]), np.array([[1.0]]), np.array([[2.0]])
    rating = np.array([0], np.int32), np.array([0], np.int32), np.array([4.0])
    sgd_pass(*rating, np.array([0]), model, 0.1, 0.5)
    assert [part.item() for part in model] == pytest.approx(
        [0.5 + 0.1 * (1 - 0.25), 0.5 + 0.1 * (1 - 0.25), 1 + 0.1 * (2 - 0.5), 2 + 0.1 * (1 - 1)]
    )


def test_ratings_held_out_are_predicted_nearly_as_well_as_their_noise_allows():
    train, validation = hold_out_per_user(tastes(), 5, at_least=10, random_state=0)
    model = MatrixFactorization(2, n_epochs=100, random_state=0).fit(train, validation=validation)
    assert model.train_rmse_.shape == model.validation_rmse_.shape == (100,)
    guess = np.std(validation.data)
    assert model.validation_rmse_[-1] < 0.4
    assert guess > 0.9
    assert model.validation_rmse_[-1] == pytest.approx(model.rmse(validation))
    assert model.train_rmse_[-1] == pytest.approx(model.rmse(train))
    assert model.train_rmse_[-1] < model.train_rmse_[0] / 2


def test_all_ratings_known_are_approached_as_by_the_best_of_that_rank():
    X = tastes(known=1.0, noise=0.0)
    model = MatrixFactorization(2, n_epochs=300, regularization=0.0, random_state=0).fit(X)
    assert model.train_rmse_[-1] < 0.05 * X.std()


def test_more_regularization_makes_smaller_factors():
    X = tastes()
    models = [MatrixFactorization(2, regularization=penalty, random_state=0).fit(X) for penalty in (0.01, 0.1, 0.3)]
    sizes = [np.square(model.user_factors_).sum() + np.square(model.item_factors_).sum() for model in models]
    assert sizes[0] > sizes[1] > sizes[2]


def test_the_unit_of_the_ratings_does_not_matter():
    X = tastes()
    one, thousand = (MatrixFactorization(2, n_epochs=20, random_state=0).fit(unit * X) for unit in (1, 1000))
    np.testing.assert_allclose(one.user_factors_, thousand.user_factors_, rtol=1e-6)
    np.testing.assert_allclose(1000 * one.train_rmse_, thousand.train_rmse_)


def test_sparse_ratings_are_learnt_like_dense_ones():
    dense, stored = (MatrixFactorization(2, random_state=0).fit(X) for X in (tastes(), sparse.csr_array(tastes())))
    np.testing.assert_array_equal(dense.item_factors_, stored.item_factors_)


def test_a_zero_that_is_stored_is_a_rating():
    stored = sparse.csr_array((np.array([0.0, 2.0]), (np.array([0, 1]), np.array([0, 1]))), shape=(2, 2))
    assert MatrixFactorization(1).fit(stored).mean_ == 1.0


def test_ratings_that_are_all_alike_are_answered_alike():
    model = MatrixFactorization(2, random_state=0).fit([[3, 3], [3, 0]])
    assert model.predict_pairs([1], [1]) == pytest.approx([3])


# --- counts with a long tail


def plays(n_users=150, n_items=400, seed=0):
    """Counts as of plays: users differ most, then items and tastes; the largest is hundreds of times the median."""
    random = np.random.default_rng(seed)
    logs = 4.5 + random.normal(0, 1.2, (n_users, 1)) + random.normal(0, 0.6, n_items)
    logs += random.normal(size=(n_users, 2)) @ random.normal(0, 0.5, (2, n_items)) + random.normal(0, 0.6, logs.shape)
    return np.where(random.random(logs.shape) < 0.1, np.ceil(np.exp(logs)), 0.0)


def of_means(train, held_out):
    """The held-out ratings, as the mean of all, of each user, and of each item predicts them."""
    known, held = train.tocoo(), held_out.tocoo()
    mean = known.data.mean()
    yield np.full(held.nnz, mean)
    for axis, n in enumerate(train.shape):
        rated = np.maximum(np.bincount(known.coords[axis], minlength=n), 1)
        yield mean + (np.bincount(known.coords[axis], known.data - mean, n) / rated)[held.coords[axis]]


@pytest.mark.parametrize("seed", range(3))
def test_plays_are_predicted_better_than_by_the_mean_of_all_of_the_user_and_of_the_item(seed):
    train, held_out = hold_out_per_user(plays(seed=seed), 8, at_least=20, random_state=0)
    model = MatrixFactorization(random_state=0).fit(train)
    ours, right = model.predict_pairs(*held_out.tocoo().coords), held_out.data
    assert (ours >= 0).all()
    for expected in of_means(train, held_out):
        assert np.square(ours - right).mean() < np.square(expected - right).mean()
        assert np.abs(ours - right).mean() < np.abs(expected - right).mean()
    for logs in of_means(train.log1p(), held_out):
        learnt = np.log1p(ours) - model.spread_ / 2
        assert np.square(learnt - np.log1p(right)).mean() < np.square(logs - np.log1p(right)).mean()


def test_logarithms_are_learnt_of_long_tails_and_on_wish():
    counts = plays()
    chosen = MatrixFactorization(random_state=0).fit(counts)
    asked = MatrixFactorization(log=True, random_state=0).fit(counts)
    assert chosen.unit_ == asked.unit_ == 1.0
    np.testing.assert_array_equal(chosen.item_factors_, asked.item_factors_)
    assert MatrixFactorization(log=False, n_epochs=1, learning_rate=1e-4).fit(counts).unit_ == 0.0
    assert MatrixFactorization(n_epochs=1).fit(STARS).unit_ == 0.0
    zeros = sparse.csr_array((np.zeros(2), ([0, 1], [0, 1])), shape=(2, 2))
    assert MatrixFactorization(log=True).fit(zeros).predict_pairs([0], [1]) == [0.0]
    scaled = MatrixFactorization(random_state=0).fit(counts / counts.max())
    np.testing.assert_allclose(scaled.train_rmse_, chosen.train_rmse_)
    assert chosen.train_rmse_[-1] ** 2 == pytest.approx(chosen.spread_)
    assert scaled.rmse(counts / counts.max()) * counts.max() == pytest.approx(chosen.rmse(counts))
    row = counts[:1]
    np.testing.assert_allclose(
        chosen.inverse_transform(chosen.transform(row)),
        np.maximum(np.expm1(asked.mean_ + asked.scale_ * scores_of(asked, row) + asked.spread_ / 2), 0),
    )


def scores_of(model, row):
    tastes = model.transform(row)
    return tastes[:, :1] + model.item_bias_ + tastes[:, 1:] @ model.item_factors_.T


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(UsageError, match=r"ratings must be >= 0 to learn their logarithms, got -2: set log=False"):
        MatrixFactorization(log=True).fit([[1, -2], [3, 0]])
    with pytest.raises(UsageError, match="log must be True, False or None, got 'yes'"):
        MatrixFactorization(log="yes").fit(STARS)


def test_a_descent_that_diverges_says_so_at_once_and_what_to_do():
    with pytest.raises(
        UsageError, match=r"got 0\.5: the factors overflow in epoch 1; lower it, or learn the logarithms"
    ):
        MatrixFactorization(log=False, learning_rate=0.5, random_state=0).fit(plays())
    with pytest.raises(UsageError, match=r"got 5: the factors overflow in epoch \d+; lower it$"):
        MatrixFactorization(learning_rate=5, random_state=0).fit(plays())


def test_a_chunk_without_ratings_changes_nothing():
    model = MatrixFactorization(2, random_state=0).partial_fit(STARS)
    before = model.item_factors_.copy()
    model.partial_fit(np.zeros((1, 4)), users=[7])
    assert model.train_rmse_.shape == (1,)
    np.testing.assert_array_equal(model.item_factors_, before)
    assert model.n_users_ == 8


# --- holding out


def test_of_each_user_so_many_ratings_are_held_out_and_of_quiet_ones_none():
    X = tastes(30, 60, known=0.6)
    X[3, 10:] = 0
    train, validation = hold_out_per_user(X, random_state=0)
    rated = (X != 0).sum(axis=1)
    held_out = np.diff(validation.indptr)
    assert held_out.tolist() == np.where(rated >= 35, 15, 0).tolist()
    assert held_out[3] == 0
    assert 15 in held_out
    np.testing.assert_array_equal((train + validation).toarray(), X)
    assert (train.multiply(validation)).nnz == 0


def test_the_same_seed_holds_out_the_same():
    first, again, other = (hold_out_per_user(tastes(), 5, at_least=5, random_state=k)[1] for k in (0, 0, 1))
    assert (first != again).nnz == 0
    assert (first != other).nnz > 0


# --- recommending


def test_a_user_is_recommended_what_the_like_minded_like_and_has_not_rated():
    model = MatrixFactorization(2, n_epochs=500, random_state=0).fit(STARS)
    assert model.recommend(4, 1).tolist() == [1]
    assert model.recommend(1).tolist() == [2]
    assert model.recommend(0).tolist() == []
    assert model.recommend(0, 2, include_rated=True).tolist() == [0, 1]


def test_a_newcomer_with_ratings_is_understood_without_learning_anew():
    model = MatrixFactorization(2, n_epochs=500, random_state=0).fit(STARS)
    assert model.recommend([0, 0, 5, 0], 1).tolist() == [3]
    assert model.recommend([5, 0, 0, 0], 1).tolist() == [1]


def test_of_whom_nothing_is_known_gets_what_all_like_best():
    X = np.array([[5, 3, 1], [5, 2, 0], [4, 0, 1], [0, 0, 0]])
    model = MatrixFactorization(2, n_epochs=200, random_state=0).fit(X)
    popular = [0, 1, 2]
    for stranger in (None, 3, 99, [0, 0, 0]):
        assert model.recommend(stranger).tolist() == popular
    np.testing.assert_allclose(model.predict_pairs([3, 99], [0, 0]), model.mean_ + model.scale_ * model.item_bias_[0])


def test_an_item_nobody_has_rated_is_expected_to_be_what_the_user_is_used_to():
    model = MatrixFactorization(2, n_epochs=50, random_state=0).fit([[5, 4, 0], [1, 2, 0]])
    expected = model.predict_pairs([0, 1], [2, 2])
    assert expected == pytest.approx(model.mean_ + model.scale_ * model.user_bias_)


def test_folding_in_solves_the_ridge_regression():
    model = MatrixFactorization(3, random_state=0).fit(tastes())
    row = tastes(seed=1)[:1]
    found = model.transform(row)[0]
    items = row[0].nonzero()[0]
    A = np.column_stack([np.ones(len(items)), model.item_factors_[items]])
    t = (row[0, items] - model.mean_) / model.scale_ - model.item_bias_[items]
    np.testing.assert_allclose((A.T @ A + 0.05 * len(items) * np.eye(4)) @ found, A.T @ t, atol=1e-9)
    np.testing.assert_allclose(
        model.inverse_transform(found[None])[0, items],
        model.mean_ + model.scale_ * (A @ found + model.item_bias_[items]),
    )


def test_the_number_of_factors_is_searched_on_users_not_seen():
    search = GridSearchCV(
        MatrixFactorization(n_epochs=30, regularization=0.02, random_state=0), {"n_factors": [1, 2]}, cv=3
    )
    assert search.fit(tastes()).best_params_ == {"n_factors": 2}
    assert -0.7 < search.best_score_ < 0


# --- chunks


def test_a_pass_over_one_chunk_is_an_epoch_of_fit():
    once = MatrixFactorization(2, n_epochs=1, random_state=0).fit(tastes())
    chunk = MatrixFactorization(2, random_state=0).partial_fit(tastes())
    np.testing.assert_array_equal(once.item_factors_, chunk.item_factors_)


def test_chunks_of_users_come_near_to_the_whole():
    X = tastes()
    model = MatrixFactorization(2, random_state=0)
    for _ in range(60):
        for users in np.array_split(np.arange(len(X)), 4):
            model.partial_fit(X[users], users=users)
    whole = MatrixFactorization(2, n_epochs=60, random_state=0).fit(X)
    assert model.rmse(X) == pytest.approx(whole.rmse(X), rel=0.1)
    assert model.n_users_ == 120
    assert model.rated_items_.tolist() == whole.rated_items_.tolist()
    assert model.rated_ends_.tolist() == whole.rated_ends_.tolist()


def test_a_later_chunk_adds_users_and_ratings():
    model = MatrixFactorization(2, random_state=0).partial_fit(STARS[:2])
    model.partial_fit([[0, 0, 3, 0], [1, 1, 0, 0]], users=[1, 6])
    assert model.n_users_ == 7
    assert model.recommend(1).tolist() == []
    assert sorted(model.recommend(6).tolist()) == [2, 3]
    assert len(model.recommend(4)) == 4


# --- bad input


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"n_factors": 0}, "n_factors must be a whole number >= 1, got 0"),
        ({"n_epochs": 1.5}, "n_epochs must be a whole number >= 1, got 1.5"),
        ({"learning_rate": 0}, "learning_rate must be a number > 0, got 0"),
        ({"regularization": -0.1}, "regularization must be a number >= 0, got -0.1"),
        ({"learning_rate": 50.0}, "learning_rate must be small enough to descend, got 50.0"),
    ],
)
def test_a_parameter_out_of_range_is_told(named, message):
    with pytest.raises(UsageError, match=message):
        MatrixFactorization(**named).fit(STARS)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[np.nan, 1.0]], "contains NaN"),
        ([[np.inf, 1.0]], "infinity"),
        (np.empty((0, 2)), "0 sample"),
        ([["a", "b"]], "could not convert"),
        ([1.0, 2.0], "Expected 2D array"),
        ([[0.0, 0.0]], "must have an entry other than 0"),
    ],
)
def test_bad_data_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        MatrixFactorization().fit(X)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.recommend(-1), "user must be a whole number >= 0, got -1"),
        (lambda m: m.recommend(0, 0), "n must be a whole number >= 1, got 0"),
        (lambda m: m.recommend("anna"), "user must be a whole number"),
        (lambda m: m.predict_pairs([0], [4]), "items must be whole numbers >= 0 and < 4"),
        (lambda m: m.predict_pairs([0.5], [0]), "users must be whole numbers >= 0"),
        (lambda m: m.predict_pairs([0, 1], [0]), "must pair up, got 2 and 1"),
        (lambda m: m.rmse(STARS[:2]), r"must have the shape \(5, 4\)"),
        (lambda m: m.fit(STARS, validation=STARS[:, :2]), r"validation must have the shape \(5, 4\)"),
        (lambda m: m.partial_fit(STARS, users=[0]), "users must name one user per row, 5 in all, got 1"),
        (lambda m: m.inverse_transform([[1.0]]), "must have 1 . n_factors = 11 columns, got 1"),
        (lambda _: hold_out_per_user(STARS, 0), "n_held_out must be a whole number >= 1"),
        (lambda _: hold_out_per_user(STARS, 3, at_least=2), "at_least must be a whole number >= 3, got 2"),
    ],
)
def test_a_wrong_question_is_told(ask, message):
    with pytest.raises(UsageError, match=message):
        ask(MatrixFactorization(random_state=0).fit(STARS))


def test_rows_of_another_width_and_unfitted_models_are_refused():
    with pytest.raises(NotFittedError):
        MatrixFactorization().recommend(0)
    with pytest.raises(ValueError, match="expecting 4 features"):
        MatrixFactorization(random_state=0).fit(STARS).recommend([1, 2])
