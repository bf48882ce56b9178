"""How an episode ends, as a code, as flags and in a word; and rows of what was observed."""

import dataclasses

import numpy as np
import pytest
from contracts import stores

from rlbench.store import BOTH, CUT_OFF, OPEN, TERMINATED, TRUNCATED, Episode
from rlbench.store.records import end_code, is_terminated, is_truncated, row_of

ENDS = {  # (terminated, truncated): the code
    (False, False): CUT_OFF,
    (True, False): TERMINATED,
    (False, True): TRUNCATED,
    (True, True): BOTH,
}
WORDS = ("cut off", "terminated", "truncated", "terminated")


@pytest.mark.parametrize(("flags", "code"), list(ENDS.items()))
def test_an_end_is_encoded_and_decoded(flags, code):
    assert end_code(*flags) == code
    assert (is_terminated(code), is_truncated(code)) == flags


def test_ends_are_encoded_and_decoded_as_arrays():
    terminated, truncated = np.array(list(ENDS)).T
    codes = end_code(terminated, truncated)
    assert codes.tolist() == list(ENDS.values())
    assert is_terminated(codes).tolist() == terminated.tolist()
    assert is_truncated(codes).tolist() == truncated.tolist()


def test_an_open_end_is_neither_terminated_nor_truncated():
    assert not is_terminated(OPEN)
    assert not is_truncated(OPEN)


def test_a_chunk_tells_which_segments_terminated_and_which_were_truncated():
    ends = np.array([TERMINATED, TRUNCATED, BOTH, CUT_OFF, OPEN], np.uint8)
    chunk = dataclasses.replace(stores.make_chunk(0, [2, 0, 1, 3, 1]), ends=ends)
    assert chunk.terminations.tolist() == [True, False, True, False, False]
    assert chunk.truncations.tolist() == [False, True, True, False, False]
    assert chunk.on_last_steps(chunk.terminations).tolist() == [False, True, True, False, False, False, False]
    assert chunk.on_last_steps(chunk.truncations).tolist() == [False, False, True, False, False, False, False]


@pytest.mark.parametrize(("flags", "word"), [*zip(ENDS, WORDS, strict=True)])
def test_an_episode_says_in_a_word_how_it_ended(flags, word):
    assert Episode(0, np.zeros(2), np.zeros(1), np.zeros(1), *flags).end == word


def test_a_row_of_an_array_or_of_a_dict_of_arrays_is_as_python_has_it():
    rows = np.arange(6, dtype=np.int16)
    assert row_of(rows, -1) == 5
    assert type(row_of(rows, 1)) is int
    assert row_of({"a": rows, "b": rows.reshape(3, 2)}, 1) == {"a": 1, "b": [2, 3]}
