"""Columns compared: who has drifted, how sure that is, and how often it is wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.drifting.comparing import BLOCKS, CATEGORIES, _effect, _p_values, _weights, blocks_of, compare, counted
from rlbench.drifting.samples import Sample, numbered, rows_sample
from rlbench.errors import UsageError

DECIDED = {"alpha": 0.05, "least_effect": 0.1, "seed": 0}


def normal(n, seed, shift=0.0, names="ab"):
    rows = np.random.default_rng(seed).normal(size=(n, len(names)))
    rows[:, 0] += shift
    return rows_sample("rows", tuple(names), rows)


def test_a_shifted_column_has_drifted_and_the_other_has_not():
    a, b = compare(normal(400, 0), normal(300, 1, shift=0.5), **DECIDED)
    assert (a.drifted, b.drifted) == (True, False)
    assert a.measure == "Wasserstein"
    assert a.interval[0] < 0.5 < a.interval[1]
    assert (a.p, a.p_holm) == (0.001, 0.002)
    assert b.p > 0.05


def test_a_category_that_became_frequent_has_drifted():
    rng = np.random.default_rng(0)
    ours, theirs = rng.choice(["red", "green"], 300), rng.choice(["red", "green"], 300, p=[0.8, 0.2])
    units = np.arange(300)
    [found] = compare(Sample("a", {"c": ours}, units), Sample("b", {"c": theirs}, units), **DECIDED)
    assert (found.measure, found.drifted) == ("Cramer's V", True)
    assert found.interval[0] < found.effect < found.interval[1]


def test_an_effect_too_small_to_matter_is_no_drift_however_sure():
    [found, _] = compare(normal(30_000, 0), normal(30_000, 1, shift=0.05), **DECIDED)
    assert found.p == 0.001
    assert not found.drifted


def test_the_same_seed_gives_the_same_figures():
    assert compare(normal(50, 0), normal(40, 1), **DECIDED) == compare(normal(50, 0), normal(40, 1), **DECIDED)


@settings(max_examples=15)
@given(st.integers(0, 2**20), st.integers(2, 60), st.integers(2, 60), st.sampled_from(["f", "i"]))
def test_intervals_hold_the_effect_and_p_is_a_probability(seed, n, m, kind):
    rng = np.random.default_rng(seed)
    draw = rng.normal if kind == "f" else lambda size: rng.integers(0, 4, size)
    ours, theirs = (Sample("x", {"c": draw(size=k)}, np.arange(k)) for k in (n, m))
    [found] = compare(ours, theirs, **DECIDED)
    assert 0 <= found.interval[0] <= found.effect <= found.interval[1]
    assert 0 < found.p <= found.p_holm <= 1


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_column_that_was_constant_drifts_if_it_is_no_longer(value):
    units = np.arange(60)
    ours = Sample("a", {"c": np.full(60, value)}, units)
    [same] = compare(ours, ours, **DECIDED)
    assert (same.effect, same.p, same.drifted) == (0, 1, False)
    [other] = compare(ours, Sample("b", {"c": value + (units % 2)}, units), **DECIDED)
    assert other.drifted


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_numbers_whose_squares_are_none_are_compared_by_value(unit):
    rows = np.repeat([[0.0], [unit]], 30, axis=0)
    [same] = compare(rows_sample("a", "c", rows), rows_sample("b", "c", rows), **DECIDED)
    [other] = compare(rows_sample("a", "c", rows), rows_sample("b", "c", rows[:40]), **DECIDED)
    assert (same.effect, same.drifted) == (0, False)
    assert (other.measure, other.psi > 0) == ("Cramer's V", True)


def test_p_values_are_right_for_episodes_whose_rows_depend_on_each_other():
    """5 % of 100 undrifted pairs; 99.9 % limits of a binomial: 0 to 13; rows permuted one by one would make it 75."""
    rng, small = np.random.default_rng(0), 0
    for _ in range(100):
        levels = np.repeat(rng.normal(size=80), 20)
        rows = levels + 0.1 * rng.normal(size=1600)
        blocks = np.repeat(np.arange(40), 20)
        column = counted(rows[:800], rows[800:], (blocks, blocks))
        small += _p_values([column], 0.5, np.random.default_rng(1))[0] <= 0.05
    assert 1 <= small <= 13


def test_an_interval_covers_the_shift():
    """95 % of 60 intervals around a true shift of half a deviation: 99.9 % limits of a binomial: 51 to 60."""
    covered = 0
    rng, blocks = np.random.default_rng(0), (np.arange(150), np.arange(150))
    for _ in range(60):
        column = counted(rng.normal(size=150), rng.normal(0.5, size=150), blocks)
        _, (low, high), _ = _effect(column, _weights(column, rng))
        covered += low <= 0.5 <= high
    assert covered >= 51


def test_memory_is_bounded_by_blocks_bins_and_categories():
    rng = np.random.default_rng(0)
    ours, theirs = (Sample("x", {"c": rng.integers(0, 5000, 20_000)}, np.arange(20_000)) for _ in range(2))
    column = counted(ours.columns["c"], theirs.columns["c"], (blocks_of(ours), blocks_of(theirs)))
    assert column.reference.shape == (BLOCKS, CATEGORIES)
    assert column.data.sum() == 20_000


def test_columns_must_be_there_and_of_the_same_kind():
    ours = normal(9, 0)
    with pytest.raises(UsageError, match="rows must have the column 'a', as rows; it has x"):
        compare(ours, normal(9, 0, names="x"), **DECIDED)
    words = Sample("words", {"a": np.array(["w"] * 9), "b": np.zeros(9)}, np.arange(9))
    with pytest.raises(UsageError, match="words: column 'a' must hold numbers, as rows does"):
        compare(ours, words, **DECIDED)


def test_a_unit_is_a_stretch_of_equal_values():
    assert numbered(np.array([7, 7, 3, 7, 7])).tolist() == [0, 0, 1, 2, 2]
