"""The graph filter, from its definition, on dense float64 matrices."""

import numpy as np


def weights(matrix, exponent, history_exponent=0.2, user_exponent=0.7):
    """Weigh items by items: W[h, i] = d_h^-history_exponent S[h, i] d_i^exponent, 0 on the diagonal.

    `matrix` (users, items), entries not > 0 count nothing; degrees are sums of weights. Rows and columns of items
    without an entry are 0.
    """
    r = np.maximum(matrix, 0)
    d_user, d_item = r.sum(axis=1, keepdims=True), r.sum(axis=0)
    d_user, d_item = np.where(d_user > 0, d_user, 1), np.where(d_item > 0, d_item, 1)
    normal = r * d_user ** (-user_exponent / 2) / np.sqrt(d_item)
    out = d_item[:, None] ** -history_exponent * (normal.T @ normal) * d_item**exponent
    np.fill_diagonal(out, 0)
    return out


def strongest(rows, k):
    """Keep the k largest positive weights of every row, ties to the lower column."""
    out = np.zeros_like(rows)
    for h, row in enumerate(rows):
        kept = [i for i in np.argsort(-row, kind="stable") if row[i] > 0][:k]
        out[h, kept] = row[kept]
    return out
