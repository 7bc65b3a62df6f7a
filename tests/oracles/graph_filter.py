"""The graph filter, from its definition, on dense float64 matrices."""

import numpy as np


def weights(matrix, exponent, factors=0, share=0.0):
    """Weigh items by items: W[h, i] = d_h^-1/2 (S + share * low pass)[h, i] d_i^exponent, 0 on the diagonal.

    `matrix` (users, items), entries not > 0 count nothing; degrees are sums of weights. Rows and columns of items
    without an entry are 0. The low pass is V V^T over the leading right singular vectors of the normalised matrix.
    """
    r = np.maximum(matrix, 0)
    d_user, d_item = r.sum(axis=1, keepdims=True), r.sum(axis=0)
    safe_user, safe_item = np.where(d_user > 0, d_user, 1), np.where(d_item > 0, d_item, 1)
    normal = r / np.sqrt(safe_user) / np.sqrt(safe_item)
    alike = normal.T @ normal
    if factors:
        leading = np.linalg.svd(normal)[2][:factors]
        alike = alike + share * leading.T @ leading
    out = alike / np.sqrt(safe_item)[:, None] * safe_item**exponent * (d_item > 0) * (d_item > 0)[:, None]
    np.fill_diagonal(out, 0)
    return out


def strongest(rows, k):
    """Keep the k largest positive weights of every row, ties to the lower column."""
    out = np.zeros_like(rows)
    for h, row in enumerate(rows):
        kept = [i for i in np.argsort(-row, kind="stable") if row[i] > 0][:k]
        out[h, kept] = row[kept]
    return out
