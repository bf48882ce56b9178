"""The values of --set and --env-set: text from a shell becomes numbers, words, lists, or stays text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.errors import UsageError
from rlbench.settings import parse_settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("60_000", 60_000),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e-3", 0.001),
        ("inf", math.inf),
        ("true", True),
        ("False", False),
        ("None", None),
        ("1__0", "1__0"),
        ("9" * 5000, "9" * 5000),
        ("8x8", "8x8"),
        ("0x5", "0x5"),
        ("2024-01-01", "2024-01-01"),
        ("[1, 2.5, true]", [1, 2.5, True]),
        ('["SF", "FG"]', ["SF", "FG"]),
        ("{a = 1}", {"a": 1}),
        ('"3"', "3"),
        ("'true'", "true"),
        ("[1, 2", "[1, 2"),
        ("|R: :G|", "|R: :G|"),
        ("a=b", "a=b"),
        ("", ""),
        ("1\nb = 2", "1\nb = 2"),
    ],
)
def test_a_value_is_read_as_what_it_looks_like(text, value):
    parsed = parse_settings([f"name={text}"], "--set")["name"]
    assert (parsed, type(parsed)) == (value, type(value))


def test_nan_is_read_as_a_number_for_the_library_to_refuse():
    assert math.isnan(parse_settings(["gamma=nan"], "--set")["gamma"])


def test_blanks_around_names_and_values_do_not_count():
    assert parse_settings([" a = 1 ", "b=x y"], "--set") == {"a": 1, "b": "x y"}


@pytest.mark.parametrize("setting", ["gamma", "=1", " = 1", ""])
def test_what_is_no_pair_is_refused_with_an_example(setting):
    with pytest.raises(UsageError, match=r"^--env-set takes K=V, such as gamma=0.9, got "):
        parse_settings([setting], "--env-set")


def test_a_name_given_twice_is_refused():
    with pytest.raises(UsageError, match=r"--set gamma=\.\.\. is given twice"):
        parse_settings(["gamma=1", "gamma=0"], "--set")


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.lists(st.integers())))
def test_what_python_prints_is_read_back(value):
    assert parse_settings([f"x={value}"], "--set") == {"x": value}


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    assert list(parse_settings([f"x={text}"], "--set")) == ["x"]
