"""Trains a decision tree, keeps it beside the runs, and asks it.

python scripts/train_model.py
"""

import rlbench
from rlbench.modelling import load_model, save_model, train_model

with rlbench.open_store("rlbench.db") as store:
    kept = save_model(store, train_model("tree", "iris", settings={"max_depth": 3}, seed=0))
    found = load_model(store, kept.name)
    test = found.about["metrics"]["test"]
    print(f"{found.name}@{found.version}: accuracy {test['accuracy']:.4f} on {test['rows']} rows held out")
    print(found.predict([[5.1, 3.5, 1.4, 0.2]]).tolist())
