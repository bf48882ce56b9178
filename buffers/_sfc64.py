"""NumPy's SFC64 for compiled code, on the generator's own memory."""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from rlbench.errors import RlbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TO_UNIT = 1.0 / 9007199254740992.0  # 2**-53: maps 53 random bits to [0, 1), as NumPy does


def live_words(rng: np.random.Generator) -> NDArray[np.uint64]:
    """Returns a view of an SFC64 generator's state, (4,) words: writing them changes the generator.

    The view keeps the generator alive. Passing the Generator itself to compiled code costs 5 us per call.

    Raises:
        RlbenchError: this version of NumPy lays out the state differently.
    """
    memory = (ctypes.c_uint64 * 4).from_address(rng.bit_generator.ctypes.state_address)
    memory.owner = rng  # type: ignore[attr-defined]  # or it could be freed while the array is in use
    words = np.ctypeslib.as_array(memory)
    if not np.array_equal(words, rng.bit_generator.state["state"]["state"]):
        raise RlbenchError(f"the layout of SFC64 in NumPy {np.__version__} is unknown: use that of constraints.txt")
    return words


@njit(cache=True, inline="always")
def sfc64_random(state):
    """Returns (u in [0, 1), next state), bit-identical to `numpy.random.Generator(SFC64).random()`.

    Source: Chris Doty-Humphrey's PractRand, sfc64; numpy/random/src/sfc64.
    """
    a, b, c, counter = state
    word = a + b + counter
    turned = (c << np.uint64(24)) | (c >> np.uint64(40))
    following = (b ^ (b >> np.uint64(11)), c + (c << np.uint64(3)), turned + word, counter + np.uint64(1))
    return np.float64(word >> np.uint64(11)) * TO_UNIT, following


@njit(cache=True, inline="always")
def words_of(words):
    """Returns the words as a tuple, so that compiled code keeps them in registers."""
    return words[0], words[1], words[2], words[3]


@njit(cache=True, inline="always")
def put_words(words, state):
    """Writes the tuple back into `words`."""
    words[0], words[1], words[2], words[3] = state
