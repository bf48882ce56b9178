"""The compiled loops of k-means."""
# ruff: noqa: ANN001, ANN202, N803 - compiled code: numba infers the types; X is the field's name
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # a SIMD sum: several times faster with many columns
def squared_distance(a, b):
    """Returns sum (a - b)**2."""
    total = 0.0
    for j in range(len(a)):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@njit(cache=True, inline="always")
def copy_row(source, target):
    """Copies a row one by one: of `target[:] = source` numba compiles a complaint about shapes for seconds."""
    for j in range(len(source)):
        target[j] = source[j]


@njit(cache=True, nogil=True)
def nearest(x, centers):
    """Returns the index of the centre nearest to x (the first on a tie) and its squared distance."""
    best, least = 0, squared_distance(x, centers[0])
    for k in range(1, len(centers)):
        distance = squared_distance(x, centers[k])
        if distance < least:
            best, least = k, distance
    return best, least


@njit(cache=True, nogil=True)
def assign(X, centers, labels, distances):
    """Writes each row's nearest centre into labels and distances (n,), squared; returns whether a label changed."""
    changed = False
    for i in range(len(X)):
        label, distances[i] = nearest(X[i], centers)
        changed = changed or label != labels[i]
        labels[i] = label
    return changed


@njit(cache=True, nogil=True)
def add_up(X, labels, sums, counts):
    """Writes the sum (k, d) and the number (k,) of each cluster's rows."""
    sums[:] = 0.0
    counts[:] = 0
    for i in range(len(X)):
        label = labels[i]
        counts[label] += 1
        for j in range(X.shape[1]):
            sums[label, j] += X[i, j]


@njit(cache=True, nogil=True)
def fill_empty(X, labels, distances, sums, counts, empty):
    """Moves into each cluster of the mask `empty` (k,) the row farthest from its present centre."""
    for k in range(len(counts)):
        if not empty[k]:
            continue
        far = np.argmax(distances)
        if distances[far] == 0.0:  # fewer distinct rows than clusters: none left to move
            return
        counts[labels[far]] -= 1
        counts[k] = 1
        for j in range(X.shape[1]):
            sums[labels[far], j] -= X[far, j]
            sums[k, j] = X[far, j]
        labels[far] = k
        distances[far] = 0.0


@njit(cache=True, nogil=True)
def lloyd(X, centers, max_iter, tol):
    """Moves the centres in place to the means of their rows until convergence; returns labels, distances, passes.

    Converged: no label changes, or the squared moves of the centres sum to at most tol.
    """
    n, n_clusters = len(X), len(centers)
    labels = np.full(n, -1, np.int32)
    distances = np.empty(n)
    sums = np.empty_like(centers)
    counts = np.empty(n_clusters, np.int64)
    passes = 0
    while passes < max_iter:
        passes += 1
        changed = assign(X, centers, labels, distances)
        if not changed:
            return labels, distances, passes
        add_up(X, labels, sums, counts)
        fill_empty(X, labels, distances, sums, counts, counts == 0)
        moved = 0.0
        for k in range(n_clusters):
            if counts[k]:
                mean = sums[k] / counts[k]
                moved += squared_distance(mean, centers[k])
                copy_row(mean, centers[k])
        if moved <= tol:
            break
    assign(X, centers, labels, distances)
    return labels, distances, passes


@njit(cache=True, nogil=True)
def plus_plus(X, first, uniforms):
    """Returns k-means++ centres (k, d): row `first`, then rows drawn in proportion to their squared distance.

    The distance is that to the nearest centre so far. Of the uniforms.shape[1] candidates in each round, the one that
    leaves the smallest total is kept.
    """
    n, n_clusters = len(X), len(uniforms) + 1
    centers = np.empty((n_clusters, X.shape[1]))
    copy_row(X[first], centers[0])
    closest = np.empty(n)
    for i in range(n):
        closest[i] = squared_distance(X[i], centers[0])
    trial, kept = np.empty(n), np.empty(n)
    for k in range(1, n_clusters):
        reach = np.cumsum(closest)
        least = np.inf
        for t, uniform in enumerate(uniforms[k - 1]):
            candidate = min(np.searchsorted(reach, uniform * reach[-1], side="right"), n - 1)
            potential = 0.0
            for i in range(n):
                trial[i] = min(closest[i], squared_distance(X[i], X[candidate]))
                potential += trial[i]
            if t == 0 or potential < least:
                least = potential
                copy_row(X[candidate], centers[k])
                kept, trial = trial, kept
        closest, kept = kept, closest
    return centers


@njit(cache=True, nogil=True)
def learn_batch(X, centers, counts, labels, distances):
    """Moves the centres in place to the running means of all rows assigned to them so far, this batch included."""
    sums = np.empty_like(centers)
    added = np.empty_like(counts)
    assign(X, centers, labels, distances)
    add_up(X, labels, sums, added)
    fill_empty(X, labels, distances, sums, added, counts + added == 0)
    for k in range(len(centers)):
        if added[k]:
            counts[k] += added[k]
            for j in range(X.shape[1]):
                centers[k, j] += (sums[k, j] - added[k] * centers[k, j]) / counts[k]
