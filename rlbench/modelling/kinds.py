"""The kinds of models by name, and what each learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from rlbench.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

CLASSES, NUMBERS, GROUPS, COMPONENTS, TEXTS, RATINGS = (
    "classes",  # rows of numbers, each with a label
    "numbers",  # rows of numbers, each with a number
    "groups",  # rows of numbers alone
    "components",  # rows of numbers alone
    "texts",  # texts, each with a label
    "ratings",  # a user, an item and a number
)


class Kind(NamedTuple):
    """A kind of model: its estimator in `rlbench.models`, and what it learns from."""

    estimator: str
    task: str
    text: str
    scaled: bool = False  # whether columns are scaled by default

    @property
    def is_supervised(self) -> bool:
        """Whether each row comes with a target."""
        return self.task in (CLASSES, NUMBERS, TEXTS)


KINDS = {
    "linear": Kind("LinearRegression", NUMBERS, "least squares"),
    "logistic": Kind("LogisticRegression", CLASSES, "a linear score per class", scaled=True),
    "tree": Kind("DecisionTreeClassifier", CLASSES, "questions that lead to a class"),
    "tree-regressor": Kind("DecisionTreeRegressor", NUMBERS, "questions that lead to a number"),
    "forest": Kind("RandomForestRegressor", NUMBERS, "the mean of many trees"),
    "k-means": Kind("KMeans", GROUPS, "groups around their means"),
    "pca": Kind("PCA", COMPONENTS, "directions of most variance"),
    "naive-bayes": Kind("MultinomialNB", CLASSES, "counts, a distribution per class"),
    "text": Kind("TextClassifier", TEXTS, "texts, classified by their words"),
    "recommender": Kind("MatrixFactorization", RATINGS, "tastes of users, traits of items"),
    "network": Kind("NeuralNetworkClassifier", CLASSES, "layers, backpropagation", scaled=True),
}


def kind_named(name: str) -> Kind:
    """Returns a kind by its name, or raises UnknownNameError."""
    if name not in KINDS:
        raise unknown_name("kind of model", name, KINDS)
    return KINDS[name]


def new_estimator(name: str, settings: Mapping[str, Any], seed: int) -> Any:
    """Makes the unfitted estimator of a kind.

    Args:
        name: the name of the kind.
        settings: parameters of the estimator; the others keep their defaults.
        seed: the estimator's random_state, unless the settings give one.

    Raises:
        UnknownNameError: the kind or a parameter is unknown.
        UsageError: a parameter cannot be set by name, such as a tokenizer.
    """
    kind = kind_named(name)
    from rlbench import models  # noqa: PLC0415  (scikit-learn, an extra)

    estimator = getattr(models, kind.estimator)
    known = estimator().get_params(deep=False)
    for setting in settings:
        if setting not in known:
            raise unknown_name(f"parameter of {name}", setting, known)
    if settings.get("tokenizer") is not None:
        raise UsageError("tokenizer cannot be set here: build the TextClassifier in a program")
    drawn = {"random_state": seed} if "random_state" in known else {}
    return estimator(**{**drawn, **{key: _whole(value) for key, value in settings.items()}})


def _whole(value: Any) -> Any:
    """Returns lists as tuples, which the estimators take and hashing needs."""
    return tuple(value) if isinstance(value, list) else value
