"""k-means: steps worked by hand, scikit-learn's contract and inertia, chunks, palettes, and bad input."""
# ruff: noqa: N803, N806 - X is what the field, and scikit-learn's callers, write

from __future__ import annotations

import doctest
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import cluster as peers
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from rlbench.errors import UnknownNameError, UsageError
from rlbench.models import _cluster, cluster
from rlbench.models.cluster import KMeans, elbow, extract_palette
from rlbench.models.linear import LogisticRegression

PAIRS = np.array([[1.0, 1.0], [1.0, 3.0], [9.0, 8.0], [9.0, 6.0]])


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads on a busy machine wait for each other, many times longer than they work."""
    with threadpool_limits(1):
        yield


@parametrize_with_checks([KMeans(), KMeans(2, init="random", n_init=3)])
def test_it_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def test_the_sample_runs_of_the_docstrings_hold():
    assert doctest.testmod(cluster).failed == 0


# --- Lloyd


def test_one_pass_is_the_one_worked_by_hand():
    # 0, 1 join the centre 0, and 8, 10 the centre 9: means 0.5 and 9, inertia 0.25 * 2 + 1 * 2
    model = KMeans(2, init=[[0.0], [9.0]], max_iter=1).fit([[0.0], [1.0], [8.0], [10.0]])
    assert model.cluster_centers_.tolist() == [[0.5], [9.0]]
    assert model.labels_.tolist() == [0, 0, 1, 1]
    assert model.inertia_ == pytest.approx(2.5)
    assert model.counts_.tolist() == [2, 2]
    assert model.n_iter_ == 1


def test_distances_are_those_from_the_centres():
    model = KMeans(2, init=PAIRS[[0, 2]]).fit(PAIRS)
    assert model.transform([[1.0, 2.0], [4.0, 6.0]]) == pytest.approx(np.array([[0, 89**0.5], [5, 26**0.5]]))
    assert model.score([[1.0, 2.0], [4.0, 6.0]]) == pytest.approx(-25)
    assert list(model.get_feature_names_out()) == ["kmeans0", "kmeans1"]


def test_from_the_same_start_it_ends_where_scikit_learn_ends():
    X, _ = make_blobs(800, 3, centers=6, cluster_std=3, random_state=0)
    for start in (X[:6], X[100:106]):
        ours = KMeans(6, init=start).fit(X)
        theirs = peers.KMeans(6, init=start, n_init=1).fit(X)
        np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-9)
        assert ours.labels_.tolist() == theirs.labels_.tolist()
        assert ours.inertia_ == pytest.approx(theirs.inertia_)
        assert ours.n_iter_ == theirs.n_iter_


def test_the_inertia_is_that_of_scikit_learn_within_a_hundredth():
    X, _ = make_blobs(1500, 4, centers=8, cluster_std=2, random_state=1)
    for init in ("k-means++", "random"):
        ours = KMeans(8, init=init, n_init=20, random_state=0).fit(X)
        theirs = peers.KMeans(8, init=init, n_init=20, random_state=0).fit(X)
        assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=0.01)


def test_the_clusters_of_iris_are_nearly_its_species():
    X, species = load_iris(return_X_y=True)
    model = KMeans(3, n_init=10, random_state=0).fit(X)
    assert model.inertia_ == pytest.approx(78.85, abs=0.01)
    assert adjusted_rand_score(species, model.labels_) == pytest.approx(0.73, abs=0.01)
    assert sorted(model.counts_.tolist()) == [38, 50, 62]


def test_k_means_plus_plus_starts_better_than_chance():
    X, _ = make_blobs(600, 2, centers=15, cluster_std=0.3, random_state=3)
    found = {
        init: np.mean([KMeans(15, init=init, n_init=1, random_state=k).fit(X).inertia_ for k in range(10)])
        for init in ("k-means++", "random")
    }
    assert found["k-means++"] < found["random"] / 2


def test_more_starts_are_never_worse_and_auto_takes_one_or_ten():
    X, _ = make_blobs(300, 2, centers=8, random_state=0)
    random = np.random.RandomState(0)
    once = KMeans(8, init="random", n_init=1, random_state=0).fit(X).inertia_
    assert KMeans(8, init="random", random_state=random).fit(X).inertia_ <= once
    assert (
        KMeans(8, n_init="auto", random_state=0).fit(X).inertia_ == KMeans(8, n_init=1, random_state=0).fit(X).inertia_
    )


@given(
    rows=st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=25, unique=True),
    n_clusters=st.integers(1, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=100)
def test_every_row_has_its_nearest_centre_and_every_centre_the_mean_of_its_rows(rows, n_clusters, seed):
    X = np.array(rows, dtype=float)
    n_clusters = min(n_clusters, len(X))
    model = KMeans(n_clusters, tol=0, random_state=seed).fit(X)
    distances = np.square(X[:, None] - model.cluster_centers_).sum(axis=2)
    np.testing.assert_allclose(distances[np.arange(len(X)), model.labels_], distances.min(axis=1))
    assert model.inertia_ == pytest.approx(distances.min(axis=1).sum())
    for k in np.unique(model.labels_):
        np.testing.assert_allclose(model.cluster_centers_[k], X[model.labels_ == k].mean(axis=0), atol=1e-9)


# --- empty clusters


def test_a_cluster_without_rows_takes_the_farthest_row():
    X = [[0.0], [1.0], [10.0]]
    model = KMeans(3, init=[[0.5], [100.0], [200.0]]).fit(X)
    assert sorted(model.counts_.tolist()) == [1, 1, 1]
    assert model.inertia_ == 0


def test_the_compiled_filling_is_also_plain_python():
    X, labels = np.array([[0.0], [1.0], [10.0]]), np.zeros(3, np.int32)
    sums, counts = np.array([[11.0], [0.0]]), np.array([3, 0])
    _cluster.fill_empty.py_func(X, labels, np.array([0.0, 1.0, 100.0]), sums, counts, counts == 0)
    assert (sums.tolist(), counts.tolist(), labels.tolist()) == ([[1.0], [10.0]], [2, 1], [0, 0, 1])


def test_fewer_different_rows_than_clusters_are_told_of():
    with pytest.warns(ConvergenceWarning, match="only 2 of n_clusters=3 clusters hold a row"):
        model = KMeans(3, random_state=0).fit([[1.0], [1.0], [2.0], [2.0]])
    assert model.inertia_ == 0


def test_constant_columns_and_one_row_are_clusters_too():
    assert KMeans(1).fit([[3.0, 4.0]]).cluster_centers_.tolist() == [[3.0, 4.0]]
    X = np.column_stack([PAIRS, np.full(4, 7.0)])
    assert KMeans(2, random_state=0).fit(X).inertia_ == pytest.approx(4)


# --- chunks


def test_a_chunk_moves_the_centres_to_the_running_means_worked_by_hand():
    model = KMeans(2, init=[[0.0], [10.0]])
    model.partial_fit([[1.0], [3.0], [11.0]])
    assert model.cluster_centers_.tolist() == [[2.0], [11.0]]
    assert model.counts_.tolist() == [2, 1]
    model.partial_fit([[5.0], [13.0]])  # 2 + (5 - 2)/3, 11 + (13 - 11)/2
    assert model.cluster_centers_.tolist() == [[3.0], [12.0]]
    assert model.counts_.tolist() == [3, 2]
    assert model.n_iter_ == 2


def test_chunks_reach_the_inertia_of_the_whole_within_a_hundredth():
    X, _ = make_blobs(6000, 3, centers=5, random_state=0)
    model = KMeans(5, random_state=0)
    for chunk in np.array_split(X, 30):
        model.partial_fit(chunk)
    assert -model.score(X) == pytest.approx(KMeans(5, n_init=5, random_state=0).fit(X).inertia_, rel=0.01)


def test_chunks_go_on_from_a_fit():
    model = KMeans(2, random_state=0).fit(PAIRS)
    low = int(model.predict([[1.0, 2.0]])[0])
    model.partial_fit([[1.0, 5.0]])
    assert model.cluster_centers_[low] == pytest.approx([1.0, 3.0])  # the mean of 1, 3 and 5


def test_the_first_chunk_must_hold_a_row_for_each_cluster():
    with pytest.raises(UsageError, match=r"n_clusters must be at most n_samples=2, got 5"):
        KMeans(5).partial_fit([[1.0], [2.0]])


# --- in company


def test_the_same_seed_finds_the_same_clusters():
    X, _ = make_blobs(300, 2, centers=6, random_state=0)
    first, again = (KMeans(6, random_state=5).fit(X) for _ in range(2))
    assert first.cluster_centers_.tobytes() == again.cluster_centers_.tobytes()
    assert first.labels_.tobytes() == again.labels_.tobytes()


def test_it_serves_as_a_step_of_a_pipeline_and_in_a_search():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), KMeans(6, random_state=0), LogisticRegression())
    assert pipeline.fit(X, y).score(X, y) > 0.9
    search = GridSearchCV(KMeans(random_state=0), {"n_clusters": [1, 3]}).fit(X)
    assert search.best_params_ == {"n_clusters": 3}


def test_the_elbow_of_four_groups_is_at_four():
    X, _ = make_blobs(400, 2, centers=[[0, 0], [20, 0], [0, 20], [20, 20]], random_state=0)
    inertias = elbow(X, range(1, 8), random_state=0)
    assert inertias.shape == (7,)
    assert (np.diff(inertias) < 0).all()
    assert inertias[2] / inertias[3] > 5
    assert inertias[3] / inertias[4] < 1.5
    assert inertias[0] == pytest.approx(400 * X.var(axis=0).sum())


# --- palettes


def stripes():
    """A flag: 6 rows of red, 3 of white, 1 of blue, 20 wide."""
    image = np.zeros((10, 20, 3), np.uint8)
    image[:6], image[6:9], image[9] = [255, 0, 0], [255, 255, 255], [0, 0, 128]
    return image


def test_the_colours_of_a_flag_come_by_their_share():
    assert extract_palette(stripes(), 3, random_state=0) == ["#ff0000", "#ffffff", "#000080"]


def test_an_image_with_fewer_colours_gives_those_it_has():
    assert extract_palette(stripes(), 10, random_state=0) == ["#ff0000", "#ffffff", "#000080"]
    assert extract_palette(np.zeros((1, 1, 3), np.uint8)) == ["#000000"]


def test_near_colours_are_rounded_to_their_mean():
    image = np.array([[[10, 0, 0], [11, 0, 0], [11, 0, 0], [250, 250, 250]]], np.uint8)
    assert extract_palette(image, 2, random_state=0) == ["#0b0000", "#fafafa"]


def test_images_of_floats_with_opacity_and_gray_ones_are_read():
    as_floats = np.dstack([stripes() / 255, np.full((10, 20), 0.5)])
    assert extract_palette(as_floats, 3, random_state=0) == ["#ff0000", "#ffffff", "#000080"]
    gray = np.array([[0, 0, 0], [200, 200, 0]], np.uint8)
    assert extract_palette(gray, 2, random_state=0) == ["#000000", "#c8c8c8"]


def test_an_image_is_read_from_a_file(tmp_path):
    images = pytest.importorskip("PIL.Image")
    images.fromarray(stripes()).save(tmp_path / "flag.png")
    assert extract_palette(tmp_path / "flag.png", 3, random_state=0) == ["#ff0000", "#ffffff", "#000080"]
    with pytest.raises(UsageError, match=r"image must be a file that Pillow can read, got .*nothing\.png"):
        extract_palette(tmp_path / "nothing.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(UsageError, match="cannot identify"):
        extract_palette(str(tmp_path / "text.png"))


def test_without_pillow_a_file_is_refused_in_a_line_that_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(UsageError, match=r'an image file needs PIL, .*: pip install "rlbench\[viewer\]"'):
        extract_palette("flag.png")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 2), np.uint8), r"got \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"must be non-empty, .*, got \(0, 4, 3\)"),
        (np.zeros(3), r"got \(3,\)"),
        (np.full((2, 2, 3), 256), r"values from 0 to 255 \(int64\), got 256 to 256"),
        (np.full((2, 2, 3), -1), "got -1 to -1"),
        (np.full((2, 2, 3), 1.5), r"values from 0 to 1 \(float64\), got 1.5"),
        (np.full((2, 2, 3), np.nan), "got nan"),
        (np.full((2, 2, 3), "red"), "integers from 0 to 255 or floats"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(UsageError, match=message):
        extract_palette(image)


# --- bad input


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"n_clusters": 0}, "n_clusters must be a whole number >= 1, got 0"),
        ({"n_clusters": 5}, "n_clusters must be at most n_samples=4, got 5"),
        ({"n_clusters": 2.0}, "n_clusters must be a whole number"),
        ({"n_init": 0}, "n_init must be a whole number >= 1, got 0"),
        ({"max_iter": 0}, "max_iter must be a whole number >= 1"),
        ({"tol": -1}, "tol must be a number >= 0, got -1"),
        ({"init": [[1.0, 2.0]]}, r"init must have the shape \(2, 2\), got \(1, 2\)"),
    ],
)
def test_a_parameter_out_of_range_is_told(named, message):
    with pytest.raises(UsageError, match=message):
        KMeans(**{"n_clusters": 2, **named}).fit(PAIRS)


def test_an_unknown_start_is_told_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match=r"unknown init 'kmeans\+\+'; did you mean k-means\+\+"):
        KMeans(2, init="kmeans++").fit(PAIRS)
    with pytest.raises(UnknownNameError, match="unknown n_init 'many'; known: auto"):
        KMeans(2, n_init="many").fit(PAIRS)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[np.nan], [1.0]], "contains NaN"),
        ([[np.inf], [1.0]], "infinity"),
        (np.empty((0, 2)), "0 sample"),
        ([["a"], ["b"]], "could not convert"),
        ([1.0, 2.0], "Expected 2D array"),
    ],
)
def test_bad_data_raises_the_error_of_scikit_learn(X, message):
    with pytest.raises(ValueError, match=message):
        KMeans(1).fit(X)


def test_centres_given_must_be_finite_and_a_model_fitted():
    with pytest.raises(ValueError, match="init contains NaN"):
        KMeans(1, init=[[np.nan]]).fit([[1.0]])
    with pytest.raises(NotFittedError):
        KMeans(1).predict([[1.0]])
    with pytest.raises(ValueError, match="expecting 2 features"):
        KMeans(2).fit(PAIRS).predict([[1.0]])
