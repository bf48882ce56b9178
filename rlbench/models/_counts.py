"""The two loops of naive Bayes over a sparse table of counts, compiled."""
# ruff: noqa: ANN001, ANN202 - compiled code: numba infers its types
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

from numba import njit


@njit(cache=True)
def add_by_class(data, indices, indptr, codes, totals):
    """Adds each row of a CSR table to the row of `totals` (n_classes, n_features) that its class code names."""
    for row in range(len(codes)):
        total = totals[codes[row]]
        for entry in range(indptr[row], indptr[row + 1]):
            total[indices[entry]] += data[entry]


@njit(cache=True)
def add_scores(data, indices, indptr, weights, scores):
    """Adds a CSR table times `weights` (n_features, n_classes) to `scores` (n_rows, n_classes)."""
    for row in range(len(scores)):
        for entry in range(indptr[row], indptr[row + 1]):
            count, weight = data[entry], weights[indices[entry]]
            for k in range(scores.shape[1]):
                scores[row, k] += count * weight[k]
