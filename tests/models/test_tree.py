"""Trees and forests: splits worked by hand, scikit-learn's contract, trees and prunings, and bad input."""
# ruff: noqa: N803, N806 - X is what the field, and scikit-learn's callers, write

from __future__ import annotations

import doctest

import numpy as np
import pytest
import sklearn.ensemble
import sklearn.tree as peers
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_regression,
)
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from rlbench.errors import UnknownNameError, UsageError
from rlbench.models import _tree, forest, tree
from rlbench.models.forest import RandomForestRegressor
from rlbench.models.tree import DecisionTreeClassifier, DecisionTreeRegressor, export_text

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
CLASSIFICATIONS = {"iris": load_iris, "wine": load_wine, "breast cancer": load_breast_cancer}
SETTINGS = [{}, {"max_depth": 3}, {"min_samples_leaf": 5}, {"max_depth": 6, "min_samples_leaf": 10}]


@parametrize_with_checks(
    [
        DecisionTreeRegressor(),
        DecisionTreeRegressor(max_features=1, random_state=0),
        DecisionTreeRegressor(ccp_alpha=0.1),
        DecisionTreeClassifier(),
        DecisionTreeClassifier(criterion="entropy"),
        RandomForestRegressor(10),
    ]
)
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("module", [tree, forest])
def test_the_sample_runs_of_the_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


# --- growing


def test_the_first_split_is_the_one_worked_by_hand():
    # 1 | 2 3: 0 + 2/3 * 0.25; 1 2 | 3: 2/3 * 16 + 0. The first is better, at the midpoint of 1 and 2
    model = DecisionTreeRegressor(max_depth=1).fit([[1.0], [2.0], [3.0]], [0.0, 8.0, 9.0])
    assert model.nodes_["threshold"][0] == 1.5
    assert model.nodes_["impurity"] == pytest.approx([146 / 9, 0.0, 0.25])
    assert model.values_[:, 0] == pytest.approx([17 / 3, 0.0, 8.5])
    assert model.nodes_["n_samples"].tolist() == [3, 1, 2]


def test_gini_and_entropy_of_a_node_are_those_worked_by_hand():
    X, y = [[0.0], [0.0], [0.0], [0.0]], ["a", "a", "b", "c"]
    gini = DecisionTreeClassifier(criterion="gini").fit(X, y)
    entropy = DecisionTreeClassifier(criterion="entropy").fit(X, y)
    assert gini.nodes_["impurity"] == pytest.approx([1 - (1 / 4 + 1 / 16 + 1 / 16)])
    assert entropy.nodes_["impurity"] == pytest.approx([0.5 * 1 + 2 * 0.25 * 2])
    assert gini.values_.tolist() == [[0.5, 0.25, 0.25]]


def test_xor_is_learnt_though_no_first_question_helps():
    model = DecisionTreeClassifier().fit(XOR, [0, 1, 1, 0])
    assert model.predict(XOR).tolist() == [0, 1, 1, 0]
    assert (model.get_depth(), model.get_n_leaves()) == (2, 4)


def test_a_tree_without_limits_tells_different_rows_apart():
    X, y = make_regression(300, 4, random_state=0)
    model = DecisionTreeRegressor().fit(X, y)
    assert model.predict(X).tolist() == y.tolist()


def test_rows_that_are_alike_share_their_mean():
    model = DecisionTreeRegressor().fit([[1.0], [1.0], [2.0]], [1.0, 2.0, 9.0])
    assert model.predict([[1.0], [2.0]]).tolist() == [1.5, 9.0]


def test_constant_columns_are_never_asked_about():
    X, y = make_regression(100, 2, random_state=0)
    model = DecisionTreeRegressor().fit(np.column_stack([np.full(100, 7.0), X]), y)
    assert 0 not in model.nodes_["feature"]
    assert DecisionTreeRegressor().fit(np.ones((5, 2)), range(5)).predict([[1.0, 1.0]]) == pytest.approx([2.0])


def test_of_columns_that_split_alike_the_first_is_asked():
    x = np.random.default_rng(0).normal(size=200)
    model = DecisionTreeRegressor().fit(np.column_stack([x, x**3, 2 * x]), np.sin(3 * x) + 1e6)
    assert set(model.nodes_["feature"]) == {_tree.LEAF, 0}


def test_one_row_and_one_class_are_predicted_as_they_are():
    assert DecisionTreeRegressor().fit([[1.0, 2.0]], [3.0]).predict([[9.0, 9.0]]).tolist() == [3.0]
    model = DecisionTreeClassifier().fit([[1.0], [2.0]], ["only", "only"])
    assert model.predict([[5.0]]).tolist() == ["only"]
    assert model.predict_proba([[5.0]]).tolist() == [[1.0]]


def test_limits_are_kept():
    X, y = make_regression(500, 4, noise=5, random_state=0)
    model = DecisionTreeRegressor(max_depth=4, min_samples_leaf=20).fit(X, y)
    leaves = model.nodes_[model.nodes_["left"] == _tree.LEAF]
    assert model.get_depth() == 4
    assert leaves["n_samples"].min() >= 20
    assert leaves["n_samples"].sum() == 500
    assert len(leaves) == model.get_n_leaves()


def test_a_far_mean_does_not_blind_the_variance():
    x = np.arange(8.0)[:, None]
    model = DecisionTreeRegressor(max_depth=1).fit(x, 1e9 + (x[:, 0] > 2))
    assert model.nodes_["threshold"][0] == 2.5


def test_a_weight_counts_as_so_many_rows():
    X, y = make_classification(80, 4, flip_y=0.2, random_state=0)
    times = np.random.default_rng(0).integers(0, 4, 80)
    weighed = DecisionTreeClassifier(max_depth=4).fit(X, y, times)
    repeated = DecisionTreeClassifier(max_depth=4).fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighed.predict_proba(X), repeated.predict_proba(X))
    assert weighed.nodes_["weight"].tolist() == repeated.nodes_["n_samples"].tolist()


def test_the_features_tried_are_drawn_by_the_random_state():
    X, y = make_regression(200, 6, noise=5, random_state=0)
    roots = {DecisionTreeRegressor(max_features=1, random_state=k).fit(X, y).nodes_["feature"][0] for k in range(40)}
    assert roots == set(range(6))
    once, again = (DecisionTreeRegressor(max_features=2, random_state=3).fit(X, y) for _ in range(2))
    assert once.nodes_.tobytes() == again.nodes_.tobytes()


@pytest.mark.parametrize(
    ("given_", "tried"), [(None, 9), (4, 4), (0.5, 4), (1.0, 9), (0.01, 1), ("sqrt", 3), ("log2", 3)]
)
def test_max_features_may_be_a_number_a_share_or_a_name(given_, tried):
    assert tree.count_features(given_, 9) == tried


def naive_impurity(y, criterion):
    if criterion == "squared_error":
        return float(np.var(y))
    p = np.unique(y, return_counts=True)[1] / len(y)
    return float(1 - (p**2).sum() if criterion == "gini" else -(p * np.log2(p)).sum())


def naive_least_impurity(X, y, criterion):
    """The impurity that the best split leaves, by trying every split."""
    splits = [X[:, j] <= t for j in range(X.shape[1]) for t in np.unique(X[:, j])[:-1]]
    halves = [(y[left], y[~left]) for left in splits]
    return min((sum(len(h) * naive_impurity(h, criterion) for h in pair) / len(y) for pair in halves), default=None)


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)), min_size=2, max_size=12),
    criterion=st.sampled_from(["squared_error", "gini", "entropy"]),
)
@settings(max_examples=150)
def test_no_other_split_would_have_left_less_impurity(rows, criterion):
    data = np.array(rows, dtype=float)
    X, y = data[:, :2], data[:, 2]
    kind = DecisionTreeRegressor if criterion == "squared_error" else DecisionTreeClassifier
    nodes = kind(criterion=criterion, max_depth=1).fit(X, y).nodes_
    least = naive_least_impurity(X, y, criterion)
    if least is None or naive_impurity(y, criterion) == 0:
        assert len(nodes) == 1
    else:
        left = (nodes["weight"][1:] * nodes["impurity"][1:]).sum() / len(y)
        assert left == pytest.approx(least, abs=1e-9)


def test_the_compiled_cut_is_also_plain_python():
    targets = _tree.Targets(np.zeros(3, np.int32), np.array([0.0, 8.0, 9.0]), np.ones(3))
    x, rows, sums = np.array([1, 2, 3], np.float32), np.arange(3), np.zeros((3, 1))
    found = _tree.best_cut.py_func(x, rows, targets, _tree.VARIANCE, 1, 17 / 3, 0.0, sums)
    assert found == pytest.approx((17**2 / 9 + 17**2 / 18, 1))


# --- as in scikit-learn


def agreeing(kind, settings_, X, y, unseen):
    """scikit-learn's predictions, and the rows on which its trees agree however it breaks ties."""
    predictions = np.array([kind(random_state=k, **settings_).fit(X, y).predict(unseen) for k in range(10)])
    return predictions[0], (predictions == predictions[0]).all(axis=0)


@pytest.mark.parametrize("settings_", SETTINGS, ids=str)
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
@pytest.mark.parametrize("name", CLASSIFICATIONS)
def test_classes_are_those_of_scikit_learn_but_for_ties(name, criterion, settings_):
    X, unseen, y, answers = train_test_split(*CLASSIFICATIONS[name](return_X_y=True), random_state=0)
    ours = DecisionTreeClassifier(criterion=criterion, **settings_).fit(X, y)
    theirs, agreed = agreeing(peers.DecisionTreeClassifier, {"criterion": criterion, **settings_}, X, y, unseen)
    assert agreed.mean() > 0.8
    assert ours.predict(unseen)[agreed].tolist() == theirs[agreed].tolist()
    if not settings_:
        assert ours.score(X, y) == 1.0
    assert ours.score(unseen, answers) > 0.8


@pytest.mark.parametrize("settings_", SETTINGS[1:], ids=str)
def test_numbers_are_those_of_scikit_learn_but_for_ties(settings_):
    X, unseen, y, _ = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    ours = DecisionTreeRegressor(**settings_).fit(X, y)
    theirs, agreed = agreeing(peers.DecisionTreeRegressor, settings_, X, y, unseen)
    assert agreed.mean() > 0.8
    np.testing.assert_allclose(ours.predict(unseen)[agreed], theirs[agreed], rtol=1e-9)
    assert ours.get_n_leaves() == peers.DecisionTreeRegressor(**settings_, random_state=0).fit(X, y).get_n_leaves()


def test_without_ties_the_whole_tree_is_that_of_scikit_learn():
    X, y = make_regression(1000, 5, noise=20, random_state=0)
    ours = DecisionTreeRegressor(min_samples_leaf=5).fit(X, y)
    theirs = peers.DecisionTreeRegressor(min_samples_leaf=5, random_state=0).fit(X, y)
    assert export_text(ours, decimals=6, max_depth=99) == peers.export_text(theirs, decimals=6, max_depth=99)
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, rtol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


def test_digits_are_told_as_well_as_by_scikit_learn():
    X, unseen, y, answers = train_test_split(*load_digits(return_X_y=True), random_state=0)
    ours = DecisionTreeClassifier().fit(X, y).score(unseen, answers)
    theirs = [peers.DecisionTreeClassifier(random_state=k).fit(X, y).score(unseen, answers) for k in range(10)]
    assert ours > min(theirs) - 0.01


@pytest.mark.long  # hundreds of trees
def test_pruning_of_classes_is_that_of_scikit_learn_at_every_alpha():
    X, y = make_classification(400, 5, n_informative=4, n_redundant=0, flip_y=0.2, random_state=0)
    weights = np.random.default_rng(0).uniform(0.5, 2, 400)  # no two splits tie
    named = {"min_samples_leaf": 6}
    ours = DecisionTreeClassifier(**named).cost_complexity_pruning_path(X, y, weights)
    theirs = peers.DecisionTreeClassifier(**named, random_state=0).cost_complexity_pruning_path(X, y, weights)
    # scikit-learn splits pure nodes whose impurity is not quite 0 in floats, and prunes them again at alphas near 0
    np.testing.assert_allclose(ours.ccp_alphas[1:], theirs.ccp_alphas[theirs.ccp_alphas > 1e-12], atol=1e-12)
    np.testing.assert_allclose(ours.impurities[1:], theirs.impurities[theirs.ccp_alphas > 1e-12], atol=1e-12)
    alphas = np.unique(ours.ccp_alphas.round(9))
    for alpha in (alphas[1:] + alphas[:-1]) / 2:
        our_tree = DecisionTreeClassifier(ccp_alpha=alpha, **named).fit(X, y, weights)
        their_tree = peers.DecisionTreeClassifier(ccp_alpha=alpha, random_state=0, **named).fit(X, y, weights)
        assert export_text(our_tree, decimals=6) == peers.export_text(their_tree, decimals=6)


def test_pruning_of_numbers_is_that_of_scikit_learn():
    X, y = make_regression(400, 4, noise=50, random_state=0)
    ours = DecisionTreeRegressor(min_samples_leaf=5).cost_complexity_pruning_path(X, y)
    theirs = peers.DecisionTreeRegressor(min_samples_leaf=5, random_state=0).cost_complexity_pruning_path(X, y)
    np.testing.assert_allclose(ours.ccp_alphas, theirs.ccp_alphas, rtol=1e-8)
    np.testing.assert_allclose(ours.impurities, theirs.impurities, rtol=1e-9)
    for alpha in (1.0, 30.0, 300.0, 1e6):
        ours = DecisionTreeRegressor(ccp_alpha=alpha, min_samples_leaf=5).fit(X, y)
        theirs = peers.DecisionTreeRegressor(ccp_alpha=alpha, min_samples_leaf=5, random_state=0).fit(X, y)
        assert ours.get_n_leaves() == theirs.get_n_leaves()
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


# --- pruning


def test_a_branch_falls_at_the_alpha_worked_by_hand():
    # root: variance 146/9; right node 2/3 * 0.25 = 1/6, its two leaves 0: alpha (1/6 - 0) / 1, then 146/9 - 1/6
    X, y = [[1.0], [2.0], [3.0]], [0.0, 8.0, 9.0]
    path = DecisionTreeRegressor().cost_complexity_pruning_path(X, y)
    assert path.ccp_alphas == pytest.approx([0, 1 / 6, 146 / 9 - 1 / 6])
    assert path.impurities == pytest.approx([0, 1 / 6, 146 / 9])
    leaves = [DecisionTreeRegressor(ccp_alpha=alpha).fit(X, y).get_n_leaves() for alpha in (0.16, 0.17, 15.9, 16.1)]
    assert leaves == [3, 2, 2, 1]


def test_at_an_alpha_of_the_path_the_branch_is_gone():
    X, y = make_regression(100, 3, noise=30, random_state=1)
    path = DecisionTreeRegressor().cost_complexity_pruning_path(X, y)
    leaves = [DecisionTreeRegressor(ccp_alpha=alpha).fit(X, y).get_n_leaves() for alpha in path.ccp_alphas]
    assert leaves == sorted(set(leaves), reverse=True)
    assert (leaves[0], leaves[-1]) == (100, 1)


# --- as text


def test_the_iris_tree_reads_as_a_botanist_would_say_it():
    iris = load_iris()
    model = DecisionTreeClassifier(max_depth=2).fit(iris.data, iris.target)
    assert export_text(model, feature_names=iris.feature_names, class_names=iris.target_names) == (
        "|--- petal length (cm) <= 2.45\n"
        "|   |--- class: setosa\n"
        "|--- petal length (cm) >  2.45\n"
        "|   |--- petal width (cm) <= 1.75\n"
        "|   |   |--- class: versicolor\n"
        "|   |--- petal width (cm) >  1.75\n"
        "|   |   |--- class: virginica\n"
    )
    assert model.score(iris.data, iris.target) == pytest.approx(0.96)


def test_deep_branches_are_cut_short_as_in_scikit_learn():
    X, y = make_regression(200, 3, noise=50, random_state=0)
    ours = DecisionTreeRegressor(min_samples_leaf=5).fit(X, y)
    theirs = peers.DecisionTreeRegressor(min_samples_leaf=5, random_state=0).fit(X, y)
    for depth in range(5):
        assert export_text(ours, max_depth=depth) == peers.export_text(theirs, max_depth=depth)


def test_a_single_leaf_and_a_very_deep_tree_read_too():
    assert export_text(DecisionTreeRegressor().fit([[1.0]], [2.0])) == "|--- value: [2.00]\n"
    x = np.arange(1500.0)[:, None]
    deep = DecisionTreeRegressor().fit(x, 4.0 ** np.minimum(x[:, 0], 200))
    assert deep.get_depth() > 100
    assert export_text(deep, max_depth=5000).count("value:") == deep.get_n_leaves()


@pytest.mark.parametrize(
    ("named", "message"), [({"feature_names": ["x"]}, "4 names, got 1"), ({"class_names": "ab"}, "3 names, got 2")]
)
def test_a_wrong_number_of_names_is_refused(named, message):
    model = DecisionTreeClassifier().fit(*load_iris(return_X_y=True))
    with pytest.raises(UsageError, match=message):
        export_text(model, **named)


def test_an_unfitted_tree_has_no_text():
    with pytest.raises(NotFittedError):
        export_text(DecisionTreeRegressor())


# --- forests


def test_a_forest_is_the_mean_of_its_trees():
    X, y = load_diabetes(return_X_y=True)
    model = RandomForestRegressor(7, max_depth=5, random_state=0).fit(X, y)
    mean = np.mean([one.predict(X) for one in model.estimators_], axis=0)
    np.testing.assert_allclose(model.predict(X), mean)
    assert len(model.estimators_) == 7
    assert model.feature_importances_.sum() == pytest.approx(1)


def test_a_forest_of_one_tree_on_all_rows_is_that_tree():
    X, y = load_diabetes(return_X_y=True)
    alone = DecisionTreeRegressor().fit(X, y)
    model = RandomForestRegressor(1, bootstrap=False).fit(X, y)
    assert model.nodes_.tobytes() == alone.nodes_.tobytes()


def test_a_forest_predicts_as_well_as_that_of_scikit_learn():
    X, unseen, y, answers = train_test_split(*make_regression(1500, 6, noise=10, random_state=0), random_state=0)
    ours = RandomForestRegressor(60, random_state=0).fit(X, y).score(unseen, answers)
    theirs = sklearn.ensemble.RandomForestRegressor(60, random_state=0).fit(X, y).score(unseen, answers)
    alone = DecisionTreeRegressor().fit(X, y).score(unseen, answers)
    assert ours == pytest.approx(theirs, rel=0.01)
    assert ours > alone + 0.05


def test_the_same_seed_grows_the_same_forest_and_another_another():
    X, y = load_diabetes(return_X_y=True)
    first, same, other = (RandomForestRegressor(5, max_features="sqrt", random_state=k).fit(X, y) for k in (0, 0, 1))
    assert first.nodes_.tobytes() == same.nodes_.tobytes()
    assert first.nodes_.tobytes() != other.nodes_.tobytes()


def test_trees_and_forests_are_searched_and_cross_validated():
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(DecisionTreeClassifier(), {"max_depth": [1, 3]}).fit(X, y)
    assert search.best_params_ == {"max_depth": 3}
    assert cross_val_score(RandomForestRegressor(10, random_state=0), *load_diabetes(return_X_y=True)).mean() > 0.3


# --- bad input


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"max_depth": 0}, r"max_depth must be a whole number >= 1, got 0"),
        ({"max_depth": 2.5}, r"max_depth must be a whole number"),
        ({"min_samples_leaf": 0}, r"min_samples_leaf must be a whole number >= 1"),
        ({"ccp_alpha": -1}, r"ccp_alpha must be a number >= 0, got -1"),
        ({"ccp_alpha": float("nan")}, r"ccp_alpha must be a number >= 0"),
        ({"max_features": 0}, r"max_features must be a whole number >= 1 and <= 10"),
        ({"max_features": 11}, r"got 11"),
        ({"max_features": 1.5}, r"max_features as a share must be a number > 0 and <= 1"),
    ],
)
@pytest.mark.parametrize("kind", [DecisionTreeRegressor, RandomForestRegressor])
def test_a_parameter_out_of_range_is_told(kind, named, message):
    with pytest.raises(UsageError, match=message):
        kind(**named).fit(*load_diabetes(return_X_y=True))


def test_other_wrong_parameters_are_told():
    X, y = load_diabetes(return_X_y=True)
    with pytest.raises(UnknownNameError, match="'ginny'; did you mean gini"):
        DecisionTreeClassifier(criterion="ginny").fit(X, y > 100)
    with pytest.raises(UnknownNameError, match="unknown max_features 'sqr'; did you mean sqrt"):
        DecisionTreeRegressor(max_features="sqr").fit(X, y)
    with pytest.raises(UsageError, match="n_estimators must be a whole number >= 1, got 0"):
        RandomForestRegressor(0).fit(X, y)
    with pytest.raises(UsageError, match="bootstrap must be True or False, got 'no'"):
        RandomForestRegressor(bootstrap="no").fit(X, y)


@pytest.mark.parametrize("kind", [DecisionTreeRegressor, DecisionTreeClassifier, RandomForestRegressor])
@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[np.nan], [1.0]], [0, 1], "contains NaN"),
        ([[np.inf], [1.0]], [0, 1], "infinity"),
        ([[1e39], [1.0]], [0, 1], "too large for dtype"),
        (np.empty((0, 2)), [], "0 sample"),
        (np.empty((2, 0)), [0, 1], "0 feature"),
        ([["a"], ["b"]], [0, 1], "could not convert"),
        ([[1.0], [2.0]], [0], "inconsistent numbers"),
        ([1.0, 2.0], [0, 1], "Expected 2D array"),
        ([[1.0], [2.0]], [0.0, np.nan], "contains NaN"),
        ([[1.0], [2.0]], None, "requires y to be passed|y cannot be None"),
    ],
)
def test_bad_data_raises_the_error_of_scikit_learn(kind, X, y, message):
    with pytest.raises(ValueError, match=message):
        kind().fit(X, y)


def test_numbers_are_no_classes_and_wrong_columns_are_refused():
    with pytest.raises(ValueError, match="Unknown label type"):
        DecisionTreeClassifier().fit([[1.0], [2.0]], [0.5, 1.5])
    with pytest.raises(ValueError, match="expecting 1 features"):
        DecisionTreeClassifier().fit([[1.0], [2.0]], [0, 1]).predict([[1.0, 2.0]])


def test_growing_on_rows_without_weight_is_refused():
    targets = _tree.Targets(np.zeros(2, np.int32), np.array([1.0, 2.0]), np.zeros(2))
    columns = tree.presort(np.ones((2, 1), np.float32))
    with pytest.raises(UsageError, match="sample_weight must have a positive entry"):
        tree.grow(columns, targets, 1, _tree.VARIANCE, DecisionTreeRegressor(), 1)


def test_weights_must_be_positive_somewhere_and_negative_nowhere():
    with pytest.raises(ValueError, match="at least one non-zero"):
        DecisionTreeRegressor().fit([[1.0], [2.0]], [0, 1], [0, 0])
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        DecisionTreeRegressor().fit([[1.0], [2.0]], [0, 1], [1, -1])
