"""Tokenizer, naive Bayes and the classifier of texts: worked numbers, scikit-learn's contract, and bad input."""
# ruff: noqa: N803, N806 - X is what the field, and scikit-learn's callers, write

from __future__ import annotations

import doctest
from fractions import Fraction
from math import log

import numpy as np
import pytest
import sklearn.naive_bayes as peers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks

from rlbench.errors import UsageError
from rlbench.models import MultinomialNB, TextClassifier, Tokenizer, _counts, text

REVIEWS = [
    "<p>A <b>wonderful</b> film: I loved every minute of it!</p>",
    "Wonderful cast, wonderful story. Loved it.",
    "One of the best films of 1999 &amp; the best cast",
    "Boring.<br />A waste of time, and the worst story of all",
    "The worst film I've ever seen; what a waste",
    "Dull and boring. I didn't love a minute",
]
SENTIMENTS = ["good", "good", "good", "bad", "bad", "bad"]
GOOD_WORDS = "wonderful best loved great superb charming moving clever bright brilliant".split()  # noqa: SIM905
BAD_WORDS = "worst boring dull waste awful bad poor tedious stupid silly".split()  # noqa: SIM905
ANY_WORDS = "film story cast minute scene actor music plot evening cinema".split()  # noqa: SIM905

NEED_NO_TABLE = [
    checks.check_estimator_cloneable,
    checks.check_estimator_repr,
    checks.check_estimator_tags_renamed,
    checks.check_no_attributes_set_in_init,
    checks.check_parameters_default_constructible,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_valid_tag_types,
]


@checks.parametrize_with_checks([MultinomialNB(), MultinomialNB(alpha=0.1, fit_prior=False)])
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", NEED_NO_TABLE)
@pytest.mark.parametrize("estimator", [Tokenizer(), TextClassifier()])
def test_what_takes_texts_keeps_the_part_of_the_contract_that_needs_no_table(estimator, check):
    check(type(estimator).__name__, clone(estimator))


def test_the_sample_runs_of_the_docstrings_hold():
    assert doctest.testmod(text).failed == 0


def reviews(n, seed):
    """Texts of 12 words, 4 of which mostly come from the words of their own class."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    sides = [GOOD_WORDS, BAD_WORDS]
    texts = []
    for label in labels:
        own = random.random(4) < 0.85
        told = [random.choice(sides[label if mine else 1 - label]) for mine in own]
        texts.append(" ".join([*told, *random.choice(ANY_WORDS, 8)]))
    return texts, np.array(["good", "bad"])[labels]


# --- tokenizer


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("The cat, the CAT & the hat!", ["cat", "cat", "hat"]),
        ("great<br />fun", ["great", "fun"]),
        ("<p>one</p><p>two</p>", ["one", "two"]),
        ("<b>w</b>ord by w<i>or</i>d", ["word", "word"]),
        ("fish &amp; chips &lt;hot&gt; caf&eacute;", ["fish", "chips", "hot", "café"]),
        ("<script>var x = 'evil';</script><style>p {color: red}</style>text", ["text"]),
        ("<!-- hidden --> seen", ["seen"]),
        ("3 < 4 but 5 > cats", ["cats"]),
        ("rated 10/10 in 2001: R2X2", ["rated", "r", "x"]),
        ("don't can't she'll", []),
        ("Größe 東京 москва", ["größe", "東京", "москва"]),
        ("snake_case", ["snake", "case"]),
        ('a <a href="x.html">link</a>', ["link"]),
        ("", []),
    ],
)
def test_a_text_becomes_its_words(told, words):
    assert Tokenizer().tokenize(told) == words


@settings(max_examples=300)
@given(st.text(alphabet="<>/![]-&;#= \"'abpscript", max_size=60))
@example("<![if !x]>a")
@example("<script>a")
@example("<!DOCTYPE [<!")
def test_no_markup_however_broken_stops_it(told):
    assert all(word.isalpha() and word == word.lower() for word in Tokenizer(stop_words=None).tokenize(told))


def test_counts_stand_in_the_order_in_which_words_were_met():
    tokenizer = Tokenizer(stop_words=["the"])
    table = tokenizer.fit_transform(["the cat sees the cat", "a hat"])
    assert tokenizer.get_feature_names_out().tolist() == ["cat", "sees", "a", "hat"]
    assert table.toarray().tolist() == [[2, 1, 0, 0], [0, 0, 1, 1]]
    assert table.dtype == np.int64


def test_unknown_words_are_left_out_and_learnt_when_asked():
    tokenizer = Tokenizer().fit(["cat hat"])
    assert tokenizer.transform(["dog cat dog", "dog", "cat cat"]).toarray().tolist() == [[1, 0], [0, 0], [2, 0]]
    tokenizer.partial_fit(["dog cat"])
    assert tokenizer.vocabulary_ == {"cat": 0, "hat": 1, "dog": 2}


def test_without_stop_words_it_counts_as_scikit_learn_counts():
    texts, _ = reviews(50, 0)
    ours, theirs = Tokenizer(stop_words=None), CountVectorizer()
    table, peer_table = ours.fit_transform(texts), theirs.fit_transform(texts)
    order = [ours.vocabulary_[word] for word in theirs.get_feature_names_out()]
    assert (table[:, order] != peer_table).nnz == 0


@pytest.mark.parametrize("learn", [Tokenizer().fit, lambda texts: TextClassifier().fit(texts, [0, 1])])
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one text", "must be a one-dimensional collection of strings, got str: wrap one text in a list"),
        (7, "must be a one-dimensional collection of strings, got int"),
        (np.array([["a"], ["b"]]), "must be a one-dimensional collection of strings, got ndarray"),
        ([], "must contain at least one text, got none"),
        (["good", None], "must contain strings, got NoneType at position 1"),
        (["good", float("nan")], "must contain strings, got float at position 1"),
        (["the", "123"], "must contain at least one word that is not a stop word"),
    ],
)
def test_what_is_no_text_is_refused(learn, texts, message):
    with pytest.raises(UsageError, match=message):
        learn(texts)


def test_unknown_stop_words_are_refused():
    with pytest.raises(UsageError, match="stop_words must be 'english', a collection of words or None, got 'klingon'"):
        Tokenizer(stop_words="klingon").fit(["a"])


# --- naive Bayes


def test_naive_bayes_gives_the_numbers_of_the_textbook():
    # Manning, Raghavan, Schuetze (2008), example 13.1: P(c | d5) ~ 3/4 (3/7)^3 1/14 1/14, P(j | d5) ~ 1/4 (2/9)^5
    documents = ["Chinese Beijing Chinese", "Chinese Chinese Shanghai", "Chinese Macao", "Tokyo Japan Chinese"]
    model = TextClassifier().fit(documents, ["china", "china", "china", "other"])
    china = Fraction(3, 4) * Fraction(3, 7) ** 3 * Fraction(1, 14) ** 2
    other = Fraction(1, 4) * Fraction(2, 9) ** 5
    counts = model.tokenizer_.transform(["Chinese Chinese Chinese Tokyo Japan"])
    assert model.naive_bayes_.predict_joint_log_proba(counts)[0] == pytest.approx([log(china), log(other)])
    assert model.predict(["Chinese Chinese Chinese Tokyo Japan"]).tolist() == ["china"]
    assert model.predict_proba(["Chinese Chinese Chinese Tokyo Japan"])[0, 0] == pytest.approx(
        float(china / (china + other))
    )


@pytest.mark.parametrize("load", [load_iris, load_digits])
@pytest.mark.parametrize("parameters", [{}, {"alpha": 0.01}, {"fit_prior": False}])
@pytest.mark.parametrize("shape", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array])
def test_it_equals_scikit_learns_naive_bayes(load, parameters, shape):
    X, y = load(return_X_y=True)
    train, test, y_train, _ = train_test_split(X, y, random_state=0)
    ours = MultinomialNB(**parameters).fit(shape(train), y_train)
    theirs = peers.MultinomialNB(**parameters).fit(train, y_train)
    for name in ("class_count_", "feature_count_", "class_log_prior_", "feature_log_prob_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(ours.predict_log_proba(shape(test)), theirs.predict_log_proba(test), atol=1e-8)
    np.testing.assert_allclose(
        ours.predict_joint_log_proba(shape(test)), theirs.predict_joint_log_proba(test), atol=1e-8
    )
    assert ours.predict(shape(test)).tolist() == theirs.predict(test).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
@settings(max_examples=30)
def test_chunks_add_up_to_one_fit(seed, n_chunks):
    random = np.random.default_rng(seed)
    X, y = random.poisson(0.7, (20, 6)), random.integers(0, 3, 20)
    whole = MultinomialNB().partial_fit(X, y, classes=range(3))
    parts = MultinomialNB()
    for rows in np.array_split(np.arange(20), n_chunks):
        parts.partial_fit(sparse.csr_array(X[rows]), y[rows], classes=[2, 0, 1])
    assert (parts.feature_count_ == whole.feature_count_).all()
    assert (parts.feature_log_prob_ == whole.feature_log_prob_).all()
    assert (parts.class_log_prior_ == whole.class_log_prior_).all()


def test_the_compiled_loops_also_run_as_plain_python():
    X = sparse.csr_array(np.array([[1, 0, 2], [0, 3, 0], [0, 0, 0]]))
    totals, scores = np.zeros((2, 3)), np.zeros((3, 2))
    _counts.add_by_class.py_func(X.data, X.indices, X.indptr, np.array([1, 0, 1]), totals)
    _counts.add_scores.py_func(X.data, X.indices, X.indptr, np.array([[1.0, 2], [3, 4], [5, 6]]), scores)
    assert totals.tolist() == [[0, 3, 0], [1, 0, 2]]
    assert scores.tolist() == [[11, 14], [9, 12], [0, 0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int32, np.uint8, bool])
def test_counts_may_be_of_any_number_type(dtype):
    X = np.array([[1, 0], [0, 1], [1, 0]], dtype=dtype)
    for table in (X, sparse.csr_array(X)):
        assert MultinomialNB().fit(table, [0, 1, 0]).feature_count_.tolist() == [[2, 0], [0, 1]]


def test_a_text_of_a_million_words_does_not_underflow():
    model = MultinomialNB().fit([[3, 1], [1, 3]], [0, 1])
    chances = model.predict_proba([[500_000, 400_000], [10**6, 10**6]])
    np.testing.assert_allclose(chances, [[1, 0], [0.5, 0.5]], atol=1e-6)
    assert np.isfinite(model.predict_log_proba([[500_000, 400_000]])).all()


def test_a_class_not_met_yet_is_impossible_until_it_is():
    model = MultinomialNB().partial_fit([[1, 0], [0, 1]], [0, 1], classes=[0, 1, 2])
    assert model.predict_proba([[1, 1]]).tolist() == [[0.5, 0.5, 0]]
    model.partial_fit([[9, 9]], [2])
    assert model.predict_proba([[1, 1]])[0, 2] > 0


def test_one_class_is_all_that_is_predicted():
    assert MultinomialNB().fit([[1, 2]], ["only"]).predict([[0, 0], [5, 1]]).tolist() == ["only", "only"]


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[-1, 2], [1, 0]], [0, 1], "Negative values in data passed to MultinomialNB"),
        ([[np.nan, 2], [1, 0]], [0, 1], "NaN"),
        ([[np.inf, 2], [1, 0]], [0, 1], "infinity"),
        ([["a"], ["b"]], [0, 1], "dtype|could not convert string to float"),
        (np.empty((0, 2)), [], "minimum of 1 is required"),
        ([[1], [2]], [0.5, 1.7], "Unknown label type"),
        ([[1], [2]], [0, 1, 1], "inconsistent numbers of samples"),
        ([[1], [2]], None, "requires y to be passed"),
    ],
)
def test_bad_counts_and_labels_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        MultinomialNB().fit(X, y)


def test_rows_to_predict_may_be_negative_as_in_scikit_learn_and_need_as_many_columns():
    theirs = peers.MultinomialNB().fit([[1, 2], [2, 1]], [0, 1])
    model = MultinomialNB().fit([[1, 2], [2, 1]], [0, 1])
    rows = [[-1, 0], [0.5, -3.0]]
    for asked in (rows, sparse.csr_matrix(rows)):
        np.testing.assert_allclose(model.predict_proba(asked), theirs.predict_proba(asked))
    with pytest.raises(ValueError, match="Negative values"):
        model.partial_fit([[-1, 0]], [0])
    with pytest.raises(ValueError, match="3 features"):
        model.predict([[1, 0, 0]])


@pytest.mark.parametrize("alpha", [0, -1, float("nan"), "1", None])
def test_nothing_but_a_positive_alpha_smooths(alpha):
    with pytest.raises(UsageError, match="alpha must be a number > 0"):
        MultinomialNB(alpha=alpha).fit([[1], [2]], [0, 1])


def test_unseen_labels_of_a_later_chunk_are_refused_and_change_nothing():
    model = MultinomialNB().partial_fit([[1, 0]], ["a"], classes=["a", "b"])
    with pytest.raises(UsageError, match=r"y must contain only the classes \['a' 'b'\], also got \['c'\]"):
        model.partial_fit([[1, 0]], ["c"])
    assert model.class_count_.tolist() == [1, 0]


# --- classifier of texts


def test_it_tells_a_good_review_from_a_bad_one():
    model = TextClassifier().fit(REVIEWS, SENTIMENTS)
    assert model.predict(["<i>Loved</i> the cast, a wonderful film", "a boring waste of my time"]).tolist() == [
        "good",
        "bad",
    ]
    chances = model.predict_proba(["wonderful", "boring"])
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(["wonderful", "boring"])), chances)


def test_it_is_as_accurate_as_counting_and_weighing_by_scikit_learn():
    texts, labels = reviews(400, 1)
    train, test, y_train, y_test = train_test_split(texts, labels, random_state=0)
    ours = TextClassifier(tokenizer=Tokenizer(stop_words=None)).fit(train, y_train)
    theirs = make_pipeline(CountVectorizer(), peers.MultinomialNB()).fit(train, y_train)
    np.testing.assert_allclose(ours.predict_proba(test), theirs.predict_proba(test), atol=1e-8)
    assert ours.score(test, y_test) == theirs.score(test, y_test) > 0.9


def test_it_equals_the_pipeline_of_its_two_parts():
    pipeline = make_pipeline(Tokenizer(), MultinomialNB()).fit(REVIEWS, SENTIMENTS)
    joined = TextClassifier().fit(REVIEWS, SENTIMENTS)
    assert (pipeline.predict_proba(REVIEWS) == joined.predict_proba(REVIEWS)).all()


@pytest.mark.parametrize("n_chunks", [1, 3, 10])
def test_chunks_of_texts_with_ever_new_words_add_up_to_one_fit(n_chunks):
    texts, labels = reviews(60, 2)
    whole = TextClassifier().fit(texts, labels)
    parts = TextClassifier()
    for rows in np.array_split(np.arange(60), n_chunks):
        parts.partial_fit([texts[row] for row in rows], labels[rows], classes=["good", "bad"])
    assert parts.tokenizer_.vocabulary_ == whole.tokenizer_.vocabulary_
    assert (parts.predict_proba(texts) == whole.predict_proba(texts)).all()


def test_a_text_of_unknown_words_gets_the_likeliest_class():
    model = TextClassifier().fit(["cat", "cat", "dog"], ["c", "c", "d"])
    assert model.predict(["zebra", ""]).tolist() == ["c", "c"]
    np.testing.assert_allclose(model.predict_proba(["zebra"]), [[2 / 3, 1 / 3]])


def test_its_parameters_are_searched_and_its_tokenizer_is_left_as_given():
    tokenizer = Tokenizer(stop_words=None)
    texts, labels = reviews(60, 3)
    model = TextClassifier(tokenizer=tokenizer)
    grid = {"alpha": [0.1, 1.0], "tokenizer__stop_words": [None, "english"]}
    assert GridSearchCV(model, grid, cv=2).fit(texts, labels).best_score_ > 0.8
    model.fit(texts, labels)
    assert not hasattr(tokenizer, "vocabulary_")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y must contain a label for each text, got None"),
        (["good"], "inconsistent numbers of samples"),
        ([0.5, 1.5], "Unknown label type"),
        ([1.0, np.nan], "NaN"),
    ],
)
def test_bad_labels_of_texts_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        TextClassifier().fit(["a film", "a play"], y)
    with pytest.raises(ValueError, match=message):
        TextClassifier().partial_fit(["a film", "a play"], y, classes=[0, 1])


def test_predicting_asks_for_fit_first():
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError):
            getattr(TextClassifier(), method)(["text"])
    with pytest.raises(NotFittedError):
        Tokenizer().transform(["text"])
    with pytest.raises(NotFittedError):
        MultinomialNB().predict([[1]])


def test_a_first_chunk_without_words_or_classes_leaves_the_classifier_untouched():
    model = TextClassifier()
    with pytest.raises(UsageError, match="classes must be passed on the first call"):
        model.partial_fit(["film"], ["good"])
    with pytest.raises(UsageError, match="at least one word"):
        model.partial_fit(["the"], ["good"], classes=["good", "bad"])
    model.partial_fit(["great film"], ["good"], classes=["fine", "good"])
    assert model.predict(["film"]).tolist() == ["good"]
