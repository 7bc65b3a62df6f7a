"""Cosine neighbours and weighted sums of rows, from their definitions, on dense float64 matrices."""

import numpy as np


def dense(csr, n_cols):
    """Spread sparse rows out; entries out of range, or not > 0, count nothing."""
    out = np.zeros((csr.n, n_cols))
    for r in range(csr.n):
        for t in range(csr.indptr[r], csr.indptr[r + 1]):
            if 0 <= csr.cols[t] < n_cols and csr.values[t] > 0:
                out[r, csr.cols[t]] += csr.values[t]
    return out


def unit_rows(weights, rarity, weighting, average):
    """`weights` dense, 0 = no entry. Returns the unit rows and the norms before scaling."""
    length = weights.sum(axis=1, keepdims=True) / average
    terms = {
        "plain": weights,
        "tfidf": np.sqrt(weights),
        "bm25": weights * 2.2 / (weights + 1.2 * (0.25 + 0.75 * length)),
    }[weighting]
    terms = terms * rarity
    norms = np.sqrt((terms**2).sum(axis=1))
    return terms / np.where(norms > 0, norms, 1)[:, None], norms


def similarities(rows, own, norms, members, member_norms, shrinkage):
    """`rows` and `members` dense over the same features; 0 where a row meets itself."""
    product = np.outer(norms, member_norms)
    share = np.divide(product, product + shrinkage, out=np.zeros_like(product), where=product + shrinkage > 0)
    out = rows @ members.T * (share if shrinkage else 1)
    for r, member in enumerate(own):
        if member >= 0:
            out[r, member] = 0
    return out


def best(scores, mask, n):
    """The n largest positive scores of every row with mask 1, ties to the lower column; -1 and NaN pad."""
    cols, values = np.full((len(scores), n), -1), np.full((len(scores), n), np.nan)
    for r, row in enumerate(scores):
        found = [c for c in np.argsort(-row, kind="stable") if row[c] > 0 and mask[r, c]][:n]
        cols[r, : len(found)], values[r, : len(found)] = found, row[found]
    return cols, values
