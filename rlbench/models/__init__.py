"""Supervised and unsupervised estimators written from scratch, with scikit-learn's API; independent of the workbench.

    from rlbench.models import LogisticRegression

    LogisticRegression().fit([[10.0], [250.0]], ["send", "keep"]).predict([[20.0]])

The arithmetic is NumPy (numba in the modules that start with an underscore). scikit-learn (the extra `models`) provides
`BaseEstimator` and input validation, so every estimator works in its pipelines and searches; without it, importing this
package says what to install. Each estimator is imported on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rlbench.files import check_installed

if TYPE_CHECKING:
    from rlbench.models.cluster import KMeans, elbow, extract_palette
    from rlbench.models.decomposition import PCA
    from rlbench.models.forest import RandomForestRegressor
    from rlbench.models.linear import LinearRegression, LogisticRegression
    from rlbench.models.network import NeuralNetworkClassifier
    from rlbench.models.recommender import MatrixFactorization, hold_out_per_user
    from rlbench.models.text import MultinomialNB, TextClassifier, Tokenizer
    from rlbench.models.tree import DecisionTreeClassifier, DecisionTreeRegressor, export_text

check_installed("sklearn", "models", "rlbench.models")

_HOMES = {
    "DecisionTreeClassifier": "tree",
    "DecisionTreeRegressor": "tree",
    "KMeans": "cluster",
    "LinearRegression": "linear",
    "LogisticRegression": "linear",
    "MatrixFactorization": "recommender",
    "MultinomialNB": "text",
    "NeuralNetworkClassifier": "network",
    "PCA": "decomposition",
    "RandomForestRegressor": "forest",
    "TextClassifier": "text",
    "Tokenizer": "text",
    "elbow": "cluster",
    "export_text": "tree",
    "extract_palette": "cluster",
    "hold_out_per_user": "recommender",
}

__all__ = [
    "PCA",
    "DecisionTreeClassifier",
    "DecisionTreeRegressor",
    "KMeans",
    "LinearRegression",
    "LogisticRegression",
    "MatrixFactorization",
    "MultinomialNB",
    "NeuralNetworkClassifier",
    "RandomForestRegressor",
    "TextClassifier",
    "Tokenizer",
    "elbow",
    "export_text",
    "extract_palette",
    "hold_out_per_user",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"rlbench.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'rlbench.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
