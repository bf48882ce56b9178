"""A stored model that was edited is refused in a line, or answers: its indices never reach memory of others."""

import functools
import json

import numpy as np
import pytest
from hostile import Outcomes, arrays_like, in_another_process

from rlbench.errors import UsageError
from rlbench.modelling import KINDS
from rlbench.modelling.kinds import NUMBERS, RATINGS, TEXTS, new_estimator
from rlbench.modelling.packing import pack_estimator, unpack_estimator
from rlbench.modelling.soundness import FORMS

SETTINGS = {
    "network": {"hidden_layer_sizes": [3], "max_iter": 2},
    "forest": {"n_estimators": 2},
    "k-means": {"n_clusters": 2},
    "recommender": {"n_factors": 2, "n_epochs": 2},
}
WORDS = ["a great film", "a dull film", "great, great", "dull and long"] * 3


def rows():
    return np.random.default_rng(0).integers(0, 5, (12, 3)).astype(float)


def fitted(kind):
    estimator, task = new_estimator(kind, SETTINGS.get(kind, {}), 0), KINDS[kind].task
    labels = np.array(["no", "yes"] * 6)
    if task == TEXTS:
        return estimator.fit(WORDS, labels)
    if task == NUMBERS:
        return estimator.fit(rows(), rows()[:, 0] + rows()[:, 1])
    return estimator.fit(rows(), labels) if KINDS[kind].is_supervised else estimator.fit(rows())


def answers(kind, estimator):
    task = KINDS[kind].task
    if task == RATINGS:
        return [estimator.recommend(user, 2) for user in (0, 11, None)], estimator.predict_pairs([0, 11], [2, 0])
    if task == TEXTS:
        return estimator.predict(WORDS)
    depth = estimator.get_depth() if hasattr(estimator, "get_depth") else 0
    return estimator.predict(rows()) if hasattr(estimator, "predict") else estimator.transform(rows()), depth


def _places(value, path=()):
    """Yields the path to everything in a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield from _places(below, (*path, key))


def _with(value, path, mutated):
    copied = json.loads(json.dumps(value))
    target = copied
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = mutated
    return copied


def kind_outcomes(kind, share):
    estimator = fitted(kind)
    document, arrays = pack_estimator(estimator)
    expected = answers(kind, unpack_estimator(document, arrays))
    rng, found = np.random.default_rng(0), Outcomes(share)
    assert json.dumps(expected, default=str) == json.dumps(answers(kind, estimator), default=str)

    def load_and_use(document, arrays):
        again = unpack_estimator(document, arrays)
        if getattr(again, "n_features_in_", 3) != 3:
            raise UsageError("loading compares the features with their names")
        answers(kind, again)

    for name, array in arrays.items():
        for mutated in arrays_like(array, rng):
            changed = functools.partial(load_and_use, document, {**arrays, name: mutated})
            found.of(f"{name} = {mutated!r:.60}", changed)
    for path in list(_places(document))[1:]:
        for mutated in (-1, 10**9, 0.5, None, "x", [], {"$scalar": 1e9, "dtype": "U99999999"}):
            found.of(f"{path} = {mutated!r}", functools.partial(load_and_use, _with(document, path, mutated), arrays))
    return found.told()


def all_outcomes(share):
    return {kind: kind_outcomes(kind, share) for kind in KINDS}


@pytest.mark.parametrize("share", [0.05, pytest.param(1.0, marks=pytest.mark.long)])
def test_no_mutated_model_crashes_or_takes_memory(share):
    for kind, (refused, taken, complaints) in in_another_process(all_outcomes, share).items():
        assert complaints == [], kind
        assert refused > taken / 4, kind


def test_every_kind_of_model_is_checked_when_it_is_loaded():
    assert {kind.estimator for kind in KINDS.values()} < FORMS.keys()
