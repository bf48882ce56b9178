"""The checks of arguments that many rooms share."""

import numpy as np
import pytest

from rlbench.checks import whole_number
from rlbench.errors import UsageError


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(7), 2**70])
def test_a_whole_number_comes_back_as_an_int(value):
    found = whole_number("episodes", value)
    assert type(found) is int
    assert found == value


@pytest.mark.parametrize("value", [0, -3, True, np.True_, 1.0, np.float64(2), "1", None, float("nan"), [1]])
def test_what_is_none_is_refused_in_one_line(value):
    with pytest.raises(UsageError) as refused:
        whole_number("episodes", value)
    assert str(refused.value) == f"episodes must be a whole number, 1 or more, got {value!r}"


def test_a_range_has_both_ends_in_it():
    assert [whole_number("depth", value, least=0, most=2000) for value in (0, 2000)] == [0, 2000]
    for value in (-1, 2001):
        with pytest.raises(UsageError, match=f"depth must be a whole number from 0 to 2,000, got {value}"):
            whole_number("depth", value, least=0, most=2000)
