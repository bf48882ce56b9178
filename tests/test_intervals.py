"""The statistics of a few runs, worked by hand and against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlbench.intervals import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    mean_band,
    mean_interval,
    probability_of_improvement,
)

SAMPLES = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6))


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end():
    assert interquartile_mean([100, 1, 2, 3, 4, 5, 6, -100]) == 3.5  # of 2, 3, 4, 5
    assert interquartile_mean([1, 2, 3]) == 2.0  # floor(3 / 4) = 0
    assert interquartile_mean([7]) == 7.0
    assert interquartile_mean([[4, 0, 1, 3], [0, 0, 9, 9]]).tolist() == [2.0, 4.5]


@given(SAMPLES)
def test_the_interquartile_mean_is_scipys_trimmed_mean(sample):
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with the extra plots")
    assert interquartile_mean(sample) == pytest.approx(stats.trim_mean(sample, 0.25), rel=1e-9, abs=1e-6)


def test_the_probability_of_improvement_counts_pairs_and_half_the_equals():
    assert probability_of_improvement([3, 4], [1, 2]) == 1.0
    assert probability_of_improvement([1, 2], [3, 4]) == 0.0
    assert probability_of_improvement([1, 2, 3], [2]) == 0.5  # below, equal, above
    assert probability_of_improvement([5, 5], [5, 1, 9, 9]) == 0.375  # (0.5 + 1) / 4


@given(SAMPLES, SAMPLES)
def test_the_two_probabilities_of_a_pair_add_up_to_one(x, y):
    assert probability_of_improvement(x, y) + probability_of_improvement(y, x) == pytest.approx(1.0)
    assert probability_of_improvement(x, x) == pytest.approx(0.5)


def test_a_bootstrap_interval_of_a_mean_is_near_that_of_the_normal_distribution():
    sample = np.random.default_rng(0).normal(10, 2, size=400)
    low, high = bootstrap_interval(sample, lambda resamples: resamples.mean(axis=-1), seed=1)
    half = 1.96 * sample.std() / np.sqrt(len(sample))
    assert (low, high) == (
        pytest.approx(sample.mean() - half, abs=0.03),
        pytest.approx(sample.mean() + half, abs=0.03),
    )


def test_the_same_seed_gives_the_same_interval_and_no_global_generator_is_used():
    sample = np.random.default_rng(0).normal(size=50)
    state = np.random.get_state()[1].copy()  # noqa: NPY002  (that it is left alone is what is tested)
    first = bootstrap_interval(sample, seed=3), improvement_interval(sample, sample + 0.1, seed=3, resamples=200)
    again = bootstrap_interval(sample, seed=3), improvement_interval(sample, sample + 0.1, seed=3, resamples=200)
    assert first == again
    assert bootstrap_interval(sample, seed=4) != first[0]
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_large_sample_is_resampled_a_part_at_a_time_with_the_same_result(monkeypatch):
    sample = np.random.default_rng(0).normal(size=100)
    whole = bootstrap_interval(sample, seed=5, resamples=300)
    monkeypatch.setattr("rlbench.intervals.AT_ONCE", 1000)
    assert bootstrap_interval(sample, seed=5, resamples=300) == whole


def test_the_interval_of_a_sample_worked_by_hand():
    assert mean_interval(np.full(10, 3.5), seed=0) == (3.5, 3.5)
    # of n draws from {0, 1} the mean is normal about 1/2 with the deviation 1/(2 sqrt(n))
    low, high = mean_interval(np.arange(1000.0) % 2, seed=0)
    assert low == pytest.approx(0.5 - 1.96 / 2 / np.sqrt(1000), abs=0.003)
    assert high == pytest.approx(0.5 + 1.96 / 2 / np.sqrt(1000), abs=0.003)
    assert mean_interval(np.arange(9.0), seed=1) == mean_interval(np.arange(9.0), seed=1)


def test_an_interval_of_95_percent_holds_the_mean_in_about_95_of_100_samples():
    dice = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        low, high = mean_interval(dice.normal(size=60), seed)
        held += low <= 0 <= high
    assert 0.88 < held / 200 < 0.99


@pytest.mark.parametrize("size", [1, 2, 9, 100, 129, 1025])
def test_the_interval_of_a_mean_is_that_of_resamples_drawn_one_by_one(size):
    sample = np.random.default_rng(size).normal(size=size)
    rng = np.random.default_rng(np.random.SeedSequence(7).spawn(1)[0])
    means = [sample[rng.integers(size, size=size)].mean() for _ in range(2000)]
    assert mean_interval(sample, seed=7) == tuple(np.quantile(means, [0.025, 0.975]))


@given(SAMPLES)
def test_an_interval_lies_within_the_sample(sample):
    low, high = bootstrap_interval(sample, resamples=50)
    rounding = 1e-9 * (1 + np.abs(sample).max())
    assert sample.min() - rounding <= low <= high <= sample.max() + rounding


def test_the_band_of_many_runs_is_drawn_a_part_at_a_time_with_the_same_result(monkeypatch):
    series = np.random.default_rng(0).normal(size=(30, 4))
    whole = mean_band(series, resamples=100)
    monkeypatch.setattr("rlbench.intervals.AT_ONCE", 200)
    assert np.array_equal(mean_band(series, resamples=100), whole)


def test_the_band_of_a_mean_is_wide_where_runs_differ_and_nothing_where_they_agree():
    low, high = mean_band([[0.0, 1.0], [0.0, 2.0], [0.0, 6.0]])
    assert (low[0], high[0]) == (0.0, 0.0)
    assert (low[1], high[1]) == (1.0, 6.0)  # all three draws the smallest, or the largest: 1/27 each, above 2.5 %


def test_an_improvement_is_resampled_value_by_value():
    rng, x, y = np.random.default_rng(5), np.array([1.0, 2.0, 2.0, 7.0]), np.array([2.0, 1.5, 7.0])
    drawn = [probability_of_improvement(rng.choice(x, 4), rng.choice(y, 3)) for _ in range(50)]
    assert improvement_interval(x, y, seed=5, resamples=50) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
