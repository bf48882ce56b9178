"""Compiled loops over a buffer's rows: drawing and copying whole cache lines, and n-step returns.

`lines` is the ring viewed as int64, (capacity * width,): each row takes `width` words, a whole number of cache lines.
`words` is the state of the buffer's SFC64. Each row takes one uniform draw.
"""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.buffers._sfc64 import put_words, sfc64_random, words_of

LINE = 8  # words per cache line


@njit(cache=True)
def sample_rows(words, filled, lines, out, n):
    """Draws n rows uniformly with replacement, row floor(u * filled), into `out`, (n * width,)."""
    state, width = words_of(words), out.shape[0] // n
    for i in range(n):
        u, state = sfc64_random(state)
        _copy_row(lines, np.uint64(u * filled), out, i, width)
    put_words(words, state)


@njit(cache=True)
def draw_rows(words, filled, indices):
    """Draws the same rows as `sample_rows`, but writes only their indices into `indices`, (n,)."""
    state = words_of(words)
    for i in range(indices.shape[0]):
        u, state = sfc64_random(state)
        indices[i] = np.int64(u * filled)
    put_words(words, state)


@njit(cache=True)
def gather_rows(lines, indices, out):
    """Copies the rows of `indices`, (n,), into `out`, (n * width,)."""
    n = indices.shape[0]
    width = out.shape[0] // n
    for i in range(n):
        _copy_row(lines, indices[i], out, i, width)


@njit(cache=True, inline="always")
def _copy_row(lines, row, out, i, width):
    """Copies one row; unsigned indices avoid numba's check for negative ones."""
    source, target = np.uint64(row) * np.uint64(width), np.uint64(i) * np.uint64(width)
    if width == LINE:
        _copy_line(lines, source, out, target)
    else:
        for c in range(0, width, LINE):
            _copy_line(lines, source + np.uint64(c), out, target + np.uint64(c))


@njit(cache=True, inline="always")
def _copy_line(lines, source, out, target):
    """Copies one cache line; reads all words before writing any, so that two wide registers carry them."""
    part = (
        lines[source],
        lines[source + np.uint64(1)],
        lines[source + np.uint64(2)],
        lines[source + np.uint64(3)],
        lines[source + np.uint64(4)],
        lines[source + np.uint64(5)],
        lines[source + np.uint64(6)],
        lines[source + np.uint64(7)],
    )
    for c in range(LINE):
        out[target + np.uint64(c)] = part[c]


@njit(cache=True)
def n_step_returns(reward, terminated, truncated, cursor, n_step, gamma, first, last, returns, discounts):
    """Writes the return of at most n steps from each row `first[i]` of a ring into `returns[i]`.

    R = r_0 + gamma r_1 + ... + gamma^(m-1) r_(m-1), where m is n, or less if the episode ends or the newest row is
    reached; `last[i]` is the row of r_(m-1), `discounts[i]` is gamma^m. Sutton & Barto (2018) 7.1, equation 7.1.
    """
    capacity = reward.shape[0]
    newest = cursor[0] - 1 if cursor[0] > 0 else capacity - 1
    for i in range(first.shape[0]):
        row, total, discount = first[i], reward[first[i]], gamma
        for _ in range(n_step - 1):
            if terminated[row] or truncated[row] or row == newest:
                break
            row = row + 1 if row + 1 < capacity else 0
            total += discount * reward[row]
            discount *= gamma
        last[i], returns[i], discounts[i] = row, total, discount


stamp(__name__)
