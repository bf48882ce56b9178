"""What a stored estimator must look like before it predicts: compiled code trusts its indices and sizes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rlbench.errors import UsageError
from rlbench.forms import MOST, Form, Numbers, Real, UpTo, Whole, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

REAL = Real(-np.inf)
LEAF = -1  # a link that leads nowhere
LINKS, MEASURES = ("left", "right", "feature", "n_samples"), ("threshold", "impurity", "weight")  # int32; float64
CLASSES, CLUSTERS, COMPONENTS, NODES = (UpTo(name, MOST) for name in ("classes", "clusters", "components", "nodes"))


class Labels(NamedTuple):
    """An array of labels: numbers or texts."""

    length: UpTo

    def read(self, value: Any, lengths: dict[str, int]) -> NDArray[Any]:
        """Returns the array; ValueError says what is wrong."""
        if not isinstance(value, np.ndarray) or value.ndim != 1 or not len(value):
            raise ValueError(f"an array of labels, got {type(value).__name__}")
        if lengths.setdefault(self.length.name, len(value)) != len(value):
            raise ValueError(f"{lengths[self.length.name]} labels, got {len(value)}")
        return value


def check_estimator(estimator: Any) -> None:
    """Refuses an estimator whose learnt attributes do not fit together.

    Raises:
        UsageError: one does not fit; the message names the first.
    """
    kind, learnt = type(estimator), vars(estimator)
    hidden = [name for name in learnt if hasattr(kind, name)]
    if hidden:
        raise UsageError(f"{kind.__name__} has no attribute {hidden[0]} to store: it would hide that of the class")
    form, check = FORMS[kind.__name__]
    n_features = 0
    if kind.__name__ not in WITHOUT_FEATURES:
        n_features = checked(learnt, {"n_features_in_": Whole(1)})["n_features_in_"]
    for name, value in checked(learnt, form(estimator, n_features)).items():
        if isinstance(value, np.ndarray) and value.dtype != learnt[name].dtype:
            setattr(estimator, name, value)  # compiled code compiles anew for every other dtype
    check(estimator)


def _refuse(*, unless: bool, name: str, expected: str) -> None:
    if not unless:
        raise UsageError(f"{name} must be {expected}: the model is damaged")


# ------------------------------------------------------------------ forms


def _linear(_: Any, n: int) -> Form:
    return {"coef_": Numbers(np.float64, (n,)), "intercept_": REAL}


def _logistic(_: Any, n: int) -> Form:
    scores = UpTo("scores", MOST)
    return {
        "classes_": Labels(CLASSES),
        "coef_": Numbers(np.float64, (scores, n)),
        "intercept_": Numbers(np.float64, (scores,)),
    }


def _classifying_tree(tree: Any, _: int) -> Form:
    return {"classes_": Labels(CLASSES), **_nodes(tree), "values_": Numbers(np.float64, (NODES, CLASSES))}


def _regressing_tree(tree: Any, _: int) -> Form:
    return {**_nodes(tree), "values_": Numbers(np.float64, (NODES, 1))}


def _forest(forest: Any, n: int) -> Form:
    return {**_regressing_tree(forest, n), "roots_": Numbers(np.int64, (UpTo("trees", MOST),), 0, MOST)}


def _nodes(tree: Any) -> Form:
    """Checks the fields of the nodes; `_check_links` checks their links once everything else is known."""
    nodes = getattr(tree, "nodes_", None)
    types = {**dict.fromkeys(LINKS, np.dtype(np.int32)), **dict.fromkeys(MEASURES, np.dtype(np.float64))}
    fields = {}
    if isinstance(nodes, np.ndarray) and nodes.ndim == 1 and len(nodes):
        fields = {name: nodes.dtype[name] for name in nodes.dtype.names or ()}
    _refuse(unless=fields == types, name="nodes_", expected=f"an array of nodes with {', '.join(types)}")
    return {}


def _clusters(_: Any, n: int) -> Form:
    return {
        "cluster_centers_": Numbers(np.float64, (CLUSTERS, n)),
        "counts_": Numbers(np.int64, (CLUSTERS,), 0, MOST),
        "labels_": Numbers(np.int32, (UpTo("rows", MOST),), 0, MOST),
        "inertia_": REAL,
    }


def _components(_: Any, n: int) -> Form:
    per_component = Numbers(np.float64, (COMPONENTS,))
    names = ("explained_variance_", "explained_variance_ratio_", "singular_values_")
    return {
        "mean_": Numbers(np.float64, (n,)),
        "components_": Numbers(np.float64, (COMPONENTS, n)),
        **dict.fromkeys(names, per_component),
        "n_components_": Whole(1),
    }


def _counts(_: Any, n: int) -> Form:
    return {
        "classes_": Labels(CLASSES),
        "class_count_": Numbers(np.float64, (CLASSES,)),
        "class_log_prior_": Numbers(np.float64, (CLASSES,)),
        "feature_count_": Numbers(np.float64, (CLASSES, n)),
        "feature_log_prob_": Numbers(np.float64, (CLASSES, n)),
    }


def _texts(_: Any, __: int) -> Form:
    return {"classes_": Labels(CLASSES)}


def _words(_: Any, __: int) -> Form:
    return {}


def _tastes(model: Any, n: int) -> Form:
    users, factors = UpTo("users", MOST), UpTo("factors", MOST)
    return {
        "n_users_": Whole(1),
        "mean_": REAL,
        "scale_": REAL,
        "unit_": REAL,
        "spread_": REAL,
        "user_bias_": Numbers(np.float64, (users,)),
        "item_bias_": Numbers(np.float64, (n,)),
        "user_factors_": Numbers(np.float64, (users, factors)),
        "item_factors_": Numbers(np.float64, (n, factors)),
        "rated_items_": Numbers(np.int32, (UpTo("ratings", MOST),), 0, n - 1),
        "rated_ends_": Numbers(np.int64, (users,), 0, len(getattr(model, "rated_items_", ()))),
    }


def _layers(_: Any, __: int) -> Form:
    return {"classes_": Labels(CLASSES)}


def _scaled(_: Any, n: int) -> Form:
    return dict.fromkeys(("mean_", "var_", "scale_"), Numbers(np.float64, (n,)))


# ------------------------------------------------------------------ whether the attributes fit together


def _nothing_more(_: Any) -> None:
    """Checks nothing: the form says all."""


def _check_scores(model: Any) -> None:
    n_classes = len(model.classes_)
    _refuse(unless=n_classes > 1, name="classes_", expected="two or more")
    _refuse(unless=len(model.coef_) == (n_classes if n_classes > 2 else 1), name="coef_", expected="a row per class")  # noqa: PLR2004


def _check_tree(tree: Any) -> None:
    _refuse(unless=len(tree.values_) == len(tree.nodes_), name="values_", expected="as long as nodes_")
    _check_links(tree, 0, len(tree.nodes_))


def _check_forest(forest: Any) -> None:
    _refuse(unless=len(forest.values_) == len(forest.nodes_), name="values_", expected="as long as nodes_")
    bounds = [*forest.roots_.tolist(), len(forest.nodes_)]
    rising = bounds[0] == 0 and all(start < stop for start, stop in pairwise(bounds))
    _refuse(unless=rising, name="roots_", expected="the rising indices of the trees in nodes_")
    for start, stop in pairwise(bounds):
        _check_links(forest, start, stop)


def _check_links(tree: Any, start: int, stop: int) -> None:
    """Refuses nodes that are not one tree, each parent before its children: walking it might never end."""
    nodes = tree.nodes_[start:stop]
    inner = np.flatnonzero(nodes["left"] != LEAF)
    children = np.concatenate([nodes["left"][inner], nodes["right"][inner]])
    is_tree = np.array_equal(np.sort(children), np.arange(start + 1, stop))
    is_tree = is_tree and bool((children > np.tile(inner, 2) + start).all())
    _refuse(unless=is_tree, name="nodes_", expected="a tree, each node before its children")
    features = nodes["feature"][inner]
    known = bool(((features >= 0) & (features < tree.n_features_in_)).all())
    _refuse(unless=known, name="nodes_", expected=f"questions about features 0 to {tree.n_features_in_ - 1}")


def _check_clusters(model: Any) -> None:
    known = model.labels_.max(initial=0) < len(model.cluster_centers_)
    _refuse(unless=bool(known), name="labels_", expected=f"from 0 to {len(model.cluster_centers_) - 1}")


def _check_components(model: Any) -> None:
    same = model.n_components_ == len(model.components_)
    _refuse(unless=same, name="n_components_", expected=str(len(model.components_)))


def _check_texts(model: Any) -> None:
    parts = [type(getattr(model, name, None)).__name__ for name in ("tokenizer_", "naive_bayes_")]
    _refuse(unless=parts == ["Tokenizer", "MultinomialNB"], name="tokenizer_", expected="a Tokenizer")
    words, columns = len(model.tokenizer_.vocabulary_), model.naive_bayes_.n_features_in_
    _refuse(unless=words == columns, name="vocabulary_", expected=f"of {columns} words")
    same = len(model.classes_) == len(model.naive_bayes_.classes_)
    _refuse(unless=same, name="classes_", expected="those of naive_bayes_")


def _check_words(model: Any) -> None:
    words: Any = getattr(model, "vocabulary_", None)
    columns = sorted(words.values()) if _is_vocabulary(words) else None
    _refuse(unless=columns == list(range(len(words or ()))), name="vocabulary_", expected="a column per word, from 0")

    stops = model.stop_words
    listed = isinstance(stops, list | tuple | set | frozenset) and all(isinstance(word, str) for word in stops)
    known = stops is None or isinstance(stops, str) or listed
    _refuse(unless=known, name="stop_words", expected="a word that names them, or words")


def _is_vocabulary(words: Any) -> bool:
    return isinstance(words, dict) and all(type(word) is str and type(at) is int for word, at in words.items())


def _check_tastes(model: Any) -> None:
    sizes = len(model.user_bias_), model.user_factors_.shape[1]
    _refuse(unless=model.n_users_ == sizes[0], name="n_users_", expected=str(sizes[0]))
    _refuse(unless=model.n_factors == sizes[1], name="n_factors", expected=str(sizes[1]))
    rising = bool((np.diff(model.rated_ends_, prepend=0) >= 0).all())
    whole = rising and model.rated_ends_[-1] == len(model.rated_items_)
    _refuse(unless=bool(whole), name="rated_ends_", expected="the rising ends of the users' ratings")


def _check_layers(model: Any) -> None:
    from rlbench.models.network import ACTIVATIONS  # noqa: PLC0415  (scikit-learn, an extra)

    _refuse(unless=model.activation in ACTIVATIONS, name="activation", expected=" or ".join(ACTIVATIONS))
    weights, biases = getattr(model, "coefs_", None), getattr(model, "intercepts_", None)
    is_listed = isinstance(weights, list) and isinstance(biases, list) and len(weights) == len(biases) > 0
    _refuse(unless=is_listed, name="coefs_", expected="a list of arrays, as intercepts_ is")
    sizes = [model.n_features_in_, *(len(np.atleast_1d(bias)) for bias in biases or ())]
    _refuse(unless=sizes[-1] == len(model.classes_), name="intercepts_", expected="one per class in the last layer")
    for i, (before, after) in enumerate(pairwise(sizes)):
        dtype = np.float32 if getattr(weights[i], "dtype", None) == np.float32 else np.float64  # type: ignore[index]
        layer = {f"coefs_[{i}]": weights[i], f"intercepts_[{i}]": biases[i]}  # type: ignore[index]
        forms = Numbers(dtype, (before, after)), Numbers(dtype, (after,))
        checked(layer, dict(zip(layer, forms, strict=True)))


WITHOUT_FEATURES = ("TextClassifier", "Tokenizer")
FORMS: dict[str, tuple[Callable[[Any, int], Form], Callable[[Any], None]]] = {
    "DecisionTreeClassifier": (_classifying_tree, _check_tree),
    "DecisionTreeRegressor": (_regressing_tree, _check_tree),
    "KMeans": (_clusters, _check_clusters),
    "LinearRegression": (_linear, _nothing_more),
    "LogisticRegression": (_logistic, _check_scores),
    "MatrixFactorization": (_tastes, _check_tastes),
    "MultinomialNB": (_counts, _nothing_more),
    "NeuralNetworkClassifier": (_layers, _check_layers),
    "PCA": (_components, _check_components),
    "RandomForestRegressor": (_forest, _check_forest),
    "TextClassifier": (_texts, _check_texts),
    "Tokenizer": (_words, _check_words),
    "StandardScaler": (_scaled, _nothing_more),
}
