"""`rlbench store migrate`: what it says of each run, in text and in JSON."""

import re
import sqlite3
import sys

import earlier
import pytest

TOTAL = re.compile(r"rlbench\.db: (\d+) of 6 chunks migrated \(([\d,]+) bytes before, ([\d,]+) now\)\n")


@pytest.fixture(autouse=True)
def _earlier(tmp_path):
    """A store that the earlier version made, as the one of the working folder."""
    earlier.given("SQLite", tmp_path).rename(tmp_path / "rlbench.db")


def totals(outcome):
    assert (outcome.code, outcome.err) == (0, "")
    return [int(number.replace(",", "")) for number in TOTAL.search(outcome.out).groups()]


def test_it_says_what_became_of_each_run_and_goes_on_with_nothing_the_second_time(rlbench):
    first = rlbench("store", "migrate")
    assert len(re.findall(r"^run [0-9a-f]{12}: 1 of 1 chunks migrated ", first.out, re.MULTILINE)) == 5
    assert "\n  steps of 1 stay as they are: their env has no table of transitions, or too large a one\n" in first.out
    migrated, before, now = totals(first)
    assert migrated == 5
    assert now < before
    second = rlbench("store", "migrate")
    assert totals(second) == [0, now, now]
    assert second.out.count("\nrun ") + second.out.startswith("run ") == 1  # of the one that stays, not of the others
    assert rlbench("store", "check").code == 0
    compacted = rlbench("store", "compact", "--json").document
    assert compacted["bytes"] < compacted["bytes_before"]
    assert "all as stored" in rlbench("verify", "latest").out


def test_as_json_it_says_the_same(rlbench):
    found = rlbench("store", "migrate", "--json").document
    assert (found["store"], found["chunks"], found["migrated"]) == ("rlbench.db", 6, 5)
    assert sum(found["left"].values()) == 1
    for name in ("chunks", "migrated", "bytes_before", "bytes_after"):
        assert found[name] == sum(run[name] for run in found["runs"])


def test_what_is_damaged_is_named_and_the_rest_migrated(rlbench, tmp_path):
    with sqlite3.connect(tmp_path / "rlbench.db") as connection:
        connection.execute("UPDATE chunks SET steps_blob = zeroblob(40) WHERE rowid = (SELECT max(rowid) FROM chunks)")
    outcome = rlbench("store", "migrate", "--json")
    assert outcome.code == 1
    assert re.fullmatch(r"run [0-9a-f]{12}, chunk [01], steps is damaged: .*: it stays as it is\n", outcome.err)
    assert [bool(run["problem"]) for run in outcome.document["runs"]].count(True) == 1
    assert outcome.document["migrated"] >= 4


def test_on_a_terminal_it_shows_how_far_it_has_come(rlbench, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("rlbench.cli.store.click.echo", lambda text="", **options: shown.append((text, options)))
    rlbench("store", "migrate", "--json")
    assert not [text for text, _ in shown if "\r" in text]
    shown.clear()
    rlbench("store", "migrate")
    bars = [(text, options) for text, options in shown if "\r" in text]
    assert len(bars) == 7  # two runs share a chunk
    assert all(
        options["err"] and re.match(r"\rrun [0-9a-f]{12}, chunks: [ \d]{3}% of [12]", text) for text, options in bars
    )
