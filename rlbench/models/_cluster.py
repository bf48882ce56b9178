"""The loops of k-means, compiled."""
# ruff: noqa: ANN001, ANN202, N803 - compiled code: numba infers its types; X is what the field writes
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"reassoc"})  # the sum may go in lanes: several times faster in many columns
def squared_distance(a, b):
    """Returns sum (a - b)**2."""
    total = 0.0
    for j in range(len(a)):
        difference = a[j] - b[j]
        total += difference * difference
    return total


@njit(cache=True, nogil=True)
def nearest(x, centers):
    """Returns the index of the centre nearest to x, the first of equals, and its squared distance."""
    best, least = 0, squared_distance(x, centers[0])
    for k in range(1, len(centers)):
        distance = squared_distance(x, centers[k])
        if distance < least:
            best, least = k, distance
    return best, least


@njit(cache=True, nogil=True)
def assign(X, centers, labels, distances):
    """Fills labels and squared distances (n,) with each row's nearest centre; returns whether a label changed."""
    changed = False
    for i in range(len(X)):
        label, distances[i] = nearest(X[i], centers)
        changed = changed or label != labels[i]
        labels[i] = label
    return changed


@njit(cache=True, nogil=True)
def add_up(X, labels, sums, counts):
    """Fills sums (k, d) and counts (k,) with the rows of each cluster."""
    sums[:] = 0.0
    counts[:] = 0
    for i in range(len(X)):
        label = labels[i]
        counts[label] += 1
        for j in range(X.shape[1]):
            sums[label, j] += X[i, j]


@njit(cache=True, nogil=True)
def fill_empty(X, labels, distances, sums, counts, wanting):
    """Gives each of the `wanting` clusters (k,) the row farthest from its centre, taken from where it was."""
    for k in range(len(counts)):
        if not wanting[k]:
            continue
        far = np.argmax(distances)
        if distances[far] == 0.0:  # fewer different rows than clusters: nothing to give
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
    """Moves the centres in place to the means of their rows until they rest; returns labels, distances, passes.

    They rest once no label changes or the squares of their moves add up to no more than tol.
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
                centers[k] = mean
        if moved <= tol:
            break
    assign(X, centers, labels, distances)
    return labels, distances, passes


@njit(cache=True, nogil=True)
def plus_plus(X, first, uniforms):
    """Returns k-means++ centres (k, d): row `first`, then rows drawn by their squared distance from those so far.

    Of uniforms.shape[1] candidates each time, the one is kept that leaves the least distance in all.
    """
    n, n_clusters = len(X), len(uniforms) + 1
    centers = np.empty((n_clusters, X.shape[1]))
    centers[0] = X[first]
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
                centers[k] = X[candidate]
                kept, trial = trial, kept
        closest, kept = kept, closest
    return centers


@njit(cache=True, nogil=True)
def learn_batch(X, centers, counts, labels, distances):
    """Moves the centres in place to the running means of all rows they ever got, those of this batch included."""
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
