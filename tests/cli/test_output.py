"""What is printed: JSON that every reader takes, tables that line up, frames with and without colours."""

import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlbench.cli import output
from rlbench.cli.output import print_frame, print_json, print_table, say, say_indented, say_title, show
from rlbench.texts import strict_json

TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda parts: st.one_of(st.lists(parts), st.dictionaries(st.text(), parts)),
    max_leaves=8,
)


@pytest.fixture
def terminal(monkeypatch):
    """Makes stdout a terminal of 40 columns and 10 lines, on which nobody waits."""
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr(output.shutil, "get_terminal_size", lambda: os.terminal_size((40, 10)))
    monkeypatch.setenv("COLUMNS", "40")


def _json_of(document, capsys):
    capsys.readouterr()
    print_json(document)
    out = capsys.readouterr().out
    assert out.endswith("}\n")
    assert out.count("\n") == 1
    return json.loads(out, parse_constant=pytest.fail)


def test_what_is_not_finite_is_null(capsys):
    document = {"a": math.nan, "b": [math.inf, (1.5, -math.inf)], "c": {"d": np.float64("nan")}}
    assert _json_of(document, capsys) == {"a": None, "b": [None, [1.5, None]], "c": {"d": None}}


def test_numpys_numbers_and_arrays_are_numbers_and_lists(capsys):
    document = {"n": np.int32(3), "x": np.float32(0.5), "b": np.True_, "a": np.array([[1.0, np.nan], [2.0, 3.0]])}
    assert _json_of(document, capsys) == {"n": 3, "x": 0.5, "b": True, "a": [[1.0, None], [2.0, 3.0]]}


@settings(max_examples=50)
@given(tree=st.dictionaries(st.text(), TREES))
def test_anything_plain_becomes_one_line_of_strict_json(tree):
    text = strict_json(tree)
    assert set(json.loads(text)) == set(tree)


def test_a_table_in_a_pipe_lines_up_and_ends_without_blanks(capsys):
    print_table(("run", "steps", "note"), [("a", "1,000", "x"), ("bcd", "2", "")], right=("steps",))
    assert capsys.readouterr().out == "run  steps  note\na    1,000  x\nbcd      2\n"


def test_a_table_in_a_pipe_is_never_cut(capsys):
    print_table(("a", "b"), [("x" * 500, "y" * 500)])
    assert "x" * 500 + "  " + "y" * 500 in capsys.readouterr().out


def test_a_narrow_terminal_leaves_out_columns_in_the_order_given(terminal, capsys):
    rows = [("r" * 15, "s" * 15, "t" * 15)]
    print_table(("run", "started", "steps"), rows, optional=("started", "steps"))
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "steps"]
    assert row.split() == ["r" * 15, "t" * 15]


def test_a_wide_enough_terminal_keeps_every_column(terminal, capsys):
    print_table(("run", "started"), [("r" * 10, "s" * 10)], optional=("started",))
    assert capsys.readouterr().out.split() == ["run", "started", "r" * 10, "s" * 10]


def test_a_table_wider_than_a_terminal_is_not_cut(terminal, capsys):
    rows = [("r" * 30, "s" * 30, "t" * 30)]
    print_table(("run", "started", "steps"), rows)
    assert capsys.readouterr().out.splitlines()[1].split() == list(rows[0])


def test_square_brackets_are_text_on_a_terminal(terminal, capsys):
    print_table(("[step] + '[/a]'",), [("[bold]x[/]",)])
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == ["[step] + '[/a]'", "[bold]x[/]"]


def test_frames_in_a_pipe_follow_one_another(capsys):
    show(["a\nb", "c"], delay=1000.0)  # nobody waits in a pipe
    assert capsys.readouterr().out == "a\nb\n\nc\n"


def test_frames_on_a_terminal_take_the_place_of_the_one_before(terminal, capsys):
    show(["a\nb", "c", "d"], delay=0.0)
    assert capsys.readouterr().out == "a\nb\n\x1b[2A\x1b[Jc\n\x1b[1A\x1b[Jd\n"


@pytest.mark.parametrize("large", ["\n".join("x" * 10), "x" * 41])
def test_frames_that_do_not_fit_follow_one_another_on_a_terminal_too(terminal, capsys, large):
    show([large, "c"], delay=0.0)
    assert capsys.readouterr().out == f"{large}\n\nc\n"


def test_colours_do_not_count_as_width(terminal, capsys):
    show(["\x1b[43mx\x1b[0m" * 40, "c"], delay=0.0)
    assert "\x1b[1A\x1b[Jc" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("environment", "on_terminal", "on_dumb", "in_pipe"),
    [
        ({}, True, False, False),
        ({"NO_COLOR": "1"}, False, False, False),
        ({"FORCE_COLOR": "1"}, True, True, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False, False),
    ],
)
def test_colours_are_for_terminals_and_for_those_who_ask(
    environment, on_terminal, on_dumb, in_pipe, monkeypatch, capsys
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def has_colours(*, is_tty, term):
        monkeypatch.setattr("sys.stdout.isatty", lambda: is_tty)
        monkeypatch.setenv("TERM", term)
        print_frame("|\x1b[43m \x1b[0m|")
        say_title("safecab")
        shown = capsys.readouterr().out
        assert shown in ("|\x1b[43m \x1b[0m|\n\x1b[1msafecab\x1b[0m\n", "|@|\nsafecab\n")
        return "\x1b" in shown

    assert has_colours(is_tty=True, term="xterm") is on_terminal
    assert has_colours(is_tty=True, term="dumb") is on_dumb
    assert has_colours(is_tty=False, term="xterm") is in_pipe


@pytest.mark.parametrize(
    ("frame", "shown"),
    [
        ("|\x1b[43m \x1b[0m: |", "|@: |"),  # a taxi
        ("|\x1b[42m\x1b[35;1mR\x1b[0m\x1b[0m:\x1b[31mA\x1b[0m|", "|@:A|"),  # a taxi at its destination
        ("\x1b[41mS\x1b[0mFFF", "@FFF"),  # FrozenLake
        ("|\x1b[34;1mR\x1b[0m|", "|R|"),  # a passenger, on no ground
    ],
)
def test_without_colours_the_agent_is_an_at_sign(frame, shown, capsys, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    print_frame(frame)
    assert capsys.readouterr().out == shown + "\n"


def test_a_dumb_terminal_cannot_be_drawn_over(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert not output.is_terminal()
    monkeypatch.setenv("TERM", "xterm")
    assert output.is_terminal()


def test_control_characters_are_written_out_wherever_they_come_from(capsys):
    say("run \x1b]0;owned\x07:\nsecond\u202e line")
    print_table(("tag",), [["\x9b2J"]])
    assert capsys.readouterr().out == "run \\x1b]0;owned\\x07:\nsecond\\u202e line\ntag\n\\x9b2J\n"


def test_paragraphs_are_wrapped_on_a_terminal_only(capsys, monkeypatch):
    text = "word " * 20 + "\n\nend"
    say_indented(text)
    assert capsys.readouterr().out == f"  {text.replace(' ' + chr(10), chr(10), 1)[:-4].rstrip()}\n\n  end\n"
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr(output.shutil, "get_terminal_size", lambda: os.terminal_size((40, 10)))
    say_indented(text)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 40
