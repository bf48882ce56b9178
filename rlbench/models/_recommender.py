"""One compiled pass of matrix factorisation over the ratings."""
# ruff: noqa: ANN001, ANN202 - compiled code: numba infers the types
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True)
def sgd_pass(users, items, ratings, order, model, learning_rate, regularization):
    """Updates the biases and factors of `model` in place, one rating at a time in `order`.

    e = r - (b_u + c_i + p_u . q_i); then p_u += learning_rate * (e * q_i - regularization * p_u), likewise the others.
    """
    user_bias, item_bias, user_factors, item_factors = model
    for n in order:
        u, i = users[n], items[n]
        p, q = user_factors[u], item_factors[i]
        error = ratings[n] - user_bias[u] - item_bias[i]
        for k in range(len(p)):
            error -= p[k] * q[k]
        user_bias[u] += learning_rate * (error - regularization * user_bias[u])
        item_bias[i] += learning_rate * (error - regularization * item_bias[i])
        for k in range(len(p)):
            p_k = p[k]  # both updates use the old value
            p[k] += learning_rate * (error * q[k] - regularization * p_k)
            q[k] += learning_rate * (error * p_k - regularization * q[k])


@njit(cache=True, nogil=True)
def predict_pairs(users, items, model, predicted):
    """Writes b_u + c_i + p_u . q_i of each pair into `predicted` (n,)."""
    user_bias, item_bias, user_factors, item_factors = model
    for n in range(len(users)):
        u, i = users[n], items[n]
        total = user_bias[u] + item_bias[i]
        for k in range(user_factors.shape[1]):
            total += user_factors[u, k] * item_factors[i, k]
        predicted[n] = total
