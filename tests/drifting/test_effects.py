"""Effect sizes: numbers worked by hand, and what holds for all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import wasserstein_distance
from scipy.stats.contingency import association

from rlbench.drifting.comparing import counted, holm
from rlbench.drifting.effects import cramers_v, mean_square_contingency, psi, wasserstein

COUNTS = arrays(np.float64, 6, elements=st.integers(0, 50)).filter(lambda counts: counts.sum() >= 2)
POINTS = np.array([0.0, 1.0, 3.0, 4.0, 8.0, 9.0])


def rows_of(counts):
    return np.repeat(POINTS, counts.astype(int))


def test_the_wasserstein_distance_moves_half_of_the_rows_by_three():
    assert wasserstein(np.array([2.0, 2.0]), np.array([4.0, 0.0]), np.array([0.0, 3.0])) == pytest.approx(1.5)


def test_the_stability_index_is_that_of_shares_with_half_a_row_added():
    p, q = np.array([50.5, 30.5, 20.5]) / 101.5, np.array([30.5, 30.5, 40.5]) / 101.5
    by_hand = ((q - p) * np.log(q / p)).sum()
    assert by_hand == pytest.approx(0.2335, abs=1e-4)
    assert psi(np.array([50.0, 30.0, 20.0]), np.array([30.0, 30.0, 40.0])) == pytest.approx(by_hand)


def test_cramers_v_is_corrected_for_the_categories():
    # chi-square of 10 20 / 20 10 is 60 * 100 / 900 = 6.667: phi^2 = 1/9, less 1/59, over min(2 - 1/59, 2 - 1/59) - 1
    ours, theirs = np.array([10.0, 20.0]), np.array([20.0, 10.0])
    assert mean_square_contingency(ours, theirs) == pytest.approx(1 / 9)
    assert cramers_v(ours, theirs) == pytest.approx(np.sqrt((1 / 9 - 1 / 59) / (1 - 1 / 59)))
    assert cramers_v(np.array([5.0, 5.0]), np.array([5.0, 5.0])) == 0


@given(COUNTS, COUNTS)
def test_the_distances_are_those_of_scipy(ours, theirs):
    assert wasserstein(ours, theirs, POINTS) == pytest.approx(wasserstein_distance(rows_of(ours), rows_of(theirs)))
    seen = ours + theirs > 0
    if seen.sum() > 1:
        v = association(np.stack([ours, theirs])[:, seen].astype(int))
        assert np.sqrt(mean_square_contingency(ours, theirs)) == pytest.approx(v, abs=1e-7)


@given(COUNTS, COUNTS)
def test_effects_are_symmetric_and_never_negative(ours, theirs):
    for effect in (lambda a, b: wasserstein(a, b, POINTS), psi, cramers_v, mean_square_contingency):
        assert effect(ours, theirs) == pytest.approx(effect(theirs, ours), abs=1e-6)
        assert effect(ours, theirs) >= -1e-12
        assert effect(ours, ours) == pytest.approx(0, abs=1e-6)


def test_many_pairs_are_computed_at_once():
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(1, 9, (2, 7, 6)).astype(float)
    for effect in (lambda a, b: wasserstein(a, b, POINTS), psi, cramers_v, mean_square_contingency):
        assert effect(ours, theirs) == pytest.approx([float(effect(a, b)) for a, b in zip(ours, theirs, strict=True)])


def test_a_distance_in_bins_is_close_to_that_of_the_rows():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=4000), rng.normal(0.3, 1.5, 3000)
    found = counted(ours, theirs, (np.arange(4000) % 500, np.arange(3000) % 500))
    exact = wasserstein_distance(ours, theirs) / ours.std()
    assert found.effect(found.reference.sum(axis=0), found.data.sum(axis=0)) == pytest.approx(exact, rel=0.01)


def test_holm_multiplies_the_least_p_by_the_number_of_columns_and_never_decreases():
    assert holm(np.array([0.04, 0.01, 0.03, 0.9])) == pytest.approx([0.09, 0.04, 0.09, 0.9])
    assert holm(np.array([0.6, 0.7])).max() == 1
    assert len(holm(np.empty(0))) == 0
