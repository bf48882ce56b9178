"""The two compiled loops of naive Bayes over a sparse matrix of counts."""
# ruff: noqa: ANN001, ANN202 - compiled code: numba infers the types
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

from numba import njit


@njit(cache=True)
def add_by_class(data, indices, indptr, codes, totals):
    """Adds each row of a CSR matrix to the row of `totals` (n_classes, n_features) given by its class code."""
    for row in range(len(codes)):
        total = totals[codes[row]]
        for entry in range(indptr[row], indptr[row + 1]):
            total[indices[entry]] += data[entry]


@njit(cache=True)
def add_scores(data, indices, indptr, weights, scores):
    """Adds the product of a CSR matrix and `weights` (n_features, n_classes) to `scores` (n_rows, n_classes)."""
    for row in range(len(scores)):
        for entry in range(indptr[row], indptr[row + 1]):
            count, weight = data[entry], weights[indices[entry]]
            for k in range(scores.shape[1]):
                scores[row, k] += count * weight[k]
