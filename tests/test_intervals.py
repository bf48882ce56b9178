"""The statistics of a few runs, worked by hand and against SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rlbench.intervals import (
    bootstrap_interval,
    improvement_interval,
    interquartile_interval,
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


@pytest.mark.parametrize("draw", ["normal", "exponential"])
@pytest.mark.parametrize(
    ("interval", "size"),
    [(mean_interval, 5), (mean_interval, 60), (interquartile_interval, 4), (interquartile_interval, 5)],
)
def test_an_interval_of_95_percent_holds_the_truth_in_about_95_of_100_samples(interval, size, draw):
    dice = np.random.default_rng(0)
    everything = np.sort(getattr(dice, draw)(size=400_000))
    truth = everything.mean() if interval is mean_interval else everything[100_000:300_000].mean()
    samples = getattr(dice, draw)(size=(300, size))
    ends = np.array([interval(sample, seed=seed, resamples=500) for seed, sample in enumerate(samples)])
    held = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert 0.90 < held < 0.99  # the percentile bootstrap of a mean of five: 0.78 to 0.85


@pytest.mark.parametrize("size", [9, 100, 129, 1025])
def test_the_interval_of_a_mean_is_that_of_resamples_drawn_one_by_one(size):
    sample = np.random.default_rng(size).normal(size=size)
    rng = np.random.default_rng(np.random.SeedSequence(7).spawn(1)[0])
    middle, error = sample.mean(), sample.std(ddof=1) / np.sqrt(size)
    drawn = [sample[rng.integers(size, size=size)] for _ in range(2000)]
    ratios = [(one.mean() - middle) / (one.std(ddof=1) / np.sqrt(size)) for one in drawn]
    high, low = np.quantile(ratios, [(1 + 0.95) / 2, (1 - 0.95) / 2], method="inverted_cdf")
    assert mean_interval(sample, seed=7) == pytest.approx((middle - high * error, middle - low * error))


def test_where_resamples_repeat_one_value_the_interval_is_students():
    stats = pytest.importorskip("scipy.stats", reason="SciPy comes with the extra plots")
    for sample in ([1.0, 2.0], [1.0, 2.0, 6.0], [0.0, 1.0, 1.0, 1.0, 1.0]):
        middle, error = np.mean(sample), np.std(sample, ddof=1) / np.sqrt(len(sample))
        assert mean_interval(sample) == pytest.approx(stats.t.interval(0.95, len(sample) - 1, middle, error), rel=1e-4)
    few = [1.0, 2.0, 4.0, 9.0]
    expected = stats.t.interval(0.95, 3, 3.0, np.std(few, ddof=1) / 2)  # around the mean of 2 and 4
    assert interquartile_interval(few) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("interval", [mean_interval, interquartile_interval])
@pytest.mark.parametrize("sample", [[0.1], [0.1] * 3, [1e9 / 3] * 7])
def test_the_interval_of_one_value_is_that_value(interval, sample):
    assert interval(sample) == (pytest.approx(sample[0]), pytest.approx(sample[0]))
    assert np.ptp(interval(sample)) <= 1e-14 * abs(sample[0])


def test_a_few_extreme_values_do_not_stretch_an_interval_without_end():
    """Three disasters among a hundred: resamples without one have next to no spread."""
    sample = np.random.default_rng(0).normal(989, 1, size=100)
    sample[:3] -= 1400
    low, high = mean_interval(sample)
    student = 1.984 * sample.std(ddof=1) / 10
    assert low == pytest.approx(sample.mean() - 2 * student, rel=1e-3)
    assert sample.mean() < high < sample.max()


def test_an_interval_is_longer_towards_the_longer_tail():
    sample = np.random.default_rng(0).exponential(size=20)
    low, high = mean_interval(sample)
    assert high - sample.mean() > 1.3 * (sample.mean() - low)


@given(
    hnp.arrays(np.float64, st.integers(2, 12), elements=st.floats(-1e6, 1e6)), st.floats(-100, 100), st.floats(0.1, 10)
)
def test_an_interval_moves_and_grows_with_its_sample(sample, shift, scale):
    for interval in (mean_interval, interquartile_interval):
        low, high = interval(sample, seed=1, resamples=50)
        moved = interval(shift + scale * sample, seed=1, resamples=50)
        assert low <= high
        size = 1 + np.abs(sample).max() + np.ptp([low, high])
        assert moved == pytest.approx((shift + scale * low, shift + scale * high), abs=1e-4 * scale * size + 1e-6)


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
