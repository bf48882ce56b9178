"""The alarm: within its budget without drift, soon with drift, and the same however rows are batched."""

import tracemalloc
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.drifting import Monitor, Sample, rows_sample
from rlbench.errors import UsageError

NAMES = ("a", "b", "c")


def normal(n, seed):
    return np.random.default_rng(seed).normal(size=(n, 3))


@pytest.fixture(scope="module")
def reference():
    return rows_sample("reference", NAMES, normal(1000, 0))


@pytest.fixture(scope="module")
def calibrated(reference):
    return Monitor(reference, rows_per_alarm=20_000)


@pytest.fixture
def monitor(calibrated):
    return deepcopy(calibrated)


def test_the_budget_of_false_alarms_is_kept():
    """12 streams of 40,000 rows, budget one in 10,000: 48 are due; 99.9 % limits of a Poisson number, twice as wide
    because the alarms of a stream share its reference."""
    alarms = 0
    for seed in range(12):
        monitor = Monitor(rows_sample("reference", NAMES, normal(1000, seed)), rows_per_alarm=10_000, seed=seed)
        alarms += monitor.observe(normal(40_000, 1000 + seed)).alarms
    assert 8 <= alarms <= 100


def test_the_budget_is_kept_for_episodes_whose_rows_depend_on_each_other():
    rng, alarms = np.random.default_rng(0), 0

    def episodes(n):
        return np.repeat(rng.normal(size=n), 20) + 0.1 * rng.normal(size=20 * n), np.repeat(np.arange(n), 20)

    for seed in range(10):
        rows, units = episodes(300)
        monitor = Monitor(Sample("reference", {"a": rows}, units), rows_per_alarm=10_000, seed=seed)
        alarms += monitor.observe(episodes(1500)[0]).alarms
    assert 6 <= alarms <= 75  # 30 are due


def test_a_shift_of_half_a_deviation_raises_an_alarm_in_the_first_window_that_names_its_column():
    monitor = Monitor(rows_sample("reference", NAMES, normal(2000, 0)))
    assert monitor.observe(normal(5000, 1)).alarms == 0
    state = monitor.observe(normal(monitor.window, 2) + np.array([0, 0.5, 0]))
    assert (state.is_alarm, state.columns) == (True, ("b",))
    assert state.score > state.threshold


@settings(max_examples=20)
@given(st.lists(st.integers(0, 900), max_size=8))
def test_the_state_depends_on_the_rows_and_not_on_their_batches(calibrated, cuts):
    rows = normal(2200, 5) + np.array([0.3, 0, 0])
    whole, by_batch = deepcopy(calibrated), deepcopy(calibrated)
    whole.observe(rows)
    for batch in np.split(rows, np.minimum(np.cumsum(cuts), len(rows)).astype(int)):
        by_batch.observe(batch)
    assert whole.state == by_batch.state
    assert whole.state.rows == 2200


def test_rows_one_by_one_are_rows_too(monitor):
    for row in normal(7, 0):
        state = monitor.observe(row[None])
    assert (state.rows, state.windows, state.is_alarm) == (7, 0, False)


def test_fewer_false_alarms_need_a_higher_threshold(reference, monitor):
    assert Monitor(reference, rows_per_alarm=2_000_000).state.threshold > monitor.state.threshold


def test_the_memory_of_a_calibration_does_not_grow_with_the_reference():
    """Each of 1,000 references drawn from 60,000 units would be as many numbers: 480 MB."""
    rows = np.random.default_rng(0).normal(size=(60_000, 1))
    tracemalloc.start()
    try:
        large = Monitor(rows_sample("reference", ("a",), rows)).state.threshold
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert large == pytest.approx(Monitor(rows_sample("reference", ("a",), rows[:2000])).state.threshold, rel=0.25)


def test_states_never_seen_raise_an_alarm():
    states = np.random.default_rng(0).integers(0, 5, 2000)
    monitor = Monitor(rows_sample("reference", ("observation",), states))
    assert not monitor.observe(states[: monitor.window]).is_alarm
    assert monitor.observe(np.full(monitor.window, 77)).columns == ("observation",)


def test_states_each_of_which_is_rare_are_told_apart():
    rng = np.random.default_rng(0)
    monitor = Monitor(rows_sample("reference", ("observation",), rng.integers(0, 500, 4000)))
    assert not monitor.observe(rng.integers(0, 500, monitor.window)).is_alarm
    assert monitor.observe(rng.integers(0, 250, monitor.window)).is_alarm


def test_a_constant_column_is_quiet_until_it_changes():
    monitor = Monitor(rows_sample("reference", ("a",), np.ones((200, 1))))
    assert not monitor.observe(np.ones((500, 1))).alarms
    assert monitor.observe(np.full((200, 1), 2.0)).is_alarm


def test_words_and_numbers_together():
    rng = np.random.default_rng(0)
    columns = {"n": rng.normal(size=400), "w": rng.choice(["x", "y"], 400)}
    monitor = Monitor(Sample("reference", columns, np.arange(400)))
    rows = np.empty((monitor.window, 2), object)
    rows[:, 0], rows[:, 1] = rng.normal(size=monitor.window), "a longer word"
    assert monitor.observe(rows).columns == ("w",)


def test_rows_that_do_not_fit_are_refused_in_a_line(reference, monitor):
    with pytest.raises(UsageError, match=r"rows must be \(n, 3\), got the shape \(4, 2\)"):
        monitor.observe(np.zeros((4, 2)))
    with pytest.raises(UsageError, match="finite numbers"):
        monitor.observe(np.full((4, 3), np.nan))
    with pytest.raises(UsageError, match="rows_per_alarm must be a whole number, 500 or more, got 3"):
        Monitor(reference, rows_per_alarm=3)
    assert monitor.state.rows == 0
