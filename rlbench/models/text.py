"""Text classification: a tokenizer that counts words, naive Bayes on the counts, and both in one."""
# ruff: noqa: N803, N806 - X is the field's and scikit-learn's name

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.utils.validation import check_consistent_length, check_is_fitted, check_non_negative, validate_data

from rlbench.errors import UsageError
from rlbench.models._validation import check_number, encode_labels, encode_more_labels

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

COUNTS = (np.float64, np.float32, np.int64, np.int32)  # dtypes used unconverted; others become float64
WORD = re.compile(r"[^\W\d_]+")  # letters of any alphabet
TAG = re.compile(r"<[^>]*>")
UNREAD_TAGS = frozenset({"script", "style"})
# these tags do not end a word: <b>w</b>ord
INLINE_TAGS = frozenset(
    "a abbr b big cite code em font i mark q s small span strong sub sup tt u".split()  # noqa: SIM905 - a plain list of names reads better
)
# the most frequent function words, and the letters-only pieces of "don't", "she'll"
ENGLISH_STOP_WORDS = frozenset(
    """
    a about above after again against all am an and any are aren as at be because been before being below between both
    but by can couldn d did didn do does doesn doing don down during each few for from further had hadn has hasn have
    haven having he her here hers herself him himself his how i if in into is isn it its itself just ll m me more most
    my myself no nor not now o of off on once only or other our ours ourselves out over own re s same she should
    shouldn so some such t than that the their theirs them themselves then there these they this those through to too
    under until up ve very was wasn we were weren what when where which while who whom why will with won wouldn y you
    your yours yourself yourselves
    """.split()  # noqa: SIM905 - as above
)
STOP_WORDS = {"english": ENGLISH_STOP_WORDS}


class _Text(HTMLParser):
    """Collects the visible text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - html.parser's signature
        self._unread += tag in UNREAD_TAGS
        self._part(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in UNREAD_TAGS and self._unread > 0
        self._part(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - html.parser's signature
        self._part(tag)

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.parts.append(data)

    def _part(self, tag: str) -> None:
        """Separates two words, unless the tag may occur within one."""
        if tag not in INLINE_TAGS:
            self.parts.append(" ")


def strip_html(text: str) -> str:
    """Returns the visible text of a page or fragment: no tags, comments or scripts, entities decoded."""
    if "<" not in text and "&" not in text:
        return text
    page = _Text()
    try:
        page.feed(text)
        page.close()
    except AssertionError:  # html.parser fails on a broken <![...: strip what looks like a tag
        return TAG.sub(" ", text)
    return "".join(page.parts)


class Tokenizer(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Splits texts into words and counts them: HTML stripped, letters only, lower case, without stop words.

    Entry (i, j) of the transformed matrix is how often word j occurs in text i; unknown words are ignored. Columns are
    in the order in which fit first saw their words; partial_fit appends new ones.

    Source: chapter on sentiment analysis of "Hands-On Machine Learning from Scratch" (Valkov).

    Args:
        stop_words: "english", a collection of lower-case words to leave out, or None.

    Attributes:
        vocabulary_: column of each word.

    Raises:
        UsageError: the texts are not a collection of strings, or contain no word.

    Examples:
        >>> from rlbench.models import Tokenizer
        >>> tokenizer = Tokenizer()
        >>> tokenizer.tokenize("<p>This was the BEST film of 1999,<br/>don't miss it!</p>")
        ['best', 'film', 'miss']
        >>> tokenizer.fit_transform(["good film", "bad, bad film"]).toarray()
        array([[1, 1, 0],
               [0, 1, 2]])
    """

    def __init__(self, *, stop_words: str | Iterable[str] | None = "english") -> None:
        self.stop_words = stop_words

    def tokenize(self, text: str) -> list[str]:
        """Returns the words of one text, in order."""
        return self._words(text, self._stop_words())

    def fit(self, texts: Iterable[str], y: object = None) -> Self:
        """Learns the words of `texts`, from scratch."""
        self.fit_transform(texts, y)
        return self

    def fit_transform(self, texts: Iterable[str], y: object = None) -> sparse.csr_matrix:  # noqa: ARG002 - as above
        """Learns the words of `texts`, from scratch, and returns their counts; reads them once."""
        return self._learn({}, texts)

    def partial_fit(self, texts: Iterable[str], y: object = None) -> Self:
        """Adds the new words of `texts` to those already learnt."""
        self.partial_fit_transform(texts, y)
        return self

    def partial_fit_transform(
        self,
        texts: Iterable[str],
        y: object = None,  # noqa: ARG002 - as above
    ) -> sparse.csr_matrix:
        """Adds the new words of `texts` to those already learnt and returns all counts; reads them once."""
        return self._learn(dict(getattr(self, "vocabulary_", {})), texts)

    def transform(self, texts: Iterable[str]) -> sparse.csr_matrix:
        """Returns the counts of the learnt words, a sparse matrix (n_texts, n_words) of int64."""
        check_is_fitted(self)
        return _table(self._counters(texts), self.vocabulary_)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[Any]:  # noqa: ARG002 - as above
        """Returns the words in column order, (n_words,)."""
        check_is_fitted(self)
        return np.array(list(self.vocabulary_), dtype=object)

    def __sklearn_tags__(self) -> Any:
        return _text_tags(super().__sklearn_tags__())

    def _learn(self, vocabulary: dict[str, int], texts: Iterable[str]) -> sparse.csr_matrix:
        counters = self._counters(texts)
        for counter in counters:
            for word in counter:
                vocabulary.setdefault(word, len(vocabulary))
        if not vocabulary:
            raise UsageError("texts must contain at least one word that is not a stop word, got none")
        self.vocabulary_ = vocabulary
        return _table(counters, vocabulary)

    def _counters(self, texts: Iterable[str]) -> list[Counter[str]]:
        stop_words = self._stop_words()
        return [Counter(self._words(text, stop_words)) for text in need_texts(texts)]

    def _stop_words(self) -> frozenset[str]:
        if self.stop_words is None:
            return frozenset()
        if isinstance(self.stop_words, str):
            if self.stop_words not in STOP_WORDS:
                known = ", ".join(map(repr, STOP_WORDS))
                raise UsageError(f"stop_words must be {known}, a collection of words or None, got {self.stop_words!r}")
            return STOP_WORDS[self.stop_words]
        return frozenset(self.stop_words)

    @staticmethod
    def _words(text: str, stop_words: frozenset[str]) -> list[str]:
        return [word for word in WORD.findall(strip_html(text).lower()) if word not in stop_words]


def _table(counters: list[Counter[str]], vocabulary: dict[str, int]) -> sparse.csr_matrix:
    """Returns word counts as a sparse matrix (n_texts, n_words) of int64, ignoring words without a column."""
    rows = [{vocabulary[word]: count for word, count in found.items() if word in vocabulary} for found in counters]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    columns = np.fromiter(chain.from_iterable(rows), np.int32, starts[-1])
    counts = np.fromiter(chain.from_iterable(row.values() for row in rows), np.int64, starts[-1])
    return sparse.csr_matrix((counts, columns, starts), shape=(len(rows), len(vocabulary)))


def need_texts(texts: Any) -> list[str]:
    """Returns the texts as a list; raises UsageError unless it contains one or more strings and nothing else."""
    if isinstance(texts, str | bytes) or not hasattr(texts, "__iter__") or getattr(texts, "ndim", 1) != 1:
        kind = type(texts).__name__
        raise UsageError(f"texts must be a one-dimensional collection of strings, got {kind}: wrap one text in a list")
    found = list(texts)
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise UsageError(f"texts must contain strings, got {type(text).__name__} at position {place}")
    if not found:
        raise UsageError("texts must contain at least one text, got none")
    return found


def _text_tags(tags: Any) -> Any:
    """Returns scikit-learn's tags for an estimator that takes texts instead of numbers."""
    tags.input_tags.string = True
    tags.input_tags.two_d_array = False
    return tags


class MultinomialNB(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Multinomial naive Bayes for counts, such as word counts: each class draws its words from one distribution.

    By Bayes' rule, with N_cj the count of word j in class c and Laplace's alpha added to each,

        log P(c | x) = log P(c) + sum_j x_j log theta_cj - log P(x),  theta_cj = (N_cj + alpha) / sum_j (N_cj + alpha)

    Sums are taken in log space, so thousands of words do not underflow. X may be dense or sparse (CSR).

    Source: Manning, Raghavan, Schuetze, Introduction to Information Retrieval (2008), chapter 13; chapter on
    sentiment analysis of "Hands-On Machine Learning from Scratch" (Valkov).

    Args:
        alpha: added to every count, > 0; 1 is Laplace smoothing.
        fit_prior: whether P(c) is the class's share of the rows; otherwise it is uniform.

    Attributes:
        classes_: sorted labels, (n_classes,).
        class_count_: rows seen of each class, (n_classes,).
        feature_count_: N, (n_classes, n_features).
        class_log_prior_: log P(c), (n_classes,).
        feature_log_prob_: log theta, (n_classes, n_features).
        n_features_in_: columns seen by fit.

    Raises:
        UsageError: a parameter is out of its range.
        ValueError: raised by scikit-learn for NaN, infinite, empty or non-numeric data, and by `fit` for negative data.

    Examples:
        >>> from rlbench.models import MultinomialNB
        >>> model = MultinomialNB().fit([[2, 0], [1, 1], [0, 3]], ["ham", "ham", "spam"])
        >>> model.predict([[3, 1], [1, 4]]).tolist()
        ['ham', 'spam']
        >>> model.partial_fit([[5, 0], [4, 0]], ["spam", "spam"]).class_count_
        array([2., 3.])
    """

    n_features_in_: int

    def __init__(self, *, alpha: float = 1.0, fit_prior: bool = True) -> None:
        self.alpha = alpha
        self.fit_prior = fit_prior

    def fit(self, X: Any, y: ArrayLike) -> Self:
        """Learns from counts X (n_samples, n_features) and labels y (n_samples,), from scratch."""
        X, y = self._checked(X, y, reset=True)
        self.classes_, codes = encode_labels(y)
        self._forget()
        self._count(X, codes)
        return self

    def partial_fit(self, X: Any, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learns from one more chunk; `classes` (n_classes,) lists all labels on the first call."""
        first = not hasattr(self, "feature_count_")
        X, y = self._checked(X, y, reset=first)
        self.classes_, codes = encode_more_labels(y, classes, getattr(self, "classes_", None))
        if first:
            self._forget()
        self._count(X, codes)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Returns the most likely label of each row, (n_samples,)."""
        codes = self.predict_joint_log_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, X: Any) -> Floats:
        """Returns P(class | row), (n_samples, n_classes), in the order of `classes_`."""
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: Any) -> Floats:
        """Returns log P(class | row), (n_samples, n_classes)."""
        joint = self.predict_joint_log_proba(X)
        joint -= joint.max(axis=1, keepdims=True)
        return np.asarray(joint - np.log(np.exp(joint).sum(axis=1, keepdims=True)))

    def predict_joint_log_proba(self, X: Any) -> Floats:
        """Returns log P(row, class), up to the multinomial coefficient of the row, (n_samples, n_classes)."""
        check_is_fitted(self)
        # negative rows, as a scaler makes of unseen ones, have scores too: only counts to learn from must be counts
        X = validate_data(self, X, accept_sparse="csr", dtype=COUNTS, reset=False)
        scores = np.tile(self.class_log_prior_, (X.shape[0], 1))
        if not sparse.issparse(X):
            return np.asarray(scores + X @ self.feature_log_prob_.T)
        from rlbench.models import _counts  # noqa: PLC0415 - numba loads only when needed

        weights = np.ascontiguousarray(self.feature_log_prob_.T)
        _counts.add_scores(X.data, X.indices, X.indptr, weights, scores)
        return scores

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.positive_only = True
        tags.classifier_tags.poor_score = True  # on data other than counts, as scikit-learn tags its own
        return tags

    def _checked(self, X: Any, y: ArrayLike, *, reset: bool) -> tuple[Any, NDArray[Any]]:
        check_number("alpha", self.alpha, low=0, above=True)
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=COUNTS, reset=reset)
        check_non_negative(X, "MultinomialNB")
        return X, np.asarray(y)

    def _forget(self) -> None:
        self.class_count_ = np.zeros(len(self.classes_))
        self.feature_count_ = np.zeros((len(self.classes_), self.n_features_in_))

    def _count(self, X: Any, codes: NDArray[np.intp]) -> None:
        self.class_count_ += np.bincount(codes, minlength=len(self.classes_))
        if sparse.issparse(X):
            from rlbench.models import _counts  # noqa: PLC0415 - numba loads only when needed

            _counts.add_by_class(X.data, X.indices, X.indptr, codes, self.feature_count_)
        else:
            self.feature_count_ += np.eye(len(self.classes_))[codes].T @ X
        self._smooth()

    def _smooth(self) -> None:
        """Turns counts into log P(c) and log theta."""
        if self.fit_prior:
            with np.errstate(divide="ignore"):  # an unseen class has log P(c) = -inf
                self.class_log_prior_ = np.log(self.class_count_) - np.log(self.class_count_.sum())
        else:
            self.class_log_prior_ = np.full(len(self.classes_), -np.log(len(self.classes_)))
        smoothed = self.feature_count_ + self.alpha
        self.feature_log_prob_ = np.log(smoothed) - np.log(smoothed.sum(axis=1, keepdims=True))

    def _widen(self, n_features: int) -> None:
        """Adds features that earlier chunks did not have, with count 0."""
        missing = n_features - self.n_features_in_
        self.feature_count_ = np.pad(self.feature_count_, ((0, 0), (0, missing)))
        self.n_features_in_ = n_features


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn carries no types
    """Classifies texts: a `Tokenizer` counts their words, a `MultinomialNB` classifies the counts.

    partial_fit on chunk after chunk learns the same as one fit on all of them; new words are added as they occur.

    Source: chapter on sentiment analysis of "Hands-On Machine Learning from Scratch" (Valkov).

    Args:
        tokenizer: a `Tokenizer`; None for one with English stop words.
        alpha: added to every word count, > 0.
        fit_prior: whether P(c) is the class's share of the texts; otherwise it is uniform.

    Attributes:
        classes_: sorted labels, (n_classes,).
        tokenizer_: the fitted `Tokenizer`.
        naive_bayes_: the fitted `MultinomialNB`.

    Raises:
        UsageError: the texts are not a collection of strings or contain no word, or a parameter is out of its range.

    Examples:
        >>> from rlbench.models import TextClassifier
        >>> model = TextClassifier().fit(["A <b>great</b> film", "great cast", "boring film"], ["good", "good", "bad"])
        >>> model.predict(["Great!", "what a boring evening"]).tolist()
        ['good', 'bad']
    """

    def __init__(self, *, tokenizer: Tokenizer | None = None, alpha: float = 1.0, fit_prior: bool = True) -> None:
        self.tokenizer = tokenizer
        self.alpha = alpha
        self.fit_prior = fit_prior

    def fit(self, texts: Iterable[str], y: ArrayLike) -> Self:
        """Learns from texts and their labels y (n_texts,), from scratch."""
        texts = self._checked(texts, y)
        self.tokenizer_ = self._fresh_tokenizer()
        self.naive_bayes_ = MultinomialNB(alpha=self.alpha, fit_prior=self.fit_prior)
        self.naive_bayes_.fit(self.tokenizer_.fit_transform(texts), y)
        self.classes_ = self.naive_bayes_.classes_
        return self

    def partial_fit(self, texts: Iterable[str], y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learns from one more chunk; `classes` (n_classes,) lists all labels on the first call."""
        texts = self._checked(texts, y)
        first = not hasattr(self, "naive_bayes_")
        tokenizer = self._fresh_tokenizer() if first else self.tokenizer_
        known, codes = encode_more_labels(y, classes, getattr(self, "classes_", None))
        counts = tokenizer.partial_fit_transform(texts)
        if first:
            self.classes_, self.tokenizer_ = known, tokenizer
            self.naive_bayes_ = MultinomialNB(alpha=self.alpha, fit_prior=self.fit_prior)
        else:
            self.naive_bayes_._widen(counts.shape[1])  # noqa: SLF001 - its own sibling
        self.naive_bayes_.partial_fit(counts, known[codes], classes=known)
        return self

    def predict(self, texts: Iterable[str]) -> NDArray[Any]:
        """Returns the most likely label of each text, (n_texts,); the most frequent class if no word is known."""
        counts = self._counts(texts)
        return self.naive_bayes_.predict(counts)

    def predict_proba(self, texts: Iterable[str]) -> Floats:
        """Returns P(class | text), (n_texts, n_classes), in the order of `classes_`."""
        counts = self._counts(texts)
        return self.naive_bayes_.predict_proba(counts)

    def predict_log_proba(self, texts: Iterable[str]) -> Floats:
        """Returns log P(class | text), (n_texts, n_classes)."""
        counts = self._counts(texts)
        return self.naive_bayes_.predict_log_proba(counts)

    def __sklearn_tags__(self) -> Any:
        return _text_tags(super().__sklearn_tags__())

    def _checked(self, texts: Iterable[str], y: ArrayLike) -> list[str]:
        check_number("alpha", self.alpha, low=0, above=True)
        if y is None:
            raise UsageError("y must contain a label for each text, got None")
        found = need_texts(texts)
        check_consistent_length(found, y)
        return found

    def _counts(self, texts: Iterable[str]) -> sparse.csr_matrix:
        check_is_fitted(self, "naive_bayes_")
        return self.tokenizer_.transform(texts)

    def _fresh_tokenizer(self) -> Tokenizer:
        return Tokenizer() if self.tokenizer is None else clone(self.tokenizer)
