"""Growing, pruning and walking a decision tree, compiled."""
# ruff: noqa: ANN001, ANN202, N803 - compiled code: numba infers the types; X is the field's name
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numba import njit

VARIANCE, GINI, ENTROPY = 0, 1, 2
LEAF = -1
MARGIN = 1e-12  # relative margin by which a split must beat another: rounding must not decide ties
SAME = np.float32(1e-7)  # values this close count as equal, as in scikit-learn

NODE = np.dtype(
    [
        ("left", np.int32),  # LEAF for a leaf
        ("right", np.int32),
        ("feature", np.int32),  # LEAF for a leaf
        ("n_samples", np.int32),
        ("threshold", np.float64),  # x[feature] <= threshold goes left
        ("impurity", np.float64),
        ("weight", np.float64),  # total of its samples
    ]
)


class Targets(NamedTuple):
    """The targets: class codes with value 1, or code 0 with a number; and the weight of each row."""

    codes: np.ndarray  # int32, (n,)
    values: np.ndarray  # float64, (n,)
    weights: np.ndarray  # float64, (n,); `order` leaves out rows of weight 0


class Limits(NamedTuple):
    """The limits on growth."""

    max_depth: int
    min_samples_leaf: int
    max_features: int  # tried per node; drawn anew for each node if fewer than all


@njit(cache=True, inline="always")
def measure(rows, targets, criterion, value):
    """Writes the mean or class shares of the rows into `value` (k,); returns their weight, impurity and purity."""
    codes, values, weights = targets
    value[:] = 0.0
    weight = 0.0
    pure = True
    for i in rows:
        value[codes[i]] += weights[i] * values[i]
        weight += weights[i]
        pure = pure and codes[i] == codes[rows[0]] and values[i] == values[rows[0]]
    value /= weight
    if pure:
        value[codes[rows[0]]] = values[rows[0]]  # exact: the division may have rounded
        return weight, 0.0, True
    return weight, impurity(rows, targets, criterion, value, weight), False


@njit(cache=True, inline="always")
def impurity(rows, targets, criterion, value, weight):
    """Returns the variance about the mean, 1 - sum p**2, or -sum p log2 p."""
    if criterion == VARIANCE:
        squares = 0.0
        for i in rows:
            squares += targets.weights[i] * (targets.values[i] - value[0]) ** 2
        return squares / weight
    if criterion == GINI:
        squares = 0.0
        for p in value:
            squares += p * p
        return 1.0 - squares
    entropy = 0.0
    for p in value:
        if p > 0.0:
            entropy -= p * np.log2(p)
    return entropy


@njit(cache=True, inline="always")
def purity(sums, weight, criterion):
    """Returns one side's part of what the best split maximises: weight * (a constant - impurity)."""
    total = 0.0
    if criterion != ENTROPY:
        for s in sums:
            total += s * s
        return total / weight
    for s in sums:
        if s > 0.0:
            total += s * np.log2(s / weight)
    return total


@njit(cache=True, inline="always")
def best_cut(x, rows, targets, criterion, min_samples_leaf, centre, margin, sums):
    """Returns the highest purity of cutting rows, sorted by x, in two, and how many go left; 0 if no cut is possible.

    `sums` (3, k): the totals of all rows (input), of the left and of the right (scratch). Targets are relative to
    `centre`.
    """
    codes, values, weights = targets
    whole, left, right = sums[0], sums[1], sums[2]
    for k in range(len(whole)):  # not right[:] = whole, whose complaint about shapes takes numba seconds to compile
        left[k], right[k] = 0.0, whole[k]
    total = 0.0
    for i in rows:
        total += weights[i]
    weight = 0.0
    best, n_left = -np.inf, 0
    for p in range(1, len(rows) - min_samples_leaf + 1):
        i = rows[p - 1]
        left[codes[i]] += weights[i] * (values[i] - centre)
        right[codes[i]] = whole[codes[i]] - left[codes[i]]
        weight += weights[i]
        if p < min_samples_leaf or x[rows[p]] <= x[i] + SAME:
            continue
        found = purity(left, weight, criterion) + purity(right, total - weight, criterion)
        if found > best + margin:
            best, n_left = found, p
    return best, n_left


@njit(cache=True, inline="always")
def partition(order, chosen, start, middle, end, goes_left, buffer):
    """Moves the rows order[chosen, start:middle] to the front of every feature's segment, keeping them sorted."""
    for p in range(start, end):
        goes_left[order[chosen, p]] = p < middle
    for feature in range(len(order)):
        if feature == chosen:
            continue
        rows = order[feature]
        write, spill = start, 0
        for p in range(start, end):
            i = rows[p]
            # write to both, advance one: no branch to mispredict
            rows[write] = i
            buffer[spill] = i
            write += goes_left[i]
            spill += 1 - goes_left[i]
        for k in range(spill):
            rows[write + k] = buffer[k]


@njit(cache=True, inline="always")
def draw(features, n, state):
    """Moves `n` random features to the front, drawn by an xorshift64 generator with its state in `state` (1,)."""
    for k in range(n):
        word = state[0]
        word ^= word << np.uint64(13)
        word ^= word >> np.uint64(7)
        word ^= word << np.uint64(17)
        state[0] = word
        other = k + np.int64(word % np.uint64(len(features) - k))
        features[k], features[other] = features[other], features[k]


@njit(cache=True, inline="always")
def best_split(columns, order, start, end, targets, criterion, limits, node, value, sums, features, state):
    """Returns the feature that splits a node best and how many rows go left; 0 rows if no split is possible."""
    centre = value[0] if criterion == VARIANCE else 0.0
    margin = MARGIN * node.weight * (node.impurity if criterion == VARIANCE else 1.0)
    sums[0] = 0.0
    for i in order[0, start:end]:
        sums[0, targets.codes[i]] += targets.weights[i] * (targets.values[i] - centre)
    if limits.max_features < len(features):
        draw(features, len(features), state)
    best, chosen, n_left = -np.inf, LEAF, 0
    for tried in range(len(features)):
        if tried >= limits.max_features and n_left > 0:
            break
        feature = features[tried]
        x, rows = columns[feature], order[feature, start:end]
        if x[rows[-1]] <= x[rows[0]] + SAME:
            continue
        found, cut = best_cut(x, rows, targets, criterion, limits.min_samples_leaf, centre, margin, sums)
        if found > best + margin:
            best, chosen, n_left = found, feature, cut
    return chosen, n_left


@njit(cache=True, nogil=True)
def grow(columns, order, targets, n_values, criterion, limits, seed):
    """Grows a tree level by level; returns its nodes and the value (n_values,) of each.

    columns (n_features, n) float32; order (n_features, m) int32: the rows sorted by each column, overwritten.
    """
    n_features, m = order.shape
    capacity = 2 * max(1, m // limits.min_samples_leaf) - 1
    if limits.max_depth < 30:  # noqa: PLR2004 - beyond that the number of rows is the bound
        capacity = min(capacity, 2 ** (limits.max_depth + 1) - 1)
    nodes = np.zeros(capacity, NODE)
    value = np.zeros((capacity, n_values))
    segments = np.zeros((capacity, 3), np.int64)  # start, end, depth
    segments[0, 1] = m
    features = np.arange(n_features)
    state = np.array([seed], np.uint64)
    sums = np.zeros((3, n_values))
    goes_left = np.zeros(columns.shape[1], np.int8)
    buffer = np.empty(m, np.int32)
    count = 1
    node = 0
    while node < count:
        start, end, depth = segments[node]
        weight, impure, pure = measure(order[0, start:end], targets, criterion, value[node])
        entry = nodes[node]
        entry.left = entry.right = entry.feature = LEAF
        entry.n_samples, entry.weight, entry.impurity = end - start, weight, impure
        if not pure and depth < limits.max_depth and end - start >= 2 * limits.min_samples_leaf:
            chosen, n_left = best_split(
                columns, order, start, end, targets, criterion, limits, entry, value[node], sums, features, state
            )
            if n_left > 0:
                middle = start + n_left
                low, high = columns[chosen, order[chosen, middle - 1]], columns[chosen, order[chosen, middle]]
                entry.feature = chosen
                entry.threshold = np.float64(low) / 2 + np.float64(high) / 2
                entry.left, entry.right = count, count + 1
                partition(order, chosen, start, middle, end, goes_left, buffer)
                segments[count, 0], segments[count, 1] = start, middle
                segments[count + 1, 0], segments[count + 1, 1] = middle, end
                segments[count, 2] = segments[count + 1, 2] = depth + 1
                count += 2
        node += 1
    return nodes[:count].copy(), value[:count].copy()


@njit(cache=True, nogil=True)
def leaves_of(nodes, root, X, leaves):
    """Writes into `leaves` (n,) the leaf that each row of X (n, n_features) float32 reaches from `root`."""
    for i in range(len(X)):
        node = root
        while nodes[node].left != LEAF:
            node = nodes[node].left if X[i, nodes[node].feature] <= nodes[node].threshold else nodes[node].right
        leaves[i] = node


@njit(cache=True, nogil=True)
def depths_of(nodes):
    """Returns the depth of each node; the root's is 0."""
    depths = np.zeros(len(nodes), np.int64)
    for node in range(len(nodes)):  # parents come before their children
        if nodes[node].left != LEAF:
            depths[nodes[node].left] = depths[nodes[node].right] = depths[node] + 1
    return depths


@njit(cache=True, nogil=True)
def weakest_links(nodes):
    """Collapses the tree branch by branch; returns the collapsed nodes in order, the alphas and the impurities.

    alphas, impurities: (1 + number of collapses,); entry 0 is the whole tree at alpha 0.
    """
    n = len(nodes)
    risk = np.empty(n)
    branch = np.empty(n)
    leaves = np.ones(n, np.int64)
    parent = np.full(n, LEAF)
    for node in range(n - 1, -1, -1):
        risk[node] = nodes[node].weight * nodes[node].impurity / nodes[0].weight
        branch[node] = risk[node]
        left, right = nodes[node].left, nodes[node].right
        if left != LEAF:
            branch[node] = branch[left] + branch[right]
            leaves[node] = leaves[left] + leaves[right]
            parent[left] = parent[right] = node
    alpha = np.full(n, np.inf)  # of the current branch; inf for leaves and removed nodes
    heap = [(np.inf, 0)]
    for node in range(n):
        if nodes[node].left != LEAF:
            alpha[node] = (risk[node] - branch[node]) / (leaves[node] - 1)
            heapq.heappush(heap, (alpha[node], node))
    order = np.empty((n - 1) // 2, np.int64)
    alphas = np.zeros(len(order) + 1)
    impurities = np.full(len(order) + 1, branch[0])
    count = 0
    stack = np.empty(n, np.int64)
    while alpha[0] < np.inf:
        weakest, node = heapq.heappop(heap)
        if weakest != alpha[node]:  # stale: the branch has changed since
            continue
        _forget(nodes, node, alpha, stack)
        lost, gained = leaves[node] - 1, risk[node] - branch[node]
        leaves[node], branch[node] = 1, risk[node]
        up = parent[node]
        while up != LEAF:
            leaves[up] -= lost
            branch[up] += gained
            alpha[up] = (risk[up] - branch[up]) / (leaves[up] - 1)
            heapq.heappush(heap, (alpha[up], up))
            up = parent[up]
        order[count] = node
        count += 1
        alphas[count] = max(weakest, alphas[count - 1])  # ascending up to rounding
        impurities[count] = branch[0]
    return order[:count], alphas[: count + 1], impurities[: count + 1]


@njit(cache=True, inline="always")
def _forget(nodes, node, alpha, stack):
    """Removes a node and everything below it from the candidates."""
    stack[0] = node
    size = 1
    while size:
        size -= 1
        gone = stack[size]
        if alpha[gone] == np.inf:
            continue
        alpha[gone] = np.inf
        stack[size], stack[size + 1] = nodes[gone].left, nodes[gone].right
        size += 2


@njit(cache=True, nogil=True)
def reachable(nodes, collapsed):
    """Returns a mask of the nodes that remain once the `collapsed` ones are leaves."""
    kept = np.zeros(len(nodes), np.bool_)
    kept[0] = True
    for node in range(len(nodes)):
        if kept[node] and not collapsed[node] and nodes[node].left != LEAF:
            kept[nodes[node].left] = kept[nodes[node].right] = True
    return kept
