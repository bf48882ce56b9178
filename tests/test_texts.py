"""Texts from elsewhere: control characters are found and escaped, and cells come back unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlbench.texts import FORMULA, escaped, from_cell, has_controls, to_cell


@pytest.mark.parametrize(
    ("letter", "written"),
    [
        ("\x1b", r"\x1b"),
        ("\n", r"\n"),
        ("\x7f", r"\x7f"),
        ("\x9b", r"\x9b"),
        ("\u202e", r"\u202e"),
        ("\ud800", r"\ud800"),
    ],
)
def test_control_characters_are_found_and_written_out(letter, written):
    assert has_controls(f"a{letter}b")
    assert escaped(f"a{letter}b") == f"a{written}b"


def test_letters_of_any_language_and_joined_emoji_are_left_alone():
    for text in ("", "FrozenLake-v1", "Grüße 你好 עברית", "👩\u200d🚀", r"C:\x1b"):
        assert not has_controls(text)
        assert escaped(text) == text


@given(st.text(max_size=20))
def test_an_escaped_text_holds_no_control_characters(text):
    assert not has_controls(escaped(text))


@given(st.text(max_size=10) | st.text("=+-@\t\r'a,", max_size=4))
def test_a_cell_begins_no_formula_and_gives_the_text_back(text):
    assert not to_cell(text).startswith(FORMULA)
    assert from_cell(to_cell(text)) == text
