"""Cities to test with, and what it takes to make one."""

import sys
import tracemalloc

import hypothesis.strategies as st

from rlbench.envs.cities import City


@st.composite
def cities(draw):
    """A city of up to 6 x 6 squares with any zones, anomalies and walls."""
    rows, cols = draw(st.sampled_from([(r, c) for r in range(1, 7) for c in range(1, 7) if r * c >= 2]))
    squares = [(r, c) for r in range(rows) for c in range(cols)]
    shuffled = draw(st.permutations(squares))
    capitals = st.sampled_from("BCDEFGHIJKLMNOPQRSTUVWXYZ")
    letters = draw(st.lists(capitals, unique=True, min_size=2, max_size=len(squares)))
    n_anomalies = draw(st.integers(0, len(squares) - len(letters)))
    places = sorted(shuffled[: len(letters)])
    return City(
        rows,
        cols,
        tuple((letter, *at) for letter, at in zip(letters, places, strict=True)),
        tuple(sorted(shuffled[len(letters) : len(letters) + n_anomalies])),
        tuple(sorted(draw(st.sets(st.sampled_from(squares))) - {(r, cols - 1) for r in range(rows)})),
    )


def calls_of(act):
    """How many functions and generators are entered in all: work, measured without a clock."""
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


def memory_of(act):
    """How many bytes are held at once at most."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
