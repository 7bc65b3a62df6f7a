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


def loss_and_norm(vectors, ids, codes, scales):
    """The largest |x| and the largest |x - scale * codes| of each panel of a sketch."""
    panels, quads = codes.shape[:2]
    back = codes.transpose(0, 2, 1, 3).reshape(panels * 16, quads * 4)[:, : vectors.shape[1]].astype(np.float64) - 128
    rows = np.where(ids[:, None] >= 0, vectors[ids], 0).astype(np.float64)
    lengths = (np.linalg.norm(part, axis=1) for part in (rows, rows - scales[:, None].astype(np.float64) * back))
    return tuple(np.where(ids >= 0, length, 0).reshape(panels, 16).max(axis=1) for length in lengths)
