"""A sum tree over the priorities of a ring, compiled (Schaul et al., 2016, appendix B.2.1).

`tree` is a float64 array (2 * leaves,), `leaves` a power of two: leaf i is at `leaves + i`, the sum of nodes 2k and
2k + 1 at k, the total at 1. Each sum is recomputed from its two children, so rounding errors do not accumulate and the
tree depends only on its leaves, not on their history. A leaf of 0 is empty and never drawn.

A batch descends the tree level by level: the memory waits of its paths overlap, and no branch is mispredicted.
"""

# compiled code has no annotations: numba infers the types
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from rlbench._stamp import stamp
from rlbench.buffers._kernels import gather_rows
from rlbench.buffers._sfc64 import put_words, sfc64_random, words_of

OUT_OF_RANGE, NOT_POSITIVE = -1.0, -2.0  # error codes of an update
LARGEST = 1e300  # priority: 100 million of them have a finite sum
MAKES_ARRAYS: Any = {"_nrt": True}  # else numba compiles a function for the training loop as it does the loop: without


@njit(cache=True)
def settle(tree, cursor, capacity, added, greatest, alpha):
    """Gives the newest added[0] - added[1] rows of a ring the priority greatest[0], and sets added[1] to added[0].

    `cursor` is the ring's: next row to write, rows filled. Call it before any other read or write of the tree.
    """
    count = min(added[0] - added[1], capacity)
    added[1] = added[0]
    if count < 1:
        return
    value, start = greatest[0] ** alpha, (cursor[0] - count) % capacity
    before_end = min(count, capacity - start)
    set_range(tree, start, before_end, value)
    if count > before_end:
        set_range(tree, 0, count - before_end, value)


@njit(cache=True)
def set_range(tree, start, count, value):
    """Sets `count` >= 1 leaves, starting at `start`, to one value."""
    leaves = tree.shape[0] // 2
    low, high = leaves + start, leaves + start + count - 1
    tree[low : high + 1] = value
    while low > 1:
        low, high = low // 2, high // 2
        _sum_nodes(tree, low, high)


@njit(cache=True)
def set_all(tree, values, held):
    """Sets the first leaves to `values` and the rest of the first `held` to 0; touches no memory past these."""
    leaves, n = tree.shape[0] // 2, values.shape[0]
    set_range(tree, 0, max(n, held, 1), 0.0)
    for i in range(n):  # not by a slice, whose complaint about shapes takes numba seconds to compile
        tree[leaves + i] = values[i]
    low, high = leaves, leaves + max(n, 1) - 1
    while low > 1:
        low, high = low // 2, high // 2
        _sum_nodes(tree, low, high)


@njit(cache=True)
def _sum_nodes(tree, low, high):
    for node in range(high, low - 1, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]


@njit(cache=True, **MAKES_ARRAYS)
def set_priorities(tree, filled, indices, priorities, alpha, largest):
    """Sets leaf i to p_i^alpha (the last one for duplicate indices); returns the largest p so far.

    Changes nothing and returns OUT_OF_RANGE if an index is not in [0, filled), NOT_POSITIVE if a priority is not in
    (0, LARGEST].
    """
    for i in range(indices.shape[0]):
        if not 0 <= indices[i] < filled:
            return OUT_OF_RANGE
        if not 0.0 < priorities[i] <= LARGEST:
            return NOT_POSITIVE
    leaves, nodes = tree.shape[0] // 2, np.empty(indices.shape[0], np.int64)
    for i in range(indices.shape[0]):
        largest = max(largest, priorities[i])
        nodes[i] = leaves + indices[i]
        tree[nodes[i]] = priorities[i] ** alpha
    _sum_paths(tree, nodes)
    return largest


@njit(cache=True)
def update_priorities(tree, filled, indices, td_errors, epsilon, alpha, largest):
    """Sets p_i to |TD error| + epsilon; otherwise like `set_priorities`."""
    return set_priorities(tree, filled, indices, np.abs(td_errors) + epsilon, alpha, largest)


@njit(cache=True)
def _sum_paths(tree, nodes):
    """Updates the ancestors of leaves: one by one on wide levels, whole levels near the root."""
    n, width = nodes.shape[0], tree.shape[0] // 4
    while width > n:
        for i in range(n):
            node = nodes[i] >> 1
            nodes[i] = node
            tree[node] = tree[2 * node] + tree[2 * node + 1]
        width //= 2
    _sum_nodes(tree, 1, 2 * width - 1)


@njit(cache=True, **MAKES_ARRAYS)
def draw_leaves(tree, words, indices):
    """Draws n leaves in proportion to their values into `indices`, leaf i from the i-th of n equal shares of the sum.

    A path never enters an empty subtree, even if rounding takes it slightly past the last nonempty leaf.
    """
    n, leaves = indices.shape[0], tree.shape[0] // 2
    left_over, state, share = np.empty(n), words_of(words), tree[1] / n
    for i in range(n):
        u, state = sfc64_random(state)
        left_over[i], indices[i] = (i + u) * share, 1
    put_words(words, state)
    level = 1
    while level < leaves:
        for i in range(n):
            left = 2 * indices[i]
            below = tree[np.uint64(left)]
            right = (left_over[i] >= below) & (tree[np.uint64(left + 1)] > 0.0)
            left_over[i] -= below * right
            indices[i] = left + right
        level *= 2
    for i in range(n):
        indices[i] -= leaves


@njit(cache=True)
def importance_weights(tree, indices, beta, weights):
    """Writes w_i = (N P(i))^-beta / max_j w_j, the maximum over this batch; N and the sum of priorities cancel."""
    leaves, least = tree.shape[0] // 2, math.inf
    for i in range(indices.shape[0]):
        least = min(least, tree[leaves + indices[i]])
    for i in range(indices.shape[0]):
        weights[i] = (least / tree[leaves + indices[i]]) ** beta


@njit(cache=True)
def sample_leaves(tree, words, beta, lines, indices, weights, out):
    """Draws n leaves and writes their indices, weights and rows of `lines`: three functions in one call."""
    draw_leaves(tree, words, indices)
    importance_weights(tree, indices, beta, weights)
    gather_rows(lines, indices, out)


stamp(__name__)
