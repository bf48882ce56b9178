"""What a study varies: lists and ranges of values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import UsageError
from rlbench.studies.axes import axes_of, parse_over


@pytest.mark.parametrize(
    ("text", "values", "is_log"),
    [
        ("0.1,0.5", (0.1, 0.5), False),
        ("first, random", ("first", "random"), False),
        ("true,false,None", (True, False, None), False),
        ("0.1..1:10", tuple(n / 10 for n in range(1, 11)), False),
        ("1..4:4", (1, 2, 3, 4), False),
        ("1.0..4:4", (1.0, 2.0, 3.0, 4.0), False),
        ("0..1:3", (0.0, 0.5, 1.0), False),
        ("-2..-1:2", (-2, -1), False),
        ("0.001..1:4:log", (0.001, 0.01, 0.1, 1.0), True),
        ("0.01234567..1:3:log", (0.01234567, 0.111111, 1.0), True),
        ("1..16:5:log", (1, 2, 4, 8, 16), True),
    ],
)
def test_lists_and_ranges_are_read(text, values, is_log):
    [axis] = axes_of({"x": text})
    assert (axis.values, axis.is_log) == (values, is_log)
    assert list(map(type, axis.values)) == list(map(type, values))


def test_values_may_be_given_as_such():
    [one, other] = axes_of({"x": [0.5, 1], "y": np.array([1, 2])})
    assert one == ("x", (0.5, 1), False)
    assert (other.values, type(other.values[0])) == ((1, 2), int)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("1..0.1:4", "a range goes from the lower end to the higher, got x=1..0.1:4"),
        ("1..1:4", "a range goes from the lower end to the higher"),
        ("0..1:4:log", "a range on a logarithmic scale begins above 0, got x=0..1:4:log"),
        ("-1..1:4:log", "begins above 0"),
        ("0..1:0", "a range has 2 to 100,000 values, got 0 of x="),
        ("0..1:1", "a range has 2 to 100,000 values, got 1"),
        ("0..1:999999999", "a range has 2 to 100,000 values, got 999,999,999"),
        ("0..1", r"x takes values a,b,c, or a range lo..hi:n or lo..hi:n:log, such as 0.1..1:10, got '0..1'"),
        ("a..b:3", "got 'a..b:3'"),
        ("0..inf:3", "got '0..inf:3'"),
        ("0..1:3:lin", "got '0..1:3:lin'"),
        (",", "x has no values: give one at least"),
        ([], "x has no values"),
        ("0.1,0.2,0.1", "the values of x must be different, got 0.1 twice"),
        ("1,0.5,1.0", "the values of x must be different, got 1.0 twice"),
        ([10**400], "x takes finite numbers"),
        ([math.nan], "x takes finite numbers, words and lists of them, got nan"),
        ([object], "x takes finite numbers"),
        (range(100_001), "x takes at most 100,000 values, got 100,001"),
    ],
)
def test_a_mistake_is_refused_in_a_line(asked, message):
    with pytest.raises(UsageError, match=message):
        axes_of({"x": asked})


@pytest.mark.parametrize("over", [{}, "x=1", None])
def test_something_must_be_varied(over):
    with pytest.raises(UsageError, match="a sweep goes over parameters and their values"):
        axes_of(over)


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 50), st.booleans())
def test_a_range_has_its_ends_and_rises_evenly(one, other, count, is_log):
    low, high = sorted((float(f"{one:.6g}"), float(f"{other:.6g}")))
    if high < 1.1 * low:
        return
    [axis] = axes_of({"x": f"{low}..{high}:{count}" + (":log" if is_log else "")})
    assert (axis.values[0], axis.values[-1], len(axis.values)) == (low, high, count)
    steps = np.diff(np.log(axis.values) if is_log else axis.values)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-2)


def test_pairs_are_read_and_mistakes_in_them_told():
    assert parse_over(["a=1,2", "env.b = x"]) == {"a": "1,2", "env.b": "x"}
    for wrong in ("a", "a=", "=1"):
        with pytest.raises(UsageError, match="--over takes NAME=VALUES, with values a,b,c, or a range"):
            parse_over([wrong])
    with pytest.raises(UsageError, match=r"--over a=\.\.\. is given twice"):
        parse_over(["a=1", "a=2"])
