"""Draws the figures of docs/models.md, one per estimator; needs the extras models and plots.

python scripts/model_figures.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from scipy import sparse

import rlbench
from rlbench.modelling import Model, charts, figures, train_model
from rlbench.models import LogisticRegression, MatrixFactorization, TextClassifier, hold_out_per_user
from rlbench.plots.style import new_figure, styled
from rlbench.reports import explain

WORDS = {
    "good": ["great", "lovely", "superb", "moving", "funny", "brilliant"],
    "bad": ["dull", "awful", "boring", "mess", "clumsy", "pointless"],
    "any": ["film", "story", "cast", "scene", "music", "ending", "director", "camera", "evening", "plot"],
}
USERS, ITEMS, TASTES = 200, 80, 2


def discount() -> Axes:
    """The discount of the book, for customers who have spent little."""
    spent = np.array([[50.0], [10], [20], [5], [95], [70], [100], [200], [0]])
    sent = np.array(["keep", "send", "send", "send", "keep", "keep", "keep", "keep", "send"])
    return charts.scores(spent, sent, LogisticRegression().fit(spent, sent), axes(), name="dollars spent")


def reviews() -> Axes:
    """The words of randomly composed reviews, with words that fit their label and neutral ones."""
    random = np.random.default_rng(0)
    labels = np.array(["bad", "good"])[random.integers(2, size=400)]
    texts = [" ".join([*random.choice(WORDS[label], 3), *random.choice(WORDS["any"], 7)]) for label in labels]
    return charts.words(TextClassifier().fit(texts, labels), axes())


def ratings() -> Axes:
    """The errors of a recommender on ratings generated from two hidden tastes and some noise."""
    random = np.random.default_rng(0)
    users, items = random.normal(size=(USERS, TASTES)), random.normal(size=(ITEMS, TASTES))
    stars = np.clip(3 + users @ items.T + random.normal(scale=0.5, size=(USERS, ITEMS)), 1, 5)
    rated = sparse.csr_array(np.where(random.random(stars.shape) < 0.6, stars, 0))  # noqa: PLR2004  (six of ten are known)
    known, held_out = hold_out_per_user(rated, random_state=0)
    model = MatrixFactorization(2, n_epochs=40, random_state=0).fit(known, validation=held_out)
    lines = {"ratings learnt from": model.train_rmse_, "ratings held out": model.validation_rmse_}
    return charts.loss_curve(lines, axes(), ylabel="root mean squared error")


def axes() -> Axes:
    """Returns empty axes of the usual size."""
    with styled():
        return new_figure((4.6, 3.3)).subplots()


def rules() -> Axes:
    """An agent's policy in SafeCab as a tree of depth three."""
    explanation = explain(rlbench.train("safecab", seed=0), depth=3)
    with styled():
        return explanation.draw(new_figure(charts.tree_size(explanation.tree, 3, wide=True)).subplots())


def trained(kind: str, data: str, **settings: object) -> Model:
    """Returns a model trained on one of scikit-learn's data sets."""
    return train_model(kind, data, settings=settings)


FIGURES = {
    "linear": lambda: figures.draw(trained("linear", "diabetes"), "predictions"),
    "logistic": lambda: discount().figure,
    "tree": lambda: figures.draw(trained("tree", "iris", max_depth=3, min_samples_leaf=3), "tree"),
    "tree_regressor": lambda: figures.draw(trained("tree-regressor", "diabetes", max_depth=3), "tree"),
    "forest": lambda: figures.draw(trained("forest", "diabetes", min_samples_leaf=5), "importance"),
    "kmeans": lambda: figures.draw(trained("k-means", "iris", n_clusters=3), "clusters"),
    "elbow": lambda: figures.draw(trained("k-means", "iris", n_clusters=3), "elbow"),
    "pca": lambda: figures.draw(trained("pca", "digits", n_components=20), "variance"),
    "components": lambda: figures.draw(train_model("pca", "wine", scale=True), "components"),
    "naive_bayes": lambda: figures.draw(trained("naive-bayes", "digits"), "confusion"),
    "text": lambda: reviews().figure,
    "recommender": lambda: ratings().figure,
    "network": lambda: figures.draw(trained("network", "digits", hidden_layer_sizes=(32,), max_iter=60), "loss"),
    "rules": lambda: rules().figure,
    "learning": lambda: figures.draw(trained("tree", "digits"), "learning"),
}

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "model_figures")
folder.mkdir(parents=True, exist_ok=True)
for name, draw in FIGURES.items():
    print(figures.save(draw(), folder / f"model_{name}.png"))
