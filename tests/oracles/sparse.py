"""Sparse rows times a dense matrix, entry by entry; non-negative least squares by trying every set of positive coordinates."""

from itertools import chain, combinations, pairwise

import numpy as np


def product(dense, indptr, items, weights, cold_nan=False):
    out = np.zeros((len(indptr) - 1, dense.shape[1]))
    for row, (start, stop) in enumerate(pairwise(indptr)):
        kept = [j for j in range(start, stop) if 0 <= items[j] < len(dense) and not np.isnan(dense[items[j], 0])]
        for j in kept:
            out[row] += float(weights[j]) * dense[items[j]].astype(np.float64)
        if cold_nan and not any(weights[j] > 0 for j in kept):
            out[row] = np.nan
    return out


def loss(gram, target, x, l1=0.0, l2=0.0):
    gram, target, x = (a.astype(np.float64) for a in (gram, target, x))
    return x @ gram @ x / 2 - target @ x + l1 * x.sum() + l2 * x @ x / 2


def nonnegative(gram, target, l1=0.0, l2=0.0):
    """The least loss over x >= 0: the best of the free minima of all subsets that are feasible (Lawson and Hanson 1974)."""
    width = len(gram)
    best, least = np.zeros(width), 0.0
    for some in chain.from_iterable(combinations(range(width), size) for size in range(1, width + 1)):
        rows = list(some)
        x = np.zeros(width)
        x[rows] = np.linalg.lstsq(gram[np.ix_(rows, rows)] + l2 * np.eye(len(rows)), target[rows] - l1, rcond=None)[0]
        if (x >= 0).all() and loss(gram, target, x, l1, l2) < least:
            best, least = x, loss(gram, target, x, l1, l2)
    return best
