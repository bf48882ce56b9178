import re

import hypothesis.strategies as st
import numpy as np
import pytest
from contracts.cities import calls_of, cities, memory_of
from hypothesis import given, settings

from rlbench.envs.cities import MAX_STATES, PRESETS, generate_city, make_city, parse_city
from rlbench.errors import UsageError

BOOK = """\
+---------+
|R: :A: :G|
| : : : : |
| :A:A: : |
| : : : : |
|Y: :A:B: |
+---------+"""


def reached(city, start):
    """The squares that can be driven to from one, past no anomaly: a search that shares nothing with the generator."""
    anomalies, walls = set(city.anomalies), set(city.walls)
    seen, todo = {start}, [start]
    while todo:
        r, c = todo.pop()
        near = [(r + 1, c), (r - 1, c)]
        near += [(r, c + 1)] * ((r, c) not in walls) + [(r, c - 1)] * ((r, c - 1) not in walls)
        for at in near:
            if 0 <= at[0] < city.rows and 0 <= at[1] < city.cols and at not in seen and at not in anomalies:
                seen.add(at)
                todo.append(at)
    return seen


def test_the_books_city_is_the_books():
    city = make_city("book")
    assert (city.rows, city.cols, city.n_states) == (5, 5, 500)
    assert city.zones == (("R", 0, 0), ("G", 0, 4), ("Y", 4, 0), ("B", 4, 3))
    assert city.anomalies == ((0, 2), (2, 1), (2, 2), (4, 2))
    assert city.walls == ()
    assert str(city) == BOOK


@given(cities())
def test_a_printed_city_reads_back_as_itself(city):
    assert parse_city(str(city)) == city


@given(cities(), st.integers(0, 8), st.booleans(), st.booleans())
def test_indentation_blank_lines_and_missing_frames_do_not_matter(city, indent, framed, windows):
    lines = str(city).splitlines() if framed else str(city).splitlines()[1:-1]
    text = "\n" + "\n".join(" " * indent + line + " " for line in lines) + "\n  \n"
    assert parse_city(text.replace("\n", "\r\n") if windows else text) == city


def test_walls_stand_between_the_squares_they_are_drawn_between():
    assert parse_city("|R|G: |\n| : | |").walls == ((0, 0), (1, 1))


def test_zones_are_numbered_in_reading_order_whatever_their_letters():
    assert [zone[0] for zone in parse_city("| :Z|\n|B: |\n|Q:C|").zones] == ["Z", "B", "Q", "C"]


def test_a_city_may_have_twenty_five_zones():
    assert len(parse_city("|" + ":".join("BCDEFGHIJKLMNOPQRSTUVWXYZ") + "|").zones) == 25


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("|R: :G|\n| : |", "line 2 .* is 5 characters wide, the first row 7"),
        ("|R:#|\n|G: |", "line 1 .* square 1: .* got '#'"),
        ("|R:G|\n|y: |", "line 2 .* square 0: expected a blank or a capital letter, got 'y'"),
        ("|R:G|\n|\t: |", r"line 2 .* got '\\t'"),
        ("|R:É|", "line 1 .* got 'É'"),
        ("|R:G|\n| : |\n| :R|", "line 3 .* zone R is already in line 1"),
        ("|R: |\n| :A|", "needs 2 to 25 zones .* the map has 1"),
        ("| :A|", "the map has 0"),
        ("|R:G|\n : |", "line 2 .* must begin and end with a wall"),
        ("|R:G|\n| :  ", "line 2 .* must begin and end with a wall"),
        ("R:G", "unknown city 'R:G'; did you mean|unknown city 'R:G'; known"),
        ("|R:G|\n| . |", r"line 2 .* after square 0: expected : or \|, got '\.'"),
        ("|R:G |", r"line 1 .* needs a : or \| between adjacent squares"),
        ("+---+\n|R:G|", "line 2 .* should be the border"),
        ("|R:G|\n+---+", "line 2 .* must begin and end with a wall"),
        ("+--+\n|R:G|\n+---+", "line 1 .* should be the border"),
        ("+---+\n|R:G|\n+----+", "line 3 .* should be the border"),
        ("\n\n+---+\n|R:g|\n+---+\n", "line 4 .* got 'g'"),
        ("+---+\n+---+", "the map has no rows"),
        ("||", "line 1"),
        ("\n \n", "the map has no rows"),
    ],
)
def test_a_malformed_map_says_in_which_line_and_why(text, complaint):
    with pytest.raises(UsageError, match=complaint) as error:
        make_city(text)
    assert "\n" not in str(error.value)


@given(st.text("|+-: RGAa\n\x1b()", max_size=40))
def test_any_text_is_a_city_or_a_clear_error(text):
    try:
        city = make_city(text)
    except UsageError:
        return
    assert parse_city(str(city)) == city


@settings(max_examples=60)
@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**70))
def test_in_a_generated_city_every_street_reaches_every_other(rows, cols, seed):
    if rows * cols < 2:
        return
    city = generate_city(rows, cols, seed)
    at_zone = [zone[1:] for zone in city.zones]
    assert 2 <= len(set(at_zone)) == len(city.zones) <= 4
    assert at_zone == sorted(at_zone)
    assert not set(at_zone) & set(city.anomalies)
    streets = {(r, c) for r in range(rows) for c in range(cols)} - set(city.anomalies)
    assert reached(city, at_zone[0]) == streets
    assert len(city.anomalies) <= round(0.16 * rows * cols)
    assert parse_city(str(city)) == city


@pytest.mark.parametrize("name", PRESETS)
def test_in_every_preset_each_zone_reaches_every_other(name):
    city = make_city(name)
    assert {zone[1:] for zone in city.zones} <= reached(city, city.zones[0][1:])


def test_a_generated_city_depends_on_its_seed_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator must not move
    assert make_city("12x9", 3) == make_city("12x9", 3)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert len({make_city("12x9", seed) for seed in range(10)}) == 10


def test_a_size_is_rows_by_columns_with_four_zones():
    city = make_city("6x9")
    assert (city.rows, city.cols, [zone[0] for zone in city.zones]) == (6, 9, list("RGYB"))


def test_a_large_city_keeps_the_share_of_anomalies_of_the_book():
    assert 0.15 < len(make_city("50x50").anomalies) / 2500 <= 0.16


@pytest.mark.parametrize("size", ["1x60", "2x60"])
def test_a_narrow_city_is_not_filled_with_anomalies(size):
    city = make_city(size)
    assert len(city.anomalies) <= 0.17 * city.rows * city.cols


def test_drawing_a_city_takes_as_much_work_as_it_has_squares():
    assert make_city("200x200", 1).n_states == 800_000
    assert calls_of(lambda: make_city("80x80", 1)) < 5 * calls_of(lambda: make_city("40x40", 1))


@pytest.mark.parametrize("size", ["100000x100000", "999999999x999999999", "3000x3000"])
def test_a_hostile_size_is_refused_with_its_states_and_memory(size):
    def refused():
        with pytest.raises(
            UsageError, match=rf"has [\d,]+ states \([\d,]+ GB of tables\); the limit is {MAX_STATES:,}"
        ):
            make_city(size)

    assert memory_of(refused) < 2**20  # before anything is drawn


@pytest.mark.parametrize("size", ["1x1", "0x5", "5x0"])
def test_a_city_without_room_for_two_zones_is_refused(size):
    with pytest.raises(UsageError, match=re.escape(f"at least 2 squares for its 2 zones, got {size}")):
        make_city(size)


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, "3", float("nan")])
def test_a_city_seed_is_a_whole_number(seed):
    with pytest.raises(UsageError, match="city_seed must be a whole number, 0 or more"):
        make_city("5x5", seed)


def test_an_unknown_preset_gets_a_hint():
    with pytest.raises(UsageError, match="unknown city 'downtwon'; did you mean downtown"):
        make_city("downtwon")


@pytest.mark.parametrize("city", [5, None, ["|R:G|"]])
def test_a_city_is_given_as_text(city):
    with pytest.raises(UsageError, match="city must be a preset, a map or NxM, got"):
        make_city(city)
