"""Models in use: the estimators of `rlbench.models` trained on data, measured, stored beside the runs, and drawn.

    from rlbench.modelling import load_model, save_model, train_model
    from rlbench.store import open_store

    model = train_model("tree", "iris", settings={"max_depth": 3})
    with open_store("rlbench.db") as store:
        model = save_model(store, model)
        assert (load_model(store, model.id).predict([[5.1, 3.5, 1.4, 0.2]]) == ["setosa"]).all()

`rlbench.models` itself knows nothing about stores and files; scikit-learn is imported on first use.
"""

from __future__ import annotations

from rlbench.modelling.data import (
    BUILT_IN,
    CsvFile,
    Dataset,
    Ratings,
    load_built_in,
    load_csv,
    load_fashion,
    load_house_prices,
    load_plays,
    load_ratings,
    load_reviews,
    load_texts,
)
from rlbench.modelling.kinds import KINDS, new_estimator
from rlbench.modelling.model import Model, withheld_of
from rlbench.modelling.stored import (
    Entry,
    delete_model,
    find_model,
    load_model,
    models,
    pseudonymise_models,
    save_model,
)
from rlbench.modelling.training import train_model

__all__ = [
    "BUILT_IN",
    "KINDS",
    "CsvFile",
    "Dataset",
    "Entry",
    "Model",
    "Ratings",
    "delete_model",
    "find_model",
    "load_built_in",
    "load_csv",
    "load_fashion",
    "load_house_prices",
    "load_model",
    "load_plays",
    "load_ratings",
    "load_reviews",
    "load_texts",
    "models",
    "new_estimator",
    "pseudonymise_models",
    "save_model",
    "train_model",
    "withheld_of",
]
