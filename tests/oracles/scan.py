"""Products of codes in exact integers, and rows scored in float64."""

import numpy as np

from tests.oracles.dot import scores as products
from tests.oracles.topk import topk


def codes(vectors):
    """Bytes and scale of every row: x = scale * codes, |codes| <= 127."""
    most = np.abs(vectors).max(axis=1)
    scales = np.where(most > 1e-30, most / np.float32(127), np.float32(0)).astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        rounded = np.where(scales[:, None] > 0, np.rint(vectors / scales[:, None]), 0)
    return np.clip(rounded, -127, 127).astype(np.int64), scales


def bytes_topm(queries, vectors, m, mask=None):
    asked, _ = codes(queries)
    usable = ~np.isnan(vectors).any(axis=1)
    known, scales = codes(np.where(usable[:, None], vectors, 0))
    score = (asked @ known.T).astype(np.float32) * scales
    score[:, ~usable] = np.nan
    return topk(score, m, None if mask is None else mask[:, : len(vectors)])


def rescore(queries, rows, indptr, given, n, mask=None):
    every = products(queries, rows)
    allowed = np.zeros(every.shape, np.uint8)
    for q in range(len(queries)):
        for item in given[indptr[q] : indptr[q + 1]]:
            if 0 <= item < len(rows):
                allowed[q, item] = 1 if mask is None else mask[q, item]
    return topk(every, n, allowed)
