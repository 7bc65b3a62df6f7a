"""Dot products, summed in float64."""

import numpy as np

from tests.oracles.topk import topk


def scores(queries, vectors):
    return (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)


def dot_ragged(queries, vectors, indptr, items):
    every = scores(queries, vectors)
    out = np.full(len(items), np.nan, np.float32)
    for row in range(len(queries)):
        for at in range(indptr[row], indptr[row + 1]):
            if 0 <= items[at] < len(vectors):
                out[at] = every[row, items[at]]
    return out


def dot_topk(queries, vectors, n, mask=None):
    return topk(scores(queries, vectors), n, None if mask is None else mask[:, : len(vectors)])
